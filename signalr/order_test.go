package signalr

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// noted is an argument that notes when it is decoded, which is the last thing
// before its method is called.
type noted int

var decoded struct {
	sync.Mutex
	order []noted
}

func (n *noted) UnmarshalJSON(b []byte) error {
	runtime.Gosched() // let others overtake, if they can
	decoded.Lock()
	defer decoded.Unlock()
	_, err := fmt.Sscan(string(b), (*int)(n))
	decoded.order = append(decoded.order, *n)
	return err
}

// TestParallelCallsBeginInOrder: hub-protocol 9.1, the order of start is
// preserved.
func TestParallelCallsBeginInOrder(t *testing.T) {
	const calls = 2000
	for _, parallel := range []int{1, 2, 8, 5000} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			decoded.order = nil
			h := NewHub("test", HubOptions{MaximumParallelInvocationsPerClient: parallel})
			var mu sync.Mutex
			running, most := 0, 0
			finished := make(chan struct{})
			done := 0
			Handle(h, "Call", func(n noted) error {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				for range n % 7 {
					runtime.Gosched()
				}
				mu.Lock()
				defer mu.Unlock()
				running--
				if done++; done == calls {
					close(finished)
				}
				if n%5 == 0 {
					panic("some fail")
				}
				return nil
			})
			p := connect(t, h, "c1")
			for i := range calls {
				p.send(fmt.Sprintf(`{"type":1,"target":"Call","arguments":[%d]}`, i))
				if i%10 == 0 {
					p.send(`{"type":1,"target":"Nothing","arguments":[]}`, `{"type":1,"target":"Call","arguments":[]}`) // these never come to a method
				}
			}
			<-finished
			shutdown(t, h)
			for i, n := range decoded.order {
				if int(n) != i {
					t.Fatalf("call %d began as number %d", n, i)
				}
			}
			if len(decoded.order) != calls || most > parallel {
				t.Errorf("%d calls, %d at once", len(decoded.order), most)
			}
		})
	}
}

// TestParallelCallsWait has all turns taken: the next call begins when one of
// them ends, also one that waits for its client meanwhile.
func TestParallelCallsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{MaximumParallelInvocationsPerClient: 2})
		begun, goOn := make(chan int, 10), make(chan struct{})
		Handle(h, "Wait", func(n int) { begun <- n; <-goOn })
		Handle(h, "Ask", func(ctx context.Context, c *Conn, n int) error {
			begun <- n
			return h.Invoke(ctx, c.ID(), "Ask", nil)
		})
		p := connect(t, h, "c1")
		call := func(name string, n int) {
			p.send(fmt.Sprintf(`{"type":1,"target":"%s","arguments":[%d]}`, name, n))
		}
		want := func(numbers ...int) {
			t.Helper()
			synctest.Wait()
			for _, n := range numbers {
				select {
				case got := <-begun:
					if got != n {
						t.Errorf("%d began, want %d", got, n)
					}
				default:
					t.Errorf("%d did not begin", n)
				}
			}
			select {
			case got := <-begun:
				t.Errorf("%d began too early", got)
			default:
			}
		}
		call("Ask", 1)
		want(1)
		call("Wait", 2)
		want(2)
		call("Wait", 3) // in the turn that the first gave up
		want(3)
		call("Wait", 4)
		want()
		p.want(`{"type":1,"invocationId":"s1","target":"Ask","arguments":[]}`)
		p.send(`{"type":3,"invocationId":"s1","result":null}`) // 1 wants its turn back, before 4
		want()
		goOn <- struct{}{}
		want(4) // 1 is through at once, and passes on
		goOn <- struct{}{}
		goOn <- struct{}{}
		shutdown(t, h)
	})
}
