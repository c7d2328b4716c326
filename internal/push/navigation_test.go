package push

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

func navigator(keyID string, kinds ...key.Scope) key.Principal {
	return key.Principal{KeyID: keyID, Scopes: append(kinds, key.ScopeNavigation)}
}

func navigate(t *testing.T, h *Hubs, p key.Principal) *signalrtest.Client {
	t.Helper()
	return signalrtest.Connect(t, h.Navigation(), as(p))
}

func stateOf(t *testing.T, m interface{ Decode(any) error }) (s NavigationState) {
	t.Helper()
	if err := m.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// quiet says that nothing came, after every goroutine has done what it could.
func quiet(t *testing.T, c *signalrtest.Client) {
	t.Helper()
	synctest.Wait()
	for _, m := range c.Received() {
		t.Errorf("got %s, want nothing", m.Name)
	}
}

func TestNavigation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := newFakeTasks()
		h := newHubs(t, tasks)
		tasks.add("mine", idA, task.Video)
		tasks.add("other", idB, task.Image)
		defer run(t, h)()
		both, films, foreign := navigate(t, h, navigator("mine", key.ScopeVideo, key.ScopeImage)),
			navigate(t, h, navigator("mine", key.ScopeVideo)), navigate(t, h, navigator("other", key.ScopeImage))
		first := stateOf(t, both.Expect("NavigationStateUpdated"))
		if d := cmp.Diff(NavigationState{
			EventType: "NavigationStateUpdated", Revision: 1,
			Kinds:       []KindState{{Kind: task.Video, Available: true, Tasks: TaskCounts{Pending: 1}}, {Kind: task.Image, Available: true}},
			Models:      []ModelState{{ModelID: "films", Kind: task.Video, Default: true, Available: true}, {ModelID: "pictures", Kind: task.Image, Available: true}},
			RecentTasks: []TaskSummary{{TaskID: idA, Kind: task.Video, Status: task.Pending, Sequence: 1}},
			Timestamp:   first.Timestamp,
		}, first); d != "" {
			t.Error(d)
		}
		if s := stateOf(t, films.Expect("NavigationStateUpdated")); len(s.Kinds) != 1 || len(s.Models) != 1 || len(s.RecentTasks) != 1 {
			t.Errorf("of videos alone: %+v", s)
		}
		if s := stateOf(t, foreign.Expect("NavigationStateUpdated")); len(s.RecentTasks) != 1 || s.RecentTasks[0].TaskID != idB {
			t.Errorf("of another key: %+v", s)
		}

		// A flood becomes one state at once and one a second later, the newest.
		time.Sleep(3 * time.Second)
		quiet(t, both)
		for i := range 20 {
			publish(t, h, tasks.store(idA, task.EventProgress, i))
		}
		synctest.Wait()
		if n := len(both.Received()); n != 1 {
			t.Errorf("%d states at once", n)
		}
		publish(t, h, tasks.store(idA, task.EventProgress, 20))
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		got := both.Received()
		if len(got) != 1 || stateOf(t, got[0]).Revision != 22 {
			t.Fatalf("%d states a second later", len(got))
		}
		quiet(t, foreign)

		// What another process did, of which nobody tells.
		tasks.store(idA, task.EventCancelled, 20)
		time.Sleep(1500 * time.Millisecond)
		s := stateOf(t, both.Expect("NavigationStateUpdated"))
		if s.Revision != 23 || s.Kinds[0].Tasks.Cancelled != 1 || s.RecentTasks[0].Status != task.Cancelled {
			t.Errorf("%+v", s)
		}
		v, err := both.Call("GetNavigationState")
		if err != nil {
			t.Fatal(err)
		}
		if asked := stateOf(t, v); asked.Revision != 23 || !cmp.Equal(asked.Kinds, s.Kinds) {
			t.Errorf("%+v", asked)
		}
		for _, c := range []*signalrtest.Client{both, films, foreign} {
			c.Stop()
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if w := &h.nav.watchers; len(w.views) != 0 || len(w.ofKey) != 0 {
			t.Errorf("%d views are remembered", len(w.views))
		}
	})
}

func TestModelsThatComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks, models := newFakeTasks(), newFakeModels()
		h := newHubs(t, tasks, func(o *Options) { o.Models = models })
		defer run(t, h)()
		c, films := navigate(t, h, navigator("mine", key.ScopeVideo, key.ScopeImage)), navigate(t, h, navigator("other", key.ScopeVideo))
		c.Expect("NavigationStateUpdated")
		films.Expect("NavigationStateUpdated")
		change := func(c *signalrtest.Client) (m ModelAvailability) {
			t.Helper()
			if err := c.Expect("ModelAvailabilityChanged").Decode(&m); err != nil {
				t.Fatal(err)
			}
			return m
		}
		call(t, c, "SubscribeToModel", "pictures")
		if m := change(c); !m.Available || m.ModelID != "pictures" || m.Kind != task.Image || m.EventType != "ModelAvailabilityChanged" {
			t.Errorf("%+v", m)
		}
		wantError(t, films, "There is no such model.", "SubscribeToModel", "pictures")
		wantError(t, films, "There is no such model.", "UnsubscribeFromModel", "pictures")
		wantError(t, c, "There is no such model.", "SubscribeToModel", "nothing")
		wantError(t, c, "modelId is empty.", "SubscribeToModel", "")
		wantError(t, c, "Failed to invoke", "SubscribeToModel", 7)

		// While the database is away nobody is told; then everybody at once.
		tasks.setErr(task.ErrUnavailable)
		models.set("pictures", "It is being repaired.")
		time.Sleep(3 * time.Second)
		quiet(t, c)
		tasks.setErr(nil)
		time.Sleep(3 * time.Second)
		if m := change(c); m.Available || m.Reason != "It is being repaired." {
			t.Errorf("%+v", m)
		}
		if s := stateOf(t, c.Expect("NavigationStateUpdated")); s.Revision != 1 || s.Kinds[1].Available || !s.Kinds[0].Available || s.Models[1].Reason == "" {
			t.Errorf("%+v", s)
		}
		if s := stateOf(t, films.Expect("NavigationStateUpdated")); len(s.Models) != 1 {
			t.Errorf("%+v", s)
		}
		call(t, c, "UnsubscribeFromModel", "pictures")
		call(t, c, "UnsubscribeFromModel", "pictures")
		models.set("pictures", "")
		time.Sleep(3 * time.Second)
		if s := stateOf(t, c.Expect("NavigationStateUpdated")); s.Revision != 2 || !s.Kinds[1].Available {
			t.Errorf("%+v", s)
		}
		quiet(t, c)
	})
}

// Who comes while the database is away stays, and gets the state when it is
// back.
func TestNavigationWithoutADatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := newFakeTasks()
		h := newHubs(t, tasks)
		tasks.add("mine", idA, task.Video)
		defer run(t, h)()
		tasks.setErr(task.ErrUnavailable)
		c := navigate(t, h, navigator("mine", key.ScopeVideo))
		wantError(t, c, "The database does not answer.", "GetNavigationState")
		time.Sleep(10 * time.Second)
		quiet(t, c)
		tasks.setErr(nil)
		time.Sleep(3 * time.Second)
		if s := stateOf(t, c.Expect("NavigationStateUpdated")); s.Revision != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhoMayNavigate(t *testing.T) {
	h := newHubs(t, newFakeTasks())
	one := navigator("mine", key.ScopeVideo)
	one.TaskID = idA
	for says, p := range map[string]key.Principal{
		"lacks the scope navigation": mine, "for one task only": one,
	} {
		if end := navigate(t, h, p).WaitEnd(); end == nil || !strings.Contains(end.Error, says) || end.AllowReconnect {
			t.Errorf("%s: %+v", says, end)
		}
	}
	lost := navigate(t, h, navigator("mine"))
	if s := stateOf(t, lost.Expect("NavigationStateUpdated")); len(s.Kinds) != 0 || len(s.Models) != 0 || s.Kinds == nil {
		t.Errorf("of no kind: %+v", s)
	}
	h.LoseKey("mine")
	if end := lost.WaitEnd(); end == nil || end.Error != keyEnded {
		t.Errorf("%+v", end)
	}
}

func TestPromptsAreShortened(t *testing.T) {
	for prompt, want := range map[string]string{"": "", "a boat": "a boat", strings.Repeat("ä", 120): strings.Repeat("ä", 120),
		strings.Repeat("ä", 121): strings.Repeat("ä", 120)} {
		if got := summary(task.Task{Request: task.Request{Prompt: prompt}}).Prompt; got != want {
			t.Errorf("%q of %q", got, prompt)
		}
	}
}
