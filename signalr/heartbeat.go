package signalr

import (
	"maps"
	"slices"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// heartbeatPeriod is how often pings, timeouts and acks are looked at.
const heartbeatPeriod = time.Second

// heartbeat looks after the connections of the hub while there are any. Its
// time goes in whole periods, whatever the delay of a tick: with an interval of
// 1 s a ping goes out every 2 s, as in the reference.
func (h *Hub) heartbeat(stop <-chan struct{}) {
	ticker := time.NewTicker(heartbeatPeriod)
	defer ticker.Stop()
	start := h.now()
	for {
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
		elapsed := time.Duration(h.now() - start).Round(heartbeatPeriod)
		for _, c := range h.list() {
			c.tick(start + int64(elapsed))
		}
	}
}

// tick is called each second. now may be ahead of or behind the clock by half a
// period.
func (c *Conn) tick(now int64) {
	if c.session.Kind() != transport.LongPolling && now-c.in.pingSent.Load() > int64(c.keepAlive) {
		c.in.pingSent.Store(now)
		c.mu.Lock()
		due := !c.closing && c.out.peek() == nil
		if due {
			c.ping = true
			c.wake()
		}
		c.mu.Unlock()
		if due {
			c.traceSent(wire.Ping, "", "")
		}
	}
	if c.reliable != nil {
		c.mu.Lock()
		if c.reliable.tick() {
			c.wake()
		}
		c.mu.Unlock()
	}
	if c.in.pinged.Load() && c.in.busy.Load() == 0 &&
		c.hub.now()-c.in.seen.Load() > int64(c.hub.opts.ClientTimeoutInterval) {
		c.fail(errClientTimeout)
	}
	c.closeExpired()
}

// everybody is a snapshot of the sessions, with and without handshake.
func (h *Hub) everybody() []*Conn {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Keys(h.sessions))
}
