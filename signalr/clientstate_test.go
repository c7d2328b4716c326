package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// TestClientStates goes through the table of states of the official clients:
// what each event makes of the state, the callbacks, calls and streams under
// way, and handlers.
func TestClientStates(t *testing.T) {
	closeWith := func(text string, again bool) func(*cable) {
		return func(s *cable) {
			s.say(wire.Message{Type: wire.Close, HasError: text != "", Error: text, AllowReconnect: again})
		}
	}
	lost := errors.New("cable cut")
	cut := func(s *cable) { s.Abort(lost) }
	once := func(r Retry) (time.Duration, bool) { return time.Second, r.Previous == 0 }
	for _, tc := range []struct {
		name   string
		policy func(Retry) (time.Duration, bool)
		down   bool // what is lost cannot be connected again
		event  func(*cable)
		told   []string
		state  State
	}{
		{"lost", nil, false, cut, []string{"closed: cable cut"}, StateDisconnected},
		{"lost, with policy", once, false, cut, []string{"reconnecting: cable cut", "reconnected"}, StateConnected},
		{"lost, and down", once, true, cut, []string{"reconnecting: cable cut", "closed: signalr: reconnect given up after 1 failed attempts and 1s: down"}, StateDisconnected},
		{"closed for good", once, false, closeWith("", false), []string{"closed: <nil>"}, StateDisconnected},
		{"closed for good by an error", once, false, closeWith("bad", false), []string{"closed: the server closed the connection with the error: bad"}, StateDisconnected},
		{"closed", nil, false, closeWith("", true), []string{"closed: signalr: the server has closed the connection"}, StateDisconnected},
		{"closed, with policy", once, false, closeWith("", true), []string{"reconnecting: signalr: the server has closed the connection", "reconnected"}, StateConnected},
		{"closed by an error, with policy", once, false, closeWith("bad", true), []string{"reconnecting: the server closed the connection with the error: bad", "reconnected"}, StateConnected},
		{"ended regularly", nil, false, func(s *cable) { s.Abort(nil) }, []string{"closed: <nil>"}, StateDisconnected},
		{"nonsense", nil, false, func(s *cable) { s.receive([]byte("nonsense\x1e")) }, nil, StateDisconnected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []string
				var c *Client
				c, s := cableClient(t, ClientOptions{
					Reconnect: tc.policy, ServerTimeout: -1,
					OnReconnecting: func(err error) {
						told = append(told, fmt.Sprint("reconnecting: ", err))
						if c.State() != StateReconnecting || c.ConnectionID() != "" {
							t.Errorf("reconnecting in state %v", c.State())
						}
						if err := c.Send(t.Context(), "X"); !errors.Is(err, ErrNotConnected) {
							t.Errorf("while reconnecting: %v", err)
						}
						if err := c.Start(t.Context()); !errors.Is(err, ErrStarted) {
							t.Errorf("while reconnecting: %v", err)
						}
					},
					OnReconnected: func(id string) {
						told = append(told, "reconnected")
						if c.State() != StateConnected || id != "c1" {
							t.Errorf("reconnected as %q in state %v", id, c.State())
						}
					},
					OnClosed: func(err error) {
						told = append(told, fmt.Sprint("closed: ", err))
						if c.State() != StateDisconnected {
							t.Errorf("closed in state %v", c.State())
						}
					},
				})
				events := 0
				c.On("Event", func() { events++ })
				event := wire.Message{Type: wire.Invocation, Target: "Event", Arguments: []wire.Raw{}}
				if err := c.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 2)
				go func() { ended <- c.Invoke(context.Background(), "Call", nil) }()
				go func() {
					_, err := collect(Stream[int](context.Background(), c, "Stream"), 0)
					ended <- err
				}()
				synctest.Wait()
				s.say(event)
				synctest.Wait()
				s.mu.Lock()
				if tc.down {
					s.fail = errors.New("down")
				}
				s.mu.Unlock()
				tc.event(s)
				for range 2 {
					if err := <-ended; !errors.Is(err, ErrConnectionClosed) {
						t.Errorf("a call under way: %v", err)
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if tc.told != nil && !slices.Equal(told, tc.told) || c.State() != tc.state {
					t.Errorf("told %q, want %q; state %v", told, tc.told, c.State())
				}
				if c.State() == StateDisconnected {
					s.mu.Lock()
					s.fail = nil
					s.mu.Unlock()
					if err := c.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				s.say(event)
				synctest.Wait()
				if events != 2 {
					t.Errorf("%d events, want 2: handlers stay", events)
				}
				_ = c.Stop(t.Context())
			})
		})
	}
}

