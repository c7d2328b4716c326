package signalr

import (
	"context"
	"maps"
)

// Joining is a connection that is catching up with a group; see Conn.CatchUp.
// It is valid while the callback runs; its methods are safe for concurrent use.
type Joining struct {
	member *membership
}

// Conn is the connection.
func (j *Joining) Conn() *Conn { return j.member.conn }

// Group is the name of the group.
func (j *Joining) Group() string { return j.member.group }

// Audience is the connection alone, as a member of the group: what is sent to
// it has the group's positions and goes before what the group sends meanwhile.
// Where the connection's queue is full, Send waits for room, however SlowClient
// is set.
func (j *Joining) Audience() Audience {
	return Audience{hub: j.member.conn.hub, kind: TopicGroup, names: []string{j.member.group}, joiner: j}
}

// Position is the last position of key that was queued for this membership,
// and whether there is one; for a connection that joined before.
func (j *Joining) Position(key string) (position uint64, ok bool) {
	j.member.conn.mu.Lock()
	defer j.member.conn.mu.Unlock()
	position, ok = j.member.positions[key]
	return position, ok
}

// Reached notes that the joiner has everything of key up to position from
// elsewhere: what is not above it is dropped, as if it had been sent here.
func (j *Joining) Reached(key string, position uint64) {
	m := j.member
	m.conn.mu.Lock()
	defer m.conn.mu.Unlock()
	if last, ok := m.positions[key]; ok && last >= position {
		return
	}
	if m.positions == nil {
		m.positions = make(map[string]uint64)
	}
	m.positions[key] = position
}

// deliver queues m for the joiner, before what is held back.
func (j *Joining) deliver(ctx context.Context, m *Message) error {
	c := j.member.conn
	frame, err := m.payload.frame(c.protocol)
	if err != nil {
		return err
	}
	return c.queueWaiting(ctx, delivery{frame: frame, member: j.member, order: m.Order, latest: m.latest, joining: true})
}

// CatchUp joins the group and, in one operation, sends the connection what it
// has missed. While fn runs, what the group sends to this connection is held
// back; fn reads what there is and sends it to Joining.Audience. Then follows
// what was held back, without the events that are not above the positions that
// fn has sent: so, if whoever publishes stores first and fn reads then, nothing
// is lost, nothing comes twice, and positions rise strictly.
//
// CatchUp returns the last position queued of each key. A connection that is a
// member already gets only what is above its positions. If fn fails, the
// membership is undone, unless it was there before, and the error is returned.
// Catch-ups of one connection with one group run one after the other. What is
// held back counts against the connection's queue.
func (c *Conn) CatchUp(ctx context.Context, group string, fn func(ctx context.Context, j *Joining) error) (map[string]uint64, error) {
	m, fresh, err := c.startCatchUp(ctx, group)
	if err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if !done { // fn failed, or panicked
			c.undoCatchUp(m, fresh)
		}
	}()
	if err := fn(ctx, &Joining{member: m}); err != nil {
		return nil, err
	}
	done = true
	return c.endCatchUp(m)
}

// startCatchUp joins and begins to hold back, in one step, when no other
// catch-up of the membership is under way.
func (c *Conn) startCatchUp(ctx context.Context, group string) (*membership, bool, error) {
	for {
		m, fresh, busy, err := c.hub.join(ctx, c, group, true)
		if busy == nil {
			return m, fresh, err
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// undoCatchUp ends a catch-up that failed.
func (c *Conn) undoCatchUp(m *membership, fresh bool) {
	c.mu.Lock()
	leave := fresh && !m.joined
	c.mu.Unlock()
	if leave {
		c.hub.leave(c, m.group, m)
	}
	_, _ = c.endCatchUp(m) // its error is of no interest here
}

// endCatchUp queues what was held back, and returns the positions.
func (c *Conn) endCatchUp(m *membership) (map[string]uint64, error) {
	defer c.hub.leaveEnded(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.takeHeld(m); held != nil {
		for e, ok := held.pop(); ok; e, ok = held.pop() {
			c.put(delivery{frame: e.frame, member: m, order: e.order, latest: e.latest})
		}
	}
	if c.closing {
		return nil, ErrConnectionClosed
	}
	return maps.Clone(m.positions), nil
}

// takeHeld ends the holding back of m, if there is any, and returns what was
// held. The caller holds c.mu.
func (c *Conn) takeHeld(m *membership) *queue {
	held := m.hold
	if held == nil {
		return nil
	}
	close(m.catchUp)
	m.hold, m.held, m.catchUp = nil, nil, nil
	c.heldBytes -= held.bytes
	c.heldCount -= held.count
	c.signalRoom()
	return held
}
