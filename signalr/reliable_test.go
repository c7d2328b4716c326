package signalr

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// socket is a session with stateful reconnect, whose network the test owns.
type socket struct {
	t    *testing.T
	app  transport.Application
	next sync.Mutex

	mu       sync.Mutex
	up       bool
	stateful bool
	closing  bool
	ended    bool
	got      []string // records of JSON
	raw      []byte   // the same as bytes, of any protocol
}

func connectStateful(t *testing.T, h *Hub, version int) *socket {
	t.Helper()
	s := &socket{t: t, up: true}
	app, err := h.accept(s)
	if err != nil {
		t.Fatal(err)
	}
	s.app = app
	t.Cleanup(func() { s.end(nil) })
	s.send(fmt.Sprintf(`{"protocol":"json","version":%d}`, version))
	s.want("{}")
	return s
}

func (s *socket) ID() string             { return "c1" }
func (s *socket) Kind() transport.Kind   { return transport.WebSockets }
func (s *socket) SupportsBinary() bool   { return true }
func (s *socket) SetBinary(bool)         {}
func (s *socket) Request() *http.Request { return nil }
func (s *socket) StatefulOffered() bool  { return true }
func (s *socket) SetStateful(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stateful = on
}
func (s *socket) Close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	go s.Flush()
}
func (s *socket) Abort(err error) { go s.end(err) }

func (s *socket) Flush() {
	s.next.Lock()
	defer s.next.Unlock()
	for {
		s.mu.Lock()
		stop, closing := !s.up || s.ended, s.closing
		s.mu.Unlock()
		if stop {
			return
		}
		out, more, end := s.app.Next(nil, 100)
		s.mu.Lock()
		s.raw = append(s.raw, out...)
		s.mu.Unlock()
		for r := range strings.SplitAfterSeq(string(out), "\x1e") {
			if r = strings.TrimSuffix(r, "\x1e"); r != "" {
				s.mu.Lock()
				s.got = append(s.got, r)
				s.mu.Unlock()
			}
		}
		if !more {
			if end || closing {
				go s.end(nil)
			}
			return
		}
	}
}

func (s *socket) end(err error) {
	s.mu.Lock()
	before := s.ended
	s.ended = true
	s.mu.Unlock()
	if !before {
		s.app.Ended(err)
	}
}

func (s *socket) send(records ...string) {
	for _, r := range records {
		_ = s.app.Receive(append([]byte(r), wire.Separator))
	}
}

// lose cuts the network, return replaces the socket.
func (s *socket) lose() {
	s.mu.Lock()
	s.up = false
	s.mu.Unlock()
	s.next.Lock()
	s.next.Unlock() //nolint:staticcheck // a write under way is over
	s.app.Lost()
}

func (s *socket) comeBack() {
	s.mu.Lock()
	s.up, s.got, s.raw = true, nil, nil
	s.mu.Unlock()
	s.app.Resumed()
	s.Flush()
}

