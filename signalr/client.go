package signalr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// ClientOptions are the settings of a Client. The zero value is the defaults of
// the official clients; automatic reconnect is off, as there.
type ClientOptions struct {
	// Token is called before every request, of which several may be made at
	// once; what it returns goes along as bearer token in the Authorization
	// header, "" as none. nil: none.
	Token func(ctx context.Context) (string, error)
	// Header goes with every request.
	Header http.Header
	// HTTPClient makes the requests, the WebSocket's included. Its Timeout
	// counts for short requests only. Default: one that keeps cookies, as those
	// of load balancers that send a client to the same server each time.
	HTTPClient *http.Client
	// Transports that may be used; the server's order counts. Default all.
	Transports []Transport
	// SkipNegotiation goes straight to a WebSocket. Transports must be just
	// WebSockets.
	SkipNegotiation bool
	// Protocol is the hub protocol, "json" or "messagepack". Default "json".
	Protocol string
	// Names chooses how struct fields without a json tag are named. Default:
	// CamelCase in JSON, AsDeclared in MessagePack.
	Names Names
	// MessagePackTimes chooses how time.Time travels in MessagePack. Default
	// TimestampExtension.
	MessagePackTimes Times
	// Reconnect is asked after the loss of an established connection, unless
	// the server has forbidden to come back, and after each failed attempt: how
	// long to wait before the next, false to give up. Use DefaultReconnect for
	// 0, 2, 10 and 30 s. nil: no automatic reconnect.
	Reconnect func(Retry) (wait time.Duration, again bool)
	// StatefulReconnect asks the server to keep the connection when its socket
	// is lost. A new one takes its place within 15 s: nothing is lost or comes
	// twice, calls and streams go on, no callback tells of it. Where the server
	// does not come along, or over another transport than WebSockets, nothing
	// changes; where it refuses the new socket, the connection is lost like any
	// other. Default false.
	StatefulReconnect bool
	// StatefulReconnectBufferSize is how many bytes the server may leave
	// unacknowledged, which it does for about a second; beyond that Send and
	// Invoke wait. Default 100000.
	StatefulReconnectBufferSize int64
	// RefreshBeforeExpiration is how long before the end of the credential
	// Token is asked for the next one, with which the connection lives on;
	// never before half of its life is over. Servers of .NET 11 say when it
	// ends. Default 1 min; negative: never, see Client.Refresh. Nothing happens
	// without Token, or where the server does not know of it.
	RefreshBeforeExpiration time.Duration
	// OnRefreshFailed tells that the credential could not be replaced in time;
	// the connection goes on as long as the server lets it. See OnClosed for
	// how it is called.
	OnRefreshFailed func(err error)
	// HandshakeTimeout is the time for the server's answer to the handshake.
	// Default 15 s.
	HandshakeTimeout time.Duration
	// ServerTimeout is the silence that the server may keep; it should be twice
	// the server's KeepAliveInterval. Not used on long polling. Default 30 s;
	// negative: for ever.
	ServerTimeout time.Duration
	// KeepAliveInterval is how long after the last message a ping is sent.
	// Not used on long polling. Default 15 s; negative: never.
	KeepAliveInterval time.Duration
	// QueueMessages limits the messages that wait for handlers and for readers
	// of streams; beyond that the connection ends with ErrSlowClient. Default
	// 65,536.
	QueueMessages int
	// OnReconnecting, OnReconnected and OnClosed tell of changes, one call at a
	// time, in order, on a goroutine of their own. OnReconnected is the place to
	// join groups anew: the connection is a new one, with a new id. The cause
	// given to OnClosed is nil after Stop, and where the server ended regularly.
	OnReconnecting func(cause error)
	OnReconnected  func(connectionID string)
	OnClosed       func(cause error)
	// TracerProvider turns traces on: a span for each call, which the hub's
	// continues, by traceparent in the headers of the message. nil: off.
	TracerProvider trace.TracerProvider
	// Logger gets what goes wrong below, never a token or payload. Default:
	// nowhere.
	Logger *slog.Logger
}

