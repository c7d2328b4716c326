package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// echo is an application that gives back what it got.
type echo struct {
	s     Session
	mu    sync.Mutex
	buf   []byte
	ended chan error
}

func acceptEcho(s Session) (Application, error) {
	s.SetBinary(true)
	return &echo{s: s, ended: make(chan error, 1)}, nil
}

func (e *echo) Receive(p []byte) error {
	e.mu.Lock()
	e.buf = append(e.buf, p...)
	e.mu.Unlock()
	e.s.Flush()
	return nil
}

func (e *echo) Next(dst []byte, size int) ([]byte, bool, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(size, len(e.buf))
	dst = append(dst, e.buf[:n]...)
	e.buf = e.buf[n:]
	return dst, len(e.buf) > 0, false
}

func (e *echo) PeerClosed()     {}
func (e *echo) Lost()           {}
func (e *echo) Resumed()        {}
func (e *echo) Ended(err error) { e.ended <- err }

// foreignClient is a WebSocket client that others have written.
type foreignClient interface {
	write(data []byte, binary bool, fragments int) error
	read() ([]byte, error)
	close(code int) (answer int, err error)
}

type coderClient struct{ *coder.Conn }

func (c coderClient) write(data []byte, binary bool, fragments int) error {
	kind := coder.MessageText
	if binary {
		kind = coder.MessageBinary
	}
	w, err := c.Writer(context.Background(), kind)
	if err != nil {
		return err
	}
	for range fragments {
		n := len(data) / fragments
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

func (c coderClient) read() ([]byte, error) {
	_, p, err := c.Read(context.Background())
	return p, err
}

func (c coderClient) close(code int) (int, error) {
	err := c.Close(coder.StatusCode(code), "bye")
	if err != nil {
		return int(coder.CloseStatus(err)), nil
	}
	return code, nil // Close says nothing of the answer
}

type gorillaClient struct{ *gorilla.Conn }

func (c gorillaClient) write(data []byte, binary bool, fragments int) error {
	kind := gorilla.TextMessage
	if binary {
		kind = gorilla.BinaryMessage
	}
	w, err := c.NextWriter(kind)
	if err != nil {
		return err
	}
	for range fragments {
		n := len(data) / fragments
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

func (c gorillaClient) read() ([]byte, error) {
	_, p, err := c.ReadMessage()
	return p, err
}

func (c gorillaClient) close(code int) (int, error) {
	err := c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, "bye"), time.Now().Add(patience))
	if err != nil {
		return 0, err
	}
	_, _, err = c.ReadMessage()
	var ce *gorilla.CloseError
	if errors.As(err, &ce) {
		return ce.Code, c.Conn.Close()
	}
	return 0, err
}

var foreignClients = map[string]func(t *testing.T, url string, tls *tls.Config) foreignClient{
	"coder": func(t *testing.T, url string, config *tls.Config) foreignClient {
		c, _, err := coder.Dial(t.Context(), url, &coder.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(-1)
		t.Cleanup(func() { _ = c.CloseNow() })
		return coderClient{c}
	},
	"gorilla": func(t *testing.T, url string, config *tls.Config) foreignClient {
		d := gorilla.Dialer{TLSClientConfig: config, WriteBufferSize: 512} // fragments at every 512 bytes
		c, _, err := d.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return gorillaClient{c}
	},
}

// TestForeignClients sends messages of many sizes, in fragments, through
// clients that others have written, and reads them back; over TCP and TLS.
func TestForeignClients(t *testing.T) {
	for name, dial := range foreignClients {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s tls=%v", name, secure), func(t *testing.T) {
				e := NewEndpoint(EndpointOptions{Accept: acceptEcho})
				server := httptest.NewUnstartedServer(e)
				var config *tls.Config
				if secure {
					server.StartTLS()
					config = server.Client().Transport.(*http.Transport).TLSClientConfig
				} else {
					server.Start()
				}
				t.Cleanup(server.Close)
				c := dial(t, "ws"+strings.TrimPrefix(server.URL, "http"), config)
				rnd := rand.New(rand.NewPCG(1, 2))
				for _, size := range []int{0, 1, 125, 126, 127, 4096, 65535, 65536, 300_000, 3_000_000} {
					data := make([]byte, size)
					for i := range data {
						data[i] = byte(rnd.Uint32())
					}
					written := make(chan error, 1)
					go func() { written <- c.write(data, true, 1+rnd.IntN(5)) }()
					var got []byte
					for len(got) < size {
						p, err := c.read()
						if err != nil {
							t.Fatalf("size %d: %v", size, err)
						}
						got = append(got, p...)
					}
					if err := <-written; err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, data) {
						t.Fatalf("size %d comes back changed", size)
					}
				}
				text := strings.Repeat("aé你🙂", 20_000)
				if err := c.write([]byte(text), false, 7); err != nil {
					t.Fatal(err)
				}
				var got []byte
				for len(got) < len(text) {
					p, err := c.read()
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, p...)
				}
				if string(got) != text {
					t.Error("text comes back changed")
				}
				if code, err := c.close(1001); err != nil || name == "gorilla" && code != 1000 {
					t.Errorf("close 1001 is answered %d (%v), want 1000", code, err)
				}
				eventually(t, "the connection is gone", func() bool { return e.Count() == 0 })
			})
		}
	}
}

