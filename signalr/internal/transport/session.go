package transport

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// phase is where a session stands. It moves
//
//	pending -> attaching -> active <-> idle -> over
//
// and from each of them to over. Pending and idle sessions are parked: they
// have no transport at the moment and expire.
type phase int

const (
	pending   phase = iota // negotiated, nobody came yet
	attaching              // the first transport is being set up
	active                 // a transport or poll is attached
	idle                   // between two polls, or after a lost socket
	over                   // ended and out of the table
)

// session is one logical connection of an Endpoint.
type session struct {
	e       *Endpoint
	id      string // public
	token   string // secret; equal to id without negotiation version 1
	user    string
	offered bool // stateful reconnect was negotiated

	binary atomic.Bool

	// mu guards what follows. Nothing of the application is called under it,
	// and of other locks only Endpoint.mu is taken.
	mu       sync.Mutex
	phase    phase
	kind     Kind
	since    time.Time // when it was parked
	app      Application
	opening  *opening
	closing  bool  // to end when Next yields nothing more
	deaf     bool  // Receive is not called any more
	ended    bool  // Ended is due, or told
	told     bool  // Ended was called
	unlisted bool  // over, and no request finds it any more
	cause    error // for Ended

	// The gate around Next: one writer at a time, none while paused or ended.
	writing bool
	again   bool          // Flush was called while writing
	paused  bool          // between Lost and Resumed
	quiet   chan struct{} // closed when the present writer is out; nil if nobody waits

	// WebSockets.
	socket   *socket // the newest one
	control  []byte  // control frames to be written before all else
	last     lastFrame
	stateful bool // losing the socket is not the end
	refused  bool // stateful was switched off: no re-attachment

	// Server-sent events, long polling and POST.
	signals *signals // nil: nobody has waited yet
	reading bool     // a WebSocket calls Receive, and nobody else will
	held    []byte   // POSTed before a transport came
	poll    *poll    // the one that waits
	hidden  bool     // a DELETE came
}

// signals are what requests wait for. A WebSocket needs none of them.
type signals struct {
	wake     chan struct{} // holds one: Flush was called
	gone     chan struct{} // closed when over
	attached chan struct{} // closed when app is set
	receive  chan struct{} // holds one while somebody calls Receive
}

// await returns the session's signals.
func (s *session) await() *signals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaitLocked()
}

func (s *session) awaitLocked() *signals {
	if s.signals != nil {
		return s.signals
	}
	g := &signals{
		wake:     make(chan struct{}, 1),
		gone:     make(chan struct{}),
		attached: make(chan struct{}),
		receive:  make(chan struct{}, 1),
	}
	if s.phase == over {
		close(g.gone)
	}
	if s.app != nil {
		close(g.attached)
	}
	if s.reading {
		g.receive <- struct{}{}
	}
	s.signals = g
	return g
}

var _ Session = (*session)(nil)

func newSession(e *Endpoint, user string, version int, offered bool) *session {
	s := &session{
		e: e, id: newID(), user: user, offered: offered,
	}
	s.token = s.id
	if version > 0 {
		s.token = newID()
	}
	return s
}

func (s *session) ID() string            { return s.id }
func (s *session) Kind() Kind            { s.mu.Lock(); defer s.mu.Unlock(); return s.kind }
func (s *session) SupportsBinary() bool  { return s.Kind() != ServerSentEvents }
func (s *session) SetBinary(binary bool) { s.binary.Store(binary) }
func (s *session) StatefulOffered() bool { return s.offered }

func (s *session) Request() *http.Request {
	s.mu.Lock()
	opening := s.opening
	s.mu.Unlock()
	return opening.request()
}

func (s *session) SetStateful(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.offered || s.kind != WebSockets {
		return
	}
	s.refused = s.stateful && !on
	s.stateful = on
}

func (s *session) Flush() {
	s.mu.Lock()
	if s.kind == WebSockets {
		s.flushSocket() // unlocks
		return
	}
	wake := s.awaitLocked().wake
	s.mu.Unlock()
	select {
	case wake <- struct{}{}:
	default:
	}
}

func (s *session) Close() {
	s.mu.Lock()
	s.closing = true
	lost := s.kind == WebSockets && s.phase == idle // nobody to write to
	s.mu.Unlock()
	if lost {
		s.finish(nil)
		return
	}
	s.Flush()
}

func (s *session) Abort(err error) { s.finish(err) }

