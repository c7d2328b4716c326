package signalrtest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

type point struct{ X, Y int }

func newHub() *signalr.Hub {
	hub := signalr.NewHub("test", signalr.HubOptions{})
	signalr.Handle(hub, "Add", func(a, b int) int { return a + b })
	signalr.Handle(hub, "Flip", func(p point) point { return point{p.Y, p.X} })
	signalr.Handle(hub, "Fail", func() error { return signalr.Errorf("on purpose") })
	signalr.Handle(hub, "Tell", func(ctx context.Context, c *signalr.Conn, s string) error {
		return c.Caller().Send(ctx, "Told", s, 7)
	})
	signalr.Handle(hub, "Count", func(ctx context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 0; n < 0 || i < n; i++ {
				if !yield(i, nil) {
					return
				}
			}
		}
	})
	signalr.Handle(hub, "Ask", func(ctx context.Context, c *signalr.Conn) (string, error) {
		return signalr.NewQuery[int, string]("Name").Ask(ctx, c.Caller(), 5)
	})
	return hub
}

func TestClient(t *testing.T) {
	for _, o := range []signalrtest.Options{{}, {MessagePack: true}} {
		t.Run(fmt.Sprintf("MessagePack=%v", o.MessagePack), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testClient(t, o) })
		})
	}
}

func testClient(t *testing.T, o signalrtest.Options) {
	hub := newHub()
	c := signalrtest.Connect(t, hub, o)
	if got := signalrtest.Invoke[int](c, "add", 2, 40); got != 42 {
		t.Errorf("Add: %d", got)
	}
	if got := signalrtest.Invoke[point](c, "Flip", point{1, 2}); got != (point{2, 1}) {
		t.Errorf("Flip: %v", got)
	}
	if _, err := c.Call("Fail"); err == nil || err.Error() != "An unexpected error occurred invoking 'Fail' on the server. HubException: on purpose" {
		t.Errorf("Fail: %v", err)
	}
	c.Send("Tell", "x")
	m := c.Expect("Told")
	var s string
	if err := m.Decode(&s); err != nil || s != "x" || len(m.Args) != 2 {
		t.Errorf("Told: %v %v", m, err)
	}
	stream, item, sum := c.Stream("Count", 4), 0, 0
	for stream.Next(&item) {
		sum += item
	}
	if err := stream.Err(); err != nil || sum != 6 {
		t.Errorf("Count: %v %v", sum, err)
	}
	endless := c.Stream("Count", -1)
	if !endless.Next(&item) {
		t.Error("Count(-1) has no items")
	}
	endless.Cancel()
	if err := endless.Err(); err != nil {
		t.Errorf("cancelled stream: %v", err)
	}
	c.Answer("Name", func(args []signalrtest.Value) (any, error) {
		var n int
		return "client " + args[0].String(), errors.Join(args[0].Decode(&n))
	})
	if got := signalrtest.Invoke[string](c, "Ask"); got != "client 5" {
		t.Errorf("Ask: %q", got)
	}
	c.Stop()
	if hub.Count() != 0 {
		t.Error("the hub still has the connection")
	}
	late := signalrtest.Connect(t, hub, o)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := hub.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if closed := late.WaitEnd(); closed == nil || !closed.AllowReconnect {
		t.Errorf("Close at shutdown: %+v", closed)
	}
}

// TestPause: a client that does not read is held up, and then cut off like one
// on a network.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		hub := signalr.NewHub("test", signalr.HubOptions{
			SendTimeout:    5 * time.Second,
			OnDisconnected: func(_ context.Context, _ *signalr.Conn, cause error) { ended <- cause },
		})
		c := signalrtest.Connect(t, hub)
		send := func() {
			for range 200 {
				if err := hub.All().Send(t.Context(), "M", make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Pause()
		goOn := c.Pause() // twice is once
		send()
		time.Sleep(4 * time.Second)
		goOn()
		for range 200 {
			c.Expect("M")
		}
		c.Pause()
		send()
		began := time.Now()
		if cause := <-ended; !errors.Is(cause, signalr.ErrSlowClient) || time.Since(began) != 5*time.Second {
			t.Errorf("ended after %v because of %v", time.Since(began), cause)
		}
	})
}
