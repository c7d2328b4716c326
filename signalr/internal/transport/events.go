package transport

import (
	"bytes"
	"net/http"
	"time"
)

// serveEvents attaches server-sent events and writes them until the session or
// the request ends.
func (s *session) serveEvents(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, text := s.refusal(ServerSentEvents)
	switch {
	case status != 0:
	case s.phase == pending:
		s.activate(attaching)
	default:
		status = http.StatusConflict
	}
	s.mu.Unlock()
	if status != 0 {
		refuse(w, status, text)
		return
	}
	if !s.attach(w, r, ServerSentEvents) {
		return
	}
	s.mu.Lock()
	if s.phase == attaching {
		s.phase = active
	}
	s.mu.Unlock()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache,no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Encoding", "identity") // keeps proxies from compressing
	h.Set("X-Accel-Buffering", "no")      // and nginx from waiting
	out := newTimedWriter(w, s.e.opts.SendTimeout)
	if err := out.write([]byte(":\r\n")); err != nil {
		s.finish(writeError(err))
		return
	}
	s.deliverEarly()
	s.finish(s.writeEvents(out, r))
}

// writeEvents writes what the application yields and returns how it ended.
func (s *session) writeEvents(out *timedWriter, r *http.Request) error {
	buf := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(buf)
	var event []byte
	g := s.await()
	for {
		more, last := true, false
		for more {
			if !s.enterGate() {
				return nil
			}
			*buf, more, last = s.take((*buf)[:0])
			s.leaveGate()
			if len(*buf) == 0 {
				break
			}
			event = appendEvent(event[:0], *buf)
			if err := out.write(event); err != nil {
				if !isTimeout(err) && r.Context().Err() != nil {
					return nil // net/http has noticed that the client is gone
				}
				return writeError(err)
			}
		}
		if last {
			return nil
		}
		if cap(*buf) > keptWriteBuffer {
			*buf, event = make([]byte, 0, 4<<10), nil
		}
		select {
		case <-g.wake:
		case <-g.gone:
			return nil
		case <-r.Context().Done(): // the client is gone, which is its way to end
			return nil
		}
	}
}

// appendEvent appends payload as one event: a data line for each line of it,
// and an empty line.
func appendEvent(b, payload []byte) []byte {
	for {
		line, rest, found := bytes.Cut(payload, []byte{'\n'})
		if found {
			line = bytes.TrimSuffix(line, []byte{'\r'})
		}
		b = append(b, "data: "...)
		b = append(b, line...)
		b = append(b, "\r\n"...)
		if !found {
			return append(b, "\r\n"...)
		}
		payload = rest
	}
}

// timedWriter writes an answer piece by piece, each within a time, whatever
// time http.Server allows for the whole.
type timedWriter struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
}

func newTimedWriter(w http.ResponseWriter, timeout time.Duration) *timedWriter {
	t := &timedWriter{w: w, rc: http.NewResponseController(w), timeout: timeout}
	// A ResponseWriter that knows no deadlines has none to be lifted.
	_ = t.rc.SetReadDeadline(time.Time{})
	_ = t.rc.SetWriteDeadline(time.Time{})
	return t
}

func (t *timedWriter) write(p []byte) error {
	_ = t.rc.SetWriteDeadline(time.Now().Add(t.timeout)) // as above
	if _, err := t.w.Write(p); err != nil {
		return err
	}
	if err := t.rc.Flush(); err != nil {
		return err
	}
	_ = t.rc.SetWriteDeadline(time.Time{})
	return nil
}

// writeError tells a peer that does not read from one that is gone.
func writeError(err error) error {
	if isTimeout(err) {
		return ErrSendTimeout
	}
	return ErrLost
}
