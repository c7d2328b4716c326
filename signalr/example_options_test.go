package signalr_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

type userKey struct{}

// Authentication is middleware around the hub. What it puts into the context of
// the request is in the contexts of the connection, and UserID names the user by
// it, so that User reaches all connections of one.
func ExampleHubOptions_authentication() {
	hub := signalr.NewHub("mail", signalr.HubOptions{
		UserID: func(ctx context.Context) string { user, _ := ctx.Value(userKey{}).(string); return user },
	})
	signalr.Handle(hub, "WhoAmI", func(c *signalr.Conn) string { return c.UserID() })
	signalr.Handle(hub, "Write", func(ctx context.Context, c *signalr.Conn, to, text string) error {
		return said.Send(ctx, hub.User(to), c.UserID()+": "+text)
	})
	authenticated := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer token-of-")
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		hub.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
	server := httptest.NewServer(authenticated)
	defer server.Close()

	client := signalr.NewClient(server.URL, signalr.ClientOptions{
		Token: func(context.Context) (string, error) { return "token-of-alice", nil },
	})
	heard := make(chan string)
	said.On(client, func(_ context.Context, text string) { heard <- text })
	ctx := context.Background()
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Stop(ctx) }()
	fmt.Println(client.Invoke(ctx, "Write", nil, "alice", "hello"), <-heard)

	stranger := signalr.NewClient(server.URL, signalr.ClientOptions{})
	fmt.Println(stranger.Start(ctx) != nil)
	// Output:
	// <nil> alice: hello
	// true
}

// Who comes and goes: callbacks of the hub, with values that live as long as the
// connection. In a test, the context stands for what middleware has found out.
func ExampleHubOptions_connections() {
	hub := signalr.NewHub("doors", signalr.HubOptions{
		OnConnected: func(ctx context.Context, c *signalr.Conn) error {
			name, ok := ctx.Value(userKey{}).(string)
			if !ok {
				return signalr.Errorf("who are you?")
			}
			c.Items().Store("name", name)
			return nil
		},
		OnDisconnected: func(_ context.Context, c *signalr.Conn, cause error) {
			name, _ := c.Items().Load("name")
			fmt.Println(name, "has gone:", cause)
		},
	})
	signalr.Handle(hub, "Name", func(c *signalr.Conn) any { name, _ := c.Items().Load("name"); return name })

	alice := signalrtest.Connect(t, hub, signalrtest.Options{Context: context.WithValue(context.Background(), userKey{}, "alice")})
	fmt.Println(signalrtest.Invoke[string](alice, "Name"))
	alice.Stop()

	nobody := signalrtest.Connect(t, hub)
	fmt.Println(nobody.WaitEnd().Error)
	_ = hub.Shutdown(context.Background()) // waits for the callbacks
	// Unordered output:
	// alice
	// alice has gone: <nil>
	// Connection closed with an error. HubException: who are you?
}

// Credentials that end: the connection is closed then, unless the client, like
// those of .NET 11, shows a newer one first.
func ExampleHubOptions_expiry() {
	type endKey struct{}
	hub := signalr.NewHub("vault", signalr.HubOptions{
		AuthenticationExpires: func(ctx context.Context) time.Time { end, _ := ctx.Value(endKey{}).(time.Time); return end },
		AuthenticationRefresh: true,
	})
	ctx := context.WithValue(context.Background(), endKey{}, time.Now().Add(10*time.Millisecond))
	client := signalrtest.Connect(t, hub, signalrtest.Options{Context: ctx})
	fmt.Println("come back:", client.WaitEnd().AllowReconnect)
	// Output: come back: true
}

// With Wait a client that is slower than its sender holds the sender up, for a
// while; memory is bounded all the same.
func ExampleWait() {
	hub := signalr.NewHub("feed", signalr.HubOptions{QueueMessages: 100, SlowClient: signalr.Wait(10 * time.Second)})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	const all = 5_000
	for range all {
		if err := hub.All().Send(context.Background(), "News", strings.Repeat("x", 100)); err != nil {
			fmt.Println(err)
		}
	}
	for range all {
		client.Expect("News")
	}
	fmt.Println("nothing is lost")
	// Output: nothing is lost
}

// Hubs of one name on one backplane are one hub. Here both are in one process;
// another Backplane joins servers.
func ExampleMemoryBackplane() {
	var backplane signalr.MemoryBackplane
	servers := make([]*signalr.Hub, 2)
	for i := range servers {
		servers[i] = signalr.NewHub("chat", signalr.HubOptions{Backplane: &backplane})
	}
	client := signalrtest.Connect(t, servers[1])
	defer client.Cut()
	if err := said.Send(context.Background(), servers[0].All(), "hello from the other server"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(client.Expect("Said").Args[0])
	// Output: "hello from the other server"
}

// Names known at run time only: messages and calls without a declaration.
func ExampleHub_Invoke() {
	hub := signalr.NewHub("devices", signalr.HubOptions{})
	signalr.Handle(hub, "Register", func(c *signalr.Conn) string { return c.ID() })
	device := signalrtest.Connect(t, hub)
	defer device.Cut()
	device.Answer("ReadSensor", func(args []signalrtest.Value) (any, error) { return 21.5, nil })

	id := signalrtest.Invoke[string](device, "Register")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // the library sets no time limit
	defer cancel()
	var degrees float64
	err := hub.Invoke(ctx, id, "ReadSensor", &degrees, "kitchen")
	fmt.Println(degrees, err)
	// Output: 21.5 <nil>
}
