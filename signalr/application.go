package signalr

import (
	"context"
	"errors"
	"fmt"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// application is a connection as its transport sees it. It is a type of its own
// so that nobody who holds a Conn can call what belongs to the transport. Its
// exported methods implement transport.Application.
type application Conn

func (a *application) conn() *Conn { return (*Conn)(a) }

// renewed has the transport's news of a new credential go to the connection.
func renewed(app transport.Application, ctx context.Context) {
	app.(*application).conn().renew(ctx)
}

func (a *application) Receive(p []byte) error {
	c := a.conn()
	c.in.busy.Add(1)
	err := c.receive(p)
	c.in.seen.Store(c.hub.now())
	c.in.busy.Add(-1)
	return err
}

func (a *application) Next(dst []byte, max int) (out []byte, more, end bool) {
	return a.conn().next(dst, max)
}

// PeerClosed: the client has ended its input.
func (a *application) PeerClosed() {
	c := a.conn()
	if c.in.partialWaits.Load() {
		c.fail(WithType(errors.New("Connection terminated while reading a message."), "InvalidDataException")) //nolint:staticcheck // reference text
		return
	}
	c.end(wire.Message{Type: wire.Close, AllowReconnect: true}, nil)
}

func (a *application) Lost() {
	c := a.conn()
	c.in.dropPartial()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reliable != nil {
		c.reliable.lose()
	}
}

func (a *application) Resumed() {
	c := a.conn()
	c.in.dropPartial()
	c.mu.Lock()
	if c.reliable != nil {
		c.reliable.resumed()
		c.wake()
	}
	c.mu.Unlock()
}

func (a *application) Ended(err error) {
	c := a.conn()
	if errors.Is(err, transport.ErrSendTimeout) {
		err = fmt.Errorf("%w: %w", ErrSlowClient, err)
	}
	c.mu.Lock()
	if errors.Is(err, transport.ErrExpired) { // a regular end for the user of the library
		c.expired, err = true, nil
	}
	if !c.closing {
		c.closing = true
		c.cause = err
	}
	c.out.drop()
	c.greeting, c.farewell = nil, nil
	if c.reliable != nil {
		c.reliable.unacked = nil
	}
	c.signalRoom()
	c.mu.Unlock()
	c.in.end()
	c.cancel(ErrConnectionClosed)
	c.hub.ended(c)
}
