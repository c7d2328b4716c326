package signalr

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// inbound is the receiving half of a connection.
type inbound struct {
	phase        atomic.Int32 // handshaking, opening, open
	handshake    *time.Timer  // until it is done
	partial      []byte       // the beginning of a message; belongs to the transport's goroutine
	partialWaits atomic.Bool
	busy         atomic.Int32 // calls of Receive under way: the client's clock stands still
	pinged       atomic.Bool  // the client timeout is armed
	seen         atomic.Int64 // when something was received last, nanoseconds since Hub.epoch
	pingSent     atomic.Int64 // the same of the server's pings

	mu      sync.Mutex    // beside Conn.mu: neither is locked under the other
	waiting []byte        // whole messages received while OnConnected runs
	ready   chan struct{} // closed when OnConnected has returned and waiting is taken in
	settled chan struct{} // closed when OnConnected has returned, if there is any; after it:
	refused bool          // OnConnected failed
	topics  []Topic       // of the backplane, subscribed for this connection
	done    chan struct{} // closed at the end of the connection
	over    bool

	running int             // plain invocations under way
	begins  *invocation     // the one of them that has a turn and has not reached its method
	pending []*invocation   // plain invocations that wait for their turn
	resume  []chan struct{} // those that gave their turn up and want it back
	kept    int             // bytes of calls and items that no method has taken yet
	space   chan struct{}   // closed when pending and kept have room
	calls   map[string]*invocation
	streams int // down or up streams under way
	uploads map[string]*upload
}

// openingBytes is how much is kept of what a client sends while OnConnected
// runs; beyond that reading pauses.
const openingBytes = 64 << 10

// errStop tells the transport to read no more; the connection is ending.
var errStop = errors.New("signalr: the connection is ending")

// receive takes bytes in. It runs no code of the application, and blocks only
// where the client is to be held back.
func (c *Conn) receive(p []byte) error {
	switch c.in.phase.Load() {
	case handshaking:
		rest, err := c.shake(p)
		if err != nil || len(rest) == 0 {
			return err
		}
		return c.receive(rest)
	case opening:
		if c.keep(p) {
			return nil
		}
		select {
		case <-c.in.ready:
		case <-c.in.done:
			return errStop
		}
	}
	return c.assemble(p, c.messages)
}

// shake takes in the handshake request, and returns what came behind it.
func (c *Conn) shake(p []byte) (rest []byte, err error) {
	c.in.partial = append(c.in.partial, p...)
	req, n, err := wire.ParseHandshakeRequest(c.in.partial, c.hub.opts.MaximumReceiveMessageSize)
	if err != nil {
		return nil, c.refuse(err)
	}
	if n == 0 {
		return nil, nil
	}
	i := protocolIndex(req.Protocol)
	switch {
	case i < 0 || !c.hub.enabled[i]:
		return nil, c.refuse(wire.UnsupportedProtocol(req.Protocol))
	case req.Version > wire.MaxVersion:
		return nil, c.refuse(wire.UnsupportedVersion(req.Version, protocolNames[i]))
	case c.hub.protocols[i].Binary() && !c.session.SupportsBinary():
		return nil, c.refuse(wire.UnsupportedTransport(protocolNames[i]))
	case !c.in.handshake.Stop():
		return nil, errStop // too late
	}
	rest = append([]byte(nil), c.in.partial[n:]...)
	c.in.partial = nil
	c.hub.shaken(c, i, req.Version == 2 && c.session.StatefulOffered())
	return rest, nil
}

// refuse answers a handshake with an error and ends the connection.
func (c *Conn) refuse(err error) error {
	text := err.Error()
	var fault *wire.HandshakeError
	if errors.As(err, &fault) {
		text = fault.Sentence(c.hub.opts.EnableDetailedErrors)
	}
	c.mu.Lock()
	if !c.closing {
		c.greeting = wire.AppendHandshakeResponse(nil, text)
	}
	c.mu.Unlock()
	c.hub.opts.Logger.Debug("handshake refused", "connection", c.id, "error", err)
	c.end(wire.Message{Type: wire.Close}, err)
	return errStop
}

// keep stores messages for later; false: there is no room, or no need any more.
// The beginning of a message stays with the transport's goroutine, so that it
// goes when the socket does.
func (c *Conn) keep(p []byte) bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.phase.Load() != opening || len(c.in.waiting)+len(c.in.partial)+len(p) > openingBytes {
		return false
	}
	_ = c.assemble(p, func(buf []byte) (int, error) { // which never fails here
		n := 0
		for n < len(buf) {
			_, size, err := c.proto.Split(buf[n:], c.hub.opts.MaximumReceiveMessageSize)
			if err != nil {
				n = len(buf) // is told when its turn has come
				break
			}
			if size == 0 {
				break
			}
			n += size
		}
		c.in.waiting = append(c.in.waiting, buf[:n]...)
		return n, nil
	})
	return true
}

// opened takes in what came while OnConnected ran, and lets Receive go on.
func (c *Conn) opened() {
	for {
		c.in.mu.Lock()
		waiting := c.in.waiting
		c.in.waiting = nil
		if len(waiting) == 0 {
			c.in.phase.Store(open)
			close(c.in.ready)
			c.in.mu.Unlock()
			return
		}
		c.in.mu.Unlock()
		if _, err := c.messages(waiting); err != nil {
			return
		}
	}
}

