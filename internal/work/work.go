// Package work runs tasks: it takes their jobs from River's queue, leads each
// attempt through a provider, and keeps the leases by which the others know
// that somebody is at it.
//
// A job only says that there may be something to do with a task. Whether there
// is, and who does it, the task's row decides: Start makes exactly one worker
// the owner of an attempt, every later write names that attempt, and a worker
// that lost it, however slow, writes nothing more. So River's own rescue, a
// job that runs twice, and an instance that wakes up after its lease do no harm.
//
//	job -> Start -> intent stored -> Submit -> provider's id stored -> Watch
//	    -> outputs stored -> Complete -> provider told to let go
//
// After a crash at any of these arrows the next worker goes on from what is
// stored.
package work

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// Options of New.
type Options struct {
	Service   *task.Service       // required
	Providers []provider.Provider // required; the queue of each has its name
	Media     media.Store         // required
	// MaxWorkers is how many tasks of a provider run here at the same time,
	// by its name. Default: one per core for "local", 100 for others.
	MaxWorkers map[string]int
	// Alone says that no other process works on the same database, so that
	// the leases of owners before this one need not run out.
	Alone bool
	// Retention is how long an ended task and its outputs are kept.
	// Default 0: for good.
	Retention time.Duration
	// SweepEvery is how often to look for what others left behind. Default 1 s.
	SweepEvery time.Duration
	// CheckEvery is how often to look whether a task at work here was
	// cancelled or taken over elsewhere. Default 500 ms.
	CheckEvery time.Duration
	// RenewEvery is how often leases are renewed. Default: a third of the
	// service's lease.
	RenewEvery time.Duration
	// SubmitTimeout bounds one Submit of a provider. Default 1 min.
	SubmitTimeout time.Duration
	// Pause is the first wait before a provider is asked again after an
	// error; it doubles up to 10 s. Default 250 ms.
	Pause  time.Duration
	Logger *slog.Logger // default: slog.Default()
}

