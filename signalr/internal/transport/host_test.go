package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// wrapped is a ResponseWriter of middleware, as many are.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hostTimeout is enough for what is short; what lasts goes on beyond it.
const hostTimeout = 2 * time.Second

// newHost is a rig on a server with timeouts that are shorter than what lasts,
// behind middleware that wraps its ResponseWriter and sets a header.
func newHost(t *testing.T, http2 bool) (*rig, *http.Client) {
	r := &rig{hubs: make(chan *tinyHub, 100)}
	r.Endpoint = NewEndpoint(EndpointOptions{Accept: func(s Session) (Application, error) {
		h := newTinyHub(s)
		r.hubs <- h
		return h, nil
	}})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Set-Cookie", "affinity=1")
		r.ServeHTTP(wrapped{w}, req)
	}))
	server.Config.ReadTimeout = hostTimeout
	server.Config.WriteTimeout = hostTimeout
	client := http.DefaultClient
	if http2 {
		server.EnableHTTP2 = true
		server.StartTLS()
		client = server.Client()
	} else {
		server.Start()
	}
	r.url, r.addr = server.URL, server.Listener.Addr().String()
	t.Cleanup(func() {
		for _, s := range r.all() {
			s.Abort(ErrShutdown)
		}
		client.CloseIdleConnections()
		server.Close()
	})
	return r, client
}

// TestHostTimeouts: what lasts outlives the timeouts of http.Server, over
// HTTP/1.1 and HTTP/2.
func TestHostTimeouts(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) {
			t.Parallel()
			rig, client := newHost(t, http2)
			token := func() string {
				s := rig.open(httptest.NewRequest("POST", "/", nil), 1, false)
				return s.token
			}
			get := func(accept, id string) *http.Response {
				req, _ := http.NewRequest("GET", rig.url+"?id="+id, nil)
				req.Header.Set("Accept", accept)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if http2 != (resp.ProtoMajor == 2) {
					t.Fatalf("HTTP/%d", resp.ProtoMajor)
				}
				return resp
			}
			events := get("text/event-stream", token())
			streamHub := rig.hub(t)
			polling := token()
			_ = get("", polling).Body.Close()
			pollHub := rig.hub(t)

			time.AfterFunc(hostTimeout*5/4, func() {
				streamHub.say("late\x1e")
				pollHub.say("late\x1e")
			})
			poll := get("", polling)
			if body, err := io.ReadAll(poll.Body); err != nil || string(body) != "late\x1e" {
				t.Errorf("poll: %q, %v", body, err)
			}
			in := bufio.NewReader(events.Body)
			for _, want := range []string{":\r\n", "data: late\x1e\r\n", "\r\n"} {
				if line, err := in.ReadString('\n'); err != nil || line != want {
					t.Fatalf("event stream: %q, %v, want %q", line, err, want)
				}
			}
			_ = events.Body.Close()
			if err := streamHub.awaitEnd(t); err != nil {
				t.Errorf("Ended(%v), want nil", err)
			}
		})
	}
	t.Run("WebSocket", func(t *testing.T) {
		t.Parallel()
		rig, _ := newHost(t, false)
		p := dialPeer(t, rig, "/", nil)
		if p.answer.Status != 101 || p.answer.Headers["set-cookie"] != "affinity=1" {
			t.Fatalf("%v", p.answer)
		}
		hub := rig.hub(t)
		p.shake(t, 1)
		time.AfterFunc(hostTimeout*5/4, func() { hub.say("late\x1e") })
		expectText(t, p, "late\x1e")
		p.send(t, clientFrame(0x81, echoCall("1", "x")))
		expectText(t, p, `"result":"x"`)
	})
}

