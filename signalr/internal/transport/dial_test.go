package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// caller is the application of a client in tests.
type caller struct {
	Session
	mu    sync.Mutex
	out   []string
	in    strings.Builder
	ended chan error
	noted []string
}

func (c *caller) accept(s Session) (Application, error) {
	c.Session = s
	return c, nil
}

func (c *caller) Receive(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.Write(p)
	return nil
}

func (c *caller) Next(dst []byte, size int) ([]byte, bool, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) == 0 {
		return dst, false, false
	}
	dst = append(dst, c.out[0]...)
	c.out = c.out[1:]
	return dst, len(c.out) > 0, false
}

func (c *caller) say(text string) {
	c.mu.Lock()
	c.out = append(c.out, text)
	c.mu.Unlock()
	c.Flush()
}

func (c *caller) got() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.String()
}

func (c *caller) PeerClosed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noted = append(c.noted, "PeerClosed")
}
func (c *caller) Lost()           {}
func (c *caller) Resumed()        {}
func (c *caller) Ended(err error) { c.ended <- err }

func (c *caller) awaitEnd(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the client was not told of the end")
		return nil
	}
}

var dialKinds = []Kind{WebSockets, ServerSentEvents, LongPolling}

func dialCaller(t *testing.T, o DialOptions) *caller {
	t.Helper()
	c := &caller{ended: make(chan error, 1)}
	if err := Dial(t.Context(), o, c.accept); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort(nil) })
	return c
}

// TestDial talks over each transport and ends from either side.
func TestDial(t *testing.T) {
	for _, kind := range dialKinds {
		for _, end := range []string{"client closes", "client aborts", "server closes", "server aborts"} {
			t.Run(fmt.Sprint(kind, " ", end), func(t *testing.T) {
				rig := newRig(t, EndpointOptions{})
				var tokens atomic.Int32
				c := dialCaller(t, DialOptions{URL: rig.url + "?x=1", Transports: []Kind{kind},
					Token: func(context.Context) (string, error) { return fmt.Sprint("t", tokens.Add(1)), nil }})
				if c.Kind() != kind || len(c.ID()) != 22 {
					t.Errorf("kind %v, id %q", c.Kind(), c.ID())
				}
				hub := rig.hub(t)
				if r := hub.session.Request(); r.URL.RawQuery != "x=1" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer t") {
					t.Errorf("the server sees %v %v", r.URL, r.Header)
				}
				c.say(jsonHandshake)
				big := strings.Repeat("é", 100_000)
				c.say(echoCall("1", big))
				c.say(echoCall("2", "x"))
				eventually(t, "both answers come", func() bool {
					return strings.HasPrefix(c.got(), "{}\x1e") && strings.Contains(c.got(), big) && strings.Contains(c.got(), `"result":"x"`)
				})
				var clientWant, serverWant error
				switch end {
				case "client closes":
					c.Close()
				case "client aborts":
					clientWant = errors.New("enough")
					c.Abort(clientWant)
					if kind == WebSockets {
						serverWant = ErrLost
					}
				case "server closes":
					hub.finish("last words\x1e")
				case "server aborts":
					serverWant = errors.New("enough")
					hub.session.Abort(serverWant)
					if kind == WebSockets {
						clientWant = ErrLost
					}
				}
				if kind != LongPolling || end != "client aborts" { // the server waits 15 s for another poll
					if err := hub.awaitEnd(t); !errors.Is(err, serverWant) {
						t.Errorf("the server ends with %v, want %v", err, serverWant)
					}
				}
				err := c.awaitEnd(t)
				var status *StatusError
				if errors.As(err, &status) && status.Status == http.StatusNotFound && end == "server aborts" {
					err = nil // the next poll was sent after the end
				}
				if !errors.Is(err, clientWant) {
					t.Errorf("the client ends with %v, want %v", err, clientWant)
				}
				if end == "server closes" && !strings.HasSuffix(c.got(), "last words\x1e") {
					t.Errorf("the last words do not arrive: %.100q", c.got())
				}
			})
		}
	}
}

