package signalr

import "github.com/knnlabs/conduit/signalr/internal/wire"

// Message tracing names the hub messages of a connection in the log, at level
// debug: where they go, type, target, invocation id. It shows nothing that they
// carry: no argument, result, item, header or text of an error.

func (c *Conn) traceReceived(m *wire.Message) {
	if c.hub.opts.EnableMessageTracing {
		c.trace("message received", m.Type, m.Target, m.InvocationID)
	}
}

func (c *Conn) traceSent(t wire.Type, target, invocation string) {
	if c.hub.opts.EnableMessageTracing {
		c.trace("message sent", t, target, invocation)
	}
}

func (c *Conn) trace(what string, t wire.Type, target, invocation string) {
	attrs := make([]any, 0, 8)
	attrs = append(attrs, "connection", c.id, "type", t.String())
	if target != "" {
		attrs = append(attrs, "target", target)
	}
	if invocation != "" {
		attrs = append(attrs, "invocation", invocation)
	}
	c.hub.opts.Logger.Debug(what, attrs...)
}
