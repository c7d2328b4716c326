package key

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var errAway = errors.New("the database is away")

// fakeStore is a Store in memory.
type fakeStore struct {
	mu       sync.Mutex
	keys     []Key
	changed  map[string]int64 // counter of a key's last change, by id
	version  int64
	sessions map[Hash]Session
	codes    map[Hash]LoginCode
	away     bool // every method fails
	full     bool // sessions find no room
	reads    int  // of KeyByHash
}

func newFake() *fakeStore {
	return &fakeStore{changed: map[string]int64{}, sessions: map[Hash]Session{}, codes: map[Hash]LoginCode{}}
}

func (s *fakeStore) lock() (func(), error) {
	s.mu.Lock()
	if s.away {
		return s.mu.Unlock, errAway
	}
	return s.mu.Unlock, nil
}

func (s *fakeStore) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *fakeStore) CreateKey(_ context.Context, k Key) error {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return err
	}
	s.version++
	s.changed[k.ID] = s.version
	s.keys = append(s.keys, k)
	return nil
}

func (s *fakeStore) find(fits func(Key) bool) (Key, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return Key{}, err
	}
	if i := slices.IndexFunc(s.keys, fits); i >= 0 {
		return s.keys[i], nil
	}
	return Key{}, ErrNotFound
}

func (s *fakeStore) KeyByHash(_ context.Context, h Hash) (Key, error) {
	s.mu.Lock()
	s.reads++
	s.mu.Unlock()
	return s.find(func(k Key) bool { return k.Hash == h })
}

func (s *fakeStore) KeyByID(_ context.Context, id string) (Key, error) {
	return s.find(func(k Key) bool { return k.ID == id })
}

func (s *fakeStore) ListKeys(context.Context) ([]Key, error) {
	unlock, err := s.lock()
	defer unlock()
	return slices.Clone(s.keys), err
}

func (s *fakeStore) RevokeKey(_ context.Context, id string, at time.Time) error {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id })
	switch {
	case i < 0:
		return ErrNotFound
	case s.keys[i].Revoked():
		return nil
	}
	s.keys[i].RevokedAt = at
	s.version++
	s.changed[id] = s.version
	return nil
}

func (s *fakeStore) TouchKeys(_ context.Context, used map[string]time.Time) error {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return err
	}
	for i := range s.keys {
		if at, ok := used[s.keys[i].ID]; ok && at.After(s.keys[i].LastUsedAt) {
			s.keys[i].LastUsedAt = at
		}
	}
	return nil
}

func (s *fakeStore) KeyVersion(context.Context) (int64, error) {
	unlock, err := s.lock()
	defer unlock()
	return s.version, err
}

func (s *fakeStore) KeysChangedSince(_ context.Context, version int64) ([]Key, int64, error) {
	unlock, err := s.lock()
	defer unlock()
	var out []Key
	for _, k := range s.keys {
		if s.changed[k.ID] > version {
			out = append(out, k)
		}
	}
	return out, s.version, err
}

func (s *fakeStore) CreateSession(_ context.Context, x Session) error {
	unlock, err := s.lock()
	defer unlock()
	switch {
	case err == nil && s.full:
		return fmt.Errorf("%w: disk", ErrFull)
	case err == nil:
		s.sessions[x.Hash] = x
	}
	return err
}

func (s *fakeStore) SessionByHash(_ context.Context, h Hash) (Session, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return Session{}, err
	}
	x, ok := s.sessions[h]
	if !ok {
		return Session{}, ErrNotFound
	}
	return x, nil
}

func (s *fakeStore) DeleteSession(_ context.Context, h Hash) error {
	unlock, err := s.lock()
	defer unlock()
	if err == nil {
		delete(s.sessions, h)
	}
	return err
}

func (s *fakeStore) CreateLoginCode(_ context.Context, c LoginCode) error {
	unlock, err := s.lock()
	defer unlock()
	if err == nil {
		s.codes[c.Hash] = c
	}
	return err
}

func (s *fakeStore) UseLoginCode(_ context.Context, h Hash, now time.Time) (LoginCode, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return LoginCode{}, err
	}
	c, ok := s.codes[h]
	if !ok || !now.Before(c.ExpiresAt) {
		return LoginCode{}, ErrNotFound
	}
	delete(s.codes, h)
	return c, nil
}

func (s *fakeStore) DeleteExpired(_ context.Context, now time.Time) error {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return err
	}
	for h, x := range s.sessions {
		if !now.Before(x.ExpiresAt) {
			delete(s.sessions, h)
		}
	}
	for h, c := range s.codes {
		if !now.Before(c.ExpiresAt) {
			delete(s.codes, h)
		}
	}
	return nil
}
