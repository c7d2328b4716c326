package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

const requestIDHeader = "X-Request-Id"

// ensureRequestID names the request in the answer, once; OpenAI's clients
// show the name as _request_id.
func ensureRequestID(h http.Header) {
	if h.Get(requestIDHeader) == "" {
		h.Set(requestIDHeader, "req_"+strings.ToLower(rand.Text()))
	}
}

// handlerFunc serves a request, or says why not; an error after the first
// byte of an answer is logged only.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

// answering turns a handlerFunc's error into an answer.
func (h *Handler) answering(serve handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &tracked{ResponseWriter: w}
		err := serve(t, r)
		switch {
		case err == nil:
		case t.began:
			h.log.DebugContext(r.Context(), "an answer broke off", "error", err, "route", r.Pattern)
		default:
			h.fail(w, r, err)
		}
	})
}

// guard names every request, refuses impossible Host headers, which links are
// made of, and answers for handlers that panic.
func (h *Handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ensureRequestID(w.Header())
		t := &tracked{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				h.panicked(t, r, v)
			}
		}()
		if !validHost(r.Host) {
			writeProblem(t, badRequest("", "The Host header is not a host name with an optional port."))
			return
		}
		next.ServeHTTP(t, r)
	})
}

// panicked answers for a handler that panicked with v.
func (h *Handler) panicked(t *tracked, r *http.Request, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v) // net/http's own way to break off
	}
	h.log.ErrorContext(r.Context(), "a handler panicked", "panic", fmt.Sprint(v), "method", r.Method,
		"route", r.Pattern, "request_id", t.Header().Get(requestIDHeader), "stack", string(debug.Stack()))
	if t.began {
		panic(http.ErrAbortHandler) // half an answer must not look whole
	}
	forgetBody(t.Header())
	writeProblem(t, internalError())
}

// forgetBody removes the headers that describe a body which will not come.
func forgetBody(h http.Header) {
	for _, name := range []string{"Content-Length", "Content-Range", "Content-Encoding", "Content-Disposition",
		"Accept-Ranges", "Etag", "Last-Modified"} {
		h.Del(name)
	}
}

// orUnknown answers for what mux has no route for: 404, or 405 with Allow.
func (h *Handler) orUnknown(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// The mux's own refusal tells which methods there are.
		refusal := &discarded{header: http.Header{}}
		found.ServeHTTP(refusal, r)
		if allow := refusal.header.Get("Allow"); allow != "" {
			writeProblem(w, &problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
				Message: fmt.Sprintf("This path knows %s only.", allow), Header: http.Header{"Allow": {allow}}})
			return
		}
		writeProblem(w, &problem{Status: http.StatusNotFound, Code: "not_found", Message: "There is no such path."})
	})
}

// tracked knows whether an answer has begun.
type tracked struct {
	http.ResponseWriter
	began bool
}

func (t *tracked) WriteHeader(status int) {
	t.began = t.began || status >= 200
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracked) Write(p []byte) (int, error) {
	t.began = true
	return t.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }

type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(int)             {}
