package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

func TestStreamEndsWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		var ended atomic.Int32
		Handle(h, "Ticks", func(ctx context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				defer ended.Add(1)
				for i := 0; ; i++ {
					if !yield(i, nil) {
						return
					}
					select {
					case <-ctx.Done():
						yield(0, ctx.Err())
						return
					case <-time.After(time.Second):
					}
				}
			}
		})
		p := connect(t, h, "c1")
		p.send(`{"type":4,"invocationId":"1","target":"Ticks","arguments":[]}`)
		p.want(`{"type":2,"invocationId":"1","item":0}`, `{"type":2,"invocationId":"1","item":1}`)
		p.send(`{"type":4,"invocationId":"1","target":"Ticks","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"1","error":"Invocation ID '1' is already in use."}`)
		p.send(`{"type":4,"invocationId":"1","target":"Ticks","arguments":[1]}`) // binding is looked at first
		p.want(`{"type":3,"invocationId":"1","error":"Failed to invoke 'Ticks' due to an error on the server."}`)
		p.want(`{"type":2,"invocationId":"1","item":2}`)
		p.send(`{"type":5,"invocationId":"1"}`, `{"type":5,"invocationId":"1"}`)
		p.want(`{"type":3,"invocationId":"1"}`)
		p.send(`{"type":4,"invocationId":"2","target":"Ticks","arguments":[]}`)
		p.want(`{"type":2,"invocationId":"2","item":0}`)
		p.session.Abort(nil)
		synctest.Wait()
		if ended.Load() != 2 {
			t.Errorf("%d streams ended", ended.Load())
		}
	})
}

// A stream to a client that does not read is held back; it neither fills memory
// nor closes the connection.
func TestStreamIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{QueueMessages: 50, QueueBytes: 10000})
		var produced atomic.Int64
		item := strings.Repeat("x", 100)
		const n = 20000
		Handle(h, "Flood", func() iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for range n {
					produced.Add(1)
					if !yield(item, nil) {
						return
					}
				}
			}
		})
		p := connect(t, h, "c1")
		goOn := p.stall()
		p.send(`{"type":4,"invocationId":"1","target":"Flood","arguments":[]}`)
		synctest.Wait()
		if got := produced.Load(); got > 1000 {
			t.Errorf("%d items were produced for a client that does not read", got)
		}
		goOn()
		for range n {
			if r := p.next(); !strings.HasPrefix(r, `{"type":2`) {
				t.Fatal(r)
			}
		}
		p.want(`{"type":3,"invocationId":"1"}`)
		shutdown(t, h)
	})
}

func TestUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		sum := func(parts iter.Seq2[int, error]) (n int, err error) {
			for v, err := range parts {
				if err != nil {
					return n, err
				}
				n += v
			}
			return n, nil
		}
		Handle(h, "SumTwo", func(ctx context.Context, a iter.Seq2[int, error], factor int, b iter.Seq2[int, error]) (int, error) {
			x, err := sum(a)
			if err != nil {
				return 0, err
			}
			y, err := sum(b)
			return factor * (x + 100*y), err
		})
		Handle(h, "Swallow", func(a iter.Seq2[int, error]) string {
			for _, err := range a {
				if err != nil {
					return err.Error()
				}
			}
			return "all"
		})
		Handle(h, "First", func(a iter.Seq2[int, error]) (first int) {
			for v := range a {
				first = v
				break
			}
			for _, err := range a {
				if err == nil {
					first = -1
				}
			}
			return first
		})
		Handle(h, "Double", func(a iter.Seq2[int, error]) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for v, err := range a {
					if !yield(2*v, err) || err != nil {
						return
					}
				}
			}
		})
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"1","target":"SumTwo","arguments":[10],"streamIds":["a","b"]}`,
			`{"type":2,"invocationId":"b","item":5}`, `{"type":2,"invocationId":"a","item":1}`, `{"type":2,"invocationId":"zz","item":1}`,
			`{"type":2,"invocationId":"a","item":2}`, `{"type":3,"invocationId":"b"}`, `{"type":3,"invocationId":"a"}`)
		p.want(`{"type":3,"invocationId":"1","result":5030}`)
		// the same ids again, and an error of the client
		p.send(`{"type":1,"invocationId":"2","target":"SumTwo","arguments":[10],"streamIds":["a","b"]}`, `{"type":3,"invocationId":"a","error":"oops"}`)
		p.want(`{"type":3,"invocationId":"2","error":"An unexpected error occurred invoking 'SumTwo' on the server. HubException: oops"}`)
		// an item of the wrong type
		p.send(`{"type":1,"invocationId":"3","target":"Swallow","arguments":[],"streamIds":["c"]}`, `{"type":2,"invocationId":"c","item":"x"}`,
			`{"type":2,"invocationId":"c","item":1}`, `{"type":3,"invocationId":"c"}`)
		p.want(`{"type":3,"invocationId":"3","result":"Failed to bind Stream message."}`)
		// a method that stops reading: what follows is passed over
		p.send(`{"type":1,"invocationId":"4","target":"First","arguments":[],"streamIds":["d"]}`)
		for range 50 {
			p.send(`{"type":2,"invocationId":"d","item":9}`)
		}
		p.want(`{"type":3,"invocationId":"4","result":9}`)
		// up and down
		p.send(`{"type":4,"invocationId":"5","target":"Double","arguments":[],"streamIds":["e"]}`, `{"type":2,"invocationId":"e","item":4}`)
		p.want(`{"type":2,"invocationId":"5","item":8}`)
		p.send(`{"type":3,"invocationId":"e"}`)
		p.want(`{"type":3,"invocationId":"5"}`)
		// one id twice
		p.send(`{"type":1,"invocationId":"6","target":"SumTwo","arguments":[1],"streamIds":["f","f"]}`)
		p.want(`{"type":3,"invocationId":"6","error":"An unexpected error occurred invoking 'SumTwo' on the server. HubException: Stream ID 'f' is already in use."}`)
		synctest.Wait()
		c := h.Connection("c1")
		c.in.mu.Lock()
		if len(c.in.uploads) != 0 || c.in.streams != 0 || len(c.in.calls) != 0 {
			t.Errorf("left over: %d uploads, %d streams, %d calls", len(c.in.uploads), c.in.streams, len(c.in.calls))
		}
		c.in.mu.Unlock()
		shutdown(t, h)
	})
}

// A full upload buffer pauses reading; the end of the connection ends the read.
func TestUploadIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{StreamBufferCapacity: 3})
		gate, result := make(chan struct{}), make(chan string, 1)
		Handle(h, "Read", func(a iter.Seq2[int, error]) {
			<-gate
			n := 0
			for _, err := range a {
				if err != nil {
					result <- fmt.Sprint(n, " ", err)
					return
				}
				n++
			}
		})
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"1","target":"Read","arguments":[],"streamIds":["a"]}`)
		for range 100 {
			p.send(`{"type":2,"invocationId":"a","item":1}`)
		}
		synctest.Wait()
		p.mu.Lock()
		waiting := len(p.toSend)
		p.mu.Unlock()
		if waiting == 0 && h.Connection("c1").in.busy.Load() == 0 {
			t.Error("everything was read")
		}
		p.session.Abort(errors.New("network"))
		synctest.Wait()
		close(gate)
		if got := <-result; !strings.HasSuffix(got, "The underlying connection was closed.") {
			t.Error(got)
		}
	})
}

