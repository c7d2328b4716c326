package local

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"math"
	"runtime"
	"testing"
	"time"

	"golang.org/x/image/vp8"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/provider/local/scene"
)

// The film shows what was drawn: each frame, decoded by another
// implementation, is close to the picture at its time.
func TestFilmShowsThePicture(t *testing.T) {
	r := newRenderer(t, Options{})
	for i, prompt := range []string{"a paper boat", "a mountain", "tokyo", "silk", "space", "a gem"} {
		q := video(i)
		q.Prompt, q.Width, q.Height, q.FPS = prompt, 160, 90, 8
		picture := scene.New(q.Prompt, q.Seed, q.Width, q.Height)
		want := image.NewYCbCr(image.Rect(0, 0, q.Width, q.Height), image.YCbCrSubsampleRatio420)
		n := 0
		for _, c := range film(t, render(t, r, q)[0]).Cluster {
			for _, b := range c.SimpleBlock {
				at := time.Duration(c.Timecode+uint64(b.Timecode)) * time.Millisecond
				if exact := time.Duration(n) * time.Second / 8; (at - exact).Abs() > time.Millisecond {
					t.Errorf("%s: frame %d is shown at %v", prompt, n, at)
				}
				picture.Draw(time.Duration(n) * time.Second / 8)
				picture.YCbCr(want)
				if db := lumaPSNR(want, decode(t, b.Data[0])); db < 36 {
					t.Errorf("%s: frame %d has %.1f dB", prompt, n, db)
				}
				n++
			}
		}
		if n != 8 {
			t.Errorf("%s: %d frames", prompt, n)
		}
	}
}

func decode(t testing.TB, frame []byte) *image.YCbCr {
	t.Helper()
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(frame), len(frame))
	if _, err := d.DecodeFrameHeader(); err != nil {
		t.Fatal(err)
	}
	m, err := d.DecodeFrame()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func lumaPSNR(a, b *image.YCbCr) float64 {
	sum := 0
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			d := int(a.Y[a.YOffset(x, y)]) - int(b.Y[b.YOffset(x, y)])
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255*float64(a.Rect.Dx()*a.Rect.Dy())/float64(sum))
}

// The same request gives the same bytes, also from one version to the next and
// on another machine. A change of a scene or of the encoder changes these
// sums: then they are replaced on purpose.
func TestPinned(t *testing.T) {
	r := newRenderer(t, Options{})
	for prompt, want := range map[string]string{
		"a paper boat": "a583f097ee9258f4",
		"a mountain":   "58136b55fbbc1b85",
		"silk":         "0372b1a8196c2bd5",
		"紙の船 שלום":     "3b77f535af772dbb",
	} {
		q := video(1)
		q.Intent, q.Prompt = prompt, prompt
		if got := fmt.Sprintf("%x", sha256.Sum256(render(t, r, q)[0]))[:16]; got != want {
			t.Errorf("%s: %s, want %s", prompt, got, want)
		}
	}
}

// A film of a thousand frames needs no more memory than one of a hundred.
func TestMemoryIsFlat(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var early, late, allocs uint64
	r := newRenderer(t, Options{afterFrame: func(_ provider.Request, n int) {
		var m runtime.MemStats
		switch n {
		case 100:
			early = heap()
			runtime.ReadMemStats(&m)
			allocs = m.TotalAlloc
		case 1100:
			runtime.ReadMemStats(&m)
			allocs = m.TotalAlloc - allocs
			late = heap()
		}
	}})
	q := video(1)
	q.Width, q.Height, q.Duration, q.FPS = 64, 36, 60, 20
	size := len(render(t, r, q)[0])
	t.Logf("a film of %d KB; heap %d KB at frame 100, %d KB at frame 1100, %d bytes allocated a frame", size>>10, early>>10, late>>10, allocs/1000)
	if late > early+512<<10 {
		t.Errorf("the heap grew from %d to %d bytes over a film of %d", early, late, size)
	}
	if allocs/1000 > 8<<10 {
		t.Errorf("%d bytes are allocated a frame", allocs/1000)
	}
}

func BenchmarkRender640x360(b *testing.B) {
	for _, prompt := range []string{"a paper boat", "a mountain", "tokyo", "silk", "space", "a gem"} {
		b.Run(prompt, func(b *testing.B) {
			r := newRenderer(b, Options{Parallel: 1})
			q := provider.Request{Kind: provider.Video, Model: VideoModel, Prompt: prompt, Width: 640, Height: 360, Duration: 2, FPS: 30, N: 1}
			frames, size := 0, 0
			for b.Loop() {
				q.Intent = fmt.Sprint(prompt, frames)
				size += len(render(b, r, q)[0])
				frames += 60
			}
			b.ReportMetric(float64(frames)/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(float64(size)/float64(frames), "bytes/frame")
		})
	}
}
