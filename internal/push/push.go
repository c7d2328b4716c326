// Package push is Conduit's hubs: who may watch a task, and a task's events on
// their way to those who do. It is the only adapter between package task and
// package signalr.
//
// An event is stored first and published then. Publish sends it to the task's
// group; who subscribes is brought up to date from the store in one operation
// with joining; and what was stored but never published, because a worker died
// in between or a backplane lost it, is found by the repair that reads the
// store for the tasks that are watched here. Every event carries its sequence
// as position, so whatever comes twice or late by these ways is dropped by the
// library, per connection.
package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr"
)

// Where the hubs are mounted, together with the trees below.
const (
	VideoPath = "/hubs/video-generation"
	ImagePath = "/hubs/image-generation"

	NavigationPath = "/hubs/navigation-state"
)

// Patterns that Options.Abnormal is told of. One of them now and then is
// nothing; it is the number that tells.
const (
	PatternConnection    = "reconnect_storms"          // a connection was opened
	PatternUnknownTask   = "unknown_tasks"             // a task was named that there is not, or that is another key's
	PatternOversized     = "oversized_messages"        // a message was larger than MaximumReceiveMessageSize
	PatternRateLimitStop = "rate_limit_disconnections" // a connection was closed for its refused calls
)

// abnormal tells of a pattern in what c does, and is held up by who is told.
func (o Options) abnormal(ctx context.Context, pattern string, c *signalr.Conn, times int) {
	if o.Abnormal != nil {
		o.Abnormal(ctx, pattern, times, c.UserID(), c.Request().RemoteAddr)
	}
}

// Tasks is what the hubs need of task.Service. Implementations are safe for
// concurrent use, and answer a foreign task like an unknown one, with
// task.ErrNotFound.
type Tasks interface {
	Get(ctx context.Context, keyID, id string) (task.Task, error)
	// Events returns the stored events above sequence after, in order.
	Events(ctx context.Context, keyID, id string, after int64) ([]task.Event, error)
	// Latest returns the newest Progress or the terminal event.
	Latest(ctx context.Context, keyID, id string) (task.Event, error)

	// Overview returns where the tasks of a key stand, Revisions how that of
	// several keys is numbered; RaiseRevisions is for a change of all of them.
	Overview(ctx context.Context, keyID string, kinds []task.Kind, recent int) (task.Overview, error)
	Revisions(ctx context.Context, keyIDs []string) (map[string]int64, error)
	RaiseRevisions(ctx context.Context) error
}

// Links mints signed links to results: *media.Signer.
type Links interface {
	URL(baseURL, mediaKey string, now time.Time) string
}

// Options are what New needs. Tasks, Links and Models are required.
type Options struct {
	Tasks  Tasks
	Links  Links
	Models Models

	// PublicURL is the origin of every link; "": the origin of the request that
	// submitted the task.
	PublicURL string

	// Hub are the settings of the hubs: timeouts, limits, KeepAlive, backplane.
	// UserID, OnConnected, OnDisconnected, Admit and how payloads are written are the hubs' own.
	Hub signalr.HubOptions

	RateLimits RateLimits

	// Abnormal is told what may be abuse, with the key that did it and the
	// address that it came from: a Pattern each time, and how often a call did
	// it. By returning later, or when ctx ends, it slows down new connections and
	// subscriptions to unknown tasks; for what ends a connection it must not
	// block. nil: nobody is told.
	Abnormal func(ctx context.Context, pattern string, times int, keyID, address string)

	RepairEvery time.Duration // how often the store is read for watched tasks; 0: 5 s
	Logger      *slog.Logger  // nil: slog.Default()
}

// hubOptions are the settings that all hubs have. connected is called for each
// connection whose calls are then counted.
func (o Options) hubOptions(calls *limiter, connected func(context.Context, *signalr.Conn) error) signalr.HubOptions {
	opts := o.Hub
	opts.Admit = calls.admit
	opts.OnConnected = func(ctx context.Context, c *signalr.Conn) error {
		if err := connected(ctx, c); err != nil {
			return err
		}
		calls.join(ctx, c)
		o.abnormal(ctx, PatternConnection, c, 1)
		return nil
	}
	opts.OnDisconnected = func(ctx context.Context, c *signalr.Conn, cause error) {
		calls.leave(c)
		if errors.Is(cause, signalr.ErrMessageTooLarge) {
			o.abnormal(ctx, PatternOversized, c, 1)
		}
	}
	// The guide's names, and ISO timestamps, in both protocols.
	opts.JSONNames, opts.MessagePackNames, opts.MessagePackTimes = signalr.CamelCase, signalr.CamelCase, signalr.ISOString
	opts.UserID = func(ctx context.Context) string {
		p, _ := key.FromContext(ctx)
		return p.KeyID
	}
	if opts.Logger == nil {
		opts.Logger = o.Logger
	}
	return opts
}

// Hubs are Conduit's hubs. All methods are safe for concurrent use.
type Hubs struct {
	video  *taskHub
	image  *taskHub
	nav    *navigationHub
	lost   key.Lost
	every  time.Duration
	logger *slog.Logger
}

var _ task.Publisher = (*Hubs)(nil)

