package signalr_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// Every timeout of the transports with its default, by fake time.

// timed is a hub on a server in memory that tells of ends.
type timed struct {
	t      *testing.T
	hub    *signalr.Hub
	server *signalrtest.Server
	ended  chan error
}

func newTimed(t *testing.T, opts signalr.HubOptions) *timed {
	x := &timed{t: t, ended: make(chan error, 1)}
	opts.OnDisconnected = func(_ context.Context, _ *signalr.Conn, cause error) { x.ended <- cause }
	x.hub = signalr.NewHub("timed", opts)
	x.server = signalrtest.Serve(t, x.hub)
	return x
}

// request returns status and body of the answer.
func (x *timed) request(method, path, body string) (int, string) {
	x.t.Helper()
	r, err := http.NewRequestWithContext(x.t.Context(), method, x.server.URL+path, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	resp, err := x.server.HTTPClient.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func (x *timed) negotiate() (path string) {
	x.t.Helper()
	_, answer := x.request(http.MethodPost, "/negotiate?negotiateVersion=1", "")
	var n struct{ ConnectionToken string }
	if err := json.Unmarshal([]byte(answer), &n); err != nil {
		x.t.Fatal(answer, err)
	}
	return "/?id=" + n.ConnectionToken
}

// poll connects by long polling and shakes hands.
func (x *timed) poll() (path string) {
	path = x.negotiate()
	x.request(http.MethodGet, path, "")
	x.request(http.MethodPost, path, handshake)
	if _, answer := x.request(http.MethodGet, path, ""); answer != "{}\x1e" {
		x.t.Fatalf("handshake: %q", answer)
	}
	return path
}

const handshake = `{"protocol":"json","version":1}` + "\x1e"

// socket connects by a bare WebSocket, which reads only what it is told to.
func (x *timed) socket() (conn net.Conn, in *bufio.Reader) {
	x.t.Helper()
	conn, err := x.server.HTTPClient.Transport.(*http.Transport).DialContext(x.t.Context(), "tcp", "")
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		x.t.Fatal(err)
	}
	in = bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		x.t.Fatal(resp, err)
	}
	return conn, in
}

// shake writes the handshake and reads the answer.
func (x *timed) shake(conn net.Conn, in *bufio.Reader) {
	x.t.Helper()
	if _, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(handshake)), 0, 0, 0, 0}, handshake...)); err != nil {
		x.t.Fatal(err)
	}
	if _, err := io.ReadFull(in, make([]byte, 2+len("{}\x1e"))); err != nil {
		x.t.Fatal(err)
	}
}

// within checks how long something took, with a second more where it is looked
// at once a second.
func (x *timed) within(what string, began time.Time, want, more time.Duration) {
	x.t.Helper()
	if took := time.Since(began); took < want || took > want+more {
		x.t.Errorf("%s: %v, want %v", what, took, want)
	}
}

