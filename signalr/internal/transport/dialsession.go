package transport

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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

	mu       sync.Mutex
	link     link
	ready    bool // app is set
	pumping  bool
	again    bool
	closing  bool
	ended    bool
	cause    error              // why Receive refused
	stateful bool               // losing the socket is not the end
	lost     context.CancelFunc // not nil: there is no socket; it ends the attempts to get one

	next sync.Mutex // held around Next and Ended
}

// link is what a session does with its transport, or with the socket that it
// has at present.
type link struct {
	write func(ctx context.Context, p []byte) error // one chunk of output
	bye   func(ctx context.Context)                 // the polite end, after the last output
	cut   func()                                    // the other one; may be nil
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
		if s.link.cut != nil {
			s.link.cut()
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
func (s *dialed) StatefulOffered() bool  { return s.d.stateful && s.kind == WebSockets }

func (s *dialed) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.again = true
	if s.ready && !s.pumping && s.lost == nil {
		s.pumping = true
		go s.pump()
	}
}

func (s *dialed) Close() {
	s.mu.Lock()
	s.closing = true
	lost := s.lost != nil // nobody to write to
	s.mu.Unlock()
	if lost {
		s.Abort(nil)
		return
	}
	s.Flush()
}

func (s *dialed) Abort(err error) { go s.end(err) }

// pump writes what the application yields until there is no more.
func (s *dialed) pump() {
	var buf []byte
	for s.another() {
		for more := true; more; {
			var last, alive bool
			var to link
			if buf, to, more, last, alive = s.take(buf); !alive {
				break
			}
			if len(buf) > 0 {
				if err := to.write(s.ctx, buf); err != nil {
					if s.outlives(to) {
						break // the reader sees it too
					}
					s.awaitLastWord(err)
					s.end(err)
					return
				}
			}
			if last {
				ctx, cancel := context.WithTimeout(s.ctx, s.d.o.CloseTimeout)
				to.bye(ctx)
				cancel()
				s.end(nil)
				return
			}
		}
	}
}

// awaitLastWord waits for the end that the reader sees where a POST was told that
// there is no such connection any more: the server has ended it, and why may
// still be on its way.
func (s *dialed) awaitLastWord(refusal error) {
	var status *StatusError
	if !errors.As(refusal, &status) || status.Status != http.StatusNotFound {
		return
	}
	select {
	case <-s.ctx.Done():
	case <-time.After(s.d.o.CloseTimeout):
	}
}

// another reports whether the pump has a round to do; if not, it is over.
func (s *dialed) another() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pumping = s.again && !s.ended && s.lost == nil
	s.again = false
	return s.pumping
}

// take asks the application for output, which is for the link that there is
// now: what another socket gets, the application says.
func (s *dialed) take(buf []byte) (out []byte, to link, more, last, alive bool) {
	s.next.Lock()
	defer s.next.Unlock()
	s.mu.Lock()
	closing, silent, to := s.closing, s.ended || s.lost != nil, s.link
	s.mu.Unlock()
	if silent {
		return buf, to, false, false, false
	}
	out, more, end := s.app.Next(buf[:0], writeSize)
	return out, to, more && !end, end || closing && !more, true
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
	cause, ready, cut := s.cause, s.ready, s.link.cut
	s.mu.Unlock()
	s.cancel()
	if cut != nil {
		cut()
	}
	if !ready {
		return // start tells
	}
	s.next.Lock() // a Next under way is the last
	defer s.next.Unlock()
	s.app.Ended(cause)
}
