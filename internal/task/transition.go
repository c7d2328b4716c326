package task

import (
	"errors"
	"fmt"
)

// Action is something that happens to a task.
type Action string

// The actions.
const (
	ActSubmit   Action = "submit"
	ActStart    Action = "start"
	ActReport   Action = "report"
	ActComplete Action = "complete"
	ActFail     Action = "fail"
	ActRetry    Action = "try again"
	ActGiveBack Action = "give back"
	ActTakeOver Action = "take over"
	ActTimeOut  Action = "time out"
	ActCancel   Action = "cancel"
)

// Transition is one way from a state to the next.
type Transition struct {
	Action     Action
	From       State // "" = there is no task yet
	To         State
	By         string    // who does it
	Event      EventName // published with it; "" = none
	NewAttempt bool      // the attempt number rises, so that the writes of whoever worked before are refused
	When       string
}

// Transitions are all of them: what is not listed does not happen. The code
// moves tasks by this table alone, and docs/task-life.md is printed from it.
// An end has no way out.
var transitions = []Transition{
	{ActSubmit, "", Pending, "owner", EventProgress, false, "A request was accepted. The task, its first event (`Progress` at 0, `queued`) and its job are written in one transaction."},
	{ActStart, Pending, Running, "worker", EventStarted, false, "A worker took the job, the deadline is ahead, and the key has less than its limit of running tasks."},
	{ActReport, Running, Running, "worker", EventProgress, false, "The provider's progress moved a whole point; at most five times a second."},
	{ActComplete, Running, Completed, "worker", EventCompleted, false, "Every output is stored."},
	{ActFail, Running, Failed, "worker", EventFailed, false, "The provider refused or failed for good, the attempts are used up, a submit stayed unclear, or the outputs could not be stored."},
	{ActRetry, Running, Pending, "worker", EventProgress, true, "The provider failed in a way that may pass, and attempts are left. Progress begins at 0 again, after a pause that grows."},
	{ActGiveBack, Running, Pending, "worker", "", true, "The instance stops. What the provider has in hand goes on there; the next worker watches it."},
	{ActTakeOver, Running, Pending, "sweeper", "", true, "The lease is over: the worker died or lost the database. What the provider has in hand goes on there; the next worker watches it."},
	{ActTimeOut, Pending, TimedOut, "sweeper", EventFailed, false, "The deadline passed (`errorCode: \"timed_out\"`)."},
	{ActTimeOut, Running, TimedOut, "worker, or sweeper once the lease is over", EventFailed, false, "The deadline passed (`errorCode: \"timed_out\"`)."},
	{ActCancel, Pending, Cancelled, "owner", EventCancelled, false, "The owner asked for it; nothing was begun, or it waits to go on."},
	{ActCancel, Running, Cancelled, "owner", EventCancelled, false, "The owner asked for it; the worker stops and tells the provider."},
}

// Transitions returns a copy of the table of a task's life.
func Transitions() []Transition { return append([]Transition(nil), transitions...) }

// errNoTransition is what apply says when the table has no such way.
var errNoTransition = errors.New("task: no such transition")

// apply moves r along the table and returns the event to be published with
// it, whose other fields are the caller's; nil when the way has none.
func (r *Record) apply(a Action, now timestamp) (*Event, error) {
	for _, t := range transitions {
		if t.Action != a || t.From != r.State {
			continue
		}
		r.State = t.To
		r.UpdatedAt = now
		if t.NewAttempt {
			r.Attempt++
		}
		if t.To != Running {
			r.Owner = ""
			r.LeaseUntil = timestamp{}
		}
		if t.To.Final() {
			r.CompletedAt = &now
			r.QueueAt = nil
			r.Parked = false
			r.QueuePosition = nil
			r.EstimatedEnd = nil
		}
		if t.Event == "" {
			return nil, nil
		}
		r.Sequence++
		return &Event{
			TaskID: r.ID, Kind: r.Kind, Sequence: r.Sequence, Attempt: r.Attempt,
			Name: t.Event, At: now, Model: r.Model, BaseURL: r.BaseURL,
		}, nil
	}
	return nil, fmt.Errorf("%w: %s in state %q", errNoTransition, a, r.State)
}
