package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// TestProvider is what a provider may do, and what the task makes of it.
func TestProvider(t *testing.T) {
	refuse := &provider.Error{Code: "content_policy", Message: "not that"}
	busy := &provider.Error{Code: "provider_rate_limited", Message: "later", Retryable: true}
	broken := errors.New("connection reset")
	firstly := func(err error) func(context.Context, provider.Request) error {
		var n atomic.Int32
		return func(context.Context, provider.Request) error {
			if n.Add(1) == 1 {
				return err
			}
			return nil
		}
	}
	for _, c := range []struct {
		name    string
		set     func(*fake)
		ask     bool
		put     func(string) error
		state   task.State
		code    string
		again   bool // the failure is retryable
		attempt int
		submits int
	}{
		{name: "fails for good", set: func(f *fake) { f.script = []provider.Update{at(10), failing("content_policy", false)} },
			state: task.Failed, code: "content_policy", attempt: 1, submits: 1},
		{name: "fails every time", set: func(f *fake) { f.script = []provider.Update{at(10), failing("provider_unavailable", true)} },
			state: task.Failed, code: "provider_unavailable", again: true, attempt: 3, submits: 3},
		{name: "fails without a reason", set: func(f *fake) { f.script = []provider.Update{{Phase: provider.Failed}} },
			state: task.Failed, code: "provider_unavailable", again: true, attempt: 3, submits: 3},
		{name: "refuses", set: func(f *fake) { f.onSubmit = firstly(refuse) },
			state: task.Failed, code: "content_policy", attempt: 1, submits: 1},
		{name: "refuses once", set: func(f *fake) { f.onSubmit = firstly(busy) },
			state: task.Completed, attempt: 2, submits: 2},
		{name: "leaves a submit unclear", set: func(f *fake) { f.onSubmit = firstly(broken) },
			state: task.Failed, code: "submit_uncertain", again: true, attempt: 1, submits: 1},
		{name: "leaves a submit unclear, and says it has nothing", set: func(f *fake) { f.onSubmit = firstly(broken) }, ask: true,
			state: task.Completed, attempt: 2, submits: 2},
		{name: "leaves a submit unclear, and has it", ask: true,
			set: func(f *fake) {
				f.onSubmit = func(_ context.Context, r provider.Request) error { f.add("p:found", r.Intent); return broken }
			},
			state: task.Completed, attempt: 1, submits: 1},
		{name: "leaves a submit unclear, and cannot be asked", ask: true,
			set: func(f *fake) {
				f.onSubmit = firstly(broken)
				f.onLookup = func(string) error { return broken }
			},
			state: task.Failed, code: "submit_uncertain", again: true, attempt: 1, submits: 1},
		{name: "panics in Submit", set: func(f *fake) { f.onSubmit = func(context.Context, provider.Request) error { panic("oh") } },
			state: task.Failed, code: "submit_uncertain", again: true, attempt: 1, submits: 1},
		{name: "panics in Submit once, and says it has nothing", ask: true,
			set: func(f *fake) {
				var n atomic.Int32
				f.onSubmit = func(context.Context, provider.Request) error {
					if n.Add(1) == 1 {
						panic("oh")
					}
					return nil
				}
			},
			state: task.Completed, attempt: 2, submits: 2},
		{name: "panics in Watch", set: func(f *fake) { f.onWatch = func(context.Context, string, int) error { panic("oh") } },
			state: task.Failed, code: "provider_unavailable", again: true, attempt: 3, submits: 3},
		{name: "loses the connection", set: func(f *fake) {
			f.onWatch = func(_ context.Context, _ string, n int) error {
				if n < 4 {
					return broken
				}
				return nil
			}
		}, state: task.Completed, attempt: 1, submits: 1},
		{name: "forgets the task for good", set: func(f *fake) {
			f.onWatch = func(context.Context, string, int) error { return provider.ErrUnknownTask }
		}, state: task.Failed, code: "provider_unavailable", again: true, attempt: 1, submits: 1},
		{name: "forgets the task, and says so", ask: true, set: func(f *fake) {
			f.onWatch = func(_ context.Context, id string, _ int) error {
				if strings.HasSuffix(id, "-1") {
					f.note(func() { delete(f.tasks, id) })
					return provider.ErrUnknownTask
				}
				return nil
			}
		}, state: task.Completed, attempt: 2, submits: 2},
		{name: "answers a Watch with an error", set: func(f *fake) {
			f.onWatch = func(context.Context, string, int) error { return refuse }
		}, state: task.Failed, code: "content_policy", attempt: 1, submits: 1},
		{name: "has no result", set: func(f *fake) { f.script = []provider.Update{{Phase: provider.Done}} },
			state: task.Failed, code: "output_unavailable", again: true, attempt: 1, submits: 1},
		{name: "cannot give the result", set: func(f *fake) {
			f.onFetch = func(string) (io.ReadCloser, error) { return nil, broken }
		}, state: task.Failed, code: "output_unavailable", again: true, attempt: 1, submits: 1},
		{name: "panics in FetchOutput", set: func(f *fake) {
			f.onFetch = func(string) (io.ReadCloser, error) { panic("oh") }
		}, state: task.Failed, code: "output_unavailable", again: true, attempt: 1, submits: 1},
		{name: "breaks off a result once", set: func(f *fake) {
			var n atomic.Int32
			f.onFetch = func(string) (io.ReadCloser, error) {
				if n.Add(1) == 1 {
					return io.NopCloser(io.MultiReader(strings.NewReader("res"), brokenReader{})), nil
				}
				return io.NopCloser(strings.NewReader("result")), nil
			}
		}, state: task.Completed, attempt: 1, submits: 1},
		{name: "disk is full", put: func(key string) error {
			if strings.HasSuffix(key, "-1.webm") {
				return fmt.Errorf("media: %w", media.ErrFull)
			}
			return nil
		}, set: func(f *fake) {
			two := done
			two.Outputs = []provider.Output{done.Outputs[0], done.Outputs[0]}
			two.Outputs[1].Index = 1
			f.script = []provider.Update{two}
		}, state: task.Failed, code: "storage_full", again: true, attempt: 1, submits: 1},
		{name: "cannot be told to stop", set: func(f *fake) {
			f.script = []provider.Update{failing("content_policy", false)}
			f.onCancel = func(string) error { panic("oh") }
		}, state: task.Failed, code: "content_policy", attempt: 1, submits: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, m := newFake(), newMemory()
			m.onPut = c.put
			f.script = []provider.Update{at(20), done}
			if c.set != nil {
				c.set(f)
			}
			var p provider.Provider = f
			if c.ask {
				p = askable{f}
			}
			in := rig(t, setup{provider: p, media: m})
			id := in.submit().ID
			rec := in.wait(id, "ended", func(r task.Record) bool { return r.State.Final() })
			if rec.State != c.state || rec.Attempt != c.attempt {
				t.Errorf("%s in attempt %d (%+v), want %s in %d", rec.State, rec.Attempt, rec.Failure, c.state, c.attempt)
			}
			if c.code != "" && (rec.Failure == nil || rec.Failure.Code != c.code || rec.Failure.Retryable != c.again) {
				t.Errorf("failure %+v, want %s, retryable %v", rec.Failure, c.code, c.again)
			}
			if n := f.numSubmits(); n != c.submits {
				t.Errorf("%d submits, want %d", n, c.submits)
			}
			if keys := m.keys(); len(keys) != len(rec.Outputs) {
				t.Errorf("stored %v, the task has %v", keys, rec.Outputs)
			}
			in.events(id)
			// The next one finds everything as it should be.
			m.mu.Lock()
			m.onPut = nil
			m.mu.Unlock()
			f.note(func() {
				f.onSubmit, f.onWatch, f.onFetch, f.onLookup, f.onCancel = nil, nil, nil, nil, nil
				f.script = []provider.Update{done}
			})
			in.waitState(in.submit().ID, task.Completed)
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// steps are the places at which a task can be when something happens to it.
var steps = []struct {
	name  string
	reach func(s *stepper) error // nil: nothing is started
	told  bool                   // the provider has the task, and is told to stop
}{
	{"pending", nil, false},
	{"submitting", func(s *stepper) error { return s.signal(s.inSubmit) }, true},
	{"running", func(s *stepper) error {
		if err := s.submitted(); err != nil {
			return err
		}
		s.f.say(s.provider, at(30))
		return s.record(func(r task.Record) bool { return r.Progress == 30 })
	}, true},
	{"storing", func(s *stepper) error {
		if err := s.submitted(); err != nil {
			return err
		}
		s.f.say(s.provider, done)
		return s.signal(s.inFetch)
	}, true},
	{"waiting to try again", func(s *stepper) error {
		if err := s.submitted(); err != nil {
			return err
		}
		s.f.say(s.provider, failing("provider_unavailable", true))
		return s.record(func(r task.Record) bool { return r.QueueAt != nil })
	}, false},
}

// stepper leads a task to a step and holds it there.
type stepper struct {
	ctx      context.Context // for reaching the step
	in       *instance
	f        *fake
	m        *memory
	id       string
	provider string // the provider's id

	inSubmit, submit, inFetch chan struct{}
	release                   func() // lets Submit go on
}

// atStep submits a task and leads it to a step; an error if its deadline was
// earlier.
func atStep(t *testing.T, reach func(*stepper) error, timeout time.Duration) (*stepper, error) {
	s := &stepper{f: newFake(), m: newMemory(), inSubmit: make(chan struct{}), submit: make(chan struct{}), inFetch: make(chan struct{})}
	s.release = sync.OnceFunc(func() { close(s.submit) })
	s.f.onSubmit = func(context.Context, provider.Request) error {
		close(s.inSubmit)
		<-s.submit
		return nil
	}
	s.f.onFetch = func(string) (io.ReadCloser, error) {
		close(s.inFetch)
		return stuck{t.Context()}, nil
	}
	t.Cleanup(s.release)
	s.in = rig(t, setup{provider: s.f, media: s.m, idle: true, service: task.Options{Backoff: time.Hour}})
	x := s.in.submit(func(r *task.Request) { r.Timeout = timeout })
	s.id, s.provider = x.ID, "p:"+x.ID+"-1"
	if reach == nil {
		return s, nil
	}
	ctx, cancel := context.WithDeadline(t.Context(), x.DeadlineAt)
	defer cancel()
	s.ctx = ctx
	s.in.start()
	return s, reach(s)
}

func (s *stepper) signal(ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *stepper) submitted() error {
	s.release()
	return s.f.until(s.ctx, func() bool { return s.f.tasks[s.provider] != nil })
}

func (s *stepper) record(ok func(task.Record) bool) error {
	for {
		rec, err := s.in.db.Get(s.ctx, s.id)
		if err != nil || ok(rec) {
			return err
		}
		time.Sleep(2 * time.Millisecond) // poll
	}
}

// stuck is a result that never comes.
type stuck struct{ ctx context.Context }

func (s stuck) Read(p []byte) (int, error) {
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-time.After(time.Millisecond): // a byte at a time
		p[0] = 'x'
		return 1, nil
	}
}
func (s stuck) Close() error { return nil }

func TestCancel(t *testing.T) {
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			s, err := atStep(t, step.reach, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.in.svc.Cancel(t.Context(), "key_b", s.id); !errors.Is(err, task.ErrNotFound) {
				t.Errorf("a foreign key: %v", err)
			}
			for range 2 { // the second is no error
				got, err := s.in.svc.Cancel(t.Context(), "key_a", s.id)
				if err != nil || got.State != task.Cancelled {
					t.Fatalf("%s, %v", got.State, err)
				}
			}
			s.release()
			if step.reach == nil {
				s.in.start()
			}
			s.over(t, step.told, "Cancelled")
			if step.reach == nil && s.f.numSubmits() != 0 {
				t.Errorf("%d submits", s.f.numSubmits())
			}
		})
	}
}

