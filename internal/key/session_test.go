package key

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const own = "http://127.0.0.1:5000"

// browser sends requests as a page of origin would.
type browser struct {
	t      *testing.T
	h      http.Handler
	cookie *http.Cookie
}

func (b *browser) do(method, url, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	for _, x := range headers {
		name, value, _ := strings.Cut(x, ": ")
		if name == "Remote" {
			r.RemoteAddr = value
			continue
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookie = c
	}
	return w
}

func console(t *testing.T, o AuthenticatorOptions) (*browser, *fakeStore) {
	t.Helper()
	s := newFake()
	o.Store = s
	a := NewAuthenticator(o)
	mux := http.NewServeMux()
	mux.Handle(SessionPath, a.Sessions())
	mux.Handle("/", whoami(a))
	return &browser{t: t, h: mux}, s
}

func TestSession(t *testing.T) {
	b, s := console(t, AuthenticatorOptions{})
	k, secret := give(t, s, time.Time{}, ScopeVideo)
	if w := b.do("GET", own+SessionPath, ""); w.Code != 401 {
		t.Errorf("before: %d", w.Code)
	}
	if w := b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`, "Origin: "+own); w.Code != 204 {
		t.Fatalf("sign-in: %d %s", w.Code, w.Body)
	}
	c := b.cookie
	if c.Name != "conduit_session" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || c.MaxAge <= 0 || c.Domain != "" {
		t.Errorf("the cookie: %+v", c)
	}
	if strings.Contains(c.Value, "condt_") {
		t.Error("the cookie holds the key")
	}
	w := b.do("GET", own+SessionPath, "")
	var shown struct {
		Scopes    []Scope
		ExpiresAt time.Time
	}
	if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil || w.Code != 200 {
		t.Fatalf("show: %d %v", w.Code, err)
	}
	if !cmp.Equal(shown.Scopes, []Scope{ScopeVideo}) || time.Until(shown.ExpiresAt) < SessionLifetime-time.Minute {
		t.Errorf("show: %+v", shown)
	}
	if w := b.do("GET", own+"/v1/x", ""); w.Body.String() != k.ID {
		t.Errorf("the session does not speak for its key: %d %s", w.Code, w.Body)
	}
	old := b.cookie
	if w := b.do("DELETE", own+SessionPath, "", "Origin: "+own); w.Code != 204 || b.cookie.MaxAge >= 0 {
		t.Errorf("sign-out: %d, %+v", w.Code, b.cookie)
	}
	b.cookie = old
	if w := b.do("GET", own+"/v1/x", ""); w.Code != 401 {
		t.Errorf("the old cookie after the sign-out: %d", w.Code)
	}
}

func TestSessionEndsWithItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := console(t, AuthenticatorOptions{})
		k, secret := give(t, s, time.Time{})
		b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`)
		if err := s.RevokeKey(t.Context(), k.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if w := b.do("GET", own+"/v1/x", ""); w.Code != 401 {
			t.Errorf("revoked: %d", w.Code)
		}
		_, short := give(t, s, time.Now().Add(time.Hour))
		b.do("POST", own+SessionPath, `{"key":"`+short+`"}`)
		if b.cookie.MaxAge > 3600 {
			t.Errorf("the cookie outlives its key: %d s", b.cookie.MaxAge)
		}
		time.Sleep(time.Hour)
		if w := b.do("GET", own+"/v1/x", ""); w.Code != 401 {
			t.Errorf("expired: %d", w.Code)
		}
	})
}

func TestSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := console(t, AuthenticatorOptions{})
		_, secret := give(t, s, time.Time{})
		b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`)
		time.Sleep(SessionLifetime)
		if w := b.do("GET", own+"/v1/x", ""); w.Code != 401 {
			t.Errorf("got %d", w.Code)
		}
		if err := s.DeleteExpired(t.Context(), time.Now()); err != nil || len(s.sessions) != 0 {
			t.Errorf("%d sessions are left, %v", len(s.sessions), err)
		}
	})
}

// TestCookieCounts is the rule of "Who is asking": Origin exactly our own, or
// none with a GET or HEAD that is no upgrade.
func TestCookieCounts(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		public     string
		headers    []string
		want       bool
	}{
		{"navigation", "GET " + own, "", nil, true},
		{"HEAD", "HEAD " + own, "", nil, true},
		{"same origin GET with Origin", "GET " + own, "", []string{"Origin: " + own}, true},
		{"same origin POST", "POST " + own, "", []string{"Origin: " + own}, true},
		{"same origin WebSocket", "GET " + own, "", []string{"Origin: " + own, "Connection: Upgrade", "Upgrade: websocket"}, true},
		{"another port of this host", "POST " + own, "", []string{"Origin: http://127.0.0.1:5001"}, false},
		{"another port, GET", "GET " + own, "", []string{"Origin: http://127.0.0.1:5001"}, false},
		{"another port, WebSocket", "GET " + own, "", []string{"Origin: http://127.0.0.1:5001", "Connection: Upgrade", "Upgrade: websocket"}, false},
		{"no port", "POST " + own, "", []string{"Origin: http://127.0.0.1"}, false},
		{"another scheme", "POST " + own, "", []string{"Origin: https://127.0.0.1:5000"}, false},
		{"another host", "POST " + own, "", []string{"Origin: http://localhost:5000"}, false},
		{"opaque", "POST " + own, "", []string{"Origin: null"}, false},
		{"empty", "POST " + own, "", []string{"Origin: "}, false},
		{"empty on GET", "GET " + own, "", []string{"Origin: "}, false},
		{"with a path", "POST " + own, "", []string{"Origin: " + own + "/"}, false},
		{"as user", "POST " + own, "", []string{"Origin: http://127.0.0.1:5000@evil.example"}, false},
		{"as subdomain", "POST " + own, "", []string{"Origin: http://127.0.0.1:5000.evil.example"}, false},
		{"a list", "POST " + own, "", []string{"Origin: " + own + " http://evil.example"}, false},
		{"POST without", "POST " + own, "", nil, false},
		{"DELETE without", "DELETE " + own, "", nil, false},
		{"WebSocket without", "GET " + own, "", []string{"Connection: keep-alive, Upgrade", "Upgrade: websocket"}, false},
		{"upgrade by one header", "GET " + own, "", []string{"Upgrade: websocket"}, false},
		{"upgrade by the other", "GET " + own, "", []string{"Connection: upgrade"}, false},
		{"default port", "POST http://conduit.example/", "", []string{"Origin: http://conduit.example"}, true},
		{"default port written", "POST http://conduit.example:80/", "", []string{"Origin: http://conduit.example"}, true},
		{"case of the host", "POST http://Conduit.Example/", "", []string{"Origin: http://conduit.example"}, true},
		{"IPv6", "POST http://[::1]:5000/", "", []string{"Origin: http://[::1]:5000"}, true},
		{"public", "POST " + own, "https://conduit.example", []string{"Origin: https://conduit.example"}, true},
		{"public, own host", "POST " + own, "https://conduit.example", []string{"Origin: " + own}, false},
		{"public with a port", "POST " + own, "https://conduit.example:8443", []string{"Origin: https://conduit.example:8443"}, true},
		{"public, default port", "POST " + own, "https://conduit.example:443", []string{"Origin: https://conduit.example"}, true},
		{"forwarded scheme", "POST http://conduit.example/", "", []string{"Scheme: https", "Origin: https://conduit.example"}, true},
		{"forwarded scheme, plain origin", "POST http://conduit.example/", "", []string{"Scheme: https", "Origin: http://conduit.example"}, false},
		{"TLS", "POST http://conduit.example/", "", []string{"TLS: yes", "Origin: https://conduit.example"}, true},
		{"no host", "POST http://bad%20host/", "", []string{"Origin: "}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.line, " ")
			r := &http.Request{Method: method, Header: http.Header{}, Host: strings.Trim(strings.TrimPrefix(target, "http://"), "/")}
			for _, x := range tt.headers {
				name, value, _ := strings.Cut(x, ": ")
				switch name {
				case "Scheme":
					r = r.WithContext(WithScheme(r.Context(), value))
				case "TLS":
					r.TLS = &tls.ConnectionState{}
				default:
					r.Header.Set(name, value)
				}
			}
			if got := cookieCounts(r, Origin(r, tt.public)); got != tt.want {
				t.Errorf("got %v (own origin %q)", got, Origin(r, tt.public))
			}
		})
	}
}

func TestTokenWinsOverCookie(t *testing.T) {
	b, s := console(t, AuthenticatorOptions{})
	_, secret := give(t, s, time.Time{})
	other, otherSecret := give(t, s, time.Time{})
	b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`)
	if w := b.do("GET", own+"/v1/x", "", "Authorization: Bearer "+otherSecret); w.Body.String() != other.ID {
		t.Errorf("got %s", w.Body)
	}
	if w := b.do("GET", own+"/v1/x", "", "Authorization: Bearer condt_wrong"); w.Code != 401 {
		t.Errorf("a wrong token falls back to the cookie: %d", w.Code)
	}
	if w := b.do("POST", own+"/v1/x", "", "Origin: http://evil.example", "Authorization: Bearer "+otherSecret); w.Body.String() != other.ID {
		t.Errorf("a token needs no origin: %d", w.Code)
	}
	if w := b.do("POST", own+"/v1/x", "", "Origin: http://evil.example"); w.Code != 401 {
		t.Errorf("a foreign page: %d", w.Code)
	}
}

