package signalr

import (
	"context"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// lifetime is how long the credential of a request still lasts.
func (o HubOptions) lifetime(ctx context.Context) (left time.Duration, ends bool) {
	end := o.AuthenticationExpires(ctx)
	return time.Until(end), !end.IsZero()
}

// renew notes the end of the credential that a request of the connection
// carries.
func (c *Conn) renew(ctx context.Context) {
	if c.hub.opts.AuthenticationExpires == nil {
		return
	}
	end := c.hub.opts.AuthenticationExpires(ctx)
	if end.IsZero() {
		c.expires.Store(0)
		return
	}
	c.expires.Store(end.UnixMilli())
}

// closeExpired closes the connection if its credential has ended.
func (c *Conn) closeExpired() {
	if end := c.expires.Load(); end != 0 && time.Now().UnixMilli() >= end {
		c.end(wire.Message{Type: wire.Close, AllowReconnect: true}, nil)
	}
}
