package key

import (
	"sync"
	"time"
)

// Lost remembers keys that ended a short while ago (Watch tells of them), for
// requests and connections that were let in just before. The zero value is
// ready; safe for concurrent use.
type Lost struct {
	mu sync.Mutex
	at map[string]time.Time
}

// lostFor is longer than a connection may take from its request to its
// handshake: SignalR:HandshakeTimeout is at most ten minutes.
const lostFor = 15 * time.Minute

// Add notes that a key ended now.
func (l *Lost) Add(keyID string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[string]time.Time{}
	}
	for id, at := range l.at {
		if now.Sub(at) >= lostFor {
			delete(l.at, id)
		}
	}
	l.at[keyID] = now
}

// Has reports whether a key ended a short while ago.
func (l *Lost) Has(keyID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.at[keyID]
	return ok && time.Since(at) < lostFor
}
