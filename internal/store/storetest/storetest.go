// Package storetest is what every store must pass, whatever database it is on.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// Store is what is tested.
type Store interface {
	task.Store
	key.Store
	Ping(ctx context.Context) error
}

// Run tests a kind of store. database makes a new, empty database, and
// returns a function that opens it, as often as it is called, as another
// process would; it closes what it opened when the test is over.
func Run(t *testing.T, database func(t *testing.T) (open func() Store)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open func() Store)
	}{
		{"Create", testCreate},
		{"Idempotency", testIdempotency},
		{"RepeatedSubmit", testRepeatedSubmit},
		{"Limit", testLimit},
		{"SameKeyAtOnce", testSameKeyAtOnce},
		{"Change", testChange},
		{"ChangeRollsBack", testChangeRollsBack},
		{"OneEnd", testOneEnd},
		{"TwoProcesses", testTwoProcesses},
		{"List", testList},
		{"Events", testEvents},
		{"Leases", testLeases},
		{"Due", testDue},
		{"Parked", testParked},
		{"Prune", testPrune},
		{"Overview", testOverview},
		{"EndedContext", testEndedContext},
		{"Random", testRandom},
		{"Keys", testKeys},
		{"KeyChanges", testKeyChanges},
		{"Sessions", testSessions},
		{"LoginCodes", testLoginCodes},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, database(t)) })
	}
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func creation(n int, change ...func(*task.Creation)) task.Creation {
	id := fmt.Sprintf("task_%032x", n)
	c := task.Creation{
		Record: task.Record{Task: task.Task{
			ID: id, State: task.Pending, Sequence: 1, Attempt: 1, Message: "queued",
			Request: task.Request{
				KeyID: "key_a", Kind: task.Video, Model: "m", Provider: "local", Prompt: "a \"boat\"\n\u2603", Width: 640, Height: 360,
				Duration: 5, FPS: 24, Seed: -7, N: 1, User: "u", ResponseFormat: "url", Timeout: time.Hour,
				BaseURL: "http://127.0.0.1:5000", RequestHash: "h",
			},
			CreatedAt: noon, UpdatedAt: noon, DeadlineAt: noon.Add(time.Hour),
		}},
		Event:      task.Event{TaskID: id, Kind: task.Video, Sequence: 1, Attempt: 1, Name: task.EventProgress, At: noon, Message: "queued", Model: "m"},
		Unfinished: 1000, KeyLife: 24 * time.Hour, RepeatWithin: 2 * time.Minute,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func create(t *testing.T, s Store, c task.Creation) task.Task {
	t.Helper()
	got, created, err := s.Create(t.Context(), c)
	if err != nil || !created {
		t.Fatalf("create: created %v, %v", created, err)
	}
	return got
}

func get(t *testing.T, s Store, id string) task.Record {
	t.Helper()
	rec, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// same fails unless got is want.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func testCreate(t *testing.T, open func() Store) {
	s := open()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	end := noon.Add(time.Minute)
	c := creation(1, func(c *task.Creation) { c.Record.EstimatedEnd = &end })
	same(t, "created", create(t, s, c), c.Record.Task)
	other := open()
	same(t, "read by another process", get(t, other, c.Record.ID), c.Record)
	es, err := other.Events(t.Context(), c.Record.ID, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "events", es, []task.Event{c.Event})
	if _, err := s.Get(t.Context(), "task_none"); !errors.Is(err, task.ErrNotFound) {
		t.Errorf("an unknown task: %v", err)
	}
	if _, _, err := s.Create(t.Context(), c); err == nil {
		t.Error("the same id twice")
	}
}

func testIdempotency(t *testing.T, open func() Store) {
	s := open()
	with := func(n int, keyID, name, hash string, at time.Time) task.Creation {
		return creation(n, func(c *task.Creation) {
			c.Record.KeyID, c.Record.IdempotencyKey, c.Record.RequestHash, c.Record.CreatedAt = keyID, name, hash, at
		})
	}
	first := create(t, s, with(1, "key_a", "x", "h", noon))
	for _, c := range []struct {
		name    string
		c       task.Creation
		want    string // id
		created bool
		err     error
	}{
		{"the same", with(2, "key_a", "x", "h", noon.Add(time.Hour)), first.ID, false, nil},
		{"other fields", with(3, "key_a", "x", "i", noon.Add(time.Hour)), "", false, task.ErrKeyReused},
		{"of another key", with(4, "key_b", "x", "h", noon.Add(time.Hour)), creation(4).Record.ID, true, nil},
		{"another name", with(5, "key_a", "y", "h", noon.Add(time.Hour)), creation(5).Record.ID, true, nil},
		{"no name", with(6, "key_a", "", "h", noon.Add(time.Hour)), creation(6).Record.ID, true, nil},
		{"at a full limit", func() task.Creation {
			c := with(7, "key_a", "x", "h", noon.Add(time.Hour))
			c.Unfinished = 1
			return c
		}(), first.ID, false, nil},
		{"a day later", with(8, "key_a", "x", "i", noon.Add(24*time.Hour)), creation(8).Record.ID, true, nil},
		{"and again", with(9, "key_a", "x", "i", noon.Add(25*time.Hour)), creation(8).Record.ID, false, nil},
	} {
		got, created, err := s.Create(t.Context(), c.c)
		if got.ID != c.want || created != c.created || !errors.Is(err, c.err) {
			t.Errorf("%s: %s, created %v, %v; want %s, %v, %v", c.name, got.ID, created, err, c.want, c.created, c.err)
		}
	}
}

func testRepeatedSubmit(t *testing.T, open func() Store) {
	s := open()
	first := create(t, s, creation(1))
	create(t, s, creation(2, func(c *task.Creation) { c.Record.RetryOf = first.ID; c.Record.CreatedAt = noon.Add(time.Second) }))
	again := func(n int, hash string, after time.Duration) task.Creation {
		return creation(n, func(c *task.Creation) {
			c.Record.RetryAttempt, c.Record.RequestHash, c.Record.CreatedAt = true, hash, noon.Add(after)
		})
	}
	for _, c := range []struct {
		name    string
		c       task.Creation
		want    string
		created bool
	}{
		{"within two minutes", again(3, "h", 119*time.Second), first.ID, false},
		{"other fields", again(4, "i", 119*time.Second), creation(4).Record.ID, true},
		{"later", again(5, "h", 120*time.Second), creation(5).Record.ID, true},
	} {
		got, created, err := s.Create(t.Context(), c.c)
		if err != nil || got.ID != c.want || created != c.created {
			t.Errorf("%s: %s, created %v, %v", c.name, got.ID, created, err)
		}
	}
}

func testLimit(t *testing.T, open func() Store) {
	s := open()
	limit := func(c *task.Creation) { c.Unfinished = 2 }
	create(t, s, creation(1, limit))
	create(t, s, creation(2, limit))
	if _, _, err := s.Create(t.Context(), creation(3, limit)); !errors.Is(err, task.ErrTooMany) {
		t.Errorf("a third: %v", err)
	}
	if _, err := s.Get(t.Context(), creation(3).Record.ID); !errors.Is(err, task.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
	create(t, s, creation(4, limit, func(c *task.Creation) { c.Record.KeyID = "key_b" }))
	unfinished := func(want ...int) {
		t.Helper()
		for i, keyID := range []string{"key_a", "key_b", "key_none"} {
			if n, err := s.Unfinished(t.Context(), keyID); err != nil || n != want[i] {
				t.Errorf("unfinished of %s: %d, %v; want %d", keyID, n, err, want[i])
			}
		}
	}
	unfinished(2, 1, 0)
	finish(t, s, creation(1).Record.ID, task.Cancelled, noon)
	unfinished(1, 1, 0)
	create(t, s, creation(3, limit))
}

// finish ends a task without rules.
func finish(t *testing.T, s Store, id string, state task.State, at time.Time, outputs ...task.Output) {
	t.Helper()
	_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.State, r.CompletedAt, r.Owner, r.LeaseUntil, r.Outputs = state, &at, "", time.Time{}, outputs
		r.Sequence++
		name := map[task.State]task.EventName{task.Completed: task.EventCompleted, task.Cancelled: task.EventCancelled}[state]
		return task.Change{Event: &task.Event{TaskID: id, Kind: r.Kind, Sequence: r.Sequence, Attempt: r.Attempt, Name: name, At: at, Outputs: outputs}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run makes a task running.
func run(t *testing.T, s Store, id, owner string, until time.Time) {
	t.Helper()
	_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.State, r.Owner, r.LeaseUntil = task.Running, owner, until
		return task.Change{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testSameKeyAtOnce(t *testing.T, open func() Store) {
	stores := []Store{open(), open()}
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			got, _, err := stores[i%2].Create(t.Context(), creation(i, func(c *task.Creation) { c.Record.IdempotencyKey = "x" }))
			if err != nil {
				t.Error(err)
			}
			ids[i] = got.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several tasks: %v", ids)
		}
	}
}

func testChange(t *testing.T, open func() Store) {
	s := open()
	id := create(t, s, creation(1)).ID
	later, position := noon.Add(time.Minute), 3
	var want task.Record
	got, err := s.Change(t.Context(), id, func(tx task.Tx, r *task.Record) (task.Change, error) {
		if n, err := tx.Running("key_a"); n != 0 || err != nil {
			t.Errorf("%d run, %v", n, err)
		}
		r.State, r.Owner, r.LeaseUntil, r.Sequence, r.Attempt = task.Running, "w", later, 2, 4
		r.Progress, r.ProgressSource, r.Message, r.CurrentFrame, r.TotalFrames, r.QueuePosition = 99, "native", "m", 5, 6, &position
		r.Intent, r.ProviderTaskID, r.Failures, r.Losses = "i", "p", 1, 2
		r.StartedAt, r.UpdatedAt, r.EstimatedEnd, r.TidyAt = &later, later, &later, &later
		r.Outputs = []task.Output{{Index: 0, MediaKey: "k", Bytes: 1 << 40, Duration: 1.5}}
		r.Failure = &task.Failure{Code: "c", Message: "m", Retryable: true}
		want = *r
		return task.Change{Event: &task.Event{TaskID: id, Kind: task.Video, Sequence: 2, Attempt: 4, Name: task.EventStarted, At: later}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "returned", got, want)
	same(t, "stored", get(t, s, id), want)
	_, err = s.Change(t.Context(), id, func(tx task.Tx, r *task.Record) (task.Change, error) {
		if n, err := tx.Running("key_a"); n != 1 || err != nil {
			t.Errorf("%d run, %v", n, err)
		}
		r.Progress = 1
		return task.Change{NoRecord: true}, nil
	})
	if err != nil {
		t.Error(err)
	}
	same(t, "after a change of nothing", get(t, s, id), want)
	_, err = s.Change(t.Context(), "task_none", func(task.Tx, *task.Record) (task.Change, error) { return task.Change{}, nil })
	if !errors.Is(err, task.ErrNotFound) {
		t.Errorf("an unknown task: %v", err)
	}
}

func testChangeRollsBack(t *testing.T, open func() Store) {
	s := open()
	id := create(t, s, creation(1)).ID
	before := get(t, s, id)
	oops := errors.New("oops")
	_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.Progress = 50
		return task.Change{}, oops
	})
	if !errors.Is(err, oops) {
		t.Errorf("%v", err)
	}
	_, err = s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.Progress = 50 // stored with an event that cannot be
		return task.Change{Queue: true, Event: &task.Event{TaskID: id, Sequence: 1, Attempt: 1, Name: task.EventProgress, At: noon}}, nil
	})
	if err == nil {
		t.Error("two events of one sequence")
	}
	same(t, "record", get(t, s, id), before)
}

func testOneEnd(t *testing.T, open func() Store) {
	s := open()
	id := create(t, s, creation(1)).ID
	finish(t, s, id, task.Completed, noon)
	_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.Sequence++
		return task.Change{Event: &task.Event{TaskID: id, Sequence: r.Sequence, Attempt: 1, Name: task.EventFailed, At: noon}}, nil
	})
	if err == nil {
		t.Error("a second end was stored")
	}
}

func testTwoProcesses(t *testing.T, open func() Store) {
	stores := []Store{open(), open()}
	id := create(t, stores[0], creation(1)).ID
	const each = 25
	var wg sync.WaitGroup
	for _, s := range stores {
		for range 2 {
			wg.Go(func() {
				for range each {
					_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
						r.Sequence++
						return task.Change{Event: &task.Event{TaskID: id, Sequence: r.Sequence, Attempt: 1, Name: task.EventProgress, At: noon}}, nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if rec := get(t, stores[0], id); rec.Sequence != 1+4*each {
		t.Errorf("sequence %d", rec.Sequence)
	}
}

func testList(t *testing.T, open func() Store) {
	s := open()
	var all []string
	for n := range 25 {
		c := creation(n, func(c *task.Creation) {
			if n%5 == 0 {
				c.Record.Kind = task.Image
			}
		})
		all = append([]string{create(t, s, c).ID}, all...)
	}
	foreign := create(t, s, creation(100, func(c *task.Creation) { c.Record.KeyID = "key_b" })).ID
	finish(t, s, all[3], task.Cancelled, noon)
	finish(t, s, all[7], task.Completed, noon)

	pages := func(q task.ListQuery) (ids []string) {
		for {
			p, err := s.List(t.Context(), "key_a", q)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range p.Tasks {
				ids = append(ids, x.ID)
			}
			if !p.HasMore {
				return ids
			}
			if len(p.Tasks) != q.Limit {
				t.Fatalf("a page of %d", len(p.Tasks))
			}
			q.After = p.Tasks[len(p.Tasks)-1].ID
		}
	}
	same(t, "all, by tens", pages(task.ListQuery{Limit: 10}), all)
	same(t, "all, by fives", pages(task.ListQuery{Limit: 5}), all)
	same(t, "two states", pages(task.ListQuery{Limit: 1, States: []task.State{task.Cancelled, task.Completed}}), []string{all[3], all[7]})
	if got := pages(task.ListQuery{Limit: 2, Kind: task.Image}); len(got) != 5 {
		t.Errorf("images %v", got)
	}
	for _, after := range []string{foreign, "task_none"} {
		if _, err := s.List(t.Context(), "key_a", task.ListQuery{Limit: 5, After: after}); !errors.Is(err, task.ErrNotFound) {
			t.Errorf("after %s: %v", after, err)
		}
	}
	if p, err := s.List(t.Context(), "key_none", task.ListQuery{Limit: 5}); err != nil || len(p.Tasks) != 0 || p.HasMore {
		t.Errorf("%+v, %v", p, err)
	}
}

func testEvents(t *testing.T, open func() Store) {
	s := open()
	id := create(t, s, creation(1)).ID
	position := 0
	want := []task.Event{
		creation(1).Event,
		{TaskID: id, Kind: task.Video, Sequence: 2, Attempt: 1, Name: task.EventStarted, At: noon, BaseURL: "http://x"},
		{TaskID: id, Kind: task.Video, Sequence: 5, Attempt: 2, Name: task.EventProgress, At: noon.Add(time.Millisecond), Progress: 31,
			ProgressSource: "native", Message: "frame 37 of 120", CurrentFrame: 37, TotalFrames: 120, QueuePosition: &position},
		{TaskID: id, Kind: task.Video, Sequence: 6, Attempt: 2, Name: task.EventStarted, At: noon},
		{TaskID: id, Kind: task.Video, Sequence: 7, Attempt: 2, Name: task.EventFailed, At: noon, Failure: &task.Failure{Code: "c", Message: "m", Retryable: true}},
	}
	latest := []int{0, 0, 2, 2, 4} // index of the newest Progress or end
	for i, e := range want {
		if i > 0 {
			_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
				r.Sequence, r.Attempt = e.Sequence, e.Attempt
				return task.Change{Event: &e}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Latest(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "latest", got, want[latest[i]])
	}
	for _, c := range []struct {
		after int64
		limit int
		want  []task.Event
	}{{0, 10, want}, {1, 10, want[1:]}, {2, 2, want[2:4]}, {3, 10, want[2:]}, {7, 10, nil}, {99, 10, nil}} {
		got, err := s.Events(t.Context(), id, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("after %d, at most %d", c.after, c.limit), got, c.want)
	}
	if _, err := s.Latest(t.Context(), "task_none"); !errors.Is(err, task.ErrNotFound) {
		t.Errorf("an unknown task: %v", err)
	}
}

func testEndedContext(t *testing.T, open func() Store) {
	s := open()
	id := create(t, s, creation(1)).ID
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Create(ctx, creation(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("create: %v", err)
	}
	if _, err := s.Get(ctx, id); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	// And the connection is still good.
	create(t, s, creation(2))
}
