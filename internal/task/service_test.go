package task

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var video = Request{KeyID: "key_a", Kind: Video, Model: "m", Provider: "p", Prompt: "x", BaseURL: "http://h"}

func quiet(o Options) Options {
	o.Logger = slog.New(slog.DiscardHandler)
	return o
}

// begun is a task that runs.
func begun(t *testing.T, s *Service) *Run {
	t.Helper()
	x, _, err := s.Submit(t.Context(), video)
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.Start(t.Context(), x.ID, "w")
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			kind    Kind
			timeout time.Duration
			want    time.Duration
		}{{Video, 0, time.Hour}, {Video, time.Minute, time.Minute}, {Video, 3 * time.Hour, time.Hour}, {Image, 0, 5 * time.Minute}, {Image, time.Hour, 5 * time.Minute}} {
			m := newMemory()
			s := NewService(m, quiet(Options{}))
			q := video
			q.Kind, q.Timeout = c.kind, c.timeout
			x, created, err := s.Submit(t.Context(), q)
			if err != nil || !created {
				t.Fatal(created, err)
			}
			if got := x.DeadlineAt.Sub(x.CreatedAt); got != c.want {
				t.Errorf("%s with %s: deadline after %s", c.kind, c.timeout, got)
			}
			if x.State != Pending || x.Sequence != 1 || x.Attempt != 1 || len(m.jobs) != 1 {
				t.Errorf("%+v, jobs %v", x, m.jobs)
			}
			es, err := s.Events(t.Context(), "key_a", x.ID, 0)
			if err != nil || len(es) != 1 || es[0].Name != EventProgress || es[0].Message != "queued" || es[0].BaseURL != "http://h" {
				t.Errorf("%+v, %v", es, err)
			}
		}
	})
}

func TestDefaults(t *testing.T) {
	o := Options{}.withDefaults()
	o.Logger = nil
	want := Options{
		Limits: Limits{Running: 10, Unfinished: 1000}, VideoDeadline: time.Hour, ImageDeadline: 5 * time.Minute, MaxAttempts: 3, MaxLosses: 10,
		ProgressEvery: time.Second / 5, Lease: 15 * time.Second, Backoff: 2 * time.Second,
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("%+v", o)
	}
}

// What a provider estimates counts from the submission, then from the start of
// the work, until there is progress to tell more.
func TestEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, estimate := range []func(Request) time.Duration{nil, func(Request) time.Duration { return 0 }} {
			s := NewService(newMemory(), quiet(Options{Estimate: estimate}))
			if x, _, err := s.Submit(t.Context(), video); err != nil || x.EstimatedEnd != nil {
				t.Errorf("unknown: %v, %v", x.EstimatedEnd, err)
			}
		}
		s := NewService(newMemory(), quiet(Options{Estimate: func(r Request) time.Duration { return time.Minute }}))
		left := func(x Task) time.Duration {
			if x.EstimatedEnd == nil {
				return -1
			}
			return x.EstimatedEnd.Sub(now())
		}
		x, _, err := s.Submit(t.Context(), video)
		if err != nil || left(x) != time.Minute {
			t.Fatal(left(x), err)
		}
		time.Sleep(10 * time.Minute) // in the queue
		run, err := s.Start(t.Context(), x.ID, "w")
		if err != nil || left(run.Record().Task) != time.Minute {
			t.Fatal(left(run.Record().Task), err)
		}
		time.Sleep(10 * time.Second)
		if _, err := run.Report(t.Context(), Progress{Percent: 50, Source: "native"}); err != nil || left(run.Record().Task) != 10*time.Second {
			t.Error(left(run.Record().Task), err)
		}
	})
}

// TestOwners asks for a task with another key, and for what is none.
func TestOwners(t *testing.T) {
	s := NewService(newMemory(), quiet(Options{}))
	x, _, err := s.Submit(t.Context(), video)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "key_a", "video_"+x.ID[len("task_"):]); err != nil || got.ID != x.ID {
		t.Errorf("%+v, %v", got, err)
	}
	for _, who := range []struct{ key, id string }{{"key_b", x.ID}, {"", x.ID}, {"key_a", newID()}, {"key_a", "'; DROP TABLE tasks"}, {"key_a", ""}} {
		_, e1 := s.Get(t.Context(), who.key, who.id)
		_, e2 := s.Cancel(t.Context(), who.key, who.id)
		_, _, e3 := s.Retry(t.Context(), who.key, who.id, Again{})
		_, e4 := s.Events(t.Context(), who.key, who.id, 0)
		_, e5 := s.Latest(t.Context(), who.key, who.id)
		for i, err := range []error{e1, e2, e3, e4, e5} {
			if err == nil || err.Error() != ErrNotFound.Error() {
				t.Errorf("%v, call %d: %v", who, i, err)
			}
		}
	}
}

