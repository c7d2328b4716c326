package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Hub is what clients connect to: methods that they call, groups that they are
// in, and everything that is sent to them. It is an http.Handler; mount it at
// its path and below:
//
//	mux.Handle("/hubs/chat", hub)
//	mux.Handle("/hubs/chat/", hub)
//
// Register methods with Handle before it serves. All methods are safe for
// concurrent use.
//
// Locks are taken in the order Hub.mu, Conn.mu, sweeper.mu; inbound.mu,
// interest.mu and Hub.callsMu are taken alone, Hub.workMu also under Hub.mu and
// inbound.mu.
// Nothing outside the package is called under any of them.
type Hub struct {
	name      string
	opts      HubOptions
	protocols [len(protocolNames)]wire.Protocol
	enabled   [len(protocolNames)]bool
	endpoint  *transport.Endpoint
	epoch     time.Time // of Hub.now
	sweepers  []*sweeper
	link      Link
	solo      bool // no backplane
	interest  interest
	telemetry telemetry

	methods map[string]*method // by folded name
	exact   map[string]*method // by name as registered
	sealed  atomic.Bool        // methods are fixed

	inUse   [len(protocolNames)]atomic.Int64 // connections by protocol
	dealt   atomic.Uint64                    // sweepers dealt out
	callIDs atomic.Uint64

	mu       sync.RWMutex // first in the lock order
	sessions map[*Conn]struct{}
	conns    map[string]*Conn // after the handshake
	users    map[string]map[*Conn]struct{}
	groups   map[string]*group
	all      atomic.Pointer[[]*Conn] // a snapshot of conns, nil: to be made anew
	closed   bool
	beating  chan struct{} // not nil: the heartbeat goroutine runs; closed to stop it

	callsMu sync.Mutex
	calls   map[string]*clientCall

	workMu sync.Mutex // counts goroutines that run user code, and sessions
	work   int
	idle   chan struct{} // closed when work is 0
}

// NewHub makes a hub. name is what servers that share a backplane know it by,
// and what logs say. It panics on options that cannot work, and if the
// backplane cannot be attached.
func NewHub(name string, opts HubOptions) *Hub {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		panic(fmt.Sprintf("signalr: NewHub %q: %v", name, err))
	}
	h := &Hub{
		name: name, opts: opts, protocols: opts.codecs(), epoch: time.Now(), sweepers: newSweepers(),
		methods: make(map[string]*method), exact: make(map[string]*method),
		sessions: make(map[*Conn]struct{}), conns: make(map[string]*Conn),
		users: make(map[string]map[*Conn]struct{}), groups: make(map[string]*group),
		calls: make(map[string]*clientCall),
	}
	h.opts.Logger = opts.Logger.With("hub", name)
	var err error
	if h.telemetry, err = newTelemetry(opts); err != nil {
		panic(fmt.Sprintf("signalr: NewHub %q: %v", name, err))
	}
	for _, p := range opts.Protocols {
		h.enabled[protocolIndex(p)] = true
	}
	endpoint := transport.EndpointOptions{
		Accept: h.accept, Transports: kinds(opts.Transports), UserID: opts.UserID, MaxPending: opts.Limits.HalfOpen,
		DisconnectTimeout: opts.DisconnectTimeout, SendTimeout: opts.SendTimeout, PollTimeout: opts.PollTimeout,
		CloseTimeout: opts.CloseTimeout, MinNegotiateVersion: opts.MinimumNegotiateVersion,
		AllowStateful: func(*http.Request) bool { return opts.AllowStatefulReconnects }, Logger: h.opts.Logger,
		Renewed: renewed,
	}
	if opts.AuthenticationRefresh {
		endpoint.Lifetime = opts.lifetime
	}
	h.endpoint = transport.NewEndpoint(endpoint)
	h.attach(opts.Backplane)
	return h
}

func (h *Hub) attach(b Backplane) {
	if b == nil {
		h.solo, h.link = true, soloLink{receiver{h}}
		return
	}
	h.interest.link = func() Link { return h.link }
	link, err := b.Attach(h.name, receiver{h})
	if err != nil {
		panic(fmt.Sprintf("signalr: NewHub %q: backplane: %v", h.name, err))
	}
	h.link = link
}

func kinds(transports []Transport) []transport.Kind {
	k := make([]transport.Kind, len(transports))
	for i, t := range transports {
		k[i] = transport.Kind(t)
	}
	return k
}

