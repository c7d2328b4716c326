package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// stamped is what load generators measure latency with.
type stamped struct {
	Ts   int64  `json:"ts"` // unix nanoseconds at the send
	Data string `json:"data"`
}

var load = signalr.NewEvent[stamped]("Message")

func newBenchHub(options signalr.HubOptions) *signalr.Hub {
	hub := signalr.NewHub("Reference.BenchHub", options)
	signalr.Handle(hub, "Join", func(ctx context.Context, c *signalr.Conn, group string) error {
		return c.Join(ctx, group)
	})
	signalr.Handle(hub, "Echo", func(s *string) *string { return s })
	return hub
}

// publish sends to a group: POST /publish?group=G&count=N&size=S&interval=US.
func publish(hub *signalr.Hub) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		count, err1 := strconv.Atoi(r.FormValue("count"))
		size, err2 := strconv.Atoi(r.FormValue("size"))
		interval, err3 := strconv.Atoi(r.FormValue("interval"))
		if err1 != nil || err2 != nil || err3 != nil || count < 0 || size < 0 || interval < 0 {
			http.Error(w, "count, size and interval (microseconds) have to be whole numbers from 0", http.StatusBadRequest)
			return
		}
		audience, data := hub.Group(r.FormValue("group")), strings.Repeat("x", size)
		begin := time.Now()
		for i := range count {
			if due := begin.Add(time.Duration(i*interval) * time.Microsecond); interval > 0 {
				time.Sleep(time.Until(due))
			}
			if err := load.Send(r.Context(), audience, stamped{Ts: time.Now().UnixNano(), Data: data}); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		_, _ = w.Write([]byte("ok"))
	}
}

// videoProgress is the guide's VideoGenerationProgress.
type videoProgress struct {
	EventType    string    `json:"eventType"`
	TaskID       string    `json:"taskId"`
	Progress     float64   `json:"progress"`
	Message      string    `json:"message"`
	CurrentFrame int       `json:"currentFrame"`
	TotalFrames  int       `json:"totalFrames"`
	Timestamp    time.Time `json:"timestamp"`
}

var videoProgressed = signalr.NewEvent[videoProgress]("Progress")

// newVideoHub is the guide's hub without keys and tasks, for the wire only.
func newVideoHub(options signalr.HubOptions) *signalr.Hub {
	hub := signalr.NewHub("Reference.VideoGenerationHub", options)
	signalr.Handle(hub, "SubscribeToTask", func(ctx context.Context, c *signalr.Conn, id string) error {
		return c.Join(ctx, "video-"+id)
	})
	signalr.Handle(hub, "UnsubscribeFromTask", func(ctx context.Context, c *signalr.Conn, id string) error {
		return c.Leave(ctx, "video-"+id)
	})
	return hub
}

// progress sends N+1 events: POST /progress?taskId=T&count=N.
func progress(hub *signalr.Hub) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("taskId")
		count, err := strconv.Atoi(r.FormValue("count"))
		if err != nil || count < 1 {
			http.Error(w, "count has to be a whole number from 1", http.StatusBadRequest)
			return
		}
		for i := range count + 1 {
			err := videoProgressed.Send(r.Context(), hub.Group("video-"+id), videoProgress{
				EventType: "VideoGenerationProgress", TaskID: id, Progress: 100 * float64(i) / float64(count),
				Message: fmt.Sprintf("frame %d of %d", i, count), CurrentFrame: i, TotalFrames: count, Timestamp: time.Now().UTC(),
			})
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		_, _ = w.Write([]byte("ok"))
	}
}