func TestRetry(t *testing.T) {
	s := NewService(newMemory(), quiet(Options{}))
	run := begun(t, s)
	id := run.Record().ID
	if _, _, err := s.Retry(t.Context(), "key_a", id, Again{}); !errors.Is(err, ErrNotRetryable) {
		t.Errorf("running: %v", err)
	}
	if err := run.Fail(t.Context(), Failure{Code: "content_policy"}); err != nil {
		t.Fatal(err)
	}
	again, _, err := s.Retry(t.Context(), "key_a", id, Again{BaseURL: "http://other"})
	if err != nil || again.ID == id || again.RetryOf != id || again.BaseURL != "http://other" || again.Prompt != "x" || again.State != Pending {
		t.Errorf("%+v, %v", again, err)
	}
	if _, _, err := s.Retry(t.Context(), "key_a", again.ID, Again{}); !errors.Is(err, ErrNotRetryable) {
		t.Errorf("pending: %v", err)
	}
	run = begun(t, s)
	if err := run.Complete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Retry(t.Context(), "key_a", run.Record().ID, Again{}); !errors.Is(err, ErrNotRetryable) {
		t.Errorf("completed: %v", err)
	}
}

// TestThinning reports a frame every 10 ms for two seconds.
func TestThinning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := NewService(m, quiet(Options{}))
		run := begun(t, s)
		begin := time.Now()
		for frame := range 200 {
			wait, err := run.Report(t.Context(), Progress{Percent: float64(frame) / 2, Source: "native", CurrentFrame: frame})
			if err != nil {
				t.Fatal(err)
			}
			if wait > 400*time.Millisecond || frame == 2 && wait > 0 { // the first point is not held back
				t.Errorf("frame %d: wait %s", frame, wait)
			}
			time.Sleep(10 * time.Millisecond)
		}
		es := slices.DeleteFunc(slices.Clone(m.events[run.Record().ID]), func(e Event) bool { return e.Name != EventProgress })
		if len(es) < 9 || len(es) > 11 {
			t.Errorf("%d events in two seconds", len(es))
		}
		for i, e := range es { // the first is that of the submission
			if i > 1 && e.At.Sub(es[i-1].At) < 200*time.Millisecond || i > 0 && e.Progress <= es[i-1].Progress {
				t.Errorf("%+v after %+v", e, es[i-1])
			}
			if i > 4 && e.At.Sub(es[i-5].At) < time.Second {
				t.Errorf("%d to %d, six Progress, in %s", i-5, i, e.At.Sub(es[i-5].At))
			}
			if e.Progress != e.CurrentFrame/2 {
				t.Errorf("%d %% with frame %d", e.Progress, e.CurrentFrame)
			}
		}
		last := es[len(es)-1].Progress
		time.Sleep(time.Until(begin.Add(3 * time.Second)))
		if err := run.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := run.Flush(t.Context()); err != nil { // nothing more is held
			t.Fatal(err)
		}
		es = m.events[run.Record().ID]
		if e := es[len(es)-1]; e.Progress != 99 || last >= 99 {
			t.Errorf("the held report came as %+v", e)
		}
	})
}

func TestProgressPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := NewService(m, quiet(Options{}))
		run := begun(t, s)
		id := run.Record().ID
		one, two := 1, 2
		for _, c := range []struct {
			p    Progress
			want int // progress published; -1: nothing
		}{
			{Progress{Percent: 0}, -1}, // the first event has said so
			{Progress{Percent: 0.9}, -1},
			{Progress{Percent: math.NaN()}, -1},
			{Progress{Percent: math.Inf(-1)}, -1},
			{Progress{Percent: 0, QueuePosition: &two}, 0},
			{Progress{Percent: 0, QueuePosition: &two}, -1},
			{Progress{Percent: 0, QueuePosition: &one}, 0},
			{Progress{Percent: 1.2}, 1},
			{Progress{Percent: 1.9}, -1},
			{Progress{Percent: 50}, 50},
			{Progress{Percent: 49}, -1},
			{Progress{Percent: -5}, -1},
			{Progress{Percent: 98.99}, 98},
			{Progress{Percent: 100}, 99},
			{Progress{Percent: math.Inf(1)}, -1},
		} {
			time.Sleep(time.Second)
			n := len(m.events[id])
			if wait, err := run.Report(t.Context(), c.p); err != nil || wait != 0 {
				t.Fatal(wait, err)
			}
			es := m.events[id][n:]
			if c.want < 0 && len(es) > 0 || c.want >= 0 && (len(es) != 1 || es[0].Progress != c.want) {
				t.Errorf("%+v: %+v", c.p, es)
			}
		}
	})
}

