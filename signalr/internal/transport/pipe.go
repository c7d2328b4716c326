package transport

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// ErrPipeClosed is what Ended gets when the other end of a pipe was aborted.
var ErrPipeClosed = errors.New("transport: the other end of the pipe is gone")

// ConnectPipe joins two applications by a pipe in memory. request is what
// Session.Request of the server's end returns; id names the connection. Each
// end gets its session before anything moves. Bytes go over as Next yields
// them, one goroutine for each direction while there is something to move. A
// client whose Receive takes longer than sendTimeout is cut off; 0 is no limit.
func ConnectPipe(id string, request *http.Request, sendTimeout time.Duration, server, client func(Session) (Application, error)) error {
	s := &pipeEnd{id: id, request: request, sendTimeout: sendTimeout}
	c := &pipeEnd{id: id}
	s.peer, c.peer = c, s
	var err error
	s.ready, c.ready = make(chan struct{}), make(chan struct{})
	if s.app, err = server(s); err != nil {
		return err
	}
	if c.app, err = client(c); err != nil {
		s.app.Ended(err)
		return err
	}
	close(s.ready)
	close(c.ready)
	s.Flush()
	c.Flush()
	return nil
}

// pipeEnd is one end of a pipe.
type pipeEnd struct {
	id      string
	request *http.Request

	sendTimeout time.Duration // for the peer to take what it is given

	peer  *pipeEnd
	app   Application
	ready chan struct{} // closed when app is set

	mu      sync.Mutex
	pumping bool // a goroutine moves what app yields
	again   bool // Flush was called while pumping
	closing bool // end when app yields nothing more
	ended   bool
	cause   error // why Receive refused

	next sync.Mutex // held around Next, and around Ended
}

func (p *pipeEnd) ID() string             { return p.id }
func (p *pipeEnd) Kind() Kind             { return Pipe }
func (p *pipeEnd) SupportsBinary() bool   { return true }
func (p *pipeEnd) SetBinary(bool)         {}
func (p *pipeEnd) Request() *http.Request { return p.request }
func (p *pipeEnd) StatefulOffered() bool  { return false }
func (p *pipeEnd) SetStateful(bool)       {}

func (p *pipeEnd) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.again = true
	if !p.pumping {
		p.pumping = true
		go p.pump()
	}
}

func (p *pipeEnd) Close() {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.Flush()
}

func (p *pipeEnd) Abort(err error) {
	go func() {
		<-p.ready
		<-p.peer.ready
		p.end(err)
		p.peer.end(ErrPipeClosed)
	}()
}

// pump moves what the application yields to the peer until there is no more.
func (p *pipeEnd) pump() {
	<-p.ready
	<-p.peer.ready
	var buf []byte
	for p.another() {
		for more := true; more; {
			var end, alive bool
			closing := p.isClosing() // asked before, so that Next sees what a Close has left
			buf, more, end, alive = p.take(buf)
			if !alive {
				break
			}
			if len(buf) > 0 {
				p.send(buf)
			}
			if !more && (end || closing) {
				p.end(nil)
				p.peer.leave()
				break
			}
		}
	}
}

// send hands output to the peer.
func (p *pipeEnd) send(b []byte) {
	if p.sendTimeout > 0 {
		timeout := time.AfterFunc(p.sendTimeout, func() { p.Abort(ErrSendTimeout) })
		defer timeout.Stop()
	}
	p.peer.receive(b)
}

// take asks the application for output; alive is false after the end.
func (p *pipeEnd) take(buf []byte) (out []byte, more, end, alive bool) {
	p.next.Lock()
	defer p.next.Unlock()
	if p.isEnded() {
		return buf, false, false, false
	}
	out, more, end = p.app.Next(buf[:0], writeSize)
	return out, more && !end, end, true
}

// receive hands bytes to the application, and closes this end if it refuses.
func (p *pipeEnd) receive(b []byte) {
	p.mu.Lock()
	deaf := p.ended || p.cause != nil
	p.mu.Unlock()
	if deaf {
		return
	}
	if err := p.app.Receive(b); err != nil {
		p.mu.Lock()
		p.cause = err
		p.mu.Unlock()
		p.Close()
	}
}

// leave ends this end because the other one has ended regularly.
func (p *pipeEnd) leave() {
	if !p.isEnded() {
		p.app.PeerClosed()
		p.end(nil)
	}
}

// end tells the application, once.
func (p *pipeEnd) end(err error) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	p.ended = true
	if p.cause != nil {
		err = p.cause
	}
	p.mu.Unlock()
	p.next.Lock() // a Next under way is the last
	defer p.next.Unlock()
	p.app.Ended(err)
}

// another reports whether the pump has a round to do; if not, it is over.
func (p *pipeEnd) another() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pumping = p.again && !p.ended
	p.again = false
	return p.pumping
}

func (p *pipeEnd) isEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

func (p *pipeEnd) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing
}

// writeSize is about how many bytes one write, frame, event or poll carries.
const writeSize = 64 << 10
