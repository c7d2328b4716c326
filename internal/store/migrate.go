package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// migrate brings River's tables and ours up to date. Two processes that open
// a new file at the same time do it one after the other.
func (s *Store) migrate(ctx context.Context, path string, log *slog.Logger) error {
	lock, err := hold(ctx, path+".migrate", 30*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // nothing was written through it

	quiet := slog.New(atLeast{log.Handler(), slog.LevelWarn})
	m, err := rivermigrate.New(s.driver, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return fmt.Errorf("store: job queue's tables: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return wrap(fmt.Errorf("store: job queue's tables: %w", err))
	}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, files, goose.WithSlog(quiet))
	if err != nil {
		return wrap(fmt.Errorf("store: tables: %w", err))
	}
	if _, err := p.Up(ctx); err != nil {
		return wrap(fmt.Errorf("store: tables: %w", err))
	}
	return nil
}

// atLeast passes on records of a level and above.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