// withDefaults fills in what was left out.
func (o ClientOptions) withDefaults() ClientOptions {
	setDefault(&o.Protocol, "json")
	setDefault(&o.HandshakeTimeout, 15*time.Second)
	setDefault(&o.ServerTimeout, 30*time.Second)
	setDefault(&o.KeepAliveInterval, 15*time.Second)
	setDefault(&o.QueueMessages, 65_536)
	setDefault(&o.StatefulReconnectBufferSize, 100_000)
	setDefault(&o.RefreshBeforeExpiration, time.Minute)
	if o.HTTPClient == nil {
		jar, _ := cookiejar.New(nil) // never fails
		o.HTTPClient = &http.Client{Jar: jar}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate names the first option that cannot work. It is called on options
// that withDefaults has filled in.
func (o ClientOptions) validate() error {
	switch {
	case protocolIndex(o.Protocol) < 0:
		return fmt.Errorf("there is no protocol %q", o.Protocol)
	case o.HandshakeTimeout < 0:
		return fmt.Errorf("HandshakeTimeout is %v, must be positive", o.HandshakeTimeout)
	case o.QueueMessages < 0:
		return fmt.Errorf("QueueMessages is %d, must be positive", o.QueueMessages)
	case o.StatefulReconnectBufferSize < 0:
		return fmt.Errorf("StatefulReconnectBufferSize is %d, must be positive", o.StatefulReconnectBufferSize)
	}
	for _, t := range o.Transports {
		if t != WebSockets && t != ServerSentEvents && t != LongPolling {
			return fmt.Errorf("Transports has %d, must be WebSockets, ServerSentEvents or LongPolling", t) //nolint:staticcheck // the name of the option
		}
	}
	return nil
}

// Retry describes a lost connection to ClientOptions.Reconnect.
type Retry struct {
	Previous int           // attempts that have failed so far
	Elapsed  time.Duration // since the loss
	Cause    error         // of the loss, then of the last failed attempt
}

// DefaultReconnect is the policy of the official clients: attempts after 0, 2,
// 10 and 30 s, then no more.
func DefaultReconnect(r Retry) (wait time.Duration, again bool) {
	delays := [...]time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second}
	if r.Previous >= len(delays) {
		return 0, false
	}
	return delays[r.Previous], true
}

// State is where a Client stands.
type State int

// The states of a Client.
const (
	StateDisconnected  State = iota // before Start, after Stop, given up
	StateConnecting                 // in Start
	StateConnected                  // calls are possible
	StateReconnecting               // lost, trying again
	StateDisconnecting              // in Stop
)

// String returns the name that the official clients give the state.
func (s State) String() string {
	return [...]string{"Disconnected", "Connecting", "Connected", "Reconnecting", "Disconnecting"}[s]
}

// Errors of a Client; test with errors.Is.
var (
	// ErrNotConnected: a call outside StateConnected.
	ErrNotConnected = errors.New("signalr: the client is not connected")
	// ErrStarted: Start outside StateDisconnected.
	ErrStarted = errors.New("signalr: the client is started already")
	// ErrServerTimeout: the server was silent for ServerTimeout.
	ErrServerTimeout = errors.New("signalr: server timeout elapsed without receiving a message from the server")
)

// CallError is the error with which the server answered a call.
type CallError struct {
	Method string
	Text   string // the server's
}

func (e *CallError) Error() string { return e.Text }

// StatusError is an HTTP status that ended an attempt to connect, or to refresh
// the credential, in its field Status: 401, say. Op is what was asked
// ("negotiate", "refresh", ...), Text the server's word for it. Find it with
// errors.As and a *StatusError.
type StatusError = transport.StatusError

// Client is a connection to a hub of any SignalR server. Register handlers with
// On, Event.On and Query.Answer, then Start. All methods are safe for concurrent
// use; a stopped client may be started again.
type Client struct {
	opts     ClientOptions
	protocol wire.Protocol
	casing   wire.Casing
	dial     func(ctx context.Context, accept func(transport.Session) (transport.Application, error)) error

	mu       sync.Mutex
	state    State
	conn     *clientConn                 // while connected
	stopping bool                        // Stop was called
	abort    context.CancelFunc          // ends connecting and waiting to reconnect
	finished chan struct{}               // closed when disconnected again
	handlers map[string][]*clientHandler // slices are replaced, not changed

	notices   []func() // for the callbacks
	notifying bool
}

// NewClient makes a client for the hub at url: http, https, ws or wss. It does
// nothing until Start. It panics on options that cannot work; what is wrong with
// url, Start says.
func NewClient(url string, opts ClientOptions) *Client {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		panic(fmt.Sprintf("signalr: NewClient: %v", err))
	}
	i := protocolIndex(opts.Protocol)
	c := &Client{
		opts:     opts,
		protocol: HubOptions{MessagePackTimes: opts.MessagePackTimes}.codecs()[i],
		casing:   map[Names]wire.Casing{CamelCase: wire.CamelCase, AsDeclared: wire.AsDeclared}[opts.Names],
		handlers: make(map[string][]*clientHandler),
	}
	target := transport.DialOptions{
		URL: url, Header: opts.Header, Token: opts.Token, HTTPClient: opts.HTTPClient,
		SkipNegotiation: opts.SkipNegotiation, Stateful: opts.StatefulReconnect, Binary: c.protocol.Binary(),
	}
	for _, t := range opts.Transports {
		target.Transports = append(target.Transports, transport.Kind(t))
	}
	c.dial = func(ctx context.Context, accept func(transport.Session) (transport.Application, error)) error {
		return transport.Dial(ctx, target, accept)
	}
	return c
}

