package key

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// give makes a key in s.
func give(t *testing.T, s Store, expires time.Time, scopes ...Scope) (Key, string) {
	t.Helper()
	if len(scopes) == 0 {
		scopes = DefaultScopes()
	}
	k, secret, err := New(Options{Name: "test", Scopes: scopes, ExpiresAt: expires})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return k, secret
}

// whoami answers with the id of the key that asks.
func whoami(a *Authenticator, scopes ...Scope) http.Handler {
	return a.Middleware(Require(scopes...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := FromContext(r.Context())
		_, _ = w.Write([]byte(p.KeyID))
	})))
}

// ask sends a request made of "METHOD target" and headers, and returns the
// status and the error's code, or else the body.
func ask(t *testing.T, h http.Handler, line string, headers ...string) (int, string) {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for _, x := range headers {
		name, value, _ := strings.Cut(x, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(w.Body.Bytes(), &body) == nil && body.Error.Code != "" {
		if body.Error.Message == "" {
			t.Error("an error without a message")
		}
		return w.Code, body.Error.Code
	}
	return w.Code, w.Body.String()
}

func TestCredentials(t *testing.T) {
	s := newFake()
	k, secret := give(t, s, time.Time{})
	other, otherSecret := give(t, s, time.Time{})
	gone, goneSecret := give(t, s, time.Time{})
	if err := s.RevokeKey(t.Context(), gone.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	late, lateSecret := give(t, s, time.Now().Add(time.Hour))
	for i := range s.keys {
		if s.keys[i].ID == late.ID {
			s.keys[i].ExpiresAt = time.Now().Add(-time.Second)
		}
	}
	h := whoami(NewAuthenticator(AuthenticatorOptions{Store: s}))
	const task = "GET /v1/tasks/task_1"
	for _, tt := range []struct {
		name, line string
		headers    []string
		status     int
		body       string
	}{
		{"none", task, nil, 401, "invalid_api_key"},
		{"bearer", task, []string{"Authorization: Bearer " + secret}, 200, k.ID},
		{"scheme folds case", task, []string{"Authorization: bEARER   " + secret + " "}, 200, k.ID},
		{"header", task, []string{"X-API-Key: " + secret}, 200, k.ID},
		{"authorization wins", task, []string{"Authorization: Bearer " + secret, "X-API-Key: " + otherSecret}, 200, k.ID},
		{"a wrong one wins too", task, []string{"Authorization: Bearer condt_x", "X-API-Key: " + secret}, 401, "invalid_api_key"},
		{"other scheme is passed over", task, []string{"Authorization: Basic dTpw", "X-API-Key: " + secret}, 200, k.ID},
		{"other scheme alone", task, []string{"Authorization: Basic dTpw"}, 401, "invalid_api_key"},
		{"second authorization", task, []string{"Authorization: Basic dTpw", "Authorization: Bearer " + secret}, 200, k.ID},
		{"empty bearer", task, []string{"Authorization: Bearer "}, 401, "invalid_api_key"},
		{"bearer alone", task, []string{"Authorization: Bearer"}, 401, "invalid_api_key"},
		{"unknown", task, []string{"Authorization: Bearer condt_" + strings.Repeat("A", 43)}, 401, "invalid_api_key"},
		{"something else", task, []string{"Authorization: Bearer hunter2"}, 401, "invalid_api_key"},
		{"two words", task, []string{"Authorization: Bearer " + secret + " " + secret}, 401, "invalid_api_key"},
		{"not ascii", task, []string{"Authorization: Bearer \u00e4"}, 401, "invalid_api_key"},
		{"huge", task, []string{"Authorization: Bearer " + strings.Repeat("a", 1<<20)}, 401, "invalid_api_key"},
		{"revoked", task, []string{"Authorization: Bearer " + goneSecret}, 401, "invalid_api_key"},
		{"expired", task, []string{"Authorization: Bearer " + lateSecret}, 401, "expired_api_key"},
		{"query on rest", task + "?access_token=" + secret, nil, 401, "invalid_api_key"},
		{"query on events", task + "/events?access_token=" + secret, nil, 200, k.ID},
		{"query on the hub", "GET /hubs/video-generation?id=x&access_token=" + secret, nil, 200, k.ID},
		{"query on negotiate", "POST /hubs/video-generation/negotiate?access_token=" + secret, nil, 200, k.ID},
		{"hub path folds case", "GET /HUBS/Video-Generation?access_token=" + secret, nil, 200, k.ID},
		{"header wins over the query", "GET /hubs/x?access_token=" + secret, []string{"Authorization: Bearer " + otherSecret}, 200, other.ID},
		{"empty query is none", "GET /hubs/x?access_token=", []string{"X-API-Key: " + secret}, 200, k.ID},
		{"api_key on the hub", "GET /hubs/video-generation?api_key=" + secret, nil, 200, k.ID},
		{"access_token wins over api_key", "GET /hubs/x?access_token=" + otherSecret + "&api_key=" + secret, nil, 200, other.ID},
		{"api_key on events", task + "/events?api_key=" + secret, nil, 401, "invalid_api_key"},
		{"a path that only begins so", "GET /hubsx/a?access_token=" + secret, nil, 401, "invalid_api_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, body := ask(t, h, tt.line, tt.headers...); status != tt.status || body != tt.body {
				t.Errorf("got %d %s, want %d %s", status, body, tt.status, tt.body)
			}
		})
	}
}

func TestRequire(t *testing.T) {
	s := newFake()
	_, video := give(t, s, time.Time{}, ScopeVideo)
	a := NewAuthenticator(AuthenticatorOptions{Store: s})
	for _, tt := range []struct {
		need   []Scope
		status int
		body   string
	}{
		{nil, 200, ""},
		{[]Scope{ScopeVideo}, 200, ""},
		{[]Scope{ScopeImage, ScopeVideo}, 200, ""},
		{[]Scope{ScopeImage}, 403, "insufficient_scope"},
		{[]Scope{ScopeAdmin, ScopeImage}, 403, "insufficient_scope"},
	} {
		status, body := ask(t, whoami(a, tt.need...), "GET /v1/x", "Authorization: Bearer "+video)
		if status != tt.status || tt.body != "" && body != tt.body {
			t.Errorf("%v: got %d %s", tt.need, status, body)
		}
	}
	bare := Require(ScopeVideo)(http.NotFoundHandler())
	if status, body := ask(t, bare, "GET /v1/x"); status != 401 || body != "invalid_api_key" {
		t.Errorf("without a principal: %d %s", status, body)
	}
}

func TestErrorWriter(t *testing.T) {
	a := NewAuthenticator(AuthenticatorOptions{Store: newFake(), WriteError: func(w http.ResponseWriter, _ *http.Request, e *Error) {
		w.WriteHeader(e.Status + 100)
	}})
	if status, _ := ask(t, whoami(a), "GET /v1/x"); status != 501 {
		t.Errorf("the middleware does not use it: %d", status)
	}
	w := httptest.NewRecorder()
	WriteError(w, nil, errUnavailable())
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
	}
	w = httptest.NewRecorder()
	WriteError(w, nil, errMissing())
	if w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Error("401 without WWW-Authenticate")
	}
}

func TestCacheFollowsTheCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake()
		k, secret := give(t, s, time.Now().Add(time.Hour))
		h := whoami(NewAuthenticator(AuthenticatorOptions{Store: s}))
		good := func(want int) {
			t.Helper()
			if status, body := ask(t, h, "GET /v1/x", "X-API-Key: "+secret); status != want {
				t.Errorf("got %d %s, want %d", status, body, want)
			}
		}
		for range 100 {
			good(200)
			time.Sleep(100 * time.Millisecond)
		}
		if s.reads != 1 {
			t.Errorf("%d look-ups of one key that did not change", s.reads)
		}
		if err := s.RevokeKey(t.Context(), k.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(cacheFresh)
		good(401)
	})
}

func TestCacheExpiresOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake()
		_, secret := give(t, s, time.Now().Add(time.Minute))
		h := whoami(NewAuthenticator(AuthenticatorOptions{Store: s}))
		if status, _ := ask(t, h, "GET /v1/x", "X-API-Key: "+secret); status != 200 {
			t.Errorf("before: %d", status)
		}
		time.Sleep(time.Minute)
		if _, code := ask(t, h, "GET /v1/x", "X-API-Key: "+secret); code != "expired_api_key" {
			t.Errorf("after: %s", code)
		}
	})
}

func TestDatabaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake()
		_, secret := give(t, s, time.Time{})
		h := whoami(NewAuthenticator(AuthenticatorOptions{Store: s}))
		if status, _ := ask(t, h, "GET /v1/x", "X-API-Key: "+secret); status != 200 {
			t.Fatalf("before: %d", status)
		}
		s.setAway(true)
		time.Sleep(time.Second)
		if status, code := ask(t, h, "GET /v1/x", "X-API-Key: "+secret); status != 503 || code != "service_unavailable" {
			t.Errorf("away: %d %s", status, code)
		}
		s.setAway(false)
		if status, _ := ask(t, h, "GET /v1/x", "X-API-Key: "+secret); status != 200 {
			t.Errorf("back: %d", status)
		}
	})
}

func TestLastUse(t *testing.T) {
	s := newFake()
	k, secret := give(t, s, time.Time{})
	a := NewAuthenticator(AuthenticatorOptions{Store: s})
	_, _ = ask(t, whoami(a), "GET /v1/x", "X-API-Key: "+secret)
	a.flush(t.Context())
	if got, _ := s.KeyByID(t.Context(), k.ID); got.LastUsedAt.IsZero() {
		t.Error("the use was not written down")
	}
}

func FuzzCredential(f *testing.F) {
	for _, h := range []string{"Bearer condt_abc", "bearer", "Bearer  a b", "Basic x", "", "Bearer \x00"} {
		f.Add(h, "condt_x", "access_token=y&access_token=z")
	}
	f.Fuzz(func(t *testing.T, auth, api, query string) {
		r := httptest.NewRequest(http.MethodGet, "/hubs/x", nil)
		r.URL.RawQuery = query
		r.Header["Authorization"] = []string{auth}
		r.Header["X-Api-Key"] = []string{api}
		token, given, malformed := tokenOf(r, true)
		switch {
		case malformed && (!given || token != ""), !given && token != "":
			t.Errorf("contradiction: %q %v %v", token, given, malformed)
		case token != "" && (len(token) > maxToken || strings.ContainsAny(token, " \t\r\n\x00")):
			t.Errorf("an impossible token: %q", token)
		}
	})
}