// want fails unless exactly these records have come.
func (s *socket) want(records ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got, want := strings.Join(s.got, "\n"), strings.Join(records, "\n"); got != want {
		s.t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	s.got = nil
}

func statefulHub(opts HubOptions) *Hub {
	opts.AllowStatefulReconnects = true
	opts.KeepAliveInterval = time.Hour
	h := NewHub("test", opts)
	Handle(h, "Echo", func(s string) string { return s })
	return h
}

func ack(n int) string      { return fmt.Sprintf(`{"type":8,"sequenceId":%d}`, n) }
func sequence(n int) string { return fmt.Sprintf(`{"type":9,"sequenceId":%d}`, n) }
func echo(n int) string {
	return fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Echo","arguments":["%d"]}`, n, n)
}
func echoed(n int) string { return fmt.Sprintf(`{"type":3,"invocationId":"%d","result":"%d"}`, n, n) }

func TestStatefulReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{OnDisconnected: func(context.Context, *Conn, error) { t.Error("OnDisconnected") }})
		s := connectStateful(t, h, 2)
		ctx := t.Context()
		num := func(n int) string { return invocation1("N", fmt.Sprint(n)) }
		send := func(n int) {
			t.Helper()
			if err := h.All().Send(ctx, "N", n); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		send(1)
		s.want() // held back until the client has spoken
		s.send(`{"type":6}`)
		s.want(num(1))
		s.send(echo(1), echo(2), `{"type":1,"target":"Nope","arguments":[]}`)
		s.want(echoed(1), echoed(2))
		time.Sleep(1100 * time.Millisecond)
		s.want(ack(3)) // what does not bind counts too
		for n := range 4 {
			send(n + 4) // messages 4 to 7
		}
		s.want(num(4), num(5), num(6), num(7))
		s.send(ack(4))
		_ = s.app.Receive([]byte(`{"type":1,"target":"Ech`)) // a part, lost with the socket
		s.lose()
		send(8)
		send(9)
		s.comeBack()
		s.want(sequence(5), num(5), num(6), num(7), num(8), num(9))
		// The client repeats 2 and 3, then sends 4.
		s.send(sequence(2), echo(2), `{"type":1,"target":"Nope","arguments":[]}`, echo(4))
		s.want(echoed(4))
		time.Sleep(1100 * time.Millisecond)
		s.want(ack(4))
		time.Sleep(10 * time.Second)
		s.want() // nothing new to acknowledge
		// A duplicate alone has its ack repeated.
		s.lose()
		s.comeBack()
		s.want(sequence(5), num(5), num(6), num(7), num(8), num(9), echoed(4))
		s.send(ack(10), sequence(4), echo(4))
		time.Sleep(1100 * time.Millisecond)
		s.want(ack(4))
		s.lose()
		s.comeBack()
		s.want(sequence(11))
		s.send(ack(99), ack(-1<<63), ack(1<<62)) // never sent: no harm
		send(11)
		s.want(num(11))
		c := h.Connection("c1")
		c.mu.Lock()
		if c.reliable.bytes != int64(len(num(11))+1) {
			t.Errorf("%d bytes are kept", c.reliable.bytes)
		}
		c.mu.Unlock()
		h.opts.OnDisconnected = nil
		s.end(nil)
	})
}

func TestStatefulBufferLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{StatefulReconnectBufferSize: 100})
		s := connectStateful(t, h, 2)
		s.send(`{"type":6}`)
		var all []string
		for n := range 20 {
			if err := h.All().Send(t.Context(), "Number", n+10); err != nil {
				t.Fatal(err)
			}
			all = append(all, invocation1("Number", fmt.Sprint(n+10)))
		}
		// 46 bytes each: the third goes out because the two before are below the limit
		s.want(all[:3]...)
		s.send(`{"type":6}`, ack(1))
		s.want(all[3])
		s.send(ack(4))
		s.want(all[4:7]...)
		s.lose()
		s.comeBack()
		s.want(append([]string{sequence(5)}, all[4:7]...)...)
		h.Connection("c1").Abort() // what waits goes before the Close
		s.want(append(all[7:], `{"type":7}`)...)
	})
}

func TestStatefulEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{EnableDetailedErrors: true})
		s := connectStateful(t, h, 2)
		s.send(echo(1))
		s.want(echoed(1))
		s.send(sequence(3))
		s.want(`{"type":7,"error":"Connection closed with an error. InvalidOperationException: Sequence ID greater than amount of messages we've received.","allowReconnect":true}`)
		s.mu.Lock()
		if s.stateful {
			t.Error("a connection that is closed may be re-attached")
		}
		s.mu.Unlock()
	})
}

func TestVersionOneIsPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{})
		s := connectStateful(t, h, 1)
		s.send(ack(5), sequence(9), echo(1))
		s.want(echoed(1))
		time.Sleep(5 * time.Second)
		s.want()
		s.mu.Lock()
		if s.stateful {
			t.Error("version 1 is stateful")
		}
		s.mu.Unlock()
	})
}

// While the socket is lost the queue fills up, and SlowClient decides.
func TestStatefulQueueFillsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{QueueMessages: 10})
		s := connectStateful(t, h, 2)
		s.send(`{"type":6}`)
		s.lose()
		for n := range 10 {
			_ = h.All().Send(t.Context(), "N", n)
		}
		synctest.Wait()
		if h.Connection("c1").Context().Err() != nil {
			t.Error("closed too early")
		}
		_ = h.All().Send(t.Context(), "N", 10)
		if h.Connection("c1").Context().Err() == nil {
			t.Error("not closed")
		}
	})
}

