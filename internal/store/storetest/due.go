package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

func testLeases(t *testing.T, open func() Store) {
	s := open()
	a, b, c := create(t, s, creation(1)).ID, create(t, s, creation(2)).ID, create(t, s, creation(3)).ID
	run(t, s, a, "w1", noon)
	run(t, s, b, "w1", noon)
	run(t, s, c, "w2", noon)
	held, err := s.Held(t.Context(), "w1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "held", held, map[string]int{a: 1, b: 1})
	if err := s.Renew(t.Context(), "w1", nil, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	// Of the others, one is another owner's, and one in another attempt.
	for _, until := range []time.Time{noon.Add(time.Minute), noon.Add(time.Second)} { // the earlier changes nothing
		if err := s.Renew(t.Context(), "w1", map[string]int{a: 1, b: 2, c: 1, "task_none": 1}, until); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]time.Time{a: noon.Add(time.Minute), b: noon, c: noon} {
			if got := get(t, s, id).LeaseUntil; !got.Equal(want) {
				t.Errorf("lease of %s until %s, want %s", id, got, want)
			}
		}
	}
}

func testDue(t *testing.T, open func() Store) {
	s := open()
	change := func(id string, f func(*task.Record)) {
		t.Helper()
		_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) { f(r); return task.Change{}, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	now := noon.Add(time.Minute)
	before, after := now.Add(-time.Second), now.Add(time.Second)
	n := 0
	next := func() string { n++; return create(t, s, creation(n)).ID }

	queued := next() // has its job: nothing to do
	expired, leased, others := next(), next(), next()
	run(t, s, expired, "w1", now)
	run(t, s, leased, "w1", after)
	run(t, s, others, "w2", after)
	waits, waited := next(), next()
	change(waits, func(r *task.Record) { r.QueueAt = &after })
	change(waited, func(r *task.Record) { r.QueueAt = &now })
	late := create(t, s, creation(50, func(c *task.Creation) { c.Record.DeadlineAt = before })).ID
	tidy, tidyLater := next(), next()
	finish(t, s, tidy, task.Cancelled, noon)
	finish(t, s, tidyLater, task.Cancelled, noon)
	change(tidy, func(r *task.Record) { r.TidyAt = &before })
	change(tidyLater, func(r *task.Record) { r.TidyAt = &after })
	_ = queued

	check := func(alone *task.Alone, want task.Due) {
		t.Helper()
		got, err := s.Due(t.Context(), now, 15*time.Second, alone)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range [][]string{got.Expired, got.Queue, got.Late, got.Tidy} {
			slices.Sort(l)
		}
		same(t, "due", got, want)
	}
	check(nil, task.Due{Expired: []string{expired}, Queue: []string{waited}, Late: []string{late}, Tidy: []string{tidy}})
	check(&task.Alone{Owner: "w1", Since: now}, task.Due{Expired: []string{expired, others}, Queue: []string{waited}, Late: []string{late}, Tidy: []string{tidy}})
}

func testParked(t *testing.T, open func() Store) {
	s := open()
	var ids []string
	for n := range 3 {
		ids = append(ids, create(t, s, creation(n)).ID)
	}
	for _, id := range ids[1:] {
		_, err := s.Change(t.Context(), id, func(_ task.Tx, r *task.Record) (task.Change, error) {
			r.Parked, r.QueueAt = true, &noon
			return task.Change{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for woken := range 3 { // one more than there are
		_, err := s.Change(t.Context(), ids[0], func(task.Tx, *task.Record) (task.Change, error) { return task.Change{WakeKey: true}, nil })
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids[1:] {
			if rec := get(t, s, id); rec.Parked != (i > woken) || (rec.QueueAt != nil) != (i > woken) {
				t.Errorf("after %d: task %d parked %v, %v", woken+1, i+1, rec.Parked, rec.QueueAt)
			}
		}
	}
}

func testPrune(t *testing.T, open func() Store) {
	s := open()
	var ids []string
	for n := range 5 {
		ids = append(ids, create(t, s, creation(n, func(c *task.Creation) { c.Record.IdempotencyKey = string(rune('a' + n)) })).ID)
	}
	finish(t, s, ids[0], task.Completed, noon, task.Output{MediaKey: "m0"}, task.Output{MediaKey: "m1"})
	finish(t, s, ids[1], task.Cancelled, noon)
	finish(t, s, ids[2], task.Completed, noon.Add(time.Hour), task.Output{MediaKey: "m2"})
	finish(t, s, ids[3], task.Cancelled, noon)
	_, err := s.Change(t.Context(), ids[3], func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.TidyAt = &noon // somebody has still to tell the provider
		return task.Change{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if media, n, err := s.Prune(t.Context(), noon.Add(-time.Second), time.Time{}, 10); err != nil || n != 0 || media != nil {
		t.Errorf("%v, %d, %v", media, n, err)
	}
	media, n, err := s.Prune(t.Context(), noon.Add(-time.Second), noon, 10)
	if err != nil || n != 2 {
		t.Errorf("%d deleted, %v", n, err)
	}
	slices.Sort(media)
	same(t, "media", media, []string{"m0", "m1"})
	p, err := s.List(t.Context(), "key_a", task.ListQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, x := range p.Tasks {
		left = append(left, x.ID)
	}
	same(t, "left", left, []string{ids[4], ids[3], ids[2]})
	if es, err := s.Events(t.Context(), ids[0], 0, 10); err != nil || len(es) != 0 {
		t.Errorf("events %v, %v", es, err)
	}

	again := creation(9, func(c *task.Creation) { c.Record.IdempotencyKey, c.Record.RequestHash = "e", "other" })
	if _, _, err := s.Prune(t.Context(), noon, time.Time{}, 10); err != nil {
		t.Fatal(err)
	}
	create(t, s, again) // its name was forgotten
}
