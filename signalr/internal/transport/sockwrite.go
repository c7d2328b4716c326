package transport

import (
	"time"

	"github.com/gobwas/ws"
)

// round is one write to a WebSocket: what Next has yielded as one message, and
// the control frames that wait.
type round struct {
	buf  *[]byte // lent
	out  []byte
	more bool // Next has more
	last lastFrame
}

// flushSocket writes what waits, or has the writer at work do one more round.
// Called with mu held, which it releases.
func (s *session) flushSocket() {
	sock := s.socket
	s.again = true
	if s.writing || s.paused || s.phase == over || sock == nil || !sock.up {
		s.mu.Unlock()
		return
	}
	s.writing = true
	s.mu.Unlock()
	s.writeNow(sock)
}

// writeNow does rounds, within the gate, as long as the socket takes them
// without waiting; if it does not, a goroutine goes on.
func (s *session) writeNow(sock *socket) {
	r, ok := s.nextRound(sock, true)
	for ok {
		n, err := sock.writeNow(r.out)
		if err == nil && n < len(r.out) {
			r.out = r.out[n:]
			go s.writeWaiting(sock, r)
			return
		}
		if !s.roundDone(sock, r, err) {
			return
		}
		r, ok = s.nextRound(sock, r.more)
	}
}

// writeWaiting does rounds, within the gate, until nothing waits.
func (s *session) writeWaiting(sock *socket, r round) {
	for ok := true; ok; r, ok = s.nextRound(sock, r.more) {
		if !s.roundDone(sock, r, sock.writeAll(r.out, s.e.opts.SendTimeout)) {
			return
		}
	}
}

// nextRound collects the next write. If there is none it leaves the gate and
// says no.
func (s *session) nextRound(sock *socket, more bool) (round, bool) {
	for {
		s.mu.Lock()
		if s.paused || s.phase == over || s.socket != sock || !more && !s.again && s.control == nil {
			s.leaveGateLocked()
			s.mu.Unlock()
			return round{}, false
		}
		r := round{last: s.last}
		control := s.control
		s.control, s.again = nil, false
		s.mu.Unlock()

		r.buf = writeBuffers.Get().(*[]byte)
		b := append((*r.buf)[:0], make([]byte, serverHeader)...)
		begin := len(b)
		if r.last == lastNone {
			var end bool
			b, r.more, end = s.take(b)
			if n := len(b) - serverHeader; n > 0 {
				begin = putHeader(b, serverHeader, s.opcode(), n)
			} else {
				r.more = false
			}
			if end && s.setLast(lastClose) {
				control = append(control, closeFrame(ws.StatusNormalClosure)...)
				r.last = lastClose
			}
		}
		b = append(b, control...)
		*r.buf, r.out = b, b[begin:]
		if len(r.out) > 0 {
			return r, true
		}
		r.release()
		more = false
	}
}

func (s *session) opcode() ws.OpCode {
	if s.binary.Load() {
		return ws.OpBinary
	}
	return ws.OpText
}

// setLast decides what the last frame is, unless that is decided.
func (s *session) setLast(last lastFrame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != lastNone {
		return false
	}
	s.last = last
	s.deaf = true
	return true
}

func (r *round) release() {
	if cap(*r.buf) <= keptWriteBuffer {
		writeBuffers.Put(r.buf)
	}
}

// roundDone follows a write. It says no, and has left the gate, if it failed.
func (s *session) roundDone(sock *socket, r round, err error) bool {
	r.release()
	if err != nil {
		s.writeFailed(sock, r.last, err)
		s.leaveGate()
		return false
	}
	switch r.last {
	case lastClose:
		s.mu.Lock()
		_ = sock.conn.SetReadDeadline(time.Now().Add(s.e.opts.CloseTimeout)) // fails only if it is closed
		s.mu.Unlock()
	case lastReply:
		s.finish(nil)
	case lastFault:
		s.mu.Lock()
		sock.reset = true
		s.mu.Unlock()
		s.finish(ErrLost)
	}
	return true
}

// writeFailed follows a write that failed: the end, or a lost socket, which its
// reader notices when it is cut.
func (s *session) writeFailed(sock *socket, last lastFrame, err error) {
	s.mu.Lock()
	lost := s.stateful && last == lastNone && !s.closing && s.phase != over
	stuck := isTimeout(err)
	if lost && !stuck {
		s.paused = true
		s.mu.Unlock()
		sock.cut(false)
		return
	}
	s.mu.Unlock()
	switch {
	case last != lastNone:
		s.finish(nil)
	case stuck:
		s.finish(ErrSendTimeout)
	default:
		s.finish(ErrLost)
	}
}
