package signalr_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/knnlabs/conduit/signalr"
)

// Progress is declared once: the hub sends with it, the client listens with it.
var Progress = signalr.NewEvent[ProgressEvent]("Progress")

type ProgressEvent struct {
	Task     string `json:"task"`
	Progress int    `json:"progress"`
}

// A client of a hub, in a few lines: listen, start, call.
func ExampleClient() {
	url, stop := exampleHub()
	defer stop()

	client := signalr.NewClient(url, signalr.ClientOptions{Reconnect: signalr.DefaultReconnect})
	done := make(chan struct{})
	Progress.On(client, func(ctx context.Context, e ProgressEvent) {
		fmt.Println(e.Task, e.Progress, "%")
		if e.Progress == 100 {
			close(done)
		}
	})
	if err := client.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	var answer string
	if err := client.Invoke(context.Background(), "Watch", &answer, "boat"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
	<-done
	_ = client.Stop(context.Background())
	// Unordered output:
	// watching boat
	// boat 50 %
	// boat 100 %
}

// A stream from the hub is a range loop; leaving it cancels the stream.
func ExampleStream() {
	url, stop := exampleHub()
	defer stop()

	client := signalr.NewClient(url, signalr.ClientOptions{})
	if err := client.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Stop(context.Background()) }()
	for n, err := range signalr.Stream[int](context.Background(), client, "Count", 1_000_000) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n)
		if n == 3 {
			break
		}
	}
	// Output:
	// 1
	// 2
	// 3
}

// exampleHub serves a hub with the methods of the examples.
func exampleHub() (url string, stop func()) {
	hub := signalr.NewHub("example", signalr.HubOptions{})
	signalr.Handle(hub, "Watch", func(ctx context.Context, c *signalr.Conn, task string) (string, error) {
		for _, p := range []int{50, 100} {
			if err := Progress.Send(ctx, c.Caller(), ProgressEvent{task, p}); err != nil {
				return "", err
			}
		}
		return "watching " + task, nil
	})
	signalr.Handle(hub, "Count", func(n int) (out func(yield func(int, error) bool)) {
		return func(yield func(int, error) bool) {
			for i := 1; i <= n && yield(i, nil); i++ {
			}
		}
	})
	server := httptest.NewServer(hub)
	return server.URL, func() {
		_ = hub.Shutdown(context.Background())
		server.Close()
	}
}
