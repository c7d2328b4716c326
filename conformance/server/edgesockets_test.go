package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// upgrade asks lines 100 to 106 and 131: what comes of an attempt to open a
// WebSocket.
func (e *edges) upgrade(t *testing.T, line int, want answer) {
	target, change := e.target, map[string]string{}
	switch line {
	case 100:
		target = "/testhub?id=nosuchid"
	case 101:
		change["Sec-WebSocket-Version"] = "8"
	case 102:
		change["Sec-WebSocket-Key"] = ""
	case 103:
		change["Sec-WebSocket-Protocol"] = "chat"
	case 104:
		change["Sec-WebSocket-Extensions"] = "permessage-deflate"
	}
	if line > 100 && line < 106 {
		target = e.fresh(t)
	}
	s := e.dial(t, target, change)
	if want.Headers["transfer-encoding"] == "chunked" {
		want.Body = dechunk(want.Body)
	}
	e.compare(t, s.answer, want)
	if line == 105 {
		e.target, e.socket = target, s
	}
}

// socket is a WebSocket by hand, or the refusal of one.
type socket struct {
	net.Conn
	in     *bufio.Reader
	answer answer
}

// dial asks for a WebSocket; change replaces header fields, "" drops one.
func (e *edges) dial(t *testing.T, target string, change map[string]string) *socket {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	req := &http.Request{Method: "GET", Host: e.addr, URL: &url.URL{Path: "/"}, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-WebSocket-Version": {"13"}, "Sec-WebSocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
	if req.URL, err = url.Parse(target); err != nil {
		t.Fatal(err)
	}
	for k, v := range change {
		req.Header[k] = []string{v}
		if v == "" {
			delete(req.Header, k)
		}
	}
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	s := &socket{Conn: conn, in: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = http.NoBody // what follows are frames
	}
	if s.answer, err = read(resp); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *socket) write(t *testing.T, p []byte) {
	t.Helper()
	if _, err := s.Write(p); err != nil {
		t.Fatal(err)
	}
}

// frame builds a short masked frame.
func frame(first byte, payload string) []byte {
	b := []byte{first, 0x80 | byte(len(payload)), 1, 2, 3, 4}
	for i := range len(payload) {
		b = append(b, payload[i]^byte(i&3+1))
	}
	return b
}

// send sends what the recorder sent for lines 111 to 127, some of which it tells
// in words only.
func (s *socket) send(t *testing.T, line int) {
	t.Helper()
	call := func(id, arg string) string {
		return fmt.Sprintf(`{"type":1,"invocationId":%q,"target":"Echo","arguments":[%q]}`+"\x1e", id, arg)
	}
	one, two := call("1", "x"), call("2", "y")
	s.write(t, map[int][]byte{
		111: frame(0x81, handshake),
		112: frame(0x89, "hello"),
		113: append(frame(0x01, one[:20]), frame(0x80, one[20:])...),
		114: append(frame(0x81, two[:20]), frame(0x81, two[20:])...),
		115: frame(0x82, call("3", "z")),
		116: frame(0x88, "\x03\xe8bye"),
		117: []byte("\x81\x02hi"),
		118: frame(0x83, ""),
		119: frame(0x80, "x"),
		120: frame(0x09, "x"),
		121: frame(0x88, "\x03"),
		122: frame(0x88, "\x03\xed"),
		123: frame(0x88, "\x0b\xb8"),
		124: frame(0x81, "\xff\xfe"),
		125: append(frame(0x81, ""), frame(0x81, one)...),
		126: frame(0xc1, "x"),
		127: nil,
	}[line])
}

// expect compares the frames that come with recorded ones.
func (s *socket) expect(t *testing.T, recorded json.RawMessage) {
	t.Helper()
	var frames []any
	if err := json.Unmarshal(recorded, &frames); err != nil {
		t.Fatal(err)
	}
	for _, want := range frames {
		if got := s.next(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// next reads a frame of the server as the recording shows it, or how the
// connection ended.
func (s *socket) next() any {
	head := make([]byte, 2)
	switch _, err := io.ReadFull(s.in, head); {
	case err == io.EOF:
		return "end of the connection"
	case err != nil && strings.Contains(err.Error(), "reset"):
		return "connection reset"
	case err != nil:
		return err
	case head[1] > 125:
		return "a frame of more than 125 bytes"
	}
	payload := make([]byte, head[1])
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return err
	}
	switch head[0] {
	case 0x81:
		return map[string]any{"text": string(payload)}
	case 0x88:
		code := 1005
		if len(payload) >= 2 {
			code, payload = int(payload[0])<<8|int(payload[1]), payload[2:]
		}
		return map[string]any{"close": code, "reason": string(payload)}
	}
	return map[string]any{"opcode": int(head[0] & 15), "hex": hex.EncodeToString(payload)}
}
