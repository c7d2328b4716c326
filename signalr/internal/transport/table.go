package transport

import (
	"context"
	"net/http"
	"time"
)

// open makes a session for a request, parked until a transport comes. It
// returns nil when too many wait for a transport or the endpoint drains.
func (e *Endpoint) open(r *http.Request, version int, offered bool) *session {
	s := newSession(e, e.opts.UserID(r.Context()), version, offered)
	s.since = time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining || e.pending >= e.opts.MaxPending {
		return nil
	}
	e.live[s] = struct{}{}
	e.sessions[s.token] = s
	e.parked[s] = true
	e.pending++
	e.sweepSoon()
	return s
}

// park notes that a session has no transport.
func (e *Endpoint) park(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.parked[s] = false
	e.sweepSoon()
}

// unpark notes that a session has a transport.
func (e *Endpoint) unpark(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unparkLocked(s)
}

func (e *Endpoint) unparkLocked(s *session) {
	if e.parked[s] {
		e.pending--
	}
	delete(e.parked, s)
}

// hide takes the session out of the table, so that no request finds it any
// more; it lives on until finish.
func (e *Endpoint) hide(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s.token)
}

// remove forgets a session that is over.
func (e *Endpoint) remove(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s.token)
	delete(e.live, s)
	e.unparkLocked(s)
	e.checkEmpty()
}

// checkEmpty tells Shutdown when the last session is gone. Called with mu held.
func (e *Endpoint) checkEmpty() {
	if e.empty != nil && len(e.live) == 0 {
		select {
		case <-e.empty:
		default:
			close(e.empty)
		}
	}
}

// sweepSoon schedules a sweep if there is something to sweep. Called with mu
// held.
func (e *Endpoint) sweepSoon() {
	if !e.sweeping && len(e.parked) > 0 {
		e.sweeping = true
		time.AfterFunc(min(time.Second, e.opts.DisconnectTimeout), e.sweep)
	}
}

// sweep ends the sessions that have been parked for too long.
func (e *Endpoint) sweep() {
	e.mu.Lock()
	parked := make([]*session, 0, len(e.parked))
	for s := range e.parked {
		parked = append(parked, s)
	}
	allowed := e.opts.DisconnectTimeout
	if e.empty != nil {
		allowed = min(allowed, shutdownPatience)
	}
	e.mu.Unlock()
	now := time.Now()
	for _, s := range parked {
		s.expire(now, allowed)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sweeping = false
	e.sweepSoon()
}

// shutdownPatience is how long Shutdown waits for the next poll of a
// connection, which comes within a round trip if the client is still there.
const shutdownPatience = 2 * time.Second

// Count returns how many connections there are, those that wait for a
// transport included.
func (e *Endpoint) Count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.live)
}

// Drain refuses new connections from now on, with 503; those that exist go on,
// and those that were negotiated may still attach.
func (e *Endpoint) Drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.draining = true
}

// Shutdown drains, closes every session (Session.Close) and waits until all
// have ended; for a client that is between two polls 2 s at most. When ctx ends
// first the rest is aborted with ErrShutdown and ctx's error returned.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.draining = true
	if e.empty == nil {
		e.empty = make(chan struct{})
		e.checkEmpty()
	}
	empty := e.empty
	e.mu.Unlock()

	for _, s := range e.all() {
		s.dismiss()
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	for _, s := range e.all() {
		s.Abort(ErrShutdown)
	}
	return ctx.Err()
}

func (e *Endpoint) all() []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*session, 0, len(e.live))
	for s := range e.live {
		all = append(all, s)
	}
	return all
}
