package work

import (
	"context"
	"errors"
	"fmt"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// lookups is how often a provider is asked whether an unclear submit arrived.
const lookups = 5

// submit hands the task to the provider and stores the provider's id. What is
// bought is bought once: an intent is stored before, and whoever finds an
// intent without an id asks the provider, where it can be asked, or gives up.
// A provider that has nothing of it is asked under the same intent, so that one
// that knows its intents takes it once even if the first is still on its way.
func (a *attempt) submit(ctx context.Context) error {
	intent := a.rec.Intent
	if intent == "" {
		intent = fmt.Sprintf("%s-%d", a.rec.ID, a.rec.Attempt)
	} else if found, err := a.lookup(ctx, intent); err != nil || found {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := a.persist(ctx, func(ctx context.Context) error { return a.run.Intend(ctx, intent) }); err != nil {
		return err
	}
	if ctx.Err() != nil { // nothing was bought: leave no doubt behind
		a.last(func(ctx context.Context) error { return a.run.Intend(ctx, "") })
		return context.Cause(ctx)
	}
	id, err := a.callSubmit(ctx, intent)
	var refused *provider.Error
	switch {
	case err == nil:
		a.bought = true
		return a.submitted(ctx, id)
	case errors.As(err, &refused):
		a.log.Info("the provider refused", "error", err)
		return failure(refused)
	}
	a.log.Warn("it is not clear whether the submit arrived", "error", err)
	found, err := a.lookup(ctx, intent)
	if err != nil || found {
		return err
	}
	return &failed{task.Failure{Code: "provider_unavailable", Message: "The provider did not take the task.", Retryable: true}, true}
}

// callSubmit is not cut short by a cancel or a stop: the answer would be lost,
// and with it what was bought.
func (a *attempt) callSubmit(ctx context.Context, intent string) (id string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.w.o.SubmitTimeout)
	defer cancel()
	r := a.rec.Request
	err = a.guard("Submit", func() (err error) {
		id, err = a.p.Submit(ctx, provider.Request{
			Intent: intent, Kind: provider.Kind(r.Kind), Model: r.Model, Prompt: r.Prompt,
			Width: r.Width, Height: r.Height, Duration: r.Duration, FPS: r.FPS, Seed: r.Seed, N: r.N,
		})
		return err
	})
	if err == nil && id == "" {
		err = errors.New("the provider gave no id")
	}
	return id, err
}

// submitted stores the provider's id before anything else happens, also when
// the run was stopped meanwhile: what is bought is not to be forgotten.
func (a *attempt) submitted(ctx context.Context, id string) error {
	a.id = id
	store := func(ctx context.Context) error { return a.run.Submitted(ctx, id) }
	err := a.persist(ctx, store)
	if err != nil && !errors.Is(err, task.ErrFenced) && a.last(store) {
		return nil
	}
	return err
}

// lookup asks whether the submit of an intent arrived, and goes on with it if
// so. found is false, without an error, when it surely did not. Where that
// cannot be told the task fails, and only its owner may buy it again.
func (a *attempt) lookup(ctx context.Context, intent string) (found bool, err error) {
	uncertain := &failed{task.Failure{
		Code: "submit_uncertain", Retryable: true,
		Message: "It is not clear whether the provider took the task. Trying again may cost twice.",
	}, false}
	asker, ok := a.p.(provider.Lookup)
	if !ok {
		return false, uncertain
	}
	pause := pauses{next: a.w.o.Pause}
	for range lookups {
		var id string
		err = a.guard("Lookup", func() (err error) {
			id, found, err = asker.Lookup(ctx, intent)
			return err
		})
		switch {
		case err == nil && !found:
			return false, nil
		case err == nil:
			a.log.Info("the submit had arrived")
			return true, a.submitted(ctx, id)
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		}
		a.log.Warn("the provider could not be asked about a submit", "error", err)
		if !pause.wait(ctx) {
			return false, context.Cause(ctx)
		}
	}
	return false, uncertain
}
