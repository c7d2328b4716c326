package provider

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
)

var videoModel = Model{ID: "v", Kind: Video, Limits: Limits{
	MinSize: 16, MaxSize: 1920, SizeMultiple: 2, DefaultWidth: 640, DefaultHeight: 360,
	MinDuration: 1, MaxDuration: 60, DefaultDuration: 4, MinFPS: 1, MaxFPS: 60, DefaultFPS: 30,
	MaxN: 1, MaxPrompt: 5,
}}

var imageModel = Model{ID: "i", Kind: Image, Limits: Limits{
	MinSize: 64, MaxSize: 512, SizeMultiple: 16, DefaultWidth: 512, DefaultHeight: 512, MaxN: 4,
}}

func TestCheck(t *testing.T) {
	ok := videoModel.WithDefaults(Request{Prompt: "boat"})
	with := func(change func(*Request)) Request { r := ok; change(&r); return r }
	img := imageModel.WithDefaults(Request{})
	withImg := func(change func(*Request)) Request { r := img; change(&r); return r }
	for _, c := range []struct {
		name  string
		model Model
		r     Request
		field string   // "" where it fits
		says  []string // the value, and what is allowed
	}{
		{"defaults", videoModel, ok, "", nil},
		{"smallest", videoModel, with(func(r *Request) { r.Width, r.Height, r.Duration, r.FPS = 16, 16, 1, 1 }), "", nil},
		{"largest", videoModel, with(func(r *Request) { r.Width, r.Height, r.Duration, r.FPS = 1920, 1920, 60, 60 }), "", nil},
		{"prompt at the limit, in characters", videoModel, with(func(r *Request) { r.Prompt = "ééééé" }), "", nil},
		{"prompt over it", videoModel, with(func(r *Request) { r.Prompt = "éééééé" }), "prompt", []string{"6", "at most 5"}},
		{"width below", videoModel, with(func(r *Request) { r.Width = 14 }), "size", []string{"width", "14x360", "16 to 1920"}},
		{"height above", videoModel, with(func(r *Request) { r.Height = 1922 }), "size", []string{"height", "1922", "16 to 1920"}},
		{"odd width", videoModel, with(func(r *Request) { r.Width = 641 }), "size", []string{"641", "even"}},
		{"not a multiple", imageModel, withImg(func(r *Request) { r.Height = 100 }), "size", []string{"100", "multiples of 16"}},
		{"negative size", videoModel, with(func(r *Request) { r.Width = -2 }), "size", []string{"-2"}},
		{"no duration", videoModel, with(func(r *Request) { r.Duration = -1 }), "duration", []string{"-1", "1 to 60 seconds"}},
		{"long duration", videoModel, with(func(r *Request) { r.Duration = 61 }), "duration", []string{"61", "1 to 60"}},
		{"fps", videoModel, with(func(r *Request) { r.FPS = 120 }), "fps", []string{"120", "1 to 60"}},
		{"n of a video", videoModel, with(func(r *Request) { r.N = 2 }), "n", []string{"2", "one"}},
		{"n of an image", imageModel, withImg(func(r *Request) { r.N = 5 }), "n", []string{"5", "1 to 4"}},
		{"n of zero", imageModel, withImg(func(r *Request) { r.N = 0 }), "n", []string{"0"}},
		{"other kind", imageModel, ok, "model", []string{"image", "video"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.model.Check(c.r)
			if c.field == "" {
				if err != nil {
					t.Fatalf("Check: %v", err)
				}
				return
			}
			var le *LimitError
			if !errors.As(err, &le) {
				t.Fatalf("Check: %v, want a *LimitError", err)
			}
			if le.Field != c.field {
				t.Errorf("field %q, want %q", le.Field, c.field)
			}
			for _, s := range append(c.says, c.field) {
				if !strings.Contains(le.Message, s) {
					t.Errorf("message %q does not say %q", le.Message, s)
				}
			}
		})
	}
}

func TestWithDefaults(t *testing.T) {
	got := videoModel.WithDefaults(Request{Width: 100, Height: 50, FPS: 12})
	if got.Width != 100 || got.Height != 50 || got.FPS != 12 || got.Duration != 4 || got.N != 1 || got.Kind != Video || got.Model != "v" {
		t.Errorf("got %+v", got)
	}
	got = imageModel.WithDefaults(Request{Duration: 3, FPS: 9})
	if got.Duration != 0 || got.FPS != 0 || got.Width != 512 {
		t.Errorf("got %+v", got)
	}
}

type fake struct {
	name   string
	models []Model
}

func (f fake) Name() string                                         { return f.name }
func (f fake) Models() []Model                                      { return f.models }
func (fake) Submit(context.Context, Request) (string, error)        { return "", nil }
func (fake) Cancel(context.Context, string) error                   { return nil }
func (fake) Watch(context.Context, string) iter.Seq2[Update, error] { return nil }
func (fake) FetchOutput(context.Context, string, Output) (io.ReadCloser, error) {
	return nil, nil
}

func TestCatalog(t *testing.T) {
	a := fake{"a", []Model{{ID: "a1", Kind: Video}, {ID: "a2", Kind: Image}}}
	b := fake{"b", []Model{{ID: "b1", Kind: Video, Default: true}}}
	c, err := NewCatalog(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := c.Default(Video); !ok || m.ID != "b1" {
		t.Errorf("default video %q, %v", m.ID, ok)
	}
	if m, ok := c.Default(Image); !ok || m.ID != "a2" {
		t.Errorf("default image %q, %v: the first is taken where none is marked", m.ID, ok)
	}
	if _, ok := c.Default("sound"); ok {
		t.Error("a default of a kind that nobody makes")
	}
	if p, ok := c.Provider("b1"); !ok || p.Name() != "b" {
		t.Error("b1 is not b's")
	}
	if _, ok := c.Find("B1"); ok {
		t.Error("ids fold case")
	}
	if l := c.List(); len(l) != 3 || l[0].ID != "a1" || l[2].ID != "b1" {
		t.Errorf("list %v", l)
	}
	if _, err := NewCatalog(a, a); err == nil {
		t.Error("one id twice is accepted")
	}
	if _, err := NewCatalog(b, fake{"c", []Model{{ID: "c1", Kind: Video, Default: true}}}); err == nil {
		t.Error("two defaults are accepted")
	}
}
