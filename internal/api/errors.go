package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/task"
)

// problem is an answer other than success, in OpenAI's envelope (rest-api
// B.7, codes of C.6).
type problem struct {
	Status  int
	Code    string
	Type    string // "": invalid_request_error
	Param   string // the field at fault; "" is null on the wire
	Message string

	NoRetry    bool          // x-should-retry: false, for statuses that clients would try again, or where trying again cannot help
	RetryAfter time.Duration // retry-after; zero: not said
	Header     http.Header   // further headers
}

func (p *problem) Error() string { return p.Code + ": " + p.Message }

// badRequest is the 400 of a field whose value cannot be.
func badRequest(param, format string, args ...any) *problem {
	return &problem{Status: http.StatusBadRequest, Code: "invalid_request", Param: param, Message: fmt.Sprintf(format, args...)}
}

// unsupported is the 400 of what Conduit does not do (yet): it is said, never
// accepted and dropped.
func unsupported(param, format string, args ...any) *problem {
	return &problem{Status: http.StatusBadRequest, Code: "unsupported_parameter", Param: param, Message: fmt.Sprintf(format, args...)}
}

const codeTaskNotFound = "task_not_found"

func taskNotFound() *problem {
	return &problem{Status: http.StatusNotFound, Code: codeTaskNotFound, Param: "id", Message: "There is no such task."}
}

func insufficientScope(need key.Scope) *problem {
	return &problem{Status: http.StatusForbidden, Code: "insufficient_scope", Type: "permission_error",
		Message: fmt.Sprintf("The API key lacks the scope %s.", need)}
}

// tryAgainTooMany is when to try again where the key has too many unfinished
// tasks; some may have ended by then.
const tryAgainTooMany = 5 * time.Second

// problemOf translates what the packages below return. Whatever is not known
// here is an internal error, of which the caller learns nothing.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, task.ErrNotFound):
		return taskNotFound()
	case errors.Is(err, task.ErrNotCancellable):
		return &problem{Status: http.StatusBadRequest, Code: "task_not_cancellable", NoRetry: true,
			Message: "The task has ended already and cannot be cancelled."}
	case errors.Is(err, task.ErrNotRetryable):
		return &problem{Status: http.StatusBadRequest, Code: "task_not_retryable", NoRetry: true,
			Message: "Only a failed, cancelled or timed out task can be tried again."}
	case errors.Is(err, task.ErrKeyReused):
		return &problem{Status: http.StatusUnprocessableEntity, Code: "idempotency_key_reused", NoRetry: true,
			Message: "This Idempotency-Key was used with other fields within the last 24 hours."}
	case errors.Is(err, task.ErrTooMany):
		return &problem{Status: http.StatusTooManyRequests, Code: "concurrency_limit_exceeded", Type: "rate_limit_error",
			RetryAfter: tryAgainTooMany, Message: "This API key has too many unfinished tasks. Wait until some have ended."}
	case errors.Is(err, task.ErrUnavailable):
		return &problem{Status: http.StatusServiceUnavailable, Code: "service_unavailable", Type: "server_error",
			RetryAfter: time.Second, Message: "The database does not answer. Try again in a moment."}
	case errors.Is(err, task.ErrFull):
		return &problem{Status: http.StatusServiceUnavailable, Code: "service_unavailable", Type: "server_error",
			RetryAfter: 30 * time.Second, Message: "There is no room left to store the task."}
	case errors.Is(err, media.ErrBadLink):
		return &problem{Status: http.StatusForbidden, Code: "invalid_media_link", Type: "permission_error",
			Message: "The link is not valid. Read the task again for a new one."}
	case errors.Is(err, media.ErrExpired):
		return &problem{Status: http.StatusForbidden, Code: "invalid_media_link", Type: "permission_error",
			Message: "The link has expired. Read the task again for a new one."}
	case errors.Is(err, media.ErrNotFound):
		return &problem{Status: http.StatusNotFound, Code: "not_found", Message: "The result is not kept any more."}
	}
	return internalError()
}

func internalError() *problem {
	return &problem{Status: http.StatusInternalServerError, Code: "internal_error", Type: "server_error",
		Message: "Something went wrong on our side. The x-request-id header names this request."}
}

// fail answers r with err. An internal error is logged with its cause.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	switch {
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		return // nobody listens any more
	case p.Status == http.StatusInternalServerError || p.Status == http.StatusServiceUnavailable:
		h.log.ErrorContext(r.Context(), "a request failed", "error", err, "method", r.Method,
			"route", r.Pattern, "request_id", w.Header().Get(requestIDHeader))
	}
	writeProblem(w, p)
}

// WriteError answers with e in the envelope of every other error here: the
// key.ErrorWriter of a server whose REST surface this is.
func WriteError(w http.ResponseWriter, _ *http.Request, e *key.Error) {
	key.SetErrorHeaders(w.Header(), e)
	writeProblem(w, &problem{Status: e.Status, Code: e.Code, Type: e.Type, Message: e.Message})
}

// problemBody is the envelope of B.7. All four keys are always there.
type problemBody struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	} `json:"error"`
}

func (p *problem) body() []byte {
	var b problemBody
	b.Error.Message, b.Error.Type, b.Error.Code = p.Message, p.Type, p.Code
	if b.Error.Type == "" {
		b.Error.Type = "invalid_request_error"
	}
	if p.Param != "" {
		b.Error.Param = &p.Param
	}
	data, err := encode(b)
	if err != nil { // strings alone cannot fail
		panic(err)
	}
	return data
}

// encode is v as JSON and a line break, with "&" as it is: links are copied
// out of answers by hand.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // no answer is HTML, and none is sniffed
	err := e.Encode(v)
	return b.Bytes(), err
}

// setHeaders sets what belongs to p beside its body.
func (p *problem) setHeaders(h http.Header) {
	ensureRequestID(h)
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.NoRetry {
		h.Set("X-Should-Retry", "false")
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	for name, values := range p.Header {
		h[name] = values
	}
}

func writeProblem(w http.ResponseWriter, p *problem) {
	body := p.body()
	p.setHeaders(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that is gone is no error of ours
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	data, err := encode(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store") // signed links, and progress that moves
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // as above
	return nil
}
