package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

const (
	idA = "task_000000000000000000000000000000aa"
	idB = "task_000000000000000000000000000000bb"
)

// fakeTasks keeps tasks and events in memory.
type fakeTasks struct {
	mu        sync.Mutex
	tasks     map[string]task.Task
	events    map[string][]task.Event
	err       error
	reads     int
	revisions map[string]int64
	reading   func() // called by Events and Latest after they have read
}

func newFakeTasks() *fakeTasks {
	return &fakeTasks{tasks: map[string]task.Task{}, events: map[string][]task.Event{}, revisions: map[string]int64{}}
}

// add stores a task of a key with its first event.
func (f *fakeTasks) add(keyID, id string, kind task.Kind) {
	f.mu.Lock()
	f.tasks[id] = task.Task{ID: id, Request: task.Request{KeyID: keyID, Kind: kind, BaseURL: "http://gw.example"}, State: task.Pending}
	f.mu.Unlock()
	f.store(id, task.EventProgress, 0)
}

// store stores a further event, without publishing it.
func (f *fakeTasks) store(id string, name task.EventName, progress int) task.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tasks[id]
	t.Sequence++
	f.revisions[t.KeyID]++
	e := task.Event{TaskID: id, KeyID: t.KeyID, Kind: t.Kind, Sequence: t.Sequence, Attempt: 1, Name: name, Progress: progress, BaseURL: t.BaseURL,
		At: time.Date(2026, 11, 22, 10, 0, 0, 123e6, time.UTC)}
	switch name {
	case task.EventCompleted:
		t.State = task.Completed
		e.Outputs = []task.Output{{MediaKey: id + "/0.webm", Format: "webm", Width: 640, Height: 360, FPS: 24, Duration: 5}}
	case task.EventFailed:
		t.State = task.Failed
		e.Failure = &task.Failure{Code: "timed_out", Message: "It took too long."}
	case task.EventCancelled:
		t.State = task.Cancelled
	}
	f.tasks[id] = t
	f.events[id] = append(f.events[id], e)
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

func (f *fakeTasks) Get(_ context.Context, keyID, id string) (task.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(keyID, id)
}

func (f *fakeTasks) Events(_ context.Context, keyID, id string, after int64) ([]task.Event, error) {
	f.mu.Lock()
	t, err := f.get(keyID, id)
	var out []task.Event
	for _, e := range f.events[t.ID] {
		if e.Sequence > after {
			out = append(out, e)
		}
	}
	f.reads++
	reading := f.reading
	f.mu.Unlock()
	if reading != nil {
		reading()
	}
	return out, err
}

func (f *fakeTasks) Latest(_ context.Context, keyID, id string) (task.Event, error) {
	f.mu.Lock()
	t, err := f.get(keyID, id)
	var latest task.Event
	for _, e := range slices.Backward(f.events[t.ID]) {
		if e.Name == task.EventProgress || e.Name.Terminal() {
			latest = e
			break
		}
	}
	reading := f.reading
	f.mu.Unlock()
	if reading != nil {
		reading()
	}
	return latest, err
}

func (f *fakeTasks) Overview(_ context.Context, keyID string, kinds []task.Kind, recent int) (task.Overview, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := task.Overview{Revision: f.revisions[keyID] + f.revisions[""], Counts: map[task.Kind]map[task.State]int{}}
	for _, id := range slices.Sorted(maps.Keys(f.tasks)) {
		t := f.tasks[id]
		if t.KeyID != keyID || !slices.Contains(kinds, t.Kind) {
			continue
		}
		if o.Counts[t.Kind] == nil {
			o.Counts[t.Kind] = map[task.State]int{}
		}
		o.Counts[t.Kind][t.State]++
		o.Recent = append(o.Recent, t)
	}
	o.Recent = o.Recent[:min(len(o.Recent), recent)]
	return o, f.err
}

func (f *fakeTasks) Revisions(_ context.Context, keyIDs []string) (map[string]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int64{}
	for _, id := range keyIDs {
		out[id] = f.revisions[id] + f.revisions[""]
	}
	return out, f.err
}

func (f *fakeTasks) RaiseRevisions(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.revisions[""]++
	}
	return f.err
}

// fakeModels are one of each kind, to be changed under mu.
type fakeModels struct {
	mu   sync.Mutex
	list []provider.ModelState
}

func newFakeModels() *fakeModels {
	return &fakeModels{list: []provider.ModelState{
		{Model: provider.Model{ID: "films", Kind: provider.Video, Default: true}, Available: true},
		{Model: provider.Model{ID: "pictures", Kind: provider.Image}, Available: true},
	}}
}

func (f *fakeModels) List() []provider.ModelState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

func (f *fakeModels) set(id, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.list {
		if f.list[i].ID == id {
			f.list[i].Available, f.list[i].Reason = reason == "", reason
		}
	}
}

func (f *fakeTasks) onRead(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = do
}

type fakeLinks struct{}

func (fakeLinks) URL(base, mediaKey string, _ time.Time) string {
	return base + "/v1/media/" + mediaKey
}

func newHubs(t testing.TB, tasks Tasks, with ...func(*Options)) *Hubs {
	t.Helper()
	o := Options{Tasks: tasks, Links: fakeLinks{}, Models: newFakeModels(), Logger: slog.New(slog.DiscardHandler)}
	for _, f := range with {
		f(&o)
	}
	return New(o)
}

var (
	mine  = key.Principal{KeyID: "mine", Scopes: []key.Scope{key.ScopeVideo}}
	other = key.Principal{KeyID: "other", Scopes: []key.Scope{key.ScopeVideo}}
)

func as(p key.Principal) signalrtest.Options {
	return signalrtest.Options{Context: key.WithPrincipal(context.Background(), p)}
}

func connect(t testing.TB, h *Hubs, p key.Principal) *signalrtest.Client {
	t.Helper()
	return signalrtest.Connect(t, h.Video(), as(p))
}

// event is what all events have.
type event struct {
	EventType string `json:"eventType"`
	TaskID    string `json:"taskId"`
	Sequence  int64  `json:"sequence"`
}

// show is a message in short: "Progress 3".
func show(t testing.TB, m signalrtest.Message) string {
	t.Helper()
	var e event
	if err := m.Decode(&e); err != nil {
		t.Fatal(err)
	}
	if want := "VideoGeneration" + m.Name; e.EventType != want {
		t.Errorf("eventType is %s, want %s", e.EventType, want)
	}
	return fmt.Sprintf("%s %d", m.Name, e.Sequence)
}

// wantNext waits for exactly these messages.
func wantNext(t testing.TB, c *signalrtest.Client, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := show(t, c.Next()); got != w {
			t.Fatalf("got %s, want %s", got, w)
		}
	}
}

// wantNothing says that no message waits. Whatever a call's answer came after
// has been received.
func wantNothing(t testing.TB, c *signalrtest.Client) {
	t.Helper()
	for _, m := range c.Received() {
		t.Errorf("got %s, want nothing", show(t, m))
	}
}

func call(t testing.TB, c *signalrtest.Client, name string, args ...any) {
	t.Helper()
	if _, err := c.Call(name, args...); err != nil {
		t.Fatalf("%s%v: %v", name, args, err)
	}
}

func wantError(t testing.TB, c *signalrtest.Client, says, name string, args ...any) {
	t.Helper()
	_, err := c.Call(name, args...)
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s%v: %v, want %q", name, args, err, says)
	}
}

func publish(t testing.TB, h *Hubs, e task.Event) {
	t.Helper()
	if err := h.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

var errSecret = errors.New("secret detail of the database")
