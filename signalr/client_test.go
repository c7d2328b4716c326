package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

const clientPatience = 20 * time.Second

type thing struct {
	Name  string
	Value int
}

var (
	clientEvent = NewEvent[thing]("Happened")
	clientQuery = NewQuery[string, thing]("Ask")
)

// newClientHub is a hub with what the tests of the client call.
func newClientHub(opts HubOptions) *Hub {
	hub := NewHub("client", opts)
	Handle(hub, "Echo", func(s string) string { return s })
	Handle(hub, "EchoThing", func(v thing) thing { return v })
	Handle(hub, "Nothing", func() {})
	Handle(hub, "Fail", func() error { return Errorf("no") })
	Handle(hub, "Tell", func(ctx context.Context, c *Conn, n int) error {
		for i := range n {
			if err := clientEvent.Send(ctx, c.Caller(), thing{"n", i}); err != nil {
				return err
			}
		}
		return nil
	})
	Handle(hub, "AskBack", func(ctx context.Context, c *Conn, question string) (thing, error) {
		return clientQuery.Ask(ctx, c.Caller(), question)
	})
	Handle(hub, "Count", func(ctx context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if ctx.Err() != nil || !yield(i, nil) {
					return
				}
			}
			if n == 13 {
				yield(0, Errorf("unlucky"))
			}
		}
	})
	Handle(hub, "Forever", func(ctx context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 0; yield(i, nil); i++ {
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Millisecond):
				}
			}
		}
	})
	Handle(hub, "Sum", func(in iter.Seq2[int, error]) (int, error) {
		sum := 0
		for v, err := range in {
			if err != nil {
				return 0, Errorf("upload: %v", err)
			}
			sum += v
		}
		return sum, nil
	})
	Handle(hub, "Wait", func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	Handle(hub, "CloseMe", func(c *Conn, reason string, again bool) { c.Close(reason, again) })
	return hub
}

// serveHub puts a hub on a server.
func serveHub(t *testing.T, hub *Hub) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/hub", hub)
	mux.Handle("/hub/", hub)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), clientPatience)
		defer cancel()
		_ = hub.Shutdown(ctx)
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return server.URL + "/hub"
}

func startClient(t *testing.T, url string, opts ClientOptions) *Client {
	t.Helper()
	c := NewClient(url, opts)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), clientPatience)
		defer cancel()
		_ = c.Stop(ctx)
	})
	return c
}

// pipeClient is a client in memory; redial says whether it may connect (again).
func pipeClient(t *testing.T, hub *Hub, opts ClientOptions, redial func() error) *Client {
	t.Helper()
	c := NewClient("http://example.test/hub", opts)
	n := 0
	c.dial = func(_ context.Context, accept func(transport.Session) (transport.Application, error)) error {
		if redial != nil {
			if err := redial(); err != nil {
				return err
			}
		}
		n++
		return transport.ConnectPipe(fmt.Sprint("pipe", n), httptest.NewRequest("GET", "/hub", nil), 0, hub.accept, accept)
	}
	return c
}

// TestClient goes through everything, over each transport and protocol.
func TestClient(t *testing.T) {
	for _, kind := range []Transport{WebSockets, ServerSentEvents, LongPolling} {
		for _, protocol := range []string{"json", "messagepack"} {
			if kind == ServerSentEvents && protocol == "messagepack" {
				continue
			}
			t.Run(kind.String()+" "+protocol, func(t *testing.T) {
				t.Parallel()
				hub := newClientHub(HubOptions{})
				c := startClient(t, serveHub(t, hub), ClientOptions{Transports: []Transport{kind}, Protocol: protocol})
				if c.State() != StateConnected || len(c.ConnectionID()) != 22 {
					t.Errorf("state %v, id %q", c.State(), c.ConnectionID())
				}
				exerciseClient(t, c)
			})
		}
	}
}

