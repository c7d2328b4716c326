package signalr

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// credential is what the middleware of these tests makes of "NAME:SECONDS";
// "NAME:" has no end.
type credential struct {
	user string
	end  time.Time
}

func credentialOf(ctx context.Context) credential {
	c, _ := ctx.Value(credential{}).(credential)
	return c
}

func withCredential(ctx context.Context, user string, end time.Time) context.Context {
	return context.WithValue(ctx, credential{}, credential{user, end})
}

func authenticated(opts HubOptions) HubOptions {
	opts.UserID = func(ctx context.Context) string { return credentialOf(ctx).user }
	opts.AuthenticationExpires = func(ctx context.Context) time.Time { return credentialOf(ctx).end }
	return opts
}

func serveWithCredentials(t *testing.T, h *Hub) string {
	t.Helper()
	check := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, seconds, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ":")
		var end time.Time
		if n, err := strconv.Atoi(seconds); err == nil {
			end = time.Now().Add(time.Duration(n) * time.Second)
		}
		h.ServeHTTP(w, r.WithContext(withCredential(r.Context(), user, end)))
	})
	mux := http.NewServeMux()
	mux.Handle("/hub", check)
	mux.Handle("/hub/", check)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		shutdown(t, h)
		server.Close()
	})
	return server.URL + "/hub"
}

// request sends a request and returns the status and the body of its answer.
func request(t *testing.T, method, url, bearer string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

type negotiation struct {
	ConnectionID         string `json:"connectionId"`
	ConnectionToken      string `json:"connectionToken"`
	TokenLifetimeSeconds *int   `json:"tokenLifetimeSeconds"`
}

func negotiate(t *testing.T, url, bearer string) negotiation {
	t.Helper()
	status, body := request(t, "POST", url+"/negotiate?negotiateVersion=1", bearer)
	var n negotiation
	if err := json.Unmarshal([]byte(body), &n); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	return n
}

func TestLifetimeInNegotiation(t *testing.T) {
	tests := []struct {
		name, bearer string
		refresh      bool
		want         int // -1: absent
	}{
		{"ends", "alice:300", true, 300},
		{"never ends", "alice:", true, -1},
		{"ends after more than an int32", "alice:3000000000", true, 1<<31 - 1},
		{"refresh off", "alice:300", false, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := NewHub("test", authenticated(HubOptions{AuthenticationRefresh: test.refresh, ShutdownWindow: time.Millisecond}))
			n := negotiate(t, serveWithCredentials(t, h), test.bearer)
			got := -1
			if n.TokenLifetimeSeconds != nil {
				got = *n.TokenLifetimeSeconds
			}
			if got != test.want {
				t.Errorf("tokenLifetimeSeconds %d, want %d", got, test.want)
			}
		})
	}
}

func TestRefreshAnswers(t *testing.T) {
	const tokenHeader = "X-SignalR-Connection-Token"
	h := NewHub("test", authenticated(HubOptions{AuthenticationRefresh: true, ShutdownWindow: time.Millisecond}))
	url := serveWithCredentials(t, h)
	n := negotiate(t, url, "alice:60")
	_, v0 := request(t, "POST", url+"/negotiate", "alice:60")
	var old negotiation
	if err := json.Unmarshal([]byte(v0), &old); err != nil || old.TokenLifetimeSeconds != nil {
		t.Fatalf("%s %v", v0, err)
	}
	tests := []struct {
		name, method, path, bearer, token string
		status                            int
		body                              string
	}{
		{"header", "POST", "", "alice:600", n.ConnectionToken, 200, `{"tokenLifetimeSeconds":600}`},
		{"query", "POST", "?id=" + n.ConnectionToken, "alice:30", "", 200, `{"tokenLifetimeSeconds":30}`},
		{"any case, slash", "POST", "/?ID=" + n.ConnectionToken, "alice:30", "", 200, `{"tokenLifetimeSeconds":30}`},
		{"no end", "POST", "", "alice:", n.ConnectionToken, 200, `{}`},
		{"no token", "POST", "", "alice:60", "", 400, `{"error":"missing_connection_token"}`},
		{"unknown token", "POST", "", "alice:60", "nobody", 404, `{"error":"connection_not_found"}`},
		{"public id", "POST", "", "alice:60", n.ConnectionID, 404, `{"error":"connection_not_found"}`},
		{"version 0", "POST", "", "alice:60", old.ConnectionID, 400, `{"error":"unsupported_negotiate_version"}`},
		{"another user", "POST", "", "bob:60", n.ConnectionToken, 403, `{"error":"permission_change_rejected"}`},
		{"ended", "POST", "", "alice:-1", n.ConnectionToken, 401, `{"error":"invalid_token"}`},
		{"GET", "GET", "", "alice:60", n.ConnectionToken, 405, ""},
		{"DELETE", "DELETE", "", "alice:60", n.ConnectionToken, 405, ""},
		{"below", "POST", "/x", "alice:60", n.ConnectionToken, 404, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, body := request(t, test.method, url+"/refresh"+test.path, test.bearer, tokenHeader, test.token)
			if status != test.status || body != test.body {
				t.Errorf("%d %s, want %d %s", status, body, test.status, test.body)
			}
		})
	}
	t.Run("off", func(t *testing.T) {
		h := NewHub("test", authenticated(HubOptions{ShutdownWindow: time.Millisecond}))
		url := serveWithCredentials(t, h)
		for _, method := range []string{"POST", "GET"} {
			if status, body := request(t, method, url+"/refresh", "alice:60", tokenHeader, "x"); status != 404 || body != "" {
				t.Errorf("%s: %d %s", method, status, body)
			}
		}
	})
}

