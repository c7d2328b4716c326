package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/riverqueue/river"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// attempt is one run at a task by a provider.
type attempt struct {
	w   *Workers
	p   provider.Provider
	run *task.Run
	rec task.Record // as it was started
	id  string      // the provider's; "" before it is known
	log *slog.Logger

	bought bool // id came of a Submit of this attempt
}

// failed is how an attempt ends without a result.
type failed struct {
	task.Failure
	again bool // a new attempt may mend it
}

func (f *failed) Error() string { return f.Code + ": " + f.Message }

// work is what River calls for a job. It returns an error only to be called
// again.
func (w *Workers) work(ctx context.Context, job *river.Job[task.Job]) error {
	p := w.providers[job.Queue]
	if w.runs.Err() != nil || p == nil {
		return river.JobSnooze(time.Second) // for another instance, or after a restart
	}
	run, err := w.o.Service.Start(ctx, job.Args.TaskID, w.owner)
	switch {
	case errors.Is(err, task.ErrFenced), errors.Is(err, task.ErrBusy), errors.Is(err, task.ErrNotFound):
		return nil // nothing to do, or not now: the sweeper or another task's end queues it
	case err != nil:
		w.o.Logger.Warn("a task could not be started", "task", job.Args.TaskID, "error", err)
		return river.JobSnooze(time.Second)
	}
	rec := run.Record()
	a := &attempt{
		w: w, p: p, run: run, rec: rec, id: rec.ProviderTaskID,
		log: w.o.Logger.With("task", rec.ID, "attempt", rec.Attempt, "provider", rec.Provider),
	}
	timed, cancelTimed := context.WithDeadlineCause(w.runs, rec.DeadlineAt, errLate)
	defer cancelTimed()
	own, cancel := context.WithCancelCause(timed)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { cancel(errStopping) }) // River stops the hard way
	defer stop()

	w.mu.Lock()
	if x := w.active[rec.ID]; x != nil {
		x.cancel(errTaken) // a lost attempt that has not noticed yet
	}
	w.active[rec.ID] = &active{run: run, id: rec.ID, number: rec.Attempt, cancel: cancel, until: rec.LeaseUntil}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if x := w.active[rec.ID]; x != nil && x.run == run {
			delete(w.active, rec.ID)
		}
	}()
	// At the deadline the task ends, whatever the provider is doing then.
	late := make(chan struct{})
	punctual := context.AfterFunc(own, func() {
		defer close(late)
		if errors.Is(context.Cause(own), errLate) && a.last(a.run.TimeOut) {
			a.log.Info("task timed out")
		}
	})
	a.settle(own, a.lead(own))
	if !punctual() {
		<-late
	}
	return nil
}

// lead takes the attempt from where the stored record stands to its end. nil
// means that Completed is stored.
func (a *attempt) lead(ctx context.Context) error {
	if a.id == "" {
		if err := a.submit(ctx); err != nil {
			return err
		}
	}
	done, err := a.watch(ctx)
	if err != nil {
		return err
	}
	outputs, err := a.keepOutputs(ctx, done.Outputs)
	if err != nil {
		return err
	}
	err = a.persist(ctx, func(ctx context.Context) error { return a.run.Complete(ctx, outputs) })
	if err != nil && !a.completed(outputs) {
		return err
	}
	a.dropEarlier(outputs)
	return nil
}

// completed finds out whether a Complete that ended with an error was stored
// all the same. Outputs that surely belong to no task are deleted.
func (a *attempt) completed(outputs []task.Output) bool {
	ctx, cancel := aside(5 * time.Second)
	defer cancel()
	rec, err := a.w.o.Service.Record(ctx, a.rec.ID)
	switch {
	case err != nil, rec.State == task.Running && rec.Attempt == a.rec.Attempt:
		return false // it may still be stored: by a commit under way, not by us
	case rec.State == task.Completed && rec.Attempt == a.rec.Attempt:
		return true
	}
	a.dropOutputs(outputs)
	return false
}

// settle records how the attempt ended, and lets the provider go.
func (a *attempt) settle(ctx context.Context, err error) {
	if err == nil {
		a.log.Info("task completed")
		a.tidy(false)
		return
	}
	var f *failed
	isFailed := errors.As(err, &f)
	cause := context.Cause(ctx)
	switch {
	case isFailed && cause == nil, isFailed && errors.Is(cause, errStopping):
		a.settleFailure(ctx, f)
	case errors.Is(cause, errLate):
		if a.last(a.run.TimeOut) {
			a.log.Info("task timed out")
			a.tidy(true)
			return
		}
		a.abandon()
	case errors.Is(cause, errStopping):
		if a.last(a.run.GiveBack) {
			a.log.Info("task given back")
			return
		}
		a.abandon()
	default: // taken away
		a.abandon()
	}
}

