package task

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Progress is what a worker reports.
type Progress struct {
	Percent       float64 // 0..100; published in whole points, rounded down, 99 at most
	Source        string  // "native", "logs", "queue", "partial", "estimate"
	Message       string
	CurrentFrame  int
	TotalFrames   int
	QueuePosition *int
}

// Run is one attempt at a task, held by the worker that started it. Each of
// its writes is fenced by attempt, state and owner: once the task ended or
// another worker has it, they all answer ErrFenced and change nothing.
// Methods may be called at the same time.
type Run struct {
	s     *Service
	owner string

	mu        sync.Mutex
	rec       Record
	begun     time.Time // of this attempt
	lowest    int       // progress published last in this attempt
	fresh     bool      // nothing was published in this attempt: progress may be below that of the one before
	published pace      // when Progress was published
	held      *Progress // newest report that was not published for want of time
}

// pace are the times of the last five Progress, the newest first; its own is
// zero as long as a run has published none.
type pace [5]time.Time

// wait is how long the next one is to be held back: it keeps its distance from
// the run's own before, and a sixth from the first of five, whoever that was.
func (p *pace) wait(every time.Duration) time.Duration {
	return max(every-time.Since(p[0]), time.Duration(len(p))*every-time.Since(p[len(p)-1]))
}

func (p *pace) note(at time.Time) {
	if !p[0].IsZero() {
		copy(p[1:], p[:len(p)-1])
	}
	p[0] = at
}

// Start begins a pending task's attempt for a worker. Errors: ErrFenced when
// there is nothing to start (it runs, or has ended: drop the job); ErrBusy
// when the key has its limit of running tasks (drop the job: the task is
// parked, and queued again when another ends); ErrNotFound.
func (s *Service) Start(ctx context.Context, id, owner string) (*Run, error) {
	var busy bool
	var before time.Time
	rec, err := s.change(ctx, id, func(tx Tx, r *Record) (Change, error) {
		at := now()
		busy, before = false, r.UpdatedAt
		if r.State != Pending || (r.QueueAt != nil && !r.Parked && r.QueueAt.After(at)) {
			return Change{}, ErrFenced
		}
		if !at.Before(r.DeadlineAt) {
			e, err := r.timeOut(at)
			return Change{Event: e}, err
		}
		n, err := tx.Running(r.KeyID)
		if err != nil {
			return Change{}, err
		}
		if n >= s.opts.Limits.Running {
			busy = true
			again := at.Add(10 * time.Second)
			r.Parked, r.QueueAt = true, &again
			return Change{}, nil
		}
		e, err := r.apply(ActStart, at)
		if err != nil {
			return Change{}, err
		}
		r.Parked, r.QueueAt = false, nil
		r.Owner, r.LeaseUntil = owner, at.Add(s.opts.Lease)
		r.Message = "started"
		s.estimate(r, at)
		if r.StartedAt == nil {
			r.StartedAt = &at
		}
		return Change{Event: e}, nil
	})
	switch {
	case err != nil:
		return nil, err
	case busy:
		return nil, ErrBusy
	case rec.State != Running:
		return nil, ErrFenced
	}
	// The Progress before, if any, is not newer than the last change.
	return &Run{s: s, owner: owner, rec: rec, begun: rec.UpdatedAt, lowest: rec.Progress, fresh: rec.Progress > 0, published: pace{1: before}}, nil
}

// Record returns the task as this run knows it.
func (r *Run) Record() Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rec
}

// write is a fenced change by this run. fn's record is running and ours. A
// worker that writes is alive, so its lease begins anew: what it does right
// after a write, buying above all, it does while nobody else may take over.
func (r *Run) write(ctx context.Context, fn func(*Record, time.Time) (Change, error)) error {
	rec, err := r.s.change(ctx, r.rec.ID, func(_ Tx, rec *Record) (Change, error) {
		if rec.State != Running || rec.Attempt != r.rec.Attempt || rec.Owner != r.owner {
			return Change{}, ErrFenced
		}
		at := now()
		rec.LeaseUntil = at.Add(r.s.opts.Lease)
		return fn(rec, at)
	})
	if err != nil {
		return err
	}
	if rec.Attempt == r.rec.Attempt {
		r.rec = rec
	}
	return nil
}

// Intend stores that the provider is about to be called under this intent.
func (r *Run) Intend(ctx context.Context, intent string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(ctx, func(rec *Record, _ time.Time) (Change, error) {
		rec.Intent = intent
		return Change{}, nil
	})
}

// Submitted stores the provider's own id.
func (r *Run) Submitted(ctx context.Context, providerTaskID string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(ctx, func(rec *Record, _ time.Time) (Change, error) {
		rec.ProviderTaskID = providerTaskID
		return Change{}, nil
	})
}

// Report publishes and stores progress when it moved a whole point (or the
// place in the provider's queue changed), upwards within the attempt, not
// sooner than Options.ProgressEvery after the one before, and of all Progress of
// the task no more than that allows in five times as long. wait above zero
// means that it was held back for time: call Flush after that, unless a newer
// report comes first.
func (r *Run) Report(ctx context.Context, p Progress) (wait time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.moved(p) {
		return 0, nil
	}
	if wait := r.published.wait(r.s.opts.ProgressEvery); wait > 0 {
		r.held = &p
		return wait, nil
	}
	return 0, r.report(ctx, p)
}

// Flush publishes the report that was held back, if there is one.
func (r *Run) Flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		return nil
	}
	return r.report(ctx, *r.held)
}

