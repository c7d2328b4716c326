package work

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
)

// ended is a publisher that passes on Started events and ends.
type ended struct{ started, over chan string }

func (e ended) Publish(_ context.Context, ev task.Event) error {
	switch {
	case ev.Name == task.EventStarted:
		e.started <- ev.TaskID
	case ev.Name.Terminal():
		e.over <- ev.TaskID
	}
	return nil
}

func benchRig(b *testing.B, workers int) (*task.Service, ended) {
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "conduit.db"), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	e := ended{make(chan string, 1<<20), make(chan string, 1<<20)}
	svc := task.NewService(db, task.Options{Logger: quiet, Publishers: []task.Publisher{e}, Limits: task.Limits{Running: 1 << 20, Unfinished: 1 << 20}})
	f := newFake()
	f.script = []provider.Update{at(30), done}
	w, err := New(db.Driver(), Options{Service: svc, Providers: []provider.Provider{f}, Media: newMemory(), Logger: quiet, Alone: true, MaxWorkers: map[string]int{"fake": workers}})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.Stop(context.Background()); err != nil {
			b.Error(err)
		}
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return svc, e
}

// BenchmarkStart measures from Submit to the Started event of an idle server.
func BenchmarkStart(b *testing.B) {
	svc, e := benchRig(b, 10)
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		if _, _, err := svc.Submit(b.Context(), request); err != nil {
			b.Fatal(err)
		}
		<-e.started
		took = append(took, time.Since(begin))
		<-e.over
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}

// BenchmarkTasks measures whole tasks, submitted as fast as they are taken.
func BenchmarkTasks(b *testing.B) {
	svc, e := benchRig(b, 50)
	begin := time.Now()
	for b.Loop() {
		if _, _, err := svc.Submit(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		<-e.over
	}
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "tasks/s")
}