func (a *attempt) settleFailure(ctx context.Context, f *failed) {
	var again time.Time
	err := a.persist(ctx, func(ctx context.Context) (err error) {
		if f.again {
			again, err = a.run.FailAttempt(ctx, f.Failure)
			return err
		}
		return a.run.Fail(ctx, f.Failure)
	})
	switch {
	case err != nil && !errors.Is(err, task.ErrFenced) && errors.Is(context.Cause(ctx), errLate):
		a.settle(ctx, err)
	case err != nil:
		a.abandon()
	case again.IsZero():
		a.log.Info("task failed", "code", f.Code)
		a.tidy(true)
	default:
		a.log.Info("attempt failed, the task waits for the next", "code", f.Code, "next", again)
		a.letGo(context.Background(), a.id, true)
	}
}

// abandon is for a run that was taken away. If the task has ended, or goes on
// with something else, the provider is told.
func (a *attempt) abandon() {
	ctx, cancel := aside(5 * time.Second)
	defer cancel()
	rec, err := a.w.o.Service.Record(ctx, a.rec.ID)
	switch {
	case err != nil:
		a.log.Warn("work was stopped", "error", err)
	case rec.State.Final() && rec.State != task.Completed && rec.Attempt == a.rec.Attempt:
		a.log.Info("work was stopped", "state", rec.State)
		a.tidy(true)
	case a.bought && rec.ProviderTaskID != a.id && (rec.ProviderTaskID != "" || rec.State.Final()):
		a.log.Warn("the provider took a task that goes on without it: it is told to stop", "state", rec.State)
		a.letGo(context.Background(), a.id, true)
	default:
		a.log.Info("work was stopped, the task is not ours any more", "state", rec.State)
	}
}

// aside is a context for what has to be done after a run's own has ended.
func aside(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// last does a final write beside the run's context, which has ended.
func (a *attempt) last(write func(context.Context) error) bool {
	ctx, cancel := aside(5 * time.Second)
	defer cancel()
	err := a.persist(ctx, write)
	if err != nil && !errors.Is(err, task.ErrFenced) {
		a.log.Warn("the end of an attempt could not be stored", "error", err)
	}
	return err == nil
}

// persist writes until the database takes it, the run is fenced, or ctx ends.
// A write that ctx cut short is tried once more beside it, unless the run was
// taken away: what is done should not be lost for a stop.
func (a *attempt) persist(ctx context.Context, write func(context.Context) error) error {
	pause := pauses{next: a.w.o.Pause}
	told := false
	for {
		err := write(ctx)
		if err == nil || errors.Is(err, task.ErrFenced) || errors.Is(err, task.ErrNotFound) {
			return err
		}
		if ctx.Err() != nil {
			if errors.Is(context.Cause(ctx), errStopping) {
				short, cancel := aside(3 * time.Second)
				defer cancel()
				return write(short)
			}
			return err
		}
		if !told {
			a.log.Warn("the task's row could not be written, trying on", "error", err)
			told = true
		}
		pause.wait(ctx)
	}
}

// pauses are waits that double, up to 10 s.
type pauses struct{ next time.Duration }

// wait waits, or until ctx ends, and reports whether it did not.
func (p *pauses) wait(ctx context.Context) bool {
	d := p.next
	p.next = min(2*p.next, 10*time.Second)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// guard calls a provider. A panic becomes a *panicError.
func (a *attempt) guard(call string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("the provider panicked", "call", call, "panic", p, "stack", string(debug.Stack()))
			err = &panicError{call, p}
		}
	}()
	return f()
}

// panicError is a provider's panic. It says nothing about what was done.
type panicError struct {
	call  string
	value any
}

func (e *panicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.call, e.value) }

func (e *panicError) failed() *failed {
	return &failed{task.Failure{Code: "provider_unavailable", Message: "The provider failed unexpectedly.", Retryable: true}, true}
}

// failure turns a provider's error into a task's.
func failure(e *provider.Error) *failed {
	f := &failed{task.Failure{Code: e.Code, Message: e.Message, Retryable: e.Retryable}, e.Retryable}
	if f.Code == "" {
		f.Code = "provider_unavailable"
	}
	if f.Message == "" {
		f.Message = "The provider failed."
	}
	return f
}
