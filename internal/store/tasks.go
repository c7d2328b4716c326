package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/knnlabs/conduit/internal/task"
)

// Create implements task.Store.
func (s *Store) Create(ctx context.Context, c task.Creation) (t task.Task, created bool, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		created = false
		earlier, err := repeated(ctx, tx, c)
		if err != nil {
			return err
		}
		if earlier != "" {
			rec, err := oneRecord(tx.StmtContext(ctx, s.getTask).QueryRowContext(ctx, earlier))
			t = rec.Task
			return err
		}
		if err := s.insert(ctx, tx, c); err != nil {
			return err
		}
		t, created = c.Record.Task, true
		return nil
	})
	if err != nil {
		return task.Task{}, false, err
	}
	return t, created, nil
}

// repeated finds the task that an earlier, equal submission made; "" if none.
func repeated(ctx context.Context, tx *sql.Tx, c task.Creation) (string, error) {
	r, at := c.Record.Request, c.Record.CreatedAt
	var id, hash string
	var err error
	switch {
	case r.IdempotencyKey != "":
		err = tx.QueryRowContext(ctx,
			`SELECT task_id, request_hash FROM idempotency_keys WHERE key_id = ? AND name = ? AND created_at > ?`,
			r.KeyID, r.IdempotencyKey, stamp(at.Add(-c.KeyLife))).Scan(&id, &hash)
	case r.RetryAttempt:
		err = tx.QueryRowContext(ctx,
			`SELECT id, request_hash FROM tasks
			WHERE key_id = ? AND request_hash = ? AND created_at > ? AND retry_of = ? ORDER BY created_at DESC, num DESC LIMIT 1`,
			r.KeyID, r.RequestHash, stamp(at.Add(-c.RepeatWithin)), r.RetryOf).Scan(&id, &hash)
	default:
		return "", nil
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case hash != r.RequestHash:
		return "", task.ErrKeyReused
	}
	return id, nil
}

const countUnfinished = `SELECT count(*) FROM tasks WHERE key_id = ? AND state IN ('pending', 'running')`

// Unfinished implements task.Store.
func (s *Store) Unfinished(ctx context.Context, keyID string) (n int, err error) {
	err = s.read.QueryRowContext(ctx, countUnfinished, keyID).Scan(&n)
	return n, wrap(err)
}

