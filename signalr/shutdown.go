package signalr

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Shutdown ends the hub: no new connections, a Close with reconnect allowed to
// every client, spread over HubOptions.ShutdownWindow in random order, and then
// a wait until all connections have ended and their methods and callbacks have
// returned. When ctx ends first, what is left is cut off, and ctx's error
// returned without waiting longer. Calling it again waits again.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	first := !h.closed
	h.closed = true
	h.mu.Unlock()
	h.endpoint.Drain()
	h.closeAll(ctx)
	err := h.endpoint.Shutdown(ctx)
	if err != nil || ctx.Err() != nil {
		for _, c := range h.everybody() {
			c.session.Abort(ErrHubClosed)
		}
	}
	err = errors.Join(err, h.wait(ctx))
	if first {
		err = errors.Join(err, h.link.Close())
	}
	return err
}

// closeWave is how far apart the waves of Close messages are.
const closeWave = 50 * time.Millisecond

// closeAll sends Close to everybody, in waves.
func (h *Hub) closeAll(ctx context.Context) {
	everybody := h.everybody()
	rand.Shuffle(len(everybody), func(i, j int) { everybody[i], everybody[j] = everybody[j], everybody[i] })
	window := h.opts.ShutdownWindow
	if deadline, ok := ctx.Deadline(); ok {
		window = min(window, time.Until(deadline)/2) // leave time for the rest
	}
	waves := max(1, int(window/closeWave))
	size := max(1, (len(everybody)+waves-1)/waves)
	farewell := wire.Message{Type: wire.Close, AllowReconnect: true}
	for wave := range slices.Chunk(everybody, size) {
		for _, c := range wave {
			c.end(farewell, nil)
		}
		if len(everybody) <= size {
			return
		}
		select {
		case <-time.After(closeWave/2 + rand.N(closeWave)):
		case <-ctx.Done(): // the rest at once
		}
	}
}

// wait returns when no session is left and no user code runs.
func (h *Hub) wait(ctx context.Context) error {
	h.workMu.Lock()
	if h.work == 0 {
		h.workMu.Unlock()
		return nil
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.workMu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
