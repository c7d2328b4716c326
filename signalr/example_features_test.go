package signalr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"testing"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// These examples talk to their hub with a client of package signalrtest. In a
// test of your own, t is what the test function gets.

// t stands for the test.
var t testing.TB = exampleT{}

type exampleT struct{ testing.TB }

func (exampleT) Helper()                   {}
func (exampleT) Cleanup(func())            {}
func (exampleT) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (exampleT) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (exampleT) Output() io.Writer         { return io.Discard }

// An error made with Errorf reaches the caller, any other is masked.
func ExampleErrorf() {
	hub := signalr.NewHub("errors", signalr.HubOptions{})
	signalr.Handle(hub, "Open", func(door string) error {
		if door == "cellar" {
			return errors.New("dial tcp 10.0.0.7:5432: connection refused")
		}
		return signalr.Errorf("the %s is locked", door)
	})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	for _, door := range []string{"door", "cellar"} {
		_, err := client.Call("Open", door)
		fmt.Println(err)
	}
	// Output:
	// An unexpected error occurred invoking 'Open' on the server. HubException: the door is locked
	// An unexpected error occurred invoking 'Open' on the server.
}

// A method that returns a sequence is a stream; it ends when the client cancels.
func ExampleHandle_stream() {
	hub := signalr.NewHub("streams", signalr.HubOptions{})
	signalr.Handle(hub, "CountTo", func(n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 1; i <= n; i++ {
				if !yield(i, nil) {
					return
				}
			}
		}
	})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	numbers := client.Stream("CountTo", 3)
	for n := 0; numbers.Next(&n); {
		fmt.Println(n)
	}
	fmt.Println(numbers.Err())
	// Output:
	// 1
	// 2
	// 3
	// <nil>
}

// Groups are joined by connections, or from outside.
func ExampleConn_Join() {
	hub := signalr.NewHub("rooms", signalr.HubOptions{})
	signalr.Handle(hub, "Enter", func(ctx context.Context, c *signalr.Conn, room string) error {
		if err := c.Join(ctx, room); err != nil {
			return err
		}
		return said.Send(ctx, c.OthersInGroup(room), "somebody has come")
	})
	first, second := signalrtest.Connect(t, hub), signalrtest.Connect(t, hub)
	defer first.Cut()
	defer second.Cut()
	for _, client := range []*signalrtest.Client{first, second} {
		if _, err := client.Call("Enter", "kitchen"); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(first.Expect("Said").Args[0])
	// Output: "somebody has come"
}

type frame struct {
	Film   string `json:"film"`
	Number uint64 `json:"number"`
}

// rendered has a position for each film: what is not above the last one that a
// connection got is dropped. While a client lags, only the newest matters.
var rendered = signalr.NewEvent("Rendered", signalr.EventOptions[frame]{
	Key:        func(f frame) string { return f.Film },
	Position:   func(f frame) uint64 { return f.Number },
	LatestOnly: true,
})

// Who joins with CatchUp has missed nothing and gets nothing twice.
func ExampleConn_CatchUp() {
	hub := signalr.NewHub("films", signalr.HubOptions{})
	latest := frame{"boat", 7} // what the application has stored
	signalr.Handle(hub, "Watch", func(ctx context.Context, c *signalr.Conn, film string) error {
		_, err := c.CatchUp(ctx, film, func(ctx context.Context, j *signalr.Joining) error {
			return rendered.Send(ctx, j.Audience(), latest)
		})
		return err
	})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	if _, err := client.Call("Watch", "boat"); err != nil {
		fmt.Println(err)
	}
	for _, number := range []uint64{7, 6, 8} { // a duplicate, a straggler, a new one
		if err := rendered.Send(context.Background(), hub.Group("boat"), frame{"boat", number}); err != nil {
			fmt.Println(err)
		}
		_, _ = client.Call("Nothing") // its answer comes behind: the client does not lag
	}
	fmt.Println(client.Expect("Rendered").Args[0], client.Expect("Rendered").Args[0])
	// Output: {"film":"boat","number":7} {"film":"boat","number":8}
}

// favourite is asked of clients.
var favourite = signalr.NewQuery[string, string]("Favourite")

// A query asks one client and waits for its answer.
func ExampleQuery_Ask() {
	hub := signalr.NewHub("questions", signalr.HubOptions{})
	signalr.Handle(hub, "AskMe", func(ctx context.Context, c *signalr.Conn) (string, error) {
		return favourite.Ask(ctx, c.Caller(), "colour")
	})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	client.Answer("Favourite", func(args []signalrtest.Value) (any, error) { return "blue", nil })
	fmt.Println(signalrtest.Invoke[string](client, "AskMe"))
	// Output: blue
}

// A filter runs around every call.
func ExampleFilter() {
	hub := signalr.NewHub("filters", signalr.HubOptions{Filters: []signalr.Filter{
		func(ctx context.Context, call *signalr.Call, next func(context.Context) (any, error)) (any, error) {
			if call.Method == "Delete" && call.Conn.UserID() == "" {
				return nil, signalr.Errorf("sign in first")
			}
			return next(ctx)
		},
	}})
	signalr.Handle(hub, "Delete", func() {})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	_, err := client.Call("Delete")
	fmt.Println(err)
	// Output: An unexpected error occurred invoking 'Delete' on the server. HubException: sign in first
}