func (s *Store) insert(ctx context.Context, tx *sql.Tx, c task.Creation) error {
	rec := c.Record
	var unfinished int
	if err := tx.QueryRowContext(ctx, countUnfinished, rec.KeyID).Scan(&unfinished); err != nil {
		return err
	}
	if unfinished >= c.Unfinished {
		return task.ErrTooMany
	}
	request, err := json.Marshal(rec.Request)
	if err != nil {
		return err
	}
	job, err := s.insertJob(ctx, tx, rec.ID, rec.Provider, first)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO tasks (
			id, key_id, kind, provider, request, request_hash, retry_of, state, sequence, attempt,
			progress, progress_source, message, current_frame, total_frames, intent, provider_task_id,
			failures, losses, owner, job_id, parked, created_at, updated_at, deadline_at, estimated_end)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?, 0, 0, '', '', 0, 0, '', ?, 0, ?, ?, ?, ?)`,
		rec.ID, rec.KeyID, rec.Kind, rec.Provider, string(request), rec.RequestHash, rec.RetryOf, rec.State, rec.Sequence, rec.Attempt,
		rec.Message, job, stamp(rec.CreatedAt), stamp(rec.UpdatedAt), stamp(rec.DeadlineAt), stampOf(rec.EstimatedEnd))
	if err != nil {
		return err
	}
	if name := rec.IdempotencyKey; name != "" {
		_, err = tx.ExecContext(ctx, `INSERT INTO idempotency_keys (key_id, name, request_hash, task_id, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key_id, name) DO UPDATE SET
				request_hash = excluded.request_hash, task_id = excluded.task_id, created_at = excluded.created_at`,
			rec.KeyID, name, rec.RequestHash, rec.ID, stamp(rec.CreatedAt))
		if err != nil {
			return err
		}
	}
	if err := s.raise(ctx, tx, rec.KeyID); err != nil {
		return err
	}
	return s.appendEvent(ctx, tx, c.Event)
}

// River's priorities: tasks that had their turn before go first, so that a
// long queue of new ones does not hold them up.
const (
	again = 1
	first = 2
)

// insertJob queues a job for a task and returns its number.
func (s *Store) insertJob(ctx context.Context, tx *sql.Tx, id, provider string, priority int) (int64, error) {
	r, err := s.jobs.InsertTx(ctx, tx, task.Job{TaskID: id}, &river.InsertOpts{Queue: provider, Priority: priority})
	if err != nil {
		return 0, fmt.Errorf("store: job of %s: %w", id, err)
	}
	return r.Job.ID, nil
}

const addEvent = `INSERT INTO events (` + eventColumns + `) VALUES (?, ?, ?, ?, ?, ?)`

func (s *Store) appendEvent(ctx context.Context, tx *sql.Tx, e task.Event) error {
	v, err := eventValues(e)
	if err != nil {
		return err
	}
	_, err = tx.StmtContext(ctx, s.addEvent).ExecContext(ctx, v...)
	return err
}

const getTask = `SELECT ` + recordColumns + ` FROM tasks WHERE id = ?`

func oneRecord(r row) (task.Record, error) {
	rec, err := scanRecord(r)
	if errors.Is(err, sql.ErrNoRows) {
		return task.Record{}, task.ErrNotFound
	}
	return rec, err
}

// Get implements task.Store.
func (s *Store) Get(ctx context.Context, id string) (task.Record, error) {
	rec, err := oneRecord(s.lookTask.QueryRowContext(ctx, id))
	return rec, wrap(err)
}

const countRunning = `SELECT count(*) FROM tasks WHERE key_id = ? AND state = 'running'`

// changeTx is task.Tx.
type changeTx struct {
	ctx   context.Context // of the one Change that it lives for
	tx    *sql.Tx
	count *sql.Stmt
}

func (t changeTx) Running(keyID string) (n int, err error) {
	err = t.tx.StmtContext(t.ctx, t.count).QueryRowContext(t.ctx, keyID).Scan(&n)
	return n, err
}

// Change implements task.Store.
func (s *Store) Change(ctx context.Context, id string, fn func(task.Tx, *task.Record) (task.Change, error)) (task.Record, error) {
	var rec task.Record
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		was, err := oneRecord(tx.StmtContext(ctx, s.getTask).QueryRowContext(ctx, id))
		if err != nil {
			return err
		}
		rec = was
		c, err := fn(changeTx{ctx, tx, s.countRunning}, &rec)
		if err != nil || c.NoRecord {
			return err
		}
		if err := s.update(ctx, tx, was, rec); err != nil {
			return err
		}
		if c.Event != nil {
			if err := s.appendEvent(ctx, tx, *c.Event); err != nil {
				return err
			}
		}
		if c.Queue {
			if err := s.queue(ctx, tx, rec.ID, rec.Provider); err != nil {
				return err
			}
		}
		if c.WakeKey {
			return s.wake(ctx, tx, rec.KeyID)
		}
		return nil
	})
	if err != nil {
		return task.Record{}, err
	}
	return rec, nil
}

const updateTask = `UPDATE tasks SET ` + mutable + ` WHERE id = ? AND state = ? AND attempt = ? AND sequence = ?`

// update writes rec over was, as long as nobody wrote in between.
func (s *Store) update(ctx context.Context, tx *sql.Tx, was, rec task.Record) error {
	args, err := changing(rec)
	if err != nil {
		return err
	}
	r, err := tx.StmtContext(ctx, s.updateTask).ExecContext(ctx,
		append(args, was.ID, was.State, was.Attempt, was.Sequence)...)
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	switch {
	case err != nil:
		return err
	case n != 1:
		return task.ErrFenced
	}
	return s.raise(ctx, tx, rec.KeyID)
}

func (s *Store) queue(ctx context.Context, tx *sql.Tx, id, provider string) error {
	job, err := s.insertJob(ctx, tx, id, provider, again)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE tasks SET job_id = ?, queue_at = NULL, parked = 0 WHERE id = ?`, job, id)
	return err
}