// points are the whole points of p: 100 belongs to Completed alone. Whatever
// is no number counts as nothing.
func (p Progress) points() int {
	switch {
	case p.Percent >= 99:
		return 99
	case p.Percent > 0:
		return int(p.Percent)
	}
	return 0
}

func (r *Run) moved(p Progress) bool {
	n := p.points()
	if n < r.lowest && !r.fresh {
		return false
	}
	return n != r.lowest || !equal(p.QueuePosition, r.rec.QueuePosition)
}

func equal(a, b *int) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func (r *Run) report(ctx context.Context, p Progress) error {
	n := p.points()
	err := r.write(ctx, func(rec *Record, at time.Time) (Change, error) {
		e, err := rec.apply(ActReport, at)
		if err != nil {
			return Change{}, err
		}
		rec.Progress, rec.ProgressSource, rec.Message = n, p.Source, p.Message
		rec.CurrentFrame, rec.TotalFrames, rec.QueuePosition = p.CurrentFrame, p.TotalFrames, p.QueuePosition
		if n > 0 { // better than what was estimated at the start
			end := at.Add(at.Sub(r.begun) * time.Duration(100-n) / time.Duration(n)).Truncate(time.Millisecond)
			rec.EstimatedEnd = &end
		}
		e.Progress, e.ProgressSource, e.Message = n, p.Source, p.Message
		e.CurrentFrame, e.TotalFrames, e.QueuePosition = p.CurrentFrame, p.TotalFrames, p.QueuePosition
		return Change{Event: e}, nil
	})
	if err != nil {
		return err
	}
	r.lowest, r.fresh, r.held = n, false, nil
	r.published.note(time.Now())
	return nil
}

// Complete ends the task with its stored outputs.
func (r *Run) Complete(ctx context.Context, outputs []Output) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(ctx, func(rec *Record, at time.Time) (Change, error) {
		e, err := rec.apply(ActComplete, at)
		if err != nil {
			return Change{}, err
		}
		rec.Progress, rec.Message, rec.Outputs = 100, "completed", outputs
		if rec.TotalFrames > 0 {
			rec.CurrentFrame = rec.TotalFrames
		}
		e.Outputs = outputs
		rec.tidyLater(at, true)
		return Change{Event: e, WakeKey: true}, nil
	})
}

// Fail ends the task without a result.
func (r *Run) Fail(ctx context.Context, f Failure) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(ctx, func(rec *Record, at time.Time) (Change, error) {
		e, err := rec.fail(at, f)
		return Change{Event: e, WakeKey: true}, err
	})
}

func (rec *Record) fail(at time.Time, f Failure) (*Event, error) {
	e, err := rec.apply(ActFail, at)
	if err != nil {
		return nil, err
	}
	rec.Failure, e.Failure = &f, &f
	rec.Message = f.Message
	rec.tidyLater(at, true)
	return e, nil
}

// TimeOut ends the task because its deadline passed.
func (r *Run) TimeOut(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(ctx, func(rec *Record, at time.Time) (Change, error) {
		e, err := rec.timeOut(at)
		return Change{Event: e, WakeKey: true}, err
	})
}

func (rec *Record) timeOut(at time.Time) (*Event, error) {
	worked := rec.State == Running && at.Before(rec.LeaseUntil)
	e, err := rec.apply(ActTimeOut, at)
	if err != nil {
		return nil, err
	}
	f := Failure{Code: "timed_out", Message: fmt.Sprintf("The task did not end within %s.", rec.Timeout)}
	rec.Failure, e.Failure = &f, &f
	rec.Message = f.Message
	rec.tidyLater(at, worked)
	return e, nil
}

// FailAttempt ends the attempt, whose provider has nothing in hand any more.
// A retryable failure makes the task wait for a new attempt, as long as
// Options.MaxAttempts allows; else the task fails. again is when it goes on;
// zero when it does not.
func (r *Run) FailAttempt(ctx context.Context, f Failure) (again time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := func(failures int) bool { return !f.Retryable || failures >= r.s.opts.MaxAttempts }
	if !last(r.rec.Failures + 1) { // its Progress keeps the pace as well
		pause := time.NewTimer(r.published.wait(r.s.opts.ProgressEvery))
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
	err = r.write(ctx, func(rec *Record, at time.Time) (Change, error) {
		rec.Failures++
		if last(rec.Failures) {
			e, err := rec.fail(at, f)
			return Change{Event: e, WakeKey: true}, err
		}
		e, err := rec.apply(ActRetry, at)
		if err != nil {
			return Change{}, err
		}
		again = at.Add(r.s.opts.Backoff << min(rec.Failures-1, 10))
		rec.QueueAt = &again
		rec.Intent, rec.ProviderTaskID = "", ""
		rec.Progress, rec.CurrentFrame, rec.TotalFrames = 0, 0, 0
		rec.QueuePosition, rec.EstimatedEnd = nil, nil
		rec.Message = "waiting to try again"
		e.Message, e.ProgressSource = rec.Message, rec.ProgressSource
		return Change{Event: e, WakeKey: true}, nil
	})
	return again, err
}

// GiveBack queues the task again because this instance stops. What the
// provider has in hand stays there.
func (r *Run) GiveBack(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(ctx, func(rec *Record, at time.Time) (Change, error) {
		_, err := rec.apply(ActGiveBack, at)
		rec.QueuePosition = nil
		return Change{Queue: true}, err
	})
}
