package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// unanswered is how often in a row the database may fail to answer somebody who
// waits for a task, StreamReread apart.
const unanswered = 15

// await returns the task when it has ended. It returns the error of ctx when
// that ends first, and a problem when the key is lost or the server stops. The
// task does not notice who waits.
func (h *Handler) await(ctx context.Context, p key.Principal, taskID string) (task.Task, error) {
	waiting, cancel := streamContext(ctx, p)
	defer cancel()
	remove, err := h.streams.add(p.KeyID, cancel)
	if err != nil {
		return task.Task{}, err
	}
	defer remove()
	wake, unsubscribe := h.o.Feed.Subscribe(taskID) // before the first look, so that no end is missed
	defer unsubscribe()
	reread := time.NewTicker(h.o.StreamReread)
	defer reread.Stop()
	for failures := 0; ; {
		t, err := h.o.Tasks.Get(waiting, p.KeyID, taskID)
		switch {
		case err == nil && t.State.Final():
			return t, nil
		case err == nil:
			failures = 0
		case waiting.Err() != nil: // seen below
		case !errors.Is(err, task.ErrUnavailable) || failures >= unanswered:
			return task.Task{}, err
		default:
			failures++
			h.log.WarnContext(ctx, "somebody who waits for a task waits for the database", "error", err, "task_id", taskID)
		}
		select {
		case <-wake:
		case <-reread.C:
		case <-h.streams.draining:
			return task.Task{}, &problem{Status: http.StatusServiceUnavailable, Code: "service_unavailable", Type: "server_error",
				RetryAfter: time.Second, Message: "The server is stopping. The task goes on; ask again."}
		case <-waiting.Done():
			if ctx.Err() != nil {
				return task.Task{}, ctx.Err()
			}
			return task.Task{}, keyLost()
		}
	}
}

// keyLost is for a request whose key ended while it was served.
func keyLost() *problem {
	return &problem{Status: http.StatusUnauthorized, Code: "invalid_api_key", Type: "authentication_error",
		Message: "The API key is not valid any more.", Header: http.Header{"Www-Authenticate": {"Bearer"}}}
}

// The query of a poll, in seconds (rest-api A.1).
const (
	pollTimeout     = 300
	maxPollTimeout  = 600
	pollInterval    = 2
	maxPollInterval = 60
)

// pollTask answers with the task as soon as it has ended, or with 408 when
// the time is over, for users of the older gateway. The interval is checked and
// has no effect: an end is answered at once.
func (h *Handler) pollTask(w http.ResponseWriter, r *http.Request) error {
	p, t, err := h.findToFollow(r)
	if err != nil {
		return err
	}
	timeout, err := parsePoll(r.URL.RawQuery)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	t, err = h.await(ctx, p, t.ID)
	if errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
		return &problem{Status: http.StatusRequestTimeout, Code: "poll_timeout",
			Message: fmt.Sprintf("The task has not ended within %d seconds. It goes on; ask again.", int(timeout.Seconds()))}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, h.view(t))
}

func parsePoll(rawQuery string) (timeout time.Duration, err error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return 0, badRequest("", "The query is not readable.")
	}
	if err := checkQuery(values, []string{"timeout", "interval"}); err != nil {
		return 0, err
	}
	seconds, err := secondsOf(values, "timeout", pollTimeout, maxPollTimeout)
	if err != nil {
		return 0, err
	}
	_, err = secondsOf(values, "interval", pollInterval, maxPollInterval)
	return time.Duration(seconds) * time.Second, err
}

func secondsOf(values url.Values, name string, unset, most int) (int, error) {
	if !values.Has(name) {
		return unset, nil
	}
	n, err := strconv.Atoi(values.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, badRequest(name, "'%s' must be a whole number of seconds from 1 to %d.", name, most)
	}
	return n, nil
}