func exerciseClient(t *testing.T, c *Client) {
	ctx := t.Context()
	var s string
	if err := c.Invoke(ctx, "Echo", &s, "你好 <b>"); err != nil || s != "你好 <b>" {
		t.Errorf("Echo: %q, %v", s, err)
	}
	var v thing
	if err := c.Invoke(ctx, "EchoThing", &v, thing{"a", 1}); err != nil || v != (thing{"a", 1}) {
		t.Errorf("EchoThing: %v, %v", v, err)
	}
	if err := c.Invoke(ctx, "Nothing", nil); err != nil {
		t.Errorf("Nothing: %v", err)
	}
	var call *CallError
	if err := c.Invoke(ctx, "Fail", nil); !errors.As(err, &call) || call.Method != "Fail" || !strings.HasSuffix(call.Text, "HubException: no") {
		t.Errorf("Fail: %v", err)
	}
	if err := c.Invoke(ctx, "NoSuch", nil); !errors.As(err, &call) || !strings.HasSuffix(call.Text, "Method does not exist.") {
		t.Errorf("NoSuch: %v", err)
	}
	if err := c.Invoke(ctx, "Echo", nil, func() {}); err == nil {
		t.Error("a function cannot be sent")
	}

	var mu sync.Mutex
	var got []int
	all := make(chan struct{})
	off := clientEvent.On(c, func(_ context.Context, v thing) {
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, v.Value); len(got) == 100 {
			close(all)
		}
	})
	if err := c.Send(ctx, "Tell", 100); err != nil {
		t.Errorf("Send: %v", err)
	}
	select {
	case <-all:
	case <-time.After(clientPatience):
		t.Fatal("the events do not come")
	}
	if !slices.IsSorted(got) {
		t.Errorf("the events come in disorder: %v", got)
	}
	off()

	if err := c.Invoke(ctx, "AskBack", &v, "?"); !errors.As(err, &call) || !strings.Contains(call.Text, "Client didn't provide a result.") {
		t.Errorf("nobody answers: %v", err)
	}
	clientQuery.Answer(c, func(ctx context.Context, question string) (thing, error) {
		var s string
		if err := c.Invoke(ctx, "Nothing", nil); err != nil { // a handler may call
			return thing{}, err
		}
		if question == "bad" {
			return thing{}, errors.New("nope")
		}
		return thing{question + s, 7}, nil
	})
	if err := c.Invoke(ctx, "AskBack", &v, "?"); err != nil || v != (thing{"?", 7}) {
		t.Errorf("AskBack: %v, %v", v, err)
	}
	if err := c.Invoke(ctx, "AskBack", &v, "bad"); !errors.As(err, &call) || !strings.HasSuffix(call.Text, "nope") {
		t.Errorf("AskBack: %v", err)
	}

	var items []int
	for i, err := range Stream[int](ctx, c, "Count", 13) {
		if err != nil {
			if !errors.As(err, &call) || !strings.HasSuffix(call.Text, "unlucky") {
				t.Errorf("Count: %v", err)
			}
			break
		}
		items = append(items, i)
	}
	if len(items) != 13 {
		t.Errorf("Count gives %v", items)
	}
	for i, err := range Stream[int](ctx, c, "Forever") {
		if err != nil {
			t.Errorf("Forever: %v", err)
		}
		if i == 3 {
			break // cancels
		}
	}
	soon, cancel := context.WithCancel(ctx)
	for i, err := range Stream[int](soon, c, "Forever") {
		if i == 2 {
			cancel()
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Forever: %v", err)
		}
	}
	cancel()

	upload := func(n int, fail error) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			if fail != nil {
				yield(0, fail)
			}
		}
	}
	var sum int
	if err := c.Invoke(ctx, "Sum", &sum, upload(100, nil)); err != nil || sum != 4950 {
		t.Errorf("Sum: %d, %v", sum, err)
	}
	if err := c.Invoke(ctx, "Sum", &sum, upload(3, errors.New("torn"))); !errors.As(err, &call) || !strings.Contains(call.Text, "torn") {
		t.Errorf("Sum: %v", err)
	}

	soon, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := c.Invoke(soon, "Wait", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	if err := c.Invoke(ctx, "Echo", &s, "still there"); err != nil {
		t.Errorf("after a cancelled call: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- c.Invoke(ctx, "Wait", nil) }()
	if err := c.Start(ctx); !errors.Is(err, ErrStarted) {
		t.Errorf("a second Start: %v", err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := <-waiting; !errors.Is(err, ErrConnectionClosed) && !errors.Is(err, ErrNotConnected) {
		t.Errorf("the call that waited: %v", err)
	}
	if err := c.Send(ctx, "Nothing"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("after Stop: %v", err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatalf("Start again: %v", err)
	}
	if err := c.Invoke(ctx, "Echo", &s, "anew"); err != nil || s != "anew" {
		t.Errorf("after the second Start: %q, %v", s, err)
	}
}

// TestClientReconnect: a lost connection is replaced by the policy; the times
// are those of the official clients.
func TestClientReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newClientHub(HubOptions{})
		var events []string
		var mu sync.Mutex
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		start := time.Now()
		down := false
		var attempts []time.Duration
		c := pipeClient(t, hub, ClientOptions{
			Reconnect:      DefaultReconnect,
			OnReconnecting: func(err error) { note("reconnecting") },
			OnReconnected:  func(id string) { note("reconnected as %s", id) },
			OnClosed:       func(err error) { note("closed") },
		}, func() error {
			mu.Lock()
			defer mu.Unlock()
			if down {
				attempts = append(attempts, time.Since(start))
				return errors.New("down")
			}
			return nil
		})
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		lose := func() {
			c.mu.Lock()
			k := c.conn
			c.mu.Unlock()
			k.session.Abort(errors.New("cable cut"))
		}
		lose()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		if c.State() != StateConnected || c.ConnectionID() != "pipe2" {
			t.Errorf("state %v, id %s", c.State(), c.ConnectionID())
		}
		if err := c.Invoke(t.Context(), "Nothing", nil); err != nil {
			t.Error(err)
		}
		mu.Lock()
		down, start = true, time.Now()
		mu.Unlock()
		lose()
		synctest.Wait()
		time.Sleep(time.Second)
		if err := c.Send(t.Context(), "Nothing"); !errors.Is(err, ErrNotConnected) || c.State() != StateReconnecting {
			t.Errorf("while reconnecting: %v, %v", err, c.State())
		}
		time.Sleep(time.Minute)
		want := []string{
			"reconnecting", "reconnected as pipe2", "reconnecting", "closed",
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(attempts, []time.Duration{0, 2 * time.Second, 12 * time.Second, 42 * time.Second}) {
			t.Errorf("attempts after %v", attempts)
		}
		if !slices.Equal(events, want) {
			t.Errorf("events %q\nwant   %q", events, want)
		}
		if c.State() != StateDisconnected {
			t.Errorf("state %v", c.State())
		}
		_ = hub.Shutdown(t.Context())
	})
}

// TestClientClosedByServer: only a Close that allows it is followed by a
// reconnect.
func TestClientClosedByServer(t *testing.T) {
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprint(again), func(t *testing.T) {
			hub := newClientHub(HubOptions{})
			url := serveHub(t, hub)
			back, closed := make(chan string, 1), make(chan error, 1)
			c := startClient(t, url, ClientOptions{
				Reconnect:     DefaultReconnect,
				OnReconnected: func(id string) { back <- id },
				OnClosed:      func(err error) { closed <- err },
			})
			first := c.ConnectionID()
			_ = c.Send(t.Context(), "CloseMe", "because", again)
			select {
			case id := <-back:
				if !again || id == first || id != c.ConnectionID() {
					t.Errorf("reconnected as %q", id)
				}
			case err := <-closed:
				if again || err == nil || !strings.Contains(err.Error(), "because") {
					t.Errorf("closed: %v", err)
				}
			case <-time.After(clientPatience):
				t.Fatal("nothing happens")
			}
		})
	}
}

// TestClientKeepsAlive: an idle client pings every 15 s and stays; when the
// server falls silent it ends after 30 s.
func TestClientKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newClientHub(HubOptions{})
		closed := make(chan error, 1)
		c := pipeClient(t, hub, ClientOptions{OnClosed: func(err error) { closed <- err }}, nil)
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if c.State() != StateConnected {
			t.Fatalf("state %v", c.State())
		}
		_ = c.Stop(t.Context())
		if err := <-closed; err != nil {
			t.Errorf("closed: %v", err)
		}
		_ = hub.Shutdown(t.Context())
	})
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan error, 1)
		c := pipeClient(t, nil, ClientOptions{OnClosed: func(err error) { closed <- err }}, nil)
		server := &mute{answer: "{}\x1e"}
		c.dial = server.dial
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := <-closed; !errors.Is(err, ErrServerTimeout) || time.Since(start) != 30*time.Second {
			t.Errorf("closed after %v: %v", time.Since(start), err)
		}
		if got := strings.Count(server.got.String(), `{"type":6}`); got != 2 {
			t.Errorf("%d pings, want one at once and one after 15 s", got)
		}
	})
}

