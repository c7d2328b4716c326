package signalr

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// exchange is a line of a recording: a request, an answer, or a piece of one.
type exchange struct {
	Conn          int
	From          string
	HTTP          string
	Headers       map[string]string
	Body, BodyHex string
	Chunk         *int
	Text          string
	Frame         string

	answer *exchange // to a request
}

// payload is the body; numbers stand for long ones.
func (e *exchange) payload(t *testing.T) []byte {
	t.Helper()
	switch {
	case strings.HasPrefix(e.HTTP, "POST") && len(e.Headers["content-length"]) == 5: // the call of toolarge
		return append([]byte(`{"type":1,"invocationId":"0","target":"Echo","arguments":["`+strings.Repeat("x", 33000)+`"]}`), wire.Separator)
	case e.BodyHex != "":
		b, err := hex.DecodeString(e.BodyHex)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return []byte(e.Body)
}

// readExchanges reads a recording up to its first WebSocket, and joins answers
// to their requests.
func readExchanges(t *testing.T, file string) (all []*exchange) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	open := map[int]*exchange{}
	for _, raw := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var e exchange
		if json.Unmarshal(raw, &e) != nil {
			var long struct{ BodyHex any } // a number: the length of a long body
			if err := json.Unmarshal(raw, &long); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case e.Headers["upgrade"] != "":
			return slices.DeleteFunc(all, func(x *exchange) bool { return x.Conn == e.Conn || x.Conn == e.Conn-1 })
		case e.HTTP != "" && e.From == "client":
			open[e.Conn] = &e
		case e.HTTP != "":
			open[e.Conn].answer = &e
		case e.Chunk == nil:
			continue
		}
		all = append(all, &e)
	}
	return all
}

// conversation is a replay under way.
type conversation struct {
	t       *testing.T
	client  *http.Client
	url     string // with the id
	stop    context.Context
	headers []string // every form that an answer may have

	mu      sync.Mutex
	got     []byte
	ended   bool
	changed chan struct{}
}

// replayHTTP replays what was said over long polling or server-sent events:
// each request after the answers that preceded it, over HTTP. Status and headers
// of every answer, and all messages, are compared with the recording; how
// messages are spread over polls and events is random, so is the end of a stop.
func replayHTTP(t *testing.T, client *http.Client, all []*exchange, proto wire.Protocol) {
	const url = "http://memory/testhub"
	ctx, stop := context.WithCancel(t.Context())
	c := &conversation{t: t, client: client, stop: ctx, changed: make(chan struct{}, 1)}
	for _, e := range all {
		if e.answer != nil {
			c.headers = append(c.headers, form(e.HTTP, e.answer.HTTP, e.answer.Headers))
		}
	}
	var receiving sync.WaitGroup
	defer receiving.Wait()
	defer stop()
	shaken, leaving := false, false
	ids := map[string]string{}
	for _, e := range all {
		method, _, _ := strings.Cut(e.HTTP, " ")
		switch {
		case strings.Contains(e.HTTP, "/negotiate"):
			body := c.ask(url+strings.TrimSuffix(strings.TrimPrefix(e.HTTP, "POST /testhub"), " HTTP/1.1"), e)
			if diff := cmp.Diff(withoutIDs(e.answer.Body), withoutIDs(body)); diff != "" {
				t.Errorf("negotiation (-want +got):\n%s", diff)
			}
			c.url = url + "?id=" + regexp.MustCompile(`connectionToken":"([^"]+)`).FindStringSubmatch(body)[1]
		case method == "GET" && strings.Contains(e.Headers["accept"], "text/event-stream"):
			opened := make(chan struct{})
			receiving.Go(func() { c.events(e, opened) })
			<-opened
		case method == "GET" && e == firstPoll(all):
			if body := c.ask(c.url, e); body != "" {
				t.Errorf("first poll: %q", body)
			}
			receiving.Go(c.poll)
		case method == "POST":
			data := e.payload(t)
			if isClose(data) {
				leaving = true
				break // it races with the DELETE or the end of the stream
			}
			c.send(withOurIDs(t, proto, data, ids), e)
		case method == "DELETE":
			leaving = true
			req, _ := http.NewRequestWithContext(t.Context(), "DELETE", c.url, nil)
			resp, err := c.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusNotFound { // our poll behind the Close was the end before
				c.await(func(_ []byte, ended bool) ([]byte, int, bool) { return nil, 0, ended })
			} else {
				c.check("DELETE", resp)
			}
		case e.From == "server" && !leaving:
			for data := e.said(t); len(data) > 0; {
				if !shaken {
					if got := c.bytes(3); string(got) != "{}\x1e" {
						t.Fatalf("handshake: %q", got)
					}
					shaken, data = true, data[3:]
					continue
				}
				inside, n, err := proto.Split(data, 0)
				if err != nil || n == 0 {
					t.Fatalf("recorded message is not whole: %q %v", data, err)
				}
				data = data[n:]
				compareMessage(t, proto, inside, c, ids)
			}
		}
	}
}

