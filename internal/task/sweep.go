package task

import (
	"context"
	"errors"
	"time"
)

// Renew prolongs the leases of tasks that an owner runs, by Options.Lease, as
// far as they are still in these attempts, and returns until when.
func (s *Service) Renew(ctx context.Context, owner string, attempts map[string]int) (until time.Time, err error) {
	until = now().Add(s.opts.Lease)
	return until, s.store.Renew(ctx, owner, attempts, until)
}

// Record reads a task for a worker, whoever owns it.
func (s *Service) Record(ctx context.Context, id string) (Record, error) {
	return s.store.Get(ctx, id)
}

// Held returns the attempts of the tasks that an owner runs; what a worker
// has beyond them was taken away from it.
func (s *Service) Held(ctx context.Context, owner string) (map[string]int, error) {
	return s.store.Held(ctx, owner)
}

// Lease returns how long a silent worker keeps a task.
func (s *Service) Lease() time.Duration { return s.opts.Lease }

// Sweep does what no worker is left to do: tasks whose lease is over are
// queued again, tasks that waited are queued, and those whose deadline passed
// end. It returns ended tasks whose provider is still to be told; each is
// returned again after a minute until Tidied. With alone set, this process is
// the only one on the database, and nobody else's lease counts.
func (s *Service) Sweep(ctx context.Context, alone *Alone) (tidy []Record, err error) {
	due, err := s.store.Due(ctx, now(), s.opts.Lease, alone)
	if err != nil {
		return nil, err
	}
	var errs []error
	note := func(err error) {
		if err != nil && !errors.Is(err, ErrFenced) && !errors.Is(err, ErrNotFound) {
			errs = append(errs, err)
		}
	}
	for _, id := range due.Expired {
		note(s.takeOver(ctx, id, alone))
	}
	for _, id := range due.Late {
		note(s.late(ctx, id))
	}
	for _, id := range due.Queue {
		note(s.queue(ctx, id))
	}
	for _, id := range due.Tidy {
		rec, err := s.claimTidy(ctx, id)
		note(err)
		if err == nil {
			tidy = append(tidy, rec)
		}
	}
	return tidy, errors.Join(errs...)
}

func (s *Service) takeOver(ctx context.Context, id string, alone *Alone) error {
	_, err := s.change(ctx, id, func(_ Tx, r *Record) (Change, error) {
		at := now()
		dead := !at.Before(r.LeaseUntil) || (alone != nil && r.Owner != alone.Owner)
		if r.State != Running || !dead {
			return Change{}, ErrFenced
		}
		r.LeaseUntil = at
		if !at.Before(r.DeadlineAt) {
			e, err := r.timeOut(at)
			return Change{Event: e, WakeKey: true}, err
		}
		r.Losses++
		if r.Losses >= s.opts.MaxLosses {
			e, err := r.fail(at, Failure{Code: "internal", Message: "The task's worker vanished too often.", Retryable: true})
			return Change{Event: e, WakeKey: true}, err
		}
		_, err := r.apply(ActTakeOver, at)
		r.QueuePosition = nil
		return Change{Queue: true}, err
	})
	return err
}

func (s *Service) late(ctx context.Context, id string) error {
	_, err := s.change(ctx, id, func(_ Tx, r *Record) (Change, error) {
		at := now()
		if r.State != Pending || at.Before(r.DeadlineAt) {
			return Change{}, ErrFenced
		}
		e, err := r.timeOut(at)
		return Change{Event: e}, err
	})
	return err
}

func (s *Service) queue(ctx context.Context, id string) error {
	_, err := s.change(ctx, id, func(_ Tx, r *Record) (Change, error) {
		if r.State != Pending || (r.QueueAt != nil && r.QueueAt.After(now())) {
			return Change{}, ErrFenced
		}
		r.QueueAt, r.Parked = nil, false
		return Change{Queue: true}, nil
	})
	return err
}

func (s *Service) claimTidy(ctx context.Context, id string) (Record, error) {
	return s.change(ctx, id, func(_ Tx, r *Record) (Change, error) {
		at := now()
		if r.TidyAt == nil || r.TidyAt.After(at) {
			return Change{}, ErrFenced
		}
		again := at.Add(time.Minute)
		r.TidyAt = &again
		return Change{}, nil
	})
}

// Tidied records that the provider needs to be told nothing more about an
// ended task.
func (s *Service) Tidied(ctx context.Context, id string) error {
	_, err := s.change(ctx, id, func(_ Tx, r *Record) (Change, error) {
		if r.TidyAt == nil {
			return Change{NoRecord: true}, nil
		}
		r.TidyAt = nil
		return Change{}, nil
	})
	return err
}
