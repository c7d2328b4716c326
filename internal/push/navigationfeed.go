package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
)

const (
	navigationEvery = time.Second            // between two states of a key
	navigationStep  = 250 * time.Millisecond // how late a state that had to wait may come
)

// navigationWatchers are the views that are connected to this server. The zero
// value is ready; all methods may be called at the same time.
type navigationWatchers struct {
	mu     sync.Mutex
	views  map[string]*navigationWatcher  // by group
	ofKey  map[string]map[string]struct{} // groups by key
	models []provider.ModelState          // as they were told last; used by one pass at a time
	polled time.Time                      // as models
}

type navigationWatcher struct {
	view
	revision int64     // sent last
	sentAt   time.Time // when
	dirty    bool      // a newer one may be there
	missed   int       // passes that found nobody of it
}

// add notes that somebody with a view was sent a revision; 0 is none. Others
// of the view may have an older one.
func (w *navigationWatchers) add(v view, revision int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.views == nil {
		w.views, w.ofKey = map[string]*navigationWatcher{}, map[string]map[string]struct{}{}
	}
	n := w.views[v.group()]
	if n == nil {
		n = &navigationWatcher{view: v, revision: revision}
		w.views[v.group()] = n
		if w.ofKey[v.keyID] == nil {
			w.ofKey[v.keyID] = map[string]struct{}{}
		}
		w.ofKey[v.keyID][v.group()] = struct{}{}
	}
	n.missed = 0
	n.dirty = n.dirty || revision == 0 || revision != n.revision
}

// changed notes that a key's tasks changed, and reports whether anybody of it
// is here.
func (w *navigationWatchers) changed(keyID string) (watched bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for group := range w.ofKey[keyID] {
		w.views[group].dirty, watched = true, true
	}
	return watched
}

func (w *navigationWatchers) changedAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.views {
		n.dirty = true
	}
}

// present drops the views of which nobody is here, in two passes in a row, and
// returns the keys of the others.
func (w *navigationWatchers) present(groups map[string]struct{}) (keyIDs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for group, n := range w.views {
		if _, ok := groups[group]; ok {
			n.missed = 0
		} else if n.missed++; n.missed > 1 {
			delete(w.views, group)
			if delete(w.ofKey[n.keyID], group); len(w.ofKey[n.keyID]) == 0 {
				delete(w.ofKey, n.keyID)
			}
			continue
		}
		keyIDs = append(keyIDs, n.keyID)
	}
	slices.Sort(keyIDs)
	return slices.Compact(keyIDs)
}

// compare marks the views whose key has another revision than was sent.
func (w *navigationWatchers) compare(revisions map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.views {
		if r, ok := revisions[n.keyID]; ok && r != n.revision {
			n.dirty = true
		}
	}
}

// due takes the views that changed and had nothing for a second.
func (w *navigationWatchers) due(now time.Time) (due []view) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.views {
		if n.dirty && now.Sub(n.sentAt) >= navigationEvery {
			n.dirty, n.sentAt = false, now
			due = append(due, n.view)
		}
	}
	return due
}

// sent notes what a view has; ok false has it tried again.
func (w *navigationWatchers) sent(v view, revision int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.views[v.group()]
	switch {
	case n == nil:
	case !ok:
		n.dirty = true
	default:
		n.revision = max(n.revision, revision)
	}
}

// changed notes an event of this process, and has run look at once.
func (h *navigationHub) changed(keyID string) {
	if h.watchers.changed(keyID) {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// run sends what changed, until ctx ends. failed is told what went wrong.
func (h *navigationHub) run(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(navigationStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.wake:
		}
		if err := h.pass(ctx, time.Now()); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

// pass sends what is due, and looks for changes once a second. One pass runs
// at a time.
func (h *navigationHub) pass(ctx context.Context, now time.Time) error {
	var errs []error
	if w := &h.watchers; now.Sub(w.polled) >= navigationEvery {
		w.polled = now
		errs = append(errs, h.lookAtModels(ctx), h.lookAtTasks(ctx))
	}
	for _, v := range h.watchers.due(now) {
		s, err := h.state(ctx, v)
		if err == nil {
			err = NavigationStateUpdated.Send(ctx, h.hub.LocalGroup(v.group()), s)
		}
		h.watchers.sent(v, s.Revision, err == nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("send a navigation state: %w", err))
			break // what stops one stops the others
		}
	}
	return errors.Join(errs...)
}

// lookAtModels tells of models that came or went.
func (h *navigationHub) lookAtModels(ctx context.Context) error {
	is, was := h.models.List(), h.watchers.models
	var changes []provider.ModelState
	for _, m := range is {
		i := slices.IndexFunc(was, func(o provider.ModelState) bool { return o.ID == m.ID })
		if i < 0 || was[i].Available != m.Available || was[i].Reason != m.Reason {
			changes = append(changes, m)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	if err := h.tasks.RaiseRevisions(ctx); err != nil {
		return fmt.Errorf("raise the revision of the navigation state: %w", err) // tried again
	}
	h.watchers.models = is
	h.watchers.changedAll()
	var errs []error
	for _, m := range changes {
		errs = append(errs, ModelAvailabilityChanged.Send(ctx, h.hub.LocalGroup(modelGroup+m.ID), availabilityOf(m)))
	}
	return errors.Join(errs...)
}

// lookAtTasks finds changes that no event of this process told of.
func (h *navigationHub) lookAtTasks(ctx context.Context) error {
	groups := map[string]struct{}{}
	for g := range h.hub.LocalGroups() {
		groups[g] = struct{}{}
	}
	keyIDs := h.watchers.present(groups)
	if len(keyIDs) == 0 {
		return nil
	}
	revisions, err := h.tasks.Revisions(ctx, keyIDs)
	if err != nil {
		return fmt.Errorf("read the revisions of connected keys: %w", err)
	}
	h.watchers.compare(revisions)
	return nil
}