// TestLatestOnlyWithStatefulReconnect: while nothing can be written, of the
// events of a key the newest stays; what has a number is said again as it was.
// Positions count over the gap.
func TestLatestOnlyWithStatefulReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{})
		s := connectStateful(t, h, 2)
		c, ctx := h.Connection("c1"), t.Context()
		s.send(`{"type":6}`)
		if err := c.Join(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		send := func(e *Event[progress], seq uint64) {
			t.Helper()
			if err := e.Send(ctx, h.Group("g"), progress{"t", seq}); err != nil {
				t.Fatal(err)
			}
		}
		send(progressEvent, 1)
		s.want(progress{"t", 1}.invocation("Progress"))
		s.lose()
		for seq := range uint64(100) {
			send(progressEvent, seq+2)
		}
		send(progressEvent, 50) // a straggler
		s.comeBack()
		s.want(sequence(1), progress{"t", 1}.invocation("Progress"), progress{"t", 101}.invocation("Progress"))
		s.send(ack(2))
		s.lose()
		send(progressEvent, 102)
		send(endEvent, 103)
		send(progressEvent, 103)
		s.comeBack()
		s.want(sequence(3), progress{"t", 102}.invocation("Progress"), progress{"t", 103}.invocation("End"))
	})
}

// TestCatchUpWithStatefulReconnect: a catch-up goes on over the loss of the
// socket, and what the group sends meanwhile comes behind it, once.
func TestCatchUpWithStatefulReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{})
		s := connectStateful(t, h, 2)
		c := h.Connection("c1")
		s.send(`{"type":6}`)
		send := func(ctx context.Context, to Audience, seq uint64) {
			t.Helper()
			if err := endEvent.Send(ctx, to, progress{"t", seq}); err != nil {
				t.Fatal(err)
			}
		}
		positions, err := c.CatchUp(t.Context(), "g", func(ctx context.Context, j *Joining) error {
			send(ctx, j.Audience(), 1)
			s.want(progress{"t", 1}.invocation("End"))
			s.lose()
			send(ctx, h.Group("g"), 3)
			send(ctx, j.Audience(), 2)
			send(ctx, j.Audience(), 3)
			send(ctx, h.Group("g"), 4)
			return nil
		})
		if err != nil || positions["t"] != 4 {
			t.Errorf("%v, %v", positions, err)
		}
		s.comeBack()
		var want []string
		for seq := range uint64(4) {
			want = append(want, progress{"t", seq + 1}.invocation("End"))
		}
		s.want(append([]string{sequence(1)}, want...)...)
	})
}

// TestSocketLostDuringTheRepetition: an Ack that the client got while it said
// old messages again counts, also when the socket is lost before it was through
// with them.
func TestSocketLostDuringTheRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{OnDisconnected: func(_ context.Context, _ *Conn, err error) { t.Errorf("disconnected: %v", err) }})
		s := connectStateful(t, h, 2)
		s.send(echo(1), echo(2), echo(3))
		s.want(echoed(1), echoed(2), echoed(3))
		s.lose()
		s.comeBack()
		s.send(sequence(1), echo(1)) // 2 and 3 are to follow
		s.want(sequence(1), echoed(1), echoed(2), echoed(3))
		time.Sleep(1100 * time.Millisecond)
		s.want(ack(3))
		s.lose()
		s.comeBack()
		s.send(sequence(4), echo(4)) // it has the Ack
		s.want(sequence(1), echoed(1), echoed(2), echoed(3), echoed(4))
		time.Sleep(1100 * time.Millisecond)
		s.want(ack(4))
		h.opts.OnDisconnected = nil
		s.end(nil)
	})
}

// TestSequenceTooHigh: a peer may say again whatever it likes of what was
// received, and leave out nothing else.
func TestSequenceTooHigh(t *testing.T) {
	for _, test := range []struct {
		name            string
		received, again int // so many messages, so many of them once more
		id              int64
		wrong           bool
	}{
		{"at first", 0, 0, 1, false},
		{"at first, one is missing", 0, 0, 2, true},
		{"all again", 3, 0, 1, false},
		{"nothing again", 3, 0, 4, false},
		{"one is missing", 3, 0, 5, true},
		{"in a repetition, from the same", 3, 1, 2, false},
		{"in a repetition, behind all of it", 3, 1, 4, false},
		{"in a repetition, one is missing", 3, 1, 5, true},
		{"after a repetition, one is missing", 3, 3, 5, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newReliable(wire.JSON, 1000)
			for range test.received {
				r.received()
			}
			if test.again > 0 {
				if err := r.resume(1); err != nil {
					t.Fatal(err)
				}
				for range test.again {
					if r.received() {
						t.Error("a duplicate counts as new")
					}
				}
			}
			if err := r.resume(test.id); (err != nil) != test.wrong {
				t.Fatalf("Sequence %d: %v", test.id, err)
			}
			if !test.wrong && r.next != test.id {
				t.Errorf("%d follows Sequence %d", r.next, test.id)
			}
		})
	}
}
