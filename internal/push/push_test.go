package push

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

func TestWatching(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)
	c := connect(t, h, mine)
	call(t, c, "SubscribeToTask", idA)
	wantNext(t, c, "Progress 1")
	publish(t, h, tasks.store(idA, task.EventStarted, 0))
	publish(t, h, tasks.store(idA, task.EventProgress, 1))
	wantNext(t, c, "Started 2", "Progress 3")

	// On top of a subscription, only what is new.
	call(t, c, "SubscribeToTask", idA)
	wantNothing(t, c)
	tasks.store(idA, task.EventProgress, 2) // not published
	call(t, c, "subscribetotask", idA)      // names fold case
	wantNext(t, c, "Progress 4")

	// By its other name, in the same group.
	call(t, c, "SubscribeToTask", "video_"+strings.TrimPrefix(idA, "task_"))
	wantNothing(t, c)

	// Again after unsubscribing.
	call(t, c, "UnsubscribeFromTask", idA)
	call(t, c, "UnsubscribeFromTask", idA)
	publish(t, h, tasks.store(idA, task.EventProgress, 3))
	call(t, c, "UnsubscribeFromTask", idA)
	wantNothing(t, c)
	call(t, c, "SubscribeToTask", idA)
	wantNext(t, c, "Progress 5")

	publish(t, h, tasks.store(idA, task.EventCompleted, 100))
	wantNext(t, c, "Completed 6")

	// Stragglers and duplicates reach nobody.
	for _, e := range tasks.events[idA] {
		publish(t, h, e)
	}
	call(t, c, "UnsubscribeFromTask", idA) // no error: the end did so before
	wantNothing(t, c)

	// After the end.
	late := connect(t, h, mine)
	call(t, late, "SubscribeToTask", idA)
	wantNext(t, late, "Completed 6")
	for _, e := range tasks.events[idA] {
		publish(t, h, e)
	}
	call(t, late, "SubscribeToTask", idA)
	wantNext(t, late, "Completed 6")
	for range h.Video().LocalGroups() {
		t.Error("somebody is still in a group")
	}
}

func TestWatchingFrom(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)      // 1 Progress
	tasks.store(idA, task.EventStarted, 0)  // 2
	tasks.store(idA, task.EventProgress, 1) // 3
	tasks.store(idA, task.EventStarted, 0)  // 4, another attempt
	tasks.store(idA, task.EventProgress, 1) // 5
	tasks.store(idA, task.EventProgress, 2) // 6
	for after, want := range map[int64][]string{
		0: {"Started 2", "Started 4", "Progress 6"}, 2: {"Started 4", "Progress 6"}, 4: {"Progress 6"}, 5: {"Progress 6"}, 6: nil, 7: nil, 1 << 62: nil,
	} {
		c := connect(t, h, mine)
		call(t, c, "SubscribeToTaskFrom", idA, after)
		wantNext(t, c, want...)
		wantNothing(t, c)
		publish(t, h, tasks.events[idA][5]) // a straggler: it has that
		call(t, c, "SubscribeToTaskFrom", idA, 0)
		wantNothing(t, c)
		c.Stop()
	}
	c := connect(t, h, mine)
	call(t, c, "SubscribeToTaskFrom", idA, int64(1)<<62)
	publish(t, h, tasks.store(idA, task.EventFailed, 2))
	wantNext(t, c, "Failed 7")
	ended := connect(t, h, mine)
	call(t, ended, "SubscribeToTaskFrom", idA, 5)
	wantNext(t, ended, "Progress 6", "Failed 7")
	call(t, ended, "UnsubscribeFromTask", idA)
	call(t, ended, "SubscribeToTaskFrom", idA, 7)
	wantNothing(t, ended)
}