// Name is the name that NewHub was given.
func (h *Hub) Name() string { return h.name }

// ServeHTTP serves negotiation and the transports of the hub, at whatever path
// it is mounted.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.sealed.Store(true)
	h.endpoint.ServeHTTP(w, r)
}

// Count is the number of connections on this server whose handshake is done.
func (h *Hub) Count() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.conns)
}

// Connections are the connections on this server whose handshake is done, at
// the time of the call.
func (h *Hub) Connections() iter.Seq[*Conn] { return slices.Values(h.list()) }

// Connection returns the connection of that id on this server, nil if there is
// none.
func (h *Hub) Connection(id string) *Conn { return h.connection(id) }

// list is a snapshot of the connections, not to be changed.
func (h *Hub) list() []*Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if s := h.all.Load(); s != nil {
		return *s
	}
	s := slices.Collect(maps.Values(h.conns))
	h.all.Store(&s)
	return s
}

func (h *Hub) connection(id string) *Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.conns[id]
}

func (h *Hub) ofUser(user string) []*Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Keys(h.users[user]))
}

// now is the time since the hub was made, in nanoseconds.
func (h *Hub) now() int64 { return int64(time.Since(h.epoch)) }

// accept starts a connection: it waits for the handshake. A panic in a function
// of the options refuses it.
func (h *Hub) accept(s transport.Session) (app transport.Application, err error) {
	h.sealed.Store(true)
	c := &Conn{hub: h, session: s, id: s.ID(), keepAlive: h.opts.KeepAliveInterval}
	ctx := context.Background()
	if r := s.Request(); r != nil {
		ctx = context.WithoutCancel(r.Context())
	}
	err = h.protect(func() error { c.consult(ctx); return nil })
	if err != nil {
		h.logFailure("connection refused", c, "HubOptions", err)
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.sweeper = h.sweepers[h.dealt.Add(1)%uint64(len(h.sweepers))]
	c.in.done = make(chan struct{})
	c.in.ready = make(chan struct{})
	c.in.settled = make(chan struct{})
	if err := h.admit(c); err != nil {
		return nil, err
	}
	h.telemetry.began(c)
	return (*application)(c), nil
}

// consult has the options say what they know of a new connection.
func (c *Conn) consult(ctx context.Context) {
	opts, r := &c.hub.opts, c.session.Request()
	if r != nil && opts.KeepAlive != nil {
		if d := opts.KeepAlive(r); d > 0 {
			c.keepAlive = d
		}
	}
	c.user = opts.UserID(ctx)
	c.renew(ctx)
}

// admit adds a connection whose handshake is to come.
func (h *Hub) admit(c *Conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrHubClosed
	}
	if limit := h.opts.Limits.HalfOpen; limit > 0 && len(h.sessions)-len(h.conns) >= limit {
		return fmt.Errorf("signalr: %d connections wait for their handshake", limit)
	}
	h.sessions[c] = struct{}{}
	h.addWork()
	c.in.handshake = time.AfterFunc(h.opts.HandshakeTimeout, c.handshakeTimeout)
	if h.beating == nil {
		h.beating = make(chan struct{})
		go h.heartbeat(h.beating)
	}
	return nil
}

// shaken makes the connection one that messages reach, after its handshake.
func (h *Hub) shaken(c *Conn, protocol int, stateful bool) {
	c.mu.Lock()
	c.protocol, c.proto = protocol, h.protocols[protocol]
	c.session.SetBinary(c.proto.Binary())
	if stateful {
		c.reliable = newReliable(c.proto, h.opts.StatefulReconnectBufferSize)
		c.reliable.quiet = quietTicks
	}
	closing := c.closing
	if !closing {
		c.greeting = wire.AppendHandshakeResponse(nil, "") // not written before shaken: who has it is reached by what is sent to all
	}
	c.mu.Unlock()
	if closing {
		return
	}
	if stateful {
		c.session.SetStateful(true)
	}
	c.in.pingSent.Store(h.now())
	c.in.phase.Store(opening)
	h.mu.Lock()
	_, alive := h.sessions[c]
	if alive {
		h.conns[c.id] = c
		h.all.Store(nil)
		h.inUse[protocol].Add(1)
		if c.user != "" {
			if h.users[c.user] == nil {
				h.users[c.user] = make(map[*Conn]struct{})
			}
			h.users[c.user][c] = struct{}{}
		}
	}
	h.mu.Unlock()
	if !alive {
		return
	}
	c.mu.Lock()
	c.shaken = true
	c.wake()
	c.mu.Unlock()
	if h.opts.OnConnected == nil && h.solo {
		c.in.phase.Store(open)
		close(c.in.settled)
		return
	}
	h.start(func() { h.open(c) })
}

