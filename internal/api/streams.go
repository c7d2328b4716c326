package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/knnlabs/conduit/internal/key"
)

// maxStreams is how many event streams and waiting requests of a key are open
// at a time: as many as groups of a hub's connection.
const maxStreams = 10_000

// streams are the open event streams and waiting requests by key. It is safe
// for concurrent use.
type streams struct {
	most int // of a key
	lost key.Lost

	mu       sync.Mutex
	open     map[string]map[*stream]struct{} // by key id
	draining chan struct{}                   // closed when the server is about to stop
}

type stream struct{ cancel context.CancelFunc }

func newStreams() *streams {
	return &streams{most: maxStreams, open: map[string]map[*stream]struct{}{}, draining: make(chan struct{})}
}

// add notes a stream that cancel ends; it returns a problem when its key is lost
// already, or has too many. The caller calls remove when the stream has ended.
func (s *streams) add(keyID string, cancel context.CancelFunc) (remove func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost.Has(keyID) {
		return nil, keyLost()
	}
	if len(s.open[keyID]) >= s.most {
		return nil, &problem{Status: http.StatusTooManyRequests, Code: "concurrency_limit_exceeded", Type: "rate_limit_error",
			RetryAfter: 5 * time.Second, Message: "This API key has too many open event streams and waiting requests. Close some."}
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
	}, nil
}

func (s *streams) lose(keyID string) {
	s.lost.Add(keyID) // first: what is added from here on is refused
	s.mu.Lock()
	defer s.mu.Unlock()
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
