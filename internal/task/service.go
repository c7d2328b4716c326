package task

import "context"

// Publisher hands a stored event on to those who watch. Publish is called
// after the commit, in the order of a task's sequence as far as one worker
// goes; duplicates and stragglers are possible and harmless, because every
// event carries its sequence. It must not block for long.
type Publisher interface {
	Publish(ctx context.Context, e Event) error
}

// ListQuery selects a page of a key's tasks, newest first.
type ListQuery struct {
	Limit  int    // 1..100
	After  string // id of the last task of the page before; "" for the first page
	States []State
	Kind   Kind // "" for both
}

// Page is one page of tasks.
type Page struct {
	Tasks   []Task
	HasMore bool
}
