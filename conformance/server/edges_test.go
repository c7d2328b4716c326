package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHTTPEdges asks this server all that the recorder asked ASP.NET Core and no
// well-behaved client sends: every line of http-edges.jsonl, with and without
// detailed errors. See docs/conformance.md for the answers that differ.
func TestHTTPEdges(t *testing.T) {
	for file, detailed := range map[string]string{"http-edges.jsonl": "1", "http-edges.without-details.jsonl": "0"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			r := &rig{t: t}
			r.serve("-detailed", detailed, "-parallel", "2")
			e := &edges{t: t, addr: strings.TrimPrefix(r.root, "http://"), root: r.root, tokens: make(map[string]string)}
			all := readEdges(t, "../../signalr/internal/transport/testdata/"+file)
			for i, edge := range all {
				t.Run(fmt.Sprintf("line %d %s", i+1, edge.Says), func(t *testing.T) { e.ask(t, i+1, edge) })
			}
		})
	}
}

// edge is one line: a request and its answer, a message over long polling and
// what came of it, or WebSocket frames and what they got.
type edge struct {
	Says           string
	Request        string
	RequestHeaders map[string]string
	RequestBody    string
	Answer         json.RawMessage
	First, Second  answer
	Sent           string
	Polls          []json.RawMessage
}

type answer struct {
	Status  int
	Headers map[string]string
	Body    string
}

func readEdges(t *testing.T, file string) (all []edge) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.SplitSeq(bytes.TrimSpace(data), []byte("\n")) {
		var e edge
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) != 140 {
		t.Fatalf("%d lines, want 140", len(all))
	}
	return all
}

// edges is the server under question, and what one line leaves for the next.
type edges struct {
	t      *testing.T // of the whole file
	addr   string
	root   string
	tokens map[string]string // of the recording: ours
	target string            // of the connection that several lines are about
	socket *socket           // lines 105 to 116
	stream *bufio.Reader     // lines 128 to 135
	poller string            // lines 139 and 140
}

func (e *edges) ask(t *testing.T, line int, edge edge) {
	var want answer
	_ = json.Unmarshal(edge.Answer, &want) // some answers have another form
	hub := map[string]string{"GET": e.target, "POST": e.target, "DELETE": e.target}
	switch {
	case line == 20: // the path of the hub is the mux's business, what follows is ours
		edge.Request = strings.Replace(edge.Request, "/TESTHUB", "/testhub", 1)
		e.plain(t, edge, want)
	case line == 23: // the mux answers
		if got := e.do(t, "POST", "/nohub/negotiate", nil, ""); got.Status != want.Status {
			t.Errorf("status %d, want %d", got.Status, want.Status)
		}
	case line == 48:
		e.twoPolls(t, edge)
	case line == 70: // the reference forgets the call until more bytes come
		poll, _ := json.Marshal(map[string]any{"status": 200, "body": `{"type":3,"invocationId":"1","result":"x"}` + "\x1e"})
		edge.Polls = []json.RawMessage{poll}
		e.message(t, edge)
	case edge.Sent != "":
		e.message(t, edge)
	case line < 100:
		e.plain(t, edge, want)
	case line < 107 || line == 131:
		e.upgrade(t, line, want)
	case line == 110 || line == 129:
		e.compare(t, e.do(t, "GET", e.target, map[string]string{"Accept": "text/event-stream"}, ""), want)
	case line < 111 || line == 130 || line == 134:
		method, _, _ := strings.Cut(edge.Request, " ")
		e.compare(t, e.do(t, method, hub[method], nil, ""), want)
	case line < 117:
		e.socket.send(t, line)
		e.socket.expect(t, edge.Answer)
	case line < 128:
		target := e.fresh(t)
		if line == 127 {
			target = "/testhub"
		}
		s := e.dial(t, target, nil)
		s.write(t, frame(0x81, handshake))
		if line < 127 {
			s.expect(t, json.RawMessage(`[{"text":"{}\u001e"}]`))
		}
		s.send(t, line)
		s.expect(t, edge.Answer)
	case line == 128 || line == 136:
		e.openStream(t, line, want)
	case line == 132:
		e.compare(t, e.do(t, "POST", e.target, nil, handshake), want)
	case line == 133 || line == 135:
		e.carries(t, edge.Answer)
	case line == 137:
		e.deleteWhilePolling(t, edge.Answer)
	case line == 138:
		e.compare(t, e.do(t, "DELETE", e.fresh(t), nil, ""), want)
	case line == 139:
		e.poller = e.attached(t)
		e.do(t, "POST", e.poller, nil, `{"protocol":"messagepack","version":1}`+"\x1e")
		e.compare(t, e.do(t, "GET", e.poller, nil, ""), want)
	case line == 140:
		e.do(t, "POST", e.poller, nil, "\x0e\x96\x01\x80\xa11\xa4Echo\x91\xa1x\x90")
		want.Body = "\b\x95\x03\x80\xa11\x03\xa1x" // recorded with \xNN for what is not text
		e.compare(t, e.do(t, "GET", e.poller, nil, ""), want)
	default:
		t.Fatal("nobody asks this line")
	}
}

