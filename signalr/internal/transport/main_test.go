package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// tinyHub is an application that knows as much of the hub protocol as the
// recordings of the transports need: the handshake, Echo, Ping and Close.
type tinyHub struct {
	session Session
	block   chan struct{} // Receive waits for this, if not nil

	mu      sync.Mutex
	in      bytes.Buffer
	shaken  bool
	waiting [][]byte
	end     bool
	log     []string // Lost, Resumed, PeerClosed

	ended chan error // gets what Ended gets
}

func newTinyHub(s Session) *tinyHub { return &tinyHub{session: s, ended: make(chan error, 2)} }

func (h *tinyHub) Receive(p []byte) error {
	if h.block != nil {
		select {
		case <-h.block:
		case <-time.After(patience):
			return fmt.Errorf("blocked for good")
		}
	}
	h.mu.Lock()
	h.in.Write(p)
	for {
		i := bytes.IndexByte(h.in.Bytes(), 0x1e)
		if i < 0 {
			break
		}
		if err := h.message(bytes.Clone(h.in.Next(i + 1)[:i])); err != nil {
			h.mu.Unlock()
			return err
		}
	}
	h.mu.Unlock()
	h.session.Flush()
	return nil
}

func (h *tinyHub) message(m []byte) error {
	var msg struct {
		Protocol     string
		Version      int
		Type         int
		InvocationID string
		Arguments    []string
	}
	if err := json.Unmarshal(m, &msg); err != nil {
		return err
	}
	switch {
	case !h.shaken:
		h.shaken = true
		h.waiting = append(h.waiting, []byte("{}\x1e"))
		if msg.Version == 2 {
			h.session.SetStateful(true)
		}
	case msg.Type == 1 && len(msg.Arguments) == 1:
		h.waiting = append(h.waiting, fmt.Appendf(nil, "{\"type\":3,\"invocationId\":%q,\"result\":%q}\x1e", msg.InvocationID, msg.Arguments[0]))
	case msg.Type == 7:
		h.waiting = append(h.waiting, []byte("{\"type\":7}\x1e"))
		h.end = true
	}
	return nil
}

// say queues a message.
func (h *tinyHub) say(m string) {
	h.mu.Lock()
	h.waiting = append(h.waiting, []byte(m))
	h.mu.Unlock()
	h.session.Flush()
}

// finish queues a last message.
func (h *tinyHub) finish(m string) {
	h.mu.Lock()
	h.waiting = append(h.waiting, []byte(m))
	h.end = true
	h.mu.Unlock()
	h.session.Flush()
}

func (h *tinyHub) Next(dst []byte, size int) (out []byte, more, end bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	start := len(dst)
	for len(h.waiting) > 0 && len(dst)-start < size {
		dst = append(dst, h.waiting[0]...)
		h.waiting = h.waiting[1:]
	}
	return dst, len(h.waiting) > 0, h.end
}

func (h *tinyHub) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, what)
}

func (h *tinyHub) noted() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.log...)
}

func (h *tinyHub) PeerClosed() {
	h.note("PeerClosed")
	h.finish("{\"type\":7,\"allowReconnect\":true}\x1e")
}

func (h *tinyHub) Lost() {
	h.note("Lost")
	h.mu.Lock()
	h.in.Reset()
	h.mu.Unlock()
}

func (h *tinyHub) Resumed() {
	h.note("Resumed")
	h.say("{\"type\":9,\"sequenceId\":1}\x1e")
}

func (h *tinyHub) Ended(err error) { h.ended <- err }

// awaitEnd waits for Ended.
func (h *tinyHub) awaitEnd(t *testing.T) error {
	t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the application was not told of the end")
		return nil
	}
}

// rig is an endpoint on a server of its own.
type rig struct {
	*Endpoint
	url  string // of the hub
	addr string
	hubs chan *tinyHub
}

func newRig(t *testing.T, opts EndpointOptions) *rig {
	t.Helper()
	return newRigWith(t, opts, nil)
}

// newRigWith is newRig with something that is done to each application before
// it is used.
func newRigWith(t *testing.T, opts EndpointOptions, prepare func(*tinyHub)) *rig {
	t.Helper()
	r := &rig{hubs: make(chan *tinyHub, 10_000)}
	if opts.Accept == nil {
		opts.Accept = func(s Session) (Application, error) {
			h := newTinyHub(s)
			if prepare != nil {
				prepare(h)
			}
			r.hubs <- h
			return h, nil
		}
	}
	r.Endpoint = NewEndpoint(opts)
	r.serve(t, r.Endpoint)
	return r
}

// serve puts the endpoint, within a handler, on a server.
func (r *rig) serve(t *testing.T, handler http.Handler) {
	mux := http.NewServeMux()
	mux.Handle("/testhub", handler)
	mux.Handle("/testhub/", handler)
	server := httptest.NewServer(mux)
	r.addr = server.Listener.Addr().String()
	r.url = server.URL + "/testhub"
	t.Cleanup(func() {
		for _, s := range r.all() {
			s.Abort(ErrShutdown)
		}
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
}

// hub waits for the application of the next connection.
func (r *rig) hub(t *testing.T) *tinyHub {
	t.Helper()
	select {
	case h := <-r.hubs:
		return h
	case <-time.After(patience):
		t.Fatal("no connection was accepted")
		return nil
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

type userKey struct{}

func userOf(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

// asUser is middleware that trusts the query.
func asUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := r.URL.Query().Get("user")
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}
