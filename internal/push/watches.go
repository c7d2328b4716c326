package push

import (
	"iter"
	"sync"
)

// watches remember, for every task watched on this server, up to which
// sequence all its watchers here have been served. The zero value is ready;
// all methods may be called at the same time.
type watches struct {
	mu     sync.Mutex
	passes int
	tasks  map[string]*watch
}

// watch is one task. keyID is its owner, for reading it.
type watch struct {
	taskID, keyID string
	last          int64 // everything up to here was sent, or overtaken
	floor         int64 // everything up to here every watcher had when it came
	ended         bool  // last is the terminal event: nothing can be missing
	pass          int   // of due, when somebody last watched
}

// note is for a subscriber that stands at sequence after its catch-up. Another
// one that came before may have less, because an event was never published: so
// a task's mark never rises here.
func (w *watches) note(keyID, taskID string, sequence int64, terminal bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tasks[taskID]
	switch {
	case t == nil:
		if w.tasks == nil {
			w.tasks = map[string]*watch{}
		}
		t = &watch{taskID: taskID, keyID: keyID, last: sequence, floor: sequence, ended: terminal}
		w.tasks[taskID] = t
	case sequence < t.last:
		t.last, t.ended = sequence, false
	}
	t.floor = min(t.floor, sequence)
	t.pass = w.passes
}

// doubt takes back what sent said: it may have reached nobody.
func (w *watches) doubt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tasks {
		if t.floor < t.last {
			t.last, t.ended = t.floor, false
		}
	}
}

// sent is for an event that went to all watchers. What is below it cannot be
// sent any more, and may be left out: it was no end.
func (w *watches) sent(taskID string, sequence int64, terminal bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tasks[taskID]; t != nil && sequence > t.last {
		t.last, t.ended = sequence, terminal
	}
}

// due begins a pass: of the tasks that are watched, those of which something
// may be missing. Tasks that nobody watches any more are forgotten, but not
// before a whole pass, since their subscriber may just be joining.
func (w *watches) due(watched iter.Seq[string]) []watch {
	ids := map[string]struct{}{}
	for id := range watched {
		ids[id] = struct{}{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes++
	var due []watch
	for id, t := range w.tasks {
		if _, ok := ids[id]; ok {
			t.pass = w.passes
			if !t.ended {
				due = append(due, *t)
			}
		} else if t.pass < w.passes-1 {
			delete(w.tasks, id)
		}
	}
	return due
}
