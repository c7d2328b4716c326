package signalr

import (
	"context"
	"slices"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// receiver is a hub as its backplane sees it.
type receiver struct{ hub *Hub }

func (r receiver) Protocols() []string { return slices.Clone(r.hub.opts.Protocols) }

func (r receiver) Deliver(ctx context.Context, m *Message, direct bool) error {
	return r.hub.deliver(ctx, m, direct)
}

func (r receiver) ChangeGroup(ctx context.Context, change GroupChange) (known bool, err error) {
	return r.hub.changeGroupHere(ctx, change)
}

func (r receiver) Invoke(ctx context.Context, m *Message) (Result, error) {
	c := r.hub.connection(m.Topic.Name)
	if c == nil {
		return Result{}, ErrNoConnection
	}
	return r.hub.ask(ctx, c, m)
}

// deliver gives m to those of its topic who are connected here. Unless direct,
// it does not wait for slow clients.
func (h *Hub) deliver(ctx context.Context, m *Message, direct bool) error {
	switch m.Topic.Kind {
	case TopicAll:
		return h.deliverTo(ctx, m, direct, h.list()...)
	case TopicUser:
		return h.deliverTo(ctx, m, direct, h.ofUser(m.Topic.Name)...)
	case TopicConnection:
		if c := h.connection(m.Topic.Name); c != nil {
			return h.deliverTo(ctx, m, direct, c)
		}
		return nil
	}
	f := fan{ctx: ctx, hub: h, m: m, direct: direct}
	for _, member := range h.members(m.Topic.Name) {
		f.give(member.conn, member)
	}
	return f.finish()
}

// deliverTo gives m to connections.
func (h *Hub) deliverTo(ctx context.Context, m *Message, direct bool, conns ...*Conn) error {
	f := fan{ctx: ctx, hub: h, m: m, direct: direct}
	for _, c := range conns {
		f.give(c, nil)
	}
	return f.finish()
}

// fan gives one message to many connections, first to all that have room.
type fan struct {
	ctx    context.Context
	hub    *Hub
	m      *Message
	direct bool
	full   []waiter
	err    error
}

// waiter is a connection whose queue was full.
type waiter struct {
	conn *Conn
	d    delivery
}

func (f *fan) give(c *Conn, member *membership) {
	if len(f.m.Except) > 0 && slices.Contains(f.m.Except, c.id) {
		return
	}
	frame, err := f.m.payload.frame(c.protocol)
	if err != nil {
		f.fail(c, err)
		return
	}
	c.traceSent(wire.Invocation, f.m.payload.target, f.m.InvocationID)
	d := delivery{frame: frame, member: member, order: f.m.Order, latest: f.m.latest}
	if c.queue(d) != full {
		f.leaveEnded(member)
		return
	}
	if f.direct && f.hub.opts.SlowClient.wait > 0 {
		f.full = append(f.full, waiter{c, d})
		return
	}
	c.closeSlow()
}

// leaveEnded ends a membership of which this was the last message.
func (f *fan) leaveEnded(member *membership) {
	if member != nil && f.m.Order != nil && f.m.Order.EndsMembership {
		f.hub.leaveEnded(member)
	}
}

// fail: a message of this server that cannot be encoded is the sender's error;
// one that came without the connection's protocol ends the connection, as in
// the reference.
func (f *fan) fail(c *Conn, err error) {
	if f.m.payload.hub != nil {
		f.err = err
		return
	}
	f.hub.logFailure("message cannot be delivered", c, f.m.Topic.Name, err)
	c.fail(err)
}

// finish waits for those that had no room.
func (f *fan) finish() error {
	if len(f.full) == 0 {
		return f.err
	}
	timer := time.NewTimer(f.hub.opts.SlowClient.wait)
	defer timer.Stop()
	over := make(chan time.Time)
	expired := (<-chan time.Time)(timer.C)
	for _, w := range f.full {
		timedOut, err := w.conn.queueBefore(f.ctx, expired, w.d)
		if err != nil {
			return err
		}
		f.leaveEnded(w.d.member)
		if timedOut && expired == timer.C {
			close(over) // the time is over for the others too
			expired = over
		}
	}
	return f.err
}
