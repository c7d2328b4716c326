package key

import (
	"context"
	"time"
)

// Store keeps keys, console sessions and login codes. All methods may be
// called at the same time, also by another process on the same database
// (`conduit keys` beside a running server). Times are UTC and keep at least
// milliseconds; a zero time stays zero. A missing row is ErrNotFound, a
// database without room ErrFull; every other error means that it did not answer.
//
// The change counter counts what happens to keys: CreateKey and RevokeKey
// raise it by one in their own transaction and write the new value into the
// key's row. It never goes back. TouchKeys does not raise it.
type Store interface {
	// CreateKey stores a new key.
	CreateKey(ctx context.Context, k Key) error
	// KeyByHash finds a key by the hash of its secret, revoked and expired
	// ones included.
	KeyByHash(ctx context.Context, h Hash) (Key, error)
	// KeyByID finds a key by its id, revoked and expired ones included.
	KeyByID(ctx context.Context, id string) (Key, error)
	// ListKeys returns every key, oldest first.
	ListKeys(ctx context.Context) ([]Key, error)
	// RevokeKey takes a key back and ends its sessions and login codes. A key
	// that was revoked before keeps its time, and the counter stays.
	RevokeKey(ctx context.Context, id string, at time.Time) error
	// TouchKeys notes when keys were used last, by id; a stored later time
	// stays. Unknown ids are passed over.
	TouchKeys(ctx context.Context, used map[string]time.Time) error

	// KeyVersion reads the change counter; 0 when there never was a key.
	KeyVersion(ctx context.Context) (int64, error)
	// KeysChangedSince returns the keys whose row was written at a counter
	// above version, and the counter as of the same snapshot. Version 0
	// returns all.
	KeysChangedSince(ctx context.Context, version int64) ([]Key, int64, error)

	// CreateSession stores a console session.
	CreateSession(ctx context.Context, s Session) error
	// SessionByHash finds a session, expired ones included.
	SessionByHash(ctx context.Context, h Hash) (Session, error)
	// DeleteSession ends a session; an unknown one is no error.
	DeleteSession(ctx context.Context, h Hash) error

	// CreateLoginCode stores a one-time code.
	CreateLoginCode(ctx context.Context, c LoginCode) error
	// UseLoginCode takes a code out, in one statement, so that of two callers
	// one gets it. Unknown, used and expired (ExpiresAt <= now) codes are
	// ErrNotFound.
	UseLoginCode(ctx context.Context, h Hash, now time.Time) (LoginCode, error)

	// DeleteExpired clears sessions and login codes whose ExpiresAt <= now.
	DeleteExpired(ctx context.Context, now time.Time) error
}
