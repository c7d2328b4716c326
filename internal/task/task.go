// Package task is the life of a generation task: its states, its events with
// their sequence numbers, the rules by which one becomes the other, and the
// JSON that both REST and the hubs send.
//
// It declares what it needs (Store, Publisher) and speaks plain types;
// implementations live in internal/store and internal/push.
package task

import (
	"errors"
	"time"
)

// Kind is what a task produces.
type Kind string

// The kinds.
const (
	Video Kind = "video"
	Image Kind = "image"
)

// State is a task's place in its life. The names are the wire's.
type State string

// The states. Completed, Failed, Cancelled and TimedOut are final.
const (
	Pending   State = "pending"
	Running   State = "running"
	Completed State = "completed"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	TimedOut  State = "timed_out"
)

// Final reports whether s is an end.
func (s State) Final() bool {
	return s == Completed || s == Failed || s == Cancelled || s == TimedOut
}

// Request is a validated wish for a task. The caller (api) has resolved the
// model and filled in every default; task trusts it.
type Request struct {
	KeyID          string // who asks; owns the task
	Kind           Kind
	Model          string // public model id
	Provider       string // name of the provider that serves it
	Prompt         string
	Width, Height  int
	Duration       int // seconds; 0 for images
	FPS            int // frames a second; 0 for images
	Seed           int64
	N              int
	User           string        // caller's own end-user id, stored, never interpreted
	ResponseFormat string        // "url"
	Timeout        time.Duration // from submission to the latest end; 0: the service's default for the kind
	BaseURL        string        // origin under which the submitter reached us (scheme://host), for links in events
	IdempotencyKey string        // "" for none
	RequestHash    string        // of the parsed fields, hex; see rest-api B.7
	RetryAttempt   bool          // X-Stainless-Retry-Count > 0 without a key: look for the same hash within two minutes
	RetryOf        string        // task this one retries; "" for none
}

// Output is one stored result.
type Output struct {
	Index       int     `json:"index"`
	MediaKey    string  `json:"media_key"` // never a link; links are minted when delivered
	ContentType string  `json:"content_type"`
	Format      string  `json:"format"` // "webm", "png"
	Codec       string  `json:"codec,omitempty"`
	Bytes       int64   `json:"bytes"`
	SHA256      string  `json:"sha256"`
	Width       int     `json:"width"`
	Height      int     `json:"height"`
	FPS         int     `json:"fps,omitempty"`
	Duration    float64 `json:"duration,omitempty"` // seconds
}

// Failure is why a task ended without a result.
type Failure struct {
	Code      string `json:"code"` // providers.md 8.8, "timed_out", "submit_uncertain"
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// Task is a task as stored.
type Task struct {
	ID             string // "task_" + 32 hexadecimal digits
	Request               // what was asked
	State          State
	Progress       int    // 0..100, whole points; 100 only when Completed
	ProgressSource string // "native", "logs", "queue", "partial", "estimate"
	Message        string
	CurrentFrame   int
	TotalFrames    int
	QueuePosition  *int
	Sequence       int64 // of the newest published event
	Attempt        int   // from 1; rises whenever the work is begun anew or taken over
	Outputs        []Output
	Failure        *Failure
	ProviderTaskID string
	CreatedAt      time.Time
	StartedAt      *time.Time
	UpdatedAt      time.Time
	CompletedAt    *time.Time
	DeadlineAt     time.Time
	EstimatedEnd   *time.Time // before the work begins: if it began at once
}

// EventName is an event's name on the hubs and in event streams.
type EventName string

// The events.
const (
	EventStarted   EventName = "Started"
	EventProgress  EventName = "Progress"
	EventCompleted EventName = "Completed"
	EventFailed    EventName = "Failed"
	EventCancelled EventName = "Cancelled"
)

// Terminal reports whether the event is a task's last.
func (n EventName) Terminal() bool {
	return n == EventCompleted || n == EventFailed || n == EventCancelled
}

// Event is a published change of a task, as stored. Its public JSON is made
// by Public.
type Event struct {
	TaskID   string
	KeyID    string // of the task's owner; for publishers only, events that were read have none
	Kind     Kind
	Sequence int64 // from 1, strictly rising per task
	Attempt  int
	Name     EventName
	At       time.Time

	// Progress
	Progress       int
	ProgressSource string
	Message        string
	CurrentFrame   int
	TotalFrames    int
	QueuePosition  *int

	// Completed
	Model   string
	Outputs []Output

	// Failed
	Failure *Failure

	BaseURL string // of the task's submitter, for links
}

// Errors of the Service. A foreign task is ErrNotFound, like an unknown one.
var (
	ErrNotFound       = errors.New("task: no such task")
	ErrNotCancellable = errors.New("task: it has ended already")
	ErrNotRetryable   = errors.New("task: only a failed, cancelled or timed out task can be tried again")
	ErrTooMany        = errors.New("task: too many unfinished tasks of this key")
	ErrKeyReused      = errors.New("task: the idempotency key was used with other fields")
	ErrFenced         = errors.New("task: the work was taken away: it ended, or another worker has it")
	ErrBusy           = errors.New("task: as many tasks of this key run as may")
	ErrUnavailable    = errors.New("task: the database does not answer")
	ErrFull           = errors.New("task: the database's disk is full")
)
