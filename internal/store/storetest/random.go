package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

// testRandom does to a few tasks, through two services on one database,
// whatever comes to mind, workers that lost their task included, and checks
// what is promised of every task's events. A failure names its seed.
func testRandom(t *testing.T, open func() Store) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	stores := []Store{open(), open()}
	var services []*task.Service
	for _, s := range stores {
		services = append(services, task.NewService(s, task.Options{
			ProgressEvery: time.Nanosecond, Backoff: time.Nanosecond, Lease: time.Millisecond, MaxLosses: 50,
			Limits: task.Limits{Running: 2, Unfinished: 4}, Logger: slog.New(slog.DiscardHandler),
		}))
	}
	ctx := t.Context()
	var ids []string
	var runs []*task.Run // also those that were taken away long ago
	for step := range 400 {
		s := services[r.IntN(len(services))]
		pick := func() string { return ids[r.IntN(len(ids))] }
		if len(ids) == 0 || r.IntN(20) == 0 {
			q := task.Request{KeyID: "key_a", Kind: task.Video, Provider: "local", Prompt: "x"}
			if r.IntN(4) == 0 {
				q.Timeout = time.Millisecond
			}
			x, _, err := s.Submit(ctx, q)
			allowed(t, "submit", err, task.ErrTooMany)
			if err == nil {
				ids = append(ids, x.ID)
			}
			if len(ids) == 0 {
				continue
			}
		}
		switch r.IntN(6) {
		case 0, 1:
			run, err := s.Start(ctx, pick(), fmt.Sprint("w", r.IntN(3)))
			allowed(t, "start", err, task.ErrFenced, task.ErrBusy)
			if err == nil {
				runs = append(runs, run)
			}
		case 2:
			if r.IntN(8) == 0 {
				_, err := s.Cancel(ctx, "key_a", pick())
				allowed(t, "cancel", err, task.ErrNotCancellable)
			}
		case 3:
			var alone *task.Alone
			if r.IntN(3) == 0 {
				alone = &task.Alone{Owner: "w0", Since: time.Now()}
			}
			_, err := s.Sweep(ctx, alone)
			allowed(t, "sweep", err)
		default:
			if len(runs) > 0 {
				act(ctx, t, r, runs[r.IntN(len(runs))])
			}
		}
		if step%50 == 49 {
			for _, id := range ids {
				check(t, stores[0], id)
			}
		}
	}
}

func allowed(t *testing.T, what string, err error, ok ...error) {
	t.Helper()
	for _, e := range ok {
		if errors.Is(err, e) {
			return
		}
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func act(ctx context.Context, t *testing.T, r *rand.Rand, run *task.Run) {
	var err error
	what := r.IntN(16)
	switch what {
	case 0:
		err = run.Complete(ctx, []task.Output{{MediaKey: "m"}})
	case 1:
		err = run.Fail(ctx, task.Failure{Code: "c"})
	case 2, 3:
		_, err = run.FailAttempt(ctx, task.Failure{Code: "c", Retryable: true})
	case 4:
		err = run.GiveBack(ctx)
	case 5:
		err = run.Intend(ctx, "i")
	case 6:
		err = run.Submitted(ctx, "p")
	case 7:
		err = run.TimeOut(ctx)
	case 8:
		err = run.Flush(ctx)
	default:
		_, err = run.Report(ctx, task.Progress{Percent: r.Float64()*140 - 20, Source: "native"})
	}
	allowed(t, fmt.Sprint("act ", what), err, task.ErrFenced)
}

// check is what is promised of a task.
func check(t *testing.T, s Store, id string) {
	t.Helper()
	rec := get(t, s, id)
	es, err := s.Events(t.Context(), id, 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	progress, ends := 0, 0
	for i, e := range es {
		if i == 0 && (e.Sequence != 1 || e.Name != task.EventProgress) {
			t.Errorf("the first event is %+v", e)
		}
		if i > 0 && e.Sequence <= es[i-1].Sequence {
			t.Errorf("sequence %d after %d", e.Sequence, es[i-1].Sequence)
		}
		if i > 0 && e.Attempt < es[i-1].Attempt {
			t.Errorf("attempt %d after %d", e.Attempt, es[i-1].Attempt)
		}
		if i > 0 && e.Attempt > es[i-1].Attempt {
			progress = 0
		}
		if e.Name == task.EventProgress {
			if e.Progress < progress || e.Progress > 99 {
				t.Errorf("progress %d after %d", e.Progress, progress)
			}
			progress = e.Progress
		}
		if e.Name.Terminal() {
			if ends++; i != len(es)-1 {
				t.Errorf("%s is event %d of %d", e.Name, i+1, len(es))
			}
		}
	}
	if rec.State.Final() != (ends == 1) || ends > 1 {
		t.Errorf("%s with %d ends", rec.State, ends)
	}
	if last := es[len(es)-1]; rec.Sequence != last.Sequence {
		t.Errorf("the task is at %d, its events at %d", rec.Sequence, last.Sequence)
	}
	if (rec.Progress == 100) != (rec.State == task.Completed) {
		t.Errorf("%s at %d %%", rec.State, rec.Progress)
	}
}
