package key

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watched collects what Watch tells.
type watched struct {
	mu   sync.Mutex
	lost []string
}

func (w *watched) add(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = append(w.lost, id)
}

func (w *watched) has(ids ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Equal(w.lost, ids)
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := newFake(), &watched{}
		kept, _ := give(t, s, time.Time{})
		revoked, _ := give(t, s, time.Time{})
		short, _ := give(t, s, time.Now().Add(10*time.Second))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); Watch(ctx, s, nil, w.add) }()
		synctest.Wait()
		if !w.has() {
			t.Errorf("lost at the start: %q", w.lost)
		}

		_ = s.RevokeKey(ctx, revoked.ID, time.Now())
		time.Sleep(time.Second)
		if !w.has(revoked.ID) {
			t.Errorf("after a revocation: %q", w.lost)
		}

		// One that is made later, and one that comes and goes between two looks.
		later, _ := give(t, s, time.Now().Add(20*time.Second))
		brief, _ := give(t, s, time.Time{})
		_ = s.RevokeKey(ctx, brief.ID, time.Now())
		time.Sleep(time.Second)
		if !w.has(revoked.ID, brief.ID) {
			t.Errorf("after a brief key: %q", w.lost)
		}

		// While the database is away only time takes keys.
		s.setAway(true)
		time.Sleep(9 * time.Second)
		if !w.has(revoked.ID, brief.ID, short.ID) {
			t.Errorf("after an expiry, with the database away: %q", w.lost)
		}
		s.setAway(false)
		_ = s.RevokeKey(ctx, kept.ID, time.Now())
		time.Sleep(time.Second)
		if !w.has(revoked.ID, brief.ID, short.ID, kept.ID) {
			t.Errorf("after the database is back: %q", w.lost)
		}
		time.Sleep(time.Minute)
		if !w.has(revoked.ID, brief.ID, short.ID, kept.ID, later.ID) {
			t.Errorf("at the end: %q", w.lost)
		}
		stop()
		<-done
	})
}

func TestRunWritesAndClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake()
		k, secret := give(t, s, time.Time{})
		a := NewAuthenticator(AuthenticatorOptions{Store: s})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); a.Run(ctx) }()

		_, _ = ask(t, whoami(a), "GET /v1/x", "X-API-Key: "+secret)
		if _, _, err := NewLoginCode(ctx, s, k.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(touchInterval + time.Second)
		first, _ := s.KeyByID(ctx, k.ID)
		if first.LastUsedAt.IsZero() {
			t.Error("the use was not written within a minute")
		}
		time.Sleep(2 * cleanInterval)
		s.mu.Lock()
		if len(s.codes) != 0 {
			t.Error("an expired code is left")
		}
		s.mu.Unlock()

		_, _ = ask(t, whoami(a), "GET /v1/x", "X-API-Key: "+secret)
		stop()
		<-done
		if last, _ := s.KeyByID(t.Context(), k.ID); !last.LastUsedAt.After(first.LastUsedAt) {
			t.Error("the last use was lost at the end")
		}
	})
}
