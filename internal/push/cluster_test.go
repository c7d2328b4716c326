package push

import (
	"context"
	"testing"

	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr"
)

// Two servers on one backplane: what one publishes, the other's subscribers
// get once, although their own server did not publish it and repairs.
func TestTwoServers(t *testing.T) {
	tasks := newFakeTasks()
	tasks.add("mine", idA, task.Video)
	var plane signalr.MemoryBackplane
	on := func(o *Options) { o.Hub.Backplane = &plane }
	here, there := newHubs(t, tasks, on), newHubs(t, tasks, on)
	near, far := connect(t, here, mine), connect(t, there, mine)
	call(t, near, "SubscribeToTask", idA)
	call(t, far, "SubscribeToTask", idA)
	publish(t, here, tasks.store(idA, task.EventStarted, 0))
	wantNext(t, near, "Progress 1", "Started 2")
	wantNext(t, far, "Progress 1", "Started 2")
	repair := func() {
		t.Helper()
		for _, h := range []*Hubs{here, there} {
			if err := h.Repair(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	repair()
	tasks.store(idA, task.EventProgress, 1) // lost on its way
	repair()
	wantNext(t, near, "Progress 3")
	wantNext(t, far, "Progress 3")
	publish(t, there, tasks.store(idA, task.EventCompleted, 100))
	wantNext(t, near, "Completed 4")
	wantNext(t, far, "Completed 4")
	repair()
	call(t, near, "SubscribeToTaskFrom", idA, 4)
	wantNothing(t, near)
	wantNothing(t, far)
}

// deaf is a backplane that can lose what is published.
type deaf struct {
	signalr.Backplane
	lose bool
}

type deafLink struct {
	signalr.Link
	*deaf
}

func (d *deaf) Attach(hub string, r signalr.Receiver) (signalr.Link, error) {
	l, err := d.Backplane.Attach(hub, r)
	return deafLink{l, d}, err
}

func (l deafLink) Publish(ctx context.Context, m *signalr.Message) error {
	if l.lose {
		return nil
	}
	return l.Link.Publish(ctx, m)
}

func TestRecovery(t *testing.T) {
	tasks := newFakeTasks()
	tasks.add("mine", idA, task.Video)
	plane := &deaf{Backplane: &signalr.MemoryBackplane{}}
	h := newHubs(t, tasks, func(o *Options) { o.Hub.Backplane = plane })
	c, late := connect(t, h, mine), connect(t, h, mine)
	call(t, c, "SubscribeToTask", idA)
	wantNext(t, c, "Progress 1")
	plane.lose = true
	publish(t, h, tasks.store(idA, task.EventStarted, 0))
	publish(t, h, tasks.store(idA, task.EventFailed, 0))
	plane.lose = false
	call(t, late, "SubscribeToTask", idA)
	wantNext(t, late, "Failed 3")
	for range 2 {
		if err := h.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantNext(t, c, "Started 2", "Failed 3")
	call(t, c, "SubscribeToTaskFrom", idA, 3)
	call(t, late, "SubscribeToTaskFrom", idA, 3)
	wantNothing(t, c)
	wantNothing(t, late)
	reads := tasks.reads
	if err := h.Repair(t.Context()); err != nil || tasks.reads != reads {
		t.Errorf("an ended task is read again (%v)", err)
	}
}
