package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/knnlabs/conduit/internal/key"
)

const keyColumns = "id, name, display, hash, scopes, created_at, expires_at, revoked_at, used_at"

func scanKey(r row) (key.Key, error) {
	var (
		k                               key.Key
		hash                            []byte
		scopes                          string
		created, expires, revoked, used sql.NullInt64
	)
	if err := r.Scan(&k.ID, &k.Name, &k.Display, &hash, &scopes, &created, &expires, &revoked, &used); err != nil {
		return key.Key{}, err
	}
	copy(k.Hash[:], hash)
	for _, sc := range strings.Fields(scopes) {
		k.Scopes = append(k.Scopes, key.Scope(sc))
	}
	k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt = timeOf(created), timeOf(expires), timeOf(revoked), timeOf(used)
	return k, nil
}

// nextVersion raises the change counter within tx.
func nextVersion(ctx context.Context, tx *sql.Tx) (v int64, err error) {
	err = tx.QueryRowContext(ctx, `UPDATE key_changes SET version = version + 1 WHERE only = 1 RETURNING version`).Scan(&v)
	return v, err
}

// CreateKey implements key.Store.
func (s *Store) CreateKey(ctx context.Context, k key.Key) error {
	scopes := make([]string, len(k.Scopes))
	for i, sc := range k.Scopes {
		scopes[i] = string(sc)
	}
	return s.inTx(ctx, func(tx *sql.Tx) error {
		v, err := nextVersion(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO virtual_keys (`+keyColumns+`, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.ID, k.Name, k.Display, k.Hash[:], strings.Join(scopes, " "),
			stamp(k.CreatedAt), stamp(k.ExpiresAt), stamp(k.RevokedAt), stamp(k.LastUsedAt), v)
		return err
	})
}

// KeyByHash implements key.Store.
func (s *Store) KeyByHash(ctx context.Context, h key.Hash) (key.Key, error) {
	return keyOf(scanKey(s.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM virtual_keys WHERE hash = ?`, h[:])))
}

// KeyByID implements key.Store.
func (s *Store) KeyByID(ctx context.Context, id string) (key.Key, error) {
	return keyOf(scanKey(s.read.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM virtual_keys WHERE id = ?`, id)))
}

// keyOf turns a missing row into key.ErrNotFound.
func keyOf[T any](v T, err error) (T, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return v, key.ErrNotFound
	}
	return v, wrap(err)
}

// ListKeys implements key.Store.
func (s *Store) ListKeys(ctx context.Context) ([]key.Key, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+keyColumns+` FROM virtual_keys ORDER BY num`)
	if err != nil {
		return nil, wrap(err)
	}
	return collect(rows, scanKey)
}

// RevokeKey implements key.Store.
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		var revoked sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT revoked_at FROM virtual_keys WHERE id = ?`, id).Scan(&revoked)
		if errors.Is(err, sql.ErrNoRows) {
			return key.ErrNotFound
		}
		if err != nil {
			return err
		}
		for _, table := range []string{"console_sessions", "login_codes"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE key_id = ?`, id); err != nil {
				return err
			}
		}
		if revoked.Valid {
			return nil
		}
		v, err := nextVersion(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE virtual_keys SET revoked_at = ?, version = ? WHERE id = ?`, stamp(at), v, id)
		return err
	})
}

// TouchKeys implements key.Store.
func (s *Store) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		for id, at := range used {
			_, err := tx.ExecContext(ctx, `UPDATE virtual_keys SET used_at = ? WHERE id = ? AND coalesce(used_at, 0) < ?`, stamp(at), id, stamp(at))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// KeyVersion implements key.Store.
func (s *Store) KeyVersion(ctx context.Context) (v int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT version FROM key_changes WHERE only = 1`).Scan(&v)
	return v, wrap(err)
}

// KeysChangedSince implements key.Store.
func (s *Store) KeysChangedSince(ctx context.Context, version int64) ([]key.Key, int64, error) {
	tx, err := s.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, 0, wrap(err)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	var v int64
	if err := tx.QueryRowContext(ctx, `SELECT version FROM key_changes WHERE only = 1`).Scan(&v); err != nil {
		return nil, 0, wrap(err)
	}
	rows, err := tx.QueryContext(ctx, `SELECT `+keyColumns+` FROM virtual_keys WHERE version > ? ORDER BY version`, version)
	if err != nil {
		return nil, 0, wrap(err)
	}
	keys, err := collect(rows, scanKey)
	return keys, v, err
}

// CreateSession implements key.Store. A key that is not there is ErrNotFound.
func (s *Store) CreateSession(ctx context.Context, x key.Session) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO console_sessions (hash, key_id, created_at, expires_at) VALUES (?, ?, ?, ?)`,
		x.Hash[:], x.KeyID, stamp(x.CreatedAt), stamp(x.ExpiresAt))
	return ofKey(err)
}

// ofKey turns a missing key into key.ErrNotFound.
func ofKey(err error) error {
	if violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) {
		return key.ErrNotFound
	}
	return wrap(err)
}

// SessionByHash implements key.Store.
func (s *Store) SessionByHash(ctx context.Context, h key.Hash) (key.Session, error) {
	x := key.Session{Hash: h}
	var created, expires sql.NullInt64
	err := s.read.QueryRowContext(ctx, `SELECT key_id, created_at, expires_at FROM console_sessions WHERE hash = ?`, h[:]).
		Scan(&x.KeyID, &created, &expires)
	if err != nil {
		return keyOf(key.Session{}, err)
	}
	x.CreatedAt, x.ExpiresAt = timeOf(created), timeOf(expires)
	return x, nil
}

// DeleteSession implements key.Store.
func (s *Store) DeleteSession(ctx context.Context, h key.Hash) error {
	_, err := s.write.ExecContext(ctx, `DELETE FROM console_sessions WHERE hash = ?`, h[:])
	return wrap(err)
}

// CreateLoginCode implements key.Store. A key that is not there is ErrNotFound.
func (s *Store) CreateLoginCode(ctx context.Context, c key.LoginCode) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO login_codes (hash, key_id, expires_at) VALUES (?, ?, ?)`,
		c.Hash[:], c.KeyID, stamp(c.ExpiresAt))
	return ofKey(err)
}

// UseLoginCode implements key.Store.
func (s *Store) UseLoginCode(ctx context.Context, h key.Hash, now time.Time) (key.LoginCode, error) {
	c := key.LoginCode{Hash: h}
	var expires sql.NullInt64
	err := s.write.QueryRowContext(ctx, `DELETE FROM login_codes WHERE hash = ? RETURNING key_id, expires_at`, h[:]).
		Scan(&c.KeyID, &expires)
	if err != nil {
		return keyOf(key.LoginCode{}, err)
	}
	c.ExpiresAt = timeOf(expires)
	if !now.Before(c.ExpiresAt) {
		return key.LoginCode{}, key.ErrNotFound
	}
	return c, nil
}

// DeleteExpired implements key.Store.
func (s *Store) DeleteExpired(ctx context.Context, now time.Time) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"console_sessions", "login_codes"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE expires_at <= ?`, stamp(now)); err != nil {
				return err
			}
		}
		return nil
	})
}