// TestForeignCloses: what a foreign client sees when the server ends.
func TestForeignCloses(t *testing.T) {
	for name, dial := range foreignClients {
		t.Run(name, func(t *testing.T) {
			rig := newRig(t, EndpointOptions{})
			c := dial(t, "ws"+strings.TrimPrefix(rig.url, "http"), nil)
			hub := rig.hub(t)
			hub.finish("last words\x1e")
			if p, err := c.read(); err != nil || string(p) != "last words\x1e" {
				t.Fatalf("%q, %v", p, err)
			}
			_, err := c.read()
			var ce *gorilla.CloseError
			if code := coder.CloseStatus(err); code != coder.StatusNormalClosure && (!errors.As(err, &ce) || ce.Code != 1000) {
				t.Errorf("got %v, want close 1000", err)
			}
			if err := hub.awaitEnd(t); err != nil {
				t.Errorf("Ended(%v), want nil", err)
			}
		})
	}
}

// shake does the handshake of version v and returns when it is answered.
func (p *peer) shake(t *testing.T, v int) {
	t.Helper()
	p.send(t, clientFrame(0x81, fmt.Sprintf("{\"protocol\":\"json\",\"version\":%d}\x1e", v)))
	if got := p.frame(); fmt.Sprint(got) != fmt.Sprint(map[string]any{"text": "{}\x1e"}) {
		t.Fatalf("handshake: %v", got)
	}
}

// TestPeerStopsReading: a flush never blocks, and the session of a peer that
// does not read ends after SendTimeout.
func TestPeerStopsReading(t *testing.T) {
	rig := newRig(t, EndpointOptions{SendTimeout: 200 * time.Millisecond})
	p := dialPeer(t, rig, "/testhub", nil)
	hub := rig.hub(t)
	p.shake(t, 1)
	message := strings.Repeat("x", 1<<16) + "\x1e"
	for range 400 { // 25 MiB: more than any socket buffer
		hub.say(message)
	}
	if err := hub.awaitEnd(t); !errors.Is(err, ErrSendTimeout) {
		t.Errorf("Ended(%v), want %v", err, ErrSendTimeout)
	}
}

// TestSlowPeer: what a socket did not take at once arrives later, whole and in
// order, with a pong in between.
func TestSlowPeer(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	p := dialPeer(t, rig, "/testhub", nil)
	hub := rig.hub(t)
	p.shake(t, 1)
	var want strings.Builder
	for i := range 300 {
		m := fmt.Sprintf("%d %s\x1e", i, strings.Repeat("y", 50_000))
		want.WriteString(m)
		hub.say(m)
	}
	p.send(t, clientFrame(0x89, "are you there"))
	var got strings.Builder
	ponged := false
	for got.Len() < want.Len() || !ponged {
		switch f := p.frame().(type) {
		case map[string]any:
			if text, ok := f["text"].(string); ok {
				got.WriteString(text)
			} else if f["opcode"] == 10.0 {
				ponged = true
			} else {
				t.Fatalf("got %v", f)
			}
		default:
			t.Fatalf("got %v", f)
		}
	}
	if got.String() != want.String() {
		t.Error("the messages arrive changed")
	}
}

