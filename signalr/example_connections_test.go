package signalr_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// cleaner is a T that collects what is to be done at the end.
type cleaner struct {
	exampleT
	todo []func()
}

func (c *cleaner) Cleanup(f func()) { c.todo = append(c.todo, f) }

// served serves a hub, or what is around it, in memory.
func served(handler http.Handler) (server *signalrtest.Server, stop func()) {
	var c cleaner
	server = signalrtest.Serve(&c, handler)
	return server, func() {
		for _, f := range c.todo {
			f()
		}
	}
}

// A connection is ended by Abort, which clients take for good, or by Close, with
// a word of why and leave to come back.
func ExampleConn_Abort() {
	hub := signalr.NewHub("bouncer", signalr.HubOptions{})
	signalr.Handle(hub, "Leave", func(c *signalr.Conn) { c.Abort() })
	signalr.Handle(hub, "Misbehave", func(c *signalr.Conn) { c.Close("come back sober", true) })
	for _, method := range []string{"Leave", "Misbehave"} {
		client := signalrtest.Connect(t, hub)
		client.Send(method)
		end := client.WaitEnd()
		fmt.Printf("%q %t\n", end.Error, end.AllowReconnect)
	}
	// Output:
	// "" false
	// "come back sober" true
}

// Each hub has its own choice of transports and protocols.
func ExampleHubOptions_transports() {
	hub := signalr.NewHub("ticker", signalr.HubOptions{
		Transports: []signalr.Transport{signalr.ServerSentEvents, signalr.LongPolling},
		Protocols:  []string{"json"},
	})
	signalr.Handle(hub, "How", func(c *signalr.Conn) string { return c.Transport().String() })
	server, stop := served(hub)
	defer stop()
	client := signalr.NewClient(server.URL, signalr.ClientOptions{HTTPClient: server.HTTPClient})
	if err := client.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Stop(context.Background()) }()
	var how string
	fmt.Println(client.Invoke(context.Background(), "How", &how), how)
	// Output: <nil> ServerSentEvents
}

// CORS is middleware like any other. The official client sends credentials, so
// the origin has to be named; "*" does not do.
func ExampleHub_ServeHTTP_cors() {
	hub := signalr.NewHub("chat", signalr.HubOptions{})
	allowed := map[string]bool{"https://app.example": true}
	cors := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if origin := r.Header.Get("Origin"); allowed[origin] {
				w.Header().Set("Access-Control-Allow-Origin", origin)
				w.Header().Set("Access-Control-Allow-Credentials", "true")
				w.Header().Add("Vary", "Origin")
			} else if origin != "" && r.Header.Get("Upgrade") != "" {
				w.WriteHeader(http.StatusForbidden) // browsers ask nobody before a WebSocket
				return
			}
			if r.Method == http.MethodOptions {
				w.Header().Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
				w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Requested-With, X-SignalR-User-Agent")
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/chat", cors(hub))
	mux.Handle("/chat/", cors(hub))

	for _, origin := range []string{"https://app.example", "https://evil.example"} {
		r := httptest.NewRequest(http.MethodOptions, "/chat/negotiate", nil)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Access-Control-Allow-Origin"))
	}
	// Output:
	// 204 "https://app.example"
	// 204 ""
}

// A client that does not read is closed, and neither its sender nor the others
// notice.
func ExampleClose() {
	gone := make(chan error, 1)
	hub := signalr.NewHub("feed", signalr.HubOptions{
		QueueMessages:  100,
		QueueBytes:     64 << 10,
		SlowClient:     signalr.Close(), // the default
		OnDisconnected: func(_ context.Context, _ *signalr.Conn, cause error) { gone <- cause },
	})
	signalr.Handle(hub, "WhoAmI", func(c *signalr.Conn) string { return c.ID() })
	client := signalrtest.Connect(t, hub)
	conn := hub.Connection(signalrtest.Invoke[string](client, "WhoAmI"))
	goOn := client.Pause()
	for conn.Context().Err() == nil { // it is open
		if err := hub.All().Send(context.Background(), "News", make([]byte, 1000)); err != nil {
			fmt.Println(err)
		}
	}
	goOn()
	fmt.Println(client.WaitEnd().AllowReconnect, errors.Is(<-gone, signalr.ErrSlowClient))
	// Output: true true
}

// When the network fails, a client with a policy comes back by itself, as a new
// connection: groups are joined anew in OnReconnected.
func ExampleClientOptions_reconnect() {
	ctx := context.Background()
	hub := signalr.NewHub("rooms", signalr.HubOptions{})
	signalr.Handle(hub, "Enter", func(ctx context.Context, c *signalr.Conn) error { return c.Join(ctx, "room") })
	server, stop := served(hub)
	defer stop()

	back, closed := make(chan struct{}), make(chan error)
	var client *signalr.Client
	enter := func() {
		if err := client.Invoke(ctx, "Enter", nil); err != nil {
			log.Print(err)
		}
	}
	client = signalr.NewClient(server.URL, signalr.ClientOptions{
		HTTPClient:     server.HTTPClient,
		Reconnect:      signalr.DefaultReconnect, // or a function of your own
		OnReconnecting: func(cause error) { fmt.Println("lost:", cause != nil) },
		OnReconnected:  func(connectionID string) { enter(); close(back) },
		OnClosed:       func(cause error) { closed <- cause },
	})
	heard := make(chan string, 1)
	said.On(client, func(_ context.Context, text string) { heard <- text })
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	enter()
	server.Cut()
	<-back
	fmt.Println(said.Send(ctx, hub.Group("room"), "welcome back"), <-heard)
	fmt.Println(client.Stop(ctx), <-closed)
	_ = hub.Shutdown(ctx)
	// Output:
	// lost: true
	// <nil> welcome back
	// <nil> <nil>
}

// With stateful reconnect, if both sides want it, the connection itself survives
// its socket: no callback tells of it, nothing is lost, nothing comes twice.
func ExampleClientOptions_stateful() {
	ctx := context.Background()
	hub := signalr.NewHub("rooms", signalr.HubOptions{AllowStatefulReconnects: true})
	signalr.Handle(hub, "WhoAmI", func(c *signalr.Conn) string { return c.ID() })
	server, stop := served(hub)
	defer stop()
	client := signalr.NewClient(server.URL, signalr.ClientOptions{HTTPClient: server.HTTPClient, StatefulReconnect: true})
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Stop(ctx) }()
	var before, after string
	fmt.Println(client.Invoke(ctx, "WhoAmI", &before))
	server.Cut()
	fmt.Println(client.Invoke(ctx, "WhoAmI", &after), before == after)
	// Output:
	// <nil>
	// <nil> true
}

