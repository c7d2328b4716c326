package signalr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type picky string

func (p *picky) UnmarshalJSON([]byte) error { panic("unmarshal") }

type unspeakable struct{}

func (unspeakable) MarshalJSON() ([]byte, error) { panic("marshal") }

// errorsHub has a method for each way to fail.
func errorsHub(opts HubOptions) *Hub {
	h := NewHub("test", opts)
	count := func(n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
		}
	}
	Handle(h, "Add", func(a, b int) int { return a + b })
	Handle(h, "Nothing", func() {})
	Handle(h, "Plain", func() error { return errors.New("secret") })
	Handle(h, "Typed", func() error { return WithType(errors.New("secret"), "InvalidOperationException") })
	Handle(h, "Own", func() error { return fmt.Errorf("wrapped: %w", Errorf("for you %d", 1)) })
	Handle(h, "OwnTyped", func() error { return WithType(Errorf("for you"), "TeapotException") })
	Handle(h, "Panic", func() { panic("secret") })
	Handle(h, "Picky", func(picky) {})
	Handle(h, "Chan", func() any { return make(chan int) })
	Handle(h, "Unspeakable", func() any { return unspeakable{} })
	Handle(h, "Count", count)
	Handle(h, "Nil", func() iter.Seq2[int, error] { return nil })
	Handle(h, "NoStream", func() (iter.Seq2[int, error], error) { return nil, Errorf("no stream") })
	Handle(h, "Breaks", func() iter.Seq2[int, error] {
		return func(yield func(int, error) bool) { yield(1, nil); yield(0, errors.New("secret")) }
	})
	Handle(h, "PanicStream", func() iter.Seq2[int, error] {
		return func(yield func(int, error) bool) { yield(1, nil); panic("secret") }
	})
	Handle(h, "ChanStream", func() iter.Seq2[any, error] {
		return func(yield func(any, error) bool) { yield(make(chan int), nil) }
	})
	Handle(h, "Sum", func(parts iter.Seq2[int, error]) (int, error) {
		sum := 0
		for n, err := range parts {
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	})
	return h
}