// TestCoalesce: what waits goes out as one message.
func TestCoalesce(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	p := dialPeer(t, rig, "/testhub", nil)
	hub := rig.hub(t)
	p.shake(t, 1)
	hub.mu.Lock()
	for i := range 10 {
		hub.waiting = append(hub.waiting, fmt.Appendf(nil, "%d\x1e", i))
	}
	hub.mu.Unlock()
	hub.session.Flush()
	if got := fmt.Sprint(p.frame()); !strings.Contains(got, "0\x1e1\x1e2\x1e3\x1e4\x1e5\x1e6\x1e7\x1e8\x1e9\x1e") {
		t.Errorf("got %q, want one message", got)
	}
}

// TestBroken: sockets that end in bad ways, and what the application hears.
func TestBroken(t *testing.T) {
	frame := clientFrame(0x81, jsonHandshake)
	for _, tt := range []struct {
		name string
		do   func(p *peer)
		want error
	}{
		{"cut in the header", func(p *peer) { _, _ = p.Write(frame[:3]); _ = p.Close() }, ErrLost},
		{"cut in the payload", func(p *peer) { _, _ = p.Write(frame[:12]); _ = p.Close() }, ErrLost},
		{"cut between frames", func(p *peer) { _, _ = p.Write(frame); _ = p.Close() }, ErrLost},
		{"reset", func(p *peer) { _ = p.Conn.(*net.TCPConn).SetLinger(0); _ = p.Close() }, ErrLost},
		{"closed politely", func(p *peer) { _, _ = p.Write(clientFrame(0x88, "")); p.frame(); _ = p.Close() }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rig := newRig(t, EndpointOptions{})
			p := dialPeer(t, rig, "/testhub", nil)
			hub := rig.hub(t)
			tt.do(p)
			if err := hub.awaitEnd(t); !errors.Is(err, tt.want) {
				t.Errorf("Ended(%v), want %v", err, tt.want)
			}
			eventually(t, "it is forgotten", func() bool { return rig.Count() == 0 })
		})
	}
}

// TestFaults: more breaches of RFC 6455 than the recordings have.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		send []byte
		code float64
	}{
		{"a ping of 126 bytes", clientFrame(0x89, strings.Repeat("x", 126)), 1002},
		{"a message inside another", append(clientFrame(0x01, "a"), clientFrame(0x81, "b")...), 1002},
		{"a length from 2^63", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 1002},
		{"a character cut by the end", clientFrame(0x81, "\xe4\xbd"), 1007},
		{"a surrogate", clientFrame(0x81, "\xed\xa0\x80"), 1007},
		{"over the end of Unicode", clientFrame(0x81, "\xf4\x90\x80\x80"), 1007},
		{"a character broken by a fragment", append(clientFrame(0x01, "\xe4"), clientFrame(0x80, "x")...), 1007},
		{"a close reason that is not UTF-8", clientFrame(0x88, "\x03\xe8\xff"), 1002},
		{"close 1004", clientFrame(0x88, "\x03\xec"), 1002},
		{"close 5000", clientFrame(0x88, "\x13\x88"), 1002},
		{"close 1014", clientFrame(0x88, "\x03\xf6"), 1000},
		{"close without a code", clientFrame(0x88, ""), 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rig := newRig(t, EndpointOptions{Accept: acceptEcho})
			p := dialPeer(t, rig, "/testhub", nil)
			p.send(t, tt.send)
			for {
				got := p.frame()
				if m, ok := got.(map[string]any); ok && m["close"] == nil {
					continue // what was right before
				}
				if !isClose(got, tt.code) {
					t.Fatalf("got %v, want close %v", got, tt.code)
				}
				break
			}
			eventually(t, "it is forgotten", func() bool { return rig.Count() == 0 })
		})
	}
}

