package signalr

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Backplane joins the hubs of one name on several servers, so that a message
// to a group reaches its members wherever they are connected. What every
// implementation must do is tested by backplanetest.Run.
//
// One value may serve several hubs, at the same time.
type Backplane interface {
	// Attach enters a hub of this server. The link may call r from now on,
	// from any goroutine.
	Attach(hub string, r Receiver) (Link, error)
}

// Link is one hub's side of a backplane. All methods are safe for concurrent
// use; those with a context return when it ends.
type Link interface {
	// Publish hands m to every hub of the name that may have somebody to give
	// it to, this one included, by Receiver.Deliver. What one goroutine
	// publishes to one topic arrives in that order. The link takes what it
	// needs of m before it returns.
	Publish(ctx context.Context, m *Message) error
	// Subscribe says that this server now has somebody for topic; when it
	// returns, what others publish to topic afterwards arrives. Called once for
	// each topic until Unsubscribe. TopicAll is subscribed from the start.
	Subscribe(ctx context.Context, topic Topic) error
	// Unsubscribe says that nobody is left for topic.
	Unsubscribe(topic Topic)
	// ChangeGroup has the server of a connection that is not here change its
	// group, and returns when that is done, or when it is known that nobody has
	// the connection, which is no error. Backplanes that cannot know it return
	// when ctx or a time of their own ends.
	ChangeGroup(ctx context.Context, change GroupChange) error
	// Invoke has the server of a connection that is not here ask the client,
	// and returns the answer; ErrNoConnection if nobody has it. m has the
	// topic of the connection and an InvocationID.
	Invoke(ctx context.Context, m *Message) (Result, error)
	// Close leaves; nothing arrives any more when it has returned.
	Close() error
}

// Receiver is the hub as its link sees it. All methods are safe for concurrent
// use.
type Receiver interface {
	// Deliver gives m to those of its topic who are connected here. direct says
	// that the sender waits for the call (and its context counts), so that
	// SlowClient's Wait may make it wait; otherwise Deliver never blocks.
	Deliver(ctx context.Context, m *Message, direct bool) error
	// ChangeGroup changes a group of a connection that is here; known is
	// whether it is.
	ChangeGroup(ctx context.Context, change GroupChange) (known bool, err error)
	// Invoke asks a client that is connected here and waits for its answer, or
	// returns ErrNoConnection at once.
	Invoke(ctx context.Context, m *Message) (Result, error)
	// Protocols are the names of the hub protocols that messages are to carry.
	Protocols() []string
}

// TopicKind is the kind of a Topic.
type TopicKind int

// The kinds of topics.
const (
	TopicAll TopicKind = iota + 1
	TopicConnection
	TopicGroup
	TopicUser
)

// Topic is what messages are published to: everybody, one connection, one
// group or one user of a hub. Name is empty for TopicAll.
type Topic struct {
	Kind TopicKind
	Name string
}

// GroupChange adds a connection to a group or removes it.
type GroupChange struct {
	ConnectionID string
	Group        string
	Remove       bool
}

// Result is a client's answer to an invocation: a value, encoded in the
// client's hub protocol, or an error text.
type Result struct {
	Protocol string
	Value    []byte // nil if the client answered without a value
	HasError bool
	Error    string
}

// Order is what an event declares beside its payload; see EventOptions.
type Order struct {
	Event       string
	Key         string
	Position    uint64
	HasPosition bool
	LatestOnly  bool
	// EndsMembership travels for groups only.
	EndsMembership bool
}

// Message is one invocation of clients on its way to a topic. It belongs to the
// goroutine that sends it, or delivers it, until that has returned.
type Message struct {
	// Topic says for whom it is.
	Topic Topic
	// Except are the ids of connections that are passed over, for TopicAll and
	// TopicGroup.
	Except []string
	// InvocationID is set for client results.
	InvocationID string
	// Order is nil for messages without order; the zero value otherwise holds.
	Order *Order

	payload *payload
	latest  *queueKey // where Order says LatestOnly
}

