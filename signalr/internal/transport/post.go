package transport

import (
	"io"
	"net/http"
)

// heldSize is how many bytes wait for the first transport; a POST with more
// waits itself. Little, because there may be MaxPending such connections: room
// for a handshake and what is sent right behind it.
const heldSize = 4 << 10

// post takes bytes from the client. The answer comes when the application has
// taken all of them, so that its backpressure delays the client. Once the
// application has ended, what comes is passed over.
func (e *Endpoint) post(w http.ResponseWriter, r *http.Request) {
	s := e.find(w, r)
	if s == nil {
		return
	}
	if s.Kind() == WebSockets {
		refuse(w, http.StatusMethodNotAllowed, "POST requests are not allowed for WebSocket connections.")
		return
	}
	g := s.await()
	select { // one POST at a time
	case g.receive <- struct{}{}:
	case <-g.gone:
		refuse(w, http.StatusNotFound, "")
		return
	case <-r.Context().Done():
		refuse(w, http.StatusBadRequest, "")
		return
	}
	status := s.takeBody(r)
	<-g.receive
	refuse(w, status, "")
}

// takeBody hands the body of a POST to the application, or holds it back for
// the one to come, and returns the status of the answer.
func (s *session) takeBody(r *http.Request) int {
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		n, err := r.Body.Read(*buf)
		for rest := (*buf)[:n]; len(rest) > 0; {
			piece := rest[:min(len(rest), heldSize)]
			rest = rest[len(piece):]
			if status := s.takePiece(r, piece); status != http.StatusOK {
				return status
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return http.StatusOK
		default:
			return http.StatusBadRequest
		}
	}
}

func (s *session) takePiece(r *http.Request, p []byte) int {
	for {
		s.mu.Lock()
		switch {
		case s.phase == over:
			s.mu.Unlock()
			return http.StatusNotFound
		case s.kind == WebSockets:
			s.mu.Unlock()
			return http.StatusMethodNotAllowed
		case s.app != nil:
			s.mu.Unlock()
			s.deliverHeld()
			s.deliver(p)
			return http.StatusOK
		case len(s.held)+len(p) <= heldSize:
			s.held = append(s.held, p...)
			s.mu.Unlock()
			return http.StatusOK
		}
		g := s.awaitLocked()
		s.mu.Unlock()
		select {
		case <-g.attached:
		case <-g.gone:
			return http.StatusNotFound
		case <-r.Context().Done():
			return http.StatusBadRequest
		}
	}
}

// deliverHeld delivers what came before the application. Called by the holder
// of signals.receive.
func (s *session) deliverHeld() {
	s.mu.Lock()
	held := s.held
	s.held = nil
	s.mu.Unlock()
	if len(held) > 0 {
		s.deliver(held)
	}
}

// deliverEarly delivers what came before the application, unless a POST that
// is under way does.
func (s *session) deliverEarly() {
	s.mu.Lock()
	none := len(s.held) == 0
	s.mu.Unlock()
	if none {
		return
	}
	go func() {
		g := s.await()
		select {
		case g.receive <- struct{}{}:
			s.deliverHeld()
			<-g.receive
		case <-g.gone:
		}
	}()
}

// delete ends a long-polling connection. The application may have a last word,
// which a poll that waits carries.
func (e *Endpoint) delete(w http.ResponseWriter, r *http.Request) {
	s := e.find(w, r)
	if s == nil {
		return
	}
	s.mu.Lock()
	polls := s.kind == LongPolling && s.app != nil
	tell := polls && !s.ended && !s.closing
	s.closing = s.closing || polls
	s.mu.Unlock()
	if !polls {
		refuse(w, http.StatusBadRequest, "Cannot terminate this connection using the DELETE endpoint.")
		return
	}
	e.hide(s)
	if tell {
		s.app.PeerClosed()
	}
	s.mu.Lock()
	waiting := s.poll != nil
	s.hidden = true
	s.mu.Unlock()
	if waiting {
		s.Flush() // the poll sees to the end
	} else {
		s.finish(nil)
	}
	refuse(w, http.StatusAccepted, "")
}
