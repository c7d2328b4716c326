package local

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
)

// job is a generation that this process renders, has rendered, or will. Its
// fields are guarded by the Renderer's mutex, except for those that do not
// change.
type job struct {
	id      string
	request provider.Request
	ctx     context.Context // ends the rendering; a job's own lifetime
	stop    context.CancelFunc
	ended   chan struct{} // closed when nothing of it runs any more

	update  provider.Update
	version int           // of update
	changed chan struct{} // closed and replaced with each version
}

// set is called with the mutex held.
func (j *job) set(u provider.Update) {
	j.update = u
	j.version++
	j.notify()
}

// notify wakes all watchers. It is called with the mutex held.
func (j *job) notify() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// start queues a job, and begins it when there is room. It is called with the
// mutex held.
func (r *Renderer) start(id string, q provider.Request) *job {
	ctx, stop := context.WithCancel(context.Background())
	j := &job{id: id, request: q, ctx: ctx, stop: stop, ended: make(chan struct{}), changed: make(chan struct{})}
	r.jobs[id] = j
	r.queue = append(r.queue, j)
	r.dispatch()
	return j
}

// dispatch begins what there is room for and tells the others their place. It
// is called with the mutex held.
func (r *Renderer) dispatch() {
	for r.running < r.opts.Parallel && len(r.queue) > 0 {
		j := r.queue[0]
		r.queue = slices.Delete(r.queue, 0, 1)
		r.running++
		r.wg.Add(1)
		j.set(j.progress(0))
		go r.run(j)
	}
	for i, j := range r.queue {
		if p := j.update.QueuePosition; p == nil || *p != i {
			j.set(provider.Update{Phase: provider.Queued, Source: "queue", Message: queuedMessage(i), QueuePosition: &i})
		}
	}
}

func queuedMessage(ahead int) string {
	if ahead == 0 {
		return "next in the queue"
	}
	return fmt.Sprintf("%d ahead in the queue", ahead)
}

// run renders a job and says how it ended.
func (r *Renderer) run(j *job) {
	defer r.wg.Done()
	defer close(j.ended)
	defer j.stop()
	outputs, err := r.render(j)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	switch {
	case j.ctx.Err() != nil: // cancelled or closed; that was said already
	case err != nil:
		j.set(provider.Update{Phase: provider.Failed, Source: "native", Progress: j.update.Progress, Err: storageError(err)})
		r.opts.Logger.Error("Rendering failed.", "provider_task", j.id, "error", err)
	default:
		u := j.progress(j.total())
		u.Phase, u.Outputs = provider.Done, outputs
		j.set(u)
	}
	if !r.closed {
		r.dispatch()
	}
}

// render calls the drawing code, and makes an error of its panic.
func (r *Renderer) render(j *job) (outputs []provider.Output, err error) {
	defer func() {
		if v := recover(); v != nil {
			r.opts.Logger.Error("The renderer panicked.", "provider_task", j.id, "panic", v, "stack", string(debug.Stack()))
			err = &provider.Error{Code: "provider_unavailable", Message: "The renderer failed.", Retryable: true, Cause: fmt.Errorf("panic: %v", v)}
		}
	}()
	steps, begun := 0, time.Now()
	defer func() {
		if err == nil && steps == j.total() { // a film that was there already has none
			r.measured(j.request, time.Since(begun))
		}
	}()
	step := func(n int) error {
		steps++
		r.mu.Lock()
		j.set(j.progress(n))
		r.mu.Unlock()
		if r.opts.afterFrame != nil {
			r.opts.afterFrame(j.request, n)
		}
		return j.ctx.Err()
	}
	if j.request.Kind == provider.Image {
		return r.renderImages(j, step)
	}
	return r.renderVideo(j, step)
}

// total is how many frames or images a job has.
func (j *job) total() int {
	if j.request.Kind == provider.Image {
		return j.request.N
	}
	return j.request.Duration * j.request.FPS
}

// progress is the update after n frames or images.
func (j *job) progress(n int) provider.Update {
	u := provider.Update{Phase: provider.Running, Source: "native", Progress: float64(n) * 100 / float64(j.total())}
	if j.request.Kind == provider.Image {
		u.Message = fmt.Sprintf("image %d of %d", n, j.total())
		return u
	}
	u.Message = fmt.Sprintf("frame %d of %d", n, j.total())
	u.CurrentFrame, u.TotalFrames = n, j.total()
	return u
}

// find is the job of an id: known here, or begun anew from its request file.
func (r *Renderer) find(id string) (*job, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	if j := r.jobs[id]; j != nil {
		return j, nil
	}
	q, err := r.loadRequest(id)
	if err != nil {
		return nil, err
	}
	if err := r.check(q); err != nil {
		return nil, fmt.Errorf("local: the request file of %s: %w", id, err)
	}
	return r.start(id, q), nil
}

// look is where a job stands.
func (r *Renderer) look(j *job) (u provider.Update, version int, changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed && j.update.Phase != provider.Done && j.update.Phase != provider.Failed {
		return u, 0, nil, ErrClosed
	}
	return j.update, j.version, j.changed, nil
}

// cancel ends a job that is not over. It is called with the mutex held.
func (r *Renderer) cancel(j *job) {
	if j.update.Phase == provider.Done || j.update.Phase == provider.Failed {
		return
	}
	j.stop()
	j.set(provider.Update{Phase: provider.Failed, Source: "native", Progress: j.update.Progress,
		Err: &provider.Error{Code: "cancelled", Message: "The rendering was cancelled."}})
	if i := slices.Index(r.queue, j); i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
		close(j.ended)
		r.dispatch()
	}
}

// storageError says in Conduit's codes why a file could not be written. An
// error that has a code already keeps it.
func storageError(err error) *provider.Error {
	var pe *provider.Error
	switch {
	case errors.As(err, &pe):
		return pe
	case isFull(err):
		return &provider.Error{Code: "storage_full", Message: "The server's disk is full.", Retryable: true, Cause: err}
	default:
		return &provider.Error{Code: "provider_unavailable", Message: "The renderer could not write its file.", Retryable: true, Cause: err}
	}
}

// sweep removes generations that nobody has released for a long time. It is
// called with the mutex held, or before anyone else knows the Renderer.
func (r *Renderer) sweep(now time.Time) {
	r.swept = now
	for _, id := range r.oldIDs(now.Add(-r.opts.KeepOrphans)) {
		if j := r.jobs[id]; j != nil {
			if j.update.Phase != provider.Done && j.update.Phase != provider.Failed {
				continue
			}
			delete(r.jobs, id)
		}
		r.removeFiles(id)
	}
}
