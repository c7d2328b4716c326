package api

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

// acceptedView is the 202 answer (rest-api C.3).
type acceptedView struct {
	TaskID                  string     `json:"task_id"`
	Status                  task.State `json:"status"`
	CreatedAt               time.Time  `json:"created_at"`
	EstimatedCompletionTime *time.Time `json:"estimated_completion_time"`
	CheckStatusURL          string     `json:"check_status_url"`
	EventsURL               string     `json:"events_url"`
	Model                   string     `json:"model"`
	Seed                    int64      `json:"seed"`
	RetryOf                 *string    `json:"retry_of"`
}

func (h *Handler) accepted(r *http.Request, t task.Task) acceptedView {
	base := h.origin(r)
	check := base + "/v1/videos/generations/tasks/" + t.ID
	if t.Kind == task.Image {
		check = base + "/v1/images/generations/" + t.ID + "/status"
	}
	return acceptedView{
		TaskID: t.ID, Status: t.State, CreatedAt: stamp(t.CreatedAt), EstimatedCompletionTime: stampOrNil(t.EstimatedEnd),
		CheckStatusURL: check, EventsURL: base + "/v1/tasks/" + t.ID + "/events",
		Model: t.Model, Seed: t.Seed, RetryOf: textOrNil(t.RetryOf),
	}
}

// taskView is a task's status (rest-api C.3), and what was asked for. Every
// key is always there.
type taskView struct {
	TaskID           string       `json:"task_id"`
	Kind             task.Kind    `json:"kind"`
	Model            string       `json:"model"`
	Status           task.State   `json:"status"`
	Progress         int          `json:"progress"` // 0..100
	ProgressSource   *string      `json:"progress_source"`
	QueuePosition    *int         `json:"queue_position"`
	Message          *string      `json:"message"`
	CurrentFrame     *int         `json:"current_frame"`
	TotalFrames      *int         `json:"total_frames"`
	EstimatedSeconds *int         `json:"estimated_time_to_completion"` // seconds
	Attempt          int          `json:"attempt"`
	CreatedAt        time.Time    `json:"created_at"`
	StartedAt        *time.Time   `json:"started_at"`
	UpdatedAt        time.Time    `json:"updated_at"`
	CompletedAt      *time.Time   `json:"completed_at"`
	Error            *string      `json:"error"`
	ErrorDetail      *errorDetail `json:"error_detail"`
	Result           *resultView  `json:"result"`
	Sequence         int64        `json:"sequence"`

	Prompt   string  `json:"prompt"`
	Size     string  `json:"size"`     // WxH, pixels
	Duration *int    `json:"duration"` // seconds; null for images
	FPS      *int    `json:"fps"`      // frames a second; null for images
	Seed     int64   `json:"seed"`
	N        int     `json:"n"`
	User     *string `json:"user"`
	RetryOf  *string `json:"retry_of"`
}

type errorDetail struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// resultView is what a completed task made (rest-api A.2).
type resultView struct {
	Created int64        `json:"created"` // unix seconds
	Model   string       `json:"model"`
	Data    []resultItem `json:"data"`
	Usage   resultUsage  `json:"usage"`
}

type resultItem struct {
	URL           string         `json:"url"` // absolute, signed, valid for an hour
	RevisedPrompt *string        `json:"revised_prompt"`
	Metadata      resultMetadata `json:"metadata"`
}

type resultMetadata struct {
	Width         int      `json:"width"`
	Height        int      `json:"height"`
	Duration      *float64 `json:"duration"` // seconds
	FPS           *int     `json:"fps"`
	Codec         *string  `json:"codec"`
	AudioCodec    *string  `json:"audio_codec"`
	FileSizeBytes int64    `json:"file_size_bytes"`
	Bitrate       *int64   `json:"bitrate"` // bits a second
	MimeType      string   `json:"mime_type"`
	Format        string   `json:"format"`
}

// resultUsage has the key of the task's kind only; costs are not known yet.
type resultUsage struct {
	VideosGenerated      *int     `json:"videos_generated,omitempty"`
	ImagesGenerated      *int     `json:"images_generated,omitempty"`
	TotalDurationSeconds *float64 `json:"total_duration_seconds,omitempty"`
	EstimatedCost        *float64 `json:"estimated_cost"`
}

