package push

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("CONDUIT_PUSH_TEST_WORKER"); dir != "" {
		doomed(dir)
	}
	goleak.VerifyTestMain(m)
}

func openStore(ctx context.Context, dir string) (*store.Store, error) {
	return store.Open(ctx, store.Options{Path: filepath.Join(dir, "conduit.db"), Logger: slog.New(slog.DiscardHandler)})
}

var unhurried = task.Options{Logger: slog.New(slog.DiscardHandler), ProgressEvery: time.Nanosecond}

// doomed is a worker's process. It is killed, as by kill -9, while the first
// publisher is being told of the task's end: after the commit, before anybody
// else hears of it.
func doomed(dir string) {
	ctx := context.Background()
	fatal := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	db, err := openStore(ctx, dir)
	fatal(err)
	s := task.NewService(db, unhurried)
	s.AddPublisher(killer{})
	id, end := os.Getenv("CONDUIT_PUSH_TEST_TASK"), os.Getenv("CONDUIT_PUSH_TEST_END")
	run, err := s.Start(ctx, id, "worker")
	fatal(err)
	_, err = run.Report(ctx, task.Progress{Percent: 50, Source: "native"})
	fatal(err)
	switch task.EventName(end) {
	case task.EventCompleted:
		err = run.Complete(ctx, []task.Output{{MediaKey: "k/0.webm", Format: "webm"}})
	case task.EventFailed:
		err = run.Fail(ctx, task.Failure{Code: "content_policy", Message: "No."})
	default:
		_, err = s.Cancel(ctx, "mine", id)
	}
	fatal(err)
	select {} // the kill is on its way
}

type killer struct{}

func (killer) Publish(_ context.Context, e task.Event) error {
	if e.Name.Terminal() {
		p, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			return err
		}
		select {}
	}
	return nil
}

// On the real store: a worker's process is killed between the commit of a
// task's end and its publication. The watchers of another process get the end
// all the same.
func TestWorkerDiesBetweenCommitAndPublish(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := openStore(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	here := task.NewService(db, unhurried)
	h := newHubs(t, here, func(o *Options) { o.RepairEvery = 10 * time.Millisecond })
	here.AddPublisher(h)
	defer run(t, h)()

	for _, end := range []task.EventName{task.EventCompleted, task.EventFailed, task.EventCancelled} {
		made, _, err := here.Submit(ctx, task.Request{KeyID: "mine", Kind: task.Video, Model: "local-video", Provider: "local", Prompt: "a paper boat",
			Width: 64, Height: 64, Duration: 1, FPS: 10, N: 1, BaseURL: "http://gw.example"})
		if err != nil {
			t.Fatal(err)
		}
		c, foreign := connect(t, h, mine), connect(t, h, other)
		call(t, c, "SubscribeToTask", made.ID)
		wantNext(t, c, "Progress 1")
		wantError(t, foreign, "no such task", "SubscribeToTask", made.ID)

		worker := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
		worker.Env = append(os.Environ(), "CONDUIT_PUSH_TEST_WORKER="+dir, "CONDUIT_PUSH_TEST_TASK="+made.ID, "CONDUIT_PUSH_TEST_END="+string(end))
		if out, err := worker.CombinedOutput(); err == nil || worker.ProcessState.Exited() {
			t.Fatalf("the worker was not killed: %v, %s", err, out)
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
