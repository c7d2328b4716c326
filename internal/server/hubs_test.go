package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/knnlabs/conduit/internal/api"
	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/push"
)

// socket is a WebSocket to a hub, spoken by hand.
type socket struct {
	t       *testing.T
	c       *websocket.Conn
	waiting []string // messages that came with others
}

const recordSeparator = "\x1e"

// dial opens a socket to the video hub without negotiating; the status is told
// when it is refused.
func (r *running) dial(query string, headers ...string) (*socket, int) {
	r.t.Helper()
	return r.dialHub("/hubs/video-generation", query, headers...)
}

func (r *running) dialHub(hub, query string, headers ...string) (*socket, int) {
	r.t.Helper()
	h := http.Header{}
	for _, x := range headers {
		name, value, _ := strings.Cut(x, ": ")
		h.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, r.URL()+hub+query, &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		if resp == nil {
			r.t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	r.t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(-1) // many answers may come in one message
	return &socket{t: r.t, c: c}, http.StatusSwitchingProtocols
}

func (s *socket) send(message string) {
	s.t.Helper()
	if err := s.c.Write(s.t.Context(), websocket.MessageText, []byte(message+recordSeparator)); err != nil {
		s.t.Fatal(err)
	}
}

// until reads until a message holds text; it is "" when the socket ends. It
// waits for less than the default timeouts, so that it sees shorter ones.
func (s *socket) until(text string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 12*time.Second)
	defer cancel()
	for {
		for len(s.waiting) > 0 {
			m := s.waiting[0]
			s.waiting = s.waiting[1:]
			if text != "" && strings.Contains(m, text) {
				return m
			}
		}
		_, b, err := s.c.Read(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("waited in vain for %q", text)
		}
		if err != nil {
			return ""
		}
		s.waiting = strings.Split(string(b), recordSeparator)
	}
}

func (s *socket) handshake() {
	s.t.Helper()
	s.send(`{"protocol":"json","version":1}`)
	if s.until("{}") == "" {
		s.t.Fatal("no answer to the handshake")
	}
}

func TestHubNeedsAKey(t *testing.T) {
	r := start(t, t.TempDir(), `{}`)
	k, err := OpenKeys(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	_, images, err := k.Create(t.Context(), "images", []string{"image"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	resp, _ := r.call("POST", "/console/session", `{"key":"`+r.key()+`"}`)
	cookie := "Cookie: " + resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
	bearer := "Authorization: Bearer " + r.key()
	foreign := "Origin: http://127.0.0.1:1"
	for _, tt := range []struct {
		name    string
		query   string
		headers []string
		post    int // negotiate
		socket  int
	}{
		{"nobody", "", nil, 401, 401},
		{"bearer", "", []string{bearer}, 200, 101},
		{"bearer from another page", "", []string{bearer, foreign}, 200, 101},
		{"query", "?access_token=" + r.key(), nil, 200, 101},
		{"older query", "?api_key=" + r.key(), nil, 200, 101},
		{"wrong", "?access_token=condt_x", nil, 401, 401},
		{"wrong older query", "?api_key=condt_x", nil, 401, 401},
		{"scope", "?access_token=" + images, nil, 403, 403},
		{"cookie of our page", "", []string{cookie, "Origin: " + r.URL()}, 200, 101},
		{"cookie of another port", "", []string{cookie, foreign}, 401, 401},
		{"cookie without origin", "", []string{cookie}, 401, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := strings.Replace(tt.query, "?", "&", 1)
			if resp, body := r.call("POST", "/hubs/video-generation/negotiate?negotiateVersion=1"+q, "", tt.headers...); resp.StatusCode != tt.post {
				t.Errorf("negotiate: %d %s", resp.StatusCode, body)
			}
			if _, status := r.dial(tt.query, tt.headers...); status != tt.socket {
				t.Errorf("WebSocket: %d", status)
			}
		})
	}
	if resp, body := r.call("POST", "/HUBS/Video-Generation/Negotiate?negotiateVersion=1", "", bearer); resp.StatusCode != 200 {
		t.Errorf("hub paths fold case: %d %s", resp.StatusCode, body)
	}
	// The same cookie on REST.
	if resp, _ := r.call("GET", "/v1/tasks", "", cookie, foreign); resp.StatusCode != 401 {
		t.Errorf("REST with the cookie of another port: %d", resp.StatusCode)
	}
	if resp, _ := r.call("GET", "/v1/tasks", "", cookie); resp.StatusCode != 200 {
		t.Errorf("REST with the cookie: %d", resp.StatusCode)
	}
	if resp, _ := r.call("GET", "/v1/tasks?api_key="+r.key(), ""); resp.StatusCode != 401 {
		t.Errorf("REST with api_key: %d", resp.StatusCode)
	}
	for _, path := range []string{"/hubs/other", "/hubs/", "/hubs/other/negotiate"} {
		if resp, body := r.call("POST", path, "", bearer); resp.StatusCode != 404 || body != "" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
}

func TestARevokedKeyLosesItsConnection(t *testing.T) {
	r := start(t, t.TempDir(), `{}`)
	k, err := OpenKeys(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	info, secret, err := k.Create(t.Context(), "friend", nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s, status := r.dial("?access_token=" + secret)
	if status != 101 {
		t.Fatal(status)
	}
	s.handshake()
	eventually(t, "the request in the log", func() bool { return strings.Contains(r.log.String(), "status=101") })
	if _, body := r.call("GET", "/health/signalr", ""); !strings.Contains(body, `"connections":1`) {
		t.Errorf("health: %s", body)
	}
	if _, err := k.Revoke(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	if m := s.until(`"type":7`); m == "" || strings.Contains(m, `"allowReconnect":true`) {
		t.Errorf("the farewell: %q", m)
	}
}

// Each of the guide's settings that acts, over the wire.
func TestSignalRSettingsAct(t *testing.T) {
	r := start(t, t.TempDir(), `{"SignalR": {
		"EnableDetailedErrors": true,
		"KeepAliveInterval": "00:00:01",
		"ClientTimeoutInterval": "00:00:02",
		"HandshakeTimeout": "00:00:01",
		"MaximumReceiveMessageSize": 200,
		"EnableMessageTracing": true
	}}`)
	open := func(t *testing.T) *socket {
		s, status := r.dial("?access_token=" + r.key())
		if status != 101 {
			t.Fatal(status)
		}
		s.t = t
		return s
	}
	t.Run("KeepAliveInterval", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		s.handshake()
		if s.until(`{"type":6}`) == "" { // by default after 15 s
			t.Error("no ping")
		}
	})
	t.Run("ClientTimeoutInterval", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		s.handshake()
		s.send(`{"type":6}`) // the clock begins with a client's first ping
		if m := s.until(`"type":7`); m != "" && !strings.Contains(m, "ClientTimeoutInterval") {
			t.Errorf("the silent client was told %q", m)
		}
	})
	t.Run("HandshakeTimeout", func(t *testing.T) {
		t.Parallel()
		_ = open(t).until("Handshake") // ends, with or without a word
	})
	t.Run("MaximumReceiveMessageSize", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		s.handshake()
		s.send(`{"type":1,"target":"x","arguments":["` + strings.Repeat("a", 300) + `"]}`)
		if m := s.until("size"); m == "" || !strings.Contains(m, "200B") {
			t.Errorf("got %q", m)
		}
	})
	t.Run("EnableDetailedErrors", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		s.handshake()
		s.send(`{"type":1,"invocationId":"1","target":"SubscribeToTask","arguments":[]}`)
		if m := s.until(`"invocationId":"1"`); !strings.Contains(m, "InvalidDataException") {
			t.Errorf("got %q", m)
		}
	})
	t.Run("EnableMessageTracing", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		s.handshake()
		s.send(`{"type":1,"invocationId":"traced","target":"SubscribeToTask","arguments":["of nobody"]}`)
		if s.until(`"invocationId":"traced"`) == "" {
			t.Fatal("no answer")
		}
		eventually(t, "both messages in the log", func() bool { return strings.Count(r.log.String(), "invocation=traced") == 2 })
		if strings.Contains(r.log.String(), "of nobody") {
			t.Error("an argument is in the log")
		}
	})
}

// The default limits: 200 calls at once, 200 refusals end the connection.
// Calls of unknown methods and calls that fail count like any other.
func TestRateLimitsAct(t *testing.T) {
	r := start(t, t.TempDir(), `{}`)
	s, status := r.dial("?access_token=" + r.key())
	if status != 101 {
		t.Fatal(status)
	}
	s.handshake()
	calls := []string{`"target":"Nothing","arguments":[]`, `"target":"SubscribeToTask","arguments":[]`,
		`"target":"UnsubscribeFromTasks","arguments":[[]]`}
	var all strings.Builder
	for i := range 200 {
		fmt.Fprintf(&all, `{"type":1,"invocationId":"%d",%s}%s`, i, calls[i%3], recordSeparator)
	}
	s.send(all.String() + `{"type":1,"invocationId":"last",` + calls[2] + `}`)
	if m := s.until(`"invocationId":"last"`); m == "" {
		t.Fatal("the connection ended")
	} else if strings.Contains(m, "Too many calls") {
		// The bucket fills by one each 50 ms, so on a slow machine this call may
		// pass; one that is refused says when to try again.
		if !strings.Contains(m, "20 a second are allowed. Try again in 0.0") {
			t.Errorf("the refusal: %s", m)
		}
	}
	for range 3 { // more than what the bucket gains meanwhile
		s.send(strings.TrimSuffix(all.String(), recordSeparator))
	}
	if m := s.until(`"type":7`); !strings.Contains(m, "Too many calls were refused") || strings.Contains(m, `"allowReconnect":true`) {
		t.Errorf("the farewell: %q", m)
	}
	eventually(t, "the report", func() bool {
		return slices.ContainsFunc(r.abnormal.report().Patterns, func(p api.AbnormalPattern) bool {
			return p.Pattern == push.PatternRateLimitStop && p.Total == 1
		})
	})
}

func TestHubOptions(t *testing.T) {
	c := settings(t, t.TempDir(), `{"SignalR": {
		"EnableDetailedErrors": true, "KeepAliveInterval": "00:00:30", "ClientTimeoutInterval": "00:00:41",
		"HandshakeTimeout": "00:00:42", "MaximumReceiveMessageSize": null, "StreamBufferCapacity": 43, "EnableMessageTracing": true
	}}`)
	o := hubOptions(c, nil)
	if !o.EnableDetailedErrors || o.KeepAliveInterval != 30*time.Second || o.ClientTimeoutInterval != 41*time.Second ||
		o.HandshakeTimeout != 42*time.Second || o.MaximumReceiveMessageSize != -1 || o.StreamBufferCapacity != 43 || !o.EnableMessageTracing {
		t.Errorf("got %+v", o)
	}
	w := newRecorder("GET", "/hubs/video-generation")
	if got := o.KeepAlive(w.r); got != config.KeepAlive(30*time.Second, w.r) || got != 20*time.Second {
		t.Errorf("Conduit's rule: %v", got)
	}
}

func TestStopTellsClientsToComeBack(t *testing.T) {
	r := start(t, t.TempDir(), `{}`)
	s, status := r.dial("?access_token=" + r.key())
	if status != 101 {
		t.Fatal(status)
	}
	s.handshake()
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	if m := s.until(`"type":7`); !strings.Contains(m, `"allowReconnect":true`) {
		t.Errorf("the farewell: %q", m)
	}
	_ = s.c.Close(websocket.StatusNormalClosure, "")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
