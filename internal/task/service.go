package task

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"
)

// Limits bound what one key may have.
type Limits struct {
	Running    int // tasks at work at the same time, the rest stay pending; 0: 10
	Unfinished int // tasks that have not ended; 0: 1000 (rest-api C.7)
}

// Options of a Service. The zero value is good.
type Options struct {
	// Publishers are told every stored event; more can join with AddPublisher.
	Publishers []Publisher
	Limits     Limits
	// VideoDeadline and ImageDeadline are the times from submission to the
	// latest end. Defaults: 1 h and 5 min. A request may only lower them.
	VideoDeadline time.Duration
	ImageDeadline time.Duration
	// MaxAttempts is how often a provider may fail a task in a way that may
	// pass before the task fails. Default 3.
	MaxAttempts int
	// MaxLosses is how often a task's worker may vanish before the task
	// fails, so that one that brings the process down does so no further.
	// Default 10.
	MaxLosses int
	// ProgressEvery is the least time between two published Progress of a
	// task. Default 200 ms.
	ProgressEvery time.Duration
	// Lease is how long a silent worker keeps a task. Default 15 s.
	Lease time.Duration
	// Backoff is the pause before the second attempt; it doubles with every
	// further one. Default 2 s.
	Backoff time.Duration
	// Estimate is about how long the work on a request takes once it has
	// begun; 0: not known, which is also the default.
	Estimate func(Request) time.Duration
	Logger   *slog.Logger // default: slog.Default()
}