// TestHugeAnnouncement: a length costs nothing until its bytes come.
func TestHugeAnnouncement(t *testing.T) {
	rig := newRig(t, EndpointOptions{Accept: acceptEcho})
	p := dialPeer(t, rig, "/testhub", nil)
	p.send(t, []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	p.send(t, []byte("abc"))
	if got := fmt.Sprint(p.frame()); !strings.Contains(got, "616263") {
		t.Errorf("got %v", got)
	}
}

// TestEarlyFrames: what follows the request in the same packet is not lost.
func TestEarlyFrames(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	conn, err := net.Dial("tcp", rig.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	frame := clientFrame(0x81, jsonHandshake+echoCall("1", "early"))
	if _, err := conn.Write(append([]byte(upgradeRequest(rig.addr, "/testhub", nil)), frame...)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var got []byte
	for !bytes.Contains(got, []byte("early")) {
		p := make([]byte, 1024)
		n, err := conn.Read(p)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, p[:n]...)
	}
}

// TestByteByByte: a client may send every byte in a packet of its own.
func TestByteByByte(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	p := dialPeer(t, rig, "/testhub", nil)
	for _, b := range clientFrame(0x81, jsonHandshake) {
		p.send(t, []byte{b})
	}
	for _, b := range clientFrame(0x89, "ping") {
		p.send(t, []byte{b})
	}
	if got := fmt.Sprint(p.frame(), p.frame()); !strings.Contains(got, "{}") || !strings.Contains(got, "70696e67") {
		t.Errorf("got %v", got)
	}
}

// TestCloseTimeout: a client that does not answer the close frame is cut off.
func TestCloseTimeout(t *testing.T) {
	rig := newRig(t, EndpointOptions{CloseTimeout: 50 * time.Millisecond})
	p := dialPeer(t, rig, "/testhub", nil)
	hub := rig.hub(t)
	hub.finish("bye\x1e")
	p.frame()
	if got := p.frame(); !isClose(got, 1000) {
		t.Errorf("got %v, want a close frame", got)
	}
	if err := hub.awaitEnd(t); err != nil {
		t.Errorf("Ended(%v), want nil", err)
	}
	if _, err := p.in.ReadByte(); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
}

// TestAbort: an abort ends a socket whose reader is held back.
func TestAbort(t *testing.T) {
	rig := newRigWith(t, EndpointOptions{}, func(h *tinyHub) { h.block = make(chan struct{}) })
	p := dialPeer(t, rig, "/testhub", nil)
	hub := rig.hub(t)
	p.send(t, clientFrame(0x81, jsonHandshake))
	cause := errors.New("enough")
	hub.session.Abort(cause)
	if err := hub.awaitEnd(t); !errors.Is(err, cause) {
		t.Errorf("Ended(%v), want %v", err, cause)
	}
	close(hub.block)
}

// TestIdleCost: an idle WebSocket has one goroutine.
func TestIdleCost(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	const n = 200
	before := runtime.NumGoroutine()
	for range n {
		p := dialPeer(t, rig, "/testhub", nil)
		p.shake(t, 1)
	}
	eventually(t, "net/http has let go", func() bool { return runtime.NumGoroutine()-before <= n+5 })
}

// TestStorm connects and disconnects a thousand clients in all ways at once.
func TestStorm(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	var wg sync.WaitGroup
	for worker := range 20 {
		wg.Go(func() {
			for i := range 50 {
				p := dialPeer(t, rig, "/testhub", nil)
				if p.answer.Status != 101 {
					t.Errorf("status %d", p.answer.Status)
					return
				}
				p.send(t, clientFrame(0x81, jsonHandshake+echoCall("1", "x")))
				switch (worker + i) % 4 {
				case 0:
					_ = p.Close()
				case 1:
					p.send(t, clientFrame(0x88, "\x03\xe8"))
					_ = p.Close()
				case 2:
					p.frame()
					_ = p.Conn.(*net.TCPConn).SetLinger(0)
					_ = p.Close()
				case 3:
					p.send(t, clientFrame(0x81, "{\"type\":7}\x1e"))
					for f := p.frame(); !isClose(f, 1000); f = p.frame() {
						if _, ok := f.(string); ok {
							t.Errorf("got %v", f)
							break
						}
					}
					_ = p.Close()
				}
			}
		})
	}
	wg.Wait()
	for range 1000 {
		rig.hub(t).awaitEnd(t)
	}
	eventually(t, "all are forgotten", func() bool { return rig.Count() == 0 })
}
