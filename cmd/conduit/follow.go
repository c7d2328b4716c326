package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// event is a task's event as every hub and event stream sends it.
type event struct {
	EventType     string `json:"eventType"`
	TaskID        string `json:"taskId"`
	Sequence      int64  `json:"sequence"`
	Progress      int    `json:"progress"`
	Message       string `json:"message"`
	CurrentFrame  int    `json:"currentFrame"`
	TotalFrames   int    `json:"totalFrames"`
	QueuePosition *int   `json:"queuePosition"`
	Error         string `json:"error"`
	ErrorCode     string `json:"errorCode"`
	IsRetryable   bool   `json:"isRetryable"`
}

func (e event) is(name string) bool { return strings.HasSuffix(e.EventType, name) }

// terminal reports whether e is its task's last.
func (e event) terminal() bool { return e.is("Completed") || e.failed() }

// failed reports whether e ends its task without a result.
func (e event) failed() bool { return e.is("Failed") || e.is("Cancelled") }

// outcome says how a task without a result ended.
func (e event) outcome() string {
	if e.is("Cancelled") {
		return "the task was cancelled"
	}
	text := "the task failed: " + e.Error
	if e.ErrorCode != "" {
		text += " (" + e.ErrorCode + ")"
	}
	return text
}

// follow calls show for a task's events, beginning with the newest, until its
// end, which it returns. It survives restarts of the server. When ctx is
// cancelled it returns context.Canceled.
//
// A task is watched over the hub of its kind. Where that cannot be reached, or
// stays away for long, it reads the task's event stream.
func (c *client) follow(ctx context.Context, t taskStatus, show func(event)) (event, error) {
	w := &watcher{id: t.TaskID, show: show}
	if end, err := c.followHub(ctx, t.Kind, w); err == nil || ctx.Err() != nil {
		return end, cancelled(ctx, err)
	}
	f := &follower{c: c, watcher: w}
	end, err := f.run(ctx)
	return end, cancelled(ctx, err)
}

// cancelled is context.Canceled when that is why there is an error.
func cancelled(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Canceled
	}
	return err
}

// watcher is how far a task has been seen.
type watcher struct {
	id   string
	show func(event)
	last int64  // sequence of the newest event
	end  *event // the terminal one
}

// take shows e when it is news.
func (w *watcher) take(e event) {
	if e.TaskID != w.id || e.Sequence <= w.last || w.end != nil {
		return
	}
	w.last = e.Sequence
	if e.terminal() {
		w.end = &e
	}
	w.show(e)
}

// follower reads a task's event stream (GET /v1/tasks/{id}/events), again and
// again, from where it stopped.
type follower struct {
	c *client
	*watcher
}

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
	patience     = 2 * time.Minute // of failures in a row
)

func (f *follower) run(ctx context.Context) (event, error) {
	pause, since := firstPause, time.Now()
	for {
		before := f.last
		err := f.read(ctx)
		if f.end != nil {
			return *f.end, nil
		}
		var refused *apiError
		if errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests {
			return event{}, err // asking again would not help
		}
		if f.last != before || err == nil {
			pause, since = firstPause, time.Now()
		} else if time.Since(since) > patience {
			return event{}, fmt.Errorf("%w; gave up after %s, the task may run on", err, patience)
		}
		select {
		case <-ctx.Done():
			return event{}, context.Canceled
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// read reads one stream to its end. An error is nil when the server ended it
// in order.
func (f *follower) read(ctx context.Context) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if f.last > 0 {
		header.Set("Last-Event-ID", strconv.FormatInt(f.last, 10))
	}
	resp, err := f.c.do(ctx, http.MethodGet, "/v1/tasks/"+url.PathEscape(f.id)+"/events", nil, header)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	return readEvents(resp.Body, f.take)
}

const maxEventLine = 1 << 20

// readEvents reads server-sent events; what is no event of a task is passed
// over.
func readEvents(r io.Reader, take func(event)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEventLine)
	var data strings.Builder
	for lines.Scan() {
		line := lines.Text()
		if value, ok := strings.CutPrefix(line, "data:"); ok && data.Len() < maxEventLine {
			data.WriteString(strings.TrimPrefix(value, " "))
			data.WriteByte('\n')
			continue
		}
		if line != "" || data.Len() == 0 {
			continue
		}
		var e event
		if json.Unmarshal([]byte(data.String()), &e) == nil && e.EventType != "" {
			take(e)
		}
		data.Reset()
	}
	return lines.Err()
}
