package work

import (
	"context"
	"errors"
	"time"

	"github.com/knnlabs/conduit/internal/media"
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
	if !a.letGo(context.Background(), id, cancel) {
		return
	}
	ctx, done := aside(5 * time.Second)
	defer done()
	if err := a.w.o.Service.Tidied(ctx, a.rec.ID); err != nil {
		a.log.Debug("that the provider was told could not be stored", "error", err)
	}
}

// letGo has the provider stop, if cancel is set, and forget a task of its own.
func (a *attempt) letGo(ctx context.Context, id string, cancel bool) bool {
	if id == "" {
		return true
	}
	ctx, done := context.WithTimeout(ctx, tidyTime)
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

// clean tells providers what no worker is left to tell them, and deletes what
// is past its time.
func (w *Workers) clean(ctx context.Context, untidy <-chan []task.Record) {
	prune := time.NewTicker(10 * time.Minute)
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case recs := <-untidy:
			for _, rec := range recs {
				if ctx.Err() == nil {
					w.tidyOne(ctx, rec)
				}
			}
		case <-prune.C:
			w.prune(ctx)
		}
	}
}

func (w *Workers) prune(ctx context.Context) {
	err := w.o.Service.Prune(ctx, w.o.Retention, func(k string) error {
		if err := w.o.Media.Delete(ctx, k); !errors.Is(err, media.ErrNotFound) {
			return err
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		w.o.Logger.Warn("old tasks could not be deleted", "error", err)
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
	ok = ok && a.letGo(ctx, a.id, rec.State != task.Completed)
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
