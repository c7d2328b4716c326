package key

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Prefix begins every virtual key, so that a leaked one is recognized.
const Prefix = "condt_"

// MaxName is the longest name of a key, in characters (rest-api A.5).
const MaxName = 100

const (
	secretBytes   = 32 // random bytes in a key, a session token and a login code
	displayLength = len(Prefix) + 6
)

// Hash is the SHA-256 of a secret. Secrets are 256 random bits, so a plain
// hash is enough: there is nothing to guess.
type Hash [sha256.Size]byte

// HashOf hashes a key, a session token or a login code.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// Key is a virtual key as stored. The key itself is shown once, when it is
// made, and never kept.
type Key struct {
	ID         string // "key_" + 16 hexadecimal digits
	Name       string // for people; 1 to MaxName characters
	Display    string // the first characters of the key, to recognize it by
	Hash       Hash
	Scopes     []Scope
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: not revoked
	LastUsedAt time.Time // zero: never; coarse, written about once a minute
}

// Revoked reports whether k was taken back.
func (k Key) Revoked() bool { return !k.RevokedAt.IsZero() }

// Expired reports whether k's time is over at now.
func (k Key) Expired(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt)
}

// Usable reports whether k counts at now.
func (k Key) Usable(now time.Time) bool { return !k.Revoked() && !k.Expired(now) }

// Session is a signed-in console. Its token lives in the browser's cookie,
// its hash here.
type Session struct {
	Hash      Hash
	KeyID     string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// LoginCode signs a console in once, in place of the key.
type LoginCode struct {
	Hash      Hash
	KeyID     string
	ExpiresAt time.Time
}

// Errors of Store and of the functions that use it.
var (
	ErrNotFound = errors.New("key: no such key, session or code")
	ErrInvalid  = errors.New("key: invalid")
	ErrFull     = errors.New("key: no room left")
)

// Options describes a key to be made.
type Options struct {
	Name      string
	Scopes    []Scope   // at least one
	ExpiresAt time.Time // zero: never
}

// New makes a virtual key and returns it with its secret, which is kept
// nowhere else. It does not store the key. An impossible option is an error
// that wraps ErrInvalid.
func New(o Options) (k Key, secret string, err error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	name := strings.TrimSpace(o.Name)
	switch {
	case name == "":
		return Key{}, "", fmt.Errorf("%w: a key needs a name", ErrInvalid)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return Key{}, "", fmt.Errorf("%w: the name holds characters that cannot be shown", ErrInvalid)
	case utf8.RuneCountInString(name) > MaxName:
		return Key{}, "", fmt.Errorf("%w: the name has %d characters, %d are allowed", ErrInvalid, utf8.RuneCountInString(name), MaxName)
	case !o.ExpiresAt.IsZero() && !o.ExpiresAt.After(now):
		return Key{}, "", fmt.Errorf("%w: the key would have expired already", ErrInvalid)
	}
	scopes, err := ParseScopes(o.Scopes...)
	if err != nil {
		return Key{}, "", err
	}
	secret = Prefix + random()
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	k = Key{
		ID:        "key_" + hex.EncodeToString(id),
		Name:      name,
		Display:   secret[:displayLength],
		Hash:      HashOf(secret),
		Scopes:    scopes,
		CreatedAt: now,
	}
	if !o.ExpiresAt.IsZero() {
		k.ExpiresAt = o.ExpiresAt.UTC()
	}
	return k, secret, nil
}

// AllScopes are the scopes that a key may have.
func AllScopes() []Scope {
	return []Scope{ScopeVideo, ScopeImage, ScopeNavigation, ScopeAdmin}
}

// DefaultScopes are what a key may do when nothing is said: everything but
// administration.
func DefaultScopes() []Scope {
	return []Scope{ScopeVideo, ScopeImage, ScopeNavigation}
}

// ParseScopes checks scopes, folds case, and drops duplicates. None at all,
// or an unknown one, is an error that wraps ErrInvalid.
func ParseScopes(in ...Scope) ([]Scope, error) {
	var out []Scope
	for _, s := range in {
		s = Scope(strings.ToLower(strings.TrimSpace(string(s))))
		if !slices.Contains(AllScopes(), s) {
			return nil, fmt.Errorf("%w: unknown scope %q; there are video, image, navigation and admin", ErrInvalid, s)
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: a key needs at least one scope: video, image, navigation or admin", ErrInvalid)
	}
	return out, nil
}

// random is 32 random bytes as base64url without padding, 43 characters.
func random() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}
