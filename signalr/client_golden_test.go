package signalr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// scripted is a server that replays a recorded conversation: it expects the
// client's messages, compares them, and says what the server said.
type scripted struct {
	t       *testing.T
	proto   wire.Protocol
	version int // of the handshake
	session transport.Session

	mu     sync.Mutex
	script []line
	in     []byte
	out    []byte
	shaken bool
	end    bool // the server's Close is in out
}

// line is one message of a conversation.
type line struct {
	client bool
	msg    wire.Message
}

// ourID turns an id of the JavaScript client, which counts from 0, into ours,
// which counts from 1. Ids of the server stay.
func ourID(id string) string {
	if n, err := strconv.Atoi(id); err == nil {
		return strconv.Itoa(n + 1)
	}
	return id
}

// readScript reads a recording from behind the handshake up to the first Close,
// without the pings, of which nobody knows when they come.
// js: the client counts like the official one in JavaScript.
func readScript(t *testing.T, file string, proto wire.Protocol, js bool) (script []line) {
	t.Helper()
	shaken := map[string]bool{}
	for _, piece := range readPieces(t, file) {
		buf := piece.data
		if !shaken[piece.from] {
			shaken[piece.from] = true
			_, buf, _ = bytes.Cut(buf, []byte{wire.Separator})
		}
		for len(buf) > 0 {
			inside, n, err := proto.Split(buf, 0)
			if err != nil || n == 0 {
				t.Fatalf("%q: %v", buf, err)
			}
			var m wire.Message
			if err := proto.Parse(append([]byte(nil), inside...), &m); err != nil {
				t.Fatal(err)
			}
			buf = buf[n:]
			if js {
				m = ours(m)
			}
			if m.Type == wire.Ping {
				continue
			}
			if m.Type == wire.Close && piece.from == "client" {
				return script
			}
			script = append(script, line{piece.from == "client", m})
			if m.Type == wire.Close {
				return script
			}
		}
	}
	return script
}

// ours turns a message of the JavaScript client, or to it, into one of ours.
func ours(m wire.Message) wire.Message {
	m.InvocationID = ourID(m.InvocationID)
	for i, id := range m.StreamIDs {
		m.StreamIDs[i] = ourID(id)
	}
	if strings.HasPrefix(m.Error, "up failed") { // .NET's words are ours
		m.Error = "Stream errored by client: 'up failed'"
	}
	m.Error = strings.TrimPrefix(m.Error, "Error: ") // JavaScript puts the type before the text
	return m
}

// piece is what one side has sent, in the order of the recording.
type piece struct {
	from string
	data []byte
}

// readPieces reads the frames of a WebSocket, or the POSTs, polls and events.
func readPieces(t *testing.T, file string) (pieces []piece) {
	t.Helper()
	if !strings.Contains(file, "/http/") {
		for _, f := range readFrames(t, file) {
			if f.Kind != "close" {
				pieces = append(pieces, piece{f.From, f.bytes(t)})
			}
		}
		return pieces
	}
	polls := map[*exchange]bool{} // answers that carry messages
	for _, e := range readExchanges(t, file) {
		method, target, _ := strings.Cut(e.HTTP, " ")
		switch {
		case method == http.MethodGet && e.answer != nil && e.answer.Headers["content-type"] == "application/octet-stream":
			polls[e.answer] = true
		case method == http.MethodPost && strings.Contains(target, "?id="), polls[e]:
			if data := e.payload(t); len(data) > 0 {
				pieces = append(pieces, piece{e.From, data})
			}
		case e.Chunk != nil && strings.HasSuffix(e.Text, "\x1e"): // the rest is the form of an event
			pieces = append(pieces, piece{e.From, []byte(e.Text)})
		}
	}
	return pieces
}