func (o Options) withDefaults() (Options, error) {
	if o.Service == nil || o.Media == nil || len(o.Providers) == 0 {
		return o, errors.New("work: Service, Media and Providers are required")
	}
	o.SweepEvery = cmp.Or(o.SweepEvery, time.Second)
	o.CheckEvery = cmp.Or(o.CheckEvery, 500*time.Millisecond)
	o.RenewEvery = cmp.Or(o.RenewEvery, o.Service.Lease()/3)
	o.SubmitTimeout = cmp.Or(o.SubmitTimeout, time.Minute)
	o.Pause = cmp.Or(o.Pause, 250*time.Millisecond)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

// Why a run is stopped before its end.
var (
	errStopping = errors.New("work: this instance stops")
	errTaken    = errors.New("work: the task ended, or another worker has it")
	errLate     = errors.New("work: the deadline passed")
)

// Workers run the tasks of one process. Start comes first, once, and Stop last;
// Stop without a Start, or after one that failed, does nothing. Publish may be
// called at any time.
type Workers struct {
	o         Options
	owner     string // unlike any other, also of this process before a restart
	began     time.Time
	started   bool
	providers map[string]provider.Provider
	queue     interface {
		Start(context.Context) error
		Stop(context.Context) error
		StopAndCancel(context.Context) error
	}

	stopRuns context.CancelCauseFunc
	runs     context.Context // of all runs; ends with errStopping
	stopLoop context.CancelFunc
	loops    sync.WaitGroup

	mu     sync.Mutex
	active map[string]*active // by task
}

// active is a run at work here.
type active struct {
	run    *task.Run
	id     string
	number int // of the attempt
	cancel context.CancelCauseFunc
	until  time.Time // end of the lease, as far as known here

	dropped bool // because of it
}

// New prepares workers on the database behind driver, which is the one that
// the service stores in.
func New[TTx any](driver riverdriver.Driver[TTx], o Options) (*Workers, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Workers{o: o, owner: "w_" + rand.Text(), providers: map[string]provider.Provider{}, active: map[string]*active{}}
	queues := map[string]river.QueueConfig{}
	for _, p := range o.Providers {
		name := p.Name()
		if w.providers[name] != nil {
			return nil, fmt.Errorf("work: two providers are named %q", name)
		}
		w.providers[name] = p
		n := 100
		if name == "local" {
			n = runtime.GOMAXPROCS(0)
		}
		// Inserted jobs are told of within 50 ms; the poll is for the case
		// that a word was lost.
		queues[name] = river.QueueConfig{
			MaxWorkers:    cmp.Or(o.MaxWorkers[name], n),
			FetchCooldown: 20 * time.Millisecond, FetchPollInterval: 500 * time.Millisecond,
		}
	}
	jobs := river.NewWorkers()
	if err := river.AddWorkerSafely(jobs, river.WorkFunc(w.work)); err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	w.queue, err = river.NewClient(driver, &river.Config{
		Queues: queues, Workers: jobs, Logger: slog.New(warnings{o.Logger.Handler()}),
		JobTimeout:                  -1, // a task has a deadline of its own
		CompletedJobRetentionPeriod: time.Hour,
		ReindexerIndexNames:         reindexed(driver.DatabaseName()),
	})
	if err != nil {
		return nil, fmt.Errorf("work: job queue: %w", err)
	}
	o.Service.AddPublisher(w)
	return w, nil
}

// reindexed are the indexes that River builds anew every night. In SQLite that
// is of no use, some of them are not there, and River would warn of that.
func reindexed(database string) []string {
	if database == riverdriver.DatabaseNameSQLite {
		return []string{}
	}
	return nil // River's own list
}

// Owner is the name under which this process holds leases.
func (w *Workers) Owner() string { return w.owner }

// Start takes up what was left behind, then begins to work. ctx bounds the
// start alone.
func (w *Workers) Start(ctx context.Context) error {
	w.began = time.Now()
	base := context.WithoutCancel(ctx)
	w.runs, w.stopRuns = context.WithCancelCause(base)
	loop, stop := context.WithCancel(base)
	w.stopLoop = stop
	left, err := w.o.Service.Sweep(ctx, w.alone())
	if err != nil { // a full disk, say: the sweeper tries again
		w.o.Logger.Warn("what was left behind could not be taken up yet", "error", err)
	}
	if err := w.queue.Start(base); err != nil {
		w.stopRuns(errStopping)
		stop()
		return fmt.Errorf("work: job queue: %w", err)
	}
	w.started = true
	w.loops.Go(func() { w.keep(loop) })
	untidy := make(chan []task.Record, 60)
	untidy <- left
	w.loops.Go(func() { w.sweep(loop, untidy) })
	w.loops.Go(func() { w.clean(loop, untidy) })
	return nil
}

func (w *Workers) alone() *task.Alone {
	if !w.o.Alone {
		return nil
	}
	return &task.Alone{Owner: w.owner, Since: w.began.Truncate(time.Millisecond)}
}

// Stop gives back what is at work, without an end, and stops. When ctx ends
// first, what is left is abandoned: its leases run out, and other workers go
// on with it.
func (w *Workers) Stop(ctx context.Context) error {
	if !w.started {
		return nil
	}
	w.started = false
	w.stopRuns(errStopping)
	err := w.queue.Stop(ctx)
	if err != nil {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(fmt.Errorf("work: stop: %w", err), w.queue.StopAndCancel(short))
	}
	w.stopLoop()
	w.loops.Wait()
	return err
}

// Publish implements task.Publisher: work on a task that has ended stops. The
// service calls it; New has registered w.
func (w *Workers) Publish(_ context.Context, e task.Event) error {
	if !e.Name.Terminal() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.active[e.TaskID]; a != nil {
		a.cancel(errTaken)
	}
	return nil
}

// keep renews the leases of what is at work here, and stops what was
// cancelled or taken over elsewhere, or whose lease could not be renewed.
func (w *Workers) keep(ctx context.Context) {
	tick := time.NewTicker(w.o.CheckEvery)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		mine := w.snapshot()
		if len(mine) == 0 {
			continue
		}
		check, cancel := context.WithTimeout(ctx, w.o.Service.Lease()/2)
		if time.Since(renewed) >= w.o.RenewEvery-w.o.CheckEvery/2 {
			renewed = time.Now()
			w.renew(check, mine)
		}
		w.check(check, mine)
		cancel()
		w.dropExpired(mine)
	}
}

func (w *Workers) snapshot() map[string]*active {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := make(map[string]*active, len(w.active))
	for id, a := range w.active {
		mine[id] = a
	}
	return mine
}

func (w *Workers) renew(ctx context.Context, mine map[string]*active) {
	attempts := make(map[string]int, len(mine))
	for id, a := range mine {
		attempts[id] = a.number
	}
	until, err := w.o.Service.Renew(ctx, w.owner, attempts)
	if err != nil {
		w.o.Logger.Warn("leases could not be renewed", "tasks", len(mine), "error", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range mine {
		a.until = until
	}
}

// check compares what is at work here, as it was before the database was
// asked, with what the database says.
func (w *Workers) check(ctx context.Context, mine map[string]*active) {
	held, err := w.o.Service.Held(ctx, w.owner)
	if err != nil {
		return // the lease decides
	}
	for id, a := range mine {
		if n, ok := held[id]; !ok || n != a.number {
			a.cancel(errTaken)
		}
	}
}

func (w *Workers) dropExpired(mine map[string]*active) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, a := range mine {
		if time.Now().After(a.until) && !a.dropped {
			a.dropped = true
			w.o.Logger.Warn("a lease is over, the work is dropped", "task", id, "attempt", a.number)
			a.cancel(errTaken)
		}
	}
}

// sweep does from time to time what dead workers cannot. It waits for nothing
// but the database: what providers are to be told is handed on.
func (w *Workers) sweep(ctx context.Context, untidy chan<- []task.Record) {
	tick := time.NewTicker(w.o.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		tidy, err := w.o.Service.Sweep(ctx, w.alone())
		if err != nil && ctx.Err() == nil {
			w.o.Logger.Warn("looking for tasks left behind failed", "error", err)
		}
		if len(tidy) > 0 {
			select {
			case untidy <- tidy:
			default: // providers are slow; each of these comes again
			}
		}
	}
}
