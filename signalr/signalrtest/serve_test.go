package signalrtest_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// TestServe: a client over each transport, through middleware, lives by fake
// time, and comes back when the network has failed.
func TestServe(t *testing.T) {
	for _, kind := range []signalr.Transport{signalr.WebSockets, signalr.ServerSentEvents, signalr.LongPolling} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testServe(t, kind) })
		})
	}
}

func testServe(t *testing.T, kind signalr.Transport) {
	hub := newHub()
	signalr.Handle(hub, "Sum", func(numbers iter.Seq2[int, error]) (sum int) {
		for n := range numbers {
			sum += n
		}
		return sum
	})
	server := signalrtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		hub.ServeHTTP(w, r)
	}))
	var refused *signalr.StatusError
	stranger := signalr.NewClient(server.URL, signalr.ClientOptions{HTTPClient: server.HTTPClient})
	if err := stranger.Start(t.Context()); !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Errorf("a stranger: %v", err)
	}
	reconnected := make(chan string, 1)
	client := signalr.NewClient(server.URL, signalr.ClientOptions{
		HTTPClient: server.HTTPClient, Transports: []signalr.Transport{kind}, Reconnect: signalr.DefaultReconnect,
		Token:         func(context.Context) (string, error) { return "secret", nil },
		OnReconnected: func(id string) { reconnected <- id },
	})
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	sum := func() {
		t.Helper()
		var sum int
		numbers := func(yield func(int, error) bool) { _ = yield(2, nil) && yield(40, nil) }
		if err := client.Invoke(t.Context(), "Sum", &sum, iter.Seq2[int, error](numbers)); err != nil || sum != 42 {
			t.Errorf("Sum: %d, %v", sum, err)
		}
	}
	sum()
	began, id := time.Now(), client.ConnectionID()
	const idle = time.Hour + time.Second // of keep-alives, and in the middle of a poll
	time.Sleep(idle)
	if client.ConnectionID() != id || time.Since(began) != idle {
		t.Errorf("the connection was lost within %v", time.Since(began))
	}
	server.Cut()
	select {
	case again := <-reconnected:
		if again == id {
			t.Error("reconnected under the old id")
		}
	case <-time.After(time.Minute):
		t.Fatal("the client did not come back")
	}
	sum()
	if err := client.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := hub.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