// over checks what holds once a task has ended without a result.
func (s *stepper) over(t *testing.T, told bool, event string) {
	t.Helper()
	if told {
		s.f.wait(t, "told to stop", func() bool { return len(s.f.cancels) == 1 && len(s.f.releases) == 1 })
	}
	s.in.wait(s.id, "tidy", func(r task.Record) bool { return r.TidyAt == nil })
	s.in.stop()
	es := s.in.events(s.id)
	wantNames(t, es[len(es)-1:], event)
	if keys := s.m.keys(); len(keys) != 0 {
		t.Errorf("stored %v", keys)
	}
}

func TestDeadline(t *testing.T) {
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			var s *stepper
			for timeout := 500 * time.Millisecond; ; timeout *= 4 { // a busy machine needs more to reach the step
				var err error
				if s, err = atStep(t, step.reach, timeout); err == nil {
					break
				} else if timeout > patience {
					t.Fatal(err)
				}
				s.release()
				s.in.stop()
			}
			if step.reach == nil {
				<-time.After(time.Until(must(s.in.db.Get(t.Context(), s.id)).DeadlineAt))
				s.in.start()
			}
			rec := s.in.waitState(s.id, task.TimedOut)
			s.release()
			if rec.Failure == nil || rec.Failure.Code != "timed_out" || rec.Failure.Retryable {
				t.Errorf("%+v", rec.Failure)
			}
			s.over(t, step.told, "Failed")
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestCancelElsewhere cancels on an instance that does not run the task.
func TestCancelElsewhere(t *testing.T) {
	f := newFake()
	path := filepath.Join(t.TempDir(), "conduit.db")
	a := rig(t, setup{path: path, provider: f})
	b := rig(t, setup{path: path, provider: f, idle: true})
	id := a.submit().ID
	f.wait(t, "submitted", func() bool { return len(f.tasks) == 1 })
	if _, err := b.svc.Cancel(t.Context(), "key_a", id); err != nil {
		t.Fatal(err)
	}
	f.wait(t, "told to stop", func() bool { return len(f.cancels) == 1 })
	a.events(id)
}

// TestCancelGivenBack cancels a task that no worker has, but the provider.
func TestCancelGivenBack(t *testing.T) {
	f := newFake()
	path := filepath.Join(t.TempDir(), "conduit.db")
	a := rig(t, setup{path: path, provider: f})
	id := a.submit().ID
	a.wait(id, "submitted", func(r task.Record) bool { return r.ProviderTaskID != "" })
	a.stop()
	if _, err := a.svc.Cancel(t.Context(), "key_a", id); err != nil {
		t.Fatal(err)
	}
	b := rig(t, setup{path: path, provider: f})
	f.wait(t, "told to stop", func() bool { return len(f.cancels) == 1 && len(f.releases) == 1 })
	b.wait(id, "tidy", func(r task.Record) bool { return r.TidyAt == nil })
}

// TestLimits queues as many tasks as one key may have, of which few may run.
func TestLimits(t *testing.T) {
	const unfinished, running = 80, 5
	f := newFake()
	var now, most atomic.Int32
	f.onWatch = func(context.Context, string, int) error {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return nil
	}
	f.onFetch = func(string) (io.ReadCloser, error) {
		now.Add(-1)
		return io.NopCloser(strings.NewReader("x")), nil
	}
	f.script = []provider.Update{done}
	in := rig(t, setup{provider: f, idle: true,
		service: task.Options{Limits: task.Limits{Running: running, Unfinished: unfinished}},
		work:    Options{MaxWorkers: map[string]int{"fake": 2 * running}, SweepEvery: time.Second}})
	var ids []string
	for range unfinished {
		ids = append(ids, in.submit().ID)
	}
	if _, _, err := in.svc.Submit(t.Context(), request); !errors.Is(err, task.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	other := request
	other.KeyID = "key_b"
	if _, _, err := in.svc.Submit(t.Context(), other); err != nil {
		t.Errorf("another key: %v", err)
	}
	in.start()
	for _, id := range ids {
		in.waitState(id, task.Completed)
	}
	if most.Load() > running+1 { // one of the other key
		t.Errorf("%d ran at the same time", most.Load())
	}
	if f.numSubmits() != unfinished+1 {
		t.Errorf("%d submits", f.numSubmits())
	}
}
