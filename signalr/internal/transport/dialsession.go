package transport

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
)

// dialed is the session of a client: what the three transports share. Output
// is written by a goroutine that exists while there is something to write.
type dialed struct {
	d      *dialer
	kind   Kind
	binary atomic.Bool
	app    Application
	ctx    context.Context // ends with the session
	cancel context.CancelFunc

	write func(ctx context.Context, p []byte) error // one chunk of output
	bye   func(ctx context.Context)                 // the polite end, after the last output
	cut   func()                                    // the other one; may be nil

	mu      sync.Mutex
	ready   bool // app is set
	pumping bool
	again   bool
	closing bool
	ended   bool
	cause   error // why Receive refused

	next sync.Mutex // held around Next and Ended
}

var _ Session = (*dialed)(nil)

func (d *dialer) session(kind Kind) *dialed {
	s := &dialed{d: d, kind: kind}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// start gives the session its application and begins. read takes what the
// server sends until there is no more and returns why.
func (s *dialed) start(accept func(Session) (Application, error), read func() error) error {
	app, err := accept(s)
	if err != nil {
		s.cancel()
		if s.cut != nil {
			s.cut()
		}
		return err
	}
	s.mu.Lock()
	s.app, s.ready = app, true
	over := s.ended
	s.mu.Unlock()
	if over { // aborted while it was accepted
		go app.Ended(s.cause)
		return nil
	}
	go func() {
		err := read()
		if err == nil && !s.isEnded() {
			app.PeerClosed()
		}
		s.end(err)
	}()
	s.Flush()
	return nil
}

func (s *dialed) ID() string             { return s.d.id }
func (s *dialed) Kind() Kind             { return s.kind }
func (s *dialed) SupportsBinary() bool   { return s.kind != ServerSentEvents }
func (s *dialed) SetBinary(b bool)       { s.binary.Store(b) }
func (s *dialed) Request() *http.Request { return nil }
func (s *dialed) StatefulOffered() bool  { return false }
func (s *dialed) SetStateful(bool)       {}

func (s *dialed) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.again = true
	if s.ready && !s.pumping {
		s.pumping = true
		go s.pump()
	}
}

func (s *dialed) Close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.Flush()
}

func (s *dialed) Abort(err error) { go s.end(err) }

// pump writes what the application yields until there is no more.
func (s *dialed) pump() {
	var buf []byte
	for s.another() {
		for more := true; more; {
			var last, alive bool
			if buf, more, last, alive = s.take(buf); !alive {
				break
			}
			if len(buf) > 0 {
				if err := s.write(s.ctx, buf); err != nil {
					s.end(err)
					return
				}
			}
			if last {
				ctx, cancel := context.WithTimeout(s.ctx, s.d.o.CloseTimeout)
				s.bye(ctx)
				cancel()
				s.end(nil)
				return
			}
		}
	}
}

// another reports whether the pump has a round to do; if not, it is over.
func (s *dialed) another() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pumping = s.again && !s.ended
	s.again = false
	return s.pumping
}

func (s *dialed) take(buf []byte) (out []byte, more, last, alive bool) {
	s.next.Lock()
	defer s.next.Unlock()
	s.mu.Lock()
	closing, ended := s.closing, s.ended
	s.mu.Unlock()
	if ended {
		return buf, false, false, false
	}
	out, more, end := s.app.Next(buf[:0], writeSize)
	return out, more && !end, end || closing && !more, true
}

func (s *dialed) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// receive gives bytes to the application. It says no when that wants no more.
func (s *dialed) receive(p []byte) bool {
	s.mu.Lock()
	deaf := s.ended || s.cause != nil
	s.mu.Unlock()
	if deaf {
		return false
	}
	err := s.app.Receive(p)
	if err == nil {
		return true
	}
	s.mu.Lock()
	s.cause = err
	s.mu.Unlock()
	s.Close()
	return false
}

// end ends the session now and tells the application, once.
func (s *dialed) end(err error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	if s.cause == nil {
		s.cause = err
	}
	cause, ready := s.cause, s.ready
	s.mu.Unlock()
	s.cancel()
	if s.cut != nil {
		s.cut()
	}
	if !ready {
		return // start tells
	}
	s.next.Lock() // a Next under way is the last
	defer s.next.Unlock()
	s.app.Ended(cause)
}
