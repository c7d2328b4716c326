package signalr_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"net/http/httptest"
	"slices"

	"github.com/knnlabs/conduit/signalr"
)

// items makes a stream of values, as both ends use them.
func items[T any](values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v := range slices.Values(values) {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// connected serves a hub and connects a client to it.
func connected(hub *signalr.Hub, listen func(*signalr.Client)) (client *signalr.Client, stop func()) {
	server := httptest.NewServer(hub)
	client = signalr.NewClient(server.URL, signalr.ClientOptions{})
	if listen != nil {
		listen(client)
	}
	if err := client.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	return client, func() {
		_ = client.Stop(context.Background())
		_ = hub.Shutdown(context.Background())
		server.Close()
	}
}

// A parameter that is a sequence is a stream from the caller. It is read as it
// comes; what is not read holds the caller back.
func ExampleHandle_upload() {
	hub := signalr.NewHub("uploads", signalr.HubOptions{})
	signalr.Handle(hub, "Sum", func(numbers iter.Seq2[int, error]) (sum int, err error) {
		for n, err := range numbers {
			if err != nil {
				return 0, err // the caller broke it off, or is gone
			}
			sum += n
		}
		return sum, nil
	})
	client, stop := connected(hub, nil)
	defer stop()
	var sum int
	if err := client.Invoke(context.Background(), "Sum", &sum, items(1, 2, 39)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum)
	// Output: 42
}

// Streams in both directions at once.
func ExampleHandle_both() {
	hub := signalr.NewHub("running totals", signalr.HubOptions{})
	signalr.Handle(hub, "Totals", func(numbers iter.Seq2[int, error]) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			total := 0
			for n, err := range numbers {
				total += n
				if !yield(total, err) {
					return
				}
			}
		}
	})
	client, stop := connected(hub, nil)
	defer stop()
	for total, err := range signalr.Stream[int](context.Background(), client, "Totals", items(1, 2, 3)) {
		fmt.Println(total, err)
	}
	// Output:
	// 1 <nil>
	// 3 <nil>
	// 6 <nil>
}

// A client answers the queries of the hub with the same declaration that the
// hub asks with.
func ExampleQuery_Answer() {
	hub := signalr.NewHub("questions", signalr.HubOptions{})
	signalr.Handle(hub, "AskMe", func(ctx context.Context, c *signalr.Conn) (string, error) {
		return favourite.Ask(ctx, c.Caller(), "colour")
	})
	client, stop := connected(hub, func(c *signalr.Client) {
		favourite.Answer(c, func(_ context.Context, what string) (string, error) { return what + ": blue", nil })
	})
	defer stop()
	var answer string
	if err := client.Invoke(context.Background(), "AskMe", &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
	// Output: colour: blue
}

// A call that nobody waits for any more is cancelled at the hub.
func ExampleHandle_cancel() {
	begun, cancelled := make(chan struct{}), make(chan struct{})
	hub := signalr.NewHub("patience", signalr.HubOptions{})
	signalr.Handle(hub, "Wait", func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		close(cancelled)
		return ctx.Err()
	})
	client, stop := connected(hub, nil)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-begun
		cancel()
	}()
	fmt.Println(client.Invoke(ctx, "Wait", nil))
	<-cancelled
	// Output: context canceled
}

// When the network fails, a client with a policy comes back by itself, as a new
// connection: join groups anew in OnReconnected. With StatefulReconnect, and a
// hub that allows it, the connection itself survives.
func ExampleDefaultReconnect() {
	options := signalr.ClientOptions{
		Reconnect:         signalr.DefaultReconnect,
		StatefulReconnect: true,
	}
	_ = signalr.NewClient("https://example.test/chat", options)
	for previous := range 5 {
		fmt.Println(options.Reconnect(signalr.Retry{Previous: previous}))
	}
	// Output:
	// 0s true
	// 2s true
	// 10s true
	// 30s true
	// 0s false
}
