package push

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
)

// On the real store: one process works and dies between a commit and its
// publish, the watchers of another get every end all the same.
func TestWorkerDiesBetweenCommitAndPublish(t *testing.T) {
	ctx := t.Context()
	db, err := store.Open(ctx, store.Options{Path: filepath.Join(t.TempDir(), "conduit.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	quiet := task.Options{Logger: slog.New(slog.DiscardHandler), ProgressEvery: time.Nanosecond}
	worker := task.NewService(db, quiet) // publishes to nobody: what it stores is as good as unpublished
	here := task.NewService(db, quiet)
	h := newHubs(t, here, func(o *Options) { o.RepairEvery = 10 * time.Millisecond })
	here.AddPublisher(h)
	defer run(t, h)()

	request := task.Request{KeyID: "mine", Kind: task.Video, Model: "local-video", Provider: "local", Prompt: "a paper boat",
		Width: 64, Height: 64, Duration: 1, FPS: 10, N: 1, BaseURL: "http://gw.example"}
	ends := map[task.EventName]func(context.Context, *task.Run) error{
		task.EventCompleted: func(ctx context.Context, r *task.Run) error {
			return r.Complete(ctx, []task.Output{{MediaKey: "k/0.webm", Format: "webm"}})
		},
		task.EventFailed: func(ctx context.Context, r *task.Run) error {
			return r.Fail(ctx, task.Failure{Code: "content_policy", Message: "No."})
		},
		task.EventCancelled: func(ctx context.Context, r *task.Run) error {
			_, err := worker.Cancel(ctx, "mine", r.Record().ID)
			return err
		},
	}
	for end, finish := range ends {
		made, _, err := here.Submit(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		c, foreign := connect(t, h, mine), connect(t, h, other)
		call(t, c, "SubscribeToTask", made.ID)
		wantNext(t, c, "Progress 1")
		wantError(t, foreign, "no such task", "SubscribeToTask", made.ID)

		work, err := worker.Start(ctx, made.ID, "worker")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := work.Report(ctx, task.Progress{Percent: 50, Source: "native"}); err != nil {
			t.Fatal(err)
		}
		if err := finish(ctx, work); err != nil {
			t.Fatal(err)
		}
		last := int64(1)
		for {
			m := c.Next()
			var e event
			if err := m.Decode(&e); err != nil {
				t.Fatal(err)
			}
			if e.Sequence <= last {
				t.Errorf("%d came after %d", e.Sequence, last)
			}
			last = e.Sequence
			if task.EventName(m.Name).Terminal() {
				if m.Name != string(end) {
					t.Errorf("got %s, want %s", m.Name, end)
				}
				break
			}
		}
		wantNothing(t, foreign)
	}
}
