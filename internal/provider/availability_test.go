package provider

import (
	"context"
	"errors"
	"log/slog"
	"testing"
)

type sick struct {
	Provider
	name string
	err  error
	does func()
}

func (s *sick) Name() string { return s.name }
func (s *sick) Models() []Model {
	return []Model{{ID: s.name + "-1", Kind: Video}, {ID: s.name + "-2", Kind: Image}}
}
func (s *sick) Available(context.Context) error {
	if s.does != nil {
		s.does()
	}
	return s.err
}

type silent struct{ Provider }

func (silent) Name() string    { return "silent" }
func (silent) Models() []Model { return []Model{{ID: "silent", Kind: Video}} }

func TestAvailability(t *testing.T) {
	p := &sick{name: "p"}
	c, err := NewCatalog(silent{}, p)
	if err != nil {
		t.Fatal(err)
	}
	a := NewAvailability(c, slog.New(slog.DiscardHandler))
	want := func(available bool, reason string) {
		t.Helper()
		list := a.List()
		if len(list) != 3 || !list[0].Available || list[0].ID != "silent" {
			t.Errorf("%+v", list)
		}
		for _, m := range list[1:] {
			if m.Available != available || m.Reason != reason {
				t.Errorf("%+v, want %v %q", m, available, reason)
			}
		}
	}
	want(true, "")
	const masked = "The provider cannot be used at the moment."
	p.err = errors.New("secret")
	a.Check(t.Context())
	want(false, masked)
	p.err = &Error{Message: "The disk is full."}
	a.Check(t.Context())
	want(false, "The disk is full.")
	p.err, p.does = nil, func() { panic("boom") }
	a.Check(t.Context())
	want(false, masked)
	p.does = nil
	a.Check(t.Context())
	want(true, "")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p.err = context.Canceled
	a.Run(ended, 0)
	want(true, "")
}
