package key

import (
	"net/http"
	"strings"
)

// maxToken is the longest credential that is looked at, in bytes.
const maxToken = 512

// TokenPath reports whether access_token may stand in the query of a request
// to path: hubs and event streams, because browsers cannot send headers with
// a WebSocket or an EventSource. Hub paths fold case (transports 2).
func TokenPath(path string) bool {
	lower := strings.ToLower(strings.TrimSuffix(path, "/"))
	return hubPath(path) || strings.HasPrefix(lower, "/v1/") && strings.HasSuffix(lower, "/events")
}

func hubPath(path string) bool { return strings.HasPrefix(strings.ToLower(path), "/hubs/") }

// Carries reports whether r carries a secret of ours, counting or not: a key, or
// the console's cookie.
func Carries(r *http.Request) bool {
	_, given, _ := tokenOf(r, true)
	return given || len(r.CookiesNamed(cookieName)) > 0 || len(r.CookiesNamed(secureCookieName)) > 0
}

// tokenOf finds the key that a request carries: Authorization, then
// X-API-Key, then access_token where query says that it may be read, and on
// hub paths api_key, as older clients send it. Empty values count as absent.
// malformed is true for a bearer credential that can be none of ours.
func tokenOf(r *http.Request, query bool) (token string, given, malformed bool) {
	for _, h := range r.Header.Values("Authorization") {
		t, bearer := parseBearer(h)
		if !bearer {
			continue // another scheme says nothing about virtual keys
		}
		return checked(t)
	}
	if t := strings.TrimSpace(r.Header.Get("X-API-Key")); t != "" {
		return checked(t)
	}
	if query {
		q := r.URL.Query()
		if t := q.Get("access_token"); t != "" {
			return checked(t)
		}
		if t := q.Get("api_key"); t != "" && hubPath(r.URL.Path) {
			return checked(t)
		}
	}
	return "", false, false
}

// parseBearer takes the token out of an Authorization header (RFC 6750, the
// scheme folds case). ok is false for other schemes.
func parseBearer(h string) (token string, ok bool) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(rest), true
}

func checked(t string) (string, bool, bool) {
	if t == "" || len(t) > maxToken {
		return "", true, true
	}
	for i := range len(t) {
		if t[i] <= ' ' || t[i] >= 0x7f {
			return "", true, true
		}
	}
	return t, true, false
}
