package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/knnlabs/conduit/internal/task"
)

// everybody is the key_id of the revision that counts for all keys.
const everybody = ""

const raiseRevision = `INSERT INTO revisions (key_id, revision) VALUES (?, 1)
	ON CONFLICT (key_id) DO UPDATE SET revision = revision + 1`

// raise notes within tx that something of a key's tasks was written.
func (s *Store) raise(ctx context.Context, tx *sql.Tx, keyID string) error {
	_, err := tx.StmtContext(ctx, s.raiseRevision).ExecContext(ctx, keyID)
	return err
}

// RaiseRevisions implements task.Store.
func (s *Store) RaiseRevisions(ctx context.Context) error {
	return s.inTx(ctx, func(tx *sql.Tx) error { return s.raise(ctx, tx, everybody) })
}

// Revisions implements task.Store.
func (s *Store) Revisions(ctx context.Context, keyIDs []string) (map[string]int64, error) {
	out := make(map[string]int64, len(keyIDs))
	var all int64
	for some := range slices.Chunk(keyIDs, 500) {
		args := []any{everybody}
		for _, id := range some {
			args = append(args, id)
			out[id] = 0
		}
		rows, err := s.read.QueryContext(ctx, `SELECT key_id, revision FROM revisions WHERE key_id IN (?`+strings.Repeat(", ?", len(some))+`)`, args...)
		if err != nil {
			return nil, wrap(err)
		}
		type keyed struct {
			id       string
			revision int64
		}
		found, err := collect(rows, func(r row) (k keyed, err error) { return k, r.Scan(&k.id, &k.revision) })
		if err != nil {
			return nil, err
		}
		for _, k := range found {
			if k.id == everybody {
				all = k.revision
			} else {
				out[k.id] = k.revision
			}
		}
	}
	for id := range out {
		out[id] += all
	}
	return out, nil
}

// Overview implements task.Store. One transaction reads all of it, so that the
// revision is that of the rest.
func (s *Store) Overview(ctx context.Context, keyID string, kinds []task.Kind, recent int) (task.Overview, error) {
	o := task.Overview{Counts: map[task.Kind]map[task.State]int{}}
	if len(kinds) == 0 {
		kinds = []task.Kind{""} // fits none
	}
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return o, wrap(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(revision), 0) FROM revisions WHERE key_id IN (?, ?)`, everybody, keyID).Scan(&o.Revision); err != nil {
		return o, wrap(err)
	}
	where, args := "key_id = ? AND kind IN (?"+strings.Repeat(", ?", len(kinds)-1)+")", []any{keyID}
	for _, k := range kinds {
		args = append(args, k)
	}
	rows, err := tx.QueryContext(ctx, `SELECT kind, state, count(*) FROM tasks WHERE `+where+` GROUP BY kind, state`, args...)
	if err != nil {
		return o, wrap(err)
	}
	type counted struct {
		kind  task.Kind
		state task.State
		n     int
	}
	counts, err := collect(rows, func(r row) (c counted, err error) { return c, r.Scan(&c.kind, &c.state, &c.n) })
	if err != nil {
		return o, err
	}
	for _, c := range counts {
		if o.Counts[c.kind] == nil {
			o.Counts[c.kind] = map[task.State]int{}
		}
		o.Counts[c.kind][c.state] = c.n
	}
	rows, err = tx.QueryContext(ctx, `SELECT `+recordColumns+` FROM tasks WHERE `+where+` ORDER BY num DESC LIMIT ?`, append(args, recent)...)
	if err != nil {
		return o, wrap(err)
	}
	recs, err := collect(rows, scanRecord)
	for _, r := range recs {
		o.Recent = append(o.Recent, r.Task)
	}
	return o, err
}
