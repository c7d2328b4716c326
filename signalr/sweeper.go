package signalr

import (
	"runtime"
	"sync"
)

// sweeper writes out the connections that have something pending, one after
// the other. What is queued for a connection before its turn goes in one write.
// Its goroutine exists while there is something to do.
type sweeper struct {
	mu      sync.Mutex // last in the lock order
	dirty   []*Conn
	spare   []*Conn
	running bool
}

// newSweepers makes one sweeper per core; connections are dealt out to them.
func newSweepers() []*sweeper {
	s := make([]*sweeper, runtime.GOMAXPROCS(0))
	for i := range s {
		s[i] = &sweeper{}
	}
	return s
}

// add has c swept soon. The caller sees to it that a connection is added once
// until its turn has come.
func (s *sweeper) add(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = append(s.dirty, c)
	if !s.running {
		s.running = true
		go s.run()
	}
}

func (s *sweeper) run() {
	for {
		s.mu.Lock()
		batch := s.dirty
		if len(batch) == 0 {
			s.running = false
			s.mu.Unlock()
			return
		}
		s.dirty, s.spare = s.spare, nil
		s.mu.Unlock()
		for _, c := range batch {
			c.sweep()
		}
		clear(batch)
		if cap(batch) > 1<<16 {
			batch = nil
		}
		s.mu.Lock()
		s.spare = batch[:0]
		s.mu.Unlock()
	}
}
