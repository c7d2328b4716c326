package transport

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// edge is one line of testdata/http-edges.jsonl, a recording of ASP.NET Core
// 10.0.12: a request and its answer, or WebSocket frames and what they got.
type edge struct {
	line           int
	Says           string
	Request        string
	RequestHeaders map[string]string
	RequestBody    string
	Answer         json.RawMessage
	First, Second  *answer
	Sent           string
}

type answer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func readEdges(t testing.TB) []edge {
	t.Helper()
	data, err := os.ReadFile("testdata/http-edges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var edges []edge
	for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		e := edge{line: i + 1}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		edges = append(edges, e)
	}
	if len(edges) != 140 {
		t.Fatalf("%d edges, want 140", len(edges))
	}
	return edges
}

// Lines that are not about the transport alone, and who asks them.
var (
	corsLines = map[int]string{24: "CORS is middleware", 25: "CORS is middleware", 23: "the mux answers for a path without a hub"}
	hubLines  = [2]int{54, 99} // "handshake:" and "message:" over long polling: package signalr, as 139 and 140
)

// TestEdgesHTTP asks lines 1 to 53: negotiation, refusals, long polling.
func TestEdgesHTTP(t *testing.T) {
	edges := readEdges(t)
	plain := newRig(t, EndpointOptions{})
	stateful := newRig(t, EndpointOptions{AllowStateful: func(*http.Request) bool { return true }})
	tokens := make(map[string]string) // of the recording: ours
	for _, e := range edges[:hubLines[0]-1] {
		if corsLines[e.line] != "" {
			continue
		}
		t.Run(fmt.Sprintf("line %d %s", e.line, e.Says), func(t *testing.T) {
			if e.First != nil {
				askTwoPolls(t, stateful, tokens, e)
				return
			}
			method, target, _ := strings.Cut(e.Request, " ")
			rig := stateful
			if strings.HasPrefix(target, "/bench") {
				rig = plain
				target = strings.Replace(target, "/bench", "/testhub", 1)
			}
			url := strings.TrimSuffix(rig.url, "/testhub") + ourToken(t, rig, tokens, target)
			if strings.HasPrefix(target, "/TESTHUB") {
				url = rig.url + strings.TrimPrefix(target, "/TESTHUB") // the mux knows one way to write P
			}
			req, err := http.NewRequest(method, url, strings.NewReader(e.RequestBody))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range e.RequestHeaders {
				req.Header.Set(k, v)
			}
			var want answer
			if err := json.Unmarshal(e.Answer, &want); err != nil {
				t.Fatal(err)
			}
			got := ask(t, req)
			if e.line == 51 {
				got.Body = want.Body // with or without a text: random from run to run
			}
			compareAnswers(t, got, want)
		})
	}
}

// ourToken replaces the token of a recorded URL by one of ours: the first time
// a token is seen a connection is negotiated for it.
func ourToken(t *testing.T, rig *rig, tokens map[string]string, target string) string {
	path, token, ok := strings.Cut(target, "?id=")
	if !ok || len(token) != 22 {
		return target
	}
	if tokens[token] == "" {
		id, secret := rig.negotiated(t, "negotiateVersion=1")
		tokens[token] = secret
		if strings.HasPrefix(token, "64KiAXRt") { // the public id in place of the token
			tokens[token] = id
		}
	}
	return path + "?id=" + tokens[token]
}

func (r *rig) negotiated(t *testing.T, query string) (id, token string) {
	t.Helper()
	req, _ := http.NewRequest("POST", r.url+"/negotiate?"+query, nil)
	got := ask(t, req)
	var n struct{ ConnectionID, ConnectionToken string }
	if err := json.Unmarshal([]byte(got.Body), &n); err != nil || n.ConnectionID == "" {
		t.Fatalf("negotiation answered %d %q", got.Status, got.Body)
	}
	if n.ConnectionToken == "" {
		n.ConnectionToken = n.ConnectionID
	}
	return n.ConnectionID, n.ConnectionToken
}

func ask(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, resp)
}

func readAnswer(t *testing.T, resp *http.Response) answer {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	a := answer{Status: resp.StatusCode, Headers: make(map[string]string), Body: string(body)}
	for k, v := range resp.Header {
		a.Headers[strings.ToLower(k)] = strings.Join(v, ", ")
	}
	return a
}

// randomValue is what differs from run to run.
var randomValue = regexp.MustCompile(`("connection(?:Id|Token)":)"[A-Za-z0-9_-]{22}"`)

