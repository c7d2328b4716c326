// Package signalrtest connects clients to a hub in memory, for tests of hubs and
// of what uses them: no network, no ports, and time is that of the test, so that
// it works inside testing/synctest.
//
// Connect gives a client that is made for tests of a hub: it fails its test where
// what it waits for does not come within ten seconds.
//
//	c := signalrtest.Connect(t, hub)
//	sum := signalrtest.Invoke[int](c, "Add", 2, 40)
//	c.Expect("Progress").Decode(&event)
//
// Serve gives a server in memory that a signalr.Client connects to, over any
// transport and through any middleware: for tests of programs that use the
// client, of uploads, and of what happens when the network fails.
//
//	server := signalrtest.Serve(t, hub)
//	client := signalr.NewClient(server.URL, signalr.ClientOptions{HTTPClient: server.HTTPClient})
package signalrtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Options are the settings of a Client. The zero value is a JSON client that
// nobody is known about.
type Options struct {
	// Context carries what middleware would have put into the context of the
	// request: who is asking. Its end is not looked at.
	Context context.Context
	// URL and Header are those of the request. Default "/" without headers.
	URL    string
	Header http.Header
	// MessagePack makes the client speak MessagePack. Default JSON.
	MessagePack bool
}

// patience is how long a client waits for what a test expects.
const patience = 10 * time.Second

// Client is a client of a hub. Its methods fail the test that made it; they may
// be called from any goroutine that may do so.
type Client struct {
	t     testing.TB
	conn  io.ReadWriteCloser
	proto wire.Protocol

	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, when something came
	messages []Message     // invocations that nobody has taken
	answers  map[string]*answer
	answerTo map[string]func(args []Value) (any, error)
	lastID   int
	closing  *Closed
	ended    bool
	paused   chan struct{} // not nil: nothing is read until it is closed
	done     chan struct{} // closed when the reader has ended
}

// answer is what has come for one invocation or stream.
type answer struct {
	items  []Value
	result Value
	err    error
	done   bool
}

// Message is an invocation of the client by the hub.
type Message struct {
	Name string
	Args []Value
}

// Decode decodes the first argument into v, a pointer.
func (m Message) Decode(v any) error {
	if len(m.Args) == 0 {
		return fmt.Errorf("%s has no arguments", m.Name)
	}
	return m.Args[0].Decode(v)
}

// Value is an encoded payload.
type Value struct {
	proto wire.Protocol
	raw   wire.Raw
}

// Decode decodes the payload into v, a pointer, as a client's library would.
func (v Value) Decode(into any) error {
	if v.raw == nil {
		return fmt.Errorf("there is no value")
	}
	return v.proto.DecodeValue(v.raw, into)
}

// String is the payload as text: JSON as it is, MessagePack decoded.
func (v Value) String() string {
	if v.raw == nil || !v.proto.Binary() {
		return string(v.raw)
	}
	var decoded any
	if err := v.Decode(&decoded); err != nil {
		return err.Error()
	}
	return fmt.Sprint(decoded)
}

// Closed is a Close message of the hub.
type Closed struct {
	Error          string // "" for none
	AllowReconnect bool
}

// Connect connects a client and returns when the handshake is done. The
// connection is cut at the end of the test.
func Connect(t testing.TB, hub *signalr.Hub, opts ...Options) *Client {
	t.Helper()
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	conn, err := hub.Dial(o.request(t))
	if err != nil {
		t.Fatalf("connecting to the hub: %v", err)
	}
	c := &Client{
		t: t, conn: conn, proto: wire.JSON, changed: make(chan struct{}), answers: make(map[string]*answer),
		answerTo: make(map[string]func([]Value) (any, error)), done: make(chan struct{}),
	}
	if o.MessagePack {
		c.proto = wire.MessagePack
	}
	c.handshake()
	return c
}

func (o Options) request(t testing.TB) *http.Request {
	t.Helper()
	u, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Header: o.Header, Host: u.Host}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if o.Context != nil {
		r = r.WithContext(o.Context)
	}
	return r
}

func (c *Client) handshake() {
	c.t.Helper()
	c.write(wire.AppendHandshakeRequest(nil, wire.HandshakeRequest{Protocol: c.proto.Name(), Version: 1}))
	var buf []byte
	chunk := make([]byte, 4096)
	for {
		n, err := c.conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		text, used, bad := wire.ParseHandshakeResponse(buf, 0)
		switch {
		case bad != nil:
			c.t.Fatalf("handshake: %v", bad)
		case used > 0 && text != "":
			c.t.Fatalf("handshake refused: %s", text)
		case used > 0:
			c.t.Cleanup(c.Cut)
			go c.read(buf[used:])
			return
		case err != nil:
			c.t.Fatalf("handshake: %v", err)
		}
	}
}

