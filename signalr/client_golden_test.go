package signalr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// scripted is a server that replays a recorded conversation: it expects the
// client's messages, compares them, and says what the server said.
type scripted struct {
	t       *testing.T
	proto   wire.Protocol
	version int  // of the handshake that is expected
	strict  bool // the client's bytes must be the recorded ones

	mu      sync.Mutex
	session transport.Session
	script  []line
	in      []byte
	out     []byte
	shaken  bool
	over    bool // the server ends the connection behind out
	pings   int
}

// line is one message of a conversation.
type line struct {
	client bool
	msg    wire.Message
	bytes  []byte
}

// ourID turns an id of the JavaScript client, which counts from 0, into ours,
// which counts from 1. Ids of the server stay.
func ourID(id string) string {
	if n, err := strconv.Atoi(id); err == nil {
		return strconv.Itoa(n + 1)
	}
	return id
}

// said is the bytes of one side of a conversation, in order.
type said struct {
	client bool
	bytes  []byte
}

// readSaid reads what both sides said over the transport of a recording.
func readSaid(t *testing.T, r recording) (all []said) {
	t.Helper()
	if r.kind == WebSockets {
		for _, f := range readFrames(t, r.file) {
			if f.Kind != "close" {
				all = append(all, said{f.From == "client", f.bytes(t)})
			}
		}
		return all
	}
	for _, e := range readExchanges(t, r.file) {
		switch {
		case strings.HasPrefix(e.HTTP, "POST /testhub?"):
			all = append(all, said{true, e.payload(t)})
		case e.From == "server":
			all = append(all, said{false, e.said(t)})
		}
	}
	return all
}

// readScript reads the messages of a recording behind the handshake, without
// pings, up to the first Close. Where js is set the ids are made ours.
func readScript(t *testing.T, r recording, js bool) (script []line) {
	t.Helper()
	shaken := map[bool]bool{}
	for _, piece := range readSaid(t, r) {
		buf := piece.bytes
		if len(buf) > 0 && !shaken[piece.client] {
			shaken[piece.client] = true
			_, buf, _ = bytes.Cut(buf, []byte{wire.Separator})
		}
		for len(buf) > 0 {
			inside, n, err := r.proto.Split(buf, 0)
			if err != nil || n == 0 {
				t.Fatalf("%q: %v", buf, err)
			}
			var m wire.Message
			if err := r.proto.Parse(bytes.Clone(inside), &m); err != nil {
				t.Fatal(err)
			}
			l := line{piece.client, m, buf[:n]}
			buf = buf[n:]
			if m.Type == wire.Ping {
				continue
			}
			if js {
				l.msg = asOurs(m)
			}
			if m.Type != wire.Close || !piece.client {
				script = append(script, l)
			}
			if m.Type == wire.Close {
				return script
			}
		}
	}
	return script
}

// asOurs makes a message of the JavaScript client, or for it, what it would be
// with ours: other ids, and other words where a handler or an upload fails.
func asOurs(m wire.Message) wire.Message {
	m.InvocationID = ourID(m.InvocationID)
	for i, id := range m.StreamIDs {
		m.StreamIDs[i] = ourID(id)
	}
	if strings.HasPrefix(m.Error, "up failed") { // .NET's words are ours
		m.Error = "Stream errored by client: 'up failed'"
	}
	m.Error = strings.TrimPrefix(m.Error, "Error: ") // JavaScript puts the type before the text
	return m
}

func (s *scripted) Receive(p []byte) error {
	s.mu.Lock()
	s.in = append(s.in, p...)
	if !s.shaken {
		req, n, err := wire.ParseHandshakeRequest(s.in, 0)
		if err != nil || n == 0 || req.Protocol != s.proto.Name() || req.Version != s.version {
			s.t.Errorf("handshake %q, want version %d", s.in, s.version)
		}
		s.shaken, s.in = true, s.in[n:]
		s.out = wire.AppendHandshakeResponse(s.out, "")
		s.session.SetBinary(s.proto.Binary())
	}
	for {
		inside, n, err := s.proto.Split(s.in, 0)
		if err != nil {
			s.t.Error(err)
		}
		if n == 0 {
			break
		}
		var m wire.Message
		if err := s.proto.Parse(inside, &m); err != nil {
			s.t.Error(err)
		}
		s.heard(&m, s.in[:n])
		s.in = s.in[n:]
	}
	s.mu.Unlock()
	s.session.Flush()
	return nil
}

// heard compares a message of the client with the next one of the recording,
// and answers what follows there.
func (s *scripted) heard(m *wire.Message, frame []byte) {
	switch m.Type {
	case wire.Ping:
		s.pings++
		return
	case wire.Close:
		s.over = true
		return
	}
	if len(s.script) == 0 {
		s.t.Errorf("the client says %q, which it did not", frame)
		return
	}
	want := s.script[0]
	s.script = s.script[1:]
	if !want.client {
		s.t.Errorf("the client says %v out of turn", m.Type)
	}
	if diff := cmp.Diff(shown(&want.msg), shown(m)); diff != "" {
		s.t.Errorf("the client's message (-recorded +ours):\n%s", diff)
	}
	if s.strict && !bytes.Equal(want.bytes, frame) {
		s.t.Errorf("the client's bytes are %q, recorded are %q", frame, want.bytes)
	}
	for len(s.script) > 0 && !s.script[0].client {
		next := &s.script[0].msg
		s.out = s.proto.Append(s.out, next)
		s.over = s.over || next.Type == wire.Close
		s.script = s.script[1:]
	}
}

