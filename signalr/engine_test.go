package signalr

import (
	"bytes"
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// peer is the client's end of a connection in memory: it speaks raw JSON
// records, and may stop reading.
type peer struct {
	t       *testing.T
	session transport.Session

	mu      sync.Mutex
	toSend  []byte
	got     []byte // what was received and not yet taken
	changed chan struct{}
	stalled chan struct{} // not nil: Receive blocks until it is closed
	ended   bool
	err     error
	chunks  int // calls of Receive
	total   int // bytes received
}

func connect(t *testing.T, h *Hub, id string) *peer {
	t.Helper()
	return connectAs(t, h, id, context.Background(), `{"protocol":"json","version":1}`)
}

func connectAs(t *testing.T, h *Hub, id string, ctx context.Context, handshake string) *peer {
	t.Helper()
	p := &peer{t: t, changed: make(chan struct{}, 1)}
	r := httptest.NewRequest("GET", "/hub?x=1", nil).WithContext(ctx)
	err := transport.ConnectPipe(id, r, 0, h.accept, func(s transport.Session) (transport.Application, error) {
		p.session = s
		return p, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.session.Abort(nil) })
	if handshake != "" {
		p.send(handshake)
		p.want(`{}`)
	}
	return p
}

func (p *peer) Receive(b []byte) error {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, b...)
	p.chunks++
	p.total += len(b)
	p.note()
	return nil
}

func (p *peer) Next(dst []byte, max int) ([]byte, bool, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dst = append(dst, p.toSend...)
	p.toSend = nil
	return dst, false, false
}

func (p *peer) PeerClosed() {}
func (p *peer) Lost()       {}
func (p *peer) Resumed()    {}
func (p *peer) Ended(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.err = true, err
	p.note()
}

func (p *peer) note() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// send sends records; the separators are added.
func (p *peer) send(records ...string) {
	p.mu.Lock()
	for _, r := range records {
		p.toSend = append(append(p.toSend, r...), wire.Separator)
	}
	p.mu.Unlock()
	p.session.Flush()
}

// next waits for one record, "" at the end of the connection.
func (p *peer) next() string {
	p.t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		if i := bytes.IndexByte(p.got, wire.Separator); i >= 0 {
			r := string(p.got[:i])
			p.got = p.got[i+1:]
			p.mu.Unlock()
			return r
		}
		ended := p.ended
		p.mu.Unlock()
		if ended {
			return ""
		}
		select {
		case <-p.changed:
		case <-timeout.C:
			p.t.Fatal("nothing came within a minute")
		}
	}
}

// want fails unless exactly these records come next; "" is the end.
func (p *peer) want(records ...string) {
	p.t.Helper()
	for _, want := range records {
		if got := p.next(); got != want {
			p.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// stall makes the peer stop reading until the returned function is called.
func (p *peer) stall() (goOn func()) {
	c := make(chan struct{})
	p.mu.Lock()
	p.stalled = c
	p.mu.Unlock()
	var once sync.Once
	release := func() {
		once.Do(func() {
			p.mu.Lock()
			p.stalled = nil
			p.mu.Unlock()
			close(c)
		})
	}
	p.t.Cleanup(release)
	return release
}

func shutdown(t testing.TB, h *Hub) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestCallAndAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		Handle(h, "Add", func(a, b int) int { return a + b })
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"7","target":"aDD","arguments":[2,40]}`)
		p.want(`{"type":3,"invocationId":"7","result":42}`)
		if err := h.Client("c1").Send(t.Context(), "Message", "hi", 3); err != nil {
			t.Fatal(err)
		}
		p.want(`{"type":1,"target":"Message","arguments":["hi",3]}`)
		shutdown(t, h)
		p.want(`{"type":7,"allowReconnect":true}`, "")
	})
}
