package transport

import (
	"net/http"
	"strconv"
	"time"
)

// poll is one GET of a long-polling connection while it waits.
type poll struct {
	replaced chan struct{} // closed when a newer one came
	done     chan struct{} // closed when it is through
}

// servePoll attaches long polling with the first poll, which is answered at
// once; later ones wait for data.
func (s *session) servePoll(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, text := s.refusal(LongPolling)
	first := status == 0 && s.phase == pending
	if first {
		s.activate(attaching)
	}
	s.mu.Unlock()
	switch {
	case status != 0:
		refuse(w, status, text)
	case first:
		s.firstPoll(w, r)
	default:
		s.nextPoll(w, r)
	}
}

func (s *session) firstPoll(w http.ResponseWriter, r *http.Request) {
	if !s.attach(w, r, LongPolling) {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	s.deliverEarly()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == attaching { // no other poll has come meanwhile
		s.park()
	}
}

func (s *session) nextPoll(w http.ResponseWriter, r *http.Request) {
	g := s.await()
	select {
	case <-g.attached:
	case <-g.gone:
		refuse(w, http.StatusNotFound, "")
		return
	case <-r.Context().Done():
		return
	}
	s.renew(r)
	p := &poll{replaced: make(chan struct{}), done: make(chan struct{})}
	s.mu.Lock()
	if s.phase == over {
		s.mu.Unlock()
		refuse(w, http.StatusNotFound, "")
		return
	}
	previous := s.poll
	s.poll = p
	s.activate(active)
	s.mu.Unlock()

	defer s.pollDone(p)
	if previous != nil {
		close(previous.replaced)
		<-previous.done // it has SendTimeout at most left
	}
	s.answerPoll(w, r, p)
}

// pollDone parks the session after its newest poll, or ends it if it is to end
// with that.
func (s *session) pollDone(p *poll) {
	s.mu.Lock()
	newest := s.poll == p
	if newest {
		s.poll = nil
		if s.phase == active {
			s.park()
		}
	}
	end := newest && s.hidden
	s.mu.Unlock()
	close(p.done)
	if end {
		s.finish(nil)
	}
}

// answerPoll waits for data and answers.
func (s *session) answerPoll(w http.ResponseWriter, r *http.Request, p *poll) {
	out := newTimedWriter(w, s.e.opts.SendTimeout)
	timeout := time.NewTimer(s.e.opts.PollTimeout)
	defer timeout.Stop()
	buf := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(buf)
	g := s.await()
	for {
		if r.Context().Err() != nil {
			return // what waits is kept for the next poll
		}
		select {
		case <-p.replaced:
			refuse(w, http.StatusNoContent, "")
			return
		default:
		}
		if !s.enterGate() { // ended: everything has been delivered
			s.finish(nil)
			refuse(w, http.StatusNoContent, "")
			return
		}
		data, _, last := s.take((*buf)[:0])
		if cap(data) <= keptWriteBuffer {
			*buf = data
		}
		if last {
			s.mu.Lock()
			s.endApplication(nil)
			s.mu.Unlock()
		}
		s.leaveGate()
		if len(data) > 0 {
			s.writePoll(w, out, data)
			return
		}
		if last {
			continue
		}
		select {
		case <-g.wake:
		case <-g.gone:
		case <-timeout.C:
			refuse(w, http.StatusOK, "")
			return
		case <-p.replaced:
			refuse(w, http.StatusNoContent, "")
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *session) writePoll(w http.ResponseWriter, out *timedWriter, data []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if err := out.write(data); isTimeout(err) {
		s.finish(ErrSendTimeout)
	} // another error: the client is gone and may come back
}
