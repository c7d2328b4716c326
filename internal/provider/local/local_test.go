package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/at-wat/ebml-go"
	ebmlwebm "github.com/at-wat/ebml-go/webm"
	"golang.org/x/image/vp8"

	"github.com/knnlabs/conduit/internal/provider"
)

func newRenderer(t testing.TB, o Options) *Renderer {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// video is a short film, n telling one from another.
func video(n int) provider.Request {
	return provider.Request{Intent: fmt.Sprint("intent ", n), Kind: provider.Video, Model: VideoModel, Prompt: "a paper boat",
		Width: 64, Height: 48, Duration: 1, FPS: 10, Seed: int64(n), N: 1}
}

func pictures(n, count int) provider.Request {
	return provider.Request{Intent: fmt.Sprint("pictures ", n), Kind: provider.Image, Model: ImageModel, Prompt: "a paper boat",
		Width: 64, Height: 48, Seed: int64(n), N: count}
}

func submit(t testing.TB, r *Renderer, q provider.Request) string {
	t.Helper()
	id, err := r.Submit(t.Context(), q)
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	return id
}

// watch collects a generation's updates to its end. It fails the test after
// two minutes.
func watch(t testing.TB, r *Renderer, id string) (updates []provider.Update) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for u, err := range r.Watch(ctx, id) {
		if err != nil {
			t.Fatalf("Watch: %v", err)
		}
		updates = append(updates, u)
	}
	return updates
}

func last(updates []provider.Update) provider.Update { return updates[len(updates)-1] }

// render runs a generation and returns its results.
func render(t testing.TB, r *Renderer, q provider.Request) [][]byte {
	t.Helper()
	id := submit(t, r, q)
	end := last(watch(t, r, id))
	if end.Phase != provider.Done {
		t.Fatalf("ended as %s: %v", end.Phase, end.Err)
	}
	var all [][]byte
	for _, o := range end.Outputs {
		all = append(all, fetch(t, r, id, o))
	}
	return all
}

