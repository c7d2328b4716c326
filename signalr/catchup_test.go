package signalr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// store is a task's stored events, as an application has them: whoever
// publishes stores first.
type store struct {
	mu     sync.Mutex
	events []progress
}

func (s *store) add(task string, seq uint64) progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := progress{task, seq}
	s.events = append(s.events, p)
	return p
}

func (s *store) after(seq uint64) []progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	var later []progress
	for _, e := range s.events {
		if e.Seq > seq {
			later = append(later, e)
		}
	}
	return later
}

func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		ctx := t.Context()
		send := func(e *Event[progress], to Audience, seq uint64) {
			t.Helper()
			if err := e.Send(ctx, to, progress{"t", seq}); err != nil {
				t.Fatal(err)
			}
		}
		positions, err := c.CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
			if j.Conn() != c || j.Group() != "g" {
				t.Error("wrong Joining")
			}
			send(endEvent, h.Group("g"), 3) // held back
			send(endEvent, h.Group("g"), 4)
			send(endEvent, j.Audience(), 1)
			_ = c.Caller().Send(ctx, "Direct") // not the group's
			send(endEvent, j.Audience(), 2)
			send(endEvent, j.Audience(), 3)
			send(endEvent, j.Audience(), 2) // stale
			if n, ok := j.Position("t"); n != 3 || !ok {
				t.Errorf("position %d", n)
			}
			return nil
		})
		if err != nil || fmt.Sprint(positions) != "map[t:4]" {
			t.Errorf("%v %v", positions, err)
		}
		p.want(progress{"t", 1}.invocation("End"), invocation1("Direct", ""), progress{"t", 2}.invocation("End"),
			progress{"t", 3}.invocation("End"), progress{"t", 4}.invocation("End"))

		// On top of a membership: only what is above its positions.
		positions, err = c.CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
			for seq := range uint64(6) {
				send(endEvent, j.Audience(), seq)
			}
			return nil
		})
		if err != nil || fmt.Sprint(positions) != "map[t:5]" {
			t.Errorf("%v %v", positions, err)
		}
		p.want(progress{"t", 5}.invocation("End"))

		// A failure on top of a membership leaves it, and what was held follows.
		boom := errors.New("boom")
		_, err = c.CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
			send(endEvent, h.Group("g"), 6)
			return boom
		})
		if !errors.Is(err, boom) || len(c.Groups()) != 1 {
			t.Errorf("%v %v", err, c.Groups())
		}
		p.want(progress{"t", 6}.invocation("End"))

		// A failure of a new one undoes it; so does a panic.
		_, err = c.CatchUp(ctx, "new", func(ctx context.Context, j *Joining) error {
			send(endEvent, h.Group("new"), 1)
			return boom
		})
		if !errors.Is(err, boom) || len(c.Groups()) != 1 {
			t.Errorf("%v %v", err, c.Groups())
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = c.CatchUp(ctx, "new", func(context.Context, *Joining) error { panic("boom") })
		}()
		if len(c.Groups()) != 1 {
			t.Errorf("%v", c.Groups())
		}
		// Unless somebody else has joined meanwhile.
		_, err = c.CatchUp(ctx, "new", func(ctx context.Context, j *Joining) error {
			return errors.Join(c.Join(ctx, "new"), boom)
		})
		if !errors.Is(err, boom) || len(c.Groups()) != 2 {
			t.Errorf("%v %v", err, c.Groups())
		}
		// Leaving within it.
		_, err = c.CatchUp(ctx, "gone", func(ctx context.Context, j *Joining) error {
			_ = c.Leave(ctx, "gone")
			send(endEvent, j.Audience(), 1)
			return nil
		})
		if err != nil || len(c.Groups()) != 2 {
			t.Errorf("%v %v", err, c.Groups())
		}
		synctest.Wait()
		if p.waits() {
			t.Error(p.next())
		}
		c.mu.Lock()
		if c.heldBytes != 0 || c.heldCount != 0 {
			t.Errorf("%d bytes in %d messages are still held", c.heldBytes, c.heldCount)
		}
		c.mu.Unlock()
		p.session.Abort(nil)
		synctest.Wait()
		if _, err := c.CatchUp(ctx, "g", func(context.Context, *Joining) error { t.Error("was called"); return nil }); !errors.Is(err, ErrConnectionClosed) {
			t.Errorf("%v", err)
		}
	})
}

func TestCatchUpsOfOneGroupDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{KeepAliveInterval: time.Hour})
		connect(t, h, "c1")
		c := h.Connection("c1")
		inside := 0
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				_, err := c.CatchUp(t.Context(), "g", func(context.Context, *Joining) error {
					if inside++; inside != 1 {
						t.Error("two at once")
					}
					time.Sleep(time.Second)
					inside--
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// one that waits gives up with its context
		go func() {
			_, _ = c.CatchUp(t.Context(), "g", func(context.Context, *Joining) error { time.Sleep(time.Minute); return nil })
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.CatchUp(ctx, "g", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		shutdown(t, h)
	})
}

// Whenever somebody subscribes while events are published, also by several
// publishers and twice: nothing is lost, nothing comes twice, positions rise
// strictly, and the end comes exactly once and last.
func TestCatchUpRacesWithSends(t *testing.T) {
	const last = 300
	ctx := t.Context()
	for round := range 20 {
		h := NewHub("test", HubOptions{SlowClient: Wait(time.Minute), ShutdownWindow: time.Millisecond})
		var s store
		var wg sync.WaitGroup
		start := make(chan struct{})
		wg.Go(func() { // publisher
			<-start
			for seq := range uint64(last) {
				e := s.add("t", seq+1)
				if err := endEvent.Send(ctx, h.Group("g"), e); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() { // redelivery: sends again what is stored
			<-start
			for range 50 {
				for _, e := range s.after(uint64(max(0, len(s.after(0))-3))) {
					if err := endEvent.Send(ctx, h.Group("g"), e); err != nil {
						t.Error(err)
					}
				}
			}
		})
		for i := range 8 {
			id := fmt.Sprint("c", i)
			p := connect(t, h, id)
			c := h.Connection(id)
			catchUp := func() {
				_, err := c.CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
					for _, e := range s.after(0) {
						if err := endEvent.Send(ctx, j.Audience(), e); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
			wg.Go(func() {
				<-start
				for range i * 3 {
					_ = s.after(0) // come at another moment
				}
				catchUp()
				catchUp()
			})
			wg.Go(func() {
				for seq := range uint64(last) {
					if got, want := p.next(), (progress{"t", seq + 1}).invocation("End"); got != want {
						t.Errorf("round %d: got %s, want %s", round, got, want)
						return
					}
				}
			})
		}
		close(start)
		wg.Wait()
		shutdown(t, h)
	}
}

// A catch-up that is longer than the queue is held back by the client's pace;
// it does not close the connection.
func TestLongCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{QueueMessages: 20, KeepAliveInterval: time.Hour})
		p := connect(t, h, "c1")
		goOn := p.stall()
		done := make(chan error, 1)
		go func() {
			_, err := h.Connection("c1").CatchUp(t.Context(), "g", func(ctx context.Context, j *Joining) error {
				for seq := range uint64(1000) {
					if err := endEvent.Send(ctx, j.Audience(), progress{"t", seq + 1}); err != nil {
						return err
					}
				}
				return nil
			})
			done <- err
		}()
		synctest.Wait()
		goOn()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for seq := range uint64(1000) {
			p.want(progress{"t", seq + 1}.invocation("End"))
		}
		shutdown(t, h)
	})
}

// What is held back counts against the queue, and latest-only acts there too.
func TestHeldMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{QueueMessages: 20, KeepAliveInterval: time.Hour})
		p, q := connect(t, h, "c1"), connect(t, h, "c2")
		ctx := t.Context()
		_, err := h.Connection("c1").CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
			for seq := range uint64(1000) {
				_ = progressEvent.Send(ctx, h.Group("g"), progress{"t", seq + 1})
				_ = progressEvent.Send(ctx, h.Group("g"), progress{"t", seq}) // a straggler must not take it out
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p.want(progress{"t", 1000}.invocation("Progress"))
		_, err = h.Connection("c2").CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
			for seq := range uint64(1000) {
				_ = endEvent.Send(ctx, h.Group("g"), progress{"t", seq + 2000})
				if seq%10 == 0 {
					synctest.Wait()
				}
			}
			return nil
		})
		if !errors.Is(err, ErrConnectionClosed) {
			t.Errorf("error %v", err)
		}
		if r := q.next(); !strings.HasPrefix(r, `{"type":7,"error":"Connection closed with an error."`) {
			t.Error(r)
		}
		shutdown(t, h)
	})
}

// TestCatchUpGoesOnWhileMuchIsHeldBack: what the group sends meanwhile may take
// most of the queue, or all of it, and the catch-up comes to its end.
func TestCatchUpGoesOnWhileMuchIsHeldBack(t *testing.T) {
	for _, held := range []int{11, 15, 20} { // of 20; waiting senders go on at 10
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub("test", HubOptions{QueueMessages: 20, KeepAliveInterval: time.Hour})
				p := connect(t, h, "c1")
				_, err := h.Connection("c1").CatchUp(t.Context(), "g", func(ctx context.Context, j *Joining) error {
					ctx, cancel := context.WithTimeout(ctx, time.Hour)
					defer cancel()
					for n := range held {
						_ = endEvent.Send(ctx, h.Group("g"), progress{"t", uint64(n) + 1000})
					}
					for n := range 100 {
						if err := endEvent.Send(ctx, j.Audience(), progress{"t", uint64(n) + 1}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				for n := range 100 {
					p.want(progress{"t", uint64(n) + 1}.invocation("End"))
				}
				for n := range held {
					p.want(progress{"t", uint64(n) + 1000}.invocation("End"))
				}
				shutdown(t, h)
			})
		})
	}
}