// NewMessage makes a message that arrived from another server. encoded holds
// the framed invocation by the name of the hub protocol.
func NewMessage(topic Topic, except []string, invocationID string, order *Order, encoded map[string][]byte) *Message {
	p := &payload{}
	for name, frame := range encoded {
		if i := protocolIndex(name); i >= 0 {
			p.frames[i] = frame
		}
	}
	m := &Message{Topic: topic, Except: except, InvocationID: invocationID, Order: order, payload: p}
	m.setLatest()
	return m
}

// Bytes returns the framed invocation as it goes to a client of the protocol.
// The caller must not change it, may keep it, and must call it before Publish
// or Invoke returns.
func (m *Message) Bytes(protocol string) ([]byte, error) {
	i := protocolIndex(protocol)
	if i < 0 {
		return nil, fmt.Errorf("signalr: unknown hub protocol %q", protocol)
	}
	return m.payload.frame(i)
}

// setLatest derives what a queue needs of the order.
func (m *Message) setLatest() {
	if m.Order == nil || !m.Order.LatestOnly {
		return
	}
	key := queueKey{event: m.Order.Event, key: m.Order.Key}
	if m.Topic.Kind == TopicGroup {
		key.group = m.Topic.Name
	}
	m.latest = &key
}

// soloLink is the link of a hub without a backplane.
type soloLink struct{ hub Receiver }

func (l soloLink) Publish(ctx context.Context, m *Message) error {
	return l.hub.Deliver(ctx, m, true)
}
func (soloLink) Subscribe(context.Context, Topic) error         { return nil }
func (soloLink) Unsubscribe(Topic)                              {}
func (soloLink) ChangeGroup(context.Context, GroupChange) error { return nil }
func (soloLink) Invoke(_ context.Context, m *Message) (Result, error) {
	return Result{}, ErrNoConnection
}
func (soloLink) Close() error { return nil }

// MemoryBackplane joins hubs of one process: several servers in a test, or
// several hubs that share their clients. The zero value is ready. Safe for
// concurrent use.
type MemoryBackplane struct {
	mu    sync.RWMutex
	links map[string][]*memoryLink // by hub name, in the order of Attach; slices are never changed
}

// Attach implements Backplane.
func (b *MemoryBackplane) Attach(hub string, r Receiver) (Link, error) {
	l := &memoryLink{plane: b, hub: hub, receiver: r}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.links == nil {
		b.links = make(map[string][]*memoryLink)
	}
	old := b.links[hub]
	b.links[hub] = append(old[:len(old):len(old)], l)
	return l, nil
}

// memoryLink hands everything over directly, so senders wait for members on
// all servers.
type memoryLink struct {
	plane    *MemoryBackplane
	hub      string
	receiver Receiver
}

func (l *memoryLink) all() []*memoryLink {
	l.plane.mu.RLock()
	defer l.plane.mu.RUnlock()
	return l.plane.links[l.hub]
}

func (l *memoryLink) Publish(ctx context.Context, m *Message) error {
	var first error
	for _, other := range l.all() {
		if err := other.receiver.Deliver(ctx, m, true); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (l *memoryLink) Subscribe(context.Context, Topic) error { return nil }
func (l *memoryLink) Unsubscribe(Topic)                      {}

func (l *memoryLink) ChangeGroup(ctx context.Context, change GroupChange) error {
	for _, other := range l.all() {
		if other == l {
			continue
		}
		if known, err := other.receiver.ChangeGroup(ctx, change); known {
			return err
		}
	}
	return nil
}

func (l *memoryLink) Invoke(ctx context.Context, m *Message) (Result, error) {
	for _, other := range l.all() {
		if other == l {
			continue
		}
		if r, err := other.receiver.Invoke(ctx, m); !errors.Is(err, ErrNoConnection) {
			return r, err
		}
	}
	return Result{}, ErrNoConnection
}

func (l *memoryLink) Close() error {
	l.plane.mu.Lock()
	defer l.plane.mu.Unlock()
	var rest []*memoryLink
	for _, other := range l.plane.links[l.hub] {
		if other != l {
			rest = append(rest, other)
		}
	}
	l.plane.links[l.hub] = rest
	return nil
}