// wake queues the oldest parked task of a key.
func (s *Store) wake(ctx context.Context, tx *sql.Tx, keyID string) error {
	var id, provider string
	err := tx.QueryRowContext(ctx,
		`SELECT id, provider FROM tasks WHERE key_id = ? AND parked = 1 ORDER BY num LIMIT 1`, keyID).Scan(&id, &provider)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.queue(ctx, tx, id, provider)
}

// List implements task.Store.
func (s *Store) List(ctx context.Context, keyID string, q task.ListQuery) (task.Page, error) {
	where, args := []string{"key_id = ?"}, []any{keyID}
	if q.After != "" {
		var num int64
		err := s.read.QueryRowContext(ctx, `SELECT num FROM tasks WHERE id = ? AND key_id = ?`, q.After, keyID).Scan(&num)
		if errors.Is(err, sql.ErrNoRows) {
			return task.Page{}, task.ErrNotFound
		}
		if err != nil {
			return task.Page{}, wrap(err)
		}
		where, args = append(where, "num < ?"), append(args, num)
	}
	if q.Kind != "" {
		where, args = append(where, "kind = ?"), append(args, q.Kind)
	}
	if len(q.States) > 0 {
		where = append(where, "state IN (?"+strings.Repeat(", ?", len(q.States)-1)+")")
		for _, st := range q.States {
			args = append(args, st)
		}
	}
	rows, err := s.read.QueryContext(ctx,
		`SELECT `+recordColumns+` FROM tasks WHERE `+strings.Join(where, " AND ")+` ORDER BY num DESC LIMIT ?`,
		append(args, q.Limit+1)...)
	if err != nil {
		return task.Page{}, wrap(err)
	}
	recs, err := collect(rows, scanRecord)
	if err != nil {
		return task.Page{}, err
	}
	var p task.Page
	for i, rec := range recs {
		if i == q.Limit {
			p.HasMore = true
			break
		}
		p.Tasks = append(p.Tasks, rec.Task)
	}
	return p, nil
}

// Events implements task.Store.
func (s *Store) Events(ctx context.Context, id string, after int64, limit int) ([]task.Event, error) {
	rows, err := s.read.QueryContext(ctx,
		`SELECT `+eventColumns+` FROM events WHERE task_id = ? AND sequence > ? ORDER BY sequence LIMIT ?`, id, after, limit)
	if err != nil {
		return nil, wrap(err)
	}
	return collect(rows, scanEvent)
}

// Latest implements task.Store.
func (s *Store) Latest(ctx context.Context, id string) (task.Event, error) {
	e, err := scanEvent(s.read.QueryRowContext(ctx,
		`SELECT `+eventColumns+` FROM events WHERE task_id = ? AND name <> 'Started' ORDER BY sequence DESC LIMIT 1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return task.Event{}, task.ErrNotFound
	}
	return e, wrap(err)
}

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(row) (T, error)) ([]T, error) {
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			_ = rows.Close() // the scan's error says more
			return nil, wrap(err)
		}
		out = append(out, v)
	}
	return out, wrap(errors.Join(rows.Err(), rows.Close()))
}

// Prune implements task.Store.
func (s *Store) Prune(ctx context.Context, keys, tasks time.Time, limit int) (media []string, deleted int, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		media, deleted = nil, 0
		if _, err := tx.ExecContext(ctx, `DELETE FROM idempotency_keys WHERE created_at <= ?`, stamp(keys)); err != nil {
			return err
		}
		if tasks.IsZero() {
			return nil
		}
		rows, err := tx.QueryContext(ctx, `DELETE FROM tasks WHERE num IN (
				SELECT num FROM tasks WHERE completed_at <= ? AND tidy_at IS NULL ORDER BY completed_at LIMIT ?)
			RETURNING `+recordColumns, stamp(tasks), limit)
		if err != nil {
			return err
		}
		recs, err := collect(rows, scanRecord)
		if err != nil {
			return err
		}
		owners := map[string]struct{}{}
		for _, rec := range recs {
			for _, o := range rec.Outputs {
				media = append(media, o.MediaKey)
			}
			owners[rec.KeyID] = struct{}{}
		}
		deleted = len(recs)
		for id := range owners {
			if err := s.raise(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return media, deleted, nil
}
