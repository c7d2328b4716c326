package signalr

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRedirect: a client that negotiates here is served elsewhere, under the
// token that it was given.
func TestRedirect(t *testing.T) {
	hub := newClientHub(HubOptions{})
	var mu sync.Mutex
	var tokens []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		tokens = append(tokens, r.Header.Get("Authorization"))
		mu.Unlock()
		hub.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	defer func() { _ = hub.Shutdown(t.Context()) }()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, r *http.Request) {
		Redirect(w, r, elsewhere.URL+"/chat?room=7", "second")
	})
	here := httptest.NewServer(mux)
	defer here.Close()

	for _, transport := range []Transport{WebSockets, ServerSentEvents, LongPolling} {
		c := startClient(t, here.URL+"/hub", ClientOptions{Transports: []Transport{transport}, Token: func(context.Context) (string, error) { return "first", nil }})
		if err := c.Invoke(t.Context(), "Nothing", nil); err != nil {
			t.Errorf("%v: %v", transport, err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("%v: %v", transport, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, token := range tokens {
		if token != "Bearer second" {
			t.Errorf("elsewhere sees %q", token)
		}
	}
}

// TestRedirectAnswers: what the answer is, byte for byte.
func TestRedirectAnswers(t *testing.T) {
	for _, tt := range []struct{ query, token, want string }{
		{"", "", `{"negotiateVersion":0,"url":"https://other.test/h?x=1","availableTransports":[]}`},
		{"negotiateVersion=1", "t", `{"negotiateVersion":1,"url":"https://other.test/h?x=1","accessToken":"t","availableTransports":[]}`},
		{"negotiateVersion=9", "", `{"negotiateVersion":1,"url":"https://other.test/h?x=1","availableTransports":[]}`},
		{"negotiateVersion=x", "", `{"error":"The client requested a non-integer protocol version."}`},
	} {
		w := httptest.NewRecorder()
		Redirect(w, httptest.NewRequest("POST", "/hub/negotiate?"+tt.query, nil), "https://other.test/h?x=1", tt.token)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Body.String() != tt.want {
			t.Errorf("%s: %d %s", tt.query, w.Code, w.Body)
		}
	}
}

// TestMinimumNegotiateVersion: clients that know no connection token.
func TestMinimumNegotiateVersion(t *testing.T) {
	url := serveHub(t, NewHub("h", HubOptions{MinimumNegotiateVersion: 1}))
	for query, want := range map[string]string{
		"":                   `{"error":"The client requested version '0', but the server does not support this version."}`,
		"negotiateVersion=0": `{"error":"The client requested version '0', but the server does not support this version."}`,
		"negotiateVersion=1": `{"negotiateVersion":1,`,
	} {
		resp, err := http.Post(url+"/negotiate?"+query, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %d %s %v", query, resp.StatusCode, body, err)
		}
	}
}

// TestTransportTimeouts: the options reach the transports. A poll that finds
// nothing is answered in time; a connection that nobody takes up is forgotten.
func TestTransportTimeouts(t *testing.T) {
	hub := NewHub("h", HubOptions{PollTimeout: 10 * time.Millisecond, DisconnectTimeout: time.Second})
	url := serveHub(t, hub)
	ask := func(method, url string) (status int, body []byte) {
		t.Helper()
		req, _ := http.NewRequest(method, url, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if body, err = io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	_, body := ask("POST", url+"/negotiate")
	var n struct{ ConnectionID string }
	if err := json.Unmarshal(body, &n); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first one attaches, the second one waits
		if status, body := ask("GET", url+"?id="+n.ConnectionID); status != http.StatusOK || len(body) != 0 {
			t.Errorf("poll: %d %q", status, body)
		}
	}
	for deadline := time.Now().Add(clientPatience); hub.endpoint.Count() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection stays")
		}
	}
}

// TestClientKeepsCookies: a client that is given none of its own shows cookies
// on every request, also after a reconnect, as load balancers need it.
func TestClientKeepsCookies(t *testing.T) {
	hub := newClientHub(HubOptions{})
	var mu sync.Mutex
	var without []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("affinity"); err != nil || cookie.Value != "a" {
			mu.Lock()
			without = append(without, r.Method+" "+r.URL.Path)
			mu.Unlock()
			http.SetCookie(w, &http.Cookie{Name: "affinity", Value: "a", Path: "/"})
		}
		hub.ServeHTTP(w, r)
	}))
	defer server.Close()
	defer func() { _ = hub.Shutdown(t.Context()) }()
	for _, transport := range []Transport{WebSockets, ServerSentEvents, LongPolling} {
		without = nil
		c := startClient(t, server.URL+"/hub", ClientOptions{Transports: []Transport{transport}})
		for range 2 {
			if err := c.Invoke(t.Context(), "Nothing", nil); err != nil {
				t.Fatal(err)
			}
			if err := c.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		if len(without) != 1 || without[0] != "POST /hub/negotiate" {
			t.Errorf("%v: without a cookie came %v", transport, without)
		}
		mu.Unlock()
	}
}
