package local

import (
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
)

func TestEstimate(t *testing.T) {
	r := newRenderer(t, Options{})
	film, stills := video(1), pictures(1, 2)
	pixels := time.Duration(film.Width * film.Height * film.FPS * film.Duration)
	if first := r.Estimate(film); first <= 0 || first > time.Minute {
		t.Errorf("at first: %v", first)
	}
	before := r.Estimate(stills)
	for range 30 { // this machine makes a thousand pixels a second
		r.measured(film, pixels*time.Millisecond)
	}
	if got, want := r.Estimate(film), pixels*time.Millisecond; got < want*9/10 || got > want*11/10 {
		t.Errorf("estimated %v, took %v", got, want)
	}
	twice := film
	twice.Duration *= 2
	if got, want := r.Estimate(twice), 2*r.Estimate(film); got < want-time.Microsecond || got > want+time.Microsecond {
		t.Errorf("twice as long: %v, not %v", got, want)
	}
	if got := r.Estimate(stills); got != before {
		t.Errorf("films changed the estimate of images: %v, %v", before, got)
	}
	r.measured(film, 0) // a clock that stood still says nothing
	if got := r.Estimate(film); got > pixels*2*time.Millisecond {
		t.Errorf("after no time: %v", got)
	}
}

// What is rendered is measured.
func TestRendersAreMeasured(t *testing.T) {
	r := newRenderer(t, Options{})
	for _, q := range []provider.Request{video(1), pictures(2, 2)} {
		before := r.Estimate(q)
		render(t, r, q)
		if r.Estimate(q) == before {
			t.Errorf("%s: the estimate stays %v", q.Kind, before)
		}
	}
}
