package work

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"context"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
)

func childDir() string { return os.Getenv("CONDUIT_WORK_TEST_CHILD") }

// child is a process that works on a database until it is killed.
func child(dir string) {
	ctx := context.Background()
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.Open(ctx, store.Options{Path: filepath.Join(dir, "conduit.db"), Exclusive: true, Logger: quiet})
	if err != nil {
		panic(err)
	}
	svc := task.NewService(db, task.Options{Logger: quiet})
	f := newFake()
	f.script = []provider.Update{at(10)}
	w, err := New(db.Driver(), Options{Service: svc, Providers: []provider.Provider{askable{f}}, Media: newMemory(), Alone: true, Logger: quiet})
	if err != nil {
		panic(err)
	}
	if err := w.Start(ctx); err != nil {
		panic(err)
	}
	t, _, err := svc.Submit(ctx, request)
	if err != nil {
		panic(err)
	}
	fmt.Println(t.ID)
	select {}
}

// TestKilled kills a process in the middle of a task, really.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "CONDUIT_WORK_TEST_CHILD="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(line)

	f := newFake()
	in := rig(t, setup{path: filepath.Join(dir, "conduit.db"), provider: askable{f}, work: Options{Alone: true}, idle: true})
	if _, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "conduit.db"), Exclusive: true}); err == nil {
		t.Error("two servers may have the database")
	}
	rec := in.wait(id, "at 10", func(r task.Record) bool { return r.Progress == 10 })
	f.add(rec.ProviderTaskID, rec.Intent) // the provider lives on
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if left, err := store.Open(t.Context(), store.Options{Path: filepath.Join(dir, "conduit.db"), Exclusive: true}); err != nil {
		t.Errorf("the dead process still has the database: %v", err)
	} else if err := left.Close(); err != nil {
		t.Error(err)
	}

	in.start()
	f.say(rec.ProviderTaskID, at(50), done)
	rec = in.waitState(id, task.Completed)
	if rec.Attempt != 2 || f.numSubmits() != 0 {
		t.Errorf("attempt %d, submits %v", rec.Attempt, locked(&f.mu, &f.submits))
	}
	in.events(id)
}
