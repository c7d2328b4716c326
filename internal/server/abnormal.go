package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Patterns of connections that are not as they should be. push names those
// that it sees.
const patternNegotiation = "failed_negotiations"

// What a key or an address may do within abnormalWindow before it is told of.
const abnormalWindow = time.Minute

var abnormalLimits = map[string]int{
	patternNegotiation:          30, // requests to hubs that were refused
	"unknown_tasks":             60, // subscriptions to tasks that there are not, or that are another's
	"reconnect_storms":          300,
	"oversized_messages":        3,
	"rate_limit_disconnections": 3,
}

// Negotiations of an address above its limit are refused this much later, as
// long as not too many wait.
const (
	slowDown  = time.Second
	maxSlowed = 256
)

// abnormal counts what is not as it should be, by key and by address, and
// writes one line of log per window, pattern and subject. Safe for concurrent
// use.
type abnormal struct {
	log   *slog.Logger
	seen  func(pattern string) // told of every one
	slots chan struct{}

	mu     sync.Mutex
	began  time.Time // of the window
	counts map[subject]int
}

// subject is whose doing it is: a key or an address.
type subject struct{ pattern, key, address string }

// maxSubjects bounds what strangers can make us remember in a window; those
// above are counted in the metrics only.
const maxSubjects = 50_000

func newAbnormal(log *slog.Logger, seen func(pattern string)) *abnormal {
	return &abnormal{log: log, seen: seen, counts: map[subject]int{}, slots: make(chan struct{}, maxSlowed)}
}

// note counts one, of a key ("": unknown) and of an address, with or without a
// port. It reports whether one of the two is above the limit.
func (a *abnormal) note(pattern, keyID, address string) (above bool) {
	a.seen(pattern)
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.began) >= abnormalWindow {
		a.began = now
		clear(a.counts)
	}
	for _, s := range []subject{{pattern: pattern, key: keyID}, {pattern: pattern, address: address}} {
		if s.key == "" && s.address == "" {
			continue
		}
		if _, known := a.counts[s]; !known && len(a.counts) >= maxSubjects {
			continue
		}
		a.counts[s]++
		limit := abnormalLimits[pattern]
		above = above || a.counts[s] > limit
		if a.counts[s] == limit+1 {
			a.log.Warn("abnormal connections", "pattern", pattern, "key", s.key, "address", s.address, "more_than", limit, "within", abnormalWindow)
		}
	}
	return above
}

// watchHubs counts refused requests to hubs, and delays the refusals of those
// who do not stop.
func (a *abnormal) watchHubs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&refusalWriter{ResponseWriter: w, refused: func() {
			if a.note(patternNegotiation, "", r.RemoteAddr) {
				a.slow(r.Context())
			}
		}}, r)
	})
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
		if address, foreign := foreignAddress(r.RemoteAddr); foreign && !https(r) && carriesKey(r) {
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

func carriesKey(r *http.Request) bool {
	if r.Header.Get("Authorization") != "" || r.Header.Get("X-API-Key") != "" || r.Header.Get("Cookie") != "" {
		return true
	}
	q := r.URL.RawQuery
	return strings.Contains(q, "access_token=") || strings.Contains(q, "api_key=")
}