// Some hubs send clients on to another server, with a token for it. Clients
// follow by themselves.
func ExampleRedirect() {
	ctx := context.Background()
	hub := signalr.NewHub("chat", signalr.HubOptions{})
	signalr.Handle(hub, "Token", func(c *signalr.Conn) string { return c.Request().Header.Get("Authorization") })
	mux := http.NewServeMux()
	mux.Handle("/there/chat", hub)
	mux.Handle("/there/chat/", hub)
	mux.HandleFunc("POST /chat/negotiate", func(w http.ResponseWriter, r *http.Request) {
		signalr.Redirect(w, r, "http://"+r.Host+"/there/chat", "token for there")
	})
	server, stop := served(mux)
	defer stop()
	client := signalr.NewClient(server.URL+"/chat", signalr.ClientOptions{HTTPClient: server.HTTPClient})
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Stop(ctx) }()
	var token string
	fmt.Println(client.Invoke(ctx, "Token", &token), token)
	// Output: <nil> Bearer token for there
}

// A client shows a new credential before the old one ends, and lives on.
func ExampleClient_Refresh() {
	ctx := context.Background()
	type endKey struct{}
	hub := signalr.NewHub("vault", signalr.HubOptions{
		AuthenticationExpires: func(ctx context.Context) time.Time { end, _ := ctx.Value(endKey{}).(time.Time); return end },
		AuthenticationRefresh: true,
	})
	signalr.Handle(hub, "WhoAmI", func(c *signalr.Conn) string { return c.ID() })
	middleware := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, err := time.Parse("Bearer "+time.RFC3339Nano, r.Header.Get("Authorization"))
		if err != nil || time.Now().After(end) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		hub.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), endKey{}, end)))
	})
	server, stop := served(middleware)
	defer stop()
	life := time.Minute
	client := signalr.NewClient(server.URL, signalr.ClientOptions{
		HTTPClient: server.HTTPClient,
		// Called before every request, and by itself in time before the end.
		Token: func(context.Context) (string, error) { return time.Now().Add(life).Format(time.RFC3339Nano), nil },
	})
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Stop(ctx) }()
	id := client.ConnectionID()
	life = time.Hour
	fmt.Println(client.Refresh(ctx), client.ConnectionID() == id) // or now
	// Output: <nil> true
}