// TestDialFallsBack: a transport that fails is followed by the next one, with a
// fresh negotiation.
func TestDialFallsBack(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	rig.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isWebSocket(r) {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		rig.ServeHTTP(w, r)
	}))
	c := dialCaller(t, DialOptions{URL: rig.url})
	if c.Kind() != ServerSentEvents {
		t.Errorf("got %v", c.Kind())
	}
	c.Abort(nil)
	_ = c.awaitEnd(t)
	c = dialCaller(t, DialOptions{URL: rig.url, Binary: true})
	if c.Kind() != LongPolling {
		t.Errorf("got %v", c.Kind())
	}
	err := Dial(t.Context(), DialOptions{URL: rig.url, Transports: []Kind{WebSockets}}, c.accept)
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusBadGateway {
		t.Errorf("got %v", err)
	}
}

// TestDialLastWord: a POST that finds no connection any more does not keep the
// client from hearing what the server has said last.
func TestDialLastWord(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	refused := make(chan struct{})
	rig.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case wantsEvents(r):
			_, _ = w.Write([]byte(":\r\n"))
			_ = http.NewResponseController(w).Flush()
			<-refused
			_, _ = w.Write([]byte("data: last words\x1e\r\n\r\n"))
		case r.Method == http.MethodPost && r.URL.Query().Has("id"):
			w.WriteHeader(http.StatusNotFound)
			_ = http.NewResponseController(w).Flush()
			close(refused)
		default:
			rig.ServeHTTP(w, r)
		}
	}))
	c := dialCaller(t, DialOptions{URL: rig.url, Transports: []Kind{ServerSentEvents}, CloseTimeout: patience})
	c.say("too late\x1e")
	if err := c.awaitEnd(t); err != nil {
		t.Errorf("Ended(%v), want nil: the stream ended regularly", err)
	}
	if got := c.got(); got != "last words\x1e" {
		t.Errorf("got %q", got)
	}
}

// TestDialPollsAnew: a poll that nobody answers is followed by another one.
func TestDialPollsAnew(t *testing.T) {
	t.Parallel() // it waits for seconds, so that a slow machine has time to answer
	rig := newRig(t, EndpointOptions{})
	var polls atomic.Int32
	rig.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && polls.Add(1) == 2 { // the first one attaches
			<-r.Context().Done()
			return
		}
		rig.ServeHTTP(w, r)
	}))
	c := dialCaller(t, DialOptions{URL: rig.url, Transports: []Kind{LongPolling}, PollTimeout: 2 * time.Second})
	c.say(jsonHandshake)
	eventually(t, "the answer comes", func() bool { return c.got() == "{}\x1e" })
}

// TestDialSkipsNegotiation goes straight to the WebSocket.
func TestDialSkipsNegotiation(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	c := dialCaller(t, DialOptions{URL: rig.url, SkipNegotiation: true, Transports: []Kind{WebSockets}})
	if c.ID() != "" {
		t.Errorf("id %q", c.ID())
	}
	c.say(jsonHandshake)
	eventually(t, "the answer comes", func() bool { return c.got() == "{}\x1e" })
	if err := Dial(t.Context(), DialOptions{URL: rig.url, SkipNegotiation: true}, c.accept); err == nil {
		t.Error("without negotiation there is one transport")
	}
}

