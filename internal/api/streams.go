package api

import (
	"context"
	"sync"
	"time"
)

// lostFor is how long a lost key is remembered here. A request that was let in
// just before the key was lost has opened its stream long before.
const lostFor = time.Minute

// streams are the open event streams by key. It is safe for concurrent use.
type streams struct {
	mu       sync.Mutex
	open     map[string]map[*stream]struct{} // by key id
	lost     map[string]time.Time
	draining chan struct{} // closed when the server is about to stop
}

type stream struct{ cancel context.CancelFunc }

func newStreams() *streams {
	return &streams{open: map[string]map[*stream]struct{}{}, lost: map[string]time.Time{}, draining: make(chan struct{})}
}

// add notes a stream that cancel ends; ok is false when its key is lost
// already. The caller calls remove when the stream has ended.
func (s *streams) add(keyID string, cancel context.CancelFunc) (remove func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, lost := s.lost[keyID]; lost && time.Since(at) < lostFor {
		return nil, false
	}
	one := &stream{cancel: cancel}
	if s.open[keyID] == nil {
		s.open[keyID] = map[*stream]struct{}{}
	}
	s.open[keyID][one] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open[keyID], one)
		if len(s.open[keyID]) == 0 {
			delete(s.open, keyID)
		}
	}, true
}

func (s *streams) lose(keyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.lost {
		if time.Since(at) >= lostFor {
			delete(s.lost, id)
		}
	}
	s.lost[keyID] = time.Now()
	for one := range s.open[keyID] {
		one.cancel() // does not wait
	}
}

func (s *streams) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.draining:
	default:
		close(s.draining)
	}
}
