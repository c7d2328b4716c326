package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const separator = 0x1e

// event is what the bench looks at in a hub event.
type event struct {
	TaskID    string `json:"taskId"`
	Sequence  int64  `json:"sequence"`
	EventType string `json:"eventType"`
	Progress  int    `json:"progress"`
	Frame     int    `json:"currentFrame"`

	Timestamp time.Time `json:"timestamp"`
}

// watcher is one hub connection, a bare SignalR client: the bench must not
// lean on the library that it measures.
type watcher struct {
	ws   *websocket.Conn
	seen func(name string, e event)
	done chan error

	mu      sync.Mutex
	pending map[string]chan answer
	next    int
}

// answer is what a call of a hub method gave.
type answer struct {
	result json.RawMessage
	err    error
}

func (s *server) watch(ctx context.Context, seen func(name string, e event)) (*watcher, error) {
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(s.base, "http")+"/hubs/video-generation", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + s.key}},
	})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(64 << 20)
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"protocol":"json","version":1}`+"\x1e")); err != nil {
		return nil, err
	}
	w := &watcher{ws: ws, seen: seen, done: make(chan error, 1), pending: map[string]chan answer{}}
	go func() { w.done <- w.read(ctx) }()
	return w, nil
}

func (w *watcher) read(ctx context.Context) error {
	for {
		_, frame, err := w.ws.Read(ctx)
		if err != nil {
			return err
		}
		for message := range bytes.SplitSeq(bytes.TrimSuffix(frame, []byte{separator}), []byte{separator}) {
			if err := w.message(ctx, message); err != nil {
				return err
			}
		}
	}
}

func (w *watcher) message(ctx context.Context, raw []byte) error {
	var m struct {
		Type         int               `json:"type"`
		Target       string            `json:"target"`
		Arguments    []json.RawMessage `json:"arguments"`
		InvocationID string            `json:"invocationId"`
		Result       json.RawMessage   `json:"result"`
		Error        string            `json:"error"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("%w in %q", err, raw)
	}
	switch m.Type {
	case 1:
		var e event
		if err := json.Unmarshal(m.Arguments[0], &e); err != nil {
			return err
		}
		w.seen(m.Target, e)
	case 3:
		w.mu.Lock()
		waiting := w.pending[m.InvocationID]
		delete(w.pending, m.InvocationID)
		w.mu.Unlock()
		if waiting == nil {
			return nil
		}
		a := answer{result: m.Result}
		if m.Error != "" {
			a.err = fmt.Errorf("hub: %s", m.Error)
		}
		waiting <- a
	case 6:
		return w.ws.Write(ctx, websocket.MessageText, []byte(`{"type":6}`+"\x1e"))
	case 7:
		return fmt.Errorf("the hub closed: %s", m.Error)
	}
	return nil
}

func (w *watcher) subscribe(ctx context.Context, id string) error {
	_, err := w.call(ctx, "SubscribeToTask", fmt.Sprintf(`"%s"`, id))
	return err
}

func (w *watcher) subscribeFrom(ctx context.Context, id string, after int64) error {
	_, err := w.call(ctx, "SubscribeToTaskFrom", fmt.Sprintf(`"%s",%d`, id, after))
	return err
}

// subscribeAll watches many tasks by as few calls as the hub allows: a call for
// each would be over the limits of calls per connection and key.
func (w *watcher) subscribeAll(ctx context.Context, ids []string) error {
	type position struct {
		TaskID string `json:"taskId"`
	}
	for some := range slices.Chunk(ids, 200) {
		var positions []position
		for _, id := range some {
			positions = append(positions, position{id})
		}
		raw, err := json.Marshal(positions)
		if err != nil {
			return err
		}
		result, err := w.call(ctx, "SubscribeToTasks", string(raw))
		if err != nil {
			return err
		}
		var answers []struct {
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		}
		if err := json.Unmarshal(result, &answers); err != nil {
			return err
		}
		for _, a := range answers {
			if !a.OK {
				return fmt.Errorf("hub: %s", a.Error)
			}
		}
	}
	return nil
}

func (w *watcher) call(ctx context.Context, method, arguments string) (json.RawMessage, error) {
	waiting := make(chan answer, 1)
	w.mu.Lock()
	w.next++
	call := strconv.Itoa(w.next)
	w.pending[call] = waiting
	w.mu.Unlock()
	message := fmt.Sprintf(`{"type":1,"invocationId":"%s","target":"%s","arguments":[%s]}%c`, call, method, arguments, separator)
	if err := w.ws.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return nil, err
	}
	select {
	case a := <-waiting:
		return a.result, a.err
	case err := <-w.done:
		w.done <- err
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *watcher) close() { _ = w.ws.CloseNow() }

