package signalr

import (
	"context"
	"fmt"
	"reflect"
)

// Declaration is an Event or a Query, as HubOptions.Declares lists them.
type Declaration interface {
	declare(d *Description)
}

// Event names a message to clients and its payload. Declare it once, as a
// package variable; send with it on the server, listen with it in the client.
// Safe for concurrent use.
type Event[T any] struct {
	name string
	opts EventOptions[T]
}

// EventOptions say how messages of an event relate to each other. The zero
// value: not at all. The functions must be pure; a panic of theirs becomes the
// error of Send.
type EventOptions[T any] struct {
	// Key tells apart what the event is about, such as a task's id. nil: one
	// key, "".
	Key func(T) string
	// Position orders the events of a key, over all events that are sent to a
	// group with it: for each connection, group and key, one that is not above
	// the last is dropped. So duplicates and stragglers of catch-up, repair and
	// redelivery vanish. nil: no order.
	Position func(T) uint64
	// LatestOnly says that only the newest event of a key matters: while a
	// client lags, it takes the older one out of the queue and goes to the
	// queue's end.
	LatestOnly bool
	// EndsMembership says that the event is the last one of its group: a
	// connection leaves the group as soon as the event has been queued for it,
	// whether it came from the group or from a catch-up. What the group sends
	// afterwards does not reach it; who joins again is a new member.
	EndsMembership bool
}

// NewEvent declares an event. At most one EventOptions may be given.
func NewEvent[T any](name string, opts ...EventOptions[T]) *Event[T] {
	if name == "" {
		panic("signalr: an event needs a name")
	}
	e := &Event[T]{name: name}
	switch len(opts) {
	case 0:
	case 1:
		e.opts = opts[0]
	default:
		panic("signalr: NewEvent takes one EventOptions at most")
	}
	return e
}

// Name returns the name under which clients listen.
func (e *Event[T]) Name() string { return e.name }

// Send sends the event, with payload as its only argument; see Audience.Send.
func (e *Event[T]) Send(ctx context.Context, to Audience, payload T) error {
	if to.hub == nil {
		return fmt.Errorf("signalr: %s is sent to an empty Audience", e.name)
	}
	order, err := e.order(payload)
	if err != nil {
		return err
	}
	return to.send(ctx, to.hub.newPayload("", e.name, []any{payload}), order)
}

// order asks the options what they say of payload.
func (e *Event[T]) order(payload T) (o *Order, err error) {
	if e.opts.Position == nil && !e.opts.LatestOnly && !e.opts.EndsMembership {
		return nil, nil
	}
	defer func() {
		if v := recover(); v != nil {
			o, err = nil, fmt.Errorf("signalr: Key or Position of event %s panicked: %v", e.name, v)
		}
	}()
	o = &Order{Event: e.name, LatestOnly: e.opts.LatestOnly, EndsMembership: e.opts.EndsMembership}
	if e.opts.Key != nil {
		o.Key = e.opts.Key(payload)
	}
	if e.opts.Position != nil {
		o.HasPosition, o.Position = true, e.opts.Position(payload)
	}
	return o, nil
}

func (e *Event[T]) declare(d *Description) {
	d.Events = append(d.Events, EventDescription{Name: e.name, Payload: reflect.TypeFor[T]()})
}

// Query names a method of clients that has a result. Declare it once, as a
// package variable; ask with it on the server, answer with it in the client.
// Safe for concurrent use.
type Query[In, Out any] struct {
	name string
}

// NewQuery declares a query.
func NewQuery[In, Out any](name string) *Query[In, Out] {
	if name == "" {
		panic("signalr: a query needs a name")
	}
	return &Query[In, Out]{name: name}
}

// Name returns the name under which clients answer.
func (q *Query[In, Out]) Name() string { return q.name }

// Ask asks one client, Hub.Client or Conn.Caller, and waits for its answer; see
// Hub.Invoke.
func (q *Query[In, Out]) Ask(ctx context.Context, of Audience, in In) (Out, error) {
	var out Out
	if of.hub == nil || of.kind != TopicConnection || len(of.names) != 1 {
		return out, fmt.Errorf("signalr: %s asks one client: Hub.Client or Conn.Caller", q.name)
	}
	err := of.hub.Invoke(ctx, of.names[0], q.name, &out, in)
	return out, err
}

func (q *Query[In, Out]) declare(d *Description) {
	d.Queries = append(d.Queries, QueryDescription{Name: q.name, In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out]()})
}
