package signalr

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// clientConn is one connection of a Client: what the transport calls.
//
// The handshake goes out first; what follows the answer are messages. Each of
// the server's invocations waits for the handlers, which run one after the
// other on a goroutine that exists while there is something to do. Those that
// want a result run beside them.
type clientConn struct {
	client  *Client
	session transport.Session
	proto   wire.Protocol
	ctx     context.Context // ends with the connection; handlers get it
	cancel  context.CancelFunc

	shaken chan struct{} // closed when the handshake is done
	open   chan struct{} // closed when the client counts as connected
	done   chan struct{} // closed at the end

	epoch time.Time
	seen  atomic.Int64 // when something was received last, nanoseconds since epoch
	sent  atomic.Int64 // the same of sending
	busy  atomic.Int32 // calls of Receive under way

	// Of the goroutine that calls Receive.
	partial []byte
	ready   bool // the handshake is done
	message wire.Message

	mu          sync.Mutex
	out         [][]byte
	outBytes    int
	room        chan struct{} // closed when out has room
	leaving     bool          // out ends with our Close
	ended       bool
	cause       error // why it ended, for the outcome
	serverClose bool  // a Close message came
	noReturn    bool  // and it does not allow to reconnect
	lastID      uint64
	calls       map[string]*pendingCall
	inbox       []func() // handlers to be run
	dispatching bool
	waiting     int // inbox and items of streams
}

var _ transport.Application = (*clientConn)(nil)

// clientQueueBytes is how much waits to be sent before senders wait.
const clientQueueBytes = 1 << 20

func newClientConn(c *Client, s transport.Session) *clientConn {
	k := &clientConn{
		client: c, session: s, proto: c.protocol, epoch: time.Now(),
		shaken: make(chan struct{}), open: make(chan struct{}), done: make(chan struct{}),
		calls: make(map[string]*pendingCall),
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.out = [][]byte{wire.AppendHandshakeRequest(nil, wire.HandshakeRequest{Protocol: k.proto.Name(), Version: 1})}
	return k
}

func (k *clientConn) now() int64 { return int64(time.Since(k.epoch)) }

// begin follows the handshake: a first ping, which starts the server's clock,
// and then the watch over both clocks. Long polling has neither.
func (k *clientConn) begin() {
	if k.session.Kind() == transport.LongPolling {
		return
	}
	if k.client.opts.KeepAliveInterval > 0 {
		k.ping(true)
	}
	go k.watch()
}

// ping sends a ping; unless always, only if nothing better waits to be sent.
func (k *clientConn) ping(always bool) {
	k.mu.Lock()
	idle := (always || len(k.out) == 0) && !k.leaving && !k.ended
	if idle {
		k.out = append(k.out, k.proto.Append(nil, &wire.Message{Type: wire.Ping}))
	}
	k.mu.Unlock()
	if idle {
		k.session.Flush()
	}
}

// watch sends pings and looks for the server's silence, about once a second as
// the .NET client does.
func (k *clientConn) watch() {
	o := k.client.opts
	tick := time.Second
	for _, d := range []time.Duration{o.KeepAliveInterval, o.ServerTimeout} {
		if d > 0 {
			tick = min(tick, d)
		}
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-k.done:
			return
		case <-ticker.C:
		}
		now := k.now()
		if o.ServerTimeout > 0 && k.busy.Load() == 0 && now-k.seen.Load() >= int64(o.ServerTimeout) {
			k.session.Abort(fmt.Errorf("%w (%v)", ErrServerTimeout, o.ServerTimeout))
			return
		}
		if o.KeepAliveInterval > 0 && now-k.sent.Load() >= int64(o.KeepAliveInterval) {
			k.ping(false)
		}
	}
}

// queue has a frame sent after those before it. It waits while too much waits.
func (k *clientConn) queue(ctx context.Context, frame []byte) error {
	k.mu.Lock()
	for {
		if k.ended || k.leaving {
			k.mu.Unlock()
			return ErrConnectionClosed
		}
		if k.outBytes == 0 || k.outBytes+len(frame) <= clientQueueBytes {
			k.out = append(k.out, frame)
			k.outBytes += len(frame)
			k.mu.Unlock()
			k.session.Flush()
			return nil
		}
		if k.room == nil {
			k.room = make(chan struct{})
		}
		room := k.room
		k.mu.Unlock()
		select {
		case <-room:
		case <-k.done:
			return ErrConnectionClosed
		case <-ctx.Done():
			return ctx.Err()
		}
		k.mu.Lock()
	}
}

// farewell sends a Close behind what waits, and then ends.
func (k *clientConn) farewell() {
	k.mu.Lock()
	if !k.leaving && !k.ended {
		k.leaving = true
		k.out = append(k.out, k.proto.Append(nil, &wire.Message{Type: wire.Close}))
	}
	k.mu.Unlock()
	k.session.Flush()
}