// TestClientStopWhileReconnecting: Stop ends the waiting, without an error.
func TestClientStopWhileReconnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		c, s := connectCable(t, ClientOptions{
			Reconnect:     func(Retry) (time.Duration, bool) { return time.Hour, true },
			OnReconnected: func(string) { told = append(told, "reconnected") },
			OnClosed:      func(err error) { told = append(told, fmt.Sprint("closed: ", err)) },
		})
		s.Abort(errors.New("cable cut"))
		synctest.Wait()
		start := time.Now()
		if err := c.Stop(t.Context()); err != nil || time.Since(start) != 0 || c.State() != StateDisconnected {
			t.Errorf("Stop: %v after %v, %v", err, time.Since(start), c.State())
		}
		synctest.Wait()
		if !slices.Equal(told, []string{"closed: <nil>"}) {
			t.Errorf("told %q", told)
		}
		if err := c.Start(t.Context()); err != nil || c.State() != StateConnected {
			t.Errorf("Start after Stop: %v, %v", err, c.State())
		}
		_ = c.Stop(t.Context())
	})
}

// TestClientStartFails: nothing is tried again, and no callback told.
func TestClientStartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		c, s := cableClient(t, ClientOptions{
			Reconnect: func(Retry) (time.Duration, bool) { attempts++; return 0, true },
			OnClosed:  func(error) { attempts++ },
		})
		s.fail = errors.New("down")
		if err := c.Start(t.Context()); !errors.Is(err, s.fail) || c.State() != StateDisconnected {
			t.Errorf("%v, %v", err, c.State())
		}
		time.Sleep(time.Minute)
		if attempts > 0 {
			t.Errorf("%d attempts", attempts)
		}
	})
}

// TestClientStopFromCallbacks: callbacks may stop and start the client.
func TestClientStopFromCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Client
		starts := 0
		c, s := cableClient(t, ClientOptions{
			ServerTimeout:  -1,
			Reconnect:      func(Retry) (time.Duration, bool) { return time.Second, true },
			OnReconnecting: func(error) { _ = c.Stop(context.Background()) },
			OnClosed: func(error) {
				if starts++; starts < 3 {
					_ = c.Start(context.Background())
				}
			},
		})
		_ = c.Start(t.Context())
		s.Abort(errors.New("cable cut")) // OnReconnecting, OnClosed, Start
		time.Sleep(time.Minute)
		if c.State() != StateConnected || starts != 1 {
			t.Errorf("%v, closed %d times", c.State(), starts)
		}
		starts = 3
		_ = c.Stop(t.Context())
	})
}

// TestClientGivesUpCalls: the end of its context ends a call at once; the
// server is told once, what comes late is passed over, and the items of a
// stream until its completion.
func TestClientGivesUpCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connectCable(t, ClientOptions{})
		for _, stream := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				if stream {
					_, err := collect(Stream[int](ctx, c, "Wait"), 0)
					ended <- err
				} else {
					ended <- c.Invoke(ctx, "Wait", nil)
				}
			}()
			asked := s.heard()
			id := asked[0].InvocationID
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("stream %v: %v", stream, err)
			}
			if got := s.heard(); len(got) != 1 || got[0].Type != wire.CancelInvocation || got[0].InvocationID != id {
				t.Errorf("stream %v: heard %v", stream, got)
			}
			item := wire.Message{Type: wire.StreamItem, InvocationID: id, Item: wire.Raw("1")}
			if stream {
				s.say(item, item, item)
			}
			s.say(wire.Message{Type: wire.Completion, InvocationID: id, HasResult: !stream, Result: wire.Raw("1")})
			s.say(wire.Message{Type: wire.Completion, InvocationID: id}) // once more
			s.say(item)
			synctest.Wait()
			c.mu.Lock()
			k := c.conn
			c.mu.Unlock()
			k.mu.Lock()
			if k.waiting != 0 || len(k.calls) != 0 || c.State() != StateConnected {
				t.Errorf("stream %v: %d items wait, %d calls, %v", stream, k.waiting, len(k.calls), c.State())
			}
			k.mu.Unlock()
		}
		_ = c.Stop(t.Context())
	})
}

// TestClientUploads: several uploads of one call at once, each to its own
// stream.
func TestClientUploads(t *testing.T) {
	hub := newClientHub(HubOptions{})
	Handle(hub, "Pair", func(a, b iter.Seq2[int, error], c iter.Seq2[string, error]) (string, error) {
		x, err1 := collect(a, 0)
		y, err2 := collect(b, 0)
		z, err3 := collect(c, 0)
		return fmt.Sprint(len(x), len(y), z), errors.Join(err1, err2, err3)
	})
	c := startClient(t, serveHub(t, hub), ClientOptions{})
	count := func(n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
		}
	}
	var s string
	if err := c.Invoke(t.Context(), "Pair", &s, count(300), count(0), uploadOf(nil, "a", "b")); err != nil || s != "300 0 [a b]" {
		t.Errorf("%q, %v", s, err)
	}
}