func (s *scripted) Receive(p []byte) error {
	s.mu.Lock()
	s.in = append(s.in, p...)
	if !s.shaken {
		req, n, err := wire.ParseHandshakeRequest(s.in, 0)
		if err != nil || n == 0 || req.Protocol != s.proto.Name() || req.Version != s.version {
			s.t.Errorf("handshake %q", s.in)
		}
		s.shaken, s.in = true, s.in[n:]
		s.out = wire.AppendHandshakeResponse(s.out, "")
	}
	for {
		inside, n, err := s.proto.Split(s.in, 0)
		if err != nil {
			s.t.Error(err)
		}
		if n == 0 {
			break
		}
		var m wire.Message
		if err := s.proto.Parse(inside, &m); err != nil {
			s.t.Error(err)
		}
		s.heard(&m)
		s.in = s.in[n:]
	}
	s.mu.Unlock()
	s.session.Flush()
	return nil
}

// heard compares a message of the client with the next one of the recording,
// and answers what follows there.
func (s *scripted) heard(m *wire.Message) {
	if m.Type == wire.Ping || m.Type == wire.Close || len(s.script) == 0 {
		return
	}
	want := s.script[0]
	s.script = s.script[1:]
	if !want.client {
		s.t.Errorf("the client says %v out of turn", m.Type)
	}
	if diff := cmp.Diff(shown(&want.msg), shown(m)); diff != "" {
		s.t.Errorf("the client's message (-recorded +ours):\n%s", diff)
	}
	for len(s.script) > 0 && !s.script[0].client {
		s.out = s.proto.Append(s.out, &s.script[0].msg)
		s.end = s.script[0].msg.Type == wire.Close
		s.script = s.script[1:]
	}
}

// shown shows what a message says.
func shown(m *wire.Message) string {
	return fmt.Sprintf("%v id %q target %q args %q streams %q item %q result %v %q error %v %q",
		m.Type, m.InvocationID, m.Target, m.Arguments, m.StreamIDs, m.Item, m.HasResult, m.Result, m.HasError, m.Error)
}

func (s *scripted) Next(dst []byte, _ int) ([]byte, bool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dst = append(dst, s.out...)
	s.out = nil
	return dst, false, s.end
}

func (s *scripted) PeerClosed() {}
func (s *scripted) Lost()       {}
func (s *scripted) Resumed()    {}
func (s *scripted) Ended(error) {}

// goldenObject is the argument of EchoObject: name in JSON, Name in MessagePack.
type goldenObject struct {
	Name  string
	Value int
}

