package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// hold takes a lock that the operating system takes back when the process
// dies: an exclusive transaction on an otherwise empty SQLite file, because
// SQLite knows how to lock a file on every system that it runs on. Closing
// the result lets go. After wait it gives up with ErrInUse.
func hold(ctx context.Context, path string, wait time.Duration) (*sql.DB, error) {
	if _, err := prepare(path); err != nil {
		return nil, wrap(fmt.Errorf("store: %w", err))
	}
	db, err := open(path, wait, 1)
	if err != nil {
		return nil, err
	}
	// An empty file would be written to, which a full disk does not allow; with
	// one page in it, locking takes no room.
	_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS page (x)")
	if err == nil {
		_, err = db.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if err != nil {
		_ = db.Close() // nothing was written
		var e *sqlite.Error
		if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY {
			return nil, fmt.Errorf("%w (%s is locked)", ErrInUse, path)
		}
		return nil, wrap(fmt.Errorf("store: lock %s: %w", path, err))
	}
	return db, nil
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
