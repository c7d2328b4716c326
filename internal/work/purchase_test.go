package work

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// TestSlowPurchase loses its lease while the provider is still being asked to
// take the task, and learns only then that it has.
func TestSlowPurchase(t *testing.T) {
	for _, c := range []struct {
		name   string
		ask    bool
		state  task.State
		cancel []string // what the provider is told to stop, "-1" for the intent
	}{
		{"the provider can be asked, and knows its intents", true, task.Completed, nil},
		{"the provider cannot be asked", false, task.Failed, []string{"-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.script = []provider.Update{at(10), done}
			asked, goOn := make(chan struct{}), make(chan struct{})
			var asks atomic.Int32
			f.onSubmit = func(context.Context, provider.Request) error {
				if asks.Add(1) == 1 {
					close(asked)
					<-goOn
				}
				return nil
			}
			var p provider.Provider = f
			if c.ask {
				p = askable{f}
			}
			slow := setup{path: filepath.Join(t.TempDir(), "conduit.db"), provider: p}
			slow.service.Lease = 200 * time.Millisecond
			slow.work.RenewEvery, slow.work.CheckEvery, slow.work.SweepEvery = time.Hour, time.Hour, time.Hour // it hangs
			slow.work.MaxWorkers = map[string]int{"fake": 1}                                                   // and takes nothing else
			a := rig(t, slow)
			id := a.submit().ID
			<-asked

			b := rig(t, setup{path: slow.path, provider: p})
			rec := b.waitState(id, c.state) // by b, once a's lease is over
			close(goOn)
			a.stop()
			b.stop()
			if c.state == task.Failed && rec.Failure.Code != "submit_uncertain" {
				t.Errorf("%+v", rec.Failure)
			}
			if n := f.numBought(); n != 1 {
				t.Errorf("bought %d times", n)
			}
			var told []string
			for _, x := range f.cancels {
				told = append(told, x[len("p:")+len(id):])
			}
			if !slices.Equal(told, c.cancel) {
				t.Errorf("told to stop %v, want %v", told, c.cancel)
			}
			b.events(id)
		})
	}
}

// TestStopWhileBuying stops an instance whose provider is just taking the task.
func TestStopWhileBuying(t *testing.T) {
	f := newFake()
	asked, goOn := make(chan struct{}), make(chan struct{})
	f.onSubmit = func(context.Context, provider.Request) error {
		close(asked)
		<-goOn
		return nil
	}
	f.script = []provider.Update{at(10), done}
	path := filepath.Join(t.TempDir(), "conduit.db")
	a := rig(t, setup{path: path, provider: f})
	id := a.submit().ID
	<-asked
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.stop()
	}()
	<-a.w.runs.Done() // it is told to stop
	close(goOn)
	<-stopped
	rec := a.wait(id, "pending", func(r task.Record) bool { return r.State == task.Pending })
	if rec.ProviderTaskID != "p:"+id+"-1" {
		t.Errorf("%+v", rec)
	}
	b := rig(t, setup{path: path, provider: f})
	b.waitState(id, task.Completed)
	if f.numSubmits() != 1 {
		t.Errorf("%d submits", f.numSubmits())
	}
}

// TestLeaseIsRenewed holds a task whose provider says nothing.
func TestLeaseIsRenewed(t *testing.T) {
	f := newFake()
	in := rig(t, setup{provider: f, work: Options{RenewEvery: 30 * time.Millisecond}})
	id := in.submit().ID
	rec := in.wait(id, "submitted", func(r task.Record) bool { return r.ProviderTaskID != "" })
	for range 3 {
		before := rec.LeaseUntil
		rec = in.wait(id, "renewed", func(r task.Record) bool { return r.LeaseUntil.After(before) })
	}
	if left := time.Until(rec.LeaseUntil); left > 15*time.Second || rec.Attempt != 1 || rec.Owner != in.w.Owner() {
		t.Errorf("%s left, %+v", left, rec)
	}
	o, err := Options{Service: in.svc, Media: newMemory(), Providers: []provider.Provider{f}}.withDefaults()
	if err != nil || in.svc.Lease() != 15*time.Second || o.RenewEvery != 5*time.Second {
		t.Errorf("a lease of %s, renewed every %s (%v)", in.svc.Lease(), o.RenewEvery, err)
	}
}

// TestDeafProvider has a provider that does not come back from being told to
// stop. What others left behind is taken up all the same.
func TestDeafProvider(t *testing.T) {
	f := newFake()
	path := filepath.Join(t.TempDir(), "conduit.db")
	a := rig(t, setup{path: path, provider: f})
	given := a.submit().ID
	a.wait(given, "submitted", func(r task.Record) bool { return r.ProviderTaskID != "" })
	a.stop()
	if _, err := a.svc.Cancel(t.Context(), "key_a", given); err != nil { // nobody has it: the sweeper tells the provider
		t.Fatal(err)
	}
	left := a.submit().ID
	if _, err := a.svc.Start(t.Context(), left, "dead"); err != nil {
		t.Fatal(err)
	}
	deaf, hear := make(chan struct{}), make(chan struct{})
	f.onCancel = func(string) error {
		close(deaf)
		<-hear
		return nil
	}
	f.script = []provider.Update{done}
	b := rig(t, setup{path: path, provider: f})
	<-deaf
	_, err := b.db.Change(t.Context(), left, func(_ task.Tx, r *task.Record) (task.Change, error) {
		r.LeaseUntil = time.Now() // it is over
		return task.Change{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.waitState(left, task.Completed)
	close(hear)
	b.wait(given, "tidy", func(r task.Record) bool { return r.TidyAt == nil })
}
