package task

import (
	"context"
	"sync"
)

// Feed is a Publisher that wakes whoever waits for a task in this process. It
// carries no events: those who wake read Service.Events after the last
// sequence that they have. Events of tasks at work on other instances do not
// pass here, so readers also look every few seconds. The zero value is not
// usable; all methods may be called at the same time.
type Feed struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{}
}

// NewFeed returns a feed; add it to a Service's publishers.
func NewFeed() *Feed {
	return &Feed{waiting: map[string]map[chan struct{}]struct{}{}}
}

// Subscribe returns a channel that receives after each event of the task
// (several may share one wake) until cancel is called. It is never closed.
func (f *Feed) Subscribe(taskID string) (wake <-chan struct{}, cancel func()) {
	if id, ok := ParseID(taskID); ok {
		taskID = id
	}
	ch := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting[taskID] == nil {
		f.waiting[taskID] = map[chan struct{}]struct{}{}
	}
	f.waiting[taskID][ch] = struct{}{}
	return ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiting[taskID], ch)
		if len(f.waiting[taskID]) == 0 {
			delete(f.waiting, taskID)
		}
	}
}

// Publish implements Publisher. It does not block.
func (f *Feed) Publish(_ context.Context, e Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.waiting[e.TaskID] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	return nil
}
