package store

import (
	"context"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

// Renew implements task.Store.
func (s *Store) Renew(ctx context.Context, owner string, attempts map[string]int, until time.Time) error {
	if len(attempts) == 0 {
		return nil
	}
	args := []any{stamp(until), owner}
	for id, n := range attempts {
		args = append(args, id, n)
	}
	_, err := s.write.ExecContext(ctx, `UPDATE tasks SET lease_until = max(lease_until, ?)
		WHERE state = 'running' AND owner = ? AND (id, attempt) IN (VALUES (?, ?)`+strings.Repeat(", (?, ?)", len(attempts)-1)+`)`, args...)
	return wrap(err)
}

// Held implements task.Store.
func (s *Store) Held(ctx context.Context, owner string) (map[string]int, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, attempt FROM tasks WHERE state = 'running' AND owner = ?`, owner)
	if err != nil {
		return nil, wrap(err)
	}
	held := map[string]int{}
	_, err = collect(rows, func(r row) (struct{}, error) {
		var id string
		var attempt int
		err := r.Scan(&id, &attempt)
		held[id] = attempt
		return struct{}{}, err
	})
	return held, err
}

// dueLimit is how much of each kind one sweep takes on.
const dueLimit = 200

// Due implements task.Store.
//
// A pending task's job is lost when the queue has it no more, or a worker took
// it and is gone: the step from there to running takes milliseconds. Jobs that
// River holds back for a retry of its own count as queued.
func (s *Store) Due(ctx context.Context, now time.Time, stale time.Duration, alone *task.Alone) (task.Due, error) {
	self, since := "", now.Add(-stale)
	if alone != nil {
		self = alone.Owner
		if alone.Since.After(since) {
			since = alone.Since
		}
	}
	var due task.Due
	for _, q := range []struct {
		into  *[]string
		query string
		args  []any
	}{
		{&due.Expired, `SELECT id FROM tasks WHERE state = 'running' AND (lease_until <= ? OR (? <> '' AND owner <> ?)) LIMIT ?`,
			[]any{stamp(now), self, self, dueLimit}},
		{&due.Late, `SELECT id FROM tasks WHERE state = 'pending' AND deadline_at <= ? LIMIT ?`,
			[]any{stamp(now), dueLimit}},
		{&due.Queue, `SELECT t.id FROM tasks t LEFT JOIN river_job j ON j.id = t.job_id
			WHERE t.state = 'pending' AND t.deadline_at > ? AND (t.queue_at <= ? OR (t.queue_at IS NULL AND (
				j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded') OR (j.state = 'running' AND j.attempted_at < ?))))
			ORDER BY t.num LIMIT ?`,
			[]any{stamp(now), stamp(now), since.UTC().Format("2006-01-02 15:04:05.000"), dueLimit}},
		{&due.Tidy, `SELECT id FROM tasks WHERE tidy_at <= ? ORDER BY tidy_at LIMIT ?`,
			[]any{stamp(now), 20}},
	} {
		rows, err := s.read.QueryContext(ctx, q.query, q.args...)
		if err != nil {
			return task.Due{}, wrap(err)
		}
		if *q.into, err = collect(rows, func(r row) (id string, err error) { err = r.Scan(&id); return }); err != nil {
			return task.Due{}, err
		}
	}
	return due, nil
}
