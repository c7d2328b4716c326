package store

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// TestFull lets the database grow no further, which SQLite reports like a
// full disk, and then lets it grow again.
func TestFull(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "conduit.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	svc := task.NewService(s, task.Options{Logger: slog.New(slog.DiscardHandler)})
	q := task.Request{KeyID: "k", Kind: task.Video, Provider: "local", Prompt: strings.Repeat("x", 30_000)}
	before, _, err := svc.Submit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil { // the size that it has
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err = svc.Submit(t.Context(), q); err != nil {
			break
		}
	}
	if !errors.Is(err, task.ErrFull) {
		t.Errorf("submit: %v", err)
	}
	if _, err := svc.Get(t.Context(), "k", before.ID); err != nil {
		t.Errorf("reading: %v", err)
	}
	if err := s.CreateKey(t.Context(), key.Key{ID: "key_1", Name: strings.Repeat("x", 100_000), CreatedAt: before.CreatedAt}); !errors.Is(err, key.ErrFull) {
		t.Errorf("key: %v", err)
	}
	if _, err := s.write.ExecContext(t.Context(), "PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := svc.Submit(t.Context(), q); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestAway has another process keep the database to itself.
func TestAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conduit.db")
	quiet := slog.New(slog.DiscardHandler)
	s, err := Open(t.Context(), Options{Path: path, BusyTimeout: 50 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), Options{Path: path, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(s.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	}()
	tx, err := other.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	svc := task.NewService(s, task.Options{Logger: quiet})
	q := task.Request{KeyID: "k", Kind: task.Video, Provider: "local"}
	if _, _, err := svc.Submit(t.Context(), q); !errors.Is(err, task.ErrUnavailable) {
		t.Errorf("submit: %v", err)
	}
	if _, err := svc.List(t.Context(), "k", task.ListQuery{}); err != nil {
		t.Errorf("reading goes on: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := svc.Submit(t.Context(), q); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// What was answered survives a power cut: each commit is on the disk.
func TestCommitsAreSynced(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "conduit.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var mode string
	var synchronous int
	err = errors.Join(s.write.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode),
		s.write.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&synchronous), s.Close())
	if full := 2; err != nil || mode != "wal" || synchronous != full {
		t.Errorf("journal_mode %s, synchronous %d, %v", mode, synchronous, err)
	}
}