const handshake = `{"protocol":"json","version":1}` + "\x1e"

// do makes a request. HTTP repeats none of them: each has a connection of its own.
func (e *edges) do(t *testing.T, method, target string, header map[string]string, body string) answer {
	t.Helper()
	a, err := e.try(t.Context(), method, target, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (e *edges) try(ctx context.Context, method, target string, header map[string]string, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.root+target, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Close = true
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	return read(resp)
}

func read(resp *http.Response) (answer, error) {
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	a := answer{Status: resp.StatusCode, Headers: make(map[string]string), Body: string(body)}
	for k, v := range resp.Header {
		a.Headers[strings.ToLower(k)] = strings.Join(v, ", ")
	}
	return a, err
}

// random is what differs from run to run.
var random = regexp.MustCompile(`("connection(?:Id|Token)":)"[A-Za-z0-9_-]{22}"`)

// compared are the header fields that the recorder kept, without those that say
// how long the answer is: net/http chooses other ways.
var compared = []string{"content-type", "allow", "cache-control", "expires", "pragma", "vary", "upgrade",
	"sec-websocket-protocol", "sec-websocket-extensions", "access-control-allow-origin",
	"access-control-allow-credentials", "access-control-allow-methods", "access-control-allow-headers"}

func (e *edges) compare(t *testing.T, got, want answer) {
	t.Helper()
	if got.Status != want.Status {
		t.Errorf("status %d, want %d", got.Status, want.Status)
	}
	if g, w := random.ReplaceAllString(got.Body, "$1"), random.ReplaceAllString(want.Body, "$1"); g != w {
		t.Errorf("body %q, want %q", g, w)
	}
	for _, k := range compared {
		if got.Headers[k] != want.Headers[k] {
			t.Errorf("%s: %q, want %q", k, got.Headers[k], want.Headers[k])
		}
	}
}

// negotiate makes a connection.
func (e *edges) negotiate(t *testing.T) (id, token string) {
	t.Helper()
	var n struct{ ConnectionID, ConnectionToken string }
	if err := json.Unmarshal([]byte(e.do(t, "POST", "/testhub/negotiate?negotiateVersion=1", nil, "").Body), &n); err != nil {
		t.Fatal(err)
	}
	e.t.Cleanup(func() { // a client between two polls would hold up the shutdown
		_, _ = e.try(context.Background(), "DELETE", "/testhub?id="+n.ConnectionToken, nil, "")
	})
	return n.ConnectionID, n.ConnectionToken
}

// fresh makes a connection and returns what its requests begin with.
func (e *edges) fresh(t *testing.T) (target string) {
	t.Helper()
	_, token := e.negotiate(t)
	return "/testhub?id=" + token
}

// attached makes a connection of long polling.
func (e *edges) attached(t *testing.T) (target string) {
	t.Helper()
	target = e.fresh(t)
	if got := e.do(t, "GET", target, nil, ""); got.Status != 200 || got.Body != "" {
		t.Fatalf("first poll: %v", got)
	}
	return target
}

// plain asks lines 1 to 53. The first time that a token is seen a connection is
// negotiated for it.
func (e *edges) plain(t *testing.T, edge edge, want answer) {
	method, target, _ := strings.Cut(edge.Request, " ")
	if path, token, ok := strings.Cut(target, "?id="); ok && len(token) == 22 {
		if e.tokens[token] == "" {
			id, secret := e.negotiate(t)
			e.tokens[token] = secret
			if strings.Contains(edge.Says, "public connection id") {
				e.tokens[token] = id
			}
		}
		target = path + "?id=" + e.tokens[token]
		e.target = target
	}
	got := e.do(t, method, target, edge.RequestHeaders, edge.RequestBody)
	if edge.Says == "poll after DELETE" {
		got.Body = want.Body // with or without a text: random from run to run
	}
	e.compare(t, got, want)
}

// twoPolls asks line 48. Which of the two comes first nobody knows.
func (e *edges) twoPolls(t *testing.T, edge edge) {
	answers := make(chan answer, 2)
	for range 2 {
		go func() {
			a, err := e.try(e.t.Context(), "GET", e.target, nil, "")
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
	}
	e.compare(t, <-answers, edge.First)
	e.do(t, "POST", e.target, nil, `{"type":1,"invocationId":"2","target":"Echo","arguments":["y"]}`+"\x1e")
	e.compare(t, <-answers, edge.Second)
}

// message asks lines 54 to 99. How messages are spread over polls is random, and
// so is whether something comes within the recorder's patience: what must come
// is compared, of what must not a short while is watched.
func (e *edges) message(t *testing.T, edge edge) {
	t.Parallel()
	target := e.attached(t)
	if strings.HasPrefix(edge.Says, "message") {
		e.do(t, "POST", target, nil, handshake)
		if got := e.do(t, "GET", target, nil, ""); got.Body != "{}\x1e" {
			t.Fatalf("handshake: %v", got)
		}
	}
	if got := e.do(t, "POST", target, nil, edge.Sent); got.Status != 200 {
		t.Fatalf("POST: %v", got)
	}
	want, got, end := "", "", false
	for _, raw := range edge.Polls {
		var poll answer
		if json.Unmarshal(raw, &poll) == nil { // else "nothing comes"
			want += poll.Body
			end = end || poll.Status == http.StatusNoContent
		}
	}
	for len(got) < len(want) {
		poll := e.do(t, "GET", target, nil, "")
		if poll.Status != 200 {
			t.Fatalf("poll: %v after %q, want %q", poll, got, want)
		}
		got += poll.Body
	}
	if !slices.Equal(records(got), records(want)) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	switch {
	case end:
		if poll := e.do(t, "GET", target, nil, ""); poll.Status != http.StatusNoContent {
			t.Errorf("at the end: %v, want 204", poll)
		}
	case want == "":
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if poll, err := e.try(ctx, "GET", target, nil, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v %v, want nothing", poll, err)
		}
	}
}

// records sorts messages: calls that run at the same time are answered in any
// order.
func records(s string) []string {
	all := strings.SplitAfter(s, "\x1e")
	slices.Sort(all)
	return all
}

// deleteWhilePolling asks line 137. Whether the DELETE comes behind the poll
// only its answer tells; when it does not, the poll finds no connection.
func (e *edges) deleteWhilePolling(t *testing.T, recorded json.RawMessage) {
	var want struct{ Delete, Poll answer }
	if err := json.Unmarshal(recorded, &want); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		target := e.attached(t)
		e.do(t, "POST", target, nil, handshake)
		e.do(t, "GET", target, nil, "")
		poll := make(chan answer, 1)
		go func() {
			a, err := e.try(e.t.Context(), "GET", target, nil, "")
			if err != nil {
				t.Error(err)
			}
			poll <- a
		}()
		time.Sleep(10 * time.Millisecond) // likely enough; see above
		e.compare(t, e.do(t, "DELETE", target, nil, ""), want.Delete)
		got := <-poll
		if got.Status == http.StatusNotFound && time.Now().Before(deadline) {
			continue
		}
		e.compare(t, got, want.Poll)
		return
	}
}

// openStream asks lines 128 and 136.
func (e *edges) openStream(t *testing.T, line int, want answer) {
	target, accept := e.fresh(t), "text/event-stream"
	if line == 136 {
		accept = "text/html, text/event-stream"
	}
	req, err := http.NewRequestWithContext(e.t.Context(), "GET", e.root+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if line == 136 {
		if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("got %q", got)
		}
		_ = resp.Body.Close()
		return
	}
	e.t.Cleanup(func() { _ = resp.Body.Close() })
	e.target, e.stream = target, bufio.NewReader(resp.Body)
	for k, v := range want.Headers {
		if got := resp.Header.Get(k); k != "transfer-encoding" && got != v {
			t.Errorf("%s: %q, want %q", k, got, v)
		}
	}
}

// carries asks lines 133 and 135: what has come on the event stream, recorded
// with the sizes of its chunks.
func (e *edges) carries(t *testing.T, recorded json.RawMessage) {
	var raw string
	if err := json.Unmarshal(recorded, &raw); err != nil {
		t.Fatal(err)
	}
	want := dechunk(raw)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(e.stream, got); err != nil || string(got) != want {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
}

// dechunk joins the chunks of a body, of which the last may be missing.
func dechunk(raw string) string {
	if !strings.HasSuffix(raw, "0\r\n\r\n") {
		raw += "0\r\n\r\n"
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+raw)), nil)
	if err != nil {
		return err.Error()
	}
	a, err := read(resp)
	if err != nil {
		return err.Error()
	}
	return a.Body
}