// TestAttempts fails a task until it may not be tried again.
func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := NewService(m, quiet(Options{}))
		run := begun(t, s)
		id := run.Record().ID
		var pauses []time.Duration
		for attempt := 1; ; attempt++ {
			if got := run.Record().Attempt; got != attempt {
				t.Errorf("attempt %d, want %d", got, attempt)
			}
			time.Sleep(time.Second)
			if _, err := run.Report(t.Context(), Progress{Percent: 40}); err != nil {
				t.Fatal(err)
			}
			reported := time.Now()
			again, err := run.FailAttempt(t.Context(), Failure{Code: "provider_unavailable", Retryable: true})
			if d := time.Since(reported); !again.IsZero() && d != 200*time.Millisecond || again.IsZero() && d != 0 {
				t.Errorf("attempt %d: its end came %s after its Progress", attempt, d)
			}
			if err != nil {
				t.Fatal(err)
			}
			if again.IsZero() {
				break
			}
			if err := run.Intend(t.Context(), "late"); !errors.Is(err, ErrFenced) {
				t.Errorf("a write after the attempt: %v", err)
			}
			pauses = append(pauses, time.Until(again))
			if _, err := s.Start(t.Context(), id, "w"); !errors.Is(err, ErrFenced) {
				t.Errorf("start in the pause: %v", err)
			}
			time.Sleep(time.Until(again))
			jobs := len(m.jobs)
			if _, err := s.Sweep(t.Context(), nil); err != nil || len(m.jobs) != jobs+1 {
				t.Fatal(err, m.jobs)
			}
			if run, err = s.Start(t.Context(), id, "w"); err != nil {
				t.Fatal(err)
			}
		}
		if want := []time.Duration{2 * time.Second, 4 * time.Second}; !slices.Equal(pauses, want) {
			t.Errorf("pauses %v", pauses)
		}
		var names []EventName
		for _, e := range m.events[id] {
			names = append(names, e.Name)
		}
		want := []EventName{EventProgress, EventStarted, EventProgress, EventProgress, EventStarted, EventProgress, EventProgress, EventStarted, EventProgress, EventFailed}
		if !slices.Equal(names, want) {
			t.Errorf("events %v", names)
		}
	})
}