// What is published while a subscriber reads the store comes after what it
// read, none twice, none lost.
func TestSubscribingWhilePublishing(t *testing.T) {
	for name, from := range map[string]bool{"SubscribeToTask": false, "SubscribeToTaskFrom": true} {
		t.Run(name, func(t *testing.T) {
			tasks := newFakeTasks()
			h := newHubs(t, tasks)
			tasks.add("mine", idA, task.Video)
			c := connect(t, h, mine)
			var once sync.Once
			tasks.onRead(func() {
				once.Do(func() {
					publish(t, h, tasks.events[idA][0]) // what was read, once more
					publish(t, h, tasks.store(idA, task.EventStarted, 0))
					publish(t, h, tasks.store(idA, task.EventCancelled, 0))
				})
			})
			args := []any{idA}
			if from {
				args = append(args, 0)
			}
			call(t, c, name, args...)
			wantNext(t, c, "Progress 1", "Started 2", "Cancelled 3")
			wantNothing(t, c)
		})
	}
}

func TestManySubscribersUnderLoad(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)
	const clients, events = 20, 200
	var all sync.WaitGroup
	for range clients {
		c := connect(t, h, mine)
		all.Go(func() {
			if _, err := c.Call("SubscribeToTask", idA); err != nil {
				t.Errorf("subscribe: %v", err)
			}
			last := int64(0)
			for {
				m := c.Next()
				var e event
				if err := m.Decode(&e); err != nil {
					t.Errorf("%v", err)
					return
				}
				if e.Sequence <= last {
					t.Errorf("%d came after %d", e.Sequence, last)
				}
				last = e.Sequence
				if m.Name == "Completed" {
					break
				}
			}
			if last != events+2 {
				t.Errorf("the end is %d", last)
			}
		})
	}
	for i := range events {
		publish(t, h, tasks.store(idA, task.EventProgress, i/2))
	}
	publish(t, h, tasks.store(idA, task.EventCompleted, 100))
	all.Wait()
}

func TestForeignTasksDoNotExist(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)
	tasks.add("other", idB, task.Image) // of another kind
	c := connect(t, h, other)
	for _, method := range []string{"SubscribeToTask", "SubscribeToTaskFrom", "UnsubscribeFromTask"} {
		var texts []string
		for _, id := range []string{idA, idB, "task_ffffffffffffffffffffffffffffffff", "nonsense", "video-" + idA} {
			args := []any{id}
			if method == "SubscribeToTaskFrom" {
				args = append(args, 0)
			}
			_, err := c.Call(method, args...)
			if err == nil {
				t.Fatalf("%s(%s) went well", method, id)
			}
			texts = append(texts, err.Error())
		}
		for _, text := range texts {
			if text != texts[0] || !strings.HasSuffix(text, "HubException: There is no such task.") {
				t.Errorf("%s: %q, %q", method, texts[0], text)
			}
		}
	}
	publish(t, h, tasks.store(idA, task.EventProgress, 1))
	wantError(t, c, "no such task", "SubscribeToTask", idA)
	wantNothing(t, c)

	one := mine
	one.TaskID = idB
	narrow := connect(t, h, one)
	wantError(t, narrow, "no such task", "SubscribeToTask", idA)
}

func TestBadArguments(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)
	c := connect(t, h, mine)
	for _, x := range []struct {
		says, method string
		args         []any
	}{
		{"taskId is empty", "SubscribeToTask", []any{""}},
		{"taskId is empty", "SubscribeToTask", []any{nil}},
		{"longer than 64 bytes", "SubscribeToTask", []any{strings.Repeat("a", 65)}},
		{"longer than 64 bytes", "UnsubscribeFromTask", []any{strings.Repeat("a", 30_000)}},
		{"characters that cannot be", "SubscribeToTask", []any{"task_\x00"}},
		{"characters that cannot be", "UnsubscribeFromTask", []any{"task_\n"}},
		{"afterSequence is negative", "SubscribeToTaskFrom", []any{idA, -1}},
		{"Failed to invoke 'SubscribeToTask' due to an error", "SubscribeToTask", nil},
		{"Failed to invoke 'SubscribeToTask' due to an error", "SubscribeToTask", []any{idA, 1}},
		{"Failed to invoke 'SubscribeToTask' due to an error", "SubscribeToTask", []any{7}},
		{"Failed to invoke 'SubscribeToTask' due to an error", "SubscribeToTask", []any{map[string]any{"id": idA}}},
		{"Failed to invoke 'SubscribeToTaskFrom' due to an error", "SubscribeToTaskFrom", []any{idA}},
		{"Failed to invoke 'SubscribeToTaskFrom' due to an error", "SubscribeToTaskFrom", []any{idA, "0"}},
		{"Failed to invoke 'SubscribeToTaskFrom' due to an error", "SubscribeToTaskFrom", []any{idA, 0.5}},
		{"Failed to invoke 'SubscribeToTaskFrom' due to an error", "SubscribeToTaskFrom", []any{idA, nil}},
		{"Failed to invoke 'UnsubscribeFromTask' due to an error", "UnsubscribeFromTask", []any{[]string{idA}}},
		{"Method does not exist", "Publish", []any{idA}},
		{"Method does not exist", "TaskCompleted", []any{idA}},
	} {
		wantError(t, c, x.says, x.method, x.args...)
	}
	call(t, c, "SubscribeToTask", idA) // the next call works
	wantNext(t, c, "Progress 1")
}

