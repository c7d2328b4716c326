package key

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The console's sign-in.
const (
	// SessionLifetime is how long a console stays signed in. It ends earlier
	// with its key.
	SessionLifetime = 7 * 24 * time.Hour
	// LoginCodeLifetime is how long a login link is good for.
	LoginCodeLifetime = 10 * time.Minute
	// SessionPath is where the console signs in and out.
	SessionPath = "/console/session"

	cookieName       = "conduit_session"
	secureCookieName = "__Host-conduit_session" // under HTTPS: no subdomain can set it

	maxSignIn = 4 << 10 // bytes of a sign-in request
)

// NewLoginCode stores a one-time code for a key and returns it. It goes into
// the fragment of a login link, so that it reaches no server log.
func NewLoginCode(ctx context.Context, s Store, keyID string) (code string, expires time.Time, err error) {
	code = random()
	expires = time.Now().UTC().Add(LoginCodeLifetime)
	err = s.CreateLoginCode(ctx, LoginCode{Hash: HashOf(code), KeyID: keyID, ExpiresAt: expires})
	return code, expires, err
}

// Sessions serves SessionPath, where the console signs in and out:
//
//	POST   {"key":"condt_..."} or {"code":"..."}   204 and the cookie
//	GET    200 {"scopes":[...],"expiresAt":...} or 401
//	DELETE 204, the session is over
//
// Pages of other origins get 403. After ten failed attempts from one address,
// more have to wait six seconds each (429). It is mounted without Middleware.
func (a *Authenticator) Sessions() http.Handler {
	s := &sessions{a: a, failures: map[string]*bucket{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		var e *Error
		switch r.Method {
		case http.MethodPost:
			e = s.signIn(w, r)
		case http.MethodGet, http.MethodHead:
			e = s.show(w, r)
		case http.MethodDelete:
			e = s.signOut(w, r)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST, DELETE")
			e = &Error{Status: http.StatusMethodNotAllowed, Code: "invalid_request", Type: "invalid_request_error",
				Message: "This address takes GET, POST and DELETE."}
		}
		if e != nil {
			a.o.WriteError(w, r, e)
		}
	})
}

type sessions struct {
	a        *Authenticator
	mu       sync.Mutex
	failures map[string]*bucket // by client address
}