func compareAnswers(t *testing.T, got, want answer) {
	t.Helper()
	if got.Status != want.Status {
		t.Errorf("status %d, want %d", got.Status, want.Status)
	}
	if diff := cmp.Diff(randomValue.ReplaceAllString(want.Body, "$1"), randomValue.ReplaceAllString(got.Body, "$1")); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for _, k := range []string{"content-type", "cache-control", "expires", "pragma", "upgrade", "connection", "sec-websocket-protocol", "sec-websocket-extensions"} {
		if k == "connection" && got.Status != http.StatusSwitchingProtocols {
			continue
		}
		if got.Headers[k] != want.Headers[k] {
			t.Errorf("%s: %q, want %q", k, got.Headers[k], want.Headers[k])
		}
	}
}

func askTwoPolls(t *testing.T, rig *rig, tokens map[string]string, e edge) {
	token := tokens["wKv6GSEaq4MatxUHT_Uo_w"]
	get := func(into chan<- answer) {
		resp, err := http.Get(rig.url + "?id=" + token)
		if err != nil {
			t.Error(err)
			close(into)
			return
		}
		into <- readAnswer(t, resp)
	}
	first, second := make(chan answer, 1), make(chan answer, 1)
	eventually(t, "the poll of the line before is through", func() bool { return rig.waitingPoll(token) == nil })
	go get(first)
	eventually(t, "the first poll waits", func() bool { return rig.waitingPoll(token) != nil })
	old := rig.waitingPoll(token)
	go get(second)
	eventually(t, "the second poll waits", func() bool { p := rig.waitingPoll(token); return p != nil && p != old })
	compareAnswers(t, <-first, *e.First)
	req, _ := http.NewRequest("POST", rig.url+"?id="+token, strings.NewReader(`{"type":1,"invocationId":"2","target":"Echo","arguments":["y"]}`+"\x1e"))
	if got := ask(t, req); got.Status != 200 {
		t.Fatalf("POST: %d", got.Status)
	}
	compareAnswers(t, <-second, *e.Second)
}

// waitingPoll returns the poll that a connection has.
func (r *rig) waitingPoll(token string) *poll {
	r.mu.Lock()
	s := r.sessions[token]
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll
}

const jsonHandshake = "{\"protocol\":\"json\",\"version\":1}\x1e"

func echoCall(id, arg string) string {
	return fmt.Sprintf(`{"type":1,"invocationId":%q,"target":"Echo","arguments":[%q]}`+"\x1e", id, arg)
}

// upgradeRequest asks for a WebSocket; fields may be replaced, "" drops one.
func upgradeRequest(addr, target string, change map[string]string) string {
	fields := map[string]string{
		"Host": addr, "Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	}
	for k, v := range change {
		fields[k] = v
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", target)
	for k, v := range fields {
		if v != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", k, v)
		}
	}
	return b.String() + "\r\n"
}

// peer is a client by hand: a TCP connection with a WebSocket, or a refusal.
type peer struct {
	net.Conn
	in     *bufio.Reader
	answer answer
}

func dialPeer(t *testing.T, rig *rig, target string, change map[string]string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", rig.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := &peer{Conn: conn, in: bufio.NewReader(conn)}
	p.send(t, []byte(upgradeRequest(rig.addr, target, change)))
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		p.answer = answer{Status: 101, Headers: make(map[string]string)}
		for k, v := range resp.Header {
			p.answer.Headers[strings.ToLower(k)] = strings.Join(v, ", ")
		}
		return p
	}
	p.answer = readAnswer(t, resp)
	return p
}

func (p *peer) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := p.Write(b); err != nil {
		t.Fatal(err)
	}
}

// clientFrame builds a masked frame.
func clientFrame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i&3])
	}
	return b
}

// frame reads the next frame of the server as the recording shows it, or how
// the connection ended.
func (p *peer) frame() any {
	var head [2]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		if err == io.EOF {
			return "end of the connection"
		}
		if strings.Contains(err.Error(), "reset") {
			return "connection reset"
		}
		return err.Error()
	}
	size := int(head[1])
	if size >= 126 {
		ext := make([]byte, map[int]int{126: 2, 127: 8}[size])
		if _, err := io.ReadFull(p.in, ext); err != nil {
			return err.Error()
		}
		size = 0
		for _, c := range ext {
			size = size<<8 | int(c)
		}
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(p.in, payload); err != nil {
		return err.Error()
	}
	switch head[0] {
	case 0x81:
		return map[string]any{"text": string(payload)}
	case 0x88:
		if len(payload) < 2 {
			return map[string]any{"close": 1005.0}
		}
		return map[string]any{"close": float64(int(payload[0])<<8 | int(payload[1])), "reason": string(payload[2:])}
	}
	return map[string]any{"opcode": float64(head[0] & 15), "hex": hex.EncodeToString(payload)}
}