// TestClientHandshake: no answer, a refusal, nonsense.
func TestClientHandshake(t *testing.T) {
	for answer, want := range map[string]string{
		"":                             "in time",
		"{\"error\":\"go away\"}\x1e":  "go away",
		"{\"type\":6}\x1e":             "handshake",
		"hello\x1e":                    "handshake",
		"{}\x1e{\"type\":7}\x1e":       "",
		"{}\x1enonsense\x1e":           "",
		"{}\x1e{\"type\":99}\x1e{\"ty": "",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := NewClient("http://example.test", ClientOptions{})
			c.dial = (&mute{answer: answer}).dial
			start := time.Now()
			err := c.Start(t.Context())
			if want == "" {
				_ = c.Stop(t.Context())
				return // it depends on who is faster; it must only end
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", answer, err, want)
			}
			if took := time.Since(start); answer == "" && took != 15*time.Second {
				t.Errorf("it took %v", took)
			}
			if c.State() != StateDisconnected {
				t.Errorf("state %v", c.State())
			}
		})
	}
}

// mute is a server that says one thing.
type mute struct {
	answer  string
	session transport.Session
	mu      sync.Mutex
	got     strings.Builder
}

func (m *mute) dial(_ context.Context, accept func(transport.Session) (transport.Application, error)) error {
	return transport.ConnectPipe("mute", httptest.NewRequest("GET", "/", nil), 0, func(s transport.Session) (transport.Application, error) {
		m.session = s
		return m, nil
	}, accept)
}

