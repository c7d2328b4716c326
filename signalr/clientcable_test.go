package signalr

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// cable is a server for a client, by the hand of the test: it owns the network
// and says what the server says. The handshake and pings it sees to itself.
type cable struct {
	t     *testing.T
	proto wire.Protocol
	app   transport.Application
	next  sync.Mutex

	mu       sync.Mutex
	offered  bool
	up       bool
	stateful bool
	closing  bool
	ended    bool
	version  int
	in       []byte
	got      []wire.Message
	pings    int

	lifetime  time.Duration                         // of the credential; 0: without end
	refreshed []func() (time.Duration, bool, error) // the answers to come
	refreshes []time.Time
	fail      error // of dial
}

// cableClient makes a client whose server is the test.
func cableClient(t *testing.T, opts ClientOptions) (*Client, *cable) {
	c := NewClient("http://example.test", opts)
	s := &cable{t: t, proto: c.protocol, offered: opts.StatefulReconnect}
	c.dial = s.dial
	return c, s
}

// connectCable starts one.
func connectCable(t *testing.T, opts ClientOptions) (*Client, *cable) {
	t.Helper()
	c, s := cableClient(t, opts)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, s
}

func (s *cable) dial(_ context.Context, accept func(transport.Session) (transport.Application, error)) error {
	s.mu.Lock()
	if err := s.fail; err != nil {
		s.mu.Unlock()
		return err
	}
	s.up, s.closing, s.ended, s.version, s.in = true, false, false, 0, nil
	s.mu.Unlock()
	app, err := accept(s)
	if err != nil {
		return err
	}
	s.app = app
	go s.Flush()
	return nil
}

func (s *cable) ID() string             { return "c1" }
func (s *cable) Kind() transport.Kind   { return transport.WebSockets }
func (s *cable) SupportsBinary() bool   { return true }
func (s *cable) SetBinary(bool)         {}
func (s *cable) Request() *http.Request { return nil }
func (s *cable) StatefulOffered() bool  { return s.offered }
func (s *cable) SetStateful(on bool)    { s.mu.Lock(); s.stateful = on; s.mu.Unlock() }
func (s *cable) Close()                 { s.mu.Lock(); s.closing = true; s.mu.Unlock(); go s.Flush() }
func (s *cable) Abort(err error)        { go s.end(err) }

func (s *cable) end(err error) {
	s.next.Lock()
	defer s.next.Unlock()
	s.mu.Lock()
	before := s.ended
	s.ended = true
	s.mu.Unlock()
	if !before {
		s.app.Ended(err)
	}
}

func (s *cable) Flush() {
	s.next.Lock()
	defer s.next.Unlock()
	for {
		s.mu.Lock()
		stop, closing := !s.up || s.ended, s.closing
		s.mu.Unlock()
		if stop {
			return
		}
		out, more, end := s.app.Next(nil, 100)
		s.take(out)
		if !more {
			if end || closing {
				go s.end(nil)
			}
			return
		}
	}
}

// take takes in what the client says.
func (s *cable) take(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in = append(s.in, p...)
	if s.version == 0 && len(s.in) > 0 {
		req, n, err := wire.ParseHandshakeRequest(s.in, 0)
		if err != nil || n == 0 {
			s.t.Errorf("handshake %q: %v", s.in, err)
			return
		}
		s.version, s.in = req.Version, s.in[n:]
		go s.receive([]byte("{}\x1e"))
	}
	for {
		inside, n, err := s.proto.Split(s.in, 0)
		if err != nil {
			s.t.Error(err)
		}
		if n == 0 {
			return
		}
		var m wire.Message
		if err := s.proto.Parse(append([]byte(nil), inside...), &m); err != nil {
			s.t.Error(err)
		}
		s.in = s.in[n:]
		if m.Type == wire.Ping {
			s.pings++
			continue
		}
		s.got = append(s.got, m)
	}
}

// TokenLifetime implements transport.Refresher, as does Refresh.
func (s *cable) TokenLifetime() (time.Duration, bool) { return s.lifetime, s.lifetime > 0 }

func (s *cable) Refresh(context.Context) (time.Duration, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshes = append(s.refreshes, time.Now())
	answer := s.refreshed[0]
	s.refreshed = s.refreshed[1:]
	return answer()
}

// heard returns what the client has said since, without pings.
func (s *cable) heard() []wire.Message {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// say says something to the client.
func (s *cable) say(messages ...wire.Message) {
	var p []byte
	for i := range messages {
		p = s.proto.Append(p, &messages[i])
	}
	s.receive(p)
}

func (s *cable) receive(p []byte) {
	if err := s.app.Receive(p); err != nil {
		go s.end(err)
	}
}

// lose cuts the cable, comeBack joins it again.
func (s *cable) lose() {
	s.next.Lock()
	defer s.next.Unlock()
	s.mu.Lock()
	if !s.stateful {
		s.t.Error("the client wants no other socket")
	}
	s.up, s.in = false, nil
	s.mu.Unlock()
	s.app.Lost()
}

func (s *cable) comeBack() {
	s.next.Lock()
	s.app.Resumed()
	s.mu.Lock()
	s.up = true
	s.mu.Unlock()
	s.next.Unlock()
	s.Flush()
}
