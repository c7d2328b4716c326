package push

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr"
)

// Models is what the navigation hub needs of provider.Availability.
// Implementations are safe for concurrent use.
type Models interface {
	// List returns the state of every model, always in the same order.
	List() []provider.ModelState
}

// NavigationState is everything that an application's navigation shows, as far
// as the caller's key may see it.
type NavigationState struct {
	EventType   string        `json:"eventType"` // "NavigationStateUpdated"
	Revision    int64         `json:"revision"`  // rises with every change
	Kinds       []KindState   `json:"kinds"`
	Models      []ModelState  `json:"models"`
	RecentTasks []TaskSummary `json:"recentTasks"` // the newest 50, newest first
	Timestamp   time.Time     `json:"timestamp"`
}

// KindState is a kind of generation, and the caller's tasks of it by state.
type KindState struct {
	Kind      task.Kind  `json:"kind"`
	Available bool       `json:"available"` // a model of it can be used now
	Tasks     TaskCounts `json:"tasks"`
}

// TaskCounts are numbers of tasks.
type TaskCounts struct {
	Pending   int `json:"pending"`
	Running   int `json:"running"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	TimedOut  int `json:"timedOut"`
}

// ModelState is a model and whether it can be used now.
type ModelState struct {
	ModelID   string    `json:"modelId"`
	Kind      task.Kind `json:"kind"`
	Default   bool      `json:"default"` // taken when a request of its kind names no model
	Available bool      `json:"available"`
	Reason    string    `json:"reason,omitempty"` // why not, for people
}

// TaskSummary is a task in a list.
type TaskSummary struct {
	TaskID      string     `json:"taskId"`
	Kind        task.Kind  `json:"kind"`
	Model       string     `json:"model"`
	Status      task.State `json:"status"`
	Progress    int        `json:"progress"` // 0..100
	Message     string     `json:"message,omitempty"`
	Prompt      string     `json:"prompt"` // the first 120 characters
	Sequence    int64      `json:"sequence"`
	RetryOf     string     `json:"retryOf,omitempty"`
	ErrorCode   string     `json:"errorCode,omitempty"`
	CreatedAt   time.Time  `json:"createdAt"`
	UpdatedAt   time.Time  `json:"updatedAt"`
	CompletedAt *time.Time `json:"completedAt,omitempty"`
}

// ModelAvailability is the payload of ModelAvailabilityChanged.
type ModelAvailability struct {
	EventType string    `json:"eventType"` // "ModelAvailabilityChanged"
	ModelID   string    `json:"modelId"`
	Kind      task.Kind `json:"kind"`
	Available bool      `json:"available"`
	Reason    string    `json:"reason,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// The events of the navigation hub.
var (
	NavigationStateUpdated = signalr.NewEvent("NavigationStateUpdated", signalr.EventOptions[NavigationState]{
		Position:   func(s NavigationState) uint64 { return position(s.Revision) },
		LatestOnly: true,
	})
	ModelAvailabilityChanged = signalr.NewEvent("ModelAvailabilityChanged", signalr.EventOptions[ModelAvailability]{
		Key:        func(m ModelAvailability) string { return m.ModelID },
		LatestOnly: true,
	})
)

const (
	recentTasks = 50
	promptShown = 120 // characters
	modelGroup  = "model-"
)

// navigationHub shows each key where its tasks and the models stand. Who
// connects gets the state at once, and a new one whenever something changed,
// at most one a second. Its methods are GetNavigationState(),
// SubscribeToModel(modelId) and UnsubscribeFromModel(modelId).
//
// States are made from the database, by each server for its own connections:
// it reads the revisions of the keys that are connected here once a second, and
// sooner after an event of this process. So nothing goes over the backplane,
// and nothing can be lost on it.
type navigationHub struct {
	hub      *signalr.Hub
	tasks    Tasks
	models   Models
	lost     *key.Lost
	watchers navigationWatchers
	wake     chan struct{}
}

func newNavigationHub(o Options, lost *key.Lost, calls *limiter) *navigationHub {
	h := &navigationHub{tasks: o.Tasks, models: o.Models, lost: lost, wake: make(chan struct{}, 1)}
	h.watchers.models = o.Models.List()
	opts := o.hubOptions(calls, h.connected)
	opts.Declares = append(slices.Clone(opts.Declares), NavigationStateUpdated, ModelAvailabilityChanged)
	h.hub = signalr.NewHub("navigation-state", opts)
	signalr.Handle(h.hub, "GetNavigationState", h.get)
	signalr.Handle(h.hub, "SubscribeToModel", h.subscribe)
	signalr.Handle(h.hub, "UnsubscribeFromModel", h.unsubscribe)
	return h
}

// view is what a credential may see here. It names a group.
type view struct {
	keyID string
	kinds []task.Kind // in a fixed order
}

func (v view) group() string {
	names := make([]string, len(v.kinds))
	for i, k := range v.kinds {
		names[i] = string(k)
	}
	return "navigation-" + v.keyID + "/" + strings.Join(names, ",")
}

func (v view) sees(k provider.Kind) bool { return slices.Contains(v.kinds, task.Kind(k)) }

func (h *navigationHub) view(ctx context.Context) (view, error) {
	p, err := principalOf(ctx, key.ScopeNavigation, h.lost)
	if err != nil {
		return view{}, err
	}
	if p.TaskID != "" {
		return view{}, refuse(codeScope, "This credential is for one task only.")
	}
	v := view{keyID: p.KeyID}
	if p.Has(key.ScopeVideo) {
		v.kinds = append(v.kinds, task.Video)
	}
	if p.Has(key.ScopeImage) {
		v.kinds = append(v.kinds, task.Image)
	}
	return v, nil
}

// connected sends the state to who has come. While the database is away it
// follows later.
func (h *navigationHub) connected(ctx context.Context, c *signalr.Conn) error {
	v, err := h.view(ctx)
	if err != nil {
		return err
	}
	_, err = c.CatchUp(ctx, v.group(), func(ctx context.Context, j *signalr.Joining) error {
		s, err := h.state(ctx, v)
		if err != nil {
			h.watchers.add(v, 0)
			return nil //nolint:nilerr // the next pass tries again
		}
		h.watchers.add(v, s.Revision)
		return NavigationStateUpdated.Send(ctx, j.Audience(), s)
	})
	return hubError(err)
}

func (h *navigationHub) get(ctx context.Context) (NavigationState, error) {
	v, err := h.view(ctx)
	if err != nil {
		return NavigationState{}, err
	}
	s, err := h.state(ctx, v)
	return s, hubError(err)
}

// subscribe has the caller told of every change of a model, and sends how it
// stands now.
func (h *navigationHub) subscribe(ctx context.Context, c *signalr.Conn, modelID string) error {
	m, err := h.model(ctx, modelID)
	if err != nil {
		return err
	}
	_, err = c.CatchUp(ctx, modelGroup+m.ID, func(ctx context.Context, j *signalr.Joining) error {
		m, err := h.model(ctx, modelID) // as it is now that changes are held back
		if err != nil {
			return err
		}
		return ModelAvailabilityChanged.Send(ctx, j.Audience(), availabilityOf(m))
	})
	return hubError(err)
}

func (h *navigationHub) unsubscribe(ctx context.Context, c *signalr.Conn, modelID string) error {
	m, err := h.model(ctx, modelID)
	if err != nil {
		return err
	}
	return c.Leave(ctx, modelGroup+m.ID)
}

// model is a model that the caller may use. One of a kind that its key has no
// scope for is like an unknown one.
func (h *navigationHub) model(ctx context.Context, modelID string) (provider.ModelState, error) {
	v, err := h.view(ctx)
	if err != nil {
		return provider.ModelState{}, err
	}
	if modelID == "" {
		return provider.ModelState{}, refuse(codeInvalid, "modelId is empty.")
	}
	for _, m := range h.models.List() {
		if m.ID == modelID && v.sees(m.Kind) {
			return m, nil
		}
	}
	return provider.ModelState{}, refuse(codeNotFound, "There is no such model.")
}

func availabilityOf(m provider.ModelState) ModelAvailability {
	return ModelAvailability{EventType: "ModelAvailabilityChanged", ModelID: m.ID, Kind: task.Kind(m.Kind), Available: m.Available,
		Reason: m.Reason, Timestamp: timestamp()}
}

func timestamp() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// state reads where everything stands that v may see.
func (h *navigationHub) state(ctx context.Context, v view) (NavigationState, error) {
	o, err := h.tasks.Overview(ctx, v.keyID, v.kinds, recentTasks)
	if err != nil {
		return NavigationState{}, err
	}
	s := NavigationState{EventType: "NavigationStateUpdated", Revision: o.Revision, Timestamp: timestamp(),
		Kinds: []KindState{}, Models: []ModelState{}, RecentTasks: []TaskSummary{}}
	for _, k := range v.kinds {
		n := o.Counts[k]
		s.Kinds = append(s.Kinds, KindState{Kind: k, Tasks: TaskCounts{Pending: n[task.Pending], Running: n[task.Running],
			Completed: n[task.Completed], Failed: n[task.Failed], Cancelled: n[task.Cancelled], TimedOut: n[task.TimedOut]}})
	}
	for _, m := range h.models.List() {
		if !v.sees(m.Kind) {
			continue
		}
		s.Models = append(s.Models, ModelState{ModelID: m.ID, Kind: task.Kind(m.Kind), Default: m.Default, Available: m.Available, Reason: m.Reason})
		i := slices.Index(v.kinds, task.Kind(m.Kind))
		s.Kinds[i].Available = s.Kinds[i].Available || m.Available
	}
	for _, t := range o.Recent {
		s.RecentTasks = append(s.RecentTasks, summary(t))
	}
	return s, nil
}

func summary(t task.Task) TaskSummary {
	s := TaskSummary{TaskID: t.ID, Kind: t.Kind, Model: t.Model, Status: t.State, Progress: t.Progress, Message: t.Message,
		Prompt: t.Prompt, Sequence: t.Sequence, RetryOf: t.RetryOf, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
	n := 0
	for i := range t.Prompt {
		if n == promptShown {
			s.Prompt = t.Prompt[:i]
			break
		}
		n++
	}
	if t.Failure != nil {
		s.ErrorCode = t.Failure.Code
	}
	if t.CompletedAt != nil {
		at := t.CompletedAt.UTC()
		s.CompletedAt = &at
	}
	return s
}
