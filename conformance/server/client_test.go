package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// patience is how long a scenario waits for what must happen.
const patience = 30 * time.Second

// rig is one combination of transport and protocol, with servers of its own.
type rig struct {
	t    *testing.T
	url  string // of the test hub
	auth string // of the hub of credentials that end
	root string
	opts signalr.ClientOptions

	mu    sync.Mutex
	conns map[net.Conn]bool
	front front
}

// connect starts a client, with what options changes.
func (r *rig) connect(options ...func(*signalr.ClientOptions)) *signalr.Client {
	r.t.Helper()
	c := r.client(r.url, options...)
	r.must(c.Start(r.t.Context()))
	return c
}

// client makes a client that is stopped at the end.
func (r *rig) client(url string, options ...func(*signalr.ClientOptions)) *signalr.Client {
	o := r.opts
	for _, change := range options {
		change(&o)
	}
	c := signalr.NewClient(url, o)
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = c.Stop(ctx) // it may be stopped already
	})
	return c
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// fails wants an error of the server with this text in it.
func (r *rig) fails(err error, text string) {
	r.t.Helper()
	var call *signalr.CallError
	if !errors.As(err, &call) || !strings.Contains(call.Text, text) {
		r.t.Errorf("got %v, want %q of the server", err, text)
	}
}

// same compares what came with what should.
func (r *rig) same(got, want any) {
	r.t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		r.t.Errorf("got %#v, want %#v", got, want)
	}
}

// next waits for a value.
func next[T any](r *rig, from <-chan T) (v T) {
	r.t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		r.t.Fatal("nothing comes")
	}
	return v
}

// messages listens for Message.
func messages(c *signalr.Client) <-chan string {
	got := make(chan string, 1000)
	message.On(c, func(_ context.Context, text string) { got <- text })
	return got
}

// post asks the server to send from outside the hub.
func (r *rig) post(path string, form url.Values) (status int, body string) {
	r.t.Helper()
	resp, err := http.Post(r.root+path+"?"+form.Encode(), "", nil)
	r.must(err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	r.must(err)
	return resp.StatusCode, string(b)
}

// cut ends all TCP connections to the server.
func (r *rig) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

// serve starts a server with these flags.
func (r *rig) serve(args ...string) {
	f, err := parse(args)
	r.must(err)
	options := f.hubOptions()
	options.Logger = nil
	options.ShutdownWindow = time.Millisecond
	hubs := newHubs(options)
	server := httptest.NewUnstartedServer(r.front.before(hubs.routes()))
	r.conns = make(map[net.Conn]bool)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.conns[c] = state != http.StateClosed
		if state == http.StateClosed {
			delete(r.conns, c)
		}
	}
	server.Start()
	r.root, r.url, r.auth = server.URL, server.URL+"/testhub", server.URL+"/authhub"
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = hubs.shutdown(ctx) // clients may have left in any way
		server.Close()
	})
}