func TestErrorsOfTheDatabase(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)
	c := connect(t, h, mine)
	call(t, c, "SubscribeToTask", idA)
	wantNext(t, c, "Progress 1")
	tasks.setErr(task.ErrUnavailable)
	wantError(t, c, "The database does not answer", "SubscribeToTask", idA)
	tasks.setErr(errSecret)
	_, err := c.Call("SubscribeToTask", idA)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	call(t, c, "UnsubscribeFromTask", idA) // needs no database
	tasks.setErr(nil)
	publish(t, h, tasks.store(idA, task.EventProgress, 1))
	call(t, c, "UnsubscribeFromTask", idA)
	wantNothing(t, c)
}

func TestWhoMayConnect(t *testing.T) {
	tasks := newFakeTasks()
	tasks.add("mine", idA, task.Video)
	for name, c := range map[string]struct {
		opts signalrtest.Options
		says string
	}{
		"nobody":   {signalrtest.Options{}, "An API key is needed."},
		"no scope": {as(key.Principal{KeyID: "mine", Scopes: []key.Scope{key.ScopeImage}}), "The API key lacks the scope video."},
		"expired":  {as(key.Principal{KeyID: "mine", Scopes: mine.Scopes, ExpiresAt: time.Now().Add(-time.Second)}), keyEnded},
	} {
		h := newHubs(t, tasks)
		client := signalrtest.Connect(t, h.Video(), c.opts)
		if end := client.WaitEnd(); end == nil || !strings.Contains(end.Error, c.says) || end.AllowReconnect {
			t.Errorf("%s: %+v", name, end)
		}
	}
}

func TestLosingAKey(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)
	tasks.add("other", idB, task.Video)
	lost, stays := connect(t, h, mine), connect(t, h, other)
	call(t, lost, "SubscribeToTask", idA)
	call(t, stays, "SubscribeToTask", idB)
	h.LoseKey("mine")
	if end := lost.WaitEnd(); end == nil || end.Error != keyEnded || end.AllowReconnect {
		t.Errorf("got %+v", end)
	}
	// Let in just before.
	if end := connect(t, h, mine).WaitEnd(); end == nil || !strings.Contains(end.Error, keyEnded) {
		t.Errorf("got %+v", end)
	}
	publish(t, h, tasks.store(idB, task.EventProgress, 1))
	wantNext(t, stays, "Progress 1", "Progress 2")
}

func TestPayload(t *testing.T) {
	for name, origin := range map[string]string{"the submitter's origin": "", "PublicURL": "https://media.example"} {
		for _, pack := range []bool{false, true} {
			tasks := newFakeTasks()
			h := newHubs(t, tasks, func(o *Options) { o.PublicURL = origin })
			tasks.add("mine", idA, task.Video)
			tasks.store(idA, task.EventCompleted, 100)
			o := as(mine)
			o.MessagePack = pack
			c := signalrtest.Connect(t, h.Video(), o)
			call(t, c, "SubscribeToTask", idA)
			var got map[string]any
			if err := c.Expect("Completed").Decode(&got); err != nil {
				t.Fatal(err)
			}
			if origin == "" {
				origin = "http://gw.example"
			}
			want := map[string]any{
				"eventType": "VideoGenerationCompleted", "taskId": idA, "sequence": 2.0, "attempt": 1.0,
				"videoUrl": origin + "/v1/media/" + idA + "/0.webm", "duration": 5.0,
				"metadata":  map[string]any{"width": 640.0, "height": 360.0, "fps": 24.0, "format": "webm"},
				"timestamp": "2026-11-22T10:00:00.123Z",
			}
			if diff := cmp.Diff(want, plain(t, got)); diff != "" {
				t.Errorf("%s, MessagePack %v: %s", name, pack, diff)
			}
		}
	}
}