// New makes the hubs. It panics on options that cannot work.
func New(o Options) *Hubs {
	if o.Tasks == nil || o.Links == nil || o.Models == nil {
		panic("push: Tasks, Links and Models are required")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.RepairEvery <= 0 {
		o.RepairEvery = 5 * time.Second
	}
	calls := newLimiter(o.RateLimits)
	calls.stopped = func(c *signalr.Conn) { o.abnormal(c.Context(), PatternRateLimitStop, c, 1) }
	h := &Hubs{every: o.RepairEvery, logger: o.Logger}
	h.video = newTaskHub(o, kindOfHub{
		name: "video-generation", kind: task.Video, scope: key.ScopeVideo, group: "video-",
		events: []signalr.Declaration{VideoStarted, VideoProgress, VideoCompleted, VideoFailed, VideoCancelled},
	}, &h.lost, calls)
	h.image = newTaskHub(o, kindOfHub{
		name: "image-generation", kind: task.Image, scope: key.ScopeImage, group: "image-",
		events: []signalr.Declaration{ImageStarted, ImageProgress, ImageCompleted, ImageFailed, ImageCancelled},
	}, &h.lost, calls)
	h.nav = newNavigationHub(o, &h.lost, calls)
	return h
}

// Video is the video hub, to be mounted at VideoPath and below, behind the
// middleware that puts a key.Principal with the scope video into the context.
func (h *Hubs) Video() *signalr.Hub { return h.video.hub }

// Image is the image hub, to be mounted at ImagePath and below in the same way,
// for the scope image.
func (h *Hubs) Image() *signalr.Hub { return h.image.hub }

// Navigation is the navigation hub, to be mounted at NavigationPath and below
// in the same way, for the scope navigation.
func (h *Hubs) Navigation() *signalr.Hub { return h.nav.hub }

// All are all hubs, for health and shutdown.
func (h *Hubs) All() []*signalr.Hub { return []*signalr.Hub{h.video.hub, h.image.hub, h.nav.hub} }

// taskHubs are the hubs that tasks are watched on.
func (h *Hubs) taskHubs() []*taskHub { return []*taskHub{h.video, h.image} }

// Publish sends a stored event to those who watch its task, on every server.
func (h *Hubs) Publish(ctx context.Context, e task.Event) error {
	h.nav.changed(e.KeyID)
	for _, hub := range h.taskHubs() {
		if hub.kind == e.Kind {
			return hub.publish(ctx, e)
		}
	}
	return fmt.Errorf("push: no hub for tasks of the kind %q", e.Kind)
}

// Run keeps navigation states up to date, repairs, and ends connections whose
// credential has run out, every RepairEvery until ctx ends.
func (h *Hubs) Run(ctx context.Context) {
	var navigation sync.WaitGroup
	defer navigation.Wait()
	navigation.Go(func() {
		h.nav.run(ctx, func(err error) { h.logger.WarnContext(ctx, "navigation states are late", "error", err) })
	})
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h.expire(time.Now()) //nolint:contextcheck // it looks at the connections' own contexts
		if err := h.Repair(ctx); err != nil && ctx.Err() == nil {
			h.logger.WarnContext(ctx, "watched tasks could not be looked up", "error", err)
		}
	}
}

// Repair sends what is stored of the tasks watched on this server and was not
// published here. Run calls it.
func (h *Hubs) Repair(ctx context.Context) error {
	var errs []error
	for _, hub := range h.taskHubs() {
		errs = append(errs, hub.repair(ctx))
	}
	return errors.Join(errs...)
}

// Recover is Repair for after a backplane has come back: what was published
// meanwhile may not have reached this server's own clients either, so it is
// sent to them again. Who has it does not see it twice.
func (h *Hubs) Recover(ctx context.Context) error {
	for _, hub := range h.taskHubs() {
		hub.watches.doubt()
	}
	return h.Repair(ctx)
}

// LoseKey ends the connections of a key that no longer counts. Their clients
// are told not to come back: they would be refused.
func (h *Hubs) LoseKey(keyID string) {
	h.lost.Add(keyID)
	h.end(func(p key.Principal) bool { return p.KeyID == keyID })
}

// expire is for credentials that end before their key does.
func (h *Hubs) expire(now time.Time) {
	h.end(func(p key.Principal) bool { return !p.ExpiresAt.IsZero() && !now.Before(p.ExpiresAt) })
}

func (h *Hubs) end(whose func(key.Principal) bool) {
	for _, hub := range h.All() {
		for c := range hub.Connections() {
			if p, ok := key.FromContext(c.Context()); ok && whose(p) {
				c.Close(keyEnded, false)
			}
		}
	}
}

const keyEnded = "The API key is not valid any more."

// errKeyLost refuses connections that were let in just before their key was
// lost.
var errKeyLost = refuse(codeKey, "%s", keyEnded)

// hubError is what clients see of err; errors that mean nothing to them stay
// masked, and are logged by the library.
func hubError(err error) error {
	switch {
	case errors.Is(err, task.ErrNotFound):
		return refuse(codeNotFound, "There is no such task.")
	case errors.Is(err, task.ErrUnavailable):
		return refuse(codeUnavailable, "The database does not answer. Try again in a moment.")
	case errors.Is(err, signalr.ErrTooManyGroups):
		return refuse(codeTooMany, "This connection watches too many tasks. Unsubscribe from some, or open another.")
	case errors.Is(err, signalr.ErrConnectionClosed), errors.Is(err, context.Canceled):
		return signalr.Errorf("The connection is closed.") // nobody reads this
	}
	return err
}
