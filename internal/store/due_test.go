package store_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
)

// A job that was taken, but whose task was not started, counts as lost after
// the time of a lease; where the process that took it is surely dead, at once.
// When it was taken is River's own writing.
func TestTakenJobIsLost(t *testing.T) {
	s := open(t, store.Options{Path: filepath.Join(t.TempDir(), "conduit.db")})
	quiet := slog.New(slog.DiscardHandler)
	x, _, err := task.NewService(s, task.Options{Logger: quiet}).Submit(t.Context(), task.Request{KeyID: "k", Kind: task.Video, Provider: "local", Prompt: "x"})
	if err != nil {
		t.Fatal(err)
	}
	taken, release := make(chan struct{}), make(chan struct{})
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[task.Job]) error {
		close(taken)
		<-release
		return nil
	}))
	before := time.Now()
	jobs, err := river.NewClient(s.Driver(), &river.Config{
		Queues: map[string]river.QueueConfig{"local": {MaxWorkers: 1}}, Workers: workers, Logger: quiet, ReindexerIndexNames: []string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := jobs.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		close(release)
		if err := jobs.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	<-taken
	after := time.Now()
	due := func(now time.Time, alone *task.Alone) bool {
		t.Helper()
		d, err := s.Due(t.Context(), now, 15*time.Second, alone)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(d.Queue, x.ID)
	}
	if due(before.Add(14*time.Second), nil) || due(after, &task.Alone{Owner: "w", Since: before.Add(-time.Second)}) {
		t.Error("it is lost at once")
	}
	if !due(after.Add(16*time.Second), nil) {
		t.Error("it is not lost after the time of a lease")
	}
	if !due(after, &task.Alone{Owner: "w", Since: after.Add(time.Second)}) {
		t.Error("it is not lost to the process after the one that took it")
	}
}