func fetch(t testing.TB, r *Renderer, id string, o provider.Output) []byte {
	t.Helper()
	f, err := r.FetchOutput(t.Context(), id, o)
	if err != nil {
		t.Fatalf("FetchOutput: %v", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// left lists the files below a folder.
func left(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && p != dir {
			names = append(names, filepath.Base(p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// film is what is in a WebM file.
func film(t testing.TB, b []byte) ebmlwebm.Segment {
	t.Helper()
	var doc struct {
		Header  ebmlwebm.EBMLHeader `ebml:"EBML"`
		Segment ebmlwebm.Segment    `ebml:"Segment"`
	}
	if err := ebml.Unmarshal(bytes.NewReader(b), &doc); err != nil {
		t.Fatalf("the WebM file cannot be read: %v", err)
	}
	return doc.Segment
}

func TestVideo(t *testing.T) {
	r := newRenderer(t, Options{})
	q := video(1)
	q.Duration, q.FPS = 2, 12
	id := submit(t, r, q)
	updates := watch(t, r, id)
	end := last(updates)
	if end.Phase != provider.Done || end.Progress != 100 || end.CurrentFrame != 24 || end.TotalFrames != 24 {
		t.Fatalf("end: %+v", end)
	}
	before := -1.0
	for _, u := range updates {
		if u.Progress < before || u.Source != "native" || u.TotalFrames != 24 {
			t.Errorf("after %v %%: %+v", before, u)
		}
		if want := fmt.Sprintf("frame %d of 24", u.CurrentFrame); u.Message != want {
			t.Errorf("message %q, want %q", u.Message, want)
		}
		if want := float64(u.CurrentFrame) * 100 / 24; u.Progress != want {
			t.Errorf("frame %d at %v %%, want %v", u.CurrentFrame, u.Progress, want)
		}
		before = u.Progress
	}
	if len(end.Outputs) != 1 {
		t.Fatalf("outputs: %+v", end.Outputs)
	}
	want := provider.Output{Ref: "0.webm", ContentType: "video/webm", Format: "webm", Codec: "vp8", Width: 64, Height: 48, FPS: 12, Duration: 2}
	if end.Outputs[0] != want {
		t.Errorf("output %+v, want %+v", end.Outputs[0], want)
	}
	s := film(t, fetch(t, r, id, end.Outputs[0]))
	frames := 0
	for _, c := range s.Cluster {
		for _, b := range c.SimpleBlock {
			d := vp8.NewDecoder()
			d.Init(bytes.NewReader(b.Data[0]), len(b.Data[0]))
			head, err := d.DecodeFrameHeader()
			if err != nil || head.Width != 64 || head.Height != 48 || !head.KeyFrame {
				t.Fatalf("frame %d: %+v, %v", frames, head, err)
			}
			if _, err := d.DecodeFrame(); err != nil {
				t.Fatalf("frame %d: %v", frames, err)
			}
			frames++
		}
	}
	if s.Info.Duration != 2000 || frames != 24 {
		t.Errorf("%d frames, %v ms", frames, s.Info.Duration)
	}
	// Watching again gives the end at once.
	if again := watch(t, r, id); len(again) != 1 || again[0].Phase != provider.Done {
		t.Errorf("watched again: %+v", again)
	}
}

func TestSizes(t *testing.T) {
	r := newRenderer(t, Options{})
	for i, c := range []struct {
		prompt string
		w, h   int
	}{{"sea", 16, 16}, {"mountain", 16, 1920}, {"city", 1920, 16}, {"silk", 90, 160}, {"star", 18, 30}, {"crystal", 1080, 1920}} {
		q := video(i)
		q.Prompt, q.Width, q.Height, q.FPS = c.prompt, c.w, c.h, 2
		s := film(t, render(t, r, q)[0])
		if v := s.Tracks.TrackEntry[0].Video; v.PixelWidth != uint64(c.w) || v.PixelHeight != uint64(c.h) {
			t.Errorf("%+v: %+v", c, v)
		}
	}
}

func TestImages(t *testing.T) {
	r := newRenderer(t, Options{})
	q := pictures(7, 3)
	id := submit(t, r, q)
	end := last(watch(t, r, id))
	if end.Phase != provider.Done || len(end.Outputs) != 3 || end.Message != "image 3 of 3" || end.TotalFrames != 0 {
		t.Fatalf("end: %+v", end)
	}
	var all [][]byte
	for i, o := range end.Outputs {
		if o.Index != i || o.ContentType != "image/png" || o.Format != "png" || o.Width != 64 || o.Height != 48 || o.FPS != 0 {
			t.Errorf("output %d: %+v", i, o)
		}
		b := fetch(t, r, id, o)
		m, err := png.Decode(bytes.NewReader(b))
		if err != nil || m.Bounds().Dx() != 64 || m.Bounds().Dy() != 48 {
			t.Errorf("output %d: %v", i, err)
		}
		all = append(all, b)
	}
	if bytes.Equal(all[0], all[1]) || bytes.Equal(all[1], all[2]) {
		t.Error("the images of one task are alike")
	}
	// The seed counts up from the request's.
	q = pictures(8, 1)
	if one := render(t, r, q); !bytes.Equal(one[0], all[1]) {
		t.Error("the second image of seed 7 is not the first of seed 8")
	}
}

func TestDeterminism(t *testing.T) {
	r := newRenderer(t, Options{})
	a, b := video(1), video(1)
	b.Intent = "another one"
	first := render(t, r, a)[0]
	if !bytes.Equal(first, render(t, r, b)[0]) {
		t.Error("the same request gives other bytes")
	}
	b.Intent, b.Seed = "another seed", 2
	if bytes.Equal(first, render(t, r, b)[0]) {
		t.Error("another seed gives the same bytes")
	}
	b.Intent, b.Seed, b.Prompt = "another prompt", 1, "a boat of paper"
	if bytes.Equal(first, render(t, r, b)[0]) {
		t.Error("another prompt gives the same bytes")
	}
}

func TestSubmitIsIdempotent(t *testing.T) {
	r := newRenderer(t, Options{})
	id := submit(t, r, video(1))
	if again := submit(t, r, video(1)); again != id {
		t.Errorf("ids %s and %s", id, again)
	}
	if other := submit(t, r, video(2)); other == id {
		t.Error("two intents have one id")
	}
	watch(t, r, id)
	if again := submit(t, r, video(1)); again != id {
		t.Errorf("after the end: ids %s and %s", id, again)
	}
}

func TestSubmitChecks(t *testing.T) {
	r := newRenderer(t, Options{})
	for name, change := range map[string]func(*provider.Request){
		"no intent":     func(q *provider.Request) { q.Intent = "" },
		"unknown model": func(q *provider.Request) { q.Model = "sora" },
		"other kind":    func(q *provider.Request) { q.Kind = provider.Image },
		"odd size":      func(q *provider.Request) { q.Width = 65 },
		"too large":     func(q *provider.Request) { q.Height = 4000 },
		"too long":      func(q *provider.Request) { q.Duration = 3600 },
		"no rate":       func(q *provider.Request) { q.FPS = 0 },
	} {
		q := video(1)
		change(&q)
		var pe *provider.Error
		if _, err := r.Submit(t.Context(), q); !errors.As(err, &pe) || pe.Code != "invalid_request" || pe.Retryable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files := left(t, r.opts.Dir); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	r := newRenderer(t, Options{Dir: dir})
	if id, found, err := r.Lookup(t.Context(), "intent 1"); found || err != nil {
		t.Errorf("before: %q %v %v", id, found, err)
	}
	id := submit(t, r, video(1))
	other := newRenderer(t, Options{Dir: dir})
	for _, r := range []*Renderer{r, other} {
		if got, found, err := r.Lookup(t.Context(), "intent 1"); got != id || !found || err != nil {
			t.Errorf("Lookup: %q %v %v", got, found, err)
		}
	}
}

// gate lets renders pass frame by frame.
type gate struct {
	reached chan int      // which frame, by whoever renders
	pass    chan struct{} // one value, one frame; closed: all
}

func newGate() *gate { return &gate{make(chan int), make(chan struct{})} }

func (g *gate) afterFrame(_ provider.Request, n int) {
	select {
	case g.reached <- n:
		<-g.pass
	case <-g.pass:
	}
}

func TestRestart(t *testing.T) {
	want := render(t, newRenderer(t, Options{}), video(1))[0]

	dir := t.TempDir()
	g := newGate()
	dying := newRenderer(t, Options{Dir: dir, afterFrame: g.afterFrame})
	id := submit(t, dying, video(1))
	for <-g.reached < 4 {
		g.pass <- struct{}{}
	}
	// The process stands still in the middle of a frame, for ever, as if it
	// had been killed; its half file is there.
	if files := left(t, dir); len(files) != 3 {
		t.Fatalf("files: %v", files)
	}
	next := newRenderer(t, Options{Dir: dir})
	end := last(watch(t, next, id))
	if end.Phase != provider.Done {
		t.Fatalf("after the restart: %+v", end)
	}
	if !bytes.Equal(fetch(t, next, id, end.Outputs[0]), want) {
		t.Error("the film differs after a restart")
	}
	// One that was finished is not rendered again.
	third := newRenderer(t, Options{Dir: dir, afterFrame: func(provider.Request, int) { t.Error("rendered again") }})
	if got := watch(t, third, id); last(got).Phase != provider.Done {
		t.Errorf("finished before the restart: %+v", got)
	}
	close(g.pass)
	if err := dying.Close(); err != nil {
		t.Error(err)
	}
	if err := third.Release(t.Context(), id); err != nil {
		t.Error(err)
	}
	if files := left(t, dir); len(files) != 0 {
		t.Errorf("files after the release: %v", files)
	}
}

func TestWatchUnknown(t *testing.T) {
	r := newRenderer(t, Options{})
	for _, id := range []string{"", "local_", "../../etc", "local_" + strings.Repeat("0", 32), "local_../" + strings.Repeat("0", 29), "task_1"} {
		for _, err := range r.Watch(t.Context(), id) {
			if !errors.Is(err, provider.ErrUnknownTask) {
				t.Errorf("Watch(%q): %v", id, err)
			}
		}
		if err := r.Cancel(t.Context(), id); err != nil {
			t.Errorf("Cancel(%q): %v", id, err)
		}
		if err := r.Release(t.Context(), id); err != nil {
			t.Errorf("Release(%q): %v", id, err)
		}
		if _, err := r.FetchOutput(t.Context(), id, provider.Output{Ref: "0.webm"}); err == nil {
			t.Errorf("FetchOutput(%q) gives something", id)
		}
	}
}

func TestFetchOutputStaysInside(t *testing.T) {
	r := newRenderer(t, Options{})
	id := submit(t, r, video(1))
	watch(t, r, id)
	for _, ref := range []string{"", "request.json", "../0.webm", "0.webm/../request.json", ".webm", "0.mp4", "1.webm"} {
		var pe *provider.Error
		if _, err := r.FetchOutput(t.Context(), id, provider.Output{Ref: ref}); !errors.As(err, &pe) || pe.Code != "output_unavailable" {
			t.Errorf("FetchOutput(%q): %v", ref, err)
		}
	}
}

func TestWatchersShareOneRender(t *testing.T) {
	var mu sync.Mutex
	frames := 0
	r := newRenderer(t, Options{Parallel: 4, afterFrame: func(provider.Request, int) {
		mu.Lock()
		frames++
		mu.Unlock()
	}})
	id := submit(t, r, video(1))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if u := last(watch(t, r, id)); u.Phase != provider.Done {
				t.Errorf("%+v", u)
			}
		})
	}
	wg.Wait()
	if frames != 10 {
		t.Errorf("%d frames rendered, the film has 10", frames)
	}
}

func TestWatchEndsWithContext(t *testing.T) {
	g := newGate()
	r := newRenderer(t, Options{afterFrame: g.afterFrame})
	t.Cleanup(func() { close(g.pass) })
	id := submit(t, r, video(1))
	<-g.reached
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for u, err := range r.Watch(ctx, id) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
		if u.Phase != provider.Running {
			t.Errorf("%+v", u)
		}
		cancel()
	}
	// A watcher that looks away does not stop the render; another may look.
	for u := range r.Watch(t.Context(), id) {
		if u.Phase != provider.Running {
			t.Errorf("%+v", u)
		}
		break
	}
}

func TestQueue(t *testing.T) {
	g := newGate()
	r := newRenderer(t, Options{Parallel: 1, afterFrame: g.afterFrame})
	a, b, c, d := submit(t, r, video(1)), submit(t, r, video(2)), submit(t, r, video(3)), submit(t, r, video(4))
	<-g.reached
	at := func(id string) provider.Update {
		for u, err := range r.Watch(t.Context(), id) {
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		t.Fatal("no update")
		return provider.Update{}
	}
	if u := at(a); u.Phase != provider.Running || u.QueuePosition != nil {
		t.Errorf("the first: %+v", u)
	}
	for i, id := range []string{b, c, d} {
		if u := at(id); u.Phase != provider.Queued || u.QueuePosition == nil || *u.QueuePosition != i {
			t.Errorf("number %d in the queue: %+v", i, u)
		}
	}
	if err := r.Cancel(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if u := at(c); u.QueuePosition == nil || *u.QueuePosition != 0 {
		t.Errorf("after the one before it is cancelled: %+v", u)
	}
	close(g.pass)
	for _, id := range []string{a, c, d} {
		if u := last(watch(t, r, id)); u.Phase != provider.Done {
			t.Errorf("%+v", u)
		}
	}
	for _, err := range r.Watch(t.Context(), b) {
		if !errors.Is(err, provider.ErrUnknownTask) {
			t.Errorf("the cancelled one: %v", err)
		}
	}
}

func TestCancel(t *testing.T) {
	g := newGate()
	r := newRenderer(t, Options{Parallel: 1, afterFrame: g.afterFrame})
	id := submit(t, r, video(1))
	<-g.reached
	watched := make(chan []provider.Update)
	go func() { watched <- watch(t, r, id) }()
	cancelled := make(chan error)
	go func() { cancelled <- r.Cancel(t.Context(), id) }()
	u := last(<-watched) // told at once, while the frame is still being drawn
	if u.Phase != provider.Failed || u.Err.Code != "cancelled" || u.Err.Retryable {
		t.Errorf("%+v", u)
	}
	g.pass <- struct{}{} // the frame ends
	if err := <-cancelled; err != nil {
		t.Fatal(err)
	}
	if files := left(t, r.opts.Dir); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
	if err := r.Cancel(t.Context(), id); err != nil {
		t.Errorf("the second time: %v", err)
	}
	close(g.pass)
	render(t, r, video(2)) // the next one works
}

func TestRelease(t *testing.T) {
	r := newRenderer(t, Options{})
	id := submit(t, r, video(1))
	watch(t, r, id)
	if err := r.Release(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if files := left(t, r.opts.Dir); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
	if _, found, _ := r.Lookup(t.Context(), "intent 1"); found {
		t.Error("it is still found")
	}
}

func TestPanic(t *testing.T) {
	r := newRenderer(t, Options{afterFrame: func(q provider.Request, n int) {
		if q.Seed == 13 && n == 5 {
			panic("half-way")
		}
	}})
	bad, good := submit(t, r, video(13)), submit(t, r, video(1))
	u := last(watch(t, r, bad))
	if u.Phase != provider.Failed || u.Err.Code != "provider_unavailable" || !u.Err.Retryable || strings.Contains(u.Err.Message, "half-way") {
		t.Errorf("%+v %v", u, u.Err)
	}
	if u := last(watch(t, r, good)); u.Phase != provider.Done {
		t.Errorf("its neighbour: %+v", u)
	}
	for _, f := range left(t, filepath.Join(r.opts.Dir, bad)) {
		if f != requestFile {
			t.Errorf("left: %s", f)
		}
	}
	render(t, r, video(2))
}

// full is a disk without room after some bytes, of all files together.
func full(room int) func(file) file {
	return func(f file) file { return &fullFile{f, &room} }
}

type fullFile struct {
	file
	room *int
}

func (f *fullFile) Write(p []byte) (int, error) {
	if len(p) > *f.room {
		n, _ := f.file.Write(p[:*f.room])
		*f.room = 0
		return n, &fs.PathError{Op: "write", Path: "full", Err: syscall.ENOSPC}
	}
	*f.room -= len(p)
	return f.file.Write(p)
}

func TestDiskFull(t *testing.T) {
	for _, q := range []provider.Request{video(1), pictures(1, 3)} {
		t.Run(string(q.Kind), func(t *testing.T) {
			r := newRenderer(t, Options{wrap: full(6000)})
			id := submit(t, r, q)
			u := last(watch(t, r, id))
			if u.Phase != provider.Failed || u.Err.Code != "storage_full" || !errors.Is(u.Err, syscall.ENOSPC) {
				t.Fatalf("%+v %v", u, u.Err)
			}
			for _, f := range left(t, filepath.Join(r.opts.Dir, id)) {
				if strings.Contains(f, "part") || f == "0.webm" {
					t.Errorf("left: %s", f)
				}
			}
			// When there is room again, the same request works.
			r.opts.wrap = nil
			if again := submit(t, r, q); again != id {
				t.Errorf("id %s, was %s", again, id)
			}
			if u := last(watch(t, r, id)); u.Phase != provider.Done {
				t.Errorf("with room again: %+v", u)
			}
		})
	}
	t.Run("at submit", func(t *testing.T) {
		r := newRenderer(t, Options{wrap: full(10)})
		var pe *provider.Error
		if _, err := r.Submit(t.Context(), video(1)); !errors.As(err, &pe) || pe.Code != "storage_full" {
			t.Errorf("Submit: %v", err)
		}
		if files := left(t, r.opts.Dir); len(files) != 0 {
			t.Errorf("files: %v", files)
		}
		if _, found, _ := r.Lookup(t.Context(), "intent 1"); found {
			t.Error("found, though it was refused")
		}
	})
}

func TestClose(t *testing.T) {
	dir := t.TempDir()
	g := newGate()
	r := newRenderer(t, Options{Dir: dir, Parallel: 1, afterFrame: g.afterFrame})
	id, queued := submit(t, r, video(1)), submit(t, r, video(2))
	<-g.reached
	watched := make(chan error)
	for _, id := range []string{id, queued} {
		go func() {
			var last error
			for _, err := range r.Watch(context.Background(), id) {
				last = err
			}
			watched <- last
		}()
	}
	close(g.pass)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		// The first may just have been finished.
		if err := <-watched; err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("Watch: %v", err)
		}
	}
	if _, err := r.Submit(t.Context(), video(3)); err == nil {
		t.Error("a closed renderer takes requests")
	}
	if err := r.Release(t.Context(), queued); err != nil {
		t.Error(err)
	}
	next := newRenderer(t, Options{Dir: dir})
	if u := last(watch(t, next, id)); u.Phase != provider.Done {
		t.Errorf("the next renderer: %+v", u)
	}
}

func TestOrphans(t *testing.T) {
	dir := t.TempDir()
	r := newRenderer(t, Options{Dir: dir})
	old, fresh := submit(t, r, video(1)), submit(t, r, video(2))
	watch(t, r, old)
	watch(t, r, fresh)
	past := time.Now().Add(-25 * time.Hour)
	foreign := filepath.Join(dir, "keep me")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{filepath.Join(dir, old), foreign} {
		if err := os.Chtimes(p, past, past); err != nil {
			t.Fatal(err)
		}
	}
	next := newRenderer(t, Options{Dir: dir})
	if _, found, _ := next.Lookup(t.Context(), "intent 1"); found {
		t.Error("what is a day old remains")
	}
	if _, found, _ := next.Lookup(t.Context(), "intent 2"); !found {
		t.Error("what is fresh is gone")
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("what is not ours is gone: %v", err)
	}
}

func TestDamagedRequestFile(t *testing.T) {
	r := newRenderer(t, Options{})
	id := idOf("broken")
	for _, content := range []string{"", "{", `{"Kind":"video","Width":1e9}`, `{"Width":"x"}`} {
		if err := os.MkdirAll(r.dirOf(id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.dirOf(id), requestFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, err := range r.Watch(t.Context(), id) {
			if err == nil {
				t.Errorf("%q is rendered", content)
			}
		}
	}
}

func TestNewSaysWhy(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no folder is accepted")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as folder: %v", err)
	}
}

func TestModels(t *testing.T) {
	r := newRenderer(t, Options{})
	catalog, err := provider.NewCatalog(r)
	if err != nil {
		t.Fatal(err)
	}
	for kind, id := range map[provider.Kind]string{provider.Video: VideoModel, provider.Image: ImageModel} {
		m, ok := catalog.Default(kind)
		if !ok || m.ID != id || m.OwnedBy != r.Name() {
			t.Errorf("default %s: %+v", kind, m)
		}
		if err := m.Check(m.WithDefaults(provider.Request{Prompt: "x"})); err != nil {
			t.Errorf("the defaults of %s: %v", id, err)
		}
	}
}
