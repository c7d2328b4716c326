package signalr_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"net/http/httptest"
	"slices"
	"strings"

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

// Several streams of one call: parameters that are sequences take the caller's
// streams in order, whatever arguments stand between them.
func ExampleHandle_uploads() {
	hub := signalr.NewHub("scales", signalr.HubOptions{})
	signalr.Handle(hub, "Weigh", func(left iter.Seq2[int, error], unit string, right iter.Seq2[int, error]) (string, error) {
		balance := 0
		for n, err := range left {
			if err != nil {
				return "", err
			}
			balance += n
		}
		for n, err := range right {
			if err != nil {
				return "", err
			}
			balance -= n
		}
		return fmt.Sprintf("%d %s", balance, unit), nil
	})
	client, stop := connected(hub, nil)
	defer stop()
	var balance string
	if err := client.Invoke(context.Background(), "Weigh", &balance, items(20, 30), "kg", items(8)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(balance)
	// Output: 42 kg
}

// Calls of one client run one at a time unless the hub says otherwise. Here the
// first waits for the second.
func ExampleHubOptions_parallel() {
	hub := signalr.NewHub("meeting", signalr.HubOptions{MaximumParallelInvocationsPerClient: 2})
	met := make(chan string)
	signalr.Handle(hub, "Meet", func(ctx context.Context, me string) (string, error) {
		select {
		case met <- me:
			return "", nil
		case other := <-met:
			return me + " and " + other, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	client, stop := connected(hub, nil)
	defer stop()
	answers := make(chan string, 2)
	for range 2 {
		go func() {
			var answer string
			if err := client.Invoke(context.Background(), "Meet", &answer, "I"); err != nil {
				log.Print(err)
			}
			answers <- answer
		}()
	}
	fmt.Println(<-answers + <-answers)
	// Output: I and I
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

// The official clients' policy, as a value; any function like it will do.
func ExampleDefaultReconnect() {
	for previous := range 5 {
		fmt.Println(signalr.DefaultReconnect(signalr.Retry{Previous: previous}))
	}
	// Output:
	// 0s true
	// 2s true
	// 10s true
	// 30s true
	// 0s false
}

// Handlers of names that are known at run time only: arguments as the server
// sends them, and a result where it asks for one.
func ExampleClient_On() {
	hub := signalr.NewHub("devices", signalr.HubOptions{})
	signalr.Handle(hub, "Ready", func(ctx context.Context, c *signalr.Conn) (answer string, err error) {
		if err := c.Caller().Send(ctx, "Show", "hello", 3); err != nil {
			return "", err
		}
		return answer, hub.Invoke(ctx, c.ID(), "Serial", &answer)
	})
	shown := make(chan string, 1)
	client, stop := connected(hub, func(c *signalr.Client) {
		c.On("Show", func(text string, times int) { shown <- strings.Repeat(text, times) })
		c.On("Serial", func() (string, error) { return "4711", nil })
	})
	defer stop()
	var answer string
	if err := client.Invoke(context.Background(), "Ready", &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-shown, answer)
	// Output: hellohellohello 4711
}