func (h *Handler) view(t task.Task) taskView {
	v := taskView{
		TaskID: t.ID, Kind: t.Kind, Model: t.Model, Status: t.State,
		Progress: t.Progress, ProgressSource: textOrNil(t.ProgressSource), QueuePosition: t.QueuePosition,
		Message: textOrNil(t.Message), CurrentFrame: numberOrNil(t.CurrentFrame), TotalFrames: numberOrNil(t.TotalFrames),
		Attempt: t.Attempt, CreatedAt: stamp(t.CreatedAt), StartedAt: stampOrNil(t.StartedAt),
		UpdatedAt: stamp(t.UpdatedAt), CompletedAt: stampOrNil(t.CompletedAt), Sequence: t.Sequence,
		Prompt: t.Prompt, Size: strconv.Itoa(t.Width) + "x" + strconv.Itoa(t.Height),
		Duration: numberOrNil(t.Duration), FPS: numberOrNil(t.FPS), Seed: t.Seed, N: t.N,
		User: textOrNil(t.User), RetryOf: textOrNil(t.RetryOf),
	}
	if t.EstimatedEnd != nil && !t.State.Final() {
		from := time.Now()
		if t.StartedAt == nil { // waits: the work is still whole
			from = t.CreatedAt
		}
		left := max(0, int(math.Ceil(t.EstimatedEnd.Sub(from).Seconds())))
		v.EstimatedSeconds = &left
	}
	if f := t.Failure; f != nil {
		v.Error = &f.Message
		v.ErrorDetail = &errorDetail{Code: f.Code, Message: f.Message, Retryable: f.Retryable}
	} else if t.State == task.Cancelled {
		text := "The task was cancelled."
		v.Error = &text
		v.ErrorDetail = &errorDetail{Code: "cancelled", Message: text}
	}
	if t.State == task.Completed {
		v.Result = h.result(t)
	}
	return v
}

func (h *Handler) result(t task.Task) *resultView {
	v := &resultView{Model: t.Model, Data: []resultItem{}}
	if t.CompletedAt != nil {
		v.Created = t.CompletedAt.Unix()
	}
	now, total := time.Now(), 0.0
	for _, o := range t.Outputs {
		m := resultMetadata{
			Width: o.Width, Height: o.Height, FPS: numberOrNil(o.FPS), Codec: textOrNil(o.Codec),
			FileSizeBytes: o.Bytes, MimeType: o.ContentType, Format: o.Format,
		}
		if o.Duration > 0 {
			bitrate := int64(float64(o.Bytes) * 8 / o.Duration)
			m.Duration, m.Bitrate = &o.Duration, &bitrate
			total += o.Duration
		}
		v.Data = append(v.Data, resultItem{URL: h.o.Links.URL(h.linkBase(t.BaseURL), o.MediaKey, now), Metadata: m})
	}
	made := len(t.Outputs)
	if t.Kind == task.Image {
		v.Usage.ImagesGenerated = &made
	} else {
		v.Usage.VideosGenerated, v.Usage.TotalDurationSeconds = &made, &total
	}
	return v
}

// listView is the envelope of lists (rest-api B.3).
type listView struct {
	Object  string     `json:"object"` // "list"
	Data    []taskView `json:"data"`
	FirstID *string    `json:"first_id"`
	LastID  *string    `json:"last_id"`
	HasMore bool       `json:"has_more"`
}

func (h *Handler) listView(p task.Page) listView {
	v := listView{Object: "list", Data: make([]taskView, 0, len(p.Tasks)), HasMore: p.HasMore}
	for _, t := range p.Tasks {
		v.Data = append(v.Data, h.view(t))
	}
	if n := len(p.Tasks); n > 0 {
		v.FirstID, v.LastID = &p.Tasks[0].ID, &p.Tasks[n-1].ID
	}
	return v
}

// stamp is t as answers show it: UTC, whole milliseconds.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func stampOrNil(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	s := stamp(*t)
	return &s
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func numberOrNil(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}
