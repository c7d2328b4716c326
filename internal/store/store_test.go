package store_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/store/storetest"
	"github.com/knnlabs/conduit/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		path := filepath.Join(t.TempDir(), "a b?%20#", "conduit.db")
		return func() storetest.Store { return open(t, store.Options{Path: path}) }
	})
}

func TestExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conduit.db")
	first, err := store.Open(t.Context(), store.Options{Path: path, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	if !first.Exclusive() {
		t.Error("it is not exclusive")
	}
	if _, err := store.Open(t.Context(), store.Options{Path: path, Exclusive: true}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second server: %v", err)
	}
	beside := open(t, store.Options{Path: path}) // `conduit keys`
	if err := beside.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if !open(t, store.Options{Path: path, Exclusive: true}).Exclusive() {
		t.Error("it is not exclusive")
	}
}

// TestOpenAtOnce opens a new file several times at the same time.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conduit.db")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), store.Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(s.Ping(t.Context()), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "conduit.db")
	open(t, store.Options{Path: path})
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, fi.Mode(), err)
		}
	}
}

func TestUnavailable(t *testing.T) {
	dir := t.TempDir()
	notAFolder := filepath.Join(dir, "file")
	if err := os.WriteFile(notAFolder, []byte("not a database, but a text that is long enough to be read as one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Options{Path: filepath.Join(notAFolder, "conduit.db")}); err == nil {
		t.Error("opened below a file")
	}
	if _, err := store.Open(t.Context(), store.Options{Path: notAFolder}); !errors.Is(err, task.ErrUnavailable) {
		t.Errorf("opened what is no database: %v", err)
	}
	s, err := store.Open(context.Background(), store.Options{Path: filepath.Join(dir, "conduit.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, task.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if _, err := s.Get(t.Context(), "x"); !errors.Is(err, task.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, err := task.NewService(s, task.Options{}).Sweep(t.Context(), nil); !errors.Is(err, task.ErrUnavailable) {
		t.Errorf("sweep: %v", err)
	}
}