func TestTimeouts(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"a poll waits 90 s":                         testPollTimeout,
		"a negotiated connection lasts 15 s":        testUnusedNegotiation,
		"between polls 15 s":                        testLostPoller,
		"a handshake may take 15 s":                 testLateHandshake,
		"a write may take 10 s":                     testStuckSocket,
		"the answer to a close frame may take 5 s":  testUnansweredClose,
		"a client waits 15 s for the handshake":     testSilentServer,
		"a client waits 100 s for a connection":     testSilentNegotiation,
		"a client re-attaches within 15 s":          testReattachWindow,
		"a client that stops waits 5 s for the end": testStopWaits,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

func testPollTimeout(t *testing.T) {
	x := newTimed(t, signalr.HubOptions{})
	path := x.poll()
	began := time.Now()
	if status, answer := x.request(http.MethodGet, path, ""); status != http.StatusOK || answer != "" {
		t.Errorf("%d %q", status, answer)
	}
	x.within("an empty poll", began, 90*time.Second, 0)
	x.request(http.MethodDelete, path, "")
	<-x.ended
}

func testUnusedNegotiation(t *testing.T) {
	x := newTimed(t, signalr.HubOptions{})
	early, late := x.negotiate(), x.negotiate()
	time.Sleep(14 * time.Second)
	if status, _ := x.request(http.MethodGet, early, ""); status != http.StatusOK {
		t.Errorf("after 14 s: %d", status)
	}
	time.Sleep(3 * time.Second)
	if status, _ := x.request(http.MethodGet, late, ""); status != http.StatusNotFound {
		t.Errorf("after 17 s: %d", status)
	}
	x.request(http.MethodDelete, early, "")
}

func testLostPoller(t *testing.T) {
	x := newTimed(t, signalr.HubOptions{})
	x.poll()
	began := time.Now()
	if cause := <-x.ended; cause != nil {
		t.Errorf("ended because of %v", cause)
	}
	x.within("without a poll", began, 15*time.Second, 2*time.Second)
}

func testLateHandshake(t *testing.T) {
	x := newTimed(t, signalr.HubOptions{})
	began := time.Now()
	_, in := x.socket()
	answer, err := io.ReadAll(in)
	if want := `{"error":"Handshake was canceled."}` + "\x1e"; err != nil || !strings.Contains(string(answer), want) {
		t.Errorf("%q, %v", answer, err)
	}
	x.within("without a handshake", began, 15*time.Second, 5*time.Second) // and the time of the close frame
}

func testStuckSocket(t *testing.T) {
	x := newTimed(t, signalr.HubOptions{})
	x.shake(x.socket())
	began := time.Now()
	if err := x.hub.All().Send(t.Context(), "M"); err != nil {
		t.Error(err)
	}
	if cause := <-x.ended; !errors.Is(cause, signalr.ErrSlowClient) {
		t.Errorf("ended because of %v", cause)
	}
	x.within("a write", began, 10*time.Second, 0)
}

func testUnansweredClose(t *testing.T) {
	x := newTimed(t, signalr.HubOptions{})
	conn, in := x.socket()
	x.shake(conn, in)
	for c := range x.hub.Connections() {
		c.Abort()
	}
	began := time.Now()
	if _, err := io.ReadAll(in); err != nil { // takes the frame, and says nothing
		t.Error(err)
	}
	x.within("a close frame", began, 5*time.Second, 0)
	<-x.ended
}

// mute is a server of WebSockets that says what it is told to, and no more, and
// does not answer close frames.
func mute(words string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, in, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(key[:])+"\r\n\r\n"+words)
		_, _ = io.Copy(io.Discard, in)
	}
}

func testSilentServer(t *testing.T) {
	server := signalrtest.Serve(t, mute(""))
	client := signalr.NewClient(server.URL, signalr.ClientOptions{
		HTTPClient: server.HTTPClient, SkipNegotiation: true, Transports: []signalr.Transport{signalr.WebSockets},
	})
	began := time.Now()
	if err := client.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "did not answer the handshake in time") {
		t.Error(err)
	}
	(&timed{t: t}).within("the handshake", began, 15*time.Second, 0)
}

func testSilentNegotiation(t *testing.T) {
	server := signalrtest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	client := signalr.NewClient(server.URL, signalr.ClientOptions{HTTPClient: server.HTTPClient})
	began := time.Now()
	if err := client.Start(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	(&timed{t: t}).within("negotiation", began, 100*time.Second, 0)
}

func testReattachWindow(t *testing.T) {
	hub := signalr.NewHub("timed", signalr.HubOptions{AllowStatefulReconnects: true})
	down := false
	server := signalrtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down {
			<-r.Context().Done() // a server that does not answer
			return
		}
		hub.ServeHTTP(w, r)
	}))
	closed := make(chan error, 1)
	client := signalr.NewClient(server.URL, signalr.ClientOptions{
		HTTPClient: server.HTTPClient, StatefulReconnect: true, OnClosed: func(cause error) { closed <- cause },
	})
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	down = true
	began := time.Now()
	server.Cut()
	if cause := <-closed; cause == nil {
		t.Error("closed without a cause")
	}
	(&timed{t: t}).within("without a socket", began, 15*time.Second, time.Second)
	if err := hub.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func testStopWaits(t *testing.T) {
	server := signalrtest.Serve(t, mute("\x81\x03{}\x1e"))
	client := signalr.NewClient(server.URL, signalr.ClientOptions{
		HTTPClient: server.HTTPClient, SkipNegotiation: true, Transports: []signalr.Transport{signalr.WebSockets},
	})
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := client.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	(&timed{t: t}).within("stopping", began, 5*time.Second, 0)
}
