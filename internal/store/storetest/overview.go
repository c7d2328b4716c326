package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/internal/task"
)

// testOverview: counts, the newest tasks, and a revision that rises with every
// write and never falls.
func testOverview(t *testing.T, open func() Store) {
	s, ctx := open(), t.Context()
	both := []task.Kind{task.Video, task.Image}
	var last int64
	look := func(rises bool) task.Overview {
		t.Helper()
		o, err := s.Overview(ctx, "k", both, 2)
		if err != nil {
			t.Fatal(err)
		}
		revisions, err := s.Revisions(ctx, []string{"k", "other"})
		if err != nil || revisions["k"] != o.Revision || len(revisions) != 2 {
			t.Errorf("revisions %v (%v), overview has %d", revisions, err, o.Revision)
		}
		if rises != (o.Revision > last) || o.Revision < last {
			t.Errorf("revision %d after %d", o.Revision, last)
		}
		last = o.Revision
		return o
	}
	if o := look(false); o.Revision != 0 || len(o.Counts) != 0 || len(o.Recent) != 0 {
		t.Errorf("of nobody: %+v", o)
	}
	var ids []string
	for i := range 3 {
		made := create(t, s, creation(i+1, func(c *task.Creation) {
			c.Record.KeyID = "k"
			if i == 1 {
				c.Record.Kind = task.Image
			}
		}))
		ids = append(ids, made.ID)
		look(true)
	}
	create(t, s, creation(9))
	o := look(false) // another key's
	if d := cmp.Diff(map[task.Kind]map[task.State]int{task.Video: {task.Pending: 2}, task.Image: {task.Pending: 1}}, o.Counts); d != "" {
		t.Error(d)
	}
	if len(o.Recent) != 2 || o.Recent[0].ID != ids[2] || o.Recent[1].ID != ids[1] {
		t.Errorf("recent: %+v", o.Recent)
	}
	if o, err := s.Overview(ctx, "k", []task.Kind{task.Image}, 9); err != nil || len(o.Recent) != 1 || len(o.Counts) != 1 || o.Revision != last {
		t.Errorf("of images: %+v (%v)", o, err)
	}
	if o, err := s.Overview(ctx, "k", nil, 9); err != nil || len(o.Recent) != 0 || len(o.Counts) != 0 {
		t.Errorf("of no kind: %+v (%v)", o, err)
	}
	end := noon
	_, err := s.Change(ctx, ids[0], func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.State, r.CompletedAt = task.Cancelled, &end
		return task.Change{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := look(true); o.Counts[task.Video][task.Cancelled] != 1 {
		t.Errorf("%v", o.Counts)
	}
	if err := s.RaiseRevisions(ctx); err != nil {
		t.Fatal(err)
	}
	look(true)
	if _, n, err := s.Prune(ctx, noon, noon.Add(time.Hour), 10); err != nil || n != 1 {
		t.Fatalf("pruned %d (%v)", n, err)
	}
	look(true)
}
