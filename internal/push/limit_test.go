package push

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// refusedOf makes calls and counts those that were refused, of which it
// returns the last text.
func refusedOf(t *testing.T, c *signalrtest.Client, calls int, method string, args ...any) (refused int, text string) {
	t.Helper()
	for range calls {
		if _, err := c.Call(method, args...); err != nil && strings.Contains(err.Error(), "Too many calls") {
			refused++
			text = err.Error()
		}
	}
	return refused, text
}

func TestRateOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := newFakeTasks()
		h := newHubs(t, tasks)
		tasks.add("mine", idA, task.Video)
		c, second := connect(t, h, mine), connect(t, h, mine)
		// Unknown methods and calls that fail count, and one for many once.
		if n, _ := refusedOf(t, c, 100, "Nothing"); n != 0 {
			t.Errorf("%d were refused", n)
		}
		if n, _ := refusedOf(t, c, 99, "SubscribeToTask", 7); n != 0 {
			t.Errorf("%d were refused", n)
		}
		if n, _ := refusedOf(t, c, 1, "UnsubscribeFromTasks", make([]string, 200)); n != 0 {
			t.Error("the call for many was refused")
		}
		n, text := refusedOf(t, c, 3, "SubscribeToTask", idA)
		if n != 3 || !strings.HasSuffix(text, "HubException: Too many calls on this connection: 20 a second are allowed. Try again in 0.05 seconds.") {
			t.Errorf("%d: %s", n, text)
		}
		if n, _ := refusedOf(t, second, 200, "Nothing"); n != 0 {
			t.Error("another connection was refused")
		}
		time.Sleep(50 * time.Millisecond)
		if n, _ := refusedOf(t, c, 2, "Nothing"); n != 1 {
			t.Errorf("%d of two were refused after the wait", n)
		}
		time.Sleep(time.Second)
		if n, _ := refusedOf(t, c, 21, "Nothing"); n != 1 {
			t.Errorf("%d of 21 were refused a second later", n)
		}
	})
}

func TestRateOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := newFakeTasks()
		h := newHubs(t, tasks, func(o *Options) { o.RateLimits = RateLimits{CallsPerKey: 30, Calls: -1, Burst: -1} })
		first, second, foreign := connect(t, h, mine), connect(t, h, mine), connect(t, h, other)
		if n, _ := refusedOf(t, first, 20, "Nothing"); n != 0 {
			t.Errorf("%d were refused", n)
		}
		n, text := refusedOf(t, second, 20, "Nothing")
		if n != 10 || !strings.Contains(text, "Too many calls with this API key: 30 a second are allowed. Try again in 0.034 seconds.") {
			t.Errorf("%d: %s", n, text)
		}
		if n, _ := refusedOf(t, foreign, 20, "Nothing"); n != 0 {
			t.Error("another key was refused")
		}
		// Coming back does not help.
		first.Stop()
		second.Stop()
		synctest.Wait()
		if n, _ := refusedOf(t, connect(t, h, mine), 3, "Nothing"); n != 3 {
			t.Errorf("%d were refused", n)
		}
		time.Sleep(2 * time.Second)
		for i := range 3 {
			p := other
			p.KeyID = fmt.Sprint("key ", i)
			connect(t, h, p).Stop()
		}
		synctest.Wait()
		connect(t, h, other)
		if n := len(h.video.calls.keys); n > 4 {
			t.Errorf("%d keys are remembered", n)
		}
	})
}

func TestWhoDoesNotListenIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHubs(t, newFakeTasks(), func(o *Options) { o.RateLimits = RateLimits{Calls: 1, Burst: 1, Refusals: 5} })
		var told []string
		h.video.calls.stopped = func(c *signalr.Conn) { told = append(told, c.UserID()) }
		c := connect(t, h, mine)
		for range 3 { // never five within ten seconds
			if n, _ := refusedOf(t, c, 4, "Nothing"); n < 3 {
				t.Errorf("%d were refused", n)
			}
			time.Sleep(10 * time.Second)
		}
		for range 6 {
			c.Send("Nothing")
		}
		if end := c.WaitEnd(); end == nil || !strings.Contains(end.Error, "Too many calls were refused") || end.AllowReconnect {
			t.Errorf("%+v", end)
		}
		if len(told) != 1 || told[0] != "mine" {
			t.Errorf("told of %q", told)
		}
	})
}

func TestAbnormalPatterns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tasks := newFakeTasks()
		tasks.add("other", idB, task.Video)
		var told []string
		h := newHubs(t, tasks, func(o *Options) {
			o.Abnormal = func(_ context.Context, pattern string, times int, keyID, _ string) {
				told = append(told, fmt.Sprintf("%d %s of %s", times, pattern, keyID))
			}
		})
		c := connect(t, h, mine)
		wantError(t, c, "no such task", "SubscribeToTask", idB)
		call(t, c, "SubscribeToTasks", []TaskPosition{{TaskID: idB}, {TaskID: ""}, {TaskID: "nonsense"}})
		wantError(t, c, "no such task", "UnsubscribeFromTask", "nonsense")
		wantError(t, c, "taskId is empty", "SubscribeToTask", "")
		c.Send("SubscribeToTask", strings.Repeat("x", 40_000))
		c.WaitEnd()
		synctest.Wait()
		want := "[1 reconnect_storms of mine 1 unknown_tasks of mine 2 unknown_tasks of mine 1 unknown_tasks of mine 1 oversized_messages of mine]"
		if got := fmt.Sprint(told); got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}