// Next implements transport.Application, as do the following.
func (k *clientConn) Next(dst []byte, max int) (out []byte, more, end bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	start, i := len(dst), 0
	for ; i < len(k.out) && (i == 0 || len(dst)-start+len(k.out[i]) <= max); i++ {
		dst = append(dst, k.out[i]...)
		k.out[i] = nil
	}
	if k.out = k.out[i:]; len(k.out) == 0 {
		k.out, k.outBytes = nil, 0
	}
	if k.room != nil && len(k.out) == 0 {
		close(k.room)
		k.room = nil
	}
	if i > 0 {
		k.sent.Store(k.now())
	}
	return dst, len(k.out) > 0, k.leaving && len(k.out) == 0
}

func (k *clientConn) PeerClosed() {}
func (k *clientConn) Lost()       {}
func (k *clientConn) Resumed()    {}

func (k *clientConn) Ended(err error) {
	k.mu.Lock()
	k.ended = true
	if k.cause == nil && !k.serverClose {
		k.cause = err
	}
	calls := k.calls
	k.calls = nil
	cause := k.cause
	k.mu.Unlock()
	for _, call := range calls {
		call.fail(closedBy(cause))
	}
	k.cancel()
	close(k.done)
}

// closedBy is the error of calls that the end of the connection has ended.
func closedBy(cause error) error {
	if cause == nil {
		return ErrConnectionClosed
	}
	return fmt.Errorf("%w: %w", ErrConnectionClosed, cause)
}

// outcome returns why the connection has ended and whether the client may come
// back.
func (k *clientConn) outcome() (cause error, again bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cause, !k.noReturn
}

func (k *clientConn) Receive(p []byte) error {
	k.busy.Add(1)
	defer k.busy.Add(-1)
	defer func() { k.seen.Store(k.now()) }()
	buf := p
	if len(k.partial) > 0 {
		k.partial = append(k.partial, p...)
		buf = k.partial
	}
	n, err := k.take(buf)
	if err != nil {
		k.partial = nil
		return err
	}
	k.partial = append(k.partial[:0], buf[n:]...)
	if len(k.partial) == 0 && cap(k.partial) > 64<<10 {
		k.partial = nil
	}
	return nil
}

// take takes in the whole messages of buf and returns how many bytes these are.
func (k *clientConn) take(buf []byte) (n int, err error) {
	if !k.ready {
		text, size, err := wire.ParseHandshakeResponse(buf, 0)
		switch {
		case err != nil:
			return 0, fmt.Errorf("the answer to the handshake: %w", err)
		case size == 0:
			return 0, nil
		case text != "":
			return 0, fmt.Errorf("the server refuses the handshake: %s", text)
		}
		k.ready = true
		k.session.SetBinary(k.proto.Binary())
		close(k.shaken)
		n = size
	}
	for {
		frame, size, err := k.proto.Split(buf[n:], 0)
		if err != nil {
			return n, err
		}
		if size == 0 {
			return n, nil
		}
		n += size
		err = k.proto.Parse(frame, &k.message)
		switch {
		case errors.Is(err, wire.ErrUnknownType):
			k.client.opts.Logger.Info("unknown message type ignored")
			continue
		case err != nil:
			return n, err
		}
		if err := k.handle(&k.message); err != nil {
			return n, err
		}
	}
}

var errServerClosed = errors.New("signalr: the server has closed the connection")

// handle acts on one message.
func (k *clientConn) handle(m *wire.Message) error {
	switch m.Type {
	case wire.Invocation:
		return k.invoked(m)
	case wire.StreamItem:
		return k.item(m)
	case wire.Completion:
		k.completed(m)
	case wire.Close:
		k.mu.Lock()
		k.serverClose, k.noReturn = true, !m.AllowReconnect
		switch {
		case m.HasError && k.cause == nil:
			k.cause = fmt.Errorf("the server closed the connection with the error: %s", m.Error)
		case m.AllowReconnect && k.cause == nil:
			k.cause = errServerClosed
		}
		k.mu.Unlock()
		k.session.Close()
		return errServerClosed // nothing counts any more
	}
	return nil
}

// item gives an item to the stream that wants it.
func (k *clientConn) item(m *wire.Message) error {
	k.mu.Lock()
	call := k.calls[m.InvocationID]
	if call == nil || !call.stream || call.unread.Load() {
		k.mu.Unlock()
		return nil // late, or never asked for
	}
	err := k.wait(1)
	k.mu.Unlock()
	if err == nil {
		call.add(append(wire.Raw(nil), m.Item...))
	}
	return err
}

// wait counts n more messages that wait. Called with mu held.
func (k *clientConn) wait(n int) error {
	if k.waiting+n > k.client.opts.QueueMessages {
		return ErrSlowClient
	}
	k.waiting += n
	return nil
}

// taken counts n messages that wait no longer.
func (k *clientConn) taken(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting -= n
}

func (k *clientConn) completed(m *wire.Message) {
	k.mu.Lock()
	call := k.calls[m.InvocationID]
	delete(k.calls, m.InvocationID)
	k.mu.Unlock()
	if call == nil {
		return
	}
	if m.HasError {
		call.fail(&CallError{Method: call.name, Text: m.Error})
		return
	}
	call.complete(m.HasResult, append(wire.Raw(nil), m.Result...))
}

// newID makes the id of a call or of an upload, from "1" on. Called with mu
// held.
func (k *clientConn) newID() string {
	k.lastID++
	return strconv.FormatUint(k.lastID, 10)
}
