package task

import (
	"time"
)

// The public JSON of events, as the hubs and the event streams send it: the
// guide's interfaces, plus sequence and attempt on all of them, percentage
// (the same number as progress) and progressSource. Optional fields are left
// out, never null. These types are the contract that SDK types are made from:
// fields are added, never changed.

// VideoGenerationStarted says that a worker began an attempt.
type VideoGenerationStarted struct {
	EventType string    `json:"eventType"` // "VideoGenerationStarted"
	TaskID    string    `json:"taskId"`
	Sequence  int64     `json:"sequence"` // strictly rising per task
	Attempt   int       `json:"attempt"`  // from 1
	Timestamp time.Time `json:"timestamp"`
}

// VideoGenerationProgress is how far a task is.
type VideoGenerationProgress struct {
	EventType      string    `json:"eventType"` // "VideoGenerationProgress"
	TaskID         string    `json:"taskId"`
	Sequence       int64     `json:"sequence"`
	Attempt        int       `json:"attempt"`
	Progress       int       `json:"progress"`   // 0..99, whole points
	Percentage     int       `json:"percentage"` // the same
	ProgressSource string    `json:"progressSource,omitempty"`
	Message        string    `json:"message,omitempty"`
	CurrentFrame   int       `json:"currentFrame,omitempty"`
	TotalFrames    int       `json:"totalFrames,omitempty"`
	QueuePosition  *int      `json:"queuePosition,omitempty"`
	Timestamp      time.Time `json:"timestamp"`
}

// VideoMetadata describes a video.
type VideoMetadata struct {
	Width  int    `json:"width"`
	Height int    `json:"height"`
	FPS    int    `json:"fps"`
	Format string `json:"format"` // "webm"
}

// VideoGenerationCompleted is a task's end with a result.
type VideoGenerationCompleted struct {
	EventType string        `json:"eventType"` // "VideoGenerationCompleted"
	TaskID    string        `json:"taskId"`
	Sequence  int64         `json:"sequence"`
	Attempt   int           `json:"attempt"`
	VideoURL  string        `json:"videoUrl"` // absolute, signed, expires
	Duration  float64       `json:"duration"` // seconds
	Metadata  VideoMetadata `json:"metadata"`
	Timestamp time.Time     `json:"timestamp"`
}

// VideoGenerationFailed is a task's end without a result, the deadline
// (errorCode "timed_out") included.
type VideoGenerationFailed struct {
	EventType   string    `json:"eventType"` // "VideoGenerationFailed"
	TaskID      string    `json:"taskId"`
	Sequence    int64     `json:"sequence"`
	Attempt     int       `json:"attempt"`
	Error       string    `json:"error"` // for people
	IsRetryable bool      `json:"isRetryable"`
	ErrorCode   string    `json:"errorCode,omitempty"` // for programs
	Timestamp   time.Time `json:"timestamp"`
}

// VideoGenerationCancelled is a task's end by its owner's wish.
type VideoGenerationCancelled struct {
	EventType string    `json:"eventType"` // "VideoGenerationCancelled"
	TaskID    string    `json:"taskId"`
	Sequence  int64     `json:"sequence"`
	Attempt   int       `json:"attempt"`
	Timestamp time.Time `json:"timestamp"`
}

// The image hub's events are the video hub's, with eventType
// "ImageGeneration…"; only Completed differs.
type (
	ImageGenerationStarted   VideoGenerationStarted
	ImageGenerationProgress  VideoGenerationProgress
	ImageGenerationFailed    VideoGenerationFailed
	ImageGenerationCancelled VideoGenerationCancelled
)

// ImageMetadata describes an image.
type ImageMetadata struct {
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Format string `json:"format"` // "png"
}

// ImageResult is one image of a task.
type ImageResult struct {
	URL    string `json:"url"` // absolute, signed, expires
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Format string `json:"format"` // "png"
}

