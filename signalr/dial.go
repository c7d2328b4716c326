package signalr

import (
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"sync"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

// Dial connects to the hub in memory, without negotiation and without a
// network. What is written and read are the bytes of the hub protocol, from the
// handshake on; Read returns io.EOF after a regular end. r stands for the
// request that opens the connection, its context carries what middleware would
// have put there; nil is a GET of "/". It is how package signalrtest connects.
//
// Who does not read holds the hub back after 64 KiB, like a full socket, and is
// cut off when HubOptions.SendTimeout is over. Close is what the loss of a
// network is. The connection may be used by one reader and one writer at once.
func (h *Hub) Dial(r *http.Request) (io.ReadWriteCloser, error) {
	if r == nil {
		r = &http.Request{Method: http.MethodGet}
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	p := &pipe{}
	p.changed.L = &p.mu
	err := transport.ConnectPipe(base64.RawURLEncoding.EncodeToString(id[:]), r, h.opts.SendTimeout, h.accept,
		func(s transport.Session) (transport.Application, error) {
			p.session = s
			return p, nil
		})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// pipeWindow is how many unread bytes a pipe takes before it blocks.
const pipeWindow = 64 << 10

// pipe is the client's end of a connection in memory.
type pipe struct {
	session transport.Session

	mu      sync.Mutex
	changed sync.Cond // any of the following
	in      []byte    // received, not read
	out     []byte    // written, not sent
	ended   bool
	err     error // what Read returns at the end
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.in) == 0 && !p.ended && len(b) > 0 {
		p.changed.Wait()
	}
	if len(p.in) == 0 && p.ended {
		return 0, p.err
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	p.changed.Broadcast()
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	for len(p.out) >= pipeWindow && !p.ended {
		p.changed.Wait()
	}
	if p.ended {
		p.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	p.out = append(p.out, b...)
	p.mu.Unlock()
	p.session.Flush()
	return len(b), nil
}

func (p *pipe) Close() error {
	p.mu.Lock()
	p.ended, p.err = true, io.ErrClosedPipe
	p.changed.Broadcast()
	p.mu.Unlock()
	p.session.Abort(io.ErrClosedPipe)
	return nil
}

// Receive implements transport.Application, as do the following.
func (p *pipe) Receive(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.in) >= pipeWindow && !p.ended {
		p.changed.Wait()
	}
	p.in = append(p.in, b...)
	p.changed.Broadcast()
	return nil
}

func (p *pipe) Next(dst []byte, _ int) (out []byte, more, end bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dst = append(dst, p.out...)
	p.out = nil
	p.changed.Broadcast()
	return dst, false, false
}

func (p *pipe) PeerClosed() {}
func (p *pipe) Lost()       {}
func (p *pipe) Resumed()    {}

func (p *pipe) Ended(error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended, p.err = true, io.EOF
	}
	p.changed.Broadcast()
}
