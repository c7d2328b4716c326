package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Path: path})
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

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s := openAt(t, filepath.Join(t.TempDir(), "a b?%20", "conduit.db"))
	svc := task.NewService(s, task.Options{})
	at := time.Now()
	tk, created, err := svc.Submit(ctx, task.Request{KeyID: "k", Kind: task.Video, Provider: "local", Prompt: "x", IdempotencyKey: "a", RequestHash: "h"})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	run, err := svc.Start(ctx, tk.ID, "me")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := run.Report(ctx, task.Progress{Percent: float64(i)}); err != nil {
			t.Fatal(err)
		}
		if err := run.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Complete(ctx, []task.Output{{MediaKey: "a/b"}}); err != nil {
		t.Fatal(err)
	}
	if err := run.Complete(ctx, nil); !errors.Is(err, task.ErrFenced) {
		t.Fatal(err)
	}
	ev, err := svc.Events(ctx, "k", tk.ID, 0)
	t.Log(len(ev), err, time.Since(at))
	tk, err = svc.Get(ctx, "k", tk.ID)
	t.Logf("%+v %v", tk, err)
	if _, err := svc.Sweep(ctx, nil); err != nil {
		t.Fatal(err)
	}
}