func (s *sessions) signIn(w http.ResponseWriter, r *http.Request) *Error {
	if e := s.ownPage(r); e != nil {
		return e
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Type: "invalid_request_error",
			Message: "Send JSON, with Content-Type: application/json."}
	}
	from := Client(r.RemoteAddr)
	if wait := s.wait(from, time.Now()); wait > 0 {
		return &Error{Status: http.StatusTooManyRequests, Code: "rate_limit_exceeded", Type: "rate_limit_error",
			Message: "Too many attempts to sign in. Wait a moment.", RetryAfter: wait}
	}
	var body struct {
		Key  string `json:"key"`
		Code string `json:"code"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSignIn))
	d.DisallowUnknownFields()
	err := d.Decode(&body)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err != nil || (body.Key == "") == (body.Code == "") {
		return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Type: "invalid_request_error",
			Message: `Send {"key":"condt_..."} or {"code":"..."}.`}
	}
	k, e := s.credential(r, strings.TrimSpace(body.Key), strings.TrimSpace(body.Code))
	if e != nil {
		if e.Status == http.StatusUnauthorized {
			s.failed(from, time.Now())
		}
		return e
	}
	return s.open(w, r, k)
}

func (s *sessions) credential(r *http.Request, secret, code string) (Key, *Error) {
	if code == "" {
		return s.a.byToken(r.Context(), secret)
	}
	now := time.Now()
	c, err := s.a.o.Store.UseLoginCode(r.Context(), HashOf(code), now.UTC())
	if err == nil {
		var k Key
		if k, err = s.a.o.Store.KeyByID(r.Context(), c.KeyID); err == nil {
			return k, check(k, now)
		}
	}
	if errors.Is(err, ErrNotFound) {
		return Key{}, &Error{Status: http.StatusUnauthorized, Code: "invalid_api_key", Type: "authentication_error",
			Message: "The login link was used or has expired. `conduit login` makes a new one."}
	}
	return Key{}, s.a.unavailable(r.Context(), err)
}

func (s *sessions) open(w http.ResponseWriter, r *http.Request, k Key) *Error {
	now := time.Now().UTC()
	expires := now.Add(SessionLifetime)
	if !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(expires) {
		expires = k.ExpiresAt
	}
	token := random()
	err := s.a.o.Store.CreateSession(r.Context(), Session{Hash: HashOf(token), KeyID: k.ID, CreatedAt: now, ExpiresAt: expires})
	if err != nil {
		return s.a.unavailable(r.Context(), err)
	}
	s.a.touch(k.ID)
	http.SetCookie(w, s.a.cookie(r, token, int(expires.Sub(now)/time.Second)))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *sessions) show(w http.ResponseWriter, r *http.Request) *Error {
	p, e, ok := s.a.bySession(r)
	if !ok {
		return &Error{Status: http.StatusUnauthorized, Code: "invalid_api_key", Type: "authentication_error",
			Message: "Nobody is signed in."}
	}
	if e != nil {
		return e
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	// A client that is gone is no error of ours.
	_ = json.NewEncoder(w).Encode(struct {
		Scopes    []Scope   `json:"scopes"`
		ExpiresAt time.Time `json:"expiresAt"`
	}{p.Scopes, p.ExpiresAt})
	return nil
}

func (s *sessions) signOut(w http.ResponseWriter, r *http.Request) *Error {
	if e := s.ownPage(r); e != nil {
		return e
	}
	for _, token := range s.a.sessionTokens(r) {
		if err := s.a.o.Store.DeleteSession(r.Context(), HashOf(token)); err != nil {
			return s.a.unavailable(r.Context(), err)
		}
	}
	http.SetCookie(w, s.a.cookie(r, "", -1))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ownPage refuses pages of other origins: nobody else signs a browser in or
// out.
func (s *sessions) ownPage(r *http.Request) *Error {
	if o := r.Header.Values("Origin"); len(o) > 0 && (len(o) > 1 || !ownOrigin(o[0], s.a.origin(r))) {
		return &Error{Status: http.StatusForbidden, Code: "foreign_origin", Type: "permission_error",
			Message: "Only the console's own page may sign in or out. If it stands behind a proxy, set PublicUrl."}
	}
	return nil
}

func (a *Authenticator) origin(r *http.Request) string { return Origin(r, a.o.PublicURL) }

func (a *Authenticator) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if strings.HasPrefix(a.origin(r), "https://") {
		c.Name, c.Secure = secureCookieName, true
	}
	return c
}

// sessionTokens are the values of the console's cookie in r; a browser can
// send several of one name.
func (a *Authenticator) sessionTokens(r *http.Request) []string {
	var out []string
	for _, c := range r.CookiesNamed(a.cookie(r, "", 0).Name) {
		if c.Value != "" && len(c.Value) <= maxToken && len(out) < 4 {
			out = append(out, c.Value)
		}
	}
	return out
}

// bySession finds the session that r's cookie stands for. ok is false when
// there is no cookie, it does not count, or its session is over; the error is
// for a key that ended, or a database that is away.
func (a *Authenticator) bySession(r *http.Request) (p Principal, e *Error, ok bool) {
	tokens := a.sessionTokens(r)
	if len(tokens) == 0 || !cookieCounts(r, a.origin(r)) {
		return Principal{}, nil, false
	}
	now := time.Now()
	for _, token := range tokens {
		h := HashOf(token)
		s, err := a.o.Store.SessionByHash(r.Context(), h)
		if errors.Is(err, ErrNotFound) || err == nil && !now.Before(s.ExpiresAt) {
			continue
		}
		var k Key
		if err == nil {
			k, err = a.o.Store.KeyByID(r.Context(), s.KeyID)
		}
		switch {
		case errors.Is(err, ErrNotFound):
			return Principal{}, errInvalid(), true
		case err != nil:
			return Principal{}, a.unavailable(r.Context(), err), true
		}
		if e := check(k, now); e != nil {
			return Principal{}, e, true
		}
		a.touch(k.ID)
		return Principal{KeyID: k.ID, Scopes: k.Scopes, ExpiresAt: s.ExpiresAt, SessionID: hex.EncodeToString(h[:8])}, nil, true
	}
	return Principal{}, nil, false
}

// bucket counts failed attempts of one address: ten at once, then one every
// six seconds.
type bucket struct {
	level float64 // attempts taken
	at    time.Time
}

const (
	attempts    = 10
	perAttempt  = 6 * time.Second
	maxWatched  = 10_000 // addresses; older ones are forgotten beyond it
	forgetAfter = attempts * perAttempt
)

func (b *bucket) drain(now time.Time) {
	b.level = max(0, b.level-float64(now.Sub(b.at))/float64(perAttempt))
	b.at = now
}

// wait is how long address has to wait for its next attempt; 0: not at all.
func (s *sessions) wait(address string, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.failures[address]
	if !ok {
		return 0
	}
	b.drain(now)
	if b.level <= attempts-1 {
		return 0
	}
	return time.Duration((b.level - (attempts - 1)) * float64(perAttempt))
}

func (s *sessions) failed(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) >= maxWatched {
		for k, b := range s.failures {
			if now.Sub(b.at) > forgetAfter {
				delete(s.failures, k)
			}
		}
		if len(s.failures) >= maxWatched {
			clear(s.failures)
		}
	}
	b, ok := s.failures[address]
	if !ok {
		b = &bucket{at: now}
		s.failures[address] = b
	}
	b.drain(now)
	b.level++
}

// Client is who a remote address belongs to, with or without its port: an
// IPv4 address, or the /64 of an IPv6 one, because that is what one client has.
func Client(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.To4() != nil {
		return host
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}
