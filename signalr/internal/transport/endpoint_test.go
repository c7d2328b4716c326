package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEdgesEvents asks lines 128 to 136, one event stream.
func TestEdgesEvents(t *testing.T) {
	edges := readEdges(t)
	want := func(line int) (a answer) {
		t.Helper()
		if err := json.Unmarshal(edges[line-1].Answer, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	rig := newRig(t, EndpointOptions{})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	url := rig.url + "?id=" + token
	get := func(accept string) *http.Request {
		req, _ := http.NewRequest("GET", url, nil)
		req.Header.Set("Accept", accept)
		return req
	}
	stream, err := http.DefaultClient.Do(get("text/event-stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	for k, v := range want(128).Headers {
		if k != "transfer-encoding" && stream.Header.Get(k) != v {
			t.Errorf("%s: %q, want %q", k, stream.Header.Get(k), v)
		}
	}
	if stream.Header.Get("Content-Encoding") != "identity" {
		t.Error("a proxy may compress the stream")
	}
	in := bufio.NewReader(stream.Body)
	expect := func(text string) {
		t.Helper()
		got := make([]byte, len(text))
		for n := 0; n < len(got); {
			m, err := in.Read(got[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		if string(got) != text {
			t.Fatalf("the stream carries %q, want %q", got, text)
		}
	}
	expect(":\r\n")

	compareAnswers(t, ask(t, get("text/event-stream")), want(129))
	compareAnswers(t, ask(t, get("*/*")), want(130))
	ws := dialPeer(t, rig, "/testhub?id="+token, nil).answer
	if ws.Status != 400 || ws.Body != "Cannot change transports mid-connection" || ws.Headers["content-type"] != "text/plain" {
		t.Errorf("a WebSocket got %v", ws)
	}
	post, _ := http.NewRequest("POST", url, strings.NewReader(jsonHandshake))
	compareAnswers(t, ask(t, post), want(132))
	del, _ := http.NewRequest("DELETE", url, nil)
	compareAnswers(t, ask(t, del), want(134))
	expect("data: {}\x1e\r\n\r\n")

	_, token = rig.negotiated(t, "negotiateVersion=1")
	url = rig.url + "?id=" + token
	other, err := http.DefaultClient.Do(get("text/html, text/event-stream"))
	if err != nil {
		t.Fatal(err)
	}
	if ct := other.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("line 136: %q", ct)
	}
	_ = other.Body.Close()
}

// TestEdgesDelete asks lines 137 and 138.
func TestEdgesDelete(t *testing.T) {
	edges := readEdges(t)
	rig := newRig(t, EndpointOptions{})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	url := rig.url + "?id=" + token
	get := func() answer { req, _ := http.NewRequest("GET", url, nil); return ask(t, req) }
	get()
	hub := rig.hub(t)
	post, _ := http.NewRequest("POST", url, strings.NewReader(jsonHandshake))
	ask(t, post)
	get()
	polled := make(chan answer, 1)
	eventually(t, "the poll before is through", func() bool { return rig.waitingPoll(token) == nil })
	go func() { polled <- get() }()
	eventually(t, "the poll waits", func() bool { return rig.waitingPoll(token) != nil })
	var want struct{ Delete, Poll answer }
	if err := json.Unmarshal(edges[136].Answer, &want); err != nil {
		t.Fatal(err)
	}
	del, _ := http.NewRequest("DELETE", url, nil)
	compareAnswers(t, ask(t, del), want.Delete)
	compareAnswers(t, <-polled, want.Poll)
	if err := hub.awaitEnd(t); err != nil {
		t.Errorf("Ended(%v), want nil", err)
	}

	_, token = rig.negotiated(t, "negotiateVersion=1")
	del, _ = http.NewRequest("DELETE", rig.url+"?id="+token, nil)
	var refused answer
	if err := json.Unmarshal(edges[137].Answer, &refused); err != nil {
		t.Fatal(err)
	}
	compareAnswers(t, ask(t, del), refused)
}

// TestPollAfterTheEnd: the last words come with one poll, 204 with the next,
// and 404 after that; a POST in between is accepted.
func TestPollAfterTheEnd(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	url := rig.url + "?id=" + token
	do := func(method, body string) answer {
		t.Helper()
		req, _ := http.NewRequest(method, url, strings.NewReader(body))
		return ask(t, req)
	}
	do("GET", "")
	hub := rig.hub(t)
	do("POST", jsonHandshake+"{\"type\":7,\"error\":\"bye\"}\x1e")
	if a := do("GET", ""); a.Body != "{}\x1e{\"type\":7}\x1e" {
		t.Fatalf("poll: %v", a)
	}
	if err := hub.awaitEnd(t); err != nil {
		t.Errorf("Ended(%v), want nil", err)
	}
	if a := do("POST", "{\"type\":6}\x1e"); a.Status != 200 {
		t.Errorf("POST after the end: %d", a.Status)
	}
	if a := do("GET", ""); a.Status != 204 || a.Headers["content-type"] != "text/plain" {
		t.Errorf("poll after the end: %v", a)
	}
	if a := do("GET", ""); a.Status != 404 {
		t.Errorf("poll after that: %v", a)
	}
}

func TestPollTimeout(t *testing.T) {
	rig := newRig(t, EndpointOptions{PollTimeout: 20 * time.Millisecond})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	req, _ := http.NewRequest("GET", rig.url+"?id="+token, nil)
	ask(t, req)
	if a := ask(t, req); a.Status != 200 || a.Body != "" || a.Headers["content-type"] != "text/plain" {
		t.Errorf("poll: %v", a)
	}
}

// TestReceiveFault: what the application refuses ends the connection after its
// last words; the POST itself is answered 200.
func TestReceiveFault(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	url := rig.url + "?id=" + token
	req, _ := http.NewRequest("GET", url, nil)
	ask(t, req)
	hub := rig.hub(t)
	post, _ := http.NewRequest("POST", url, strings.NewReader(jsonHandshake+"hello\x1e"))
	if a := ask(t, post); a.Status != 200 {
		t.Errorf("POST: %v", a)
	}
	if a := ask(t, req); a.Body != "{}\x1e" {
		t.Errorf("poll: %v", a)
	}
	if err := hub.awaitEnd(t); err == nil || !strings.Contains(err.Error(), "invalid character") {
		t.Errorf("Ended(%v), want the error of Receive", err)
	}
}

// TestExpiry: a connection without a transport is dropped, whether none came,
// or no poll came any more.
func TestExpiry(t *testing.T) {
	rig := newRig(t, EndpointOptions{DisconnectTimeout: 30 * time.Millisecond, MaxPending: 3})
	for range 3 {
		rig.negotiated(t, "")
	}
	req, _ := http.NewRequest("POST", rig.url+"/negotiate", nil)
	if a := ask(t, req); a.Status != http.StatusServiceUnavailable || a.Headers["retry-after"] == "" {
		t.Errorf("one too many: %v", a)
	}
	eventually(t, "they expire", func() bool { return rig.Count() == 0 })
	_, token := rig.negotiated(t, "")
	get, _ := http.NewRequest("GET", rig.url+"?id="+token, nil)
	ask(t, get)
	if err := rig.hub(t).awaitEnd(t); err != ErrExpired {
		t.Errorf("Ended(%v), want ErrExpired", err)
	}
	if a := ask(t, get); a.Status != 404 {
		t.Errorf("poll after that: %v", a)
	}
}

func TestShutdown(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	_, kept := rig.negotiated(t, "negotiateVersion=1")
	_, pending := rig.negotiated(t, "negotiateVersion=1")
	p := dialPeer(t, rig, "/testhub?id="+kept, nil)
	hub := rig.hub(t)
	done := make(chan error, 1)
	go func() { done <- rig.Shutdown(t.Context()) }()
	if got := p.frame(); !isClose(got, 1000) {
		t.Fatalf("got %v, want a close frame", got)
	}
	req, _ := http.NewRequest("POST", rig.url+"/negotiate", nil)
	if a := ask(t, req); a.Status != http.StatusServiceUnavailable {
		t.Errorf("negotiation: %v", a)
	}
	eventually(t, "the pending one is gone", func() bool { return rig.Count() == 1 })
	get, _ := http.NewRequest("GET", rig.url+"?id="+pending, nil)
	if a := ask(t, get); a.Status != 404 {
		t.Errorf("a pending one: %v", a)
	}
	p.send(t, clientFrame(0x88, "\x03\xe8"))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := hub.awaitEnd(t); err != nil {
		t.Errorf("Ended(%v), want nil", err)
	}
}

// TestShutdownWithoutPolls: a client that left between two polls is not waited
// for as long as one that may come back.
func TestShutdownWithoutPolls(t *testing.T) {
	rig := newRig(t, EndpointOptions{DisconnectTimeout: time.Hour})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	get, _ := http.NewRequest("GET", rig.url+"?id="+token, nil)
	ask(t, get)
	hub := rig.hub(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := rig.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	hub.awaitEnd(t)
}

func isClose(frame any, code float64) bool {
	m, ok := frame.(map[string]any)
	return ok && m["close"] == code
}

// TestOtherUser: every request of a connection must be by the user who opened
// it.
func TestOtherUser(t *testing.T) {
	rig := newRig(t, EndpointOptions{UserID: userOf})
	handler := asUser(rig.Endpoint)
	rig.serve(t, handler)
	_, token := rig.negotiated(t, "user=alice")
	for _, method := range []string{"GET", "POST", "DELETE"} {
		req, _ := http.NewRequest(method, rig.url+"?user=bob&id="+token, nil)
		if a := ask(t, req); a.Status != http.StatusForbidden {
			t.Errorf("%s by another user: %v", method, a)
		}
	}
	if a := dialPeer(t, rig, "/testhub?user=bob&id="+token, nil).answer; a.Status != http.StatusForbidden {
		t.Errorf("a WebSocket of another user: %v", a)
	}
	if a := dialPeer(t, rig, "/testhub?user=alice&access_token=x&id="+token, nil).answer; a.Status != 101 {
		t.Fatalf("the same user: %v", a)
	}
	r := rig.hub(t).session.Request()
	if got := r.URL.String(); got != "/testhub?user=alice" {
		t.Errorf("the request shows %q: secrets must be left out, the rest kept", got)
	}
	if userOf(r.Context()) != "alice" || r.Context().Err() != nil {
		t.Error("the values of the request's context must be there, without its end")
	}
}

// TestForeignPaths: the end of the path counts, whatever mux led here.
func TestForeignPaths(t *testing.T) {
	for _, tt := range []struct {
		path string
		want route
	}{
		{"/hubs/x", routeHub},
		{"/hubs/x/", routeHub},
		{"/hubs/x/negotiate", routeNegotiate},
		{"/hubs/x/Negotiate/", routeNegotiate},
		{"/hubs/x/refresh", routeRefresh},
		{"/hubs/x/negotiate/x", routeNone},
		{"/any/where/Negotiate/x", routeNone},
		{"/negotiate", routeNegotiate},
		{"/", routeHub},
	} {
		r, _ := http.NewRequest("GET", "http://example.test"+tt.path, nil)
		r.Pattern = "/hubs/" // a dispatcher's
		if got := routeOf(r); got != tt.want {
			t.Errorf("routeOf(%q) = %d, want %d", tt.path, got, tt.want)
		}
	}
}

// TestUnusedTransport: a transport that is switched off is named, also to a
// WebSocket without negotiation.
func TestUnusedTransport(t *testing.T) {
	rig := newRig(t, EndpointOptions{Transports: []Kind{ServerSentEvents}})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	req, _ := http.NewRequest("GET", rig.url+"?id="+token, nil)
	if a := ask(t, req); a.Status != 404 || a.Body != "LongPolling transport not supported by this end point type" {
		t.Errorf("poll: %v", a)
	}
	for _, target := range []string{"/testhub", "/testhub?id=" + token} {
		if a := dialPeer(t, rig, target, nil).answer; a.Status != 404 || a.Body != "WebSockets transport not supported by this end point type" {
			t.Errorf("WebSocket %s: %v", target, a)
		}
	}
}

// TestHugePostBeforeTransport: what does not fit waits for the transport.
func TestHugePostBeforeTransport(t *testing.T) {
	rig := newRig(t, EndpointOptions{})
	_, token := rig.negotiated(t, "negotiateVersion=1")
	url := rig.url + "?id=" + token
	posted := make(chan answer, 1)
	big := strings.Repeat("x", 3*heldSize)
	go func() {
		post, _ := http.NewRequest("POST", url, strings.NewReader(jsonHandshake+echoCall("1", big)))
		posted <- ask(t, post)
	}()
	eventually(t, "bytes are held", func() bool {
		rig.mu.Lock()
		s := rig.sessions[token]
		rig.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.held) > heldSize/2
	})
	get, _ := http.NewRequest("GET", url, nil)
	ask(t, get)
	if a := <-posted; a.Status != 200 {
		t.Fatalf("POST: %v", a)
	}
	var all string
	for !strings.Contains(all, big) {
		a := ask(t, get)
		if a.Status != 200 {
			t.Fatalf("poll: %d", a.Status)
		}
		all += a.Body
	}
	if !strings.HasPrefix(all, "{}\x1e") {
		t.Errorf("the handshake must come first: %.20q", all)
	}
}
