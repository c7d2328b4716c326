package push

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

func answersOf(t *testing.T, c *signalrtest.Client, method string, args any) (answers []TaskAnswer) {
	t.Helper()
	m, err := c.Call(method, args)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	if err := m.Decode(&answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

func TestManyTasks(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	const idC, idD = "task_000000000000000000000000000000cc", "task_000000000000000000000000000000dd"
	for _, id := range []string{idA, idC, idD} {
		tasks.add("mine", id, task.Video)
	}
	tasks.add("other", idB, task.Video)
	tasks.store(idC, task.EventStarted, 0)
	tasks.store(idC, task.EventProgress, 5)
	tasks.store(idD, task.EventFailed, 0)
	c := connect(t, h, mine)
	missing := TaskAnswer{Error: "There is no such task.", ErrorCode: "task_not_found"}
	foreign, nonsense := missing, missing
	foreign.TaskID, nonsense.TaskID = idB, "nonsense"
	type position map[string]any
	got := answersOf(t, c, "SubscribeToTasks", []position{
		{"taskId": idB}, {"taskId": idA}, {"taskId": "nonsense", "afterSequence": 3},
		{"taskId": idC, "afterSequence": 1}, {"taskId": idD, "afterSequence": nil}, {"taskId": idD, "afterSequence": 2},
		{"taskId": ""}, {"taskId": idA, "afterSequence": -1},
	})
	if d := cmp.Diff([]TaskAnswer{
		foreign, {TaskID: idA, OK: true, Sequence: 1}, nonsense, {TaskID: idC, OK: true, Sequence: 3},
		{TaskID: idD, OK: true, Sequence: 2, Ended: true}, {TaskID: idD, OK: true, Sequence: 2, Ended: true},
		{Error: "taskId is empty.", ErrorCode: "invalid_request"},
		{TaskID: idA, Error: "afterSequence is negative. 0 stands for the beginning.", ErrorCode: "invalid_request"},
	}, got); d != "" {
		t.Error(d)
	}
	wantNext(t, c, "Progress 1", "Started 2", "Progress 3", "Failed 2")
	wantNothing(t, c)

	got = answersOf(t, c, "UnsubscribeFromTasks", []string{idA, idB, idD, idA})
	if d := cmp.Diff([]TaskAnswer{{TaskID: idA, OK: true}, foreign, {TaskID: idD, OK: true}, {TaskID: idA, OK: true}}, got); d != "" {
		t.Error(d)
	}
	publish(t, h, tasks.store(idA, task.EventProgress, 1))
	publish(t, h, tasks.store(idC, task.EventCancelled, 5))
	wantNext(t, c, "Cancelled 4")
	wantNothing(t, c)

	for _, args := range []any{[]string{}, nil} {
		if got := answersOf(t, c, "UnsubscribeFromTasks", args); len(got) != 0 {
			t.Errorf("%v: %v", args, got)
		}
	}
	for _, method := range []string{"SubscribeToTasks", "UnsubscribeFromTasks"} {
		for _, args := range []any{idA, 7, []int{1}, map[string]any{"taskId": idA}} {
			wantError(t, c, "Failed to invoke '"+method+"' due to an error", method, args)
		}
	}
	wantError(t, c, "There are more than 200 tasks.", "UnsubscribeFromTasks", make([]string, 201))
	wantError(t, c, "There are more than 200 tasks.", "SubscribeToTasks", make([]position, 201))

	tasks.setErr(fmt.Errorf("%w: %w", task.ErrUnavailable, errSecret))
	for _, a := range answersOf(t, c, "SubscribeToTasks", []position{{"taskId": idA}, {"taskId": idC}}) {
		if a.OK || a.ErrorCode != "service_unavailable" || strings.Contains(a.Error, "secret") {
			t.Errorf("%+v", a)
		}
	}
	tasks.setErr(errSecret)
	for _, a := range answersOf(t, c, "SubscribeToTasks", []position{{"taskId": idA}}) {
		if a.OK || a.ErrorCode != "internal_error" || strings.Contains(a.Error, "secret") {
			t.Errorf("%+v", a)
		}
	}
}

// The image hub does the same for images, in groups of its own, and knows no
// videos.
func TestImageHub(t *testing.T) {
	tasks := newFakeTasks()
	h := newHubs(t, tasks)
	images := key.Principal{KeyID: "mine", Scopes: []key.Scope{key.ScopeImage}}
	tasks.add("mine", idA, task.Image)
	tasks.add("mine", idB, task.Video)
	for _, pack := range []bool{false, true} {
		o := as(images)
		o.MessagePack = pack
		c := signalrtest.Connect(t, h.Image(), o)
		call(t, c, "SubscribeToTask", idA)
		wantError(t, c, "There is no such task.", "SubscribeToTask", idB)
		if m := c.Expect("Progress"); !strings.Contains(fmt.Sprint(plainOf(t, m)), "ImageGenerationProgress") {
			t.Errorf("%v", plainOf(t, m))
		}
		groups := 0
		for g := range h.Image().LocalGroups() {
			groups++
			if g != "image-"+idA {
				t.Errorf("group %s", g)
			}
		}
		if groups != 1 {
			t.Errorf("%d groups", groups)
		}
		c.Stop()
	}
	c := signalrtest.Connect(t, h.Image(), as(images))
	call(t, c, "SubscribeToTaskFrom", idA, 1)
	for _, name := range []task.EventName{task.EventStarted, task.EventProgress} {
		publish(t, h, tasks.store(idA, name, 50))
		if got := plainOf(t, c.Expect(string(name))); got["eventType"] != "ImageGeneration"+string(name) {
			t.Errorf("%v", got)
		}
	}
	e := tasks.store(idA, task.EventCompleted, 100)
	e.Outputs = []task.Output{{MediaKey: "a/0.png", Format: "png", Width: 64, Height: 36}, {MediaKey: "a/1.png", Format: "png", Width: 64, Height: 36}}
	publish(t, h, e)
	image := func(n int) map[string]any {
		return map[string]any{"url": fmt.Sprintf("http://gw.example/v1/media/a/%d.png", n), "width": 64.0, "height": 36.0, "format": "png"}
	}
	want := map[string]any{
		"eventType": "ImageGenerationCompleted", "taskId": idA, "sequence": 4.0, "attempt": 1.0,
		"imageUrl": image(0)["url"], "images": []any{image(0), image(1)},
		"metadata": map[string]any{"width": 64.0, "height": 36.0, "format": "png"}, "timestamp": "2026-11-22T10:00:00.123Z",
	}
	if d := cmp.Diff(want, plainOf(t, c.Expect("Completed"))); d != "" {
		t.Error(d)
	}
	if end := signalrtest.Connect(t, h.Image(), as(mine)).WaitEnd(); end == nil || !strings.Contains(end.Error, "lacks the scope image") {
		t.Errorf("%+v", end)
	}
	if err := h.Publish(t.Context(), task.Event{Kind: "sound"}); err == nil {
		t.Error("an event of no hub was published")
	}
}

func plainOf(t *testing.T, m signalrtest.Message) map[string]any {
	t.Helper()
	var v map[string]any
	if err := m.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return plain(t, v)
}
