package signalr_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// said is a message to clients, and its payload.
var said = signalr.NewEvent[string]("Said")

// A hub is an http.Handler; its methods are what was registered.
func Example_hub() {
	hub := signalr.NewHub("chat", signalr.HubOptions{})
	signalr.Handle(hub, "Say", func(ctx context.Context, c *signalr.Conn, text string) error {
		if text == "" {
			return signalr.Errorf("there is nothing to say")
		}
		return said.Send(ctx, hub.All(), text)
	})
	signalr.Handle(hub, "Add", func(a, b int) int { return a + b })

	mux := http.NewServeMux()
	mux.Handle("/chat", hub)
	mux.Handle("/chat/", hub)

	for _, m := range hub.Describe().Methods {
		fmt.Println(m.Name, m.Arguments, m.Result)
	}
	// Output:
	// Add [int int] int
	// Say [string] <nil>
}

// Shutdown tells clients to come back, which they do to another server, spread
// over a time, and waits until everything has ended.
func ExampleHub_Shutdown() {
	hub := signalr.NewHub("chat", signalr.HubOptions{ShutdownWindow: 100 * time.Millisecond})
	client := signalrtest.Connect(t, hub)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fmt.Println(hub.Shutdown(ctx))
	fmt.Println("come back:", client.WaitEnd().AllowReconnect)
	// Output:
	// <nil>
	// come back: true
}
