package signalr

import (
	"context"
	"testing"
	"testing/synctest"
)

var lastEvent = NewEvent("Last", EventOptions[progress]{
	Key:            func(p progress) string { return p.Task },
	Position:       func(p progress) uint64 { return p.Seq },
	EndsMembership: true,
})

// The last event of a group ends the membership of those who got it, whichever
// way it came, and of nobody else.
func TestLastEventEndsTheMembership(t *testing.T) {
	for name, plane := range map[string]Backplane{"alone": nil, "memory": &MemoryBackplane{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub("test", HubOptions{Backplane: plane})
				p, _ := connect(t, h, "c1"), connect(t, h, "c2")
				c, other := h.Connection("c1"), h.Connection("c2")
				ctx := t.Context()
				send := func(e *Event[progress], to Audience, seq uint64) {
					t.Helper()
					if err := e.Send(ctx, to, progress{"t", seq}); err != nil {
						t.Fatal(err)
					}
				}
				groups := func(want int) {
					t.Helper()
					if got := len(c.Groups()); got != want {
						t.Fatalf("in %d groups, want %d", got, want)
					}
				}
				_ = c.Join(ctx, "g")
				_ = other.Join(ctx, "another")
				send(endEvent, h.Group("g"), 1)
				groups(1)
				send(lastEvent, h.Group("g"), 2)
				groups(0)
				send(endEvent, h.Group("g"), 3)
				p.want(progress{"t", 1}.invocation("End"), progress{"t", 2}.invocation("Last"))
				if len(h.members("g")) != 0 || len(other.Groups()) != 1 {
					t.Error("the wrong membership ended")
				}

				// As what was missed: not before the catch-up is over.
				_, err := c.CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
					send(endEvent, j.Audience(), 1)
					send(lastEvent, j.Audience(), 2)
					send(lastEvent, h.Group("g"), 2)
					groups(1)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				groups(0)
				p.want(progress{"t", 1}.invocation("End"), progress{"t", 2}.invocation("Last"))

				// Held back meanwhile.
				_, err = c.CatchUp(ctx, "g", func(ctx context.Context, j *Joining) error {
					send(lastEvent, h.Group("g"), 2)
					send(endEvent, j.Audience(), 1)
					groups(1)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				groups(0)
				p.want(progress{"t", 1}.invocation("End"), progress{"t", 2}.invocation("Last"))

				// Once more, for one who has it.
				_, err = c.CatchUp(ctx, "g", func(_ context.Context, j *Joining) error {
					j.Reached("t", 2)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				groups(1)
				send(lastEvent, h.Group("g"), 2)
				groups(0)
			})
		})
	}
}
