package task

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Publisher hands a stored event on to those who watch. Publish is called
// after the commit, one call at a time, in the order of each task's sequence
// as far as this process commits them; duplicates and stragglers are possible
// and harmless, because every event carries its sequence. ctx ends after ten
// seconds. What a Publisher returns or takes its time for touches no task and
// no other Publisher; one that falls ever further behind loses events, which
// those who watch find in the store.
type Publisher interface {
	Publish(ctx context.Context, e Event) error
}

const (
	publishTime  = 10 * time.Second
	publishQueue = 16_384 // events that may wait for one publisher
)

// AddPublisher adds p to those who are told. Events committed before are not.
func (s *Service) AddPublisher(p Publisher) { s.publish.add(p) }

// Flush waits until every event committed so far has been handed to every
// publisher, or ctx ends.
func (s *Service) Flush(ctx context.Context) error { return s.publish.flush(ctx) }

// dispatcher feeds each publisher from a queue of its own. A goroutine exists
// only while a queue is not empty.
type dispatcher struct {
	log    *slog.Logger
	mu     sync.Mutex
	queues []*publishTo
}

type publishTo struct {
	d       *dispatcher
	p       Publisher
	mu      sync.Mutex
	waiting []Event
	running bool
	lossy   bool          // has been told of in the log
	idle    chan struct{} // closed when the queue runs empty; nil: nobody waits
}

func (d *dispatcher) add(p Publisher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queues = append(d.queues, &publishTo{d: d, p: p})
}

func (d *dispatcher) all() []*publishTo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queues[:len(d.queues):len(d.queues)]
}

func (d *dispatcher) hand(e Event) {
	for _, q := range d.all() {
		q.hand(e)
	}
}

func (d *dispatcher) flush(ctx context.Context) error {
	for _, q := range d.all() {
		q.mu.Lock()
		if !q.running {
			q.mu.Unlock()
			continue
		}
		if q.idle == nil {
			q.idle = make(chan struct{})
		}
		idle := q.idle
		q.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (q *publishTo) hand(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= publishQueue {
		if !q.lossy {
			q.lossy = true
			q.d.log.Warn("a publisher is too far behind, events are left out", "publisher", fmt.Sprintf("%T", q.p))
		}
		return
	}
	q.waiting = append(q.waiting, e)
	if !q.running {
		q.running = true
		go q.run()
	}
}

func (q *publishTo) run() {
	for {
		q.mu.Lock()
		batch := q.waiting
		q.waiting = nil
		if len(batch) == 0 {
			q.running, q.lossy = false, false
			if q.idle != nil {
				close(q.idle)
				q.idle = nil
			}
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		for _, e := range batch {
			q.one(e)
		}
	}
}

// one publishes an event, whatever the publisher does.
func (q *publishTo) one(e Event) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			q.d.log.Error("a publisher panicked", "publisher", fmt.Sprintf("%T", q.p), "task", e.TaskID, "sequence", e.Sequence, "panic", p)
		}
	}()
	if err := q.p.Publish(ctx, e); err != nil {
		q.d.log.Warn("an event could not be published", "publisher", fmt.Sprintf("%T", q.p), "task", e.TaskID, "sequence", e.Sequence, "error", err)
	}
}
