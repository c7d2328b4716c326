package signalr

// A client that sends faster than methods take it is held back by not reading
// on: where too many calls wait, a stream's buffer is full, or too many bytes
// are kept for methods. Its clock stands still meanwhile.

// await holds the client back until there is room, or the connection has ended.
// The caller holds in.mu.
func (in *inbound) await(room func() bool) {
	for !in.over && !room() {
		if in.space == nil {
			in.space = make(chan struct{})
		}
		space := in.space
		in.mu.Unlock()
		select {
		case <-space:
		case <-in.done:
		}
		in.mu.Lock()
	}
}

// roomFor reports whether n more bytes may be kept; if nothing is, any number.
// The caller holds in.mu.
func (c *Conn) roomFor(n int) bool {
	limit := c.hub.opts.Limits.PendingBytes
	return limit <= 0 || c.in.kept == 0 || c.in.kept+n <= limit
}

// letGo keeps n bytes less. The caller holds in.mu.
func (in *inbound) letGo(n int) {
	in.kept -= n
	in.signalSpace()
}

// signalSpace has those who wait for room look again. The caller holds in.mu.
func (in *inbound) signalSpace() {
	if in.space != nil {
		close(in.space)
		in.space = nil
	}
}
