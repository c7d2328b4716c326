package signalr

import (
	"context"
	"sync"
)

// interest counts who on this server needs a topic of the backplane, and
// subscribes with the first and unsubscribes with the last. One topic's
// operations never overlap; those of different topics may.
type interest struct {
	link func() Link // nil: no backplane, nothing to do

	mu     sync.Mutex // a leaf: nothing else is locked under it
	topics map[Topic]*topicInterest
}

type topicInterest struct {
	users int
	live  bool          // subscribed
	busy  chan struct{} // not nil: an operation is under way; closed at its end
}

// acquire returns when what is published to topic from now on arrives.
func (i *interest) acquire(ctx context.Context, topic Topic) error {
	if i.link == nil {
		return nil
	}
	for {
		i.mu.Lock()
		t := i.topics[topic]
		if t == nil {
			t = &topicInterest{}
			if i.topics == nil {
				i.topics = make(map[Topic]*topicInterest)
			}
			i.topics[topic] = t
		}
		if t.busy != nil {
			busy := t.busy
			i.mu.Unlock()
			select {
			case <-busy:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		t.users++
		if t.live {
			i.mu.Unlock()
			return nil
		}
		t.busy = make(chan struct{})
		i.mu.Unlock()
		err := i.link().Subscribe(ctx, topic)
		i.mu.Lock()
		close(t.busy)
		t.busy = nil
		if err != nil {
			t.users--
			if t.users == 0 {
				delete(i.topics, topic)
			}
		} else {
			t.live = true
		}
		i.mu.Unlock()
		return err
	}
}

// release takes one acquire back. It may wait for an operation under way.
func (i *interest) release(topic Topic) {
	if i.link == nil {
		return
	}
	for {
		i.mu.Lock()
		t := i.topics[topic]
		if t == nil {
			i.mu.Unlock()
			return
		}
		if t.busy != nil {
			busy := t.busy
			i.mu.Unlock()
			<-busy
			continue
		}
		t.users--
		if t.users > 0 {
			i.mu.Unlock()
			return
		}
		t.busy = make(chan struct{})
		i.mu.Unlock()
		i.link().Unsubscribe(topic)
		i.mu.Lock()
		close(t.busy)
		delete(i.topics, topic)
		i.mu.Unlock()
		return
	}
}