// shown shows what a message says.
func shown(m *wire.Message) string {
	return fmt.Sprintf("%v id %q target %q args %q streams %q item %q result %v %q error %v %q",
		m.Type, m.InvocationID, m.Target, m.Arguments, m.StreamIDs, m.Item, m.HasResult, m.Result, m.HasError, m.Error)
}

func (s *scripted) Next(dst []byte, _ int) ([]byte, bool, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dst = append(dst, s.out...)
	s.out = nil
	return dst, false, s.over
}

func (s *scripted) PeerClosed() {}
func (s *scripted) Lost()       {}
func (s *scripted) Resumed()    {}
func (s *scripted) Ended(error) {}

// TestClientGolden has the client do what the official ones did, over the same
// transport, against what ASP.NET Core answered, and compares its messages and
// requests. Each of the recordings is gone through.
func TestClientGolden(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recording) {
		synctest.Test(t, func(t *testing.T) {
			switch r.what {
			case "stateful":
				clientStatefulGolden(t, r)
			case "dotnet11-refresh":
				clientRefreshGolden(t, r)
			case "dotnet11-client":
				r.kind = LongPolling
				clientGolden(t, r)
				r.kind = WebSockets
				clientGolden(t, r)
			default:
				clientGolden(t, r)
			}
		})
	})
}

func clientGolden(t *testing.T, r recording) {
	dotnet := r.what == "dotnet11-client"
	s := &scripted{t: t, proto: r.proto, version: 1, strict: dotnet, script: readScript(t, r, !dotnet)}
	if dotnet && r.kind == WebSockets {
		s.version = 2
	}
	endpoint := transport.NewEndpoint(transport.EndpointOptions{
		AllowStateful: func(*http.Request) bool { return true },
		Accept: func(session transport.Session) (transport.Application, error) {
			s.session = session
			return s, nil
		},
	})
	var mu sync.Mutex
	asked := map[string]bool{}
	closed := make(chan error, 1)
	opts := ClientOptions{
		Protocol: r.proto.Name(), Transports: []Transport{r.kind}, SkipNegotiation: r.what == "skip", StatefulReconnect: dotnet,
		OnClosed: func(err error) { closed <- err },
		HTTPClient: serveInMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked[requestForm(r.Method, r.URL, r.Header.Get("Accept"))] = true
			mu.Unlock()
			endpoint.ServeHTTP(w, r)
		})),
	}
	if r.what == "idle" {
		opts.KeepAliveInterval = time.Second
	}
	c := NewClient("http://memory/testhub", opts)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.what == "idle" {
		time.Sleep(3500 * time.Millisecond)
	} else {
		asks[r.what](t, t.Context(), c, r.detailed)
	}
	if r.what == "abort" || r.what == "toolarge" {
		if err := <-closed; (err == nil) != (r.what == "abort") {
			t.Errorf("closed: %v", err)
		}
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := endpoint.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	synctest.Wait() // nobody else is at work
	if len(s.script) > 0 {
		t.Errorf("%d messages of the recording are left", len(s.script))
	}
	if polls := r.kind == LongPolling; r.what == "idle" && (s.pings == 0) != polls {
		t.Errorf("%d pings over %v", s.pings, r.kind)
	}
	recorded := recordedForms(t, r)
	for form := range asked {
		if !recorded[form] {
			t.Errorf("the recorded client sent no %s, only %v", form, recorded)
		}
	}
}

// requestForm is what is compared of a request: the method, the path, the
// parameters and whether a stream of events is wanted. JavaScript adds the time
// as _ to its polls.
func requestForm(method string, u *url.URL, accept string) string {
	q := u.Query()
	if q.Has("id") {
		q.Set("id", "...")
	}
	q.Del("_")
	if accept != "text/event-stream" {
		accept = ""
	}
	return fmt.Sprint(method, " ", u.Path, "?", q.Encode(), " ", accept)
}

// recordedForms are those of the recorded client. DELETE is among them for all
// of long polling: whether it comes before the end is random.
func recordedForms(t *testing.T, r recording) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]bool{"DELETE /testhub?id=... ": r.kind == LongPolling}
	for _, raw := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var e struct {
			From, HTTP string
			Headers    map[string]string
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		method, path, _ := strings.Cut(strings.TrimSuffix(e.HTTP, " HTTP/1.1"), " ")
		if e.From != "client" || method == "" {
			continue
		}
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		forms[requestForm(method, u, e.Headers["accept"])] = true
	}
	return forms
}
