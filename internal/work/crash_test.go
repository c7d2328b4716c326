package work

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// TestCrashAnywhere lets an instance die before, and right after, each of its
// writes, which is between a commit and its publication; another goes on.
func TestCrashAnywhere(t *testing.T) {
	const writes = 9 // more than one task's
	for _, canAsk := range []bool{true, false} {
		for n := 1; n <= writes; n++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("ask=%v/write=%d/after=%v", canAsk, n, after), func(t *testing.T) {
					t.Parallel()
					crashOnce(t, canAsk, n, after)
				})
			}
		}
	}
}

func crashOnce(t *testing.T, canAsk bool, n int, after bool) {
	f, m := newFake(), newMemory()
	f.script = []provider.Update{at(10), at(50), done}
	var p provider.Provider = f
	if canAsk {
		p = askable{f}
	}
	path := filepath.Join(t.TempDir(), "conduit.db")
	a := rig(t, setup{path: path, provider: p, media: m, idle: true})
	b := rig(t, setup{path: path, provider: p, media: m, work: Options{Alone: true}, idle: true})
	dead := make(chan struct{})
	a.mortal.arm(n, after, func() { close(dead) })
	id := a.submit().ID
	a.start()
	select {
	case <-dead:
	case <-time.After(200 * time.Millisecond): // it had fewer writes than that
	}
	a.die()
	b.start()
	rec := b.wait(id, "ended", func(r task.Record) bool { return r.State.Final() })
	b.stop()

	switch {
	case rec.State == task.Completed:
		if keys := m.keys(); len(keys) != 1 || keys[0] != rec.Outputs[0].MediaKey {
			t.Errorf("stored %v, the task has %v", keys, rec.Outputs)
		}
	case canAsk || rec.Failure == nil || rec.Failure.Code != "submit_uncertain":
		t.Errorf("ended %s, %+v", rec.State, rec.Failure)
	}
	if f.numBought() > 1 {
		t.Errorf("bought %d times", f.numBought())
	}
	es := b.events(id)
	if !es[len(es)-1].Name.Terminal() {
		t.Errorf("events %v", names(es))
	}
}

// TestJobTwice runs many jobs for one task.
func TestJobTwice(t *testing.T) {
	f := newFake()
	in := rig(t, setup{provider: f, idle: true})
	id := in.submit().ID
	jobs, err := river.NewClient(in.db.Driver(), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := jobs.Insert(t.Context(), task.Job{TaskID: id}, &river.InsertOpts{Queue: "fake"}); err != nil {
			t.Fatal(err)
		}
	}
	in.start()
	f.wait(t, "submitted", func() bool { return len(f.tasks) == 1 })
	if _, err := jobs.Insert(t.Context(), task.Job{TaskID: id}, &river.InsertOpts{Queue: "fake"}); err != nil {
		t.Fatal(err)
	}
	f.say("p:"+id+"-1", at(10), done)
	in.waitState(id, task.Completed)
	if f.numSubmits() != 1 {
		t.Errorf("%d submits", f.numSubmits())
	}
	started := 0
	for _, e := range in.events(id) {
		if e.Name == task.EventStarted {
			started++
		}
	}
	if started != 1 {
		t.Errorf("started %d times", started)
	}
}