// TestRequestsRenew says which requests move the end of a connection.
func TestRequestsRenew(t *testing.T) {
	h := NewHub("test", authenticated(HubOptions{AuthenticationRefresh: true, ShutdownWindow: time.Millisecond}))
	url := serveWithCredentials(t, h)
	n := negotiate(t, url, "alice:60")
	hub := url + "?id=" + n.ConnectionToken
	request(t, "GET", hub, "alice:100")
	status, _ := post(t, hub, "alice:9000", "{\"protocol\":\"json\",\"version\":1}\x1e")
	if status != http.StatusOK {
		t.Fatalf("POST: %d", status)
	}
	request(t, "GET", hub, "alice:200")
	c := h.Connection(n.ConnectionID)
	left := func() time.Duration {
		at := c.expires.Load()
		if at == 0 {
			return 0
		}
		return time.Until(time.UnixMilli(at)).Round(100 * time.Second)
	}
	if got := left(); got != 200*time.Second {
		t.Errorf("after a poll: %v left", got) // and not 9000 s, by a POST
	}
	request(t, "POST", url+"/refresh?id="+n.ConnectionToken, "alice:500")
	if got := left(); got != 500*time.Second {
		t.Errorf("after a refresh: %v left", got)
	}
	request(t, "POST", url+"/refresh?id="+n.ConnectionToken, "bob:900")
	if got := left(); got != 500*time.Second {
		t.Errorf("after a refused refresh: %v left", got)
	}
	request(t, "POST", url+"/refresh?id="+n.ConnectionToken, "alice:")
	if got := left(); got != 0 {
		t.Errorf("after a refresh without end: %v left", got)
	}
	request(t, "DELETE", hub, "alice:60")
}

func post(t *testing.T, url, bearer, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestAuthenticationExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", authenticated(HubOptions{KeepAliveInterval: time.Hour}))
		start := time.Now()
		ends := func(s time.Duration) context.Context {
			return withCredential(context.Background(), "alice", start.Add(s*time.Second))
		}
		const shake = `{"protocol":"json","version":1}`
		brief, renewed, forever := connectAs(t, h, "c1", ends(5), shake), connectAs(t, h, "c2", ends(5), shake), connect(t, h, "c3")
		h.Connection("c2").renew(ends(20))
		brief.want(`{"type":7,"allowReconnect":true}`, "")
		if d := time.Since(start); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("closed after %v", d)
		}
		renewed.want(`{"type":7,"allowReconnect":true}`, "")
		if d := time.Since(start); d < 20*time.Second || d > 21*time.Second {
			t.Errorf("the renewed one closed after %v", d)
		}
		time.Sleep(time.Minute)
		if forever.hasEnded() {
			t.Error("who has no end was closed")
		}
		shutdown(t, h)
	})
}

func TestRefreshNeedsAnEnd(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewHub did not panic")
		}
	}()
	NewHub("test", HubOptions{AuthenticationRefresh: true})
}