func (m *mute) Receive(p []byte) error { m.mu.Lock(); defer m.mu.Unlock(); m.got.Write(p); return nil }

func (m *mute) Next(dst []byte, _ int) ([]byte, bool, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dst = append(dst, m.answer...)
	m.answer = ""
	return dst, false, false
}

func (m *mute) PeerClosed() {}
func (m *mute) Lost()       {}
func (m *mute) Resumed()    {}
func (m *mute) Ended(error) {}

// TestClientFlooded: who does not keep up loses the connection, not the memory.
func TestClientFlooded(t *testing.T) {
	hub := newClientHub(HubOptions{})
	url := serveHub(t, hub)
	closed := make(chan error, 1)
	c := startClient(t, url, ClientOptions{QueueMessages: 10, OnClosed: func(err error) { closed <- err }})
	hold := make(chan struct{})
	c.On("Happened", func(thing) { <-hold })
	_ = c.Send(t.Context(), "Tell", 1000)
	select {
	case err := <-closed:
		if !errors.Is(err, ErrSlowClient) {
			t.Errorf("closed: %v", err)
		}
	case <-time.After(clientPatience):
		t.Error("it goes on")
	}
	close(hold)
}

// TestClientHandlers: misfits are refused at registration, what does not fit at
// the call is passed over.
func TestClientHandlers(t *testing.T) {
	c := NewClient("http://example.test", ClientOptions{})
	for name, fn := range map[string]any{
		"no function": 1,
		"connection":  func(*Conn) {},
		"upload":      func(iter.Seq2[int, error]) {},
		"stream":      func() iter.Seq2[int, error] { return nil },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", name)
				}
			}()
			c.On("X", fn)
		}()
	}
	off := c.On("Twice", func() int { return 1 })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("two handlers with a result are taken")
			}
		}()
		c.On("Twice", func() int { return 2 })
	}()
	off()
	c.On("Twice", func() int { return 2 })

	synctest.Test(t, func(t *testing.T) {
		hub := newClientHub(HubOptions{})
		c := pipeClient(t, hub, ClientOptions{}, nil)
		var seen atomic.Int32
		c.On("M", func(string, int) { seen.Add(1) })
		c.On("M", func(ctx context.Context, s string) error { seen.Add(10); return errors.New("shown in the log") })
		c.On("M", func(any) { panic("caught") })
		c.On("m", func(any) { seen.Add(1000) }) // another name
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = hub.All().Send(t.Context(), "M", "a")
		_ = hub.All().Send(t.Context(), "M", "a", 1)
		_ = hub.All().Send(t.Context(), "M", 1, 1)
		time.Sleep(time.Second)
		if got := seen.Load(); got != 11 {
			t.Errorf("seen %d, want 11", got)
		}
		_ = c.Stop(t.Context())
		_ = hub.Shutdown(t.Context())
	})
}