// TestStreamBufferCapacity has a method that does not read: as many items as
// the buffer holds are taken in, one more holds up what follows, and the rest
// comes when it reads.
func TestStreamBufferCapacity(t *testing.T) {
	for _, test := range []struct{ option, want int }{{0, 10}, {1, 1}, {3, 3}, {64, 64}} {
		t.Run(fmt.Sprint(test.option), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub("test", HubOptions{StreamBufferCapacity: test.option})
				gate := make(chan struct{})
				Handle(h, "Sum", func(numbers iter.Seq2[int, error]) (sum int, err error) {
					<-gate
					for n, err := range numbers {
						if err != nil || n != sum {
							return 0, Errorf("%d came, want %d: %v", n, sum, err)
						}
						sum++
					}
					return sum, nil
				})
				Handle(h, "Ok", func() {})
				p := connect(t, h, "c1")
				p.send(`{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["a"]}`)
				item := func(n int) { p.send(fmt.Sprintf(`{"type":2,"invocationId":"a","item":%d}`, n)) }
				for n := range test.want {
					item(n)
				}
				p.send(`{"type":1,"invocationId":"2","target":"Ok","arguments":[]}`)
				p.want(`{"type":3,"invocationId":"2","result":null}`) // behind what fits nothing waits
				item(test.want)
				p.send(`{"type":1,"invocationId":"3","target":"Ok","arguments":[]}`)
				synctest.Wait()
				if h.Connection("c1").in.busy.Load() == 0 {
					t.Error("one item more than the buffer holds was taken in")
				}
				close(gate)
				p.want(`{"type":3,"invocationId":"3","result":null}`)
				p.send(`{"type":3,"invocationId":"a"}`)
				p.want(fmt.Sprintf(`{"type":3,"invocationId":"1","result":%d}`, test.want+1))
				shutdown(t, h)
			})
		})
	}
}

// TestIDInUse: the answer does not wait for plain calls that run.
func TestIDInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		wait := func(ctx context.Context) { <-ctx.Done() }
		Handle(h, "Wait", wait)
		Handle(h, "Stream", func(ctx context.Context) iter.Seq2[int, error] {
			return func(func(int, error) bool) { wait(ctx) }
		})
		Handle(h, "Upload", func(ctx context.Context, _ iter.Seq2[int, error]) { wait(ctx) })
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"0","target":"Wait","arguments":[]}`,
			`{"type":4,"invocationId":"1","target":"Stream","arguments":[]}`,
			`{"type":4,"invocationId":"1","target":"Stream","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"1","error":"Invocation ID '1' is already in use."}`)
		p.send(`{"type":1,"invocationId":"2","target":"Upload","arguments":[],"streamIds":["a"]}`,
			`{"type":1,"invocationId":"3","target":"Upload","arguments":[],"streamIds":["a"]}`)
		p.want(`{"type":3,"invocationId":"3","error":"An unexpected error occurred invoking 'Upload' on the server. HubException: Stream ID 'a' is already in use."}`)
		p.send(`{"type":5,"invocationId":"1"}`)
		p.want(`{"type":3,"invocationId":"1"}`)
		shutdown(t, h)
	})
}

func TestTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{Limits: Limits{Streams: 2}})
		Handle(h, "Wait", func(ctx context.Context) iter.Seq2[int, error] {
			return func(func(int, error) bool) { <-ctx.Done() }
		})
		p := connect(t, h, "c1")
		for i := range 3 {
			p.send(fmt.Sprintf(`{"type":4,"invocationId":"%d","target":"Wait","arguments":[]}`, i))
		}
		p.want(`{"type":3,"invocationId":"2","error":"Failed to invoke 'Wait' due to an error on the server. HubException: Too many streams on this connection."}`)
		p.send(`{"type":5,"invocationId":"0"}`)
		p.want(`{"type":3,"invocationId":"0"}`)
		shutdown(t, h)
	})
}

func TestItemsThatDoNotFit(t *testing.T) {
	for _, proto := range []wire.Protocol{wire.JSON, wire.MessagePack} {
		for detailed, want := range map[bool]string{
			false: "Failed to bind Stream message.",
			true: map[string]string{
				"json":        "Failed to bind Stream message. JsonException: The JSON value could not be converted to System.Int32. Path: $ | LineNumber: 0 | BytePositionInLine: 3.",
				"messagepack": "Failed to bind Stream message. InvalidDataException: Deserializing object of the `Int32` type for 'item' failed.",
			}[proto.Name()],
		} {
			var into int32
			err := proto.DecodeValue(map[string]wire.Raw{"json": []byte(`"x"`), "messagepack": []byte("\xa1x")}[proto.Name()], &into)
			if got := bindStreamError(err, proto, detailed).Error(); got != want {
				t.Errorf("%s, detailed %v: %q, want %q", proto.Name(), detailed, got, want)
			}
		}
	}
}