// write writes bytes; after the end of the connection they are lost.
func (c *Client) write(b []byte) { _, _ = c.conn.Write(b) }

// read takes in messages until the end.
func (c *Client) read(buf []byte) {
	defer close(c.done)
	chunk := make([]byte, 4096)
	for {
		for {
			frame, n, err := c.proto.Split(buf, 0)
			if err != nil || n == 0 {
				break
			}
			c.take(frame)
			buf = buf[n:]
		}
		c.mu.Lock()
		paused := c.paused
		c.mu.Unlock()
		if paused != nil {
			<-paused
		}
		n, err := c.conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		if err != nil {
			c.note(func() { c.ended = true })
			return
		}
	}
}

// note changes something that others wait for.
func (c *Client) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// take takes in one message.
func (c *Client) take(frame []byte) {
	var m wire.Message
	if err := c.proto.Parse(append([]byte(nil), frame...), &m); err != nil {
		c.t.Errorf("the hub sent what cannot be read: %v", err)
		return
	}
	switch m.Type {
	case wire.Invocation:
		msg := Message{Name: m.Target}
		for _, raw := range m.Arguments {
			msg.Args = append(msg.Args, Value{c.proto, raw})
		}
		if m.InvocationID != "" {
			c.reply(m.InvocationID, msg)
			return
		}
		c.note(func() { c.messages = append(c.messages, msg) })
	case wire.StreamItem, wire.Completion:
		c.note(func() { c.answered(&m) })
	case wire.Close:
		c.note(func() { c.closing = &Closed{Error: m.Error, AllowReconnect: m.AllowReconnect} })
	}
}

func (c *Client) answered(m *wire.Message) {
	a := c.answers[m.InvocationID]
	switch {
	case a == nil:
	case m.Type == wire.StreamItem:
		a.items = append(a.items, Value{c.proto, m.Item})
	default:
		a.done = true
		if m.HasError {
			a.err = fmt.Errorf("%s", m.Error)
		}
		if m.HasResult {
			a.result = Value{c.proto, m.Result}
		}
	}
}

// reply answers a client result.
func (c *Client) reply(id string, msg Message) {
	c.mu.Lock()
	f := c.answerTo[msg.Name]
	c.mu.Unlock()
	m := wire.Message{Type: wire.Completion, InvocationID: id}
	if f == nil {
		m.HasError, m.Error = true, "Client didn't provide a result."
	} else if v, err := f(msg.Args); err != nil {
		m.HasError, m.Error = true, err.Error()
	} else {
		m.HasResult, m.Result = true, c.encode(v)
	}
	c.write(c.proto.Append(nil, &m))
}

func (c *Client) encode(v any) wire.Raw {
	raw, err := c.proto.AppendValue(nil, v, wire.DefaultCasing)
	if err != nil {
		c.t.Errorf("cannot encode %T: %v", v, err)
	}
	return raw
}

// wait waits until ready, which is called under c.mu, returns true.
func (c *Client) wait(what string, ready func() bool) {
	c.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		if ready() {
			c.mu.Unlock()
			return
		}
		changed, ended := c.changed, c.ended
		c.mu.Unlock()
		if ended {
			c.t.Fatalf("the connection ended while waiting for %s", what)
		}
		select {
		case <-changed:
		case <-timeout.C:
			c.t.Fatalf("%s did not come within %v", what, patience)
		}
	}
}

// start sends an invocation that is to be answered.
func (c *Client) start(kind wire.Type, name string, args []any) (id string, a *answer) {
	a = &answer{}
	c.mu.Lock()
	c.lastID++
	id = strconv.Itoa(c.lastID)
	c.answers[id] = a
	c.mu.Unlock()
	c.invocation(kind, id, name, args)
	return id, a
}

func (c *Client) invocation(kind wire.Type, id, name string, args []any) {
	m := wire.Message{Type: kind, InvocationID: id, Target: name}
	for _, arg := range args {
		m.Arguments = append(m.Arguments, c.encode(arg))
	}
	c.write(c.proto.Append(nil, &m))
}
