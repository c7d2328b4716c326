package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/key"
)

func virtualKey(n byte) key.Key {
	return key.Key{
		ID: "key_" + string('a'+rune(n)), Name: "name \u2603", Display: "condt_abcdef", Hash: key.Hash{n, 1},
		Scopes: []key.Scope{key.ScopeVideo, key.ScopeAdmin}, CreatedAt: noon, ExpiresAt: noon.Add(time.Hour),
	}
}

func addKey(t *testing.T, s Store, k key.Key) {
	t.Helper()
	if err := s.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

func testKeys(t *testing.T, open func() Store) {
	s := open()
	a, b := virtualKey(0), virtualKey(1)
	b.ExpiresAt, b.Scopes = time.Time{}, nil
	addKey(t, s, a)
	addKey(t, s, b)
	other := open()
	for _, k := range []key.Key{a, b} {
		got, err := other.KeyByHash(t.Context(), k.Hash)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "by hash", got, k)
		if got, err = other.KeyByID(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		same(t, "by id", got, k)
	}
	if err := s.CreateKey(t.Context(), a); err == nil {
		t.Error("the same key twice")
	}
	if _, err := s.KeyByHash(t.Context(), key.Hash{9}); !errors.Is(err, key.ErrNotFound) {
		t.Errorf("unknown hash: %v", err)
	}
	if _, err := s.KeyByID(t.Context(), "key_none"); !errors.Is(err, key.ErrNotFound) {
		t.Errorf("unknown id: %v", err)
	}
	later := noon.Add(time.Minute)
	for _, used := range []map[string]time.Time{{a.ID: later, "key_none": later}, {a.ID: noon}} {
		if err := s.TouchKeys(t.Context(), used); err != nil {
			t.Fatal(err)
		}
	}
	a.LastUsedAt = later
	list, err := s.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "list", list, []key.Key{a, b})
}

func testKeyChanges(t *testing.T, open func() Store) {
	s := open()
	version := func(want int64) {
		t.Helper()
		if v, err := s.KeyVersion(t.Context()); err != nil || v != want {
			t.Errorf("version %d, %v, want %d", v, err, want)
		}
	}
	changed := func(since int64, want ...string) {
		t.Helper()
		ks, _, err := s.KeysChangedSince(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, k := range ks {
			ids = append(ids, k.ID)
		}
		same(t, "changed", ids, want)
	}
	version(0)
	a, b := virtualKey(0), virtualKey(1)
	addKey(t, s, a)
	addKey(t, s, b)
	version(2)
	if err := s.CreateKey(t.Context(), a); err == nil {
		t.Error("the same key twice")
	}
	version(2)
	changed(0, a.ID, b.ID)
	changed(1, b.ID)
	changed(2)
	for i := range 2 {
		if err := s.RevokeKey(t.Context(), a.ID, noon.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	version(3) // the second changed nothing
	changed(2, a.ID)
	if k, err := s.KeyByID(t.Context(), a.ID); err != nil || !k.RevokedAt.Equal(noon) {
		t.Errorf("%+v, %v", k, err)
	}
	if err := s.RevokeKey(t.Context(), "key_none", noon); !errors.Is(err, key.ErrNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
	if err := s.TouchKeys(t.Context(), map[string]time.Time{a.ID: noon}); err != nil {
		t.Fatal(err)
	}
	version(3)
}

func testSessions(t *testing.T, open func() Store) {
	s := open()
	k := virtualKey(0)
	addKey(t, s, k)
	add := func(n byte, until time.Time) key.Session {
		x := key.Session{Hash: key.Hash{n}, KeyID: k.ID, CreatedAt: noon, ExpiresAt: until}
		if err := s.CreateSession(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	find := func(n byte, there bool) {
		t.Helper()
		_, err := s.SessionByHash(t.Context(), key.Hash{n})
		if there && err != nil || !there && !errors.Is(err, key.ErrNotFound) {
			t.Errorf("session %d: %v", n, err)
		}
	}
	x := add(1, noon.Add(time.Hour))
	got, err := s.SessionByHash(t.Context(), x.Hash)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "session", got, x)
	add(2, noon)
	add(3, noon.Add(time.Hour))
	find(2, true)
	if err := s.DeleteExpired(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	find(2, false)
	for range 2 {
		if err := s.DeleteSession(t.Context(), key.Hash{3}); err != nil {
			t.Fatal(err)
		}
	}
	find(3, false)
	find(1, true)
	if err := s.RevokeKey(t.Context(), k.ID, noon); err != nil {
		t.Fatal(err)
	}
	find(1, false)
	err = s.CreateSession(t.Context(), key.Session{Hash: key.Hash{9}, KeyID: "key_none", CreatedAt: noon, ExpiresAt: noon})
	if !errors.Is(err, key.ErrNotFound) {
		t.Errorf("of an unknown key: %v", err)
	}
}

func testLoginCodes(t *testing.T, open func() Store) {
	s := open()
	k := virtualKey(0)
	addKey(t, s, k)
	add := func(n byte, until time.Time) key.LoginCode {
		c := key.LoginCode{Hash: key.Hash{n}, KeyID: k.ID, ExpiresAt: until}
		if err := s.CreateLoginCode(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := add(1, noon.Add(time.Minute))
	other := open()
	var got atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			found, err := []Store{s, other}[i%2].UseLoginCode(t.Context(), c.Hash, noon)
			switch {
			case err == nil:
				got.Add(1)
				same(t, "code", found, c)
			case !errors.Is(err, key.ErrNotFound):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d got the code", got.Load())
	}
	for n, until := range map[byte]time.Time{2: noon, 3: noon.Add(-time.Second)} {
		add(n, until)
		if _, err := s.UseLoginCode(t.Context(), key.Hash{n}, noon); !errors.Is(err, key.ErrNotFound) {
			t.Errorf("an expired code: %v", err)
		}
	}
	add(4, noon)
	if err := s.DeleteExpired(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	add(4, noon.Add(time.Minute)) // it is gone, else this fails
	if err := s.RevokeKey(t.Context(), k.ID, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UseLoginCode(t.Context(), key.Hash{4}, noon); !errors.Is(err, key.ErrNotFound) {
		t.Errorf("a code of a revoked key: %v", err)
	}
}