// TestNegotiation: redirects with a token of their own, and answers that end it.
func TestNegotiation(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	var answers []string
	seen := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen += r.URL.String() + " " + r.Header.Get("Authorization") + "\n"
		a := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		if a == "404" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(a))
	}))
	defer server.Close()
	o := DialOptions{URL: server.URL + "/h/?a=b", Token: func(context.Context) (string, error) { return "first", nil }}

	answers = []string{`{"url":"/other","accessToken":"second"}`, `{"url":"` + rig.url + `","unknown":[1]}`}
	c := dialCaller(t, o)
	if want := "/h/negotiate?a=b&negotiateVersion=1 Bearer first\n/other/negotiate?negotiateVersion=1 Bearer second\n"; seen != want {
		t.Errorf("the server sees\n%swant\n%s", seen, want)
	}
	if got := rig.hub(t).session.Request().Header.Get("Authorization"); got != "Bearer second" {
		t.Errorf("the hub sees %q", got)
	}
	c.Abort(nil)

	for answer, want := range map[string]string{
		`{"error":"no"}`:               "no",
		`{"ProtocolVersion":"1.5"}`:    "ASP.NET SignalR",
		`{}`:                           "no connection id",
		`<html>`:                       "not what a SignalR server says",
		`404`:                          "404",
		`{"url":"/again"}`:             ErrRedirects.Error(),
		`{"url":"ftp://example.test"}`: "scheme",
		`{"connectionId":"x","availableTransports":[{"transport":"Pigeons","transferFormats":["Text"]}]}`: ErrNoTransport.Error(),
	} {
		answers = []string{answer}
		if err := Dial(t.Context(), o, c.accept); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", answer, err, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestHideQuery: a failing request does not show the connection's token.
func TestHideQuery(t *testing.T) {
	d, err := newDialer(DialOptions{URL: "http://127.0.0.1:1/hub"})
	if err != nil {
		t.Fatal(err)
	}
	d.adopt(&negotiation{ConnectionID: "secret"})
	for _, kind := range dialKinds {
		if err := d.connect(t.Context(), kind, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

// FuzzNegotiation reads any answer to negotiate.
func FuzzNegotiation(f *testing.F) {
	f.Add([]byte(`{"negotiateVersion":1,"connectionId":"a","connectionToken":"b","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}`))
	f.Add([]byte(`{"url":"https://example.test/h?x=1","accessToken":"t"}`))
	f.Add([]byte(`{"error":"no"}`))
	for _, e := range readEdges(f) {
		var a answer
		if strings.Contains(e.Request, "/negotiate") && json.Unmarshal(e.Answer, &a) == nil {
			f.Add([]byte(a.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := parseNegotiation(body)
		if (n == nil) == (err == nil) {
			t.Errorf("%v, %v", n, err)
		}
	})
}

// FuzzEvents reads any event stream; what the server's side writes comes back.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("{}\x1e"), []byte(":\r\n"))
	f.Add([]byte("a\nb\r\nc"), []byte("data: x\n\n"))
	f.Add([]byte(""), []byte("data\n\nid: 1\n\ndata:y\r\n\r\n"))
	f.Fuzz(func(t *testing.T, payload, before []byte) {
		c := &caller{}
		s := &dialed{app: c}
		_ = s.readEvents(strings.NewReader(string(before))) // must only not fail
		c.in.Reset()
		if err := s.readEvents(strings.NewReader(string(appendEvent(nil, payload)))); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(string(payload), "\r\n", "\n")
		if c.got() != want && !strings.HasSuffix(want, "\r") {
			t.Errorf("%q comes back as %q", want, c.got())
		}
	})
}

// TestBelow: the address of negotiate and refresh keeps what the hub's has.
func TestBelow(t *testing.T) {
	for hub, want := range map[string]string{
		"http://example.test":               "http://example.test/negotiate",
		"http://example.test/hub":           "http://example.test/hub/negotiate",
		"http://example.test/hub/?x=1#part": "http://example.test/hub/negotiate?x=1",
		"http://example.test/a%2Fb/hub":     "http://example.test/a%2Fb/hub/negotiate",
		"http://example.test/a%2Fb/":        "http://example.test/a%2Fb/negotiate",
	} {
		d, err := newDialer(DialOptions{URL: hub})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.below("negotiate").String(); got != want {
			t.Errorf("%s: %s, want %s", hub, got, want)
		}
	}
}
