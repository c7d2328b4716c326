// Package api is Conduit's REST surface: requests in, tasks and media out, and
// a task's events as a server-sent event stream. It decodes, validates and
// answers; what a task is and does is package task's business.
//
// routes.go shows the whole surface, the other files hold a resource each.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// Tasks is what the surface needs of task.Service. Implementations are safe
// for concurrent use, and answer a foreign task like an unknown one, with
// task.ErrNotFound.
type Tasks interface {
	Submit(ctx context.Context, r task.Request) (t task.Task, created bool, err error)
	// Quota returns how many unfinished tasks a key may have, and how many more
	// it may submit now.
	Quota(ctx context.Context, keyID string) (limit, left int, err error)
	Get(ctx context.Context, keyID, id string) (task.Task, error)
	List(ctx context.Context, keyID string, q task.ListQuery) (task.Page, error)
	Cancel(ctx context.Context, keyID, id string) (task.Task, error)
	Retry(ctx context.Context, keyID, id string, again task.Again) (t task.Task, created bool, err error)
	// Events returns the stored events above sequence after, in order.
	Events(ctx context.Context, keyID, id string, after int64) ([]task.Event, error)
	// Latest returns the newest Progress or the terminal event.
	Latest(ctx context.Context, keyID, id string) (task.Event, error)
}

// Feed tells when a task that is worked on in this process has a new event.
type Feed interface {
	// Subscribe returns a channel that receives after events were stored (one
	// waiting value stands for any number), and a function that ends it.
	Subscribe(taskID string) (wake <-chan struct{}, cancel func())
}

// Links mints and checks the signed links of results.
type Links interface {
	// URL is baseURL + "/v1/media/" + key, with expiry and signature.
	URL(baseURL, key string, now time.Time) string
	// Verify returns media.ErrBadLink or media.ErrExpired.
	Verify(key, exp, sig string, now time.Time) error
}

// Options are what New needs. The fields without a default are required.
type Options struct {
	Tasks   Tasks
	Feed    Feed
	Catalog *provider.Catalog
	Media   media.Store
	Links   Links

	// Abnormal is shown to keys with the scope admin; nil: nothing was noticed.
	Abnormal func() AbnormalReport

	// UnknownTask is told when somebody wants to follow a task that there is not,
	// or that is another key's: an event stream or a poll, by a key, from an
	// address. By returning later, or when ctx ends, it holds the answer up. nil:
	// nobody is told.
	UnknownTask func(ctx context.Context, keyID, address string)

	// Authenticate puts a key.Principal into the context of every request but
	// those for media, or answers 401: (*key.Authenticator).Middleware. Nil
	// leaves that to whoever mounts the handler.
	Authenticate func(http.Handler) http.Handler

	// PublicURL is the origin of every link ("https://media.example"); "": the
	// origin of the request that submitted the task.
	PublicURL string

	Logger *slog.Logger // nil: slog.Default()

	// How long event streams and media downloads may take for one write before
	// the client counts as gone (0: 15 s), how often a stream says that it
	// lives (0: 15 s), and how often it reads the store for tasks that run
	// elsewhere (0: 2 s).
	WriteTimeout   time.Duration
	StreamComment  time.Duration
	StreamReread   time.Duration
	RequestTimeout time.Duration // for reading a request's body; 0: 30 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for _, d := range []struct {
		p     *time.Duration
		value time.Duration
	}{
		{&o.WriteTimeout, 15 * time.Second},
		{&o.StreamComment, 15 * time.Second},
		{&o.StreamReread, 2 * time.Second},
		{&o.RequestTimeout, 30 * time.Second},
	} {
		if *d.p <= 0 {
			*d.p = d.value
		}
	}
	return o
}

// Handler serves everything under /v1/. It is safe for concurrent use.
type Handler struct {
	o       Options
	log     *slog.Logger
	streams *streams
	http.Handler
}

// New makes the handler. It panics when a required option is missing.
func New(o Options) *Handler {
	if o.Tasks == nil || o.Feed == nil || o.Media == nil || o.Links == nil || o.Catalog == nil {
		panic("api: Tasks, Feed, Catalog, Media and Links are required")
	}
	h := &Handler{o: o.withDefaults(), streams: newStreams()}
	h.log = h.o.Logger
	h.Handler = h.routes()
	return h
}

// LoseKey ends the event streams of a key that no longer counts, at once, and
// those that a request of this key opens while the news is still spreading.
func (h *Handler) LoseKey(keyID string) { h.streams.lose(keyID) }

// Drain ends every event stream, and those that are opened later right after
// their first events: the server is about to stop, and clients come back with
// Last-Event-ID to whoever runs next.
func (h *Handler) Drain() { h.streams.drain() }
