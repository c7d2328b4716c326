package local

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/provider/local/scene"
	"github.com/knnlabs/conduit/internal/provider/local/vp8"
	"github.com/knnlabs/conduit/internal/provider/local/webm"
)

// stillAt is the moment of a picture that an image shows: its title stands,
// and what moves has spread.
const stillAt = 3 * time.Second

// renderVideo draws, encodes and writes frame by frame, and calls step after
// each. What it needs of memory does not depend on the film's length.
func (r *Renderer) renderVideo(j *job, step func(n int) error) ([]provider.Output, error) {
	q := j.request
	out := provider.Output{Ref: "0.webm", ContentType: "video/webm", Format: "webm", Codec: "vp8",
		Width: q.Width, Height: q.Height, FPS: q.FPS, Duration: float64(q.Duration)}
	name := filepath.Join(r.dirOf(j.id), out.Ref)
	if _, err := os.Stat(name); err == nil {
		return []provider.Output{out}, nil // rendered before a restart
	}
	err := r.writeFile(name, func(f file) error {
		w, err := webm.NewWriter(f, webm.Options{Width: q.Width, Height: q.Height, FPS: q.FPS, Frames: j.total()})
		if err != nil {
			return err
		}
		picture := scene.New(q.Prompt, q.Seed, q.Width, q.Height)
		encoder := vp8.NewEncoder(q.Width, q.Height, vp8.DefaultQuantizer)
		planes := image.NewYCbCr(image.Rect(0, 0, q.Width, q.Height), image.YCbCrSubsampleRatio420)
		var data []byte
		for i := range j.total() {
			picture.Draw(time.Duration(i) * time.Second / time.Duration(q.FPS))
			picture.YCbCr(planes)
			data = encoder.Encode(data[:0], planes)
			if err := w.WriteFrame(data); err != nil {
				return err
			}
			if err := step(i + 1); err != nil {
				return err
			}
			runtime.Gosched() // all cores may be rendering; who serves requests goes first
		}
		return w.Close()
	})
	return []provider.Output{out}, err
}

// renderImages draws N images, the seed counting up from the request's.
func (r *Renderer) renderImages(j *job, step func(n int) error) (outputs []provider.Output, err error) {
	q := j.request
	for i := range q.N {
		out := provider.Output{Index: i, Ref: fmt.Sprintf("%d.png", i), ContentType: "image/png", Format: "png", Width: q.Width, Height: q.Height}
		name := filepath.Join(r.dirOf(j.id), out.Ref)
		if _, err := os.Stat(name); err != nil {
			if err := r.renderImage(j.ctx, name, q, q.Seed+int64(i)); err != nil {
				return nil, err
			}
		}
		outputs = append(outputs, out)
		if err := step(i + 1); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

func (r *Renderer) renderImage(ctx context.Context, name string, q provider.Request, seed int64) error {
	picture := scene.New(q.Prompt, seed, q.Width, q.Height)
	picture.Draw(stillAt)
	return r.writeFile(name, func(f file) error {
		e := png.Encoder{CompressionLevel: png.BestSpeed}
		return e.Encode(stoppable{ctx, f}, picture.NRGBA())
	})
}

// stoppable is a writer that fails once ctx has ended.
type stoppable struct {
	ctx context.Context
	w   io.Writer
}

func (s stoppable) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}
