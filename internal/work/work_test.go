package work

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river/riverdriver"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

func TestReindexed(t *testing.T) {
	if got := reindexed(riverdriver.DatabaseNameSQLite); got == nil || len(got) != 0 {
		t.Errorf("SQLite: %v", got)
	}
	if got := reindexed(riverdriver.DatabaseNamePostgres); got != nil {
		t.Errorf("PostgreSQL: %v", got)
	}
}

func TestCompletes(t *testing.T) {
	f, m := newFake(), newMemory()
	f.script = []provider.Update{at(0), at(10.9), at(50), done}
	in := rig(t, setup{provider: f, media: m})
	id := in.submit().ID
	rec := in.waitState(id, task.Completed)

	want := []task.Output{{MediaKey: id + "/1-0.webm", ContentType: "video/webm", Format: "webm", Codec: "vp8",
		Bytes: int64(len("result of p:" + id + "-1")), SHA256: rec.Outputs[0].SHA256, Width: 16, Height: 16, FPS: 10, Duration: 1}}
	if d := cmp.Diff(want, rec.Outputs); d != "" {
		t.Error(d)
	}
	if rec.Progress != 100 || rec.Attempt != 1 || rec.CompletedAt == nil || rec.Owner != "" {
		t.Errorf("%+v", rec)
	}
	es := in.events(id)
	if last := es[len(es)-1]; last.Name != task.EventCompleted {
		t.Errorf("last event %+v", last)
	}
	f.wait(t, "told to let go", func() bool { return len(f.releases) == 1 })
	if len(f.cancels) != 0 {
		t.Errorf("cancelled %v", f.cancels)
	}
	in.wait(id, "tidy", func(r task.Record) bool { return r.TidyAt == nil })
	if err := in.svc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	published := in.log.of(id)
	for i := range published { // whose they are is for publishers only
		if published[i].KeyID != rec.KeyID {
			t.Errorf("event %d is of key %q", i, published[i].KeyID)
		}
		published[i].KeyID = ""
	}
	if d := cmp.Diff(es, published); d != "" {
		t.Errorf("stored and published differ: %s", d)
	}
}
