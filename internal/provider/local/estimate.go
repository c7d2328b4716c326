package local

import (
	"time"

	"github.com/knnlabs/conduit/internal/provider"
)

// pace is how fast generations of one kind are made.
type pace struct {
	perPixel float64 // seconds
	measured bool    // else it is about what a core of a small server does
}

func firstPaces() map[provider.Kind]pace {
	return map[provider.Kind]pace{provider.Video: {perPixel: 1 / 25e6}, provider.Image: {perPixel: 1 / 10e6}}
}

// Estimate is how long rendering takes at the pace of the generations before:
// it depends on the number of pixels far more than on what they show. It
// counts no waiting for other generations.
func (r *Renderer) Estimate(q provider.Request) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(pixelsOf(q) * r.paces[q.Kind].perPixel * float64(time.Second))
}

// measured takes in how long a generation took. The newest count most, since
// the machine may have become busier or idler.
func (r *Renderer) measured(q provider.Request, took time.Duration) {
	if took <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p, weight := r.paces[q.Kind], 0.3
	if !p.measured {
		p.measured, weight = true, 1
	}
	p.perPixel += weight * (took.Seconds()/pixelsOf(q) - p.perPixel)
	r.paces[q.Kind] = p
}

func pixelsOf(q provider.Request) float64 {
	pictures := q.N
	if q.Kind == provider.Video {
		pictures = q.Duration * q.FPS
	}
	return float64(q.Width) * float64(q.Height) * float64(pictures)
}