// attach sets up the application for the first transport. It has answered if
// it returns false.
func (s *session) attach(w http.ResponseWriter, r *http.Request, kind Kind) bool {
	// The caller has moved the session to attaching.
	opening := keepRequest(r)
	s.mu.Lock()
	s.kind, s.opening = kind, opening
	s.mu.Unlock()

	app, err := s.e.opts.Accept(s)
	if err != nil {
		s.e.opts.Logger.Debug("The application refused a connection.", "connection", s.id, "error", err)
		s.finish(err)
		s.e.busy(w)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.app = app
	if s.phase == over { // ended while it was accepted
		s.tell()
		refuse(w, http.StatusNotFound, "")
		return false
	}
	if s.signals != nil {
		close(s.signals.attached)
	}
	return true
}

// refusal names why a session cannot be attached to a transport of a kind;
// status 0 means that it can. Called with mu held.
func (s *session) refusal(kind Kind) (status int, text string) {
	switch {
	case s.phase == over:
		return http.StatusNotFound, ""
	case s.kind != 0 && s.kind != kind:
		return http.StatusBadRequest, "Cannot change transports mid-connection"
	}
	return 0, ""
}

// finish ends the session now. The first call counts; err goes to Ended unless
// Receive has failed before.
func (s *session) finish(err error) {
	s.mu.Lock()
	if s.phase == over {
		s.mu.Unlock()
		return
	}
	s.phase = over
	if s.signals != nil {
		close(s.signals.gone)
	}
	s.held = nil
	sock := s.socket
	reset := sock != nil && sock.reset
	s.endApplication(err)
	s.mu.Unlock()

	s.e.remove(s)
	if sock != nil {
		sock.cut(reset)
	}
	s.mu.Lock()
	s.unlisted = true
	s.tell()
	s.mu.Unlock()
}

// endApplication has Ended called, once, as soon as no Next is under way.
// Called with mu held.
func (s *session) endApplication(err error) {
	if !s.ended {
		s.ended = true
		s.deaf = true
		if s.cause == nil {
			s.cause = err
		}
	}
	s.tell()
}

// tell calls Ended if it is due and no Next is under way; when the session is
// over, not before requests have stopped to find it. Called with mu held.
func (s *session) tell() {
	if s.phase == over && !s.unlisted {
		return
	}
	if s.ended && !s.writing && !s.told && s.app != nil {
		s.told = true
		go s.app.Ended(s.cause)
	}
}

// enterGate makes the caller the one who calls Next. It says no when nobody may.
func (s *session) enterGate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.writing {
		return false
	}
	s.writing = true
	return true
}

// leaveGate ends what enterGate began.
func (s *session) leaveGate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveGateLocked()
}

func (s *session) leaveGateLocked() {
	s.writing = false
	if s.quiet != nil {
		close(s.quiet)
		s.quiet = nil
	}
	s.tell()
}

// take asks the application for output, within the gate. last is true when the
// session is to end once out is written.
func (s *session) take(dst []byte) (out []byte, more, last bool) {
	// Read before Next: output that precedes a Close is not cut off by it.
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	out, more, end := s.app.Next(dst, writeSize)
	return out, more && !end, end || closing && !more
}

// deliver gives bytes to the application, one call at a time as the caller
// sees to. false: nothing is to be delivered any more.
func (s *session) deliver(p []byte) bool {
	s.mu.Lock()
	app, deaf := s.app, s.deaf
	s.mu.Unlock()
	if deaf {
		return false
	}
	err := app.Receive(p)
	if err == nil {
		return true
	}
	s.mu.Lock()
	if !s.deaf {
		s.deaf = true
		s.cause = err
	}
	s.mu.Unlock()
	s.Close()
	return false
}

// park moves the session to idle. Called with mu held.
func (s *session) park() {
	s.phase = idle
	s.since = time.Now()
	s.e.park(s)
}

// activate takes the session out of the parked ones. Called with mu held.
func (s *session) activate(to phase) {
	s.phase = to
	s.e.unpark(s)
}

// expire ends the session if it has been parked for as long as is allowed.
func (s *session) expire(now time.Time, allowed time.Duration) {
	s.mu.Lock()
	late := (s.phase == pending || s.phase == idle) && now.Sub(s.since) >= allowed
	s.mu.Unlock()
	if late {
		s.finish(ErrExpired)
	}
}

// dismiss ends the session because the server goes down.
func (s *session) dismiss() {
	s.mu.Lock()
	waits := s.phase == pending
	s.mu.Unlock()
	if waits {
		s.finish(ErrShutdown)
		return
	}
	s.Close()
}
