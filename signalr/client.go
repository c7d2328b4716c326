package signalr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

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
