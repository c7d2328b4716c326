package push

import (
	"context"
	"errors"

	"github.com/knnlabs/conduit/signalr"
)

// maxTasks is how many tasks one call of SubscribeToTasks or
// UnsubscribeFromTasks may name.
const maxTasks = 200

// TaskPosition is what SubscribeToTasks takes for each task.
type TaskPosition struct {
	TaskID string `json:"taskId"`
	// AfterSequence acts as in SubscribeToTaskFrom; left out or null, the task
	// is subscribed to as with SubscribeToTask.
	AfterSequence *int64 `json:"afterSequence"`
}

// TaskAnswer is what became of one task of a call for many.
type TaskAnswer struct {
	TaskID string `json:"taskId"` // as the caller wrote it
	OK     bool   `json:"ok"`
	// Sequence is the newest one that this connection has been sent, or said
	// that it has; of SubscribeToTasks only.
	Sequence int64 `json:"sequence,omitempty"`
	// Ended says that the task has ended, so that nothing more will come; of
	// SubscribeToTasks only.
	Ended     bool   `json:"ended,omitempty"`
	Error     string `json:"error,omitempty"`     // for people; there unless ok
	ErrorCode string `json:"errorCode,omitempty"` // for programs; there unless ok
}

// The codes of TaskAnswer.
const (
	codeNotFound    = "task_not_found"
	codeInvalid     = "invalid_request"
	codeTooMany     = "too_many_subscriptions"
	codeUnavailable = "service_unavailable"
	codeKey         = "invalid_api_key"
	codeScope       = "insufficient_scope"
	codeInternal    = "internal_error"
	codeRate        = "rate_limit_exceeded"
)

// callerError is an error for the caller that has a code as well.
type callerError struct {
	code string
	error
}

func (e *callerError) Unwrap() error { return e.error }

func isUnknownTask(err error) bool {
	var known *callerError
	return errors.As(err, &known) && known.code == codeNotFound
}

func refuse(code, format string, args ...any) error {
	return &callerError{code, signalr.Errorf(format, args...)}
}

// subscribeAll subscribes to every task that can be, and says of each what
// became of it.
func (h *taskHub) subscribeAll(ctx context.Context, c *signalr.Conn, tasks []TaskPosition) ([]TaskAnswer, error) {
	return h.each(ctx, c, len(tasks), func(i int) (a TaskAnswer, err error) {
		a.TaskID = tasks[i].TaskID
		a.Sequence, a.Ended, err = h.watch(ctx, c, a.TaskID, tasks[i].AfterSequence)
		return a, err
	})
}

// unsubscribeAll is unsubscribe for each.
func (h *taskHub) unsubscribeAll(ctx context.Context, c *signalr.Conn, taskIDs []string) ([]TaskAnswer, error) {
	return h.each(ctx, c, len(taskIDs), func(i int) (TaskAnswer, error) {
		return TaskAnswer{TaskID: taskIDs[i]}, h.leave(ctx, c, taskIDs[i])
	})
}

// each makes the answers of a call for n tasks. What goes wrong with one spoils
// nothing for the others; only what concerns all of them is an error.
func (h *taskHub) each(ctx context.Context, c *signalr.Conn, n int, do func(i int) (TaskAnswer, error)) ([]TaskAnswer, error) {
	if n > maxTasks {
		return nil, signalr.Errorf("There are more than %d tasks. Call several times.", maxTasks)
	}
	if _, err := h.principal(ctx); err != nil {
		return nil, err
	}
	answers, unknown := make([]TaskAnswer, n), 0
	for i := range n {
		a, err := do(i)
		var known *callerError
		switch {
		case err == nil:
			a.OK = true
		case ctx.Err() != nil:
			return nil, err // nobody waits for the answer
		case errors.As(err, &known):
			a.Error, a.ErrorCode = known.Error(), known.code
			if isUnknownTask(err) {
				unknown++
			}
		default:
			h.logger.ErrorContext(ctx, "a task of a call for many failed", "hub", h.name, "task", a.TaskID, "error", err)
			a.Error, a.ErrorCode = "Something went wrong on our side.", codeInternal
		}
		answers[i] = a
	}
	if unknown > 0 {
		h.unknown(ctx, c, unknown)
	}
	return answers, nil
}
