package provider

import (
	"fmt"
	"unicode/utf8"
)

// LimitError says which field of a request lies outside a model's limits.
// Message names the field, the value and what is allowed, and may be shown to
// the caller.
type LimitError struct {
	Field   string // as in the REST request: "prompt", "size", "duration", "fps", "n"
	Message string
}

func (e *LimitError) Error() string { return e.Message }

// Check holds r against the model's limits. All of r's fields must be filled
// in (WithDefaults does). The error, if any, is a *LimitError about the first
// field that does not fit. Safe for concurrent use.
func (m Model) Check(r Request) error {
	if m.Kind != r.Kind {
		return limitError("model", "model: %q makes %ss, not %ss", m.ID, m.Kind, r.Kind)
	}
	l := m.Limits
	if n := utf8.RuneCountInString(r.Prompt); l.MaxPrompt > 0 && n > l.MaxPrompt {
		return limitError("prompt", "prompt: has %d characters; %s allows at most %d", n, m.ID, l.MaxPrompt)
	}
	if err := m.checkSize(r.Width, r.Height); err != nil {
		return err
	}
	if m.Kind == Video {
		if r.Duration < l.MinDuration || r.Duration > l.MaxDuration {
			return limitError("duration", "duration: %d; %s allows %d to %d seconds", r.Duration, m.ID, l.MinDuration, l.MaxDuration)
		}
		if r.FPS < l.MinFPS || r.FPS > l.MaxFPS {
			return limitError("fps", "fps: %d; %s allows %d to %d frames a second", r.FPS, m.ID, l.MinFPS, l.MaxFPS)
		}
	}
	if most := max(l.MaxN, 1); r.N < 1 || r.N > most {
		if most == 1 {
			return limitError("n", "n: %d; %s makes one result at a time", r.N, m.ID)
		}
		return limitError("n", "n: %d; %s allows 1 to %d", r.N, m.ID, most)
	}
	return nil
}

func (m Model) checkSize(w, h int) error {
	l := m.Limits
	for _, side := range []struct {
		name  string
		value int
	}{{"width", w}, {"height", h}} {
		if side.value < l.MinSize || side.value > l.MaxSize {
			return limitError("size", "size: %dx%d has a %s of %d; %s allows %d to %d pixels", w, h, side.name, side.value, m.ID, l.MinSize, l.MaxSize)
		}
		if l.SizeMultiple == 2 && side.value%2 != 0 {
			return limitError("size", "size: %dx%d has a %s of %d; %s allows even numbers only", w, h, side.name, side.value, m.ID)
		}
		if l.SizeMultiple > 1 && side.value%l.SizeMultiple != 0 {
			return limitError("size", "size: %dx%d has a %s of %d; %s allows multiples of %d only", w, h, side.name, side.value, m.ID, l.SizeMultiple)
		}
	}
	return nil
}

// WithDefaults returns r with the model's defaults in the place of zero
// values: size, duration and rate (videos), and N = 1. It leaves alone what is
// set, also where that is out of bounds, and clears duration and rate of
// images.
func (m Model) WithDefaults(r Request) Request {
	r.Kind, r.Model = m.Kind, m.ID
	if r.Width == 0 && r.Height == 0 {
		r.Width, r.Height = m.Limits.DefaultWidth, m.Limits.DefaultHeight
	}
	if r.N == 0 {
		r.N = 1
	}
	if m.Kind != Video {
		r.Duration, r.FPS = 0, 0
		return r
	}
	if r.Duration == 0 {
		r.Duration = m.Limits.DefaultDuration
	}
	if r.FPS == 0 {
		r.FPS = m.Limits.DefaultFPS
	}
	return r
}

func limitError(field, format string, args ...any) error {
	return &LimitError{Field: field, Message: fmt.Sprintf(format, args...)}
}
