package provider

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Health is what a Provider may implement beside: whether it can be used now.
// A Provider that does not is taken for available.
type Health interface {
	// Available returns nil, or why nothing can be made now. The message of an
	// Error is shown to clients, other errors are masked. It is called about
	// every ten seconds and is to return within five.
	Available(ctx context.Context) error
}

// ModelState is a model and whether it can be used now.
type ModelState struct {
	Model
	Available bool
	Reason    string // why not, for people; "" if Available
}

// Availability knows which models of a catalog can be used now: all, until Run
// has looked. Safe for concurrent use.
type Availability struct {
	catalog *Catalog
	log     *slog.Logger

	mu   sync.Mutex
	down map[string]string // by provider: the reason
}

// NewAvailability returns the availability of a catalog. log nil takes
// slog.Default().
func NewAvailability(c *Catalog, log *slog.Logger) *Availability {
	if log == nil {
		log = slog.Default()
	}
	return &Availability{catalog: c, log: log, down: map[string]string{}}
}

// List returns the state of every model, in the catalog's order.
func (a *Availability) List() []ModelState {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []ModelState
	for _, m := range a.catalog.models {
		reason, down := a.down[a.catalog.providers[m.ID].Name()]
		out = append(out, ModelState{Model: m, Available: !down, Reason: reason})
	}
	return out
}

// Run looks at the providers at once and then every so often (0: 10 s), until
// ctx ends.
func (a *Availability) Run(ctx context.Context, every time.Duration) {
	if every <= 0 {
		every = 10 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		a.Check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Check asks every provider that can tell. A panic of one counts as an error.
func (a *Availability) Check(ctx context.Context) {
	providers := map[string]Provider{}
	for _, p := range a.catalog.providers {
		providers[p.Name()] = p
	}
	down := map[string]string{}
	for name, p := range providers {
		h, ok := p.(Health)
		if !ok {
			continue
		}
		err := a.ask(ctx, name, h)
		if err == nil {
			continue
		}
		down[name] = "The provider cannot be used at the moment."
		var known *Error
		if errors.As(err, &known) && known.Message != "" {
			down[name] = known.Message
		}
		a.mu.Lock()
		_, before := a.down[name]
		a.mu.Unlock()
		if !before && ctx.Err() == nil {
			a.log.WarnContext(ctx, "a provider cannot be used", "provider", name, "error", err)
		}
	}
	if ctx.Err() != nil {
		return // the answers are the end's, not the providers'
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range maps.Keys(a.down) {
		if _, still := down[name]; !still {
			a.log.InfoContext(ctx, "a provider can be used again", "provider", name)
		}
	}
	a.down = down
}

const askTime = 5 * time.Second

func (a *Availability) ask(ctx context.Context, name string, h Health) (err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			a.log.ErrorContext(ctx, "a provider panicked", "provider", name, "panic", v)
			err = errors.New("panic")
		}
	}()
	return h.Available(ctx)
}