// TestEventsPeerStopsReading: an event stream that nobody reads ends too.
func TestEventsPeerStopsReading(t *testing.T) {
	rig := newRig(t, EndpointOptions{SendTimeout: 200 * time.Millisecond})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	req, _ := http.NewRequest("GET", rig.url+"?id="+token, nil)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	hub := rig.hub(t)
	message := strings.Repeat("x", 1<<16) + "\x1e"
	for range 400 {
		hub.say(message)
	}
	if err := hub.awaitEnd(t); !errors.Is(err, ErrSendTimeout) {
		t.Errorf("Ended(%v), want %v", err, ErrSendTimeout)
	}
}

// counting is an application with an endless supply: it checks that its methods
// are called as promised.
type counting struct {
	t      *testing.T
	s      Session
	mu     sync.Mutex
	inNext bool
	lost   bool
	over   bool
	n      int
	shaken chan struct{}
	ended  chan error
}

func (c *counting) enter(what string, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inNext || c.over || c.lost != lost {
		c.t.Errorf("%s in a wrong moment: inNext %v, over %v, lost %v", what, c.inNext, c.over, c.lost)
	}
	c.inNext = true
}

func (c *counting) leave() { c.mu.Lock(); defer c.mu.Unlock(); c.inNext = false }

func (c *counting) Receive(p []byte) error {
	if strings.Contains(string(p), "version\":2") {
		c.s.SetStateful(true)
		close(c.shaken)
	}
	return nil
}

func (c *counting) Next(dst []byte, _ int) ([]byte, bool, bool) {
	c.enter("Next", false)
	defer c.leave()
	c.n++
	return fmt.Appendf(dst, "%d %s\x1e", c.n, strings.Repeat("z", c.n%5000)), c.n%3 != 0, false
}

func (c *counting) PeerClosed() {}
func (c *counting) Lost() {
	c.enter("Lost", false)
	c.mu.Lock()
	c.lost = true
	c.mu.Unlock()
	c.leave()
}
func (c *counting) Resumed() {
	c.enter("Resumed", true)
	c.mu.Lock()
	c.lost = false
	c.mu.Unlock()
	c.leave()
}

func (c *counting) Ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inNext || c.over {
		c.t.Errorf("Ended in a wrong moment: inNext %v, over %v", c.inNext, c.over)
	}
	c.over = true
	c.ended <- err
}

// TestPromises flushes from many goroutines while sockets come, go and are
// replaced, and checks what Application is promised.
func TestPromises(t *testing.T) {
	apps := make(chan *counting, 10)
	rig := newRig(t, EndpointOptions{
		AllowStateful: func(*http.Request) bool { return true },
		Accept: func(s Session) (Application, error) {
			c := &counting{t: t, s: s, shaken: make(chan struct{}), ended: make(chan error, 1)}
			apps <- c
			return c, nil
		},
	})
	for round := range 5 {
		_, token := rig.negotiated(t, "negotiateVersion=1&useStatefulReconnect=true")
		target := "/testhub?id=" + token
		p := dialPeer(t, rig, target, nil)
		p.send(t, clientFrame(0x81, "{\"protocol\":\"json\",\"version\":2}\x1e"))
		app := <-apps
		<-app.shaken
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						app.s.Flush()
						time.Sleep(10 * time.Microsecond) // so that two cores have time for the rest
					}
				}
			})
		}
		for i := range 20 {
			for range 20 {
				p.frame()
			}
			if i%2 == 0 {
				_ = p.Close()
			}
			again := dialPeer(t, rig, target, nil)
			if again.answer.Status != 101 {
				t.Fatalf("round %d, socket %d: %v", round, i, again.answer)
			}
			again.send(t, clientFrame(0x89, "ping"))
			p = again
		}
		if round%2 == 0 {
			app.s.Abort(nil)
		} else {
			p.send(t, clientFrame(0x88, ""))
			for _, ok := p.frame().(map[string]any); ok; _, ok = p.frame().(map[string]any) {
			}
		}
		select {
		case <-app.ended:
		case <-time.After(patience):
			t.Fatal("no end")
		}
		close(stop)
		wg.Wait()
	}
}
