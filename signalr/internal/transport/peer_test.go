package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
)

// What other WebSocket libraries, as servers, make of the bytes of a client.

// script is a connection whose client has sent what it will.
type script struct {
	net.Conn // nil: what is not below is not called
	in       io.Reader
}

// errRanOut is of no kind that the libraries have rules for.
var errRanOut = errors.New("no more bytes")

func (s script) Read(p []byte) (n int, err error) {
	if n, err = s.in.Read(p); err == io.EOF {
		err = errRanOut
	}
	return n, err
}

func (s script) Write(p []byte) (int, error)      { return len(p), nil }
func (s script) Close() error                     { return nil }
func (s script) SetDeadline(time.Time) error      { return nil }
func (s script) SetReadDeadline(time.Time) error  { return nil }
func (s script) SetWriteDeadline(time.Time) error { return nil }

// hijacked is the ResponseWriter of an upgrade on such a connection.
type hijacked struct {
	http.ResponseWriter
	conn script
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

func upgraded(data []byte) (hijacked, *http.Request) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	return hijacked{httptest.NewRecorder(), script{in: bytes.NewReader(data)}}, r
}

// How the reading of bytes ends.
const (
	ranOut = "no more bytes"
	closed = "closed"
	faulty = "fault"
	noCode = "closed without a code" // which gorilla also finds in a payload of one byte
)

// gorillaReads returns the bytes of the whole messages, and how it ends.
func gorillaReads(t *testing.T, data []byte) (whole []byte, end string) {
	w, r := upgraded(data)
	conn, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, p, err := conn.ReadMessage()
		if err == nil {
			whole = append(whole, p...)
			continue
		}
		var said *gorilla.CloseError
		switch {
		case errors.Is(err, errRanOut):
			return whole, ranOut
		case gorilla.IsCloseError(err, gorilla.CloseNoStatusReceived):
			return whole, noCode
		case errors.As(err, &said), strings.HasSuffix(err.Error(), "bad close code 1014"): // which it does not know
			return whole, closed
		}
		return whole, faulty
	}
}

// coderReads is the same with the other library.
func coderReads(t *testing.T, data []byte) (whole []byte, end string) {
	w, r := upgraded(data)
	conn, err := coder.Accept(w, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	for {
		_, p, err := conn.Read(context.Background())
		if err == nil {
			whole = append(whole, p...)
			continue
		}
		var said coder.CloseError
		switch {
		case errors.As(err, &said) && utf8.ValidString(said.Reason): // at which it does not look
			return whole, closed
		case errors.Is(err, errRanOut):
			return whole, ranOut
		}
		return whole, faulty
	}
}

// FuzzFramesOfPeers compares frameReader with coder/websocket and
// gorilla/websocket. Neither of them looks whether text is UTF-8.
func FuzzFramesOfPeers(f *testing.F) {
	f.Add(clientFrame(0x81, jsonHandshake))
	f.Add(append(append(clientFrame(0x02, "ab"), clientFrame(0x89, "ping")...), clientFrame(0x80, "cd")...))
	f.Add(append(clientFrame(0x88, "\x03\xe8bye"), clientFrame(0x81, "after")...))
	f.Add(clientFrame(0x88, "\x03\xec"))
	f.Add(clientFrame(0x88, "x"))
	f.Add(clientFrame(0x82, string(make([]byte, 70_000))))
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{0x81, 2}, "hi"...))
	f.Add(append(clientFrame(0x01, "a"), clientFrame(0x81, "b")...))
	f.Add(clientFrame(0x80, "of nothing"))
	f.Add(clientFrame(0x8a, "pong"))
	for _, e := range readEdges(f)[111:127] {
		f.Add(socketInput(f, e))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours found
		var r frameReader
		err := r.feed(bytes.Clone(data), &ours)
		code := codeOf(err)
		if code == ws.StatusInvalidFramePayloadData {
			return
		}
		end := ranOut
		switch {
		case code != 0, len(ours.closes) > 0 && ours.closes[0] != ws.StatusNormalClosure:
			end = faulty
		case len(ours.closes) > 0:
			end = closed
		}
		for name, reads := range map[string]func(*testing.T, []byte) ([]byte, string){"gorilla": gorillaReads, "coder": coderReads} {
			whole, theirs := reads(t, data)
			if theirs == noCode && len(ours.closes) > 0 {
				theirs = end
			}
			// We find a fault of a payload at its first byte, and one of a length when the whole header is there.
			sooner, later := end == faulty && theirs == ranOut, end == ranOut && theirs == faulty && r.headN >= 10
			if theirs != end && !sooner && !later {
				t.Fatalf("%x: %s, %v; to %s: %s", data, end, err, name, theirs)
			}
			if !bytes.HasPrefix(ours.bytes, whole) || end == closed && !r.open && len(whole) != len(ours.bytes) {
				t.Fatalf("%x: %x, to %s %x", data, ours.bytes, name, whole)
			}
		}
	})
}
