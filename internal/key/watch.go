package key

import (
	"context"
	"log/slog"
	"maps"
	"time"
)

// WatchInterval is how often the change counter is read. A key that is
// revoked or expires loses its connections within twice that.
const WatchInterval = 500 * time.Millisecond

const (
	queryTimeout  = 5 * time.Second
	touchInterval = time.Minute
	cleanInterval = 10 * time.Minute
)

// Watch calls onLost for every key that is revoked, by whatever process, or
// that expires, within a second, until ctx ends. onLost is called from Watch's
// own goroutine, once per loss, and must not block for long. A key that had
// ended before Watch began is told too.
//
// While the database is away nobody loses anything but by expiry; what
// happened meanwhile is told when it is back.
func Watch(ctx context.Context, s Store, logger *slog.Logger, onLost func(keyID string)) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	w := watcher{store: s, log: logger, onLost: onLost, expiry: map[string]time.Time{}}
	t := time.NewTicker(WatchInterval)
	defer t.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

type watcher struct {
	store   Store
	log     *slog.Logger
	onLost  func(string)
	version int64
	expiry  map[string]time.Time // of usable keys that end by themselves
	away    bool
}

func (w *watcher) look(ctx context.Context) {
	w.read(ctx)
	now := time.Now()
	for id, at := range w.expiry {
		if !now.Before(at) {
			delete(w.expiry, id)
			w.onLost(id)
		}
	}
}

func (w *watcher) read(ctx context.Context) {
	// A database that hangs must not hold expiry up: the query is given as
	// long as the next look is away.
	q, cancel := context.WithTimeout(ctx, WatchInterval)
	defer cancel()
	v, err := w.store.KeyVersion(q)
	if err == nil && v != w.version {
		var changed []Key
		if changed, v, err = w.store.KeysChangedSince(q, w.version); err == nil {
			w.version = v
			w.apply(changed)
		}
	}
	switch {
	case ctx.Err() != nil:
	case err != nil && !w.away:
		w.away = true
		w.log.Warn("revoked keys cannot be looked up; connections stay until the database is back", "error", err)
	case err == nil && w.away:
		w.away = false
		w.log.Info("keys can be looked up again")
	}
}

func (w *watcher) apply(changed []Key) {
	now := time.Now()
	for _, k := range changed {
		delete(w.expiry, k.ID)
		switch {
		case !k.Usable(now):
			w.onLost(k.ID)
		case !k.ExpiresAt.IsZero():
			w.expiry[k.ID] = k.ExpiresAt
		}
	}
}

// Run writes down when keys were used last, about once a minute, and clears
// old sessions and login codes, until ctx ends; then it writes what is left.
func (a *Authenticator) Run(ctx context.Context) {
	touch, clean := time.NewTicker(touchInterval), time.NewTicker(cleanInterval)
	defer touch.Stop()
	defer clean.Stop()
	for {
		select {
		case <-ctx.Done():
			a.flush(context.WithoutCancel(ctx))
			return
		case <-touch.C:
			a.flush(ctx)
		case <-clean.C:
			a.clean(ctx)
		}
	}
}

func (a *Authenticator) flush(ctx context.Context) {
	a.mu.Lock()
	used := maps.Clone(a.used)
	clear(a.used)
	a.mu.Unlock()
	if len(used) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := a.o.Store.TouchKeys(ctx, used); err != nil {
		a.log.Warn("the last use of keys could not be written", "error", err)
	}
}

func (a *Authenticator) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := a.o.Store.DeleteExpired(ctx, time.Now().UTC()); err != nil {
		a.log.Warn("expired sessions could not be cleared", "error", err)
	}
}
