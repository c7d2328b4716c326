package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr"
)

// kindOfHub is what distinguishes the hub of one kind of task.
type kindOfHub struct {
	name   string
	kind   task.Kind
	scope  key.Scope
	group  string // before the task's id
	events []signalr.Declaration
}

// taskHub lets clients watch the tasks of one kind. Its methods are
// SubscribeToTask(taskId), SubscribeToTaskFrom(taskId, afterSequence),
// UnsubscribeFromTask(taskId), and for many tasks at once
// SubscribeToTasks([{taskId, afterSequence}]) and UnsubscribeFromTasks([taskId]).
type taskHub struct {
	kindOfHub
	hub     *signalr.Hub
	tasks   Tasks
	links   Links
	origin  string // of links; "": the task's own
	lost    *key.Lost
	watches watches
	logger  *slog.Logger
	calls   *limiter
	unknown func(ctx context.Context, c *signalr.Conn, times int) // tasks were named that there are not
}

func newTaskHub(o Options, k kindOfHub, lost *key.Lost, calls *limiter) *taskHub {
	h := &taskHub{kindOfHub: k, tasks: o.Tasks, links: o.Links, origin: o.PublicURL, lost: lost, logger: o.Logger, calls: calls}
	h.unknown = func(ctx context.Context, c *signalr.Conn, times int) { o.abnormal(ctx, PatternUnknownTask, c, times) }
	opts := o.hubOptions(calls, h.connected)
	opts.Declares = append(slices.Clone(opts.Declares), k.events...)
	h.hub = signalr.NewHub(k.name, opts)
	signalr.Handle(h.hub, "SubscribeToTask", h.subscribe)
	signalr.Handle(h.hub, "SubscribeToTaskFrom", h.subscribeFrom)
	signalr.Handle(h.hub, "UnsubscribeFromTask", h.unsubscribe)
	signalr.Handle(h.hub, "SubscribeToTasks", h.subscribeAll)
	signalr.Handle(h.hub, "UnsubscribeFromTasks", h.unsubscribeAll)
	return h
}

// connected refuses who cannot do anything here. Negotiation has refused them
// before; this is for clients that skip it, and keys lost since.
func (h *taskHub) connected(ctx context.Context, _ *signalr.Conn) error {
	_, err := h.principal(ctx)
	return err
}

func (h *taskHub) principal(ctx context.Context) (key.Principal, error) {
	return principalOf(ctx, h.scope, h.lost)
}

// principalOf is who calls, as long as that counts and has a scope.
func principalOf(ctx context.Context, scope key.Scope, lost *key.Lost) (key.Principal, error) {
	p, ok := key.FromContext(ctx)
	now := time.Now()
	switch {
	case !ok:
		return p, refuse(codeKey, "An API key is needed.")
	case lost.Has(p.KeyID), !p.ExpiresAt.IsZero() && !now.Before(p.ExpiresAt):
		return p, errKeyLost
	case !p.Has(scope):
		return p, refuse(codeScope, "The API key lacks the scope %s.", scope)
	}
	return p, nil
}

// subscribe joins the task's group and sends its newest Progress or its end.
func (h *taskHub) subscribe(ctx context.Context, c *signalr.Conn, taskID string) error {
	_, _, err := h.watch(ctx, c, taskID, nil)
	return h.noted(ctx, c, err)
}

// subscribeFrom joins the task's group and sends every stored event above
// sequence after; of several Progress the newest. A sequence above the task's
// newest counts as that.
func (h *taskHub) subscribeFrom(ctx context.Context, c *signalr.Conn, taskID string, after int64) error {
	_, _, err := h.watch(ctx, c, taskID, &after)
	return h.noted(ctx, c, err)
}

// watch is subscribe, or with after subscribeFrom. It returns the sequence at
// which the connection stands, and whether that is the task's end: then the
// connection is in no group, since nothing can follow.
func (h *taskHub) watch(ctx context.Context, c *signalr.Conn, taskID string, after *int64) (sequence int64, ended bool, err error) {
	if after != nil && *after < 0 {
		return 0, false, refuse(codeInvalid, "afterSequence is negative. 0 stands for the beginning.")
	}
	p, t, err := h.find(ctx, c, taskID)
	if err != nil {
		return 0, false, err
	}
	group, has := h.group+t.ID, int64(0)
	if after != nil {
		has = min(*after, t.Sequence)
		if t.State.Final() && has == t.Sequence {
			return has, true, c.Leave(ctx, group)
		}
	}
	positions, err := c.CatchUp(ctx, group, func(ctx context.Context, j *signalr.Joining) error {
		var missed []task.Event
		if after == nil {
			e, err := h.tasks.Latest(ctx, p.KeyID, t.ID)
			if err != nil {
				return err
			}
			missed = []task.Event{e}
			ended = e.Name.Terminal()
			h.watches.note(p.KeyID, t.ID, e.Sequence, ended)
			return h.sendAll(ctx, j.Audience(), missed)
		}
		missed, err := h.tasks.Events(ctx, p.KeyID, t.ID, has)
		if err != nil {
			return err
		}
		// What it has may be on its way here once more.
		j.Reached(t.ID, position(has))
		h.watches.note(p.KeyID, t.ID, has, false)
		ended = len(missed) > 0 && missed[len(missed)-1].Name.Terminal()
		return h.sendAll(ctx, j.Audience(), missed)
	})
	return int64(positions[t.ID]), ended, hubError(err) //nolint:gosec // sequences came as int64
}