// connecting marks the context of OnConnected.
type connecting struct{}

// open runs OnConnected and lets messages in.
func (h *Hub) open(c *Conn) {
	defer close(c.in.settled)
	err := h.subscribe(c)
	if err == nil && h.opts.OnConnected != nil {
		ctx := context.WithValue(c.ctx, connecting{}, c)
		err = h.protect(func() error { return h.opts.OnConnected(ctx, c) })
	}
	if err != nil {
		h.logFailure("connection refused", c, "OnConnected", err)
		c.end(wire.Message{Type: wire.Close, HasError: true, Error: withDetail(closedWithError, err, h.opts.EnableDetailedErrors)}, err)
		c.in.refused = true
		return
	}
	c.opened()
}

// subscribe tells the backplane that the connection and its user are here.
func (h *Hub) subscribe(c *Conn) error {
	topics := []Topic{{TopicConnection, c.id}}
	if c.user != "" {
		topics = append(topics, Topic{TopicUser, c.user})
	}
	for _, topic := range topics {
		if err := h.interest.acquire(c.ctx, topic); err != nil {
			return err
		}
		c.in.topics = append(c.in.topics, topic)
	}
	return nil
}

// ended forgets a connection whose transport has ended, and tells the
// application.
func (h *Hub) ended(c *Conn) {
	c.in.handshake.Stop()
	h.mu.Lock()
	delete(h.sessions, c)
	if len(h.sessions) == 0 && h.beating != nil {
		close(h.beating)
		h.beating = nil
	}
	known := h.conns[c.id] == c
	if known {
		delete(h.conns, c.id)
		h.all.Store(nil)
		h.inUse[c.protocol].Add(-1)
		if mates := h.users[c.user]; mates != nil {
			delete(mates, c)
			if len(mates) == 0 {
				delete(h.users, c.user)
			}
		}
	}
	closed := h.closed
	h.mu.Unlock()
	h.telemetry.ended(c, c.whyEnded(), closed)
	if !known {
		h.doneWork()
		return
	}
	go func() {
		defer h.doneWork()
		h.disconnected(c)
	}()
}

// disconnected runs OnDisconnected when OnConnected has returned, and takes the
// connection out of its groups.
func (h *Hub) disconnected(c *Conn) {
	<-c.in.settled
	if h.opts.OnDisconnected != nil && !c.in.refused {
		err := h.protect(func() error {
			h.opts.OnDisconnected(context.WithoutCancel(c.ctx), c, c.whyEnded())
			return nil
		})
		if err != nil {
			h.logFailure("callback failed", c, "OnDisconnected", err)
		}
	}
	h.leaveAll(c)
	for _, topic := range c.in.topics {
		h.interest.release(topic)
	}
}

// protect runs user code; a panic becomes an error.
func (h *Hub) protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

// logFailure logs what clients are not told.
func (h *Hub) logFailure(what string, c *Conn, target string, err error) {
	attrs := []any{"connection", c.id, "target", target, "error", err}
	if p := (*panicError)(nil); errors.As(err, &p) {
		h.opts.Logger.Error(what, append(attrs, "stack", string(p.stack))...)
		return
	}
	if describeError(err, false) != "" { // made for the caller: nothing is wrong here
		h.opts.Logger.Debug(what, attrs...)
		return
	}
	h.opts.Logger.Warn(what, attrs...)
}

// start runs f, which may run user code, on a goroutine that Shutdown waits
// for.
func (h *Hub) start(f func()) {
	h.addWork()
	go h.run(f)
}

func (h *Hub) run(f func()) {
	defer h.doneWork()
	f()
}

func (h *Hub) addWork() {
	h.workMu.Lock()
	defer h.workMu.Unlock()
	h.work++
}

func (h *Hub) doneWork() {
	h.workMu.Lock()
	defer h.workMu.Unlock()
	h.work--
	if h.work == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}
