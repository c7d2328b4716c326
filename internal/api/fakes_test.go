package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Ids of tasks in these tests.
const (
	idA = "task_000000000000000000000000000000aa"
	idB = "task_000000000000000000000000000000bb"
	idC = "task_000000000000000000000000000000cc"
)

// fakeTasks keeps tasks and events in memory. err, when set, is returned by
// everything.
type fakeTasks struct {
	mu        sync.Mutex
	tasks     map[string]task.Task
	events    map[string][]task.Event
	order     []string
	submitted []task.Request
	listed    []task.ListQuery
	replay    string // Submit answers with this task
	err       error
	feed      *task.Feed
}

func newFakeTasks() *fakeTasks {
	return &fakeTasks{tasks: map[string]task.Task{}, events: map[string][]task.Event{}, feed: task.NewFeed()}
}

// add stores a task of a key, with its first event.
func (f *fakeTasks) add(keyID, id string, kind task.Kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f.tasks[id] = task.Task{ID: id, Request: task.Request{KeyID: keyID, Kind: kind, Model: "local-" + string(kind), Prompt: "a paper boat",
		Width: 640, Height: 360, Duration: 5, FPS: 24, Seed: 7, N: 1, BaseURL: "http://example.com"},
		State: task.Pending, Attempt: 1, Sequence: 1, Message: "queued", CreatedAt: at, UpdatedAt: at}
	f.order = append(f.order, id)
	f.events[id] = []task.Event{{TaskID: id, Kind: kind, Sequence: 1, Attempt: 1, Name: task.EventProgress, At: at, Message: "queued"}}
}

// happen stores a further event. Nobody is woken unless publish says so.
func (f *fakeTasks) happen(id string, name task.EventName, progress int, publish bool) task.Event {
	f.mu.Lock()
	t := f.tasks[id]
	t.Sequence++
	t.Progress = progress
	switch name {
	case task.EventStarted:
		t.State = task.Running
	case task.EventCompleted:
		t.State = task.Completed
		t.Outputs = []task.Output{{MediaKey: id + "/0.webm", ContentType: "video/webm", Format: "webm", Codec: "vp8",
			Bytes: 1000, Width: 640, Height: 360, FPS: 24, Duration: 5}}
		at := t.CreatedAt.Add(time.Minute)
		t.CompletedAt = &at
	case task.EventFailed:
		t.State, t.Failure = task.Failed, &task.Failure{Code: "content_policy", Message: "No."}
	case task.EventCancelled:
		t.State = task.Cancelled
	}
	e := task.Event{TaskID: id, Kind: t.Kind, Sequence: t.Sequence, Attempt: 1, Name: name, At: t.CreatedAt, Progress: progress,
		Outputs: t.Outputs, Failure: t.Failure, BaseURL: t.BaseURL}
	f.tasks[id] = t
	f.events[id] = append(f.events[id], e)
	f.mu.Unlock()
	if publish {
		_ = f.feed.Publish(context.Background(), e)
	}
	return e
}

func (f *fakeTasks) setErr(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeTasks) get(keyID, id string) (task.Task, error) {
	if f.err != nil {
		return task.Task{}, f.err
	}
	id, _ = task.ParseID(id)
	t, ok := f.tasks[id]
	if !ok || t.KeyID != keyID {
		return task.Task{}, task.ErrNotFound
	}
	return t, nil
}

func (f *fakeTasks) Submit(_ context.Context, r task.Request) (task.Task, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return task.Task{}, false, f.err
	}
	f.submitted = append(f.submitted, r)
	if f.replay != "" {
		return f.tasks[f.replay], false, nil
	}
	return task.Task{ID: idA, Request: r, State: task.Pending, CreatedAt: time.Now()}, true, nil
}

func (f *fakeTasks) Quota(context.Context, string) (limit, left int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && !errors.Is(f.err, task.ErrTooMany) {
		return 0, 0, f.err
	}
	return 10, 10 - len(f.submitted), nil
}

func (f *fakeTasks) Get(_ context.Context, keyID, id string) (task.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(keyID, id)
}

func (f *fakeTasks) List(_ context.Context, keyID string, q task.ListQuery) (task.Page, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed = append(f.listed, q)
	if _, err := f.get(keyID, q.After); q.After != "" && err != nil {
		return task.Page{}, err
	}
	var p task.Page
	for _, id := range slices.Backward(f.order) {
		if t := f.tasks[id]; t.KeyID == keyID && (q.Kind == "" || q.Kind == t.Kind) {
			p.Tasks = append(p.Tasks, t)
		}
	}
	return p, f.err
}

func (f *fakeTasks) Cancel(_ context.Context, keyID, id string) (task.Task, error) {
	f.mu.Lock()
	t, err := f.get(keyID, id)
	f.mu.Unlock()
	switch {
	case err != nil || t.State == task.Cancelled:
		return t, err
	case t.State.Final():
		return t, task.ErrNotCancellable
	}
	f.happen(t.ID, task.EventCancelled, t.Progress, true)
	return f.Get(context.Background(), keyID, id)
}