// unsubscribe leaves the task's group. For one's own task it is no error not
// to be in it.
func (h *taskHub) unsubscribe(ctx context.Context, c *signalr.Conn, taskID string) error {
	return h.noted(ctx, c, h.leave(ctx, c, taskID))
}

func (h *taskHub) leave(ctx context.Context, c *signalr.Conn, taskID string) error {
	if err := checkID(taskID); err != nil {
		return err
	}
	if id, ok := task.ParseID(taskID); ok && slices.Contains(c.Groups(), h.group+id) {
		return c.Leave(ctx, h.group+id) // also while the database is away
	}
	_, _, err := h.find(ctx, c, taskID)
	return err
}

// noted is err, after it was noted that the caller named an unknown task.
func (h *taskHub) noted(ctx context.Context, c *signalr.Conn, err error) error {
	if isUnknownTask(err) {
		h.unknown(ctx, c, 1)
	}
	return err
}

// find is the task, as far as the caller may watch it here. Foreign and
// unknown tasks, and those of another kind, are one and the same error.
func (h *taskHub) find(ctx context.Context, c *signalr.Conn, taskID string) (key.Principal, task.Task, error) {
	p, err := h.principal(ctx)
	if err != nil {
		return p, task.Task{}, err
	}
	if err := checkID(taskID); err != nil {
		return p, task.Task{}, err
	}
	t, err := h.tasks.Get(ctx, p.KeyID, taskID)
	if err == nil && (t.Kind != h.kind || p.TaskID != "" && p.TaskID != t.ID) {
		err = task.ErrNotFound
	}
	return p, t, hubError(err)
}

const maxID = 64 // bytes; ids have 37 or 38

// checkID says what is wrong with an id that can be none.
func checkID(id string) error {
	switch {
	case id == "":
		return refuse(codeInvalid, "taskId is empty.")
	case len(id) > maxID:
		return refuse(codeInvalid, "taskId is longer than %d bytes.", maxID)
	case !utf8.ValidString(id), strings.ContainsFunc(id, unicode.IsControl):
		return refuse(codeInvalid, "taskId contains characters that cannot be.")
	}
	return nil
}

// public is an event's payload, with links for its readers.
func (h *taskHub) public(e task.Event) any {
	now := time.Now()
	return e.Public(func(baseURL, mediaKey string) string {
		if h.origin != "" {
			baseURL = h.origin
		}
		return h.links.URL(baseURL, mediaKey, now)
	})
}

func (h *taskHub) publish(ctx context.Context, e task.Event) error {
	if err := sendPublic(ctx, h.hub.Group(h.group+e.TaskID), h.public(e)); err != nil {
		return err // repair will find it
	}
	h.watches.sent(e.TaskID, e.Sequence, e.Name.Terminal())
	return nil
}

// sendAll sends stored events, of Progress the newest only.
func (h *taskHub) sendAll(ctx context.Context, to signalr.Audience, events []task.Event) error {
	newest := -1
	for i, e := range events {
		if e.Name == task.EventProgress {
			newest = i
		}
	}
	for i, e := range events {
		if e.Name == task.EventProgress && i != newest {
			continue
		}
		if err := sendPublic(ctx, to, h.public(e)); err != nil {
			return err
		}
	}
	return nil
}

// repair sends, to the watchers on this server, what is stored of their tasks
// above the sequence that was sent last.
func (h *taskHub) repair(ctx context.Context) error {
	var failed error
	for _, w := range h.watches.due(h.watched()) {
		events, err := h.tasks.Events(ctx, w.keyID, w.taskID, w.last)
		switch {
		case errors.Is(err, task.ErrNotFound): // deleted; nothing will follow
			h.watches.sent(w.taskID, w.last+1, true)
			continue
		case err != nil:
			return fmt.Errorf("read the events of a watched task: %w", err)
		case len(events) == 0:
			continue
		}
		if err := h.sendAll(ctx, h.hub.LocalGroup(h.group+w.taskID), events); err != nil {
			failed = errors.Join(failed, err) // tried again next time; the others go on
			continue
		}
		last := events[len(events)-1]
		h.watches.sent(w.taskID, last.Sequence, last.Name.Terminal())
	}
	return failed
}

// watched yields the tasks with a subscriber on this server.
func (h *taskHub) watched() func(yield func(taskID string) bool) {
	return func(yield func(string) bool) {
		for group := range h.hub.LocalGroups() {
			if id, ok := strings.CutPrefix(group, h.group); ok && !yield(id) {
				return
			}
		}
	}
}
