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
// Progress that wait for a slow client, the newest is enough. With the terminal
// event the subscription is over.
var (
	VideoStarted   = declare(task.EventStarted, func(e task.VideoGenerationStarted) (string, int64) { return e.TaskID, e.Sequence })
	VideoProgress  = declare(task.EventProgress, func(e task.VideoGenerationProgress) (string, int64) { return e.TaskID, e.Sequence })
	VideoCompleted = declare(task.EventCompleted, func(e task.VideoGenerationCompleted) (string, int64) { return e.TaskID, e.Sequence })
	VideoFailed    = declare(task.EventFailed, func(e task.VideoGenerationFailed) (string, int64) { return e.TaskID, e.Sequence })
	VideoCancelled = declare(task.EventCancelled, func(e task.VideoGenerationCancelled) (string, int64) { return e.TaskID, e.Sequence })
)

// The events of the image hub, as those of the video hub.
var (
	ImageStarted   = declare(task.EventStarted, func(e task.ImageGenerationStarted) (string, int64) { return e.TaskID, e.Sequence })
	ImageProgress  = declare(task.EventProgress, func(e task.ImageGenerationProgress) (string, int64) { return e.TaskID, e.Sequence })
	ImageCompleted = declare(task.EventCompleted, func(e task.ImageGenerationCompleted) (string, int64) { return e.TaskID, e.Sequence })
	ImageFailed    = declare(task.EventFailed, func(e task.ImageGenerationFailed) (string, int64) { return e.TaskID, e.Sequence })
	ImageCancelled = declare(task.EventCancelled, func(e task.ImageGenerationCancelled) (string, int64) { return e.TaskID, e.Sequence })
)

// declare declares an event of tasks, of which stands tells task and sequence.
func declare[T any](name task.EventName, stands func(T) (taskID string, sequence int64)) *signalr.Event[T] {
	return signalr.NewEvent(string(name), signalr.EventOptions[T]{
		Key:            func(e T) string { id, _ := stands(e); return id },
		Position:       func(e T) uint64 { _, sequence := stands(e); return position(sequence) },
		LatestOnly:     name == task.EventProgress,
		EndsMembership: name.Terminal(),
	})
}

// position is a sequence for the library; sequences begin at 1.
func position(sequence int64) uint64 { return uint64(max(sequence, 0)) }

// sendPublic sends what task.Event.Public made of an event.
func sendPublic(ctx context.Context, to signalr.Audience, public any) error {
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
	case task.ImageGenerationStarted:
		return ImageStarted.Send(ctx, to, e)
	case task.ImageGenerationProgress:
		return ImageProgress.Send(ctx, to, e)
	case task.ImageGenerationCompleted:
		return ImageCompleted.Send(ctx, to, e)
	case task.ImageGenerationFailed:
		return ImageFailed.Send(ctx, to, e)
	case task.ImageGenerationCancelled:
		return ImageCancelled.Send(ctx, to, e)
	}
	return fmt.Errorf("push: no event of a hub: %T", public)
}