func TestErrorSentences(t *testing.T) {
	const binding = "InvalidDataException: Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked."
	failed := func(m string) string { return fmt.Sprintf("Failed to invoke '%s' due to an error on the server.", m) }
	unexpected := func(m string) string {
		return fmt.Sprintf("An unexpected error occurred invoking '%s' on the server.", m)
	}
	const streaming = "An error occurred on the server while streaming results."
	call := func(target, args string) string {
		return fmt.Sprintf(`{"type":1,"invocationId":"1","target":"%s","arguments":[%s]}`, target, args)
	}
	stream := func(target, args string) string {
		return fmt.Sprintf(`{"type":4,"invocationId":"1","target":"%s","arguments":[%s]}`, target, args)
	}
	tests := []struct {
		name, send   string
		items        int
		want, detail string // detail with EnableDetailedErrors
	}{
		{"unknown", call("Nope", ""), 0, failed("Nope") + " HubException: Method does not exist.", ""},
		{"unknown stream", stream("Nope", ""), 0, failed("Nope") + " HubException: Method does not exist.", ""},
		{"no target", call("", ""), 0, failed("") + " HubException: Method does not exist.", ""},
		{"too few", call("add", "1"), 0, failed("Add"), "InvalidDataException: Invocation provides 1 argument(s) but target expects 2."},
		{"too many", call("ADD", "1,2,3"), 0, failed("Add"), "InvalidDataException: Invocation provides 3 argument(s) but target expects 2."},
		{"wrong type", call("Add", `1,"2"`), 0, failed("Add"), binding},
		{"wrong type before wrong count", call("Add", `"1"`), 0, failed("Add"), binding},
		{"argument panics", call("Picky", `1`), 0, unexpected("Picky"), "Exception: panic: unmarshal"},
		{"error", call("Plain", ""), 0, unexpected("Plain"), "Exception: secret"},
		{"typed error", call("Typed", ""), 0, unexpected("Typed"), "InvalidOperationException: secret"},
		{"own error", call("Own", ""), 0, unexpected("Own") + " HubException: for you 1", ""},
		{"own typed error", call("OwnTyped", ""), 0, unexpected("OwnTyped") + " TeapotException: for you", ""},
		{"panic", call("Panic", ""), 0, unexpected("Panic"), "Exception: panic: secret"},
		{"result panics", call("Unspeakable", ""), 0, unexpected("Unspeakable"), "Exception: panic while encoding signalr.unspeakable: marshal"},
		{"call of a stream", call("Count", "3"), 0, "The client attempted to invoke the streaming 'Count' method with a non-streaming invocation.", ""},
		{"stream of a call", stream("Add", "1,2"), 0, "The client attempted to invoke the non-streaming 'Add' method with a streaming invocation.", ""},
		{"binding before mode", stream("Add", "1"), 0, failed("Add"), "InvalidDataException: Invocation provides 1 argument(s) but target expects 2."},
		{"streams missing", call("Sum", ""), 0, unexpected("Sum") + " HubException: Client sent 0 stream(s), Hub method expects 1.", ""},
		{"streams too many", `{"type":1,"invocationId":"1","target":"Nothing","arguments":[],"streamIds":["a"]}`, 0,
			unexpected("Nothing") + " HubException: Client sent 1 stream(s), Hub method expects 0.", ""},
		{"stream is nil", stream("Nil", ""), 0, "The value returned by the streaming method 'Nil' is not a ChannelReader<> or IAsyncEnumerable<>.", ""},
		{"error instead of stream", stream("NoStream", ""), 0, unexpected("NoStream") + " HubException: no stream", ""},
		{"stream breaks", stream("Breaks", ""), 1, streaming, "Exception: secret"},
		{"stream panics", stream("PanicStream", ""), 1, streaming, "Exception: panic: secret"},
	}
	for _, test := range tests {
		for _, detailed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, detailed=%v", test.name, detailed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := errorsHub(HubOptions{EnableDetailedErrors: detailed})
					p := connect(t, h, "c1")
					p.send(test.send)
					for range test.items {
						p.want(`{"type":2,"invocationId":"1","item":1}`)
					}
					want := test.want
					if detailed && test.detail != "" {
						want += " " + test.detail
					}
					p.want(`{"type":3,"invocationId":"1","error":"` + want + `"}`)
					if !strings.Contains(test.send, `"type":4`) { // nothing comes without an id
						p.send(strings.Replace(test.send, `"invocationId":"1",`, "", 1))
					}
					p.send(call("Nothing", "")) // the connection goes on
					p.want(`{"type":3,"invocationId":"1","result":null}`)
					shutdown(t, h)
				})
			})
		}
	}
}

// What a client does wrong, or breaks off, is told at debug level only: it must
// not be able to fill the log. What is wrong on this side is seen.
func TestOwnFaultsAreSeenInTheLog(t *testing.T) {
	call := func(target, args string) string {
		return fmt.Sprintf(`{"type":1,"invocationId":"1","target":"%s","arguments":[%s]}`, target, args)
	}
	for _, tt := range []struct {
		name, send, level string
	}{
		{"unknown method", call("Nobody", ""), ""},
		{"too few arguments", call("Add", "1"), ""},
		{"wrong argument", call("Add", `1,"x"`), ""},
		{"stream of a method without", `{"type":4,"invocationId":"1","target":"Nothing","arguments":[]}`, ""},
		{"a stream that is none", `{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["a","b"]}`, ""},
		{"error for the caller", call("Own", ""), ""},
		{"typed error for the caller", call("OwnTyped", ""), ""},
		{"error for the caller instead of a stream", `{"type":4,"invocationId":"1","target":"NoStream","arguments":[]}`, ""},
		{"masked error", call("Plain", ""), "WARN"},
		{"masked error of a stream", `{"type":4,"invocationId":"1","target":"Breaks","arguments":[]}`, "WARN"},
		{"panic", call("Panic", ""), "ERROR"},
		{"panic of an unmarshaller", call("Picky", "1"), "ERROR"},
		{"panic of a stream", `{"type":4,"invocationId":"1","target":"PanicStream","arguments":[]}`, "ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				h := errorsHub(HubOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				p := connect(t, h, "c1")
				p.send(tt.send)
				for !strings.HasPrefix(p.next(), `{"type":3`) { // its completion
				}
				synctest.Wait()
				shutdown(t, h)
				if got := log.String(); tt.level == "" && got != "" || !strings.Contains(got, tt.level) {
					t.Errorf("want level %q, logged %q", tt.level, got)
				}
			})
		})
	}
}

func TestUnencodableValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := errorsHub(HubOptions{})
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"1","target":"Chan","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking 'Chan' on the server."}`)
		p.send(`{"type":4,"invocationId":"2","target":"ChanStream","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"2","error":"An error occurred on the server while streaming results."}`)
		for _, v := range []any{make(chan int), unspeakable{}} {
			if err := h.All().Send(t.Context(), "X", v); err == nil {
				t.Errorf("%T was sent", v)
			}
		}
		if err := h.Group("nobody").Send(t.Context(), "X", make(chan int)); err == nil {
			t.Error("a channel was sent to nobody")
		}
		bad := NewEvent("Bad", EventOptions[int]{Key: func(int) string { panic("key") }, LatestOnly: true})
		if err := bad.Send(t.Context(), h.All(), 1); err == nil {
			t.Error("a panicking Key is no error")
		}
		p.send(`{"type":1,"invocationId":"3","target":"Nothing","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"3","result":null}`)
		shutdown(t, h)
	})
}

func TestHandleRefuses(t *testing.T) {
	bad := map[string]any{
		"not a function": 5, "nil": (func())(nil), "variadic": func(...int) {}, "late context": func(int, context.Context) {},
		"late conn": func(int, *Conn) {}, "two results": func() (int, int) { return 0, 0 }, "chan": func(chan int) {},
		"func": func(func()) {}, "chan result": func() chan int { return nil }, "three results": func() (int, int, error) { return 0, 0, nil },
		"callback result": func() func() { return nil },
	}
	for name, fn := range bad {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("was registered")
				}
			}()
			Handle(NewHub("test", HubOptions{}), "M", fn)
		})
	}
	t.Run("twice, in another case", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("was registered")
			}
		}()
		h := NewHub("test", HubOptions{})
		Handle(h, "Straße", func() {})
		Handle(h, "STRAßE", func() {})
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := NewHub("test", HubOptions{})
			connect(t, h, "c1")
			defer func() {
				if recover() == nil {
					t.Error("was registered")
				}
				shutdown(t, h)
			}()
			Handle(h, "M", func() {})
		})
	})
}

func TestCallsRunInOrderOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		var running atomic.Int32
		var order []int
		Handle(h, "Work", func(n int) int {
			if running.Add(1) != 1 {
				t.Error("two run at once")
			}
			time.Sleep(time.Second)
			order = append(order, n)
			running.Add(-1)
			return n
		})
		p := connect(t, h, "c1")
		for i := range 20 {
			p.send(fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Work","arguments":[%d]}`, i, i))
		}
		for i := range 20 {
			for { // pings come between
				r := p.next()
				if r == `{"type":6}` {
					continue
				}
				if want := fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}`, i, i); r != want {
					t.Fatalf("got %s, want %s", r, want)
				}
				break
			}
		}
		for i, n := range order {
			if i != n {
				t.Fatalf("ran in order %v", order)
			}
		}
		shutdown(t, h)
	})
}

func TestParallelCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{MaximumParallelInvocationsPerClient: 3})
		var running, most atomic.Int32
		Handle(h, "Work", func() {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			running.Add(-1)
		})
		p := connect(t, h, "c1")
		start := time.Now()
		for i := range 9 {
			p.send(fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Work","arguments":[]}`, i))
		}
		for range 9 {
			p.next()
		}
		if most.Load() != 3 || time.Since(start) != 3*time.Second {
			t.Errorf("%d at once, %v", most.Load(), time.Since(start))
		}
		shutdown(t, h)
	})
}

// A flood of calls makes the hub pause reading: the client's bytes stay with
// the client, and all calls are answered in the end.
func TestFloodOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{Limits: Limits{PendingInvocations: 10}})
		gate := make(chan struct{})
		Handle(h, "Work", func() { <-gate })
		p := connect(t, h, "c1")
		const n = 5000
		for i := range n {
			p.send(fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Work","arguments":[]}`, i))
		}
		synctest.Wait()
		c := h.Connection("c1")
		c.in.mu.Lock()
		if len(c.in.pending) != 10 {
			t.Errorf("%d wait", len(c.in.pending))
		}
		c.in.mu.Unlock()
		time.Sleep(10 * time.Minute) // nobody times out while reading pauses
		close(gate)
		for i := 0; i < n; {
			r := p.next()
			if r == `{"type":6}` {
				continue
			}
			if want := fmt.Sprintf(`{"type":3,"invocationId":"%d","result":null}`, i); r != want {
				t.Fatalf("got %s, want %s", r, want)
			}
			i++
		}
		shutdown(t, h)
	})
}

func TestFloodEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{Limits: Limits{PendingInvocations: 2}})
		Handle(h, "Work", func(ctx context.Context) { <-ctx.Done() })
		p := connect(t, h, "c1")
		for range 10 {
			p.send(`{"type":1,"target":"Work","arguments":[]}`)
		}
		synctest.Wait()
		h.Connection("c1").Abort()
		shutdown(t, h)
	})
}

func TestCancelOfPlainCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		Handle(h, "WaitForCancel", func(ctx context.Context) string {
			select {
			case <-ctx.Done():
				return "cancelled"
			case <-time.After(30 * time.Second):
				return "timeout"
			}
		})
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"1","target":"WaitForCancel","arguments":[]}`, `{"type":5,"invocationId":"nope"}`)
		synctest.Wait()
		p.send(`{"type":5,"invocationId":"1"}`)
		p.want(`{"type":3,"invocationId":"1","result":"cancelled"}`)
		shutdown(t, h)
	})
}

func TestClientResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{MaximumParallelInvocationsPerClient: 1, EnableDetailedErrors: true})
		ask := NewQuery[string, int]("Ask")
		Handle(h, "AskCaller", func(ctx context.Context, c *Conn, q string) (int, error) { return ask.Ask(ctx, c.Caller(), q) })
		Handle(h, "AskOther", func(ctx context.Context, c *Conn, id string) (int, error) { return ask.Ask(ctx, h.Client(id), "o") })
		Handle(h, "AskBriefly", func(ctx context.Context, c *Conn) (int, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return ask.Ask(ctx, c.Caller(), "b")
		})
		Handle(h, "Echo", func(s string) string { return s })
		p := connect(t, h, "c1")
		answer := func(call, answer, want string) {
			t.Helper()
			p.send(`{"type":1,"invocationId":"1","target":"` + call + `","arguments":["q"]}`)
			r := p.next()
			var id string
			if _, err := fmt.Sscanf(r, `{"type":1,"invocationId":%q`, &id); err != nil {
				t.Fatalf("%s: %v", r, err)
			}
			p.send(strings.Replace(answer, "ID", id, 1))
			p.want(`{"type":3,"invocationId":"1",` + want + `}`)
		}
		const sentence = `"error":"An unexpected error occurred invoking 'AskCaller' on the server. HubException: `
		answer("AskCaller", `{"type":3,"invocationId":"ID","result":7}`, `"result":7`)
		answer("AskCaller", `{"type":3,"invocationId":"ID","error":"nope"}`, sentence+`nope"`)
		answer("AskCaller", `{"type":3,"invocationId":"ID"}`, sentence+`Exception of type 'Microsoft.AspNetCore.SignalR.HubException' was thrown."`)
		p.send(`{"type":1,"invocationId":"2","target":"AskOther","arguments":["nobody"]}`)
		p.want(`{"type":3,"invocationId":"2","error":"An unexpected error occurred invoking 'AskOther' on the server. IOException: Connection 'nobody' does not exist."}`)
		p.send(`{"type":1,"invocationId":"3","target":"AskBriefly","arguments":[]}`)
		p.next()
		p.want(`{"type":3,"invocationId":"3","error":"An unexpected error occurred invoking 'AskBriefly' on the server. HubException: Invocation canceled by the server."}`)
		p.send(`{"type":3,"invocationId":"s99","result":1}`, `{"type":2,"invocationId":"s99","item":1}`) // nobody waits

		// The client's handler may call the hub before it answers.
		p.send(`{"type":1,"invocationId":"4","target":"AskCaller","arguments":["q"]}`)
		r := p.next()
		p.send(`{"type":1,"invocationId":"5","target":"Echo","arguments":["meanwhile"]}`)
		p.want(`{"type":3,"invocationId":"5","result":"meanwhile"}`)
		var id string
		_, _ = fmt.Sscanf(r, `{"type":1,"invocationId":%q`, &id)

		// Another connection must not answer.
		thief := connect(t, h, "c2")
		thief.send(`{"type":3,"invocationId":"` + id + `","result":666}`)
		thief.want(`{"type":7,"error":"Connection closed with an error. InvalidOperationException: Connection ID 'c2' is not valid for invocation ID '`+id+`'.","allowReconnect":true}`, "")
		p.send(`{"type":3,"invocationId":"` + id + `","result":8}`)
		p.want(`{"type":3,"invocationId":"4","result":8}`)

		// Who is gone does not answer.
		errs := make(chan error, 1)
		go func() { _, err := ask.Ask(t.Context(), h.Client("c1"), "x"); errs <- err }()
		p.next()
		p.send(`{"type":7}`)
		if err := <-errs; !errors.Is(err, ErrConnectionClosed) || err.Error() != "Connection 'c1' disconnected." {
			t.Errorf("error %v", err)
		}
		if _, err := ask.Ask(t.Context(), h.All(), "x"); err == nil {
			t.Error("all were asked")
		}
		shutdown(t, h)
	})
}

func TestClientResultWithinOnConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h *Hub
		h = NewHub("test", HubOptions{EnableDetailedErrors: true, OnConnected: func(ctx context.Context, c *Conn) error {
			return h.Invoke(ctx, c.ID(), "Ask", nil)
		}})
		p := connect(t, h, "c1")
		p.want(`{"type":7,"error":"Connection closed with an error. InvalidOperationException: Client results inside OnConnectedAsync Hub methods are not allowed."}`, "")
	})
}

func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		note := func(name string) Filter {
			return func(ctx context.Context, call *Call, next func(context.Context) (any, error)) (any, error) {
				seen = append(seen, name+" "+call.Method+fmt.Sprint(call.Args))
				return next(ctx)
			}
		}
		h := NewHub("test", HubOptions{Filters: []Filter{note("outer"), func(ctx context.Context, call *Call, next func(context.Context) (any, error)) (any, error) {
			switch call.Method {
			case "Forbidden":
				return nil, Errorf("forbidden")
			case "Double":
				call.Args[0] = call.Args[0].(int) + 1
				v, err := next(ctx)
				return v.(int) * 10, err
			case "Wrong":
				call.Args[0] = "text"
			case "Panic":
				panic("filter")
			}
			return next(ctx)
		}, note("inner")}})
		Handle(h, "Forbidden", func() { t.Error("was called") })
		Handle(h, "Wrong", func(int) { t.Error("was called") })
		Handle(h, "Panic", func() { t.Error("was called") })
		Handle(h, "Double", func(ctx context.Context, c *Conn, n int) int { return 2 * n })
		Handle(h, "Nothing", func() error { return nil })
		Handle(h, "Stream", func(n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { yield(n, nil) }
		})
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"1","target":"Double","arguments":[3]}`)
		p.want(`{"type":3,"invocationId":"1","result":80}`)
		p.send(`{"type":1,"invocationId":"2","target":"Forbidden","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"2","error":"An unexpected error occurred invoking 'Forbidden' on the server. HubException: forbidden"}`)
		p.send(`{"type":1,"invocationId":"3","target":"Wrong","arguments":[1]}`)
		p.want(`{"type":3,"invocationId":"3","error":"An unexpected error occurred invoking 'Wrong' on the server."}`)
		p.send(`{"type":1,"invocationId":"4","target":"Panic","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"4","error":"An unexpected error occurred invoking 'Panic' on the server."}`)
		p.send(`{"type":1,"invocationId":"5","target":"Nothing","arguments":[]}`)
		p.want(`{"type":3,"invocationId":"5","result":null}`)
		p.send(`{"type":4,"invocationId":"6","target":"Stream","arguments":[9]}`)
		p.want(`{"type":2,"invocationId":"6","item":9}`, `{"type":3,"invocationId":"6"}`)
		if got := fmt.Sprint(seen[:2]); got != "[outer Double[3] inner Double[4]]" {
			t.Error(got)
		}
		shutdown(t, h)
	})
}

// TestResultsGoIntoPointers: a result without a place to go is a mistake of the
// caller's, told before anything is sent.
func TestResultsGoIntoPointers(t *testing.T) {
	h := NewHub("test", HubOptions{})
	c := NewClient("http://example.test", ClientOptions{})
	for _, out := range []any{1, "x", struct{}{}, (*int)(nil), []int{}} {
		want := fmt.Sprintf("signalr: the result of Add goes into a pointer, or nil, not into %T", out)
		if err := h.Invoke(t.Context(), "c1", "Add", out, 1, 2); err == nil || err.Error() != want {
			t.Errorf("hub: %v, want %s", err, want)
		}
		if err := c.Invoke(t.Context(), "Add", out, 1, 2); err == nil || err.Error() != want {
			t.Errorf("client: %v, want %s", err, want)
		}
	}
}