func items[T any](stream iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range stream {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

func upload[T any](fail error, values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
		if fail != nil {
			var zero T
			yield(zero, fail)
		}
	}
}

type scenario = func(r *rig, ctx context.Context)

// scenarios are what the client of this library does, over every transport and
// protocol.
var scenarios = map[string]scenario{
	"call: values": func(r *rig, ctx context.Context) {
		c := r.connect()
		var text, none *string
		var sum int
		n := "n"
		o := object{}
		r.must(c.Invoke(ctx, "Echo", &text, "你好 \u2028 <b> \x1e"))
		r.must(c.Invoke(ctx, "Echo", &none, nil))
		r.must(c.Invoke(ctx, "Add", &sum, 2, 40))
		r.must(c.Invoke(ctx, "EchoObject", &o, object{&n, 7}))
		r.must(c.Invoke(ctx, "Nothing", nil))
		r.same(*text, "你好 \u2028 <b> \x1e")
		r.same([]any{none == nil, sum, *o.Name, o.Value}, []any{true, 42, "n", int32(7)})
	},
	"call: transport and id": func(r *rig, ctx context.Context) {
		c := r.connect()
		var id, transport string
		r.must(c.Invoke(ctx, "GetConnectionId", &id))
		r.must(c.Invoke(ctx, "GetTransport", &transport))
		r.same([]string{id, transport}, []string{c.ConnectionID(), r.opts.Transports[0].String()})
	},
	"call: many at once": func(r *rig, ctx context.Context) {
		c := r.connect()
		var work sync.WaitGroup
		for i := range 50 {
			work.Go(func() {
				var sum int
				if err := c.Invoke(ctx, "Add", &sum, i, i); err != nil || sum != 2*i {
					r.t.Errorf("%d: %d, %v", i, sum, err)
				}
			})
		}
		work.Wait()
	},
	"call: large": func(r *rig, ctx context.Context) {
		c := r.connect()
		var text string
		want := strings.Repeat("x", 30_000)
		r.must(c.Invoke(ctx, "Echo", &text, want))
		r.same(len(text), len(want))
	},
	"error: too large": func(r *rig, ctx context.Context) {
		closed := make(chan error, 1)
		c := r.connect(func(o *signalr.ClientOptions) { o.OnClosed = func(err error) { closed <- err } })
		if err := c.Invoke(ctx, "Echo", nil, strings.Repeat("x", 33_000)); !errors.Is(err, signalr.ErrConnectionClosed) {
			r.t.Errorf("got %v", err)
		}
		if err := next(r, closed); err == nil || !strings.Contains(err.Error(), "maximum message size of 32768B was exceeded") {
			r.t.Errorf("closed: %v", err)
		}
	},
	"error: of the method": func(r *rig, ctx context.Context) {
		c := r.connect()
		r.fails(c.Invoke(ctx, "Throw", nil, "secret"), "An unexpected error occurred invoking 'Throw' on the server. InvalidOperationException: secret")
		r.fails(c.Invoke(ctx, "ThrowHub", nil, "no such task"), "HubException: no such task")
	},
	"error: of the call": func(r *rig, ctx context.Context) {
		c := r.connect()
		r.fails(c.Invoke(ctx, "NoSuch", nil), "Method does not exist.")
		r.fails(c.Invoke(ctx, "Add", nil, 1), "provides 1 argument(s)")
		r.fails(c.Invoke(ctx, "Add", nil, "a", "b"), "Error binding arguments")
		r.fails(c.Invoke(ctx, "Counter", nil, 1, 0), "streaming 'Counter' method with a non-streaming invocation")
		_, err := items(signalr.Stream[string](ctx, c, "Echo", "a"))
		r.fails(err, "non-streaming 'Echo' method with a streaming invocation")
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"error: of a call without an answer": func(r *rig, ctx context.Context) {
		c := r.connect()
		r.must(c.Send(ctx, "NoSuch"))
		r.must(c.Send(ctx, "ThrowHub", "nobody hears"))
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"cancel: a call": func(r *rig, ctx context.Context) {
		c := r.connect()
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if err := c.Invoke(soon, "WaitForCancel", nil); !errors.Is(err, context.DeadlineExceeded) {
			r.t.Errorf("got %v", err)
		}
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"events: order": func(r *rig, ctx context.Context) {
		c := r.connect()
		got := make(chan int32, 1000)
		number.On(c, func(_ context.Context, n int32) { got <- n })
		r.must(c.Invoke(ctx, "Burst", nil, 500))
		for i := range int32(500) {
			if n := next(r, got); n != i {
				r.t.Fatalf("got %d, want %d", n, i)
			}
		}
	},
	"audience: caller, others, all": func(r *rig, ctx context.Context) {
		a, b := r.connect(), r.connect()
		atA, atB := messages(a), messages(b)
		r.must(a.Invoke(ctx, "SendToCaller", nil, "caller"))
		r.must(a.Invoke(ctx, "SendToOthers", nil, "others"))
		r.must(a.Invoke(ctx, "SendToAll", nil, "all"))
		r.same([]string{next(r, atA), next(r, atA)}, []string{"caller", "all"})
		r.same([]string{next(r, atB), next(r, atB)}, []string{"others", "all"})
	},
	"groups": func(r *rig, ctx context.Context) {
		a, b := r.connect(), r.connect()
		atA, atB := messages(a), messages(b)
		r.must(a.Invoke(ctx, "Join", nil, "g"))
		r.must(b.Invoke(ctx, "Join", nil, "g"))
		r.must(a.Invoke(ctx, "SendToGroup", nil, "g", "1"))
		r.must(a.Invoke(ctx, "SendToOthersInGroup", nil, "g", "2"))
		r.must(b.Invoke(ctx, "Leave", nil, "g"))
		r.must(a.Invoke(ctx, "SendToGroup", nil, "g", "3"))
		r.must(a.Invoke(ctx, "SendToAll", nil, "end"))
		r.same([]string{next(r, atA), next(r, atA), next(r, atA)}, []string{"1", "3", "end"})
		r.same([]string{next(r, atB), next(r, atB), next(r, atB)}, []string{"1", "2", "end"})
	},
	"audience: from outside": func(r *rig, ctx context.Context) {
		a, b := r.connect(), r.connect()
		atA, atB := messages(a), messages(b)
		send := func(what, x, y string) {
			if status, body := r.post("/backplane", url.Values{"what": {what}, "a": {x}, "b": {y}}); status != 200 || body != "ok" {
				r.t.Errorf("%s: %d %s", what, status, body)
			}
		}
		idA, idB := a.ConnectionID(), b.ConnectionID()
		send("add", idA, "g")
		for _, step := range [][3]string{
			{"allExcept", idB, ""}, {"connection", idA, ""}, {"group", "g", ""}, {"groupExcept", "g", idB},
			{"groups", "g", "h"}, {"connections", idA, idB}, {"all", "", ""},
		} {
			send(step[0], step[1], step[2])
		}
		for _, want := range []string{"allExcept", "connection", "group", "groupExcept", "groups", "connections", "all"} {
			r.same(next(r, atA), "to "+want)
		}
		r.same([]string{next(r, atB), next(r, atB)}, []string{"to connections", "to all"})
	},
	"disconnected: others are told": func(r *rig, ctx context.Context) {
		a, b := r.connect(), r.connect()
		left := make(chan string, 2)
		a.On("Left", func(id string, cause *string) { left <- fmt.Sprint(id, cause == nil) })
		r.must(a.Invoke(ctx, "Join", nil, "watchers"))
		id := b.ConnectionID()
		r.must(b.Stop(ctx))
		r.same(next(r, left), id+"true")
	},
	"results": func(r *rig, ctx context.Context) {
		c := r.connect()
		off := ask.Answer(c, func(ctx context.Context, question string) (*string, error) {
			if question == "bad" {
				return nil, errors.New("nope")
			}
			var sum int
			if err := c.Invoke(ctx, "Add", &sum, 1, 1); err != nil {
				return nil, err
			}
			answer := fmt.Sprint(question, "!", sum)
			return &answer, nil
		})
		var s string
		r.must(c.Invoke(ctx, "AskCaller", &s, "sure"))
		r.same(s, "sure!2")
		r.fails(c.Invoke(ctx, "AskCaller", nil, "bad"), "nope")
		off()
		r.fails(c.Invoke(ctx, "AskCaller", nil, "nobody"), "Client didn't provide a result.")
	},
	"results: of another, and from outside": func(r *rig, ctx context.Context) {
		a, b := r.connect(), r.connect()
		ask.Answer(b, func(_ context.Context, question string) (*string, error) {
			question += "!"
			return &question, nil
		})
		var s string
		r.must(a.Invoke(ctx, "AskConnection", &s, b.ConnectionID(), "you"))
		r.same(s, "you!")
		_, body := r.post("/backplane", url.Values{"what": {"ask"}, "a": {b.ConnectionID()}, "b": {"out"}})
		r.same(body, "out!")
	},
	"stream: down": func(r *rig, ctx context.Context) {
		c := r.connect()
		got, err := items(signalr.Stream[int](ctx, c, "Counter", 1000, 0))
		r.must(err)
		r.same([]any{len(got), slices.IsSorted(got)}, []any{1000, true})
		got, err = items(signalr.Stream[int](ctx, c, "Counter", 0, 0))
		r.must(err)
		r.same(len(got), 0)
	},
	"stream: fails": func(r *rig, ctx context.Context) {
		c := r.connect()
		got, err := items(signalr.Stream[int](ctx, c, "FailAfter", 2))
		r.fails(err, "stream failed")
		r.same(got, []int{0, 1})
	},
	"stream: cancelled": func(r *rig, ctx context.Context) {
		c := r.connect()
		for n := range signalr.Stream[int](ctx, c, "Counter", 100_000, 1) {
			if n == 2 {
				break
			}
		}
		soon, cancel := context.WithCancel(ctx)
		_, err := items(func(yield func(int, error) bool) {
			for n, err := range signalr.Stream[int](soon, c, "Counter", 100_000, 1) {
				if n == 2 {
					cancel()
				}
				if !yield(n, err) {
					return
				}
			}
		})
		if !errors.Is(err, context.Canceled) {
			r.t.Errorf("got %v", err)
		}
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"stream: many at once": func(r *rig, ctx context.Context) {
		c := r.connect()
		var work sync.WaitGroup
		for range 10 {
			work.Go(func() {
				if got, err := items(signalr.Stream[int](ctx, c, "Counter", 100, 0)); err != nil || len(got) != 100 {
					r.t.Errorf("%d items, %v", len(got), err)
				}
			})
		}
		work.Wait()
	},
	"upload": func(r *rig, ctx context.Context) {
		c := r.connect()
		var s string
		var sum int
		r.must(c.Invoke(ctx, "Concat", &s, upload(nil, "a", "b", "")))
		r.must(c.Invoke(ctx, "Sum", &sum, upload(nil, 1, 2, 3)))
		r.same([]any{s, sum}, []any{"ab", 6})
		r.must(c.Invoke(ctx, "Concat", &s, upload[string](nil)))
		r.same(s, "")
	},
	"upload: two at once": func(r *rig, ctx context.Context) {
		c := r.connect()
		var sum int
		many := make([]int, 500)
		for i := range many {
			many[i] = i
		}
		r.must(c.Invoke(ctx, "SumTwo", &sum, upload(nil, many...), upload(nil, 1, 2)))
		r.same(sum, 124_750+3)
	},
	"upload: fails": func(r *rig, ctx context.Context) {
		c := r.connect()
		r.fails(c.Invoke(ctx, "Concat", nil, upload(errors.New("torn"), "a")), "Stream errored by client: 'torn'")
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"stream: up and down": func(r *rig, ctx context.Context) {
		c := r.connect()
		got, err := items(signalr.Stream[string](ctx, c, "Upper", upload(nil, "a", "b")))
		r.must(err)
		r.same(got, []string{"A", "B"})
	},
	"end: stop and start again": func(r *rig, ctx context.Context) {
		c := r.connect()
		id := c.ConnectionID()
		r.must(c.Stop(ctx))
		r.same(c.State(), signalr.StateDisconnected)
		r.must(c.Start(ctx))
		r.must(c.Invoke(ctx, "Nothing", nil))
		if c.ConnectionID() == id {
			r.t.Error("the same id")
		}
	},
	"end: aborted by the hub": func(r *rig, ctx context.Context) {
		closed := make(chan error, 1)
		c := r.connect(func(o *signalr.ClientOptions) {
			o.Reconnect = signalr.DefaultReconnect
			o.OnClosed = func(err error) { closed <- err }
		})
		_ = c.Invoke(ctx, "Abort", nil) // its answer may be lost
		if err := next(r, closed); err != nil {
			r.t.Errorf("closed: %v", err)
		}
	},
	"reconnect": func(r *rig, ctx context.Context) {
		back := make(chan string, 10)
		c := r.connect(func(o *signalr.ClientOptions) {
			o.Reconnect = func(signalr.Retry) (time.Duration, bool) { return 10 * time.Millisecond, true }
			o.OnReconnected = func(id string) { back <- id }
		})
		got := messages(c)
		id := c.ConnectionID()
		r.cut()
		if r.opts.Transports[0] == signalr.LongPolling { // HTTP repeats the poll by itself
			for c.Invoke(ctx, "Nothing", nil) != nil && ctx.Err() == nil {
			}
		} else if again := next(r, back); again == id {
			r.t.Error("the same id")
		}
		r.must(c.Invoke(ctx, "SendToCaller", nil, "anew"))
		r.same(next(r, got), "anew")
	},
	"stateful reconnect": func(r *rig, ctx context.Context) {
		if r.opts.Transports[0] != signalr.WebSockets {
			return // the others have none
		}
		c := r.connect(func(o *signalr.ClientOptions) {
			o.StatefulReconnect = true
			o.OnClosed = func(err error) { r.t.Logf("closed: %v", err) }
		})
		id := c.ConnectionID()
		n := 0
		for v, err := range signalr.Stream[int](ctx, c, "Counter", 200, 1) {
			if err != nil || v != n {
				r.t.Fatalf("item %d is %d, %v", n, v, err)
			}
			if n++; n%50 == 0 {
				r.cut()
			}
		}
		r.same([]any{n, c.ConnectionID()}, []any{200, id})
	},
	"credentials": func(r *rig, ctx context.Context) {
		var status *signalr.StatusError
		if err := r.client(r.auth).Start(ctx); !errors.As(err, &status) || status.Status != http.StatusUnauthorized {
			r.t.Errorf("without a token: %v", err)
		}
		var mu sync.Mutex
		token := "alice:60"
		closed := make(chan error, 1)
		c := r.client(r.auth, func(o *signalr.ClientOptions) {
			o.Token = func(context.Context) (string, error) { mu.Lock(); defer mu.Unlock(); return token, nil }
			o.OnClosed = func(err error) { closed <- err }
		})
		got := messages(c)
		r.must(c.Start(ctx))
		var user string
		r.must(c.Invoke(ctx, "GetUser", &user))
		r.same(user, "alice")
		r.post("/user", url.Values{"user": {"alice"}})
		r.same(next(r, got), "to user")
		if !slices.Contains(r.opts.Transports, signalr.LongPolling) { // a poll of another user is refused, and ends the connection
			mu.Lock()
			token = "bob:60"
			mu.Unlock()
			if err := c.Refresh(ctx); !errors.As(err, &status) || status.Status != http.StatusForbidden {
				r.t.Errorf("refreshed as another: %v", err)
			}
		}
		for _, next := range []string{"alice:2", "alice:60"} { // the first of them for a moment only
			mu.Lock()
			token = next
			mu.Unlock()
			r.must(c.Refresh(ctx))
		}
		r.must(c.Invoke(ctx, "Echo", nil, "x")) // no poll with the short credential is under way any more
		select {
		case err := <-closed:
			r.t.Errorf("closed: %v", err)
		case <-time.After(3 * time.Second): // beyond the short one
		}
		r.must(c.Invoke(ctx, "Echo", nil, "x"))
	},
}

// allScenarios puts those of the three files together.
func allScenarios() map[string]scenario {
	all := maps.Clone(scenarios)
	maps.Copy(all, callScenarios)
	maps.Copy(all, lifeScenarios)
	return all
}

// TestClient has the client of this library go through the scenarios.
func TestClient(t *testing.T) {
	for _, transport := range []signalr.Transport{signalr.WebSockets, signalr.ServerSentEvents, signalr.LongPolling} {
		for _, protocol := range []string{"json", "messagepack"} {
			if transport == signalr.ServerSentEvents && protocol == "messagepack" {
				continue // text only
			}
			t.Run(transport.String()+" "+protocol, func(t *testing.T) {
				t.Parallel()
				for name, scenario := range allScenarios() {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						client := &http.Transport{}
						r := &rig{t: t, opts: signalr.ClientOptions{
							Transports: []signalr.Transport{transport}, Protocol: protocol,
							HTTPClient: &http.Client{Transport: client},
						}}
						t.Cleanup(client.CloseIdleConnections)
						r.serve("-parallel", "2")
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						scenario(r, ctx)
					})
				}
			})
		}
	}
}
