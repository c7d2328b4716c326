package signalr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

// ErrNoRefresh: the connection has no credential that could be refreshed, such
// as one without negotiation.
var ErrNoRefresh = errors.New("signalr: the connection cannot be refreshed")

// Refresh gives the server a new credential from ClientOptions.Token, under
// which the connection lives on. It is called by itself before the old one
// ends, where the server says when that is; see
// ClientOptions.RefreshBeforeExpiration. An error leaves the connection as it
// is, which ends when the old credential does: a refusal is a *StatusError, 404
// where the server knows no refresh.
func (c *Client) Refresh(ctx context.Context) error {
	k, err := c.current()
	if err != nil {
		return err
	}
	return k.refreshNow(ctx)
}

func (k *clientConn) refreshNow(ctx context.Context) error {
	r, ok := k.session.(transport.Refresher)
	if !ok || k.session.ID() == "" {
		return ErrNoRefresh
	}
	left, ends, err := r.Refresh(ctx)
	if err != nil {
		return fmt.Errorf("signalr: refresh: %w", err)
	}
	k.refreshBefore(left, ends)
	return nil
}

// scheduleRefresh follows the handshake.
func (k *clientConn) scheduleRefresh() {
	if r, ok := k.session.(transport.Refresher); ok {
		left, ends := r.TokenLifetime()
		k.refreshBefore(left, ends)
	}
}

// refreshBefore has the credential refreshed before it ends; what was planned
// before is off.
func (k *clientConn) refreshBefore(left time.Duration, ends bool) {
	o := k.client.opts
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refresh != nil {
		k.refresh.Stop()
		k.refresh = nil
	}
	if k.ended || !ends || o.Token == nil || o.RefreshBeforeExpiration < 0 {
		return
	}
	wait := max(left-o.RefreshBeforeExpiration, left/2)
	k.refresh = time.AfterFunc(max(wait, time.Second), func() {
		err := k.refreshNow(k.ctx)
		if err == nil || k.ctx.Err() != nil {
			return
		}
		o.Logger.Warn("the credential of the connection could not be refreshed", "error", err)
		if o.OnRefreshFailed != nil {
			k.client.mu.Lock()
			k.client.notify(func() { o.OnRefreshFailed(err) })
			k.client.mu.Unlock()
		}
	})
}