// State returns where the client stands.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// ConnectionID returns the id of the present connection, which changes with
// every reconnect; "" while there is none, and where negotiation was skipped.
func (c *Client) ConnectionID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return ""
	}
	return c.conn.session.ID()
}

// Start connects and returns when calls are possible. A Start that fails is not
// tried again. ctx bounds the connecting only, which takes 100 s at most. Errors:
// ErrStarted, a *StatusError where an HTTP request was refused, and what the
// network and the handshake say.
func (c *Client) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	if c.state != StateDisconnected {
		c.mu.Unlock()
		return ErrStarted
	}
	c.state, c.stopping, c.abort = StateConnecting, false, cancel
	c.finished = make(chan struct{})
	c.mu.Unlock()

	k, err := c.connect(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.stopping {
		k.session.Abort(nil)
		err = ErrConnectionClosed
	}
	if err != nil {
		c.state, c.abort = StateDisconnected, nil
		close(c.finished)
		return fmt.Errorf("signalr: start: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	c.abort = stop
	c.connected(k)
	go c.supervise(running, k)
	return nil
}

// connected makes k the present connection. Called with mu held.
func (c *Client) connected(k *clientConn) {
	c.state, c.conn = StateConnected, k
	close(k.open)
}

// attemptTimeout bounds one attempt to connect, like the HTTP timeout of the
// official clients.
const attemptTimeout = 100 * time.Second

// connect makes one attempt: transport and handshake.
func (c *Client) connect(ctx context.Context) (*clientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var k *clientConn
	err := c.dial(ctx, func(s transport.Session) (transport.Application, error) {
		k = newClientConn(c, s)
		return k, nil
	})
	if err != nil {
		return nil, err
	}
	timeout := time.NewTimer(c.opts.HandshakeTimeout)
	defer timeout.Stop()
	select {
	case <-k.shaken:
		k.begin()
		return k, nil
	case <-k.done:
		cause, _ := k.outcome()
		return nil, fmt.Errorf("the server disconnected before the handshake was done: %w", orClosed(cause))
	case <-timeout.C:
		err = errors.New("the server did not answer the handshake in time")
	case <-ctx.Done():
		err = ctx.Err()
	}
	k.session.Abort(err)
	return nil, err
}

func orClosed(err error) error {
	if err == nil {
		return ErrConnectionClosed
	}
	return err
}

// supervise follows the connection, and those that replace it, to the end.
func (c *Client) supervise(ctx context.Context, k *clientConn) {
	for {
		<-k.done
		cause, again := k.outcome()
		c.mu.Lock()
		c.conn = nil
		if c.stopping {
			cause, again = nil, false
		}
		again = again && c.opts.Reconnect != nil
		if !again {
			c.closed(cause)
			c.mu.Unlock()
			return
		}
		c.state = StateReconnecting
		c.notify(func() {
			if c.opts.OnReconnecting != nil {
				c.opts.OnReconnecting(cause)
			}
		})
		c.mu.Unlock()

		var err error
		k, err = c.reconnect(ctx, cause)
		c.mu.Lock()
		if err == nil && c.stopping {
			k.session.Abort(nil)
			k = nil
		}
		if k == nil {
			if c.stopping {
				err = nil
			}
			c.closed(err)
			c.mu.Unlock()
			return
		}
		c.connected(k)
		id := k.session.ID()
		c.notify(func() {
			if c.opts.OnReconnected != nil {
				c.opts.OnReconnected(id)
			}
		})
		c.mu.Unlock()
	}
}

// reconnect tries as long as the policy says. It returns nil and why when that
// gives up, or ctx ends.
func (c *Client) reconnect(ctx context.Context, cause error) (*clientConn, error) {
	start := time.Now()
	for failed := 0; ; failed++ {
		wait, again := c.opts.Reconnect(Retry{Previous: failed, Elapsed: time.Since(start), Cause: cause})
		if !again {
			return nil, fmt.Errorf("signalr: reconnect given up after %d failed attempts and %v: %w",
				failed, time.Since(start).Round(time.Second), orClosed(cause))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		k, err := c.connect(ctx)
		if err == nil {
			return k, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		c.opts.Logger.Debug("reconnect failed", "attempt", failed+1, "error", err)
		cause = err
	}
}

// closed is the end of it all. Called with mu held.
func (c *Client) closed(cause error) {
	c.state = StateDisconnected
	c.abort()
	c.notify(func() {
		if c.opts.OnClosed != nil {
			c.opts.OnClosed(cause)
		}
	})
	close(c.finished)
}

// Stop tells the server, ends the connection and waits for that, 5 s at most
// and no longer than ctx; then the connection is cut. Pending calls fail, nothing is reconnected. Stopping a
// client that is not started is fine.
func (c *Client) Stop(ctx context.Context) error {
	c.mu.Lock()
	if c.state == StateDisconnected {
		c.mu.Unlock()
		return nil
	}
	c.stopping = true
	k, finished := c.conn, c.finished
	if c.state != StateDisconnecting {
		c.state = StateDisconnecting
		c.abort()
	}
	c.mu.Unlock()
	if k != nil {
		k.farewell()
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-finished:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	if k != nil {
		k.session.Abort(ctx.Err())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopTimeout is how long a server has to take the end of a connection.
const stopTimeout = 5 * time.Second

// notify has f called after those before it. Called with mu held.
func (c *Client) notify(f func()) {
	c.notices = append(c.notices, f)
	if c.notifying {
		return
	}
	c.notifying = true
	go func() {
		for {
			c.mu.Lock()
			if len(c.notices) == 0 {
				c.notifying = false
				c.mu.Unlock()
				return
			}
			f := c.notices[0]
			c.notices = c.notices[1:]
			c.mu.Unlock()
			f()
		}
	}()
}

// current returns the connection for a call.
func (c *Client) current() (*clientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || c.state != StateConnected {
		return nil, ErrNotConnected
	}
	return c.conn, nil
}
