package signalr

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync/atomic"
)

// membership is a connection's being in a group, once: leaving and joining
// again makes another. Fields are guarded by conn.mu.
type membership struct {
	conn      *Conn
	group     string
	joined    bool // by Join, so a failing catch-up does not undo it
	left      bool
	ended     bool              // its last event is queued: it is about to leave
	positions map[string]uint64 // the last position queued, by key
	held      map[string]uint64 // the last position held back, by key
	hold      *queue            // not nil: a catch-up is under way, what the group sends waits here
	catchUp   chan struct{}     // closed when the catch-up under way is over
}

// group is the members of a group on this server, guarded by Hub.mu.
type group struct {
	members  map[*Conn]*membership
	snapshot atomic.Pointer[[]*membership] // nil: to be made anew
}

// list returns the members as they are now; the caller holds Hub.mu, for
// reading at least.
func (g *group) list() []*membership {
	if s := g.snapshot.Load(); s != nil {
		return *s
	}
	s := slices.Collect(maps.Values(g.members))
	g.snapshot.Store(&s)
	return s
}

// members returns a snapshot of a group on this server, not to be changed.
func (h *Hub) members(name string) []*membership {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if g := h.groups[name]; g != nil {
		return g.list()
	}
	return nil
}

// join makes c a member. fresh is false if it was one before. With hold a
// catch-up of the membership begins; busy is not nil if another one is under
// way, and the caller tries again when it is closed.
func (h *Hub) join(ctx context.Context, c *Conn, name string, hold bool) (m *membership, fresh bool, busy <-chan struct{}, err error) {
	if limit := h.opts.Limits.GroupNameBytes; limit > 0 && len(name) > limit {
		return nil, false, nil, ErrGroupName
	}
	topic := Topic{TopicGroup, name}
	if err := h.interest.acquire(ctx, topic); err != nil {
		return nil, false, nil, err
	}
	m, fresh, busy, err = h.addMember(c, name, hold)
	if !fresh {
		h.interest.release(topic)
	}
	return m, fresh, busy, err
}

func (h *Hub) addMember(c *Conn, name string, hold bool) (*membership, bool, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed || c.closing {
		return nil, false, nil, ErrConnectionClosed
	}
	m := c.groups[name]
	fresh := m == nil
	if fresh {
		if limit := h.opts.Limits.GroupsPerConnection; limit > 0 && len(c.groups) >= limit {
			return nil, false, nil, ErrTooManyGroups
		}
		m = &membership{conn: c, group: name}
		h.enter(m)
	}
	if !hold {
		m.joined = true
		return m, fresh, nil, nil
	}
	if m.hold != nil {
		return m, fresh, m.catchUp, nil
	}
	m.hold, m.catchUp = &queue{}, make(chan struct{})
	return m, fresh, nil, nil
}

// enter lists a membership; the caller holds Hub.mu and conn.mu.
func (h *Hub) enter(m *membership) {
	c := m.conn
	if c.groups == nil {
		c.groups = make(map[string]*membership)
	}
	c.groups[m.group] = m
	g := h.groups[m.group]
	if g == nil {
		g = &group{members: make(map[*Conn]*membership)}
		h.groups[m.group] = g
	}
	g.members[c] = m
	g.snapshot.Store(nil)
}

// leave ends a membership; which is nil for whatever membership there is.
// Nothing of the group is queued for c once it has returned.
func (h *Hub) leave(c *Conn, name string, which *membership) {
	if h.removeMember(c, name, which) {
		h.interest.release(Topic{TopicGroup, name})
	}
}

func (h *Hub) removeMember(c *Conn, name string, which *membership) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.groups[name]
	if m == nil || which != nil && m != which {
		return false
	}
	delete(c.groups, name)
	m.left = true
	c.takeHeld(m)
	if g := h.groups[name]; g != nil {
		delete(g.members, c)
		g.snapshot.Store(nil)
		if len(g.members) == 0 {
			delete(h.groups, name)
		}
	}
	return true
}

// leaveEnded ends a membership whose last event has been queued. During a
// catch-up that is left to the catch-up's end.
func (h *Hub) leaveEnded(m *membership) {
	m.conn.mu.Lock()
	ended := m.ended && !m.left && m.hold == nil
	m.conn.mu.Unlock()
	if ended {
		h.leave(m.conn, m.group, m)
	}
}

// leaveAll ends every membership of a connection that has ended.
func (h *Hub) leaveAll(c *Conn) {
	c.mu.Lock()
	c.removed = true // no membership can follow
	names := slices.Collect(maps.Keys(c.groups))
	c.mu.Unlock()
	for _, name := range names {
		h.leave(c, name, nil)
	}
}

// AddToGroup makes a connection, on whatever server, a member of a group, and
// returns when it is one. An id that nobody has is no error. Joining again
// changes nothing.
func (h *Hub) AddToGroup(ctx context.Context, connectionID, group string) error {
	return h.changeGroup(ctx, GroupChange{ConnectionID: connectionID, Group: group})
}

// RemoveFromGroup ends a membership; that there is none is no error.
func (h *Hub) RemoveFromGroup(ctx context.Context, connectionID, group string) error {
	return h.changeGroup(ctx, GroupChange{ConnectionID: connectionID, Group: group, Remove: true})
}

func (h *Hub) changeGroup(ctx context.Context, change GroupChange) error {
	known, err := h.changeGroupHere(ctx, change)
	if known {
		return err
	}
	return h.link.ChangeGroup(ctx, change)
}

// changeGroupHere changes a group of a connection that is here; known is
// whether it is.
func (h *Hub) changeGroupHere(ctx context.Context, change GroupChange) (known bool, err error) {
	c := h.connection(change.ConnectionID)
	if c == nil {
		return false, nil
	}
	if change.Remove {
		h.leave(c, change.Group, nil)
		return true, nil
	}
	_, _, _, err = h.join(ctx, c, change.Group, false)
	return true, err
}

// LocalGroups are the groups that have a member on this server, at the time of
// the call.
func (h *Hub) LocalGroups() iter.Seq[string] {
	h.mu.RLock()
	names := slices.Collect(maps.Keys(h.groups))
	h.mu.RUnlock()
	return slices.Values(names)
}

// Join makes the connection a member of group; being one already changes
// nothing. What others send to the group after Join has returned reaches the
// connection. Errors: ErrConnectionClosed, ErrTooManyGroups, ErrGroupName, and
// what the backplane says.
func (c *Conn) Join(ctx context.Context, group string) error {
	_, _, _, err := c.hub.join(ctx, c, group, false)
	return err
}

// Leave ends the membership; that there is none is no error. What the group
// sends after Leave has returned does not reach the connection. Positions of
// the group are forgotten.
func (c *Conn) Leave(_ context.Context, group string) error {
	c.hub.leave(c, group, nil)
	return nil
}

// Groups are the groups that the connection is in, at the time of the call.
func (c *Conn) Groups() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.groups))
}
