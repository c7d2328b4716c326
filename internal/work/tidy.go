package work

import (
	"context"
	"errors"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

const (
	tidyTime  = 10 * time.Second // for telling a provider
	tidyTries = 24 * time.Hour   // for how long after a task's end it is tried
)

// tidy tells the provider that the ended task needs nothing more of it. What
// fails is tried again by a sweeper.
func (a *attempt) tidy(cancel bool) {
	id := a.id
	if id == "" {
		return // nothing was begun, or it is unclear: then the sweeper looks it up
	}
	if !a.letGo(id, cancel) {
		return
	}
	ctx, done := aside(5 * time.Second)
	defer done()
	if err := a.w.o.Service.Tidied(ctx, a.rec.ID); err != nil {
		a.log.Debug("that the provider was told could not be stored", "error", err)
	}
}

// letGo has the provider stop, if cancel is set, and forget a task of its own.
func (a *attempt) letGo(id string, cancel bool) bool {
	if id == "" {
		return true
	}
	ctx, done := aside(tidyTime)
	defer done()
	var err error
	if cancel {
		err = a.guard("Cancel", func() error { return a.p.Cancel(ctx, id) })
	}
	if r, ok := a.p.(provider.Releaser); ok && err == nil {
		err = a.guard("Release", func() error { return r.Release(ctx, id) })
	}
	if err != nil {
		a.log.Warn("the provider could not be told that the task is over", "error", err)
	}
	return err == nil
}

// tidyAll does for tasks without a worker what tidy does for one.
func (w *Workers) tidyAll(ctx context.Context, recs []task.Record) {
	for _, rec := range recs {
		if ctx.Err() != nil {
			return
		}
		w.tidyOne(ctx, rec)
	}
}

func (w *Workers) tidyOne(ctx context.Context, rec task.Record) {
	a := &attempt{
		w: w, p: w.providers[rec.Provider], rec: rec, id: rec.ProviderTaskID,
		log: w.o.Logger.With("task", rec.ID, "provider", rec.Provider),
	}
	if a.p == nil {
		return // another instance may have that provider
	}
	ok := true
	if a.id == "" {
		ok = a.find(ctx)
	}
	ok = ok && a.letGo(a.id, rec.State != task.Completed)
	over := rec.CompletedAt != nil && time.Since(*rec.CompletedAt) > tidyTries
	if !ok && !over {
		return
	}
	if err := w.o.Service.Tidied(ctx, rec.ID); err != nil && !errors.Is(err, task.ErrNotFound) {
		a.log.Debug("that the provider was told could not be stored", "error", err)
	}
}

// find looks an unclear submit up, so that what was bought can be stopped. It
// reports whether there is nothing more to find out.
func (a *attempt) find(ctx context.Context) bool {
	asker, ok := a.p.(provider.Lookup)
	if !ok {
		return true
	}
	err := a.guard("Lookup", func() error {
		id, found, err := asker.Lookup(ctx, a.rec.Intent)
		if found && err == nil {
			a.id = id
		}
		return err
	})
	if err != nil {
		a.log.Warn("the provider could not be asked about a submit", "error", err)
	}
	return err == nil
}
