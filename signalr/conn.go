package signalr

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Conn is one client's connection to a hub, as methods and callbacks see it.
// All methods are safe for concurrent use, and may be called after the end.
type Conn struct {
	hub       *Hub
	session   transport.Session
	id        string
	user      string
	keepAlive time.Duration
	sweeper   *sweeper
	items     Items
	ctx       context.Context // ends with the connection
	cancel    context.CancelCauseFunc
	began     time.Time    // with metrics only
	expired   bool         // the client did not come back in time; set before the end
	expires   atomic.Int64 // of the newest credential, unix milliseconds; 0: never

	// Set by the handshake, before the connection is known to anybody else.
	protocol int // index of protocolNames
	proto    wire.Protocol

	mu        sync.Mutex // after Hub.mu, before sweeper.mu
	out       queue
	shaken    bool          // the handshake is done, messages may be written
	greeting  []byte        // the handshake response, until it is written
	farewell  []byte        // the Close message, until it is written
	ping      bool          // a ping is due
	dirty     bool          // known to the sweeper
	room      chan struct{} // closed when the queue is half empty
	heldBytes int           // of messages that catch-ups hold back
	heldCount int
	groups    map[string]*membership
	closing   bool  // nothing is queued any more
	cause     error // why, for OnDisconnected
	removed   bool  // no membership can be added
	reliable  *reliable

	in inbound
}

// ID is the public id of the connection.
func (c *Conn) ID() string { return c.id }

// UserID is what HubOptions.UserID made of the request that opened the
// connection; "" for nobody.
func (c *Conn) UserID() string { return c.user }

// Context ends when the connection does. It has the values that middleware put
// into the context of the request that opened the connection.
func (c *Conn) Context() context.Context { return c.ctx }

// Request is a trimmed copy of the request that opened the connection: URL,
// Header, Host, RemoteAddr. It must not be changed. Its context is not the
// connection's: see Context.
func (c *Conn) Request() *http.Request { return c.session.Request() }

// Transport is how the client is connected.
func (c *Conn) Transport() Transport { return Transport(c.session.Kind()) }

// Protocol is the name of the hub protocol, "json" or "messagepack".
func (c *Conn) Protocol() string { return protocolNames[c.protocol] }

// Hub is the hub that the connection belongs to.
func (c *Conn) Hub() *Hub { return c.hub }

// Items are values of the application, kept as long as the connection.
func (c *Conn) Items() *Items { return &c.items }

// Items keeps values by key, like a sync.Map. The zero value is ready, and safe
// for concurrent use.
type Items struct {
	mu     sync.Mutex
	values map[any]any
}

// Load returns the value of key, and whether there is one.
func (i *Items) Load(key any) (value any, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	value, ok = i.values[key]
	return value, ok
}

// Store sets the value of key.
func (i *Items) Store(key, value any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.values == nil {
		i.values = make(map[any]any)
	}
	i.values[key] = value
}

// Delete removes the value of key.
func (i *Items) Delete(key any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.values, key)
}

// Abort ends the connection after what was sent to it before; clients do not
// reconnect by themselves. The method that calls it gets no answer to its
// caller any more. OnDisconnected has no cause.
func (c *Conn) Abort() {
	c.end(wire.Message{Type: wire.Close}, nil)
}

// Close ends the connection after what was sent to it before. reason is shown
// to the client; "" is none. With allowReconnect clients that reconnect by
// themselves do so.
func (c *Conn) Close(reason string, allowReconnect bool) {
	m := wire.Message{Type: wire.Close, HasError: reason != "", Error: reason, AllowReconnect: allowReconnect}
	c.end(m, nil)
}

// closedWithError is the reference's base sentence.
const closedWithError = "Connection closed with an error."

// fail ends the connection because of err: a fault of the client, or of the
// server while it served the client (fact sheet hub-protocol 9.3).
func (c *Conn) fail(err error) {
	var fault *wire.ProtocolError
	if errors.As(err, &fault) {
		cause := errors.New(fault.Text)
		if strings.HasPrefix(fault.Text, "The maximum message size of ") {
			cause = &causedBy{fault.Text, ErrMessageTooLarge}
		}
		err = WithType(cause, fault.Type)
	}
	c.end(wire.Message{Type: wire.Close, HasError: true, AllowReconnect: true,
		Error: withDetail(closedWithError, err, c.hub.opts.EnableDetailedErrors)}, err)
}

// causedBy is an error with a text of its own that errors.Is finds a cause in.
type causedBy struct {
	text  string
	cause error
}

func (e *causedBy) Error() string { return e.text }
func (e *causedBy) Unwrap() error { return e.cause }

// closeSlow ends a connection that does not take what is sent to it: what
// waits is dropped.
func (c *Conn) closeSlow() {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.out.drop()
	c.mu.Unlock()
	c.hub.opts.Logger.Warn("closing a slow client", "connection", c.id)
	c.fail(ErrSlowClient)
}

// end queues the Close message as the last one and has the transport end. The
// first call counts. cause goes to OnDisconnected.
func (c *Conn) end(farewell wire.Message, cause error) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return
	}
	c.closing = true
	c.cause = cause
	tell := c.proto != nil
	if tell {
		c.farewell = c.proto.Append(nil, &farewell)
	}
	c.signalRoom()
	c.mu.Unlock()
	if tell {
		c.traceSent(wire.Close, "", "")
	}
	c.in.end()
	c.cancel(ErrConnectionClosed)
	c.session.SetStateful(false)
	c.session.Close()
	c.session.Flush()
}

// whyEnded is the cause of the end, nil for a regular one.
func (c *Conn) whyEnded() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Where a connection stands.
const (
	handshaking int32 = iota
	opening           // OnConnected runs
	open
)
