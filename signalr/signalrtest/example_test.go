package signalrtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// t stands for what a test function gets.
var t testing.TB = exampleT{}

type exampleT struct{ testing.TB }

func (exampleT) Helper()                   {}
func (exampleT) Cleanup(func())            {}
func (exampleT) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// A client of a hub, in memory.
func ExampleConnect() {
	hub := signalr.NewHub("chat", signalr.HubOptions{})
	signalr.Handle(hub, "Say", func(ctx context.Context, c *signalr.Conn, text string) (int, error) {
		return len(text), c.Others().Send(ctx, "Said", text)
	})
	alice, bob := signalrtest.Connect(t, hub), signalrtest.Connect(t, hub)
	defer alice.Cut()
	defer bob.Cut()
	fmt.Println(signalrtest.Invoke[int](alice, "Say", "hello"))
	fmt.Println(bob.Expect("Said").Args[0])
	// Output:
	// 5
	// "hello"
}

// TestFakeTime is an example too: in a bubble of testing/synctest minutes pass
// at once. Here a client that has gone silent is found out.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		hub := signalr.NewHub("chat", signalr.HubOptions{
			ClientTimeoutInterval: time.Minute,
			OnDisconnected:        func(_ context.Context, _ *signalr.Conn, cause error) { ended <- cause },
		})
		client := signalrtest.Connect(t, hub)
		client.Ping() // and then no more
		began := time.Now()
		if cause := <-ended; !errors.Is(cause, signalr.ErrClientTimeout) {
			t.Errorf("the connection ended because of %v", cause)
		}
		if silence := time.Since(began); silence < time.Minute || silence > time.Minute+2*time.Second {
			t.Errorf("the connection ended after %v", silence)
		}
	})
}
