package main

import (
	"context"
	"errors"
	"math"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// callScenarios are more of calls, errors, streams and client results, under the
// names that they have in conformance/js.
var callScenarios = map[string]scenario{
	"calls: every kind of character": func(r *rig, ctx context.Context) {
		c := r.connect()
		for _, want := range []string{"", "\x00\x01\x1e\x1f\x7f", "<>&'+/\"\\", "äßø 你好 👋🏽", "\u2028\u2029\ufeff", strings.Repeat("é", 5000)} {
			var got string
			r.must(c.Invoke(ctx, "Echo", &got, want))
			r.same(got, want)
		}
	},
	"calls: whole numbers to the ends of 32 bits": func(r *rig, ctx context.Context) {
		c := r.connect()
		for _, n := range [][2]int{{2, 3}, {math.MaxInt32, 0}, {math.MinInt32, 0}, {127, 1}, {255, 1}, {65535, 1}, {-129, 0}, {-32769, 0}} {
			var sum int
			r.must(c.Invoke(ctx, "Add", &sum, n[0], n[1]))
			r.same(sum, n[0]+n[1])
		}
	},
	"calls: numbers that are no 32-bit integers": func(r *rig, ctx context.Context) {
		c := r.connect()
		for _, n := range []any{math.MaxInt32 + 1, 1.5, "1", nil} {
			r.fails(c.Invoke(ctx, "Add", nil, n, 1), "Error binding arguments")
		}
	},
	"calls: names of methods without case": func(r *rig, ctx context.Context) {
		c := r.connect()
		var got string
		r.must(c.Invoke(ctx, "eCHO", &got, "x"))
		r.same(got, "x")
	},
	"calls: a call that wants no answer": func(r *rig, ctx context.Context) {
		c := r.connect()
		got := messages(c)
		r.must(c.Send(ctx, "SendToCaller", "x"))
		r.same(next(r, got), "x")
	},
	"calls: what a method sends comes before its answer": func(r *rig, ctx context.Context) {
		c := r.connect()
		var mu sync.Mutex
		var got []int32
		done := make(chan struct{})
		number.On(c, func(_ context.Context, n int32) {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, n); len(got) == 100 {
				close(done)
			}
		})
		r.must(c.Invoke(ctx, "Burst", nil, 100))
		next(r, done)
		for i, n := range got {
			r.same(n, int32(i))
		}
	},
	"calls: a large message from the server": func(r *rig, ctx context.Context) {
		c := r.client(r.root + "/bench")
		got := make(chan stamped, 3)
		load.On(c, func(_ context.Context, m stamped) { got <- m })
		r.must(c.Start(ctx))
		r.must(c.Invoke(ctx, "Join", nil, "large"))
		r.post("/publish", url.Values{"group": {"large"}, "count": {"3"}, "size": {"1000000"}, "interval": {"0"}})
		for range 3 {
			r.same(len(next(r, got).Data), 1_000_000)
		}
	},
	"calls: nested objects and times": func(r *rig, ctx context.Context) {
		c := r.client(r.root + "/hubs/video-generation")
		got := make(chan videoProgress, 3)
		videoProgressed.On(c, func(_ context.Context, p videoProgress) { got <- p })
		r.must(c.Start(ctx))
		r.must(c.Invoke(ctx, "SubscribeToTask", nil, "t"))
		r.post("/progress", url.Values{"taskId": {"t"}, "count": {"2"}})
		for i, want := range []float64{0, 50, 100} {
			p := next(r, got)
			r.same([]any{p.TaskID, p.Progress, p.CurrentFrame, p.TotalFrames}, []any{"t", want, i, 2})
			if time.Since(p.Timestamp) > patience || time.Since(p.Timestamp) < 0 {
				r.t.Errorf("sent at %v", p.Timestamp)
			}
		}
	},
	"calls: several handlers, and off; messages that nobody handles": func(r *rig, ctx context.Context) {
		c := r.connect()
		r.must(c.Invoke(ctx, "SendToCaller", nil, "nobody"))
		first, second := make(chan string, 9), make(chan string, 9)
		c.On("Message", func(s string) { first <- s })
		off := c.On("Message", func(s string) { second <- s })
		c.On("message", func(s string) { r.t.Errorf("another name is called with %q", s) })
		r.must(c.Invoke(ctx, "SendToCaller", nil, "both"))
		r.same([]string{next(r, first), next(r, second)}, []string{"both", "both"})
		off()
		r.must(c.Invoke(ctx, "SendToCaller", nil, "one"))
		r.same(next(r, first), "one")
		r.same(len(second), 0)
	},
	"errors: without details": func(r *rig, ctx context.Context) {
		plain := r.other("-detailed", "0")
		c := plain.connect()
		var call *signalr.CallError
		if err := c.Invoke(ctx, "Throw", nil, "secret"); !errors.As(err, &call) || call.Text != "An unexpected error occurred invoking 'Throw' on the server." {
			r.t.Errorf("got %v", err)
		}
		r.fails(c.Invoke(ctx, "ThrowHub", nil, "for you"), "HubException: for you")
	},
	"errors: uploads of a wrong type, too few, too many": func(r *rig, ctx context.Context) {
		c := r.connect()
		r.fails(c.Invoke(ctx, "Sum", nil, upload[any](nil, "a")), "on the server")
		r.fails(c.Invoke(ctx, "SumTwo", nil, upload(nil, 1)), "Client sent 1 stream(s), Hub method expects 2.")
		r.fails(c.Invoke(ctx, "Sum", nil, upload(nil, 1), upload(nil, 2)), "Client sent 2 stream(s), Hub method expects 1.")
		_, err := items(signalr.Stream[int](ctx, c, "Counter", "a", 0))
		r.fails(err, "Error binding arguments")
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"streams: calls between": func(r *rig, ctx context.Context) {
		c := r.connect()
		for n, err := range signalr.Stream[int](ctx, c, "Counter", 20, 1) {
			var sum int
			r.must(err)
			r.must(c.Invoke(ctx, "Add", &sum, n, 1))
			r.same(sum, n+1)
		}
	},
	"streams: a stream ends with its connection": func(r *rig, ctx context.Context) {
		c := r.connect()
		var last error
		for _, err := range signalr.Stream[int](ctx, c, "Counter", 1_000_000, 1) {
			if last = err; err == nil {
				go func() { _ = c.Stop(ctx) }()
			}
		}
		if !errors.Is(last, signalr.ErrConnectionClosed) {
			r.t.Errorf("got %v", last)
		}
	},
	"streams: an upload for a method that is not there, and one whose call is over": func(r *rig, ctx context.Context) {
		c := r.connect()
		r.fails(c.Invoke(ctx, "NoSuch", nil, upload(nil, 1, 2, 3)), "Method does not exist.")
		endless := func(yield func(int, error) bool) {
			for yield(1, nil) {
			}
		}
		r.fails(c.Invoke(ctx, "SumTwo", nil, endless), "expects 2.")
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"results: null, and of a wrong type": func(r *rig, ctx context.Context) {
		c := r.connect()
		off := c.On("Ask", func(string) *string { return nil })
		var s *string
		r.must(c.Invoke(ctx, "AskCaller", &s, "?"))
		r.same(s == nil, true)
		off()
		c.On("Ask", func(string) []int { return []int{1} })
		if c.Invoke(ctx, "AskCaller", nil, "?") == nil {
			r.t.Error("a list is taken for a string")
		}
		r.must(c.Invoke(ctx, "Nothing", nil))
	},
	"results: a connection that is not there, and one that leaves": func(r *rig, ctx context.Context) {
		a, b := r.connect(), r.connect()
		r.fails(a.Invoke(ctx, "AskConnection", nil, "nobody", "?"), "Connection 'nobody' does not exist.")
		asked := make(chan struct{})
		b.On("Ask", func(ctx context.Context, _ string) (string, error) {
			close(asked)
			<-ctx.Done()
			return "", ctx.Err()
		})
		failed := make(chan error, 1)
		go func() { failed <- a.Invoke(ctx, "AskConnection", nil, b.ConnectionID(), "?") }()
		next(r, asked)
		r.must(b.Stop(ctx))
		r.fails(next(r, failed), "on the server")
	},
	"results: questions cross each other": func(r *rig, ctx context.Context) {
		clients := []*signalr.Client{r.connect(), r.connect()}
		for _, c := range clients {
			c.On("Ask", func(question string) string { return question + "!" })
		}
		var work sync.WaitGroup
		for i := range 20 {
			work.Go(func() {
				var s string
				if err := clients[i%2].Invoke(ctx, "AskConnection", &s, clients[1-i%2].ConnectionID(), "q"); err != nil || s != "q!" {
					r.t.Errorf("%q, %v", s, err)
				}
			})
		}
		work.Wait()
	},
}

// other is a rig with a server of other flags.
func (r *rig) other(args ...string) *rig {
	o := &rig{t: r.t, opts: r.opts}
	o.serve(args...)
	return o
}
