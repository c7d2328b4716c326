package api

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
)

// real is the surface on the real store, service and authenticator.
type real struct {
	*bench
	db        *store.Store
	elsewhere *task.Service // another instance on the same store
}

func newReal(t *testing.T, limits task.Limits) *real {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "conduit.db"), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	feed := task.NewFeed()
	o := task.Options{Publishers: []task.Publisher{feed}, Limits: limits, Logger: quiet, ProgressEvery: time.Nanosecond}
	service := task.NewService(db, o)
	o.Publishers = nil
	r := &real{db: db, elsewhere: task.NewService(db, o)}
	auth := key.NewAuthenticator(key.AuthenticatorOptions{Store: db, WriteError: WriteError, Logger: quiet})
	r.bench = newBench(t, func(o *Options) {
		o.Tasks, o.Feed, o.Authenticate, o.StreamReread = service, feed, auth.Middleware, 10*time.Millisecond
	})
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		key.Watch(ctx, db, quiet, r.LoseKey)
	}()
	t.Cleanup(func() { cancel(); <-watching })
	return r
}

// newKey stores a key and returns its id and the header that carries it.
func (r *real) newKey(t *testing.T) (id string, header []string) {
	t.Helper()
	k, secret, err := key.New(key.Options{Name: "test", Scopes: []key.Scope{key.ScopeVideo, key.ScopeImage}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return k.ID, []string{"Authorization", "Bearer " + secret}
}

func TestOnTheRealStore(t *testing.T) {
	r := newReal(t, task.Limits{Unfinished: 3})
	id, mine := r.newKey(t)
	_, other := r.newKey(t)
	with := func(h []string, more ...string) []string { return append(more, h...) }

	first := decode[acceptedView](t, r.call("POST", createPath, `{"prompt":"a paper boat"}`, with(mine, "Idempotency-Key", "k")...), 202)
	again := decode[acceptedView](t, r.call("POST", createPath, `{"prompt":"a paper boat","n":null}`, with(mine, "Idempotency-Key", "k")...), 202)
	if again.TaskID != first.TaskID || again.Seed != first.Seed {
		t.Errorf("got %+v, then %+v", first, again)
	}
	wantProblem(t, r.call("POST", createPath, `{"prompt":"another boat"}`, with(mine, "Idempotency-Key", "k")...), 422, "idempotency_key_reused", "")
	theirs := decode[acceptedView](t, r.call("POST", createPath, `{"prompt":"a paper boat"}`, with(other, "Idempotency-Key", "k")...), 202)
	if theirs.TaskID == first.TaskID {
		t.Error("one key's Idempotency-Key found another's task")
	}
	repeated := decode[acceptedView](t, r.call("POST", createPath, `{"prompt":"a paper boat"}`, with(mine, "X-Stainless-Retry-Count", "1")...), 202)
	if repeated.TaskID != first.TaskID {
		t.Error("a client's own retry made a second task")
	}
	ids := []string{first.TaskID}
	for range 2 {
		ids = append(ids, decode[acceptedView](t, r.call("POST", createPath, `{"prompt":"b"}`, mine...), 202).TaskID)
	}
	w := r.call("POST", createPath, `{"prompt":"c"}`, mine...)
	wantProblem(t, w, 429, "concurrency_limit_exceeded", "")
	if w.Header().Get("Retry-After") == "" {
		t.Error("429 without retry-after")
	}

	// Newest first, page by page, each once.
	var listed []string
	for after := ""; ; {
		page := decode[listView](t, r.call("GET", "/v1/tasks?limit=2"+after, "", mine...), 200)
		for _, v := range page.Data {
			listed = append([]string{v.TaskID}, listed...)
		}
		if !page.HasMore {
			break
		}
		after = "&after=" + *page.LastID
	}
	if strings.Join(listed, " ") != strings.Join(ids, " ") {
		t.Errorf("listed %v, want %v", listed, ids)
	}
	wantProblem(t, r.call("GET", "/v1/tasks/"+first.TaskID, "", other...), 404, "task_not_found", "id")
	wantProblem(t, r.call("GET", "/v1/tasks?after="+theirs.TaskID, "", mine...), 400, "invalid_request", "after")

	// A task that runs on another instance, followed to its end.
	s := r.serve(t)
	_, frames := r.follow(t, s, first.TaskID, mine...)
	wantFrames(t, frames, "Progress 1")
	run, err := r.elsewhere.Start(t.Context(), first.TaskID, "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	wantFrames(t, frames, "Started 2")
	if _, err := run.Report(t.Context(), task.Progress{Percent: 31, Source: "native", CurrentFrame: 37, TotalFrames: 120}); err != nil {
		t.Fatal(err)
	}
	wantFrames(t, frames, "Progress 3")
	v := decode[taskView](t, r.call("GET", "/v1/videos/generations/tasks/"+first.TaskID, "", mine...), 200)
	if v.Status != task.Running || v.Progress != 31 || *v.CurrentFrame != 37 || v.EstimatedSeconds == nil || v.Seed != first.Seed {
		t.Errorf("got %+v", v)
	}
	decode[taskView](t, r.call("POST", "/v1/tasks/"+first.TaskID+"/cancel", "", mine...), 200)
	wantFrames(t, frames, "Cancelled 4")
	wantEnd(t, frames)
	retry := func(header ...string) acceptedView {
		t.Helper()
		return decode[acceptedView](t, r.call("POST", "/v1/videos/generations/tasks/"+first.TaskID+"/retry", "", with(mine, header...)...), 202)
	}
	retried := retry("Host", "again.example", "Idempotency-Key", "again")
	if once := retry("Idempotency-Key", "again"); once.TaskID != retried.TaskID {
		t.Error("one Idempotency-Key made two tasks")
	}
	if once := retry("X-Stainless-Retry-Count", "2"); once.TaskID != retried.TaskID {
		t.Error("a client's own retry made a second task")
	}
	wantProblem(t, r.call("POST", "/v1/videos/generations/tasks/"+first.TaskID+"/retry", "", with(mine, "Idempotency-Key", "k")...), 422, "idempotency_key_reused", "")
	if *retried.RetryOf != first.TaskID || retried.Seed != first.Seed || !strings.HasPrefix(retried.EventsURL, "http://again.example/") {
		t.Errorf("got %+v", retried)
	}

	// A key that is taken back loses its streams, and its requests.
	_, frames = r.follow(t, s, retried.TaskID, mine...)
	wantFrames(t, frames, "Progress 1")
	if err := r.db.RevokeKey(t.Context(), id, time.Now()); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, frames)
	deadline := time.Now().Add(patience)
	for r.call("GET", "/v1/models", "", mine...).Code != http.StatusUnauthorized {
		if time.Now().After(deadline) {
			t.Fatal("the key still counts")
		}
		time.Sleep(10 * time.Millisecond) // poll
	}
	if w := r.call("GET", "/v1/models", "", other...); w.Code != 200 {
		t.Errorf("the other key got %d", w.Code)
	}
}