// plain is v as JSON has it.
func plain(t *testing.T, v any) (out map[string]any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A worker that dies between commit and publish: the watchers get the event
// all the same.
func TestRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := newFakeTasks()
		h := newHubs(t, tasks)
		tasks.add("mine", idA, task.Video)
		tasks.add("other", idB, task.Video)
		stop := run(t, h)
		defer stop()
		first, second, late := connect(t, h, mine), connect(t, h, other), connect(t, h, mine)
		call(t, first, "SubscribeToTask", idA)
		call(t, second, "SubscribeToTask", idB)
		wantNext(t, first, "Progress 1")
		wantNext(t, second, "Progress 1")

		tasks.store(idA, task.EventStarted, 0) // none of these is published
		tasks.store(idA, task.EventProgress, 1)
		tasks.store(idA, task.EventProgress, 2)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		wantNext(t, first, "Started 2", "Progress 4")
		wantNothing(t, second)

		tasks.store(idA, task.EventCompleted, 100)
		call(t, late, "SubscribeToTask", idA) // does not hide from the first what it has not
		wantNext(t, late, "Completed 5")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		wantNext(t, first, "Completed 5")
		wantNothing(t, late)

		// What has ended is not read again and again, and neither is what
		// nobody watches.
		call(t, second, "UnsubscribeFromTask", idB)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		tasks.mu.Lock()
		reads := tasks.reads
		tasks.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if tasks.reads != reads {
			t.Errorf("read %d times", tasks.reads-reads)
		}
		if n := len(h.video.watches.tasks); n != 0 {
			t.Errorf("%d tasks are remembered", n)
		}
		wantNothing(t, first)
		call(t, second, "SubscribeToTask", idB)
		if n := len(h.video.watches.tasks); n != 1 {
			t.Errorf("%d tasks are remembered", n)
		}
		for _, c := range []*signalrtest.Client{first, second, late} {
			c.Stop()
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := len(h.video.watches.tasks); n != 0 {
			t.Errorf("%d tasks are remembered", n)
		}
	})
}

// run runs the hubs' repair until stop is called.
func run(t *testing.T, h *Hubs) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

// While the database is away, clients stay; when it is back, they get what was
// stored.
func TestRepairAfterTheDatabaseWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := newFakeTasks()
		h := newHubs(t, tasks)
		tasks.add("mine", idA, task.Video)
		defer run(t, h)()
		c := connect(t, h, mine)
		call(t, c, "SubscribeToTaskFrom", idA, 1)
		tasks.setErr(task.ErrUnavailable)
		tasks.store(idA, task.EventCancelled, 0)
		time.Sleep(12 * time.Second)
		synctest.Wait()
		wantNothing(t, c)
		tasks.setErr(nil)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		wantNext(t, c, "Cancelled 2")
		c.Stop()
	})
}

func TestDeletedTaskIsForgotten(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	tasks.add("mine", idA, task.Video)
	c := connect(t, h, mine)
	call(t, c, "SubscribeToTask", idA)
	tasks.mu.Lock()
	delete(tasks.tasks, idA)
	tasks.mu.Unlock()
	for range 3 {
		if err := h.Repair(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if tasks.reads != 1 {
		t.Errorf("read %d times", tasks.reads)
	}
}

func TestCredentialEndsWhileConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHubs(t, newFakeTasks())
		defer run(t, h)()
		p := mine
		p.ExpiresAt = time.Now().Add(7 * time.Second)
		c := connect(t, h, p)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if end := c.WaitEnd(); end == nil || end.Error != keyEnded {
			t.Errorf("got %+v", end)
		}
	})
}
