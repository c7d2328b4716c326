// Package local is the built-in renderer: a provider that needs no key, no
// network and no other program. A prompt and a seed become a moving picture,
// the same bytes every time (packages scene, vp8 and webm below this one).
//
// A generation is a folder with a request file, written before Submit returns.
// Everything else follows from that file: when the process dies in the middle
// of a render, the next one renders again as soon as somebody watches. Several
// processes may share the folder; at worst two of them render the same file,
// and the second puts the same bytes in its place.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
)

// The models.
const (
	VideoModel = "local-video"
	ImageModel = "local-image"
)

// Options configure a Renderer.
type Options struct {
	// Dir is where requests and unfetched results lie. It is made when it is
	// not there. Required.
	Dir string
	// Parallel is how many generations are rendered at once; the rest are
	// queued. 0 means one per core.
	Parallel int
	// KeepOrphans is how old a generation that nobody has released may become
	// before its files are removed. 0 means 24 hours.
	KeepOrphans time.Duration
	// Logger receives panics and failures. nil means slog.Default().
	Logger *slog.Logger

	// afterFrame, when set, is called after each frame or image that was
	// rendered, counted from 1. Tests stop or panic in it.
	afterFrame func(r provider.Request, n int)
	// wrap, when set, stands between the renderer and its files. Tests make it
	// fail.
	wrap func(file) file
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	if o.KeepOrphans <= 0 {
		o.KeepOrphans = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Renderer renders. It implements provider.Provider, Lookup and Releaser. Safe
// for concurrent use.
type Renderer struct {
	opts Options

	mu      sync.Mutex
	jobs    map[string]*job // by id
	queue   []*job          // waiting, first come first
	running int
	closed  bool
	swept   time.Time
	paces   map[provider.Kind]pace
	wg      sync.WaitGroup // of running jobs
}

var (
	_ provider.Provider = (*Renderer)(nil)
	_ provider.Lookup   = (*Renderer)(nil)
	_ provider.Releaser = (*Renderer)(nil)

	_ provider.Estimator = (*Renderer)(nil)
)

// ErrClosed ends the watches of a Renderer that was closed; another Renderer
// on the same folder goes on with what they watched.
var ErrClosed = errors.New("local: the renderer is closed")

// New makes a Renderer and removes what generations of more than
// Options.KeepOrphans ago have left behind. Close stops it.
func New(opts Options) (*Renderer, error) {
	if opts.Dir == "" {
		return nil, errors.New("local: no folder given")
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	r := &Renderer{opts: opts.withDefaults(), jobs: make(map[string]*job), paces: firstPaces()}
	r.sweep(time.Now())
	return r, nil
}

// Close stops what is being rendered, within a frame, and ends all watches
// with ErrClosed. Requests stay in the folder.
func (r *Renderer) Close() error {
	r.mu.Lock()
	r.closed = true
	for _, j := range r.queue {
		close(j.ended)
	}
	r.queue = nil
	for _, j := range r.jobs {
		j.stop()
		j.notify()
	}
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

// Name is "local".
func (*Renderer) Name() string { return "local" }

// Models returns local-video and local-image, the defaults of their kind.
func (*Renderer) Models() []provider.Model {
	created := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).Unix()
	size := provider.Limits{MinSize: 16, MaxSize: 1920, SizeMultiple: 2}
	video, image := size, size
	video.DefaultWidth, video.DefaultHeight = 640, 360
	video.MinDuration, video.MaxDuration, video.DefaultDuration = 1, 60, 4
	video.MinFPS, video.MaxFPS, video.DefaultFPS = 1, 60, 30
	video.MaxN = 1
	image.DefaultWidth, image.DefaultHeight = 1024, 1024
	image.MaxN = 10
	return []provider.Model{
		{ID: VideoModel, Kind: provider.Video, OwnedBy: "local", Created: created, Default: true, Limits: video,
			Features: []string{"cancel", "native_progress", "queue_position", "seed", "fps"}},
		{ID: ImageModel, Kind: provider.Image, OwnedBy: "local", Created: created, Default: true, Limits: image,
			Features: []string{"cancel", "native_progress", "queue_position", "seed", "n"}},
	}
}

// Submit stores the request and begins to render it, or queues it. The id
// follows from the intent, so submitting again finds what the first time began.
// Errors are *provider.Error: invalid_request, storage_full,
// provider_unavailable.
func (r *Renderer) Submit(_ context.Context, q provider.Request) (string, error) {
	if err := r.check(q); err != nil {
		return "", &provider.Error{Code: "invalid_request", Message: err.Error()}
	}
	id := idOf(q.Intent)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return "", &provider.Error{Code: "provider_unavailable", Message: "The renderer is shutting down.", Retryable: true}
	}
	if now := time.Now(); now.Sub(r.swept) > time.Hour {
		r.sweep(now)
	}
	if j := r.jobs[id]; j != nil && j.update.Phase != provider.Failed {
		return id, nil
	}
	if err := r.saveRequest(id, q); err != nil {
		return "", storageError(err)
	}
	r.start(id, q)
	return id, nil
}

func (r *Renderer) check(q provider.Request) error {
	if q.Intent == "" {
		return errors.New("the request has no intent")
	}
	for _, m := range r.Models() {
		if m.ID == q.Model {
			return m.Check(q)
		}
	}
	return fmt.Errorf("model: there is no %q here", q.Model)
}

// Lookup finds what was submitted under an intent, by this process or another
// one on the same folder.
func (r *Renderer) Lookup(_ context.Context, intent string) (id string, found bool, err error) {
	id = idOf(intent)
	switch _, err := r.loadRequest(id); {
	case err == nil:
		return id, true, nil
	case errors.Is(err, provider.ErrUnknownTask):
		return "", false, nil
	default:
		return "", false, err
	}
}

// Watch yields where a generation stands and each change, the newest only when
// several came meanwhile, until Done or Failed. Any number may watch one
// generation. One that nobody renders, because the process that did has died,
// is rendered from the start. Errors: provider.ErrUnknownTask, ErrClosed, and
// that of ctx.
func (r *Renderer) Watch(ctx context.Context, id string) iter.Seq2[provider.Update, error] {
	return func(yield func(provider.Update, error) bool) {
		j, err := r.find(id)
		if err != nil {
			yield(provider.Update{}, err)
			return
		}
		seen := -1
		for {
			update, version, changed, err := r.look(j)
			if err != nil {
				yield(provider.Update{}, err)
				return
			}
			if version != seen {
				seen = version
				if !yield(update, nil) || update.Phase == provider.Done || update.Phase == provider.Failed {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(provider.Update{}, ctx.Err())
				return
			}
		}
	}
}

// Cancel stops a generation within a frame and removes its files. Who watches
// it sees Failed with code "cancelled".
func (r *Renderer) Cancel(ctx context.Context, id string) error { return r.remove(ctx, id) }

// Release removes a generation's files. One that is still being rendered is
// cancelled.
func (r *Renderer) Release(ctx context.Context, id string) error { return r.remove(ctx, id) }

func (r *Renderer) remove(ctx context.Context, id string) error {
	if !validID(id) {
		return nil
	}
	r.mu.Lock()
	j := r.jobs[id]
	if j != nil {
		r.cancel(j)
	}
	r.mu.Unlock()
	if j != nil {
		select {
		case <-j.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := os.RemoveAll(r.dirOf(id)); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	// Only now: a Watch that finds a request file but no job begins one.
	r.mu.Lock()
	if r.jobs[id] == j {
		delete(r.jobs, id)
	}
	r.mu.Unlock()
	return nil
}

// FetchOutput opens a result. Errors are *provider.Error with code
// output_unavailable: it is not rendered (any more).
func (r *Renderer) FetchOutput(_ context.Context, id string, o provider.Output) (io.ReadCloser, error) {
	if !validID(id) || !validRef(o.Ref) {
		return nil, unavailable(provider.ErrUnknownTask)
	}
	f, err := os.Open(filepath.Join(r.dirOf(id), o.Ref))
	if err != nil {
		return nil, unavailable(err)
	}
	return f, nil
}

func unavailable(err error) error {
	return &provider.Error{Code: "output_unavailable", Message: "The rendered file is not there any more.", Retryable: true, Cause: err}
}
