package push

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/signalr"
)

// RateLimits bound how often clients may call hub methods. Every call counts
// once: also one of an unknown method, one that fails, one that is refused for
// another limit, and one for many tasks. A zero field is its default, a
// negative one stands for no limit.
type RateLimits struct {
	Calls       int // a second and connection; default 20
	Burst       int // calls at once, of a connection that was silent; default 200
	CallsPerKey int // a second, over all connections of a key to this server; default 2,000, and as many at once
	Refusals    int // refused calls of a connection within ten seconds that close it; default 200
}

func (l RateLimits) withDefaults() RateLimits {
	for _, f := range []struct {
		field *int
		value int
	}{{&l.Calls, 20}, {&l.Burst, 200}, {&l.CallsPerKey, 2000}, {&l.Refusals, 200}} {
		switch {
		case *f.field == 0:
			*f.field = f.value
		case *f.field < 0:
			*f.field = math.MaxInt
		}
	}
	return l
}

const refusalsWithin = 10 * time.Second

// limiter holds connections and keys to RateLimits. All methods may be called
// at the same time.
type limiter struct {
	limits  RateLimits
	stopped func(*signalr.Conn) // a connection was closed for its refusals

	mu   sync.Mutex
	keys map[string]*keyCalls
}

// keyCalls are the calls of a key. It is forgotten when it is full again, so
// that coming back is no way around it.
type keyCalls struct {
	*rate.Limiter
	connections int
}

func newLimiter(l RateLimits) *limiter {
	return &limiter{limits: l.withDefaults(), keys: map[string]*keyCalls{}}
}

// connectionCalls are the calls of a connection.
type connectionCalls struct {
	*rate.Limiter
	ofKey *keyCalls

	mu      sync.Mutex
	refused []time.Time // the last ones, oldest first
}

type callsKey struct{} // of a connection's Items

func limit(n int) rate.Limit {
	if n == math.MaxInt {
		return rate.Inf
	}
	return rate.Limit(n)
}

// join begins to count a connection; its key is that of ctx.
func (l *limiter) join(ctx context.Context, c *signalr.Conn) {
	p, _ := key.FromContext(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.keys[p.KeyID]
	if k == nil {
		l.sweep(time.Now())
		k = &keyCalls{Limiter: rate.NewLimiter(limit(l.limits.CallsPerKey), l.limits.CallsPerKey)}
		l.keys[p.KeyID] = k
	}
	k.connections++
	c.Items().Store(callsKey{}, &connectionCalls{Limiter: rate.NewLimiter(limit(l.limits.Calls), l.limits.Burst), ofKey: k})
}

// leave ends the counting of a connection.
func (l *limiter) leave(c *signalr.Conn) {
	if calls, ok := callsOf(c); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		calls.ofKey.connections--
	}
}

// sweep forgets keys that have nobody here and nothing to make good.
func (l *limiter) sweep(now time.Time) {
	for id, k := range l.keys {
		if k.connections == 0 && k.TokensAt(now) >= float64(k.Burst()) {
			delete(l.keys, id)
		}
	}
}

func callsOf(c *signalr.Conn) (*connectionCalls, bool) {
	v, _ := c.Items().Load(callsKey{})
	calls, ok := v.(*connectionCalls)
	return calls, ok
}

// admit is signalr.HubOptions.Admit.
func (l *limiter) admit(_ context.Context, c *signalr.Conn, _ string) error {
	calls, ok := callsOf(c)
	if !ok {
		return nil // not joined: the connection was refused
	}
	now := time.Now()
	if wait := take(calls.Limiter, now); wait > 0 {
		return l.refuse(c, calls, now, "Too many calls on this connection: "+strconv.Itoa(l.limits.Calls)+" a second are allowed.", wait)
	}
	if wait := take(calls.ofKey.Limiter, now); wait > 0 {
		return l.refuse(c, calls, now, "Too many calls with this API key: "+strconv.Itoa(l.limits.CallsPerKey)+" a second are allowed.", wait)
	}
	return nil
}

// take takes a call, or says how long it would have to wait.
func take(l *rate.Limiter, now time.Time) (wait time.Duration) {
	if l.AllowN(now, 1) {
		return 0
	}
	r := l.ReserveN(now, 1)
	defer r.CancelAt(now)
	return max(r.DelayFrom(now), time.Millisecond)
}

// refuse notes a refusal, and closes who does not listen to them.
func (l *limiter) refuse(c *signalr.Conn, calls *connectionCalls, now time.Time, says string, wait time.Duration) error {
	if calls.note(now, l.limits.Refusals) && c.Context().Err() == nil {
		l.stopped(c)
		c.Close("Too many calls were refused on this connection. Wait before you connect again.", false)
	}
	// Rounded up, so that who waits as long is not refused again.
	seconds := math.Ceil(wait.Seconds()*1000) / 1000
	return refuse(codeRate, "%s Try again in %s seconds.", says, strconv.FormatFloat(seconds, 'f', -1, 64))
}

// note adds a refusal, and reports whether there were most of them within
// refusalsWithin.
func (calls *connectionCalls) note(now time.Time, most int) bool {
	if most == math.MaxInt {
		return false // no limit, nothing to remember
	}
	calls.mu.Lock()
	defer calls.mu.Unlock()
	old := 0
	for old < len(calls.refused) && now.Sub(calls.refused[old]) >= refusalsWithin {
		old++
	}
	calls.refused = append(slices.Delete(calls.refused, 0, old), now)
	return len(calls.refused) >= most
}
