package signalr

import (
	"context"
	"errors"
	"fmt"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Audience is whom a message goes to. It is a value: make it once or for each
// send, use it from any goroutine. An audience that nobody belongs to is
// legal; the message then goes nowhere.
type Audience struct {
	hub    *Hub
	kind   TopicKind
	names  []string // connections, groups or users
	except []string
	local  bool     // this server only
	joiner *Joining // the one connection that is catching up
}

// All is every connection of the hub, on all servers.
func (h *Hub) All() Audience { return Audience{hub: h, kind: TopicAll} }

// AllExcept is every connection but these.
func (h *Hub) AllExcept(ids ...string) Audience {
	return Audience{hub: h, kind: TopicAll, except: ids}
}

// Client is the connection of that id, on whatever server.
func (h *Hub) Client(id string) Audience { return h.Clients(id) }

// Clients are the connections of these ids.
func (h *Hub) Clients(ids ...string) Audience {
	return Audience{hub: h, kind: TopicConnection, names: ids}
}

// Group is every member of the group, on all servers.
func (h *Hub) Group(name string) Audience { return h.Groups(name) }

// Groups are the members of each of the groups; who is in two of them gets the
// message twice.
func (h *Hub) Groups(names ...string) Audience {
	return Audience{hub: h, kind: TopicGroup, names: names}
}

// GroupExcept is every member of the group but these connections.
func (h *Hub) GroupExcept(name string, ids ...string) Audience {
	return Audience{hub: h, kind: TopicGroup, names: []string{name}, except: ids}
}

// LocalGroup is every member of the group on this server; the message does not
// travel over the backplane. For repair of what may have been missed there.
func (h *Hub) LocalGroup(name string) Audience {
	return Audience{hub: h, kind: TopicGroup, names: []string{name}, local: true}
}

// User is every connection of the user.
func (h *Hub) User(id string) Audience { return h.Users(id) }

// Users are the connections of each of the users.
func (h *Hub) Users(ids ...string) Audience {
	return Audience{hub: h, kind: TopicUser, names: ids}
}

// Caller is the connection itself.
func (c *Conn) Caller() Audience { return c.hub.Client(c.id) }

// Others is every connection of the hub but this one.
func (c *Conn) Others() Audience { return c.hub.AllExcept(c.id) }

// OthersInGroup is every member of the group but this connection.
func (c *Conn) OthersInGroup(name string) Audience { return c.hub.GroupExcept(name, c.id) }

// Send invokes the method name of the clients in the audience, with these
// arguments, and does not wait for them: it returns when the message is in the
// queues of all who are connected here and has been handed to the backplane.
// Arguments are encoded once for each hub protocol, before Send returns.
//
// What one goroutine sends to an audience reaches each member in that order.
// Nobody being there is no error, nor is a connection that is gone or too slow
// (see HubOptions.SlowClient). An error is an argument that cannot be encoded,
// a backplane that fails, or the end of ctx while waiting for a slow client.
func (a Audience) Send(ctx context.Context, name string, args ...any) error {
	if a.hub == nil {
		return errors.New("signalr: Send to an empty Audience")
	}
	return a.send(ctx, a.hub.newPayload("", name, args), nil)
}

// send publishes one message for each name of the audience.
func (a Audience) send(ctx context.Context, p *payload, order *Order) error {
	if err := p.encodeInUse(); err != nil {
		return err
	}
	if a.kind == TopicAll {
		return a.publish(ctx, p, order, "")
	}
	var first error
	for _, name := range a.names {
		if name == "" {
			continue // as in the reference
		}
		if err := a.publish(ctx, p, order, name); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (a Audience) publish(ctx context.Context, p *payload, order *Order, name string) error {
	m := &Message{Topic: Topic{a.kind, name}, Except: a.except, Order: order, payload: p}
	m.setLatest()
	if a.joiner != nil {
		return a.joiner.deliver(ctx, m)
	}
	if a.kind == TopicConnection {
		if c := a.hub.connection(name); c != nil { // needs no backplane
			return a.hub.deliverTo(ctx, m, true, c)
		}
	}
	if a.local {
		return a.hub.deliver(ctx, m, true)
	}
	return a.hub.link.Publish(ctx, m)
}

// payload is one invocation, encoded at most once for each hub protocol and
// shared by all who receive it. It belongs to the goroutine that sends.
type payload struct {
	hub    *Hub // nil if it arrived encoded
	id     string
	target string
	args   []any
	frames [len(protocolNames)][]byte
}

func (h *Hub) newPayload(id, target string, args []any) *payload {
	return &payload{hub: h, id: id, target: target, args: args}
}

// encodeInUse encodes for the protocols that connections here use, or all that
// the hub has if there is a backplane, so that an error precedes delivery.
func (p *payload) encodeInUse() error {
	if p.hub == nil {
		return nil
	}
	some := false
	for i := range protocolNames {
		if !p.hub.enabled[i] {
			continue
		}
		if p.hub.solo && p.hub.inUse[i].Load() == 0 {
			continue
		}
		if _, err := p.frame(i); err != nil {
			return err
		}
		some = true
	}
	if some {
		return nil
	}
	_, err := p.frame(protocolIndex(p.hub.opts.Protocols[0])) // nobody listens, but what is wrong is wrong
	return err
}

// frame returns the framed invocation for protocol i.
func (p *payload) frame(i int) ([]byte, error) {
	if p.frames[i] != nil {
		return p.frames[i], nil
	}
	if p.hub == nil {
		return nil, fmt.Errorf("signalr: the message from another server has no form for protocol %q", protocolNames[i])
	}
	a := newAssembly()
	defer a.release()
	for n, arg := range p.args {
		if err := a.encode(p.hub, i, arg); err != nil {
			return nil, fmt.Errorf("signalr: argument %d of %q: %w", n+1, p.target, err)
		}
	}
	a.Type, a.InvocationID, a.Target, a.Arguments = wire.Invocation, p.id, p.target, a.encoded()
	p.frames[i] = a.framed(p.hub.protocols[i])
	return p.frames[i], nil
}
