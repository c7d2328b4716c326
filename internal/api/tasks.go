package api

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// principal is who asks. Routes have checked that somebody does.
func principal(r *http.Request) (key.Principal, error) {
	p, ok := key.FromContext(r.Context())
	if !ok {
		return key.Principal{}, fmt.Errorf("no principal behind key.Require")
	}
	return p, nil
}

// wholeKey is principal for what a credential for a single task may not do.
func wholeKey(r *http.Request) (key.Principal, error) {
	p, err := principal(r)
	if err == nil && p.TaskID != "" {
		return key.Principal{}, &problem{Status: http.StatusForbidden, Code: "insufficient_scope", Type: "permission_error",
			Message: "This credential is for one task only."}
	}
	return p, err
}

// scopeOf is the permission that a task's kind asks for.
func scopeOf(k task.Kind) key.Scope {
	if k == task.Image {
		return key.ScopeImage
	}
	return key.ScopeVideo
}

// find is the task that the path names, as far as the caller may see it. A
// task of another key does not exist; one of a kind that the caller's key has
// no scope for is 403 insufficient_scope, since it is the key's own; and one
// of another kind than the route's does not exist there. kind "" is both.
func (h *Handler) find(r *http.Request, kind task.Kind) (key.Principal, task.Task, error) {
	p, err := principal(r)
	if err != nil {
		return p, task.Task{}, err
	}
	t, err := h.o.Tasks.Get(r.Context(), p.KeyID, r.PathValue("id"))
	switch {
	case err != nil:
		return p, task.Task{}, err
	case p.TaskID != "" && p.TaskID != t.ID, kind != "" && kind != t.Kind:
		return p, task.Task{}, taskNotFound()
	case !p.Has(scopeOf(t.Kind)):
		return p, task.Task{}, insufficientScope(scopeOf(t.Kind))
	}
	return p, t, nil
}

// findToFollow is find, of either kind, for who waits for what comes of the
// task.
func (h *Handler) findToFollow(r *http.Request) (key.Principal, task.Task, error) {
	p, t, err := h.find(r, "")
	if err != nil && h.o.UnknownTask != nil && problemOf(err).Code == codeTaskNotFound {
		h.o.UnknownTask(r.Context(), p.KeyID, r.RemoteAddr)
	}
	return p, t, err
}

func (h *Handler) status(w http.ResponseWriter, r *http.Request, kind task.Kind) error {
	_, t, err := h.find(r, kind)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, h.view(t))
}

func (h *Handler) delete(w http.ResponseWriter, r *http.Request, kind task.Kind) error {
	p, t, err := h.find(r, kind)
	if err != nil {
		return err
	}
	if _, err := h.o.Tasks.Cancel(r.Context(), p.KeyID, t.ID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) retry(w http.ResponseWriter, r *http.Request, kind task.Kind) error {
	if _, err := wholeKey(r); err != nil {
		return err
	}
	p, t, err := h.find(r, kind)
	if err != nil {
		return err
	}
	again := task.Again{BaseURL: h.origin(r)}
	if again.IdempotencyKey, again.RetryAttempt, err = parseIdempotency(r.Header); err != nil {
		return err
	}
	t, created, err := h.o.Tasks.Retry(r.Context(), p.KeyID, t.ID, again)
	h.tellQuota(w, r, p.KeyID, err)
	if err != nil {
		return err
	}
	return h.accept(w, r, t, created)
}

func (h *Handler) getTask(w http.ResponseWriter, r *http.Request) error {
	return h.status(w, r, "")
}

// cancelTask answers 200 with the task; cancelling twice is no error
// (rest-api C.4).
func (h *Handler) cancelTask(w http.ResponseWriter, r *http.Request) error {
	p, t, err := h.find(r, "")
	if err != nil {
		return err
	}
	t, err = h.o.Tasks.Cancel(r.Context(), p.KeyID, t.ID)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, h.view(t))
}

func (h *Handler) listTasks(w http.ResponseWriter, r *http.Request) error {
	p, err := wholeKey(r)
	if err != nil {
		return err
	}
	q, err := parseList(r.URL.RawQuery)
	if err != nil {
		return err
	}
	switch {
	case q.Kind != "" && !p.Has(scopeOf(q.Kind)):
		return insufficientScope(scopeOf(q.Kind))
	case q.Kind == "" && !p.Has(key.ScopeImage):
		q.Kind = task.Video
	case q.Kind == "" && !p.Has(key.ScopeVideo):
		q.Kind = task.Image
	}
	page, err := h.o.Tasks.List(r.Context(), p.KeyID, q)
	if errors.Is(err, task.ErrNotFound) {
		return badRequest("after", "'after' is not the id of one of your tasks.")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, h.listView(page))
}

// checkQuery refuses parameters that are not known, and those that are given
// twice where they are not in repeated.
func checkQuery(values url.Values, known []string, repeated ...string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name):
			if meant := didYouMean(name, known); meant != "" {
				return unsupported(shown(name), "'%s' is not a parameter of this request. Did you mean '%s'?", shown(name), meant)
			}
			return unsupported(shown(name), "'%s' is not a parameter of this request. It knows: %s.", shown(name), strings.Join(known, ", "))
		case len(values[name]) > 1 && !slices.Contains(repeated, name):
			return badRequest(name, "'%s' is given twice.", name)
		}
	}
	return nil
}

// stateAliases are the words of older clients for our states (rest-api C.3).
var stateAliases = map[string]task.State{"queued": task.Pending, "processing": task.Running, "in_progress": task.Running,
	"timedout": task.TimedOut, "canceled": task.Cancelled}

var states = []task.State{task.Pending, task.Running, task.Completed, task.Failed, task.Cancelled, task.TimedOut}

// parseList reads the query of GET /v1/tasks. status may be given several
// times or with commas; everything else once.
func parseList(rawQuery string) (task.ListQuery, error) {
	q := task.ListQuery{Limit: 20}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return q, badRequest("", "The query is not readable.")
	}
	if err := checkQuery(values, []string{"limit", "after", "status", "kind"}, "status"); err != nil {
		return q, err
	}
	if s := values.Get("limit"); values.Has("limit") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 100 {
			return q, badRequest("limit", "'limit' must be a whole number from 1 to 100.")
		}
		q.Limit = n
	}
	if after := values.Get("after"); values.Has("after") {
		id, ok := task.ParseID(after)
		if !ok {
			return q, badRequest("after", "'after' is not the id of a task.")
		}
		q.After = id
	}
	if k := values.Get("kind"); values.Has("kind") {
		if q.Kind = task.Kind(k); q.Kind != task.Video && q.Kind != task.Image {
			return q, badRequest("kind", "'kind' must be 'video' or 'image'.")
		}
	}
	for _, words := range values["status"] {
		for word := range strings.SplitSeq(words, ",") {
			s := task.State(strings.ToLower(strings.TrimSpace(word)))
			if alias, ok := stateAliases[string(s)]; ok {
				s = alias
			}
			if !slices.Contains(states, s) {
				return q, badRequest("status", "'status' must be one of pending, running, completed, failed, cancelled, timed_out.")
			}
			if !slices.Contains(q.States, s) {
				q.States = append(q.States, s)
			}
		}
	}
	return q, nil
}
