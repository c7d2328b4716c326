// Package key is virtual keys: making, hashing, looking up, scopes, limits,
// console sessions, and the net/http middleware that turns a request's
// credential into a Principal.
package key

import (
	"context"
	"slices"
	"time"
)

// Scope is one permission.
type Scope string

// The scopes.
const (
	ScopeVideo      Scope = "video"
	ScopeImage      Scope = "image"
	ScopeNavigation Scope = "navigation"
	ScopeAdmin      Scope = "admin"
)

// Principal is who a request acts for: not a key, so that narrower
// credentials fit later.
type Principal struct {
	KeyID     string
	Scopes    []Scope
	TaskID    string    // "" = every task of the key
	ExpiresAt time.Time // zero = never
	SessionID string    // console session that carried the request; "" for a bearer key
}

// Has reports whether p may do what s stands for.
func (p Principal) Has(s Scope) bool { return slices.Contains(p.Scopes, s) }

type principalKey struct{}

// WithPrincipal puts p into the context.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext returns the principal that the middleware put in.
func FromContext(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}
