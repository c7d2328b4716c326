package server

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/knnlabs/conduit/internal/api"
	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/push"
)

// Patterns of connections that are not as they should be. push names those
// that it sees.
const patternNegotiation = "failed_negotiations"

// What a key or an address may do within abnormalWindow before it is told of.
const abnormalWindow = time.Minute

var abnormalLimits = map[string]int{
	patternNegotiation:        30, // requests to hubs that were refused
	push.PatternUnknownTask:   60, // subscriptions, event streams and polls of tasks that there are not, or that are another's
	push.PatternConnection:    600,
	push.PatternOversized:     3,
	push.PatternRateLimitStop: 3,
}

// Who is above a limit is held up for so long, as long as not too many wait:
// its refused negotiations, its new connections, and its subscriptions, event
// streams and polls of tasks that there are not.
const (
	slowDown  = time.Second
	maxSlowed = 256
)

// abnormal counts what is not as it should be, by key and by address, and
// writes one line of log per window, pattern and subject. Safe for concurrent
// use.
type abnormal struct {
	log   *slog.Logger
	told  func(pattern string, times, exceeded int) // of every one; exceeded: how many are above their limits since now
	slots chan struct{}
	since time.Time

	mu     sync.Mutex
	began  time.Time // of the window
	counts map[subject]tally
	totals map[string]api.AbnormalPattern
	past   []api.AbnormalSubject // above their limits in earlier windows, oldest first
}

// subject is whose doing it is: a key or an address.
type subject struct{ pattern, key, address string }

type tally struct {
	count int
	last  time.Time
}

const (
	// maxSubjects bounds what strangers can make us remember in a window; those
	// above are counted in the totals only.
	maxSubjects = 50_000
	maxReported = 100 // of the window that runs, and as many of earlier ones
)

func newAbnormal(log *slog.Logger, told func(pattern string, times, exceeded int)) *abnormal {
	a := &abnormal{log: log, told: told, slots: make(chan struct{}, maxSlowed), since: time.Now(),
		counts: map[subject]tally{}, totals: map[string]api.AbnormalPattern{}}
	for pattern, limit := range abnormalLimits {
		a.totals[pattern] = api.AbnormalPattern{Pattern: pattern, Limit: limit}
	}
	return a
}

// note counts what a key ("": unknown) did, and an address, with or without a
// port. It reports whether one of the two is above the limit.
func (a *abnormal) note(pattern string, times int, keyID, address string) (above bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.turn(now)
	total := a.totals[pattern]
	exceeded := 0
	for _, s := range subjects(pattern, keyID, address) {
		t, known := a.counts[s]
		if !known && len(a.counts) >= maxSubjects {
			continue
		}
		was := t.count
		t.count, t.last = t.count+times, now
		a.counts[s] = t
		above = above || t.count > total.Limit
		if was <= total.Limit && t.count > total.Limit {
			exceeded++
			a.log.Warn("abnormal connections", "pattern", pattern, "key", s.key, "address", s.address, "more_than", total.Limit, "within", abnormalWindow)
		}
	}
	total.Total += int64(times)
	total.Exceeded += int64(exceeded)
	a.totals[pattern] = total
	a.told(pattern, times, exceeded)
	return above
}

// above reports whether a key or an address is above any limit now.
func (a *abnormal) above(keyID, address string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(time.Now())
	for pattern, limit := range abnormalLimits {
		for _, s := range subjects(pattern, keyID, address) {
			if a.counts[s].count > limit {
				return true
			}
		}
	}
	return false
}

func subjects(pattern, keyID, address string) []subject {
	out := make([]subject, 0, 2)
	if keyID != "" {
		out = append(out, subject{pattern: pattern, key: keyID})
	}
	if address != "" {
		out = append(out, subject{pattern: pattern, address: key.Client(address)})
	}
	return out
}

// turn begins a new window when the last one is over. Called with mu.
func (a *abnormal) turn(now time.Time) {
	if now.Sub(a.began) < abnormalWindow {
		return
	}
	a.past = append(a.past, a.window(true)...)
	a.past = slices.Delete(a.past, 0, max(0, len(a.past)-maxReported))
	a.began = now
	clear(a.counts)
}

