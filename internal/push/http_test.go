package push

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// serve mounts the hub as the server does; the bearer token names the key.
func serve(t *testing.T, h *Hubs) *httptest.Server {
	t.Helper()
	known := map[string]key.Principal{"mine": mine, "other": other, "image": {KeyID: "image", Scopes: []key.Scope{key.ScopeImage}}}
	hub := key.Require(key.ScopeVideo)(h.Video())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := known[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; ok {
			r = r.WithContext(key.WithPrincipal(r.Context(), p))
		}
		hub.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		_ = h.Video().Shutdown(t.Context())
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func do(t *testing.T, s *httptest.Server, method, path, token, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+VideoPath+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// Over real HTTP, with server-sent events: negotiation by key and scope, a
// connection token that only its key may use, and the end of a lost key.
func TestOverHTTP(t *testing.T) {
	tasks := newFakeTasks()
	tasks.add("mine", idA, task.Video)
	h := newHubs(t, tasks)
	s := serve(t, h)
	for token, status := range map[string]int{"": 401, "wrong": 401, "image": 403, "mine": 200} {
		if res, text := do(t, s, "POST", "/negotiate?negotiateVersion=1", token, ""); res.StatusCode != status {
			t.Errorf("%q: %d %s", token, res.StatusCode, text)
		}
	}
	_, text := do(t, s, "POST", "/negotiate?negotiateVersion=1", "mine", "")
	var negotiated struct{ ConnectionToken string }
	if err := json.Unmarshal([]byte(text), &negotiated); err != nil {
		t.Fatal(err)
	}
	at := "?id=" + url.QueryEscape(negotiated.ConnectionToken)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+VideoPath+at, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer mine")
	r.Header.Set("Accept", "text/event-stream")
	stream, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	frames := make(chan string, 100)
	go func() {
		defer close(frames)
		for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				for frame := range strings.SplitSeq(strings.TrimSuffix(data, "\x1e"), "\x1e") {
					frames <- frame
				}
			}
		}
	}()
	next := func(says string) {
		t.Helper()
		for {
			select {
			case frame, ok := <-frames:
				if !ok {
					t.Fatalf("the stream ended before %s", says)
				}
				if strings.Contains(frame, says) {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s did not come", says)
			}
		}
	}
	if res, _ := do(t, s, "POST", at, "mine", `{"protocol":"json","version":1}`+"\x1e"); res.StatusCode != 200 {
		t.Fatalf("handshake: %d", res.StatusCode)
	}
	next("{}")
	subscribe := `{"type":1,"invocationId":"1","target":"SubscribeToTask","arguments":["` + idA + `"]}` + "\x1e"
	for token, status := range map[string]int{"": 401, "image": 403, "other": 403} {
		if res, _ := do(t, s, "POST", at, token, subscribe); res.StatusCode != status {
			t.Errorf("%q with another's connection token: %d, want %d", token, res.StatusCode, status)
		}
	}
	if res, _ := do(t, s, "POST", at, "mine", subscribe); res.StatusCode != 200 {
		t.Errorf("subscribe: %d", res.StatusCode)
	}
	next(`"sequence":1`)
	next(`"invocationId":"1"`)
	publish(t, h, tasks.store(idA, task.EventCancelled, 0))
	next(`"eventType":"VideoGenerationCancelled"`)
	h.LoseKey("mine")
	next(`"type":7`)
	for {
		select {
		case _, ok := <-frames:
			if !ok {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the stream of a lost key stays open")
		}
	}
}
