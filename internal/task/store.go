package task

import (
	"context"
	"time"
)

type timestamp = time.Time

// Record is a task with what only its workers and the service see.
type Record struct {
	Task
	Owner      string     // instance that works on it; "" unless running
	LeaseUntil time.Time  // until when Owner may be silent; zero unless running
	Intent     string     // set before the provider is called; "" when nothing was begun
	Failures   int        // attempts that the provider failed
	Losses     int        // times that a worker vanished
	QueueAt    *time.Time // when the sweeper is to queue it; nil: it has a job, or needs none
	Parked     bool       // waits for another task of its key to end
	TidyAt     *time.Time // when the sweeper is to tell the provider that nobody needs its task any more; nil: no need
}

// Creation is what Submit asks of the store.
type Creation struct {
	Record       Record
	Event        Event
	Unfinished   int           // limit of the key's unfinished tasks
	KeyLife      time.Duration // how long an idempotency key is kept
	RepeatWithin time.Duration // for Request.RetryAttempt: how far back the same hash counts
}

// Change is what is written, in one transaction with the record it belongs to.
type Change struct {
	Event    *Event // appended; nil: none
	Queue    bool   // a job is queued
	WakeKey  bool   // the key's oldest parked task is queued
	NoRecord bool   // nothing changed after all, nothing is written
}

// Tx is what a change may ask within its transaction.
type Tx interface {
	// Running counts the running tasks of a key.
	Running(keyID string) (int, error)
}

// Due are the tasks that need a sweeper, a bounded number of each.
type Due struct {
	Expired []string // running, the lease is over
	Queue   []string // pending, QueueAt is past, or whose job is lost
	Late    []string // pending, the deadline is past
	Tidy    []string // ended, TidyAt is past
}

// Store keeps tasks, their events and their jobs. Safe for concurrent use.
//
// Errors: ErrNotFound, ErrTooMany, ErrKeyReused, ErrFenced as described;
// ErrUnavailable where the database does not answer and ErrFull where its
// disk is full, both wrapped with the cause; the context's own error when it
// ended first.
type Store interface {
	// Create writes task, event, job and idempotency key in one transaction.
	// A task that was created with the same idempotency key and fields, or,
	// with RetryAttempt, the same fields within RepeatWithin, is returned
	// instead, with created false. The key with other fields: ErrKeyReused;
	// the limit reached: ErrTooMany.
	Create(ctx context.Context, c Creation) (t Task, created bool, err error)

	// Unfinished counts the pending and running tasks of a key.
	Unfinished(ctx context.Context, keyID string) (int, error)

	// Change reads the record, lets fn change it, and writes it with what fn
	// asks for, in one transaction that nobody comes between: the write is
	// conditional on state, attempt and sequence as they were read (else
	// ErrFenced). An error of fn rolls back and is returned as it is. fn must
	// not call the store, and may be called again.
	Change(ctx context.Context, id string, fn func(Tx, *Record) (Change, error)) (Record, error)

	// Get returns the record, or ErrNotFound.
	Get(ctx context.Context, id string) (Record, error)
	// List returns up to q.Limit tasks of a key, newest first, and whether
	// there are more. ErrNotFound when q.After is not a task of the key.
	List(ctx context.Context, keyID string, q ListQuery) (Page, error)
	// Events returns up to limit stored events above a sequence, in order.
	Events(ctx context.Context, id string, after int64, limit int) ([]Event, error)
	// Latest returns the newest Progress, or the terminal event.
	Latest(ctx context.Context, id string) (Event, error)

	// Overview returns where a key's tasks of kinds stand, as of one moment,
	// with up to recent of the newest.
	Overview(ctx context.Context, keyID string, kinds []Kind, recent int) (Overview, error)
	// Revisions returns the revision of each key's Overview.
	Revisions(ctx context.Context, keyIDs []string) (map[string]int64, error)
	// RaiseRevisions raises the revision of every key.
	RaiseRevisions(ctx context.Context) error

	// Renew prolongs the leases of those tasks that an owner runs in these
	// attempts; none becomes shorter.
	Renew(ctx context.Context, owner string, attempts map[string]int, until time.Time) error
	// Held returns the attempts of the tasks that an owner runs.
	Held(ctx context.Context, owner string) (map[string]int, error)
	// Due returns what a sweeper has to do at now. Jobs that a worker took
	// more than stale ago without starting the task count as lost. With
	// alone set, this process is the only one on the database, so that every
	// owner but self is dead, and so is every job taken before since.
	Due(ctx context.Context, now time.Time, stale time.Duration, alone *Alone) (Due, error)

	// Prune deletes idempotency keys made before keys, and finished tasks,
	// with their events, that ended before tasks, at most limit of them; it
	// returns the media keys that the deleted tasks held.
	Prune(ctx context.Context, keys, tasks time.Time, limit int) (mediaKeys []string, deleted int, err error)
}

// Alone describes the only process on a database.
type Alone struct {
	Owner string
	Since time.Time // when this process began
}

// Job is the argument of a queued job. It says only which task is meant;
// whether there is still something to do, the task's row says, so that a job
// that runs twice or late does no harm.
type Job struct {
	TaskID string `json:"task_id"`
}

// Kind is the job's stable name in the queue.
func (Job) Kind() string { return "generate" }