// TestClientUnauthorized: the status is there to be looked at.
func TestClientUnauthorized(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for _, skip := range []bool{false, true} {
		opts := ClientOptions{SkipNegotiation: skip}
		if skip {
			opts.Transports = []Transport{WebSockets}
		}
		var status *StatusError
		if err := NewClient(server.URL, opts).Start(t.Context()); !errors.As(err, &status) || status.Status != 401 {
			t.Errorf("skip %v: %v", skip, err)
		}
	}
}

// TestClientStopsWhileConnecting: Stop ends a Start that hangs.
func TestClientStopsWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient("http://example.test", ClientOptions{})
		c.dial = (&mute{}).dial
		started := make(chan error, 1)
		go func() { started <- c.Start(t.Context()) }()
		synctest.Wait()
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-started; err == nil {
			t.Error("Start succeeds")
		}
	})
}

// TestClientOverTLS: every transport works where HTTP/2 is offered.
func TestClientOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(newClientHub(HubOptions{}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, kind := range []Transport{WebSockets, ServerSentEvents, LongPolling} {
		c := startClient(t, server.URL, ClientOptions{Transports: []Transport{kind}, HTTPClient: server.Client()})
		var s string
		if err := c.Invoke(t.Context(), "Echo", &s, "x"); err != nil || s != "x" {
			t.Errorf("%v: %q, %v", kind, s, err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
	server.Client().CloseIdleConnections()
}

// TestLeftStreamsAreForgotten: items that come while a stream is being left do
// not count as waiting for ever.
func TestLeftStreamsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connectCable(t, ClientOptions{})
		for n := range 100 {
			id := strconv.Itoa(n + 1)
			left := make(chan error, 1)
			go func() {
				for _, err := range Stream[int](context.Background(), c, "Numbers") {
					left <- err
					return
				}
			}()
			s.heard()
			for range 30 {
				s.say(wire.Message{Type: wire.StreamItem, InvocationID: id, Item: wire.Raw("1")})
			}
			if err := <-left; err != nil {
				t.Fatal(err)
			}
			s.say(wire.Message{Type: wire.Completion, InvocationID: id})
		}
		synctest.Wait()
		k, err := c.current()
		if err != nil {
			t.Fatal(err)
		}
		k.mu.Lock()
		if k.waiting != 0 || len(k.calls) != 0 {
			t.Errorf("%d items wait, %d calls are pending", k.waiting, len(k.calls))
		}
		k.mu.Unlock()
		if err := c.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestStopOfStuckConnection: a server that takes nothing any more holds Stop up
// for 5 s.
func TestStopOfStuckConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan error, 1)
		c, s := connectCable(t, ClientOptions{OnClosed: func(cause error) { closed <- cause }})
		s.heard()
		s.mu.Lock()
		s.up = false
		s.mu.Unlock()
		began := time.Now()
		if err := c.Stop(context.Background()); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if cause := <-closed; cause != nil {
			t.Errorf("closed because of %v", cause)
		}
	})
}
