//go:build unix

package signalr

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a connection costs that does nothing. Its client is a bare socket of the
// operating system, so that all that is counted is the server's.

// idleHub is a hub on a server, and its idle clients.
type idleHub struct {
	tb      testing.TB
	hub     *Hub
	server  *httptest.Server
	client  *http.Client // for requests that end
	sockets []int
	pipes   []io.Closer
	polls   []string // URLs of connections that end with a DELETE
}

func newIdleHub(tb testing.TB) *idleHub {
	hub := NewHub("idle", HubOptions{ShutdownWindow: time.Millisecond})
	s := &idleHub{tb: tb, hub: hub, server: httptest.NewServer(hub), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	tb.Cleanup(s.close)
	return s
}

func (s *idleHub) close() {
	for _, fd := range s.sockets {
		_ = syscall.Close(fd)
	}
	for _, p := range s.pipes {
		_ = p.Close()
	}
	for _, url := range s.polls {
		s.request(http.MethodDelete, url, "")
	}
	s.sockets, s.pipes, s.polls = nil, nil, nil
	shutdown(s.tb, s.hub)
	s.server.Close()
}

// socket sends bytes on a connection of its own.
func (s *idleHub) socket(request string) (fd int) {
	s.tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.sockets = append(s.sockets, fd)
	addr := syscall.SockaddrInet4{Port: s.server.Listener.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	if err := syscall.Connect(fd, &addr); err != nil {
		s.tb.Fatal(err)
	}
	s.write(fd, request)
	return fd
}

func (s *idleHub) write(fd int, text string) {
	s.tb.Helper()
	if n, err := syscall.Write(fd, []byte(text)); err != nil || n != len(text) {
		s.tb.Fatal(n, err)
	}
}

// readTo reads until what was read ends with text.
func (s *idleHub) readTo(fd int, text string) {
	s.tb.Helper()
	var all []byte
	for buf := make([]byte, 512); !bytes.HasSuffix(all, []byte(text)); {
		n, err := syscall.Read(fd, buf)
		if err != nil || n == 0 {
			s.tb.Fatalf("%q, then %v", all, err)
		}
		all = append(all, buf[:n]...)
	}
}

const idleHandshake = `{"protocol":"json","version":1}` + "\x1e"

func (s *idleHub) webSocket() {
	fd := s.socket("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	s.readTo(fd, "\r\n\r\n")
	s.write(fd, string([]byte{0x81, 0x80 | byte(len(idleHandshake)), 0, 0, 0, 0})+idleHandshake)
	s.readTo(fd, "{}\x1e")
}

func (s *idleHub) events() {
	url := s.negotiate()
	fd := s.socket("GET " + url + " HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	s.request(http.MethodPost, url, idleHandshake)
	s.readTo(fd, "{}\x1e\r\n\r\n\r\n")
}

func (s *idleHub) polling() {
	url := s.negotiate()
	s.request(http.MethodGet, url, "")
	s.request(http.MethodPost, url, idleHandshake)
	s.request(http.MethodGet, url, "")
	s.socket("GET " + url + " HTTP/1.1\r\nHost: x\r\n\r\n")
	s.polls = append(s.polls, url)
}

// memory counts both ends.
func (s *idleHub) memory() {
	p, err := s.hub.Dial(nil)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.pipes = append(s.pipes, p)
	if _, err := io.WriteString(p, idleHandshake); err != nil {
		s.tb.Fatal(err)
	}
	if _, err := io.ReadFull(p, make([]byte, 3)); err != nil {
		s.tb.Fatal(err)
	}
}

// negotiate returns the URL of a new connection, without the host.
func (s *idleHub) negotiate() string {
	var n struct{ ConnectionToken string }
	if err := json.Unmarshal([]byte(s.request(http.MethodPost, "/negotiate?negotiateVersion=1", "")), &n); err != nil {
		s.tb.Fatal(err)
	}
	return "/?id=" + n.ConnectionToken
}

func (s *idleHub) request(method, url, body string) string {
	s.tb.Helper()
	r, err := http.NewRequest(method, s.server.URL+url, strings.NewReader(body))
	if err != nil {
		s.tb.Fatal(err)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		s.tb.Fatal(resp.Status, err)
	}
	return string(answer)
}

// idleKinds are the transports, with the goroutines of one connection: of a
// request that lasts net/http has two.
var idleKinds = []struct {
	kind       Transport
	connect    func(*idleHub)
	goroutines int
}{
	{WebSockets, (*idleHub).webSocket, 1},
	{ServerSentEvents, (*idleHub).events, 2},
	{LongPolling, (*idleHub).polling, 2},
	{InMemory, (*idleHub).memory, 0},
}

// TestIdleGoroutines: an idle WebSocket costs one goroutine, the reader.
func TestIdleGoroutines(t *testing.T) {
	const n = 100
	for _, k := range idleKinds {
		t.Run(k.kind.String(), func(t *testing.T) {
			s := newIdleHub(t)
			before := runtime.NumGoroutine()
			for range n {
				k.connect(s)
			}
			const others = 5 // heartbeat, sweepers, the server's own
			deadline := time.Now().Add(20 * time.Second)
			for {
				got := runtime.NumGoroutine() - before
				if got <= n*k.goroutines+others && s.hub.Count() == n {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d goroutines for %d connections, want %d each", got, s.hub.Count(), k.goroutines)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// BenchmarkIdle is what one of a thousand idle connections costs the server, in
// goroutines, their stacks, and heap. What counts is in its metrics; the time is
// that of connecting.
func BenchmarkIdle(b *testing.B) {
	const n = 1000
	for _, k := range idleKinds {
		b.Run(k.kind.String(), func(b *testing.B) {
			var goroutines, stacks, heap float64
			for range b.N {
				s := newIdleHub(b)
				k.connect(s) // what the first one needs, such as the heartbeat
				before := settled()
				for range n {
					k.connect(s)
				}
				after := settled()
				goroutines += float64(after.goroutines - before.goroutines)
				stacks += float64(after.stacks) - float64(before.stacks)
				heap += float64(after.heap) - float64(before.heap)
				s.close()
			}
			b.ReportMetric(goroutines/float64(n*b.N), "goroutines/conn")
			b.ReportMetric(stacks/float64(n*b.N), "stack-B/conn")
			b.ReportMetric(heap/float64(n*b.N), "heap-B/conn")
		})
	}
}

type footprint struct {
	goroutines   int
	stacks, heap uint64
}

// settled is what is in use once nothing changes any more.
func settled() footprint {
	var last footprint
	for same := 0; same < 3; {
		time.Sleep(50 * time.Millisecond)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := footprint{runtime.NumGoroutine(), m.StackInuse, m.HeapAlloc}
		if now.goroutines == last.goroutines && now.heap <= last.heap+4096 && last.heap <= now.heap+4096 {
			same++
		} else {
			same = 0
		}
		last = now
	}
	return last
}
