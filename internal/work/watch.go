package work

import (
	"context"
	"errors"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

const (
	unknownLimit = 3                // times in a row that a provider may not know its task (providers.md 8.5)
	watchGrace   = 10 * time.Second // for a Watch to return once its context ended
)

// errWatchEnded is for a Watch that just stops.
var errWatchEnded = errors.New("the provider stopped telling")

// watch follows the provider's task to its end, through lost connections and
// for as long as the deadline allows.
func (a *attempt) watch(ctx context.Context) (provider.Update, error) {
	unknown := 0
	pause := pauses{next: a.w.o.Pause}
	for {
		end, heard, err := a.watchOnce(ctx)
		if ctx.Err() != nil && err != nil {
			return provider.Update{}, context.Cause(ctx)
		}
		var told *provider.Error
		var panicked *panicError
		switch {
		case err == nil && end.Phase == provider.Done:
			return end, nil
		case err == nil:
			if end.Err == nil {
				end.Err = &provider.Error{Code: "provider_unavailable", Message: "The provider failed.", Retryable: true}
			}
			a.log.Info("the provider failed the task", "error", end.Err)
			return provider.Update{}, failure(end.Err)
		case errors.As(err, &told):
			a.log.Info("the provider failed the task", "error", err)
			return provider.Update{}, failure(told)
		case errors.As(err, &panicked):
			return provider.Update{}, panicked.failed()
		case errors.Is(err, provider.ErrUnknownTask):
			if unknown++; unknown >= unknownLimit {
				return provider.Update{}, a.lost(ctx)
			}
		default:
			unknown = 0
		}
		if heard {
			pause = pauses{next: a.w.o.Pause}
		}
		a.log.Warn("watching the provider was cut short, trying on", "error", err)
		if !pause.wait(ctx) {
			return provider.Update{}, context.Cause(ctx)
		}
	}
}

// lost is for a task that the provider does not know any more. One that also
// says that it has nothing of the intent may be asked anew; from others it
// could cost twice.
func (a *attempt) lost(ctx context.Context) error {
	f := &failed{task.Failure{Code: "provider_unavailable", Message: "The provider lost the task.", Retryable: true}, false}
	intent := a.run.Record().Intent
	asker, ok := a.p.(provider.Lookup)
	if !ok || intent == "" {
		return f
	}
	var found bool
	err := a.guard("Lookup", func() (err error) {
		_, found, err = asker.Lookup(ctx, intent)
		return err
	})
	f.again = err == nil && !found
	return f
}

type watched struct {
	u   provider.Update
	err error
}

// watchOnce is one Watch. heard tells whether it said anything; err is nil
// only with a last update.
func (a *attempt) watchOnce(ctx context.Context) (end provider.Update, heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	said := make(chan watched)
	go a.listen(ctx, said)
	defer func() {
		cancel()
		a.hush(said)
	}()

	flush := time.NewTimer(0)
	flush.Stop()
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			return provider.Update{}, heard, context.Cause(ctx)
		case <-flush.C:
			if err := a.told(a.run.Flush(ctx)); err != nil {
				return provider.Update{}, heard, err
			}
		case s, ok := <-said:
			switch {
			case !ok:
				return provider.Update{}, heard, errWatchEnded
			case s.err != nil:
				return provider.Update{}, heard, s.err
			case s.u.Phase == provider.Done, s.u.Phase == provider.Failed:
				return s.u, true, nil
			}
			heard = true
			wait, err := a.run.Report(ctx, progress(s.u))
			if err := a.told(err); err != nil {
				return provider.Update{}, heard, err
			}
			if wait > 0 {
				flush.Reset(wait)
			}
		}
	}
}

// listen passes on what the provider's Watch says, up to its last update, an
// error, or the end of ctx, and closes said.
func (a *attempt) listen(ctx context.Context, said chan<- watched) {
	defer close(said)
	pass := func(w watched) bool {
		select {
		case said <- w:
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := a.guard("Watch", func() error {
		for u, err := range a.p.Watch(ctx, a.id) {
			if !pass(watched{u, err}) || err != nil || u.Phase == provider.Done || u.Phase == provider.Failed {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		pass(watched{err: err})
	}
}

// hush waits for listen, whose ctx has ended, but not for a Watch that does not
// return.
func (a *attempt) hush(said <-chan watched) {
	grace := time.NewTimer(watchGrace)
	defer grace.Stop()
	for {
		select {
		case _, ok := <-said:
			if !ok {
				return
			}
		case <-grace.C:
			a.log.Error("the provider's Watch does not return")
			return
		}
	}
}

// told takes the result of a report. Progress that could not be stored is no
// reason to stop: newer will come.
func (a *attempt) told(err error) error {
	if err == nil || errors.Is(err, task.ErrFenced) {
		return err
	}
	a.log.Debug("progress could not be stored", "error", err)
	return nil
}

func progress(u provider.Update) task.Progress {
	return task.Progress{
		Percent: u.Progress, Source: u.Source, Message: u.Message,
		CurrentFrame: u.CurrentFrame, TotalFrames: u.TotalFrames, QueuePosition: u.QueuePosition,
	}
}