func TestSecureCookie(t *testing.T) {
	b, s := console(t, AuthenticatorOptions{PublicURL: "https://conduit.example"})
	k, secret := give(t, s, time.Time{})
	b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`, "Origin: https://conduit.example")
	if b.cookie == nil || !b.cookie.Secure || b.cookie.Name != "__Host-conduit_session" {
		t.Fatalf("the cookie: %+v", b.cookie)
	}
	if w := b.do("GET", own+"/v1/x", ""); w.Body.String() != k.ID {
		t.Errorf("got %d", w.Code)
	}
}

func TestLoginCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := console(t, AuthenticatorOptions{})
		k, _ := give(t, s, time.Time{})
		code, _, err := NewLoginCode(t.Context(), s, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		signIn := func(code string) int {
			b.cookie = nil
			return b.do("POST", own+SessionPath, `{"code":"`+code+`"}`, "Origin: "+own).Code
		}
		if got := signIn(code); got != 204 || b.cookie == nil {
			t.Errorf("first use: %d", got)
		}
		if got := signIn(code); got != 401 || b.cookie != nil {
			t.Errorf("second use: %d", got)
		}
		late, _, _ := NewLoginCode(t.Context(), s, k.ID)
		time.Sleep(LoginCodeLifetime)
		if got := signIn(late); got != 401 {
			t.Errorf("after ten minutes: %d", got)
		}
		revoked, _, _ := NewLoginCode(t.Context(), s, k.ID)
		if err := s.RevokeKey(t.Context(), k.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := signIn(revoked); got != 401 {
			t.Errorf("for a revoked key: %d", got)
		}
	})
}

func TestSignInRefuses(t *testing.T) {
	b, s := console(t, AuthenticatorOptions{})
	_, secret := give(t, s, time.Time{})
	good := `{"key":"` + secret + `"}`
	for _, tt := range []struct {
		name, method, body string
		headers            []string
		status             int
	}{
		{"foreign page", "POST", good, []string{"Origin: http://127.0.0.1:5001"}, 403},
		{"foreign page signs out", "DELETE", "", []string{"Origin: http://evil.example"}, 403},
		{"not JSON by its type", "POST", good, []string{"Content-Type: text/plain"}, 415},
		{"a form", "POST", "key=" + secret, []string{"Content-Type: application/x-www-form-urlencoded"}, 415},
		{"not JSON", "POST", `{"key":`, nil, 400},
		{"two values", "POST", good + good, nil, 400},
		{"nothing", "POST", `{}`, nil, 400},
		{"both", "POST", `{"key":"a","code":"b"}`, nil, 400},
		{"unknown field", "POST", `{"key":"a","next":"/"}`, nil, 400},
		{"huge", "POST", `{"key":"` + strings.Repeat("a", maxSignIn) + `"}`, nil, 400},
		{"wrong key", "POST", `{"key":"condt_wrong"}`, nil, 401},
		{"wrong code", "POST", `{"code":"wrong"}`, nil, 401},
		{"method", "PUT", good, nil, 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.cookie = nil
			w := b.do(tt.method, own+SessionPath, tt.body, tt.headers...)
			if w.Code != tt.status || b.cookie != nil {
				t.Errorf("got %d, cookie %v; want %d", w.Code, b.cookie, tt.status)
			}
		})
	}
	if w := b.do("POST", own+SessionPath, good); w.Code != 204 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestSignInOnAFullDisk(t *testing.T) {
	b, s := console(t, AuthenticatorOptions{})
	_, secret := give(t, s, time.Time{})
	s.full = true
	w := b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`)
	if w.Code != 503 || !strings.Contains(w.Body.String(), "no room") || w.Header().Get("Retry-After") != "30" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.full = false
	if w := b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`); w.Code != 204 {
		t.Errorf("with room again: %d %s", w.Code, w.Body)
	}
}

func TestSignInIsSlowForGuessers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := console(t, AuthenticatorOptions{})
		_, secret := give(t, s, time.Time{})
		guess := func(from string) *httptest.ResponseRecorder {
			return b.do("POST", own+SessionPath, `{"key":"condt_guess"}`, "Remote: "+from)
		}
		for range attempts {
			if w := guess("[2001:db8::1]:1"); w.Code != 401 {
				t.Fatalf("within the first ten: %d", w.Code)
			}
		}
		w := guess("[2001:db8::2]:2") // the same /64
		if w.Code != 429 || w.Header().Get("Retry-After") == "" {
			t.Errorf("the eleventh: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		if w := b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`, "Remote: [2001:db8::1]:3"); w.Code != 429 {
			t.Errorf("the right one from there: %d", w.Code)
		}
		if w := b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`, "Remote: 192.0.2.1:3"); w.Code != 204 {
			t.Errorf("from elsewhere: %d", w.Code)
		}
		time.Sleep(perAttempt)
		if w := guess("[2001:db8::1]:1"); w.Code != 401 {
			t.Errorf("after a pause: %d", w.Code)
		}
		if w := guess("[2001:db8::1]:1"); w.Code != 429 {
			t.Errorf("and the next: %d", w.Code)
		}
		time.Sleep(forgetAfter)
		if w := b.do("POST", own+SessionPath, `{"key":"`+secret+`"}`, "Remote: [2001:db8::1]:3"); w.Code != 204 {
			t.Errorf("later: %d", w.Code)
		}
	})
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{own, "null", "", "http://[::1]", "https://a.example:443", "http://127.0.0.1:5000@x", "http://127.0.0.1:5000/", "HTTP://127.0.0.1:5000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ownOrigin(s, own) && !strings.EqualFold(s, own) {
			t.Errorf("%q counts as %s", s, own)
		}
	})
}