func (o Options) withDefaults() Options {
	o.Limits.Running = cmp.Or(o.Limits.Running, 10)
	o.Limits.Unfinished = cmp.Or(o.Limits.Unfinished, 1000)
	o.VideoDeadline = cmp.Or(o.VideoDeadline, time.Hour)
	o.ImageDeadline = cmp.Or(o.ImageDeadline, 5*time.Minute)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 3)
	o.MaxLosses = cmp.Or(o.MaxLosses, 10)
	o.ProgressEvery = cmp.Or(o.ProgressEvery, 200*time.Millisecond)
	o.Lease = cmp.Or(o.Lease, 15*time.Second)
	o.Backoff = cmp.Or(o.Backoff, 2*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

const (
	idempotencyLife = 24 * time.Hour  // rest-api B.7
	repeatWithin    = 2 * time.Minute // rest-api B.7
)

// Service is the life of all tasks. Its methods may be called at the same
// time. Errors of its methods are those of this package, or the context's.
type Service struct {
	store   Store
	opts    Options
	order   [64]sync.Mutex // by task: a commit and the hand-over of its event are not overtaken by the next
	seed    maphash.Seed
	publish dispatcher
}

// NewService returns a service on a store.
func NewService(store Store, opts Options) *Service {
	s := &Service{store: store, opts: opts.withDefaults(), seed: maphash.MakeSeed()}
	s.publish.log = s.opts.Logger
	for _, p := range opts.Publishers {
		s.AddPublisher(p)
	}
	return s
}

// ListQuery selects a page of a key's tasks, newest first.
type ListQuery struct {
	Limit  int    // 1..100; 0: 20
	After  string // id of the last task of the page before; "" for the first page
	States []State
	Kind   Kind // "" for both
}

// Page is one page of tasks.
type Page struct {
	Tasks   []Task
	HasMore bool
}

// now is the current time as it is stored: whole milliseconds, UTC.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Submit stores a task, its first event and its job in one transaction.
// created is false when an earlier call's task answers this one (rest-api
// B.7). Errors: ErrTooMany, ErrKeyReused, ErrUnavailable, ErrFull.
func (s *Service) Submit(ctx context.Context, r Request) (Task, bool, error) {
	at := now()
	rec := Record{Task: Task{ID: newID(), Request: r, Attempt: 1, CreatedAt: at, UpdatedAt: at}}
	deadline := s.opts.VideoDeadline
	if r.Kind == Image {
		deadline = s.opts.ImageDeadline
	}
	if r.Timeout > 0 {
		deadline = min(deadline, r.Timeout)
	}
	rec.Timeout = deadline
	rec.DeadlineAt = at.Add(deadline)
	e, err := rec.apply(ActSubmit, at)
	if err != nil {
		return Task{}, false, err
	}
	rec.Message, e.Message = "queued", "queued"
	s.estimate(&rec, at)

	defer s.lock(rec.ID)()
	t, created, err := s.store.Create(ctx, Creation{
		Record: rec, Event: *e,
		Unfinished: s.opts.Limits.Unfinished, KeyLife: idempotencyLife, RepeatWithin: repeatWithin,
	})
	if err != nil {
		return Task{}, false, err
	}
	if created {
		e.KeyID = r.KeyID
		s.publish.hand(*e)
	}
	return t, created, nil
}

// Quota returns how many unfinished tasks a key may have, and how many more it
// may submit now.
func (s *Service) Quota(ctx context.Context, keyID string) (limit, left int, err error) {
	n, err := s.store.Unfinished(ctx, keyID)
	limit = s.opts.Limits.Unfinished
	return limit, max(limit-n, 0), err
}

// estimate sets when the task would end if its work began now.
func (s *Service) estimate(r *Record, now time.Time) {
	r.EstimatedEnd = nil
	if s.opts.Estimate == nil {
		return
	}
	if d := s.opts.Estimate(r.Request); d > 0 {
		end := now.Add(d).Truncate(time.Millisecond)
		r.EstimatedEnd = &end
	}
}

// Get returns a key's task. A foreign one is ErrNotFound, like an unknown one.
func (s *Service) Get(ctx context.Context, keyID, id string) (Task, error) {
	rec, err := s.owned(ctx, keyID, id)
	return rec.Task, err
}

// owned reads a task and checks whose it is.
func (s *Service) owned(ctx context.Context, keyID, id string) (Record, error) {
	id, ok := ParseID(id)
	if !ok {
		return Record{}, ErrNotFound
	}
	rec, err := s.store.Get(ctx, id)
	if err != nil {
		return Record{}, err
	}
	if rec.KeyID != keyID {
		return Record{}, ErrNotFound
	}
	return rec, nil
}

// List returns a page of a key's tasks, newest first. ErrNotFound when
// q.After is not a task of the key.
func (s *Service) List(ctx context.Context, keyID string, q ListQuery) (Page, error) {
	q.Limit = min(max(cmp.Or(q.Limit, 20), 1), 100)
	if q.After != "" {
		id, ok := ParseID(q.After)
		if !ok {
			return Page{}, ErrNotFound
		}
		q.After = id
	}
	return s.store.List(ctx, keyID, q)
}

// Cancel ends a task that has not ended; whoever works on it, on whatever
// instance, stops within a second. A task that is cancelled already is
// returned as it is; any other end is ErrNotCancellable (rest-api C.4).
func (s *Service) Cancel(ctx context.Context, keyID, id string) (Task, error) {
	rec, err := s.owned(ctx, keyID, id)
	if err != nil {
		return Task{}, err
	}
	rec, err = s.change(ctx, rec.ID, func(_ Tx, r *Record) (Change, error) {
		if r.State == Cancelled {
			return Change{NoRecord: true}, nil
		}
		at := now()
		wasRunning := r.State == Running
		e, err := r.apply(ActCancel, at)
		if err != nil {
			return Change{}, ErrNotCancellable
		}
		r.Message = "cancelled"
		r.tidyLater(at, wasRunning)
		return Change{Event: e, WakeKey: wasRunning}, nil
	})
	return rec.Task, err
}

// tidyLater asks that the provider be told that nobody needs its task any
// more: at once where no worker is left to do it, else after the worker had
// its chance.
func (r *Record) tidyLater(at time.Time, worked bool) {
	if r.Intent == "" && r.ProviderTaskID == "" {
		return
	}
	if worked {
		at = at.Add(30 * time.Second)
	}
	r.TidyAt = &at
}

// Again is how a task is asked for once more.
type Again struct {
	BaseURL        string // as in Request; links in the new task's events begin with it
	IdempotencyKey string // as in Request
	RetryAttempt   bool   // as in Request
}

// Retry submits what an ended task asked for again, as a new task with
// RetryOf. created is false when an earlier call's task answers this one, as
// with Submit. ErrNotRetryable unless the old one failed, was cancelled or
// timed out; ErrTooMany and ErrKeyReused as with Submit.
func (s *Service) Retry(ctx context.Context, keyID, id string, again Again) (t Task, created bool, err error) {
	rec, err := s.owned(ctx, keyID, id)
	if err != nil {
		return Task{}, false, err
	}
	if !rec.State.Final() || rec.State == Completed {
		return Task{}, false, ErrNotRetryable
	}
	r := rec.Request
	r.RetryOf, r.BaseURL = rec.ID, again.BaseURL
	r.IdempotencyKey, r.RetryAttempt = again.IdempotencyKey, again.RetryAttempt
	hash := sha256.Sum256([]byte("retry of " + rec.ID)) // all that this request says
	r.RequestHash = hex.EncodeToString(hash[:])
	return s.Submit(ctx, r)
}

// Events returns the stored events of a key's task above a sequence, in order.
func (s *Service) Events(ctx context.Context, keyID, id string, after int64) ([]Event, error) {
	rec, err := s.owned(ctx, keyID, id)
	if err != nil {
		return nil, err
	}
	if after >= rec.Sequence {
		return nil, nil
	}
	return s.store.Events(ctx, rec.ID, max(after, 0), 10_000)
}

// Latest returns the newest Progress of a key's task, or its terminal event.
func (s *Service) Latest(ctx context.Context, keyID, id string) (Event, error) {
	rec, err := s.owned(ctx, keyID, id)
	if err != nil {
		return Event{}, err
	}
	return s.store.Latest(ctx, rec.ID)
}

// Prune deletes what nobody may ask for any more: idempotency keys after 24
// hours and, with retention above zero, tasks that ended longer ago than
// that, whose stored outputs drop is told, one media key at a time.
func (s *Service) Prune(ctx context.Context, retention time.Duration, drop func(mediaKey string) error) error {
	at := now()
	tasks := time.Time{}
	if retention > 0 {
		tasks = at.Add(-retention)
	}
	for {
		keys, deleted, err := s.store.Prune(ctx, at.Add(-idempotencyLife), tasks, 100)
		if err != nil {
			return err
		}
		var errs []error
		for _, k := range keys {
			if err := drop(k); err != nil {
				errs = append(errs, fmt.Errorf("task: drop %s: %w", k, err))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if deleted < 100 {
			return nil
		}
	}
}

// change is Store.Change, and what was published with it handed on.
func (s *Service) change(ctx context.Context, id string, fn func(Tx, *Record) (Change, error)) (Record, error) {
	defer s.lock(id)()
	var done Change
	rec, err := s.store.Change(ctx, id, func(tx Tx, r *Record) (Change, error) {
		c, err := fn(tx, r)
		done = c
		return c, err
	})
	if err != nil {
		return Record{}, err
	}
	if done.Event != nil {
		done.Event.KeyID = rec.KeyID
		s.publish.hand(*done.Event)
	}
	return rec, nil
}

func (s *Service) lock(id string) (unlock func()) {
	m := &s.order[maphash.String(s.seed, id)%uint64(len(s.order))]
	m.Lock()
	return m.Unlock
}