// end releases whoever waits in or for the receiving half.
func (in *inbound) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.over {
		in.over = true
		close(in.done)
	}
	in.waiting = nil
}

// dropPartial forgets the beginning of a message.
func (in *inbound) dropPartial() {
	in.partial = nil
	in.partialWaits.Store(false)
}

// messages are used again: parsing needs one each.
var messages = sync.Pool{New: func() any { return new(wire.Message) }}

// assemble joins p to the beginning of a message that came before, has take
// take the whole messages from the front, and keeps what is left.
func (c *Conn) assemble(p []byte, take func(buf []byte) (n int, err error)) error {
	buf := p
	if len(c.in.partial) > 0 {
		c.in.partial = append(c.in.partial, p...)
		buf = c.in.partial
		limit := c.hub.opts.MaximumReceiveMessageSize
		if !wire.MayEnd(c.proto, p) && (limit <= 0 || int64(len(buf)) <= limit) {
			return nil
		}
	}
	n, err := take(buf)
	if err != nil {
		return err
	}
	rest := buf[n:]
	c.in.partialWaits.Store(len(rest) > 0)
	switch {
	case len(rest) == 0:
		c.in.partial = nil
	case len(c.in.partial) == 0 || n > 0:
		c.in.partial = append([]byte(nil), rest...)
	}
	return nil
}

// messages takes in the whole messages at the front of buf, and returns how
// many bytes these are.
func (c *Conn) messages(buf []byte) (n int, err error) {
	m := messages.Get().(*wire.Message)
	defer messages.Put(m)
	for n < len(buf) {
		frame, size, err := c.proto.Split(buf[n:], c.hub.opts.MaximumReceiveMessageSize)
		if err != nil {
			c.fail(err)
			return n, errStop
		}
		if size == 0 {
			break
		}
		n += size
		if err := c.message(frame, m); err != nil {
			return n, err
		}
	}
	return n, nil
}

// message takes in one message.
func (c *Conn) message(frame []byte, m *wire.Message) error {
	if err := c.proto.Parse(frame, m); err != nil {
		if errors.Is(err, wire.ErrUnknownType) {
			c.hub.opts.Logger.Debug("passing over a message of unknown type", "connection", c.id)
			return nil
		}
		c.fail(err)
		return errStop
	}
	c.traceReceived(m)
	if c.reliable != nil && !c.counted(m) {
		return nil
	}
	switch m.Type {
	case wire.Ping:
		c.in.pinged.Store(true)
	case wire.Invocation, wire.StreamInvocation:
		return c.invoked(m)
	case wire.StreamItem:
		return c.uploaded(m)
	case wire.Completion:
		return c.completed(m)
	case wire.CancelInvocation:
		c.cancelled(m.InvocationID)
	case wire.Close:
		var cause error
		if m.HasError {
			cause = Errorf("%s", m.Error)
		}
		c.end(wire.Message{Type: wire.Close}, cause)
		return errStop
	case wire.Ack, wire.Sequence:
		return c.resumption(m)
	}
	return nil
}

// counted numbers a message, where there is stateful reconnect; false: it is a
// duplicate.
func (c *Conn) counted(m *wire.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.reliable
	if r.quiet > 0 {
		r.quiet = 0
		c.wake()
	}
	return !m.Type.Counted() || r.received()
}

// resumption handles Ack and Sequence; without stateful reconnect they mean
// nothing.
func (c *Conn) resumption(m *wire.Message) error {
	c.mu.Lock()
	r := c.reliable
	var err error
	switch {
	case r == nil:
	case m.Type == wire.Ack:
		r.acknowledged(m.SequenceID)
		c.wake()
	default:
		err = r.resume(m.SequenceID)
	}
	c.mu.Unlock()
	if err != nil {
		c.fail(err)
		return errStop
	}
	return nil
}

// completed handles the end of an upload, or the answer to a client result.
func (c *Conn) completed(m *wire.Message) error {
	if c.uploadEnded(m) {
		return nil
	}
	known, err := c.hub.answered(c, m)
	if err != nil {
		c.fail(err)
		return errStop
	}
	if !known {
		c.hub.opts.Logger.Debug("passing over a completion that nobody waits for", "connection", c.id, "invocation", m.InvocationID)
	}
	return nil
}

// handshakeTimeout ends a connection whose handshake did not come.
func (c *Conn) handshakeTimeout() {
	_ = c.refuse(wire.HandshakeCanceled()) // its error is for Receive
}

// errClientTimeout has the reference's words for clients, and ours for callers.
var errClientTimeout = WithType(&sentence{
	text: "Client hasn't sent a message/ping within the configured ClientTimeoutInterval.", is: ErrClientTimeout,
}, "OperationCanceledException")

// sentence is a text of the reference that errors.Is finds as an error of ours.
type sentence struct {
	text string
	is   error
}

func (s *sentence) Error() string { return s.text }
func (s *sentence) Unwrap() error { return s.is }