// asks does what the recorded client did, each call awaited.
var asks = map[string]func(t *testing.T, ctx context.Context, c *Client, detailed bool){
	"calls": func(t *testing.T, ctx context.Context, c *Client, detailed bool) {
		var text string
		var sum int
		var object goldenObject
		answer(t, c.Invoke(ctx, "Echo", &text, "hello"), "")
		answer(t, c.Invoke(ctx, "Add", &sum, 2, 3), "")
		answer(t, c.Invoke(ctx, "Nothing", nil), "")
		answer(t, c.Invoke(ctx, "EchoObject", &object, goldenObject{"n", 7}), "")
		var mu sync.Mutex
		var got []any
		c.On("Message", func(s string) { mu.Lock(); defer mu.Unlock(); got = append(got, s) })
		numbers := make(chan struct{})
		c.On("Number", func(n int) {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, n); n == 2 {
				close(numbers)
			}
		})
		answer(t, c.Send(ctx, "SendToCaller", "你好 <b>"), "")
		answer(t, c.Invoke(ctx, "Burst", nil, 3), "")
		<-numbers
		if text != "hello" || sum != 5 || object != (goldenObject{"n", 7}) {
			t.Errorf("answers %q %d %v", text, sum, object)
		}
		if diff := cmp.Diff([]any{"你好 <b>", 0, 1, 2}, got); diff != "" {
			t.Error(diff)
		}
	},
	"errors": func(t *testing.T, ctx context.Context, c *Client, detailed bool) {
		answer(t, c.Invoke(ctx, "NoSuchMethod", nil), "Method does not exist.")
		detail := func(text string) string {
			if detailed {
				return text
			}
			return "on the server."
		}
		answer(t, c.Invoke(ctx, "Add", nil, 1), detail("provides 1 argument(s)"))
		answer(t, c.Invoke(ctx, "Add", nil, 1, 2, 3), detail("provides 3 argument(s)"))
		answer(t, c.Invoke(ctx, "Add", nil, "a", "b"), detail("Error binding arguments"))
		answer(t, c.Invoke(ctx, "Throw", nil, "secret"), detail("InvalidOperationException: secret"))
		answer(t, c.Invoke(ctx, "ThrowHub", nil, "no such task"), "HubException: no such task")
		answer(t, c.Invoke(ctx, "Counter", nil, 1, 0), "streaming 'Counter' method with a non-streaming")
		_, err := collect(Stream[string](ctx, c, "Echo", "a"), 0)
		answer(t, err, "non-streaming 'Echo'")
		_, err = collect(Stream[string](ctx, c, "NoSuchStream"), 0)
		answer(t, err, "Method does not exist.")
		answer(t, c.Send(ctx, "NoSuchMethod"), "")
		answer(t, c.Invoke(ctx, "Echo", nil, "still here"), "")
	},
	"results": func(t *testing.T, ctx context.Context, c *Client, detailed bool) {
		off := c.On("Ask", func(question string) (string, error) {
			if question == "bad" {
				return "", errors.New("nope")
			}
			return question + "!", nil
		})
		var s string
		answer(t, c.Invoke(ctx, "AskCaller", &s, "sure"), "")
		answer(t, c.Invoke(ctx, "AskCaller", nil, "bad"), "nope")
		off()
		answer(t, c.Invoke(ctx, "AskCaller", nil, "nobody"), "Client didn't provide a result.")
		if s != "sure!" {
			t.Errorf("the answer is %q", s)
		}
	},
	"abort": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		answer(t, c.Send(ctx, "Abort"), "")
	},
	"toolarge": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		if err := c.Invoke(ctx, "Echo", nil, strings.Repeat("x", 33_000)); !errors.Is(err, ErrConnectionClosed) {
			t.Errorf("got %v", err)
		}
	},
	"skip": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		answer(t, c.Invoke(ctx, "Echo", nil, "x"), "")
	},
	"idle": func(*testing.T, context.Context, *Client, bool) {},
	"dotnet11-client": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		answer(t, c.Invoke(ctx, "Echo", nil, "x"), "")
		counted, err := collect(Stream[int](ctx, c, "Counter", 2, 0), 0)
		answer(t, err, "")
		if len(counted) != 2 {
			t.Errorf("stream %v", counted)
		}
	},
	"streams": func(t *testing.T, ctx context.Context, c *Client, detailed bool) {
		counted, err := collect(Stream[int](ctx, c, "Counter", 3, 0), 0)
		answer(t, err, "")
		_, err = collect(Stream[int](ctx, c, "FailAfter", 2), 0)
		answer(t, err, "stream failed")
		_, err = collect(Stream[int](ctx, c, "Counter", 100000, 20), 2)
		answer(t, err, "")
		var joined string
		answer(t, c.Invoke(ctx, "Concat", &joined, uploadOf(nil, "a", "b")), "")
		answer(t, c.Invoke(ctx, "Concat", nil, uploadOf(errors.New("up failed"))), "up failed")
		upper, err := collect(Stream[string](ctx, c, "Upper", uploadOf(nil, "a")), 0)
		answer(t, err, "")
		if len(counted) != 3 || joined != "ab" || len(upper) != 1 || upper[0] != "A" {
			t.Errorf("streams %v %q %v", counted, joined, upper)
		}
	},
}

// collect reads a stream to its end, or n items of it.
func collect[T any](stream iter.Seq2[T, error], n int) (items []T, err error) {
	for v, err := range stream {
		if err != nil {
			return items, err
		}
		if items = append(items, v); len(items) == n {
			break
		}
	}
	return items, nil
}

func uploadOf(fail error, items ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, s := range items {
			if !yield(s, nil) {
				return
			}
		}
		if fail != nil {
			yield("", fail)
		}
	}
}

func answer(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestClientGolden has the client do what the official one did, over the same
// transport, against what ASP.NET Core answered, and compares its messages.
func TestClientGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("testdata/conversations/http/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, more...) {
		name := strings.TrimPrefix(file, "testdata/conversations/")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := ClientOptions{Transports: []Transport{WebSockets}, Protocol: "json"}
			if strings.Contains(name, "messagepack") {
				opts.Protocol = "messagepack"
			}
			if strings.Contains(name, "http/") {
				opts.Transports = []Transport{LongPolling}
			}
			if strings.Contains(name, "ServerSentEvents") {
				opts.Transports = []Transport{ServerSentEvents}
			}
			what, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(name, "http/"), "without-details."), ".")
			goldenClient(t, file, what, !strings.Contains(name, "without-details"), opts)
		})
	}
}