func (f *fakeTasks) Retry(_ context.Context, keyID, id string, again task.Again) (task.Task, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.get(keyID, id)
	if err != nil {
		return t, false, err
	}
	if !t.State.Final() || t.State == task.Completed {
		return t, false, task.ErrNotRetryable
	}
	r := t.Request
	r.RetryOf, r.BaseURL = t.ID, again.BaseURL
	return task.Task{ID: idC, Request: r, State: task.Pending}, true, nil
}

func (f *fakeTasks) Events(_ context.Context, keyID, id string, after int64) ([]task.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.get(keyID, id)
	if err != nil {
		return nil, err
	}
	var out []task.Event
	for _, e := range f.events[t.ID] {
		if e.Sequence > after {
			out = append(out, e)
		}
	}
	return out, nil
}

func (f *fakeTasks) Latest(_ context.Context, keyID, id string) (task.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.get(keyID, id)
	if err != nil {
		return task.Event{}, err
	}
	for _, e := range slices.Backward(f.events[t.ID]) {
		if e.Name == task.EventProgress || e.Name.Terminal() {
			return e, nil
		}
	}
	return task.Event{}, task.ErrNotFound
}

// fakeProvider offers models and does nothing.
type fakeProvider struct{ provider.Provider }

func (fakeProvider) Name() string { return "local" }

func (fakeProvider) Models() []provider.Model {
	sizes := provider.Limits{MinSize: 16, MaxSize: 1920, SizeMultiple: 2, DefaultWidth: 640, DefaultHeight: 360}
	video := sizes
	video.MinDuration, video.MaxDuration, video.DefaultDuration = 1, 60, 5
	video.MinFPS, video.MaxFPS, video.DefaultFPS = 1, 60, 24
	image := sizes
	image.MaxN = 4
	return []provider.Model{
		{ID: "local-video", Kind: provider.Video, OwnedBy: "conduit", Created: 1764000000, Default: true, Limits: video},
		{ID: "local-image", Kind: provider.Image, OwnedBy: "conduit", Created: 1764000000, Default: true, Limits: image},
		{ID: "maker/model", Kind: provider.Video, OwnedBy: "maker", Limits: video},
	}
}

func testCatalog(t testing.TB) *provider.Catalog {
	t.Helper()
	c, err := provider.NewCatalog(fakeProvider{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// principals are the credentials of these tests, by bearer token.
var principals = map[string]key.Principal{
	"mine":  {KeyID: "mine", Scopes: []key.Scope{key.ScopeVideo, key.ScopeImage}},
	"video": {KeyID: "mine", Scopes: []key.Scope{key.ScopeVideo}},
	"image": {KeyID: "mine", Scopes: []key.Scope{key.ScopeImage}},
	"nav":   {KeyID: "mine", Scopes: []key.Scope{key.ScopeNavigation}},
	"other": {KeyID: "other", Scopes: []key.Scope{key.ScopeVideo, key.ScopeImage}},
	"admin": {KeyID: "root", Scopes: []key.Scope{key.ScopeAdmin}},
	"onlyA": {KeyID: "mine", Scopes: []key.Scope{key.ScopeVideo}, TaskID: idA},
}

func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := principals[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if !ok {
			WriteError(w, r, &key.Error{Status: 401, Code: "invalid_api_key", Type: "authentication_error", Message: "No."})
			return
		}
		next.ServeHTTP(w, r.WithContext(key.WithPrincipal(r.Context(), p)))
	})
}

type bench struct {
	*Handler
	tasks  *fakeTasks
	media  *media.Local
	signer *media.Signer
}

// newBench makes a handler on fakes; with changes its options.
func newBench(t testing.TB, with ...func(*Options)) *bench {
	t.Helper()
	store, err := media.NewLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	tasks, signer := newFakeTasks(), media.NewSigner([]byte("0123456789abcdef0123456789abcdef"), time.Hour)
	o := Options{Tasks: tasks, Feed: tasks.feed, Catalog: testCatalog(t), Media: store, Links: signer, Authenticate: authenticate,
		Logger: slog.New(slog.DiscardHandler)}
	for _, f := range with {
		f(&o)
	}
	return &bench{Handler: New(o), tasks: tasks, media: store, signer: signer}
}

// call makes a request with the token "mine" unless a header says otherwise.
func (b *bench) call(method, target, body string, header ...string) *httptest.ResponseRecorder {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, rd)
	r.Header.Set("Authorization", "Bearer mine")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

type envelope struct {
	Error struct {
		Message, Type string
		Param         *string
		Code          string
	}
}

// wantProblem checks that w is a complete error answer.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code, param string) envelope {
	t.Helper()
	var e envelope
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("status %d, no envelope: %v: %q", w.Code, err, w.Body)
	}
	got := ""
	if e.Error.Param != nil {
		got = *e.Error.Param
	}
	if w.Code != status || e.Error.Code != code || got != param {
		t.Errorf("got %d %s param %q (%s), want %d %s param %q", w.Code, e.Error.Code, got, e.Error.Message, status, code, param)
	}
	if e.Error.Message == "" || e.Error.Type == "" {
		t.Errorf("the envelope lacks something: %s", w.Body)
	}
	if !strings.Contains(w.Body.String(), `"param":`) {
		t.Errorf("param is missing: %s", w.Body)
	}
	if w.Header().Get("X-Request-Id") == "" {
		t.Error("no x-request-id")
	}
	return e
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return v
}