// TestLostJob takes the job of a pending task away.
func TestLostJob(t *testing.T) {
	f := newFake()
	f.script = []provider.Update{done}
	in := rig(t, setup{provider: f, idle: true})
	id := in.submit().ID
	jobs, err := river.NewClient(in.db.Driver(), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := jobs.JobDeleteMany(t.Context(), river.NewJobDeleteManyParams().Kinds("generate"))
	if err != nil || len(r.Jobs) != 1 {
		t.Fatal(r, err)
	}
	in.start()
	in.waitState(id, task.Completed)
}

// TestSlowWorker loses its lease while it works on.
func TestSlowWorker(t *testing.T) {
	f, m := newFake(), newMemory()
	path := filepath.Join(t.TempDir(), "conduit.db")
	fetching, goOn := make(chan struct{}), make(chan struct{})
	slow := setup{path: path, provider: f, media: &held{memory: m, reached: fetching, goOn: goOn}}
	slow.service.Lease = 200 * time.Millisecond
	slow.work.RenewEvery, slow.work.CheckEvery, slow.work.SweepEvery = time.Hour, time.Hour, time.Hour // it hangs
	slow.work.MaxWorkers = map[string]int{"fake": 1}                                                   // and takes nothing else
	a := rig(t, slow)
	id := a.submit().ID
	f.wait(t, "submitted", func() bool { return len(f.tasks) == 1 })
	f.say("p:"+id+"-1", at(30), done)
	<-fetching // a is about to store its output

	b := rig(t, setup{path: path, provider: f, media: m})
	rec := b.waitState(id, task.Completed) // by b, once a's lease is over
	close(goOn)                            // a stores its own and tries to complete
	a.stop()
	b.stop()
	if rec.Attempt != 2 || f.numSubmits() != 1 {
		t.Errorf("attempt %d, %d submits", rec.Attempt, f.numSubmits())
	}
	if keys := m.keys(); len(keys) != 1 || keys[0] != rec.Outputs[0].MediaKey {
		t.Errorf("stored %v, the task has %v", keys, rec.Outputs)
	}
	es := b.events(id)
	wantNames(t, es[len(es)-1:], "Completed")
	if es[len(es)-1].Attempt != 2 {
		t.Errorf("%+v", es[len(es)-1])
	}
}

// held is a media store whose Put waits.
type held struct {
	*memory
	reached, goOn chan struct{}
}

func (h *held) Put(ctx context.Context, key, contentType string, r io.Reader) (media.Info, error) {
	close(h.reached)
	<-h.goOn
	return h.memory.Put(ctx, key, contentType, r)
}

// TestTwoInstances race for the same tasks.
func TestTwoInstances(t *testing.T) {
	f := newFake()
	f.script = []provider.Update{at(10), at(60), done}
	path := filepath.Join(t.TempDir(), "conduit.db")
	a := rig(t, setup{path: path, provider: f, idle: true})
	b := rig(t, setup{path: path, provider: f, idle: true})
	var ids []string
	for range 10 {
		ids = append(ids, a.submit().ID)
	}
	a.start()
	b.start()
	for range 10 {
		ids = append(ids, b.submit().ID)
	}
	for _, id := range ids {
		if rec := a.waitState(id, task.Completed); rec.Attempt != 1 {
			t.Errorf("%s took %d attempts", id, rec.Attempt)
		}
		a.events(id)
	}
	if f.numSubmits() != len(ids) {
		t.Errorf("%d submits of %d tasks", f.numSubmits(), len(ids))
	}
}

// TestGivenBack stops an instance in the middle of a task.
func TestGivenBack(t *testing.T) {
	f := newFake()
	path := filepath.Join(t.TempDir(), "conduit.db")
	a := rig(t, setup{path: path, provider: f})
	id := a.submit().ID
	f.wait(t, "submitted", func() bool { return len(f.tasks) == 1 })
	f.say("p:"+id+"-1", at(40))
	a.wait(id, "at 40", func(r task.Record) bool { return r.Progress == 40 })
	a.stop()
	rec := a.wait(id, "pending", func(r task.Record) bool { return r.State == task.Pending })
	if rec.Attempt != 2 || rec.ProviderTaskID == "" || len(f.cancels) != 0 {
		t.Errorf("%+v, cancels %v", rec, f.cancels)
	}
	b := rig(t, setup{path: path, provider: f})
	f.say("p:"+id+"-1", at(70), done)
	b.waitState(id, task.Completed)
	if f.numSubmits() != 1 {
		t.Errorf("%d submits", f.numSubmits())
	}
	for _, e := range b.events(id) {
		if e.Name == task.EventFailed {
			t.Errorf("%+v", e)
		}
	}
}

// TestLosses ends a task whose worker vanishes every time.
func TestLosses(t *testing.T) {
	f := newFake()
	in := rig(t, setup{provider: f, idle: true, service: task.Options{MaxLosses: 3}})
	id := in.submit().ID
	for n := range 3 {
		if _, err := in.svc.Start(t.Context(), id, fmt.Sprint("w", n)); err != nil {
			t.Fatal(err)
		}
		if _, err := in.svc.Sweep(t.Context(), &task.Alone{Owner: "x", Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	rec := in.waitState(id, task.Failed)
	if rec.Failure.Code != "internal" || !rec.Failure.Retryable {
		t.Errorf("%+v", rec.Failure)
	}
	in.events(id)
}

// TestDatabaseAway takes the database away in the middle of a task.
func TestDatabaseAway(t *testing.T) {
	f := newFake()
	in := rig(t, setup{provider: f})
	id := in.submit().ID
	f.wait(t, "submitted", func() bool { return len(f.tasks) == 1 })
	in.mortal.away(true)
	f.say("p:"+id+"-1", at(40), at(60), done)
	f.wait(t, "watched", func() bool { return f.tasks["p:"+id+"-1"].watches == 1 })
	time.AfterFunc(100*time.Millisecond, func() { in.mortal.away(false) })
	rec := in.waitState(id, task.Completed)
	if rec.Attempt != 1 || f.numSubmits() != 1 {
		t.Errorf("attempt %d, %d submits", rec.Attempt, f.numSubmits())
	}
	in.events(id)
}