// ImageGenerationCompleted is an image task's end with its results; imageUrl
// and metadata are those of the first.
type ImageGenerationCompleted struct {
	EventType string        `json:"eventType"` // "ImageGenerationCompleted"
	TaskID    string        `json:"taskId"`
	Sequence  int64         `json:"sequence"`
	Attempt   int           `json:"attempt"`
	ImageURL  string        `json:"imageUrl"`
	Metadata  ImageMetadata `json:"metadata"`
	Images    []ImageResult `json:"images"`
	Timestamp time.Time     `json:"timestamp"`
}

// Link makes an absolute, signed link to a stored result. baseURL is the
// origin under which the task's submitter reached the service.
type Link func(baseURL, mediaKey string) string

// EventType returns the name that the public JSON carries, for example
// "VideoGenerationProgress".
func (e Event) EventType() string {
	kind := "VideoGeneration"
	if e.Kind == Image {
		kind = "ImageGeneration"
	}
	return kind + string(e.Name)
}

// Public returns the event as clients see it, one of the types of this file
// by value, with links minted by link. Timestamps are UTC and encode as ISO
// 8601. It returns nil for a name that is none.
func (e Event) Public(link func(baseURL, mediaKey string) string) any {
	at := e.At.UTC()
	switch e.Name {
	case EventStarted:
		v := VideoGenerationStarted{e.EventType(), e.TaskID, e.Sequence, e.Attempt, at}
		if e.Kind == Image {
			return ImageGenerationStarted(v)
		}
		return v
	case EventProgress:
		v := VideoGenerationProgress{
			EventType: e.EventType(), TaskID: e.TaskID, Sequence: e.Sequence, Attempt: e.Attempt,
			Progress: e.Progress, Percentage: e.Progress, ProgressSource: e.ProgressSource, Message: e.Message,
			CurrentFrame: e.CurrentFrame, TotalFrames: e.TotalFrames, QueuePosition: e.QueuePosition, Timestamp: at,
		}
		if e.Kind == Image {
			return ImageGenerationProgress(v)
		}
		return v
	case EventCompleted:
		if e.Kind == Image {
			return e.imageCompleted(link, at)
		}
		return e.videoCompleted(link, at)
	case EventFailed:
		v := VideoGenerationFailed{EventType: e.EventType(), TaskID: e.TaskID, Sequence: e.Sequence, Attempt: e.Attempt, Timestamp: at}
		if f := e.Failure; f != nil {
			v.Error, v.IsRetryable, v.ErrorCode = f.Message, f.Retryable, f.Code
		}
		if e.Kind == Image {
			return ImageGenerationFailed(v)
		}
		return v
	case EventCancelled:
		v := VideoGenerationCancelled{e.EventType(), e.TaskID, e.Sequence, e.Attempt, at}
		if e.Kind == Image {
			return ImageGenerationCancelled(v)
		}
		return v
	}
	return nil
}

func (e Event) videoCompleted(link Link, at time.Time) VideoGenerationCompleted {
	v := VideoGenerationCompleted{EventType: e.EventType(), TaskID: e.TaskID, Sequence: e.Sequence, Attempt: e.Attempt, Timestamp: at}
	if len(e.Outputs) > 0 {
		o := e.Outputs[0]
		v.VideoURL = link(e.BaseURL, o.MediaKey)
		v.Duration = o.Duration
		v.Metadata = VideoMetadata{o.Width, o.Height, o.FPS, o.Format}
	}
	return v
}

func (e Event) imageCompleted(link Link, at time.Time) ImageGenerationCompleted {
	v := ImageGenerationCompleted{
		EventType: e.EventType(), TaskID: e.TaskID, Sequence: e.Sequence, Attempt: e.Attempt,
		Images: []ImageResult{}, Timestamp: at,
	}
	for _, o := range e.Outputs {
		v.Images = append(v.Images, ImageResult{link(e.BaseURL, o.MediaKey), o.Width, o.Height, o.Format})
	}
	if len(v.Images) > 0 {
		first := v.Images[0]
		v.ImageURL, v.Metadata = first.URL, ImageMetadata{first.Width, first.Height, first.Format}
	}
	return v
}