// TestEdgesSockets asks lines 100 to 127: WebSockets.
func TestEdgesSockets(t *testing.T) {
	edges := readEdges(t)
	rig := newRig(t, EndpointOptions{})
	fresh := func() string { _, token := rig.negotiated(t, "negotiateVersion=1"); return "/testhub?id=" + token }
	outer := t
	var main *peer // lines 105 to 116 are one WebSocket
	var target string
	for _, e := range edges[99:127] {
		t.Run(fmt.Sprintf("line %d %s", e.line, e.Says), func(t *testing.T) {
			var want answer
			var wantFrames []any
			if json.Unmarshal(e.Answer, &want) != nil {
				if err := json.Unmarshal(e.Answer, &wantFrames); err != nil {
					t.Fatal(err)
				}
			}
			framed := func(p *peer) {
				t.Helper()
				for _, w := range wantFrames {
					if diff := cmp.Diff(w, p.frame()); diff != "" {
						t.Fatalf("(-want +got):\n%s", diff)
					}
				}
			}
			plain := func(method string, header ...string) {
				t.Helper()
				req, _ := http.NewRequest(method, strings.TrimSuffix(rig.url, "/testhub")+target, nil)
				if header != nil {
					req.Header.Set(header[0], header[1])
				}
				compareAnswers(t, ask(t, req), want)
			}
			upgraded := func(target string, change map[string]string) *peer {
				t.Helper()
				p := dialPeer(t, rig, target, change)
				if i := strings.Index(want.Body, "\r\n"); i >= 0 { // recorded with the size of its chunk
					want.Body, _, _ = strings.Cut(want.Body[i+2:], "\r\n")
				}
				compareAnswers(t, p.answer, want)
				return p
			}
			switch e.line {
			case 100:
				upgraded("/testhub?id=nosuchid", nil)
			case 101:
				upgraded(fresh(), map[string]string{"Sec-WebSocket-Version": "8"})
			case 102:
				upgraded(fresh(), map[string]string{"Sec-WebSocket-Key": ""})
			case 103:
				upgraded(fresh(), map[string]string{"Sec-WebSocket-Protocol": "chat"})
			case 104:
				upgraded(fresh(), map[string]string{"Sec-WebSocket-Extensions": "permessage-deflate"})
			case 105:
				target = fresh()
				main = dialPeer(outer, rig, target, nil)
				compareAnswers(t, main.answer, want)
			case 106:
				upgraded(target, nil)
			case 107:
				plain("GET")
			case 108:
				plain("POST")
			case 109:
				plain("DELETE")
			case 110:
				plain("GET", "Accept", "text/event-stream")
			case 111:
				main.send(t, clientFrame(0x81, jsonHandshake))
				framed(main)
			case 112, 113, 114, 115, 116:
				main.send(t, socketInput(t, e))
				framed(main)
			default:
				var p *peer
				if e.line == 127 {
					p = dialPeer(t, rig, "/testhub", nil)
				} else {
					p = dialPeer(t, rig, fresh(), nil)
				}
				p.send(t, clientFrame(0x81, jsonHandshake))
				if e.line != 127 {
					p.frame()
				}
				p.send(t, socketInput(t, e))
				framed(p)
			}
		})
	}
}

// socketInput returns what the recorder sent for lines 112 to 127.
func socketInput(t testing.TB, e edge) []byte {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	switch e.Says {
	case "a ping frame":
		return clientFrame(0x89, "hello")
	case "a message in two fragments":
		call := echoCall("1", "x")
		return join(clientFrame(0x01, call[:20]), clientFrame(0x80, call[20:]))
	case "a hub message in two web socket messages":
		call := echoCall("2", "y")
		return join(clientFrame(0x81, call[:20]), clientFrame(0x81, call[20:]))
	case "JSON in a binary frame":
		return clientFrame(0x82, echoCall("3", "z"))
	case "a close frame":
		return clientFrame(0x88, "\x03\xe8bye")
	case "web socket without negotiation":
		return nil
	}
	switch e.Request {
	case "an unmasked frame":
		return append([]byte{0x81, 2}, "hi"...)
	case "an unknown opcode":
		return clientFrame(0x83, "")
	case "a continuation with nothing to continue":
		return clientFrame(0x80, "x")
	case "a fragmented ping":
		return clientFrame(0x09, "x")
	case "a close frame of one byte":
		return clientFrame(0x88, "\x03")
	case "a close frame with code 1005":
		return clientFrame(0x88, "\x03\xed")
	case "a close frame with code 3000":
		return clientFrame(0x88, "\x0b\xb8")
	case "text of invalid UTF-8":
		return clientFrame(0x81, "\xff\xfe")
	case "an empty text frame, then a call":
		return join(clientFrame(0x81, ""), clientFrame(0x81, echoCall("1", "x")))
	case "a reserved bit":
		return clientFrame(0xc1, "x")
	}
	t.Fatalf("line %d is not known", e.line)
	return nil
}
