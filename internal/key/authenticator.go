package key

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// AuthenticatorOptions configure an Authenticator.
type AuthenticatorOptions struct {
	Store Store // required

	// PublicURL is the address under which browsers reach us, such as
	// "https://media.example"; "" takes each request's own scheme and host.
	PublicURL string

	// WriteError answers refused requests; nil is the package's WriteError.
	WriteError ErrorWriter

	// QueryToken reports whether access_token may be read from the query of a
	// request to path. nil is TokenPath: hubs and event streams.
	QueryToken func(path string) bool

	// Logger; nil discards.
	Logger *slog.Logger
}

// Authenticator turns a request's credential into a Principal. It is safe for
// concurrent use.
//
// Lookups are cached. Before a cached key counts, the store's change counter
// has been read within the last half second, so that a key which is revoked,
// by whatever process, stops counting within that time. When the database
// does not answer, requests get 503.
type Authenticator struct {
	o   AuthenticatorOptions
	log *slog.Logger

	mu      sync.Mutex
	cache   map[Hash]Key
	version int64
	checked time.Time            // when version was read last
	used    map[string]time.Time // by key id, since the last flush
}

const (
	cacheFresh = 500 * time.Millisecond
	cacheSize  = 10_000 // keys; a fuller cache starts anew
)

// NewAuthenticator panics without a Store.
func NewAuthenticator(o AuthenticatorOptions) *Authenticator {
	if o.Store == nil {
		panic("key: AuthenticatorOptions.Store is required")
	}
	if o.WriteError == nil {
		o.WriteError = WriteError
	}
	if o.QueryToken == nil {
		o.QueryToken = TokenPath
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Authenticator{o: o, log: o.Logger, cache: map[Hash]Key{}, used: map[string]time.Time{}}
}

// Middleware lets requests with a valid credential through, with their
// Principal in the context, and answers all others with 401
// (invalid_api_key, expired_api_key), or 503 without a database. Routes that
// serve anybody are mounted without it. What the key may do is checked by
// Require.
func (a *Authenticator) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, e := a.Authenticate(r)
		if e != nil {
			a.o.WriteError(w, r, e)
			return
		}
		ctx := WithPrincipal(r.Context(), p)
		next.ServeHTTP(w, r.WithContext(withWriter(ctx, a.o.WriteError)))
	})
}

// Require lets requests through whose Principal has at least one of scopes;
// without scopes any Principal will do. Others are answered with 403
// insufficient_scope, and requests without a Principal with 401. Errors are
// written by the ErrorWriter of the Authenticator in front.
func Require(scopes ...Scope) func(http.Handler) http.Handler {
	scopes = slices.Clone(scopes)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, ok := FromContext(r.Context())
			switch {
			case !ok:
				writerOf(r.Context())(w, r, errMissing())
			case len(scopes) > 0 && !slices.ContainsFunc(scopes, p.Has):
				writerOf(r.Context())(w, r, errScope(scopes))
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

// Authenticate finds out who asks. A key in the request wins over the
// console's cookie, also when it is wrong.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, *Error) {
	token, given, malformed := tokenOf(r, a.o.QueryToken(r.URL.Path))
	switch {
	case malformed:
		return Principal{}, errInvalid()
	case given:
		k, e := a.byToken(r.Context(), token)
		if e != nil {
			return Principal{}, e
		}
		a.touch(k.ID)
		return Principal{KeyID: k.ID, Scopes: k.Scopes, ExpiresAt: k.ExpiresAt}, nil
	}
	if p, e, ok := a.bySession(r); ok {
		return p, e
	}
	return Principal{}, errMissing()
}

func (a *Authenticator) byToken(ctx context.Context, token string) (Key, *Error) {
	h := HashOf(token)
	k, err := a.lookup(ctx, h)
	switch {
	case errors.Is(err, ErrNotFound):
		return Key{}, errInvalid()
	case err != nil:
		return Key{}, a.unavailable(ctx, err)
	}
	return k, check(k, time.Now())
}

// check is nil when k counts at now.
func check(k Key, now time.Time) *Error {
	switch {
	case k.Revoked():
		return errInvalid()
	case k.Expired(now):
		return errExpired()
	}
	return nil
}

// lookup finds a key in the cache, as long as the change counter says that it
// is still right, or in the store.
func (a *Authenticator) lookup(ctx context.Context, h Hash) (Key, error) {
	now := time.Now()
	a.mu.Lock()
	k, ok := a.cache[h]
	fresh := now.Sub(a.checked) < cacheFresh
	a.mu.Unlock()
	if ok && fresh {
		return k, nil
	}
	// The counter is read before the key: a change in between makes the entry
	// look older than it is, never newer.
	v, err := a.o.Store.KeyVersion(ctx)
	if err != nil {
		return Key{}, err
	}
	a.mu.Lock()
	if v > a.version {
		clear(a.cache)
		a.version = v
	}
	if v == a.version && now.After(a.checked) {
		a.checked = now
	}
	k, ok = a.cache[h]
	a.mu.Unlock()
	if ok {
		return k, nil
	}
	k, err = a.o.Store.KeyByHash(ctx, h)
	if err != nil {
		return Key{}, err // unknown keys are not kept: anybody can make them up
	}
	a.mu.Lock()
	if a.version == v {
		if len(a.cache) >= cacheSize {
			clear(a.cache)
		}
		a.cache[h] = k
	}
	a.mu.Unlock()
	return k, nil
}

// Recheck makes the next lookup read the change counter, so that a key that
// Watch has found lost does not come back in what is left of the half second.
func (a *Authenticator) Recheck() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checked = time.Time{}
}

func (a *Authenticator) unavailable(ctx context.Context, err error) *Error {
	if ctx.Err() == nil {
		a.log.Error("a key or a session could not be read or written", "error", err)
	}
	if errors.Is(err, ErrFull) {
		return errFull()
	}
	return errUnavailable()
}

func (a *Authenticator) touch(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used[id] = time.Now().UTC()
}
