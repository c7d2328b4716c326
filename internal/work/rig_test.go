package work

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
)

func TestMain(m *testing.M) {
	if dir := childDir(); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"))
}

const patience = time.Minute // for anything that is to happen

// instance is a process of the service: a store, a service, workers.
type instance struct {
	t       *testing.T
	db      *store.Store
	mortal  *mortal
	svc     *task.Service
	w       *Workers
	log     *published
	stopped bool
}

type setup struct {
	path     string
	provider provider.Provider
	media    media.Store
	service  task.Options
	work     Options
	idle     bool // does not start the workers
}

// rig opens an instance; without a path on a database of its own.
func rig(t *testing.T, s setup) *instance {
	t.Helper()
	if s.path == "" {
		s.path = filepath.Join(t.TempDir(), "conduit.db")
	}
	fresh(t, s.path)
	quiet := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		quiet = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	db, err := store.Open(t.Context(), store.Options{Path: s.path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	in := &instance{t: t, db: db, mortal: &mortal{Store: db}, log: &published{changed: make(chan struct{})}}
	s.service.Publishers = append(s.service.Publishers, in.log)
	s.service.Logger = quiet
	if s.service.ProgressEvery == 0 {
		s.service.ProgressEvery = time.Millisecond
	}
	if s.service.Backoff == 0 {
		s.service.Backoff = time.Millisecond
	}
	in.svc = task.NewService(in.mortal, s.service)
	s.work.Service, s.work.Providers, s.work.Media = in.svc, []provider.Provider{s.provider}, s.media
	s.work.Logger = quiet
	s.work.Pause = time.Millisecond
	if s.work.SweepEvery == 0 {
		s.work.SweepEvery = 20 * time.Millisecond
	}
	if s.work.CheckEvery == 0 {
		s.work.CheckEvery = 20 * time.Millisecond
	}
	if s.media == nil {
		s.work.Media = newMemory()
	}
	if in.w, err = New(db.Driver(), s.work); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.stop)
	if !s.idle {
		in.start()
	} else {
		in.stopped = true
	}
	t.Cleanup(func() {
		in.stop()
		_ = in.svc.Flush(context.Background())
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return in
}

// template is a new database, made once: migrations take their time.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "conduit-work-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder for temporary files
	path := filepath.Join(dir, "conduit.db")
	db, err := store.Open(context.Background(), store.Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// fresh puts a new database at path, unless there is one.
func fresh(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	b, err := template()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (in *instance) start() {
	in.t.Helper()
	in.stopped = false
	if err := in.w.Start(in.t.Context()); err != nil {
		in.t.Fatal(err)
	}
}

func (in *instance) stop() {
	if in.stopped {
		return
	}
	in.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := in.w.Stop(ctx); err != nil {
		in.t.Errorf("stop: %v", err)
	}
}

// die is what kill -9 does: from now on nothing of this instance reaches the
// database.
func (in *instance) die() {
	in.mortal.die()
	in.stop()
}

var request = task.Request{KeyID: "key_a", Kind: task.Video, Model: "m", Provider: "fake", Prompt: "a boat", Width: 16, Height: 16, Duration: 1, FPS: 10, N: 1, RequestHash: "h"}

func (in *instance) submit(change ...func(*task.Request)) task.Task {
	in.t.Helper()
	r := request
	for _, c := range change {
		c(&r)
	}
	t, created, err := in.svc.Submit(in.t.Context(), r)
	if err != nil || !created {
		in.t.Fatalf("submit: %v, created %v", err, created)
	}
	return t
}

// wait waits for a task to be as asked, whichever instance makes it so.
func (in *instance) wait(id string, what string, ok func(task.Record) bool) task.Record {
	in.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		rec, err := in.db.Get(in.t.Context(), id)
		if err == nil && ok(rec) {
			return rec
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("%s: never %s; it is %s, attempt %d, %+v (%v)", id, what, rec.State, rec.Attempt, rec.Failure, err)
		}
		time.Sleep(2 * time.Millisecond) // poll
	}
}

func (in *instance) waitState(id string, s task.State) task.Record {
	in.t.Helper()
	return in.wait(id, string(s), func(r task.Record) bool {
		if r.State.Final() && r.State != s {
			in.t.Fatalf("task is %s (%+v), not %s", r.State, r.Failure, s)
		}
		return r.State == s
	})
}

// events reads a task's stored events and checks what holds for all tasks.
func (in *instance) events(id string) []task.Event {
	in.t.Helper()
	es, err := in.db.Events(in.t.Context(), id, 0, 100_000)
	if err != nil {
		in.t.Fatal(err)
	}
	lawful(in.t, es)
	return es
}

// lawful checks the promises about a task's events.
func lawful(t *testing.T, es []task.Event) {
	t.Helper()
	progress := -1
	for i, e := range es {
		if i == 0 && (e.Sequence != 1 || e.Name != task.EventProgress || e.Progress != 0 || e.Message != "queued") {
			t.Errorf("the first event is %+v", e)
		}
		if i > 0 && e.Sequence <= es[i-1].Sequence {
			t.Errorf("sequence %d after %d", e.Sequence, es[i-1].Sequence)
		}
		if i > 0 && e.Attempt < es[i-1].Attempt {
			t.Errorf("attempt %d after %d", e.Attempt, es[i-1].Attempt)
		}
		if i > 0 && e.Attempt > es[i-1].Attempt {
			progress = -1
		}
		if e.Name == task.EventProgress {
			if e.Progress < progress || e.Progress > 99 {
				t.Errorf("progress %d after %d in attempt %d", e.Progress, progress, e.Attempt)
			}
			progress = e.Progress
		}
		if e.Name.Terminal() && i != len(es)-1 {
			t.Errorf("%s is event %d of %d", e.Name, i+1, len(es))
		}
	}
}

func names(es []task.Event) []string {
	var out []string
	for _, e := range es {
		out = append(out, string(e.Name))
	}
	return out
}

func wantNames(t *testing.T, es []task.Event, want ...string) {
	t.Helper()
	if got := names(es); !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func (f *fake) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.until(ctx, ok); err != nil {
		t.Fatalf("the provider never: %s", what)
	}
}

// published notes what a publisher is told.
type published struct {
	mu      sync.Mutex
	events  []task.Event
	changed chan struct{}
}

func (p *published) Publish(_ context.Context, e task.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	return nil
}

func (p *published) of(id string) []task.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []task.Event
	for _, e := range p.events {
		if e.TaskID == id {
			out = append(out, e)
		}
	}
	return out
}

// errDead ends a dead instance's runs at once, as it ends a dead process's.
var errDead = errors.Join(task.ErrFenced, errors.New("this instance is dead"))

// mortal is a store that can die between any two operations: before one, so
// that it is not done, or after one, so that nobody learns that it was.
type mortal struct {
	task.Store
	mu    sync.Mutex
	dead  bool
	ops   []string
	until int  // operations that are still done; 0: no end
	after bool // the last one is done, but answers with an error
	onDie func()
	gone  bool // the database does not answer for a while
}

// away makes the database answer no more, or again.
func (m *mortal) away(gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = gone
}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

// arm lets n more changes be done.
func (m *mortal) arm(n int, after bool, onDie func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until, m.after, m.onDie = len(m.ops)+n, after, onDie
}

func (m *mortal) op(name string) (before, after error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead, nil
	}
	if m.gone {
		return task.ErrUnavailable, nil
	}
	m.ops = append(m.ops, name)
	if m.until > 0 && len(m.ops) >= m.until {
		m.dead = true
		if m.onDie != nil {
			m.onDie()
		}
		if m.after {
			return nil, errDead
		}
		return errDead, nil
	}
	return nil, nil
}

func (m *mortal) Change(ctx context.Context, id string, fn func(task.Tx, *task.Record) (task.Change, error)) (task.Record, error) {
	before, after := m.op("change")
	if before != nil {
		return task.Record{}, before
	}
	rec, err := m.Store.Change(ctx, id, fn)
	if after != nil {
		return task.Record{}, after
	}
	return rec, err
}

func (m *mortal) isDead() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	if m.gone {
		return task.ErrUnavailable
	}
	return nil
}

func (m *mortal) Get(ctx context.Context, id string) (task.Record, error) {
	if err := m.isDead(); err != nil {
		return task.Record{}, err
	}
	return m.Store.Get(ctx, id)
}

func (m *mortal) Renew(ctx context.Context, owner string, attempts map[string]int, until time.Time) error {
	if err := m.isDead(); err != nil {
		return err
	}
	return m.Store.Renew(ctx, owner, attempts, until)
}

func (m *mortal) Held(ctx context.Context, owner string) (map[string]int, error) {
	if err := m.isDead(); err != nil {
		return nil, err
	}
	return m.Store.Held(ctx, owner)
}

func (m *mortal) Due(ctx context.Context, now time.Time, stale time.Duration, alone *task.Alone) (task.Due, error) {
	if err := m.isDead(); err != nil {
		return task.Due{}, err
	}
	return m.Store.Due(ctx, now, stale, alone)
}