// postToProgress gives the time from sending a POST until a client that
// subscribes as soon as it knows the id has its first Progress, and until it
// has the first one that the renderer caused.
func (s *server) postToProgress(ctx context.Context) (first, running time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	type arrival struct {
		at time.Time
		e  event
	}
	arrivals := make(chan arrival, 1024)
	w, err := s.watch(ctx, func(name string, e event) {
		if name == "Progress" {
			arrivals <- arrival{time.Now(), e}
		}
	})
	if err != nil {
		return 0, 0, err
	}
	defer w.close()
	begin := time.Now()
	id, err := s.submit(ctx, map[string]any{"prompt": "a paper boat", "size": "320x180", "duration": 1, "fps": 30, "seed": 1})
	if err != nil {
		return 0, 0, err
	}
	if err := w.subscribe(ctx, id); err != nil {
		return 0, 0, err
	}
	for {
		select {
		case a := <-arrivals:
			if first == 0 {
				first = a.at.Sub(begin)
			}
			if a.e.Frame > 0 {
				return first, a.at.Sub(begin), nil
			}
		case err := <-w.done:
			return 0, 0, err
		}
	}
}

// A film of the measure of frames.
const (
	filmSeconds = 6
	filmFPS     = 30
	filmFrames  = filmSeconds * filmFPS
)

// films renders a film of each prompt, all at once, and gives the frames a
// second from the first Started to the last end, by the server's clock.
func (s *server) films(ctx context.Context, prompts ...string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var (
		mu          sync.Mutex
		first, last time.Time
		ended       = make(chan string, len(prompts))
	)
	w, err := s.watch(ctx, func(name string, e event) {
		mu.Lock()
		defer mu.Unlock()
		switch name {
		case "Started":
			if first.IsZero() || e.Timestamp.Before(first) {
				first = e.Timestamp
			}
		case "Completed", "Failed", "Cancelled":
			last = e.Timestamp
			ended <- name
		}
	})
	if err != nil {
		return 0, err
	}
	defer w.close()
	for _, p := range prompts {
		id, err := s.submit(ctx, map[string]any{"prompt": p, "size": "640x360", "duration": filmSeconds, "fps": filmFPS, "seed": 1})
		if err != nil {
			return 0, err
		}
		if err := w.subscribeFrom(ctx, id, 1); err != nil { // Started, which may have been before
			return 0, err
		}
	}
	for range prompts {
		select {
		case name := <-ended:
			if name != "Completed" {
				return 0, fmt.Errorf("a film ended with %s", name)
			}
		case err := <-w.done:
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return float64(len(prompts)*filmFrames) / last.Sub(first).Seconds(), nil
}

// crowdResult is what all watchers together saw.
type crowdResult struct {
	events, outOfOrder, missingEnds, extraEnds int
	took                                       time.Duration
}

// crowd submits tasks and has every connection watch every task until each
// has seen each end.
func (s *server) crowd(ctx context.Context, tasks, conns int) (crowdResult, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	begin := time.Now()
	ids := make([]string, tasks)
	for i := range ids {
		id, err := s.submit(ctx, map[string]any{"prompt": fmt.Sprintf("paper boat %d", i), "size": "320x180", "duration": 1, "fps": 30, "seed": i})
		if err != nil {
			return crowdResult{}, err
		}
		ids[i] = id
	}
	results := make(chan crowdResult, conns)
	failed := make(chan error, conns)
	for range conns {
		go func() {
			r, err := s.oneOfCrowd(ctx, ids)
			if err != nil {
				failed <- err
				return
			}
			results <- r
		}()
	}
	var sum crowdResult
	for range conns {
		select {
		case r := <-results:
			sum.events += r.events
			sum.outOfOrder += r.outOfOrder
			sum.missingEnds += r.missingEnds
			sum.extraEnds += r.extraEnds
		case err := <-failed:
			return sum, err
		}
	}
	sum.took = time.Since(begin)
	return sum, nil
}

func (s *server) oneOfCrowd(ctx context.Context, ids []string) (crowdResult, error) {
	var (
		mu   sync.Mutex
		r    crowdResult
		last = map[string]int64{}
		ends = map[string]int{}
		all  = make(chan struct{})
	)
	w, err := s.watch(ctx, func(name string, e event) {
		mu.Lock()
		defer mu.Unlock()
		r.events++
		if e.Sequence <= last[e.TaskID] || ends[e.TaskID] > 0 {
			r.outOfOrder++
		}
		last[e.TaskID] = e.Sequence
		if name == "Completed" || name == "Failed" || name == "Cancelled" {
			ends[e.TaskID]++
			if ends[e.TaskID] > 1 {
				r.extraEnds++
			} else if len(ends) == len(ids) {
				close(all)
			}
		}
	})
	if err != nil {
		return r, err
	}
	defer w.close()
	if err := w.subscribeAll(ctx, ids); err != nil {
		return r, err
	}
	select {
	case <-all:
	case err := <-w.done:
		return r, err
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	r.missingEnds = len(ids) - len(ends)
	return r, nil
}
