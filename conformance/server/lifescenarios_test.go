package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// soon is a policy of reconnecting that does not give up.
func soon(signalr.Retry) (time.Duration, bool) { return 10 * time.Millisecond, true }

// lifeScenarios are more of the life of connections, of reconnecting and of
// credentials, under the names that they have in conformance/js.
var lifeScenarios = map[string]scenario{
	"life: a stop ends the calls under way": func(r *rig, ctx context.Context) {
		c := r.connect()
		failed := make(chan error, 1)
		asked := make(chan struct{})
		c.On("Ask", func(ctx context.Context, _ string) string { close(asked); <-ctx.Done(); return "" })
		go func() { failed <- c.Invoke(ctx, "AskCaller", nil, "?") }()
		next(r, asked)
		r.must(c.Stop(ctx))
		if err := next(r, failed); !errors.Is(err, signalr.ErrConnectionClosed) {
			r.t.Errorf("got %v", err)
		}
		if err := c.Invoke(ctx, "Nothing", nil); !errors.Is(err, signalr.ErrNotConnected) {
			r.t.Errorf("got %v", err)
		}
	},
	"life: many start and stop at once": func(r *rig, ctx context.Context) {
		var work sync.WaitGroup
		for range 10 {
			work.Go(func() {
				c := r.client(r.url)
				if err := errors.Join(c.Start(ctx), c.Invoke(ctx, "Nothing", nil), c.Stop(ctx)); err != nil {
					r.t.Error(err)
				}
			})
		}
		work.Wait()
	},
	"life: a hub that is not there": func(r *rig, ctx context.Context) {
		r.status(r.client(r.root+"/nosuchhub").Start(ctx), http.StatusNotFound)
	},
	"life: a query of the hub is kept": func(r *rig, ctx context.Context) {
		c := r.client(r.url + "?tenant=a%20b&x=1")
		r.must(c.Start(ctx))
		r.must(c.Invoke(ctx, "Nothing", nil))
		r.must(c.Stop(ctx))
		for _, req := range r.front.requests() {
			r.same([]string{req.URL.Query().Get("tenant"), req.URL.Query().Get("x")}, []string{"a b", "1"})
		}
	},
	"life: only WebSockets may do without negotiation": func(r *rig, ctx context.Context) {
		c := r.client(r.url, func(o *signalr.ClientOptions) { o.SkipNegotiation = true })
		err := c.Start(ctx)
		if r.opts.Transports[0] != signalr.WebSockets {
			if err == nil {
				r.t.Error("it may")
			}
			return
		}
		r.must(err)
		r.must(c.Invoke(ctx, "Nothing", nil))
		r.same(len(r.front.requests()), 1)
	},
	"life: without WebSockets the next transport is tried": func(r *rig, ctx context.Context) {
		r.front.refuse("websocket", http.StatusServiceUnavailable, 1)
		c := r.connect(func(o *signalr.ClientOptions) { o.Transports = nil })
		var transport string
		r.must(c.Invoke(ctx, "GetTransport", &transport))
		r.same(transport, map[string]string{"json": "ServerSentEvents", "messagepack": "LongPolling"}[r.opts.Protocol])
	},
	"life: no transport is left": func(r *rig, ctx context.Context) {
		for _, kind := range []string{"websocket", "events", "poll"} {
			r.front.refuse(kind, http.StatusBadGateway, 1)
		}
		r.status(r.client(r.url, func(o *signalr.ClientOptions) { o.Transports = nil }).Start(ctx), http.StatusBadGateway)
	},
	"life: text only over server-sent events": func(r *rig, ctx context.Context) {
		err := r.client(r.url, func(o *signalr.ClientOptions) {
			o.Transports, o.Protocol = []signalr.Transport{signalr.ServerSentEvents}, "messagepack"
		}).Start(ctx)
		if err == nil || !strings.Contains(err.Error(), "none of the transports") {
			r.t.Errorf("got %v", err)
		}
	},
	"life: negotiation is refused, the network is down, then not": func(r *rig, ctx context.Context) {
		c := r.client(r.url)
		r.front.refuse("negotiate", http.StatusServiceUnavailable, 1)
		r.status(c.Start(ctx), http.StatusServiceUnavailable)
		r.front.refuse("negotiate", 0, 9) // HTTP may repeat it
		if c.Start(ctx) == nil {
			r.t.Error("started without a network")
		}
		r.front.refuse("negotiate", 0, 0)
		r.must(c.Start(ctx))
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"life: a slow network": func(r *rig, ctx context.Context) {
		net := r.network()
		net.slow(10 * time.Millisecond)
		c := r.client(net.root + "/testhub")
		r.must(c.Start(ctx))
		c.On("Ask", func(question string) string { return question + "!" })
		var s string
		r.must(c.Invoke(ctx, "AskCaller", &s, "late?"))
		r.same(s, "late?!")
	},
	"life: the wire is cut": func(r *rig, ctx context.Context) {
		closed := make(chan error, 1)
		c := r.connect(func(o *signalr.ClientOptions) { o.OnClosed = func(err error) { closed <- err } })
		asked := make(chan struct{})
		c.On("Ask", func(ctx context.Context, _ string) string { close(asked); <-ctx.Done(); return "" })
		failed := make(chan error, 1)
		go func() { failed <- c.Invoke(ctx, "AskCaller", nil, "?") }()
		next(r, asked)
		r.front.refuse("all", http.StatusServiceUnavailable, 1000)
		r.cut()
		if err := next(r, failed); !errors.Is(err, signalr.ErrConnectionClosed) {
			r.t.Errorf("the call: %v", err)
		}
		if next(r, closed) == nil {
			r.t.Error("nobody says why")
		}
		r.same(c.State(), signalr.StateDisconnected)
	},
	"life: a client that falls silent": func(r *rig, ctx context.Context) {
		if r.opts.Transports[0] == signalr.LongPolling {
			return // its polls are its life
		}
		quick := r.other("-client-timeout-ms", "1000", "-keepalive-ms", "500")
		closed := make(chan error, 1)
		c := quick.connect(func(o *signalr.ClientOptions) {
			o.KeepAliveInterval = time.Hour // the first ping arms the server's clock
			o.OnClosed = func(err error) { closed <- err }
		})
		if err := next(r, closed); err == nil || !strings.Contains(err.Error(), "Client hasn't sent a message/ping within the configured ClientTimeoutInterval.") {
			r.t.Errorf("closed: %v", err)
		}
		r.same(c.State(), signalr.StateDisconnected)
	},
	"life: a server that falls silent": func(r *rig, ctx context.Context) {
		if r.opts.Transports[0] == signalr.LongPolling {
			return
		}
		net := r.network()
		closed := make(chan error, 1)
		c := r.client(net.root+"/testhub", func(o *signalr.ClientOptions) {
			o.ServerTimeout = 2 * time.Second
			o.OnClosed = func(err error) { closed <- err }
		})
		r.must(c.Start(ctx))
		net.silence()
		if err := next(r, closed); !errors.Is(err, signalr.ErrServerTimeout) {
			r.t.Errorf("closed: %v", err)
		}
	},
	"reconnect: several attempts": func(r *rig, ctx context.Context) {
		var tries []int
		back := make(chan string, 1)
		c := r.connect(func(o *signalr.ClientOptions) {
			o.Reconnect = func(retry signalr.Retry) (time.Duration, bool) {
				tries = append(tries, retry.Previous)
				return 10 * time.Millisecond, true
			}
			o.OnReconnected = func(id string) { back <- id }
		})
		r.front.refuse("negotiate", http.StatusInternalServerError, 3)
		r.lose(ctx, c)
		next(r, back)
		for i, previous := range tries {
			r.same(previous, i)
		}
		if len(tries) < 4 { // a request over a connection that was cut may be one more
			r.t.Errorf("tries %v", tries)
		}
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"reconnect: no more attempts": func(r *rig, ctx context.Context) {
		closed := make(chan error, 1)
		c := r.connect(func(o *signalr.ClientOptions) {
			o.Reconnect = func(retry signalr.Retry) (time.Duration, bool) { return time.Millisecond, retry.Previous < 3 }
			o.OnClosed = func(err error) { closed <- err }
		})
		r.front.refuse("all", http.StatusInternalServerError, 1000)
		r.cut()
		r.status(next(r, closed), http.StatusInternalServerError)
		r.same(c.State(), signalr.StateDisconnected)
	},
	"reconnect: the server lets a client reconnect that sent too much": func(r *rig, ctx context.Context) {
		back := make(chan string, 1)
		c := r.connect(func(o *signalr.ClientOptions) {
			o.Reconnect = soon
			o.OnReconnected = func(id string) { back <- id }
		})
		if c.Invoke(ctx, "Echo", nil, strings.Repeat("x", 33_000)) == nil {
			r.t.Error("too much is taken")
		}
		next(r, back)
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"reconnect: stateful, but refused": func(r *rig, ctx context.Context) {
		if r.opts.Transports[0] != signalr.WebSockets {
			return // the others have none
		}
		back := make(chan string, 1)
		c := r.connect(func(o *signalr.ClientOptions) {
			o.StatefulReconnect, o.Reconnect = true, soon
			o.OnReconnected = func(id string) { back <- id }
		})
		id := c.ConnectionID()
		r.front.refuse("websocket", http.StatusNotFound, 1)
		r.cut()
		if next(r, back) == id {
			r.t.Error("the same id")
		}
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"reconnect: stateful at a hub that does not offer it": func(r *rig, ctx context.Context) {
		c := r.client(r.root+"/bench", func(o *signalr.ClientOptions) { o.StatefulReconnect = true })
		r.must(c.Start(ctx))
		r.must(c.Invoke(ctx, "Echo", nil, "x"))
	},
	"auth: no token, a bad one": func(r *rig, ctx context.Context) {
		for _, token := range []string{"", "alice", "alice:0", "alice:-1", ":5", "alice:x"} {
			r.status(r.client(r.auth, as(token)).Start(ctx), http.StatusUnauthorized)
		}
	},
	"auth: to a user, on all connections": func(r *rig, ctx context.Context) {
		var got []<-chan string
		for _, user := range []string{"bob", "bob", "carol"} {
			c := r.client(r.auth, as(user+":60"))
			got = append(got, messages(c))
			r.must(c.Start(ctx))
		}
		r.post("/user", url.Values{"user": {"bob"}})
		r.same([]string{next(r, got[0]), next(r, got[1])}, []string{"to user", "to user"})
		r.same(len(got[2]), 0)
	},
	"auth: the end of the credential, and back with a new one": func(r *rig, ctx context.Context) {
		back := make(chan string, 1)
		asked := 0
		var mu sync.Mutex
		c := r.client(r.auth, func(o *signalr.ClientOptions) {
			o.Token = func(context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return "dora:2", nil // each time anew, so that a busy machine connects in the end
			}
			o.RefreshBeforeExpiration = -1
			o.Reconnect = soon
			o.OnReconnected = func(id string) { back <- id }
		})
		if err := c.Start(ctx); err != nil {
			r.must(c.Start(ctx))
		}
		if r.opts.Transports[0] == signalr.LongPolling {
			return // each poll lengthens it
		}
		next(r, back)
		mu.Lock()
		defer mu.Unlock()
		if asked < 4 {
			r.t.Errorf("the token was asked for %d times", asked)
		}
	},
}

// lose has the client lose its connection. A poll that is cut HTTP would repeat,
// unseen: the next one is refused.
func (r *rig) lose(ctx context.Context, c *signalr.Client) {
	if r.opts.Transports[0] != signalr.LongPolling {
		r.cut()
		return
	}
	r.front.refuse("poll", http.StatusInternalServerError, 1)
	_ = c.Send(ctx, "SendToCaller", "the poll that waits ends") // it may be lost already
}

// status wants an error because of an HTTP status.
func (r *rig) status(err error, want int) {
	r.t.Helper()
	var status *signalr.StatusError
	if !errors.As(err, &status) || status.Status != want {
		r.t.Errorf("got %v, want status %s", err, fmt.Sprint(want))
	}
}

// as is a client with a token that stays the same.
func as(token string) func(*signalr.ClientOptions) {
	return func(o *signalr.ClientOptions) {
		o.Token = func(context.Context) (string, error) { return token, nil }
	}
}
