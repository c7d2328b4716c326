// Package provider is what Conduit asks of a service that generates media.
// Each sub-package is one service; local is the built-in renderer.
package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Kind is what a model makes: "video" or "image".
type Kind string

// The kinds.
const (
	Video Kind = "video"
	Image Kind = "image"
)

// Model is one model of a provider, with the limits that requests are
// validated against.
type Model struct {
	ID       string // public id, e.g. "local-video"
	Kind     Kind
	OwnedBy  string // provider's name
	Created  int64  // unix seconds
	Default  bool   // taken when a request names no model of this kind
	Limits   Limits
	Features []string // "cancel", "native_progress", "seed", "fps", ...
}

// Limits are a model's bounds, inclusive.
type Limits struct {
	MinSize, MaxSize           int // width and height, pixels
	SizeMultiple               int // both must be multiples of it; 0 or 1: any
	DefaultWidth               int
	DefaultHeight              int
	MinDuration, MaxDuration   int // seconds
	DefaultDuration            int
	MinFPS, MaxFPS, DefaultFPS int
	MaxN                       int
	MaxPrompt                  int // characters; 0: the gateway's own limit alone
}

// Request is one generation, fully specified.
type Request struct {
	Intent        string // names the generation, stored before Submit; what Lookup finds again
	Kind          Kind
	Model         string
	Prompt        string
	Width, Height int
	Duration      int // seconds
	FPS           int
	Seed          int64
	N             int
}

// Phase is how far a provider's own task is.
type Phase string

// The phases. Done and Failed are last.
const (
	Queued  Phase = "queued"
	Running Phase = "running"
	Done    Phase = "done"
	Failed  Phase = "failed"
)

// Update is one observation of a provider's task.
type Update struct {
	Phase         Phase
	Progress      float64 // 0..100
	Source        string  // "native", "logs", "queue", "partial", "estimate"
	Message       string
	CurrentFrame  int
	TotalFrames   int
	QueuePosition *int
	Outputs       []Output // with Done
	Err           *Error   // with Failed
}

// Output is one result that FetchOutput can read.
type Output struct {
	Index         int
	Ref           string // the provider's own reference (a URL, a file id); may expire
	ContentType   string
	Format, Codec string // "webm", "vp8"; "png", ""
	Width, Height int
	FPS           int
	Duration      float64 // seconds
}

// Provider runs generations. All methods may be called at the same time.
// Errors that tell what to do next are *Error; any other error of Watch and
// FetchOutput counts as "ask again", of Submit as uncertain.
type Provider interface {
	Name() string
	Models() []Model
	// Submit hands a generation over and returns the provider's id for it.
	// An *Error means that nothing was bought; any other error leaves that open.
	// An intent of which Lookup found nothing is handed over once more.
	Submit(ctx context.Context, r Request) (providerTaskID string, err error)
	// Watch yields updates until Done or Failed, or until ctx ends or the
	// connection to the provider is lost (an error; watching again is safe).
	Watch(ctx context.Context, providerTaskID string) iter.Seq2[Update, error]
	// Cancel stops the provider's work as far as it can. Unknown ids are no error.
	Cancel(ctx context.Context, providerTaskID string) error
	// FetchOutput reads one result.
	FetchOutput(ctx context.Context, providerTaskID string, o Output) (io.ReadCloser, error)
}

// Lookup is implemented by providers that can be asked whether an unclear
// Submit arrived.
type Lookup interface {
	// Lookup finds the task of an intent; found is false when the provider
	// surely has none.
	Lookup(ctx context.Context, intent string) (providerTaskID string, found bool, err error)
}

// Estimator is implemented by providers that can say how long a generation
// takes.
type Estimator interface {
	// Estimate is about how long the work on r takes once it has begun; 0: not
	// known.
	Estimate(r Request) time.Duration
}

// Releaser is implemented by providers that keep something per task that can
// go once its outputs are stored or its end is recorded.
type Releaser interface {
	Release(ctx context.Context, providerTaskID string) error
}

// Error is a provider's answer that something cannot be done, in Conduit's
// codes (providers.md 8.8).
type Error struct {
	Code      string
	Message   string // safe to show to the task's owner
	Retryable bool
	Cause     error // for the log only
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return e.Code + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// ErrUnknownTask is returned by Watch for an id that the provider does not
// have (any more).
var ErrUnknownTask = errors.New("provider: no such task")
