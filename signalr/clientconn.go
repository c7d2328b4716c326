package signalr

import (
	"context"
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
	greeting    []byte   // goes before all else: the handshake, then the first ping
	out         [][]byte // messages that count
	outBytes    int
	pingDue     bool          // a ping is to be written, unless something better is
	reliable    *reliable     // with stateful reconnect, from the handshake on
	room        chan struct{} // closed when out may have room
	leaving     bool          // out ends with our Close
	farewelled  bool          // that was written
	ended       bool
	cause       error // why it ended, for the outcome
	serverClose bool  // a Close message came
	noReturn    bool  // and it does not allow to reconnect
	lastID      uint64
	calls       map[string]*pendingCall
	inbox       []func() // handlers to be run
	dispatching bool
	waiting     int // inbox and items of streams
	refresh     *time.Timer
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
	version := 1
	if s.StatefulOffered() {
		version = 2
	}
	k.greeting = wire.AppendHandshakeRequest(nil, wire.HandshakeRequest{Protocol: k.proto.Name(), Version: version})
	return k
}

func (k *clientConn) now() int64 { return int64(time.Since(k.epoch)) }

// begin follows the handshake: a first ping, which starts the server's clock,
// and then the watch over both clocks. Long polling has neither.
func (k *clientConn) begin() {
	k.scheduleRefresh()
	if k.session.Kind() == transport.LongPolling {
		return
	}
	if k.client.opts.KeepAliveInterval > 0 {
		k.mu.Lock()
		k.greeting = k.proto.Append(k.greeting, &wire.Message{Type: wire.Ping})
		k.mu.Unlock()
		k.session.Flush()
	}
	go k.watch()
}

// watch sends pings and acknowledgements and looks for the server's silence,
// about once a second as the .NET client does.
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
	var acked int64 // when acknowledgements were looked at
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
		ping := o.KeepAliveInterval > 0 && now-k.sent.Load() >= int64(o.KeepAliveInterval)
		ack := now-acked >= int64(ackPeriod)
		if ack {
			acked = now
		}
		if k.due(ping, ack) {
			k.session.Flush()
		}
	}
}

// ackPeriod is how often messages are acknowledged where there is stateful
// reconnect.
const ackPeriod = time.Second

// due has a ping and an acknowledgement written if there is need; it reports
// whether there is.
func (k *clientConn) due(ping, ack bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaving || k.ended {
		return false
	}
	k.pingDue = k.pingDue || ping
	return ack && k.reliable != nil && k.reliable.tick() || ping
}

// queue has a frame sent after those before it. It waits while too much waits,
// or, with stateful reconnect, too much is not acknowledged.
func (k *clientConn) queue(ctx context.Context, frame []byte) error {
	k.mu.Lock()
	for {
		if k.ended || k.leaving {
			k.mu.Unlock()
			return ErrConnectionClosed
		}
		if !k.full(len(frame)) {
			k.push(frame)
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

// full reports whether a frame of size bytes has to wait. Called with mu held.
func (k *clientConn) full(size int) bool {
	if r := k.reliable; r != nil && r.bytes+int64(k.outBytes) > r.limit {
		return true
	}
	return k.outBytes > 0 && k.outBytes+size > clientQueueBytes
}

// push queues a frame whatever waits. Called with mu held.
func (k *clientConn) push(frame []byte) {
	k.out = append(k.out, frame)
	k.outBytes += len(frame)
}

// farewell sends a Close behind what waits, and then ends.
func (k *clientConn) farewell() {
	k.session.SetStateful(false)
	k.mu.Lock()
	k.leaving = true
	k.mu.Unlock()
	k.session.Flush()
}

// Next implements transport.Application, as do the following. The order is
// handshake, first ping; Sequence, repeated messages, Ack; messages; Close or
// Ping.
func (k *clientConn) Next(dst []byte, max int) (out []byte, more, end bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	start, r := len(dst), k.reliable
	dst = append(dst, k.greeting...)
	k.greeting = nil
	if r != nil {
		dst, more = r.write(dst, start, max)
	}
	i := 0
	for ; !more && i < len(k.out) && (r == nil || k.leaving || !r.blocked()); i++ {
		frame := k.out[i]
		if more = len(dst) > start && len(dst)-start+len(frame) > max; more {
			break
		}
		dst = append(dst, frame...)
		if r != nil {
			r.number(frame)
		}
		k.out[i] = nil
		k.outBytes -= len(frame)
	}
	if k.out = k.out[i:]; len(k.out) == 0 {
		k.out = nil
	}
	if i > 0 {
		k.signalRoom()
	}
	switch {
	case k.leaving && !more:
		if !k.farewelled {
			k.farewelled = true
			dst = k.proto.Append(dst, &wire.Message{Type: wire.Close})
		}
		end = true
	case k.pingDue && len(dst) == start:
		dst = k.proto.Append(dst, &wire.Message{Type: wire.Ping})
	}
	k.pingDue = false
	if len(dst) > start {
		k.sent.Store(k.now())
	}
	return dst, more, end
}

// signalRoom has those who wait for room look again. Called with mu held.
func (k *clientConn) signalRoom() {
	if k.room != nil {
		close(k.room)
		k.room = nil
	}
}

func (k *clientConn) PeerClosed() {}

func (k *clientConn) Lost() {
	k.partial = nil
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reliable != nil {
		k.reliable.lose()
	}
}

func (k *clientConn) Resumed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reliable != nil {
		k.reliable.resumed()
	}
}

func (k *clientConn) Ended(err error) {
	k.mu.Lock()
	k.ended = true
	if k.cause == nil && !k.serverClose {
		k.cause = err
	}
	calls := k.calls
	k.calls = nil
	cause := k.cause
	k.out, k.outBytes, k.reliable = nil, 0, nil
	if k.refresh != nil {
		k.refresh.Stop()
	}
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

// newID makes the id of a call or of an upload, from "1" on. Called with mu
// held.
func (k *clientConn) newID() string {
	k.lastID++
	return strconv.FormatUint(k.lastID, 10)
}
