package push

import (
	"context"
	"fmt"

	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr"
)

// The events of the video hub, for clients and for whoever describes the hub.
// A task's id is the key and its sequence the position of all of them, so that
// nothing reaches a subscriber twice or after what overtook it. Of several
// Progress that wait for a slow client, the newest is enough.
var (
	VideoStarted = signalr.NewEvent(string(task.EventStarted), signalr.EventOptions[task.VideoGenerationStarted]{
		Key:      func(e task.VideoGenerationStarted) string { return e.TaskID },
		Position: func(e task.VideoGenerationStarted) uint64 { return position(e.Sequence) },
	})
	VideoProgress = signalr.NewEvent(string(task.EventProgress), signalr.EventOptions[task.VideoGenerationProgress]{
		Key:        func(e task.VideoGenerationProgress) string { return e.TaskID },
		Position:   func(e task.VideoGenerationProgress) uint64 { return position(e.Sequence) },
		LatestOnly: true,
	})
	VideoCompleted = signalr.NewEvent(string(task.EventCompleted), signalr.EventOptions[task.VideoGenerationCompleted]{
		Key:      func(e task.VideoGenerationCompleted) string { return e.TaskID },
		Position: func(e task.VideoGenerationCompleted) uint64 { return position(e.Sequence) },
	})
	VideoFailed = signalr.NewEvent(string(task.EventFailed), signalr.EventOptions[task.VideoGenerationFailed]{
		Key:      func(e task.VideoGenerationFailed) string { return e.TaskID },
		Position: func(e task.VideoGenerationFailed) uint64 { return position(e.Sequence) },
	})
	VideoCancelled = signalr.NewEvent(string(task.EventCancelled), signalr.EventOptions[task.VideoGenerationCancelled]{
		Key:      func(e task.VideoGenerationCancelled) string { return e.TaskID },
		Position: func(e task.VideoGenerationCancelled) uint64 { return position(e.Sequence) },
	})
)

// position is a sequence for the library; sequences begin at 1.
func position(sequence int64) uint64 { return uint64(max(sequence, 0)) }

// sendVideo sends what task.Event.Public made of an event of a video task.
func sendVideo(ctx context.Context, to signalr.Audience, public any) error {
	switch e := public.(type) {
	case task.VideoGenerationStarted:
		return VideoStarted.Send(ctx, to, e)
	case task.VideoGenerationProgress:
		return VideoProgress.Send(ctx, to, e)
	case task.VideoGenerationCompleted:
		return VideoCompleted.Send(ctx, to, e)
	case task.VideoGenerationFailed:
		return VideoFailed.Send(ctx, to, e)
	case task.VideoGenerationCancelled:
		return VideoCancelled.Send(ctx, to, e)
	}
	return fmt.Errorf("push: no event of the video hub: %T", public)
}
