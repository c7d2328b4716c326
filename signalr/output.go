package signalr

import (
	"context"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// delivery is one framed message for one connection.
type delivery struct {
	frame   []byte
	member  *membership // not nil: it is for a member of a group
	order   *Order
	latest  *queueKey
	joining bool // from the callback of a catch-up: not held back
}

// outcome says what became of a delivery.
type outcome int

const (
	queued  outcome = iota // it will be written
	dropped                // not above the position, or the membership has ended
	gone                   // the connection is closing
	full                   // the queue has no room
)

// queue puts a message at the end of the connection's queue. It never blocks.
func (c *Conn) queue(d delivery) outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tryQueue(d)
}

func (c *Conn) tryQueue(d delivery) outcome {
	m := d.member
	switch {
	case c.closing:
		return gone
	case m != nil && (m.left || m.ended):
		return dropped
	case stale(d):
		if m.hold == nil && d.order.EndsMembership {
			m.ended = true // it has that, and nothing can follow
		}
		return dropped
	case !c.fits(d):
		return full
	case m != nil && m.hold != nil && !d.joining:
		c.hold(d)
		return queued
	}
	c.put(d)
	return queued
}

// stale reports whether a position at least as high was queued before.
func stale(d delivery) bool {
	if d.member == nil || d.order == nil || !d.order.HasPosition {
		return false
	}
	if last, ok := d.member.positions[d.order.Key]; ok && d.order.Position <= last {
		return true
	}
	if d.member.hold == nil || d.joining {
		return false
	}
	last, ok := d.member.held[d.order.Key]
	return ok && d.order.Position <= last
}

// fits reports whether the limits have room, after a latest-only message has
// taken an older one out. An empty queue takes anything, whatever is held back:
// a catch-up must be able to come to its end.
func (c *Conn) fits(d delivery) bool {
	bytes, count := c.out.bytes+c.heldBytes, c.out.count+c.heldCount
	q := &c.out
	if d.member != nil && d.member.hold != nil && !d.joining {
		q = d.member.hold
	} else if c.out.count == 0 {
		return true
	}
	if old := q.replaced(d.latest); old >= 0 {
		bytes -= old
		count--
	}
	return count == 0 || bytes+len(d.frame) <= c.hub.opts.QueueBytes && count < c.hub.opts.QueueMessages
}

// hold keeps a message for the end of the catch-up under way.
func (c *Conn) hold(d delivery) {
	m := d.member
	bytes, count := m.hold.bytes, m.hold.count
	m.hold.push(entry{frame: d.frame, order: d.order, latest: d.latest})
	c.heldBytes += m.hold.bytes - bytes
	c.heldCount += m.hold.count - count
	if d.order != nil && d.order.HasPosition {
		if m.held == nil {
			m.held = make(map[string]uint64)
		}
		m.held[d.order.Key] = d.order.Position
	}
}

// put queues a message whatever the limits say, unless it is stale.
func (c *Conn) put(d delivery) {
	if c.closing || stale(d) || d.member != nil && d.member.ended {
		return
	}
	c.out.push(entry{frame: d.frame, latest: d.latest})
	if d.member != nil && d.order != nil {
		d.member.ended = d.order.EndsMembership
	}
	if d.member != nil && d.order != nil && d.order.HasPosition {
		if d.member.positions == nil {
			d.member.positions = make(map[string]uint64)
		}
		d.member.positions[d.order.Key] = d.order.Position
	}
	c.wake()
}

// wake has a sweeper look at the connection. The caller holds c.mu.
func (c *Conn) wake() {
	if !c.dirty {
		c.dirty = true
		c.sweeper.add(c)
	}
}

// sweep is what the sweeper does with the connection.
func (c *Conn) sweep() {
	c.mu.Lock()
	c.dirty = false
	c.mu.Unlock()
	c.session.Flush()
}

// halfEmpty reports whether senders that wait may go on. The caller holds c.mu.
func (c *Conn) halfEmpty() bool {
	return c.out.count == 0 || c.out.bytes+c.heldBytes <= c.hub.opts.QueueBytes/2 && c.out.count+c.heldCount <= c.hub.opts.QueueMessages/2
}

// signalRoom lets those go on who wait for room, if there is enough. The caller
// holds c.mu.
func (c *Conn) signalRoom() {
	if c.room != nil && (c.closing || c.halfEmpty()) {
		close(c.room)
		c.room = nil
	}
}

// roomSignal returns what is closed when the queue is half empty, or the
// connection closes. The caller holds c.mu.
func (c *Conn) roomSignal() <-chan struct{} {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

// queueWaiting queues a message as soon as there is room. This is how answers,
// streams and catch-ups are sent: the client's own pace holds them back, and
// the transport ends a client that takes nothing at all. Errors: that of ctx,
// ErrConnectionClosed.
func (c *Conn) queueWaiting(ctx context.Context, d delivery) error {
	for {
		c.mu.Lock()
		result := c.tryQueue(d)
		if result != full {
			c.mu.Unlock()
			if result == gone {
				return ErrConnectionClosed
			}
			return nil
		}
		room := c.roomSignal()
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// queueBefore queues a message as soon as there is room. When timeout fires the
// connection is closed, which is no error of the sender's; the error is that of
// ctx.
func (c *Conn) queueBefore(ctx context.Context, timeout <-chan time.Time, d delivery) (timedOut bool, err error) {
	for {
		c.mu.Lock()
		if c.tryQueue(d) != full {
			c.mu.Unlock()
			return false, nil
		}
		room := c.roomSignal()
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timeout:
			c.closeSlow()
			return true, nil
		}
	}
}

// next hands over what waits, in the order handshake response, Sequence,
// repeated messages, Ack, messages, Close or Ping.
func (c *Conn) next(dst []byte, max int) (out []byte, more, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.shaken && !c.closing {
		return dst, false, false
	}
	start := len(dst)
	dst = append(dst, c.greeting...)
	c.greeting = nil
	if c.reliable != nil {
		dst, more = c.reliable.write(dst, start, max)
	}
	for !more {
		frame := c.out.peek()
		if frame == nil || c.reliable != nil && c.reliable.blocked() && !c.closing {
			break
		}
		if n := len(dst) - start; n > 0 && n+len(frame) > max {
			more = true
			break
		}
		c.out.pop()
		if c.reliable != nil {
			c.reliable.number(frame)
		}
		dst = append(dst, frame...)
	}
	if c.closing && !more {
		dst = append(dst, c.farewell...)
		c.farewell = nil
		end = true
	} else if c.ping && len(dst) == start {
		dst = append(dst, pings[c.protocol]...)
	}
	c.ping = false
	c.signalRoom()
	return dst, more, end
}

// pings are the framed pings of the protocols.
var pings = func() (p [len(protocolNames)][]byte) {
	for i, proto := range defaultProtocols {
		p[i] = proto.Append(nil, &wire.Message{Type: wire.Ping})
	}
	return p
}()