func goldenClient(t *testing.T, file, what string, detailed bool, opts ClientOptions) {
	ask := asks[what]
	if ask == nil {
		t.Fatal("nobody asks this")
	}
	opts.SkipNegotiation = what == "skip"
	opts.StatefulReconnect = what == "dotnet11-client"
	closed := make(chan error, 1)
	opts.OnClosed = func(err error) { closed <- err }
	server := &scripted{t: t, version: 1}
	if opts.StatefulReconnect && opts.Transports[0] == WebSockets {
		server.version = 2
	}
	endpoint := transport.NewEndpoint(transport.EndpointOptions{
		AllowStateful: func(*http.Request) bool { return true },
		Accept:        func(s transport.Session) (transport.Application, error) { server.session = s; return server, nil },
	})
	web := httptest.NewServer(endpoint)
	defer web.Close()
	c := NewClient(web.URL+"/testhub", opts)
	server.proto, server.script = c.protocol, readScript(t, file, c.protocol, what != "dotnet11-client")
	ctx, cancel := context.WithTimeout(t.Context(), clientPatience)
	defer cancel()
	var last wire.Message
	if n := len(server.script); n > 0 { // nothing is left of idle
		last = server.script[n-1].msg
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ask(t, ctx, c, detailed)
	if last.Type == wire.Close {
		cause := <-closed
		if (cause != nil) != last.HasError || cause != nil && !strings.Contains(cause.Error(), last.Error) {
			t.Errorf("closed because of %v, the server said %q", cause, last.Error)
		}
	}
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := endpoint.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if len(server.script) > 0 {
		t.Errorf("%d messages of the recording are left", len(server.script))
	}
}

// FuzzClient gives a client any bytes from its server, in pieces.
func FuzzClient(f *testing.F) {
	f.Add([]byte("{}\x1e{\"type\":1,\"target\":\"M\",\"arguments\":[1]}\x1e{\"type\":7}\x1e"), uint8(3), false)
	f.Add([]byte("{}\x1e{\"type\":2,\"invocationId\":\"1\",\"item\":1}\x1e{\"type\":3,\"invocationId\":\"1\",\"result\":1}\x1e"), uint8(200), false)
	f.Add([]byte("{}\x1e{\"type\":9,\"sequenceId\":1}\x1e{\"type\":1,\"target\":\"Q\",\"invocationId\":\"a\",\"arguments\":[1]}\x1e{\"type\":8,\"sequenceId\":-1}\x1e"), uint8(2), false)
	f.Add([]byte("{}\x1e\x0d\x96\x01\x80\xa11\xa1M\x91\xa1x\x90"), uint8(7), true)
	f.Fuzz(func(t *testing.T, data []byte, step uint8, pack bool) {
		opts := ClientOptions{QueueMessages: 4}
		if pack {
			opts.Protocol = "messagepack"
		}
		c := NewClient("http://example.test", opts)
		c.On("M", func(v any) {})
		c.On("Q", func(v any) any { return v })
		k := newClientConn(c, quietSession{stateful: step%2 == 0})
		k.calls["1"] = &pendingCall{id: "1", stream: true, changed: make(chan struct{}, 1)}
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+int(step))
			if k.Receive(rest[:n]) != nil {
				break
			}
			if rest = rest[n:]; len(rest)%7 == 0 {
				k.Lost()
				k.Resumed()
				k.Next(nil, 100)
			}
		}
		k.Ended(nil)
	})
}

// quietSession is a session without a transport.
type quietSession struct {
	transport.Session
	stateful bool
}

func (q quietSession) StatefulOffered() bool { return q.stateful }
func (quietSession) SetStateful(bool)        {}
func (quietSession) SetBinary(bool)          {}
func (quietSession) Flush()                  {}
func (quietSession) Close()                  {}