// TestResumed lets a worker vanish; the next one may report less than it did.
func TestResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := NewService(m, quiet(Options{}))
		old := begun(t, s)
		id := old.Record().ID
		if err := old.Submitted(t.Context(), "p1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := old.Report(t.Context(), Progress{Percent: 60}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second)
		if _, err := s.Sweep(t.Context(), nil); err != nil || m.recs[id].State != Running {
			t.Fatalf("%v, %+v", err, m.recs[id])
		}
		time.Sleep(time.Second)
		if _, err := s.Sweep(t.Context(), nil); err != nil || m.recs[id].State != Pending || m.recs[id].ProviderTaskID != "p1" {
			t.Fatalf("%v, %+v", err, m.recs[id])
		}
		run, err := s.Start(t.Context(), id, "w")
		if err != nil {
			t.Fatal(err)
		}
		before := m.recs[id]
		for write, err := range map[string]error{
			"Intend": old.Intend(t.Context(), ""), "Submitted": old.Submitted(t.Context(), "p0"), "Complete": old.Complete(t.Context(), nil),
			"Fail": old.Fail(t.Context(), Failure{}), "GiveBack": old.GiveBack(t.Context()), "TimeOut": old.TimeOut(t.Context()),
			"FailAttempt": second(old.FailAttempt(t.Context(), Failure{Retryable: true})), "Report": second(old.Report(t.Context(), Progress{Percent: 90})),
		} {
			if !errors.Is(err, ErrFenced) {
				t.Errorf("%s by the old worker: %v", write, err)
			}
		}
		if after := m.recs[id]; !reflect.DeepEqual(before, after) {
			t.Errorf("the old worker changed %+v to %+v", before, after)
		}
		for _, p := range []float64{40, 39, 70} {
			time.Sleep(time.Second)
			if _, err := run.Report(t.Context(), Progress{Percent: p}); err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		for _, e := range m.events[id] {
			if e.Name == EventProgress {
				got = append(got, e.Progress)
			}
		}
		if !slices.Equal(got, []int{0, 60, 40, 70}) {
			t.Errorf("progress %v", got)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestLate lets the deadline pass at several places.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := NewService(m, quiet(Options{}))
		x, _, err := s.Submit(t.Context(), video)
		if err != nil {
			t.Fatal(err)
		}
		dead := begun(t, s).Record().ID
		time.Sleep(time.Hour)
		if _, err := s.Start(t.Context(), x.ID, "w"); !errors.Is(err, ErrFenced) {
			t.Errorf("start: %v", err)
		}
		if _, err := s.Sweep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{x.ID, dead} {
			r := m.recs[id]
			es := m.events[id]
			if e := es[len(es)-1]; r.State != TimedOut || e.Name != EventFailed || e.Failure.Code != "timed_out" {
				t.Errorf("%s, %+v", r.State, e)
			}
		}
	})
}

// noted is a publisher that notes what it is told.
type noted struct {
	mu     sync.Mutex
	events []Event
	do     func(context.Context, Event) error
}

func (n *noted) Publish(ctx context.Context, e Event) error {
	n.mu.Lock()
	n.events = append(n.events, e)
	n.mu.Unlock()
	if n.do != nil {
		return n.do(ctx, e)
	}
	return nil
}

// TestPublishers has one that is good, one that fails, one that panics, and
// one that never comes back.
func TestPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, late := &noted{}, &noted{}
		bad := &noted{do: func(context.Context, Event) error { return errors.New("no") }}
		mad := &noted{do: func(context.Context, Event) error { panic("oh") }}
		slow := &noted{do: func(ctx context.Context, _ Event) error { <-ctx.Done(); return ctx.Err() }}
		m := newMemory()
		s := NewService(m, quiet(Options{Publishers: []Publisher{slow, bad, mad, good}}))
		before := time.Now()
		run := begun(t, s)
		s.AddPublisher(late)
		for p := range 100 {
			if _, err := run.Report(t.Context(), Progress{Percent: float64(p)}); err != nil {
				t.Fatal(err)
			}
			if err := run.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := run.Complete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := time.Since(before); d != 0 {
			t.Errorf("the task waited %s for its publishers", d)
		}
		want := m.events[run.Record().ID]
		for name, p := range map[string]*noted{"good": good, "bad": bad, "mad": mad} {
			if len(p.events) != len(want) {
				t.Errorf("%s was told %d of %d", name, len(p.events), len(want))
			}
			for i, e := range p.events {
				if i < len(want) && e.Sequence != want[i].Sequence {
					t.Errorf("%s: event %d has sequence %d", name, i, e.Sequence)
				}
			}
		}
		if len(late.events) != len(want)-2 {
			t.Errorf("the late one was told %d", len(late.events))
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: %v", err)
		}
		if err := s.Flush(t.Context()); err != nil { // ten seconds for each event
			t.Error(err)
		}
		if len(slow.events) != len(want) {
			t.Errorf("the slow one was told %d", len(slow.events))
		}
	})
}

func TestFeed(t *testing.T) {
	f := NewFeed()
	id := newID()
	wake, cancel := f.Subscribe("video_" + id[len("task_"):])
	second, cancelSecond := f.Subscribe(id)
	told := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	for range 3 {
		if err := f.Publish(t.Context(), Event{TaskID: id}); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.Publish(t.Context(), Event{TaskID: newID()})
	if !told(wake) || told(wake) || !told(second) {
		t.Error("not woken once")
	}
	cancel()
	cancel()
	_ = f.Publish(t.Context(), Event{TaskID: id})
	if told(wake) || !told(second) {
		t.Error("cancelled ones are woken, or others are not")
	}
	cancelSecond()
	if len(f.waiting) != 0 {
		t.Errorf("left behind: %v", f.waiting)
	}
}