// withOurIDs gives an answer to a client result the id that our server chose.
func withOurIDs(t *testing.T, proto wire.Protocol, data []byte, ids map[string]string) []byte {
	t.Helper()
	for mine, recorded := range ids {
		if !bytes.Contains(data, []byte(recorded)) {
			continue
		}
		inside, _, err := proto.Split(data, 0)
		var m wire.Message
		if err == nil {
			err = proto.Parse(inside, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Type == wire.Completion && m.InvocationID == recorded {
			m.InvocationID = mine
			return proto.Append(nil, &m)
		}
	}
	return data
}

func firstPoll(all []*exchange) *exchange {
	for _, e := range all {
		if strings.HasPrefix(e.HTTP, "GET ") {
			return e
		}
	}
	return nil
}

func isClose(data []byte) bool {
	return string(data) == "{\"type\":7}\x1e" || bytes.HasPrefix(data, []byte{3, 0x92, 7}) || bytes.HasPrefix(data, []byte{4, 0x93, 7})
}

// said is what a recorded answer, or a chunk of an event stream, carried of
// hub messages.
func (e *exchange) said(t *testing.T) []byte {
	switch {
	case e.Chunk != nil && e.Text != ":\r\n" && e.Text != "data: " && e.Text != "\r\n":
		return []byte(e.Text)
	case e.Headers["content-type"] == "application/octet-stream":
		return e.payload(t)
	}
	return nil
}

var random = regexp.MustCompile(`"(connectionId|connectionToken)":"[\w-]{22}"`)

func withoutIDs(body string) string { return random.ReplaceAllString(body, `"$1":"…"`) }

// form is what is compared of an answer: the kind of the request, the status,
// and the headers that a recording keeps, lengths and framing aside.
func form(request, status string, headers map[string]string) string {
	kind, _, _ := strings.Cut(request, " ")
	switch {
	case strings.Contains(request, "/negotiate"):
		kind = "negotiate"
	case kind == "GET":
		kind = "poll"
	}
	parts := []string{kind, status}
	for _, name := range []string{"content-type", "cache-control", "pragma", "expires", "content-encoding"} {
		parts = append(parts, headers[name])
	}
	return strings.Join(parts, " | ")
}

// check fails unless the recording has an answer of the same form.
func (c *conversation) check(request string, resp *http.Response) {
	headers := map[string]string{}
	for name := range resp.Header {
		headers[strings.ToLower(name)] = resp.Header.Get(name)
	}
	status := "HTTP/1.1 " + strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	if got := form(request, status, headers); !slices.Contains(c.headers, got) {
		c.t.Errorf("an answer that the recording has not: %s", got)
	}
}

// ask sends a request as it was recorded and returns the body of the answer.
func (c *conversation) ask(url string, e *exchange) string {
	c.t.Helper()
	method, _, _ := strings.Cut(e.HTTP, " ")
	req, err := http.NewRequestWithContext(c.stop, method, url, bytes.NewReader(e.payload(c.t)))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, value := range e.Headers {
		if name != "connection" && name != "content-length" {
			req.Header.Set(name, value)
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	c.check(e.HTTP, resp)
	return string(body)
}

func (c *conversation) send(data []byte, e *exchange) {
	c.t.Helper()
	sent := *e
	sent.Body, sent.BodyHex, sent.HTTP = string(data), "", "POST /testhub?id=x HTTP/1.1"
	sent.Headers = map[string]string{"content-type": e.Headers["content-type"]}
	if body := c.ask(c.url, &sent); body != "" {
		c.t.Errorf("POST: %q", body)
	}
}

// poll polls until the end.
func (c *conversation) poll() {
	defer c.over()
	for c.stop.Err() == nil {
		req, _ := http.NewRequestWithContext(c.stop, "GET", c.url, nil)
		resp, err := c.client.Do(req)
		if err != nil {
			return
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return
		}
		c.check("GET", resp)
		c.put(body)
	}
}

// events reads an event stream until the end.
func (c *conversation) events(e *exchange, opened chan struct{}) {
	defer c.over()
	req, _ := http.NewRequestWithContext(c.stop, "GET", c.url, nil)
	req.Header.Set("Accept", e.Headers["accept"])
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Error(err)
		close(opened)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	c.check("GET", resp)
	lines := bufio.NewReader(resp.Body)
	if first, _ := lines.ReadString('\n'); first != ":\r\n" {
		c.t.Errorf("the stream begins with %q", first)
	}
	close(opened)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			c.put([]byte(strings.TrimSuffix(data, "\r\n")))
		} else if line != "\r\n" {
			c.t.Errorf("a line of the stream is %q", line)
		}
	}
}

func (c *conversation) put(b []byte) {
	c.mu.Lock()
	c.got = append(c.got, b...)
	c.mu.Unlock()
	c.wake()
}

func (c *conversation) over() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.wake()
}

func (c *conversation) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// bytes waits for n bytes; fewer at the end.
func (c *conversation) bytes(n int) []byte {
	return c.await(func(got []byte, ended bool) ([]byte, int, bool) {
		if len(got) < n && !ended {
			return nil, 0, false
		}
		n := min(n, len(got))
		return got[:n], n, true
	})
}

// nextFrame waits for one message that is no ping; nil at the end.
func (c *conversation) nextFrame(proto wire.Protocol) []byte {
	for {
		inside := c.await(func(got []byte, ended bool) ([]byte, int, bool) {
			inside, n, err := proto.Split(got, 0)
			if err != nil {
				c.t.Fatal(err)
			}
			return inside, n, n > 0 || ended
		})
		var m wire.Message
		if inside == nil || proto.Parse(inside, &m) != nil || m.Type != wire.Ping {
			return inside
		}
	}
}

func (c *conversation) await(take func(got []byte, ended bool) (b []byte, n int, done bool)) []byte {
	c.t.Helper()
	late := time.After(clientPatience)
	for {
		c.mu.Lock()
		b, n, done := take(c.got, c.ended)
		c.got = c.got[n:]
		c.mu.Unlock()
		if done {
			return b
		}
		select {
		case <-c.changed:
		case <-late:
			c.t.Fatal("nothing came in time")
		}
	}
}