// window is the window that runs, the highest counts last. Called with mu.
func (a *abnormal) window(aboveOnly bool) []api.AbnormalSubject {
	var out []api.AbnormalSubject
	for s, t := range a.counts {
		limit := abnormalLimits[s.pattern]
		if aboveOnly && t.count <= limit {
			continue
		}
		out = append(out, api.AbnormalSubject{Pattern: s.pattern, KeyID: s.key, Address: s.address, Count: t.count,
			Limit: limit, Began: a.began, Last: t.last})
	}
	slices.SortFunc(out, func(x, y api.AbnormalSubject) int {
		return cmp.Or(cmp.Compare(x.Count, y.Count), strings.Compare(x.Pattern, y.Pattern),
			strings.Compare(x.KeyID, y.KeyID), strings.Compare(x.Address, y.Address))
	})
	return out[max(0, len(out)-maxReported):]
}

// report is what is shown to admins: the newest window first, in it the
// highest counts.
func (a *abnormal) report() api.AbnormalReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(time.Now())
	r := api.AbnormalReport{Since: a.since, Window: abnormalWindow}
	for _, pattern := range slices.Sorted(maps.Keys(a.totals)) {
		r.Patterns = append(r.Patterns, a.totals[pattern])
	}
	r.Subjects = append(slices.Clone(a.past), a.window(false)...)
	slices.Reverse(r.Subjects)
	return r
}

// watchHubs counts refused requests to hubs, and delays the refusals of those
// who do not stop.
func (a *abnormal) watchHubs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rw := &refusalWriter{ResponseWriter: w}
		rw.refused = func() {
			if a.note(patternNegotiation, 1, rw.keyID, r.RemoteAddr) {
				a.slow(r.Context())
			}
		}
		next.ServeHTTP(rw, r)
	})
}

// whose notes whose request it is, below watchHubs and behind key's
// Middleware.
func whose(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rw, ok := w.(*refusalWriter); ok {
			p, _ := key.FromContext(r.Context())
			rw.keyID = p.KeyID
		}
		next.ServeHTTP(w, r)
	})
}

// ofHubs is push.Options.Abnormal.
func (a *abnormal) ofHubs(ctx context.Context, pattern string, times int, keyID, address string) {
	above := a.note(pattern, times, keyID, address)
	switch pattern {
	case push.PatternConnection:
		above = above || a.above(keyID, address) // what it did before, too
	case push.PatternUnknownTask:
	default: // the connection ends anyway
		return
	}
	if above {
		a.slow(ctx)
	}
}

// ofStreams is api.Options.UnknownTask.
func (a *abnormal) ofStreams(ctx context.Context, keyID, address string) {
	a.ofHubs(ctx, push.PatternUnknownTask, 1, keyID, address)
}

func (a *abnormal) slow(ctx context.Context) {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		return
	}
	wait := time.NewTimer(slowDown)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// refusalWriter tells of refusals before they are written.
type refusalWriter struct {
	http.ResponseWriter
	refused func()
	keyID   string // "": not known
}

func (w *refusalWriter) WriteHeader(status int) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusBadRequest {
		w.refused()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *refusalWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// plainKeys warns, once a minute and address, of keys that cross plain HTTP
// from another machine. What a believed proxy says of the scheme counts.
func plainKeys(next http.Handler, log *slog.Logger, https func(*http.Request) bool) http.Handler {
	var mu sync.Mutex
	told := map[string]time.Time{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if address, foreign := foreignAddress(r.RemoteAddr); foreign && !https(r) && key.Carries(r) {
			now := time.Now()
			mu.Lock()
			at, known := told[address]
			tell := !known || now.Sub(at) >= time.Minute
			if tell {
				if len(told) >= 10_000 {
					clear(told)
				}
				told[address] = now
			}
			mu.Unlock()
			if tell {
				log.Warn("a key crossed the network in the clear; serve HTTPS (Https:Certificate and Https:Key), or let a proxy do so and set ForwardedHeaders", "address", address)
			}
		}
		next.ServeHTTP(w, r)
	})
}

func foreignAddress(remote string) (address string, foreign bool) {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip := net.ParseIP(strings.SplitN(host, "%", 2)[0])
	return host, ip != nil && !ip.IsLoopback()
}
