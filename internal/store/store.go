// Package store keeps tasks, their events, their jobs, and keys in an SQLite
// file: all SQL of the service, and the insert-only side of River, whose
// tables live in the same file so that a task and its job are one transaction.
//
// One connection writes, so that nothing in this process ever waits for a
// lock of another; several read beside it (write-ahead log). Another process
// may use the same file at the same time (`conduit keys`).
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// Options of Open.
type Options struct {
	// Path of the database file. It and its folder are made, for this user
	// alone, when they are not there.
	Path string
	// Exclusive takes the file for this process's workers alone: a second
	// Open with it fails with ErrInUse. Opening without it is always
	// possible. The operating system lets go of it when the process dies.
	Exclusive bool
	// Readers is the number of connections that read. Default 4.
	Readers int
	// BusyTimeout is how long to wait for another process that writes.
	// Default 5 s.
	BusyTimeout time.Duration
	Logger      *slog.Logger // default: slog.Default()
}

// ErrInUse is returned by Open with Exclusive when another process has it.
var ErrInUse = errors.New("store: another server uses this database")

// Store implements task.Store and key.Store. All methods may be called at the
// same time. Errors that mean that the database did not answer are
// task.ErrUnavailable, a full disk is task.ErrFull, both with their cause.
type Store struct {
	write  *sql.DB // one connection
	read   *sql.DB
	jobs   *river.Client[*sql.Tx]
	driver *riversqlite.Driver
	lock   *sql.DB // holds the lock of Exclusive; nil without

	// What every change of a task runs is parsed once, on the writing connection.
	// Statements end with their database.
	getTask, updateTask, addEvent, countRunning, raiseRevision *sql.Stmt
	// As is what every look at a task runs, on those that read.
	lookTask *sql.Stmt
}

var (
	_ task.Store = (*Store)(nil)
	_ key.Store  = (*Store)(nil)
)

// Open opens the database, and brings its tables up to date.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	path, err := prepare(o.Path)
	if err != nil {
		return nil, wrap(fmt.Errorf("store: %w", err))
	}
	// FULL: a commit survives the death of the machine, too. An intent that a
	// power cut takes back would be bought twice.
	pragmas := []string{"_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)", "_pragma=foreign_keys(1)"}
	s := &Store{}
	defer func() {
		if err != nil {
			_ = s.Close() // the error that made us give up says more
		}
	}()
	if o.Exclusive {
		if s.lock, err = hold(ctx, path+".lock", time.Second); err != nil {
			return nil, err
		}
	}
	if s.write, err = open(path, o.BusyTimeout, 1, append(pragmas, "_txlock=immediate")...); err != nil {
		return nil, err
	}
	if s.read, err = open(path, o.BusyTimeout, o.Readers, append(pragmas, "_pragma=query_only(1)")...); err != nil {
		return nil, err
	}
	s.driver = riversqlite.New(s.write)
	if err := s.migrate(ctx, path, o.Logger); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		into  **sql.Stmt
		db    *sql.DB
		query string
	}{
		{&s.getTask, s.write, getTask},
		{&s.updateTask, s.write, updateTask},
		{&s.addEvent, s.write, addEvent},
		{&s.countRunning, s.write, countRunning},
		{&s.raiseRevision, s.write, raiseRevision},
		{&s.lookTask, s.read, getTask},
	} {
		if *p.into, err = p.db.PrepareContext(ctx, p.query); err != nil {
			return nil, wrap(fmt.Errorf("store: %w", err))
		}
	}
	// FetchCooldown limits how often an insertion is told to the workers: at
	// its least, no job waits for the one before.
	s.jobs, err = river.NewClient(s.driver, &river.Config{FetchCooldown: time.Millisecond, Logger: slog.New(atLeast{o.Logger.Handler(), slog.LevelWarn})})
	if err != nil {
		return nil, fmt.Errorf("store: job queue: %w", err)
	}
	return s, nil
}

// prepare makes the file and its folder, readable for this user alone.
func prepare(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

// open opens a pool of at most conns connections with pragmas and options of
// the driver set on each.
func open(path string, busy time.Duration, conns int, options ...string) (*sql.DB, error) {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // a drive letter
	}
	options = append([]string{fmt.Sprintf("_pragma=busy_timeout(%d)", busy.Milliseconds())}, options...)
	u := url.URL{Scheme: "file", Path: p, OmitHost: true, RawQuery: strings.Join(options, "&")}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, wrap(err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// Close closes the database. Workers on it must have stopped.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write, s.lock} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Exclusive reports whether this process's workers are the only ones.
func (s *Store) Exclusive() bool { return s.lock != nil }

// Driver is River's way to this database, for the workers.
func (s *Store) Driver() riverdriver.Driver[*sql.Tx] { return s.driver }

// Ping reports whether the database answers, to readers and to writers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.read.QueryRowContext(ctx, "SELECT 1 FROM key_changes").Scan(&one); err != nil {
		return wrap(err)
	}
	return wrap(s.write.PingContext(ctx))
}

// writeTime bounds a transaction that writes, the wait for those before it
// and for other processes included. A database that takes longer is away.
const writeTime = 10 * time.Second

// inTx runs fn in a writing transaction, which nobody comes between.
func (s *Store) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	timed, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	err := s.inTimedTx(timed, fn)
	if err != nil && ctx.Err() == nil && timed.Err() != nil {
		return fmt.Errorf("%w: %w", task.ErrUnavailable, err)
	}
	return wrap(err)
}

func (s *Store) inTimedTx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // nothing is written either way
		return err
	}
	return tx.Commit()
}

// wrap sorts the database's errors into those that callers tell apart.
func wrap(err error) error {
	var e *sqlite.Error
	switch {
	case err == nil, errors.Is(err, task.ErrUnavailable), errors.Is(err, task.ErrFull):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w", task.ErrUnavailable, err)
	case isFull(err):
		return full(err)
	case errors.As(err, &e):
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			return full(err)
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE:
			return err // our fault, not the database's
		}
		return fmt.Errorf("%w: %w", task.ErrUnavailable, err)
	case strings.Contains(err.Error(), "sql: database is closed"):
		return fmt.Errorf("%w: %w", task.ErrUnavailable, err)
	}
	return err
}

// full is err for the users of tasks and for those of keys.
func full(err error) error { return fmt.Errorf("%w: %w", noRoom{}, err) }

type noRoom struct{}

func (noRoom) Error() string { return task.ErrFull.Error() }

func (noRoom) Is(target error) bool { return target == task.ErrFull || target == key.ErrFull }

// violates reports whether err is a constraint of that extended code.
func violates(err error, code int) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == code
}

// stamp is a time as it is stored: microseconds, NULL for the zero time.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func stampOf(t *time.Time) any {
	if t == nil {
		return nil
	}
	return stamp(*t)
}

func timeOf(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

func timePtr(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := timeOf(n)
	return &t
}
