package key

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Error is an answer to a request that may not go on, in the terms of the
// REST surface (rest-api C.6).
type Error struct {
	Status     int    // HTTP status
	Code       string // "invalid_api_key", ...
	Type       string // "authentication_error", ...
	Message    string
	RetryAfter time.Duration // with 429 and 503; zero: not said
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// ErrorWriter answers a request with an error. The REST surface supplies its
// own, so that every error looks the same; WriteError is the default.
type ErrorWriter func(w http.ResponseWriter, r *http.Request, e *Error)

// WriteError answers in the envelope of OpenAI (rest-api B.7).
func WriteError(w http.ResponseWriter, _ *http.Request, e *Error) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	SetErrorHeaders(h, e)
	w.WriteHeader(e.Status)
	type body struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	// A client that is gone is no error of ours.
	_ = json.NewEncoder(w).Encode(map[string]body{"error": {Message: e.Message, Type: e.Type, Code: e.Code}})
}

// SetErrorHeaders sets the headers that belong to e beside its body:
// WWW-Authenticate with 401, Retry-After where it is said.
func SetErrorHeaders(h http.Header, e *Error) {
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
}

func errMissing() *Error {
	return &Error{Status: http.StatusUnauthorized, Code: "invalid_api_key", Type: "authentication_error",
		Message: "No API key was given. Send it as 'Authorization: Bearer condt_...' or in the header X-API-Key."}
}

func errInvalid() *Error {
	return &Error{Status: http.StatusUnauthorized, Code: "invalid_api_key", Type: "authentication_error",
		Message: "The API key is not valid. It may have been mistyped or revoked."}
}

func errExpired() *Error {
	return &Error{Status: http.StatusUnauthorized, Code: "expired_api_key", Type: "authentication_error",
		Message: "The API key has expired."}
}

func errScope(need []Scope) *Error {
	list := ""
	for i, s := range need {
		if i > 0 {
			list += " or "
		}
		list += string(s)
	}
	return &Error{Status: http.StatusForbidden, Code: "insufficient_scope", Type: "permission_error",
		Message: "The API key lacks the scope " + list + "."}
}

func errUnavailable() *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "service_unavailable", Type: "server_error",
		Message: "The database does not answer. Try again in a moment.", RetryAfter: time.Second}
}

func errFull() *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "service_unavailable", Type: "server_error",
		Message: "There is no room left to store the session.", RetryAfter: 30 * time.Second}
}

type writerKey struct{}

func withWriter(ctx context.Context, w ErrorWriter) context.Context {
	return context.WithValue(ctx, writerKey{}, w)
}

func writerOf(ctx context.Context) ErrorWriter {
	if w, ok := ctx.Value(writerKey{}).(ErrorWriter); ok && w != nil {
		return w
	}
	return WriteError
}
