package task

import (
	"context"
	"sync"
	"time"
)

// memory is a store for tests of the service alone: what it needs, no more.
type memory struct {
	Store // the rest panics

	mu     sync.Mutex
	recs   map[string]Record
	events map[string][]Event
	jobs   []string
}

func newMemory() *memory { return &memory{recs: map[string]Record{}, events: map[string][]Event{}} }

func (m *memory) Create(_ context.Context, c Creation) (Task, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recs[c.Record.ID] = c.Record
	m.events[c.Record.ID] = []Event{c.Event}
	m.jobs = append(m.jobs, c.Record.ID)
	return c.Record.Task, true, nil
}

func (m *memory) Running(keyID string) (n int, err error) {
	for _, r := range m.recs {
		if r.KeyID == keyID && r.State == Running {
			n++
		}
	}
	return n, nil
}

func (m *memory) Change(_ context.Context, id string, fn func(Tx, *Record) (Change, error)) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.recs[id]
	if !ok {
		return Record{}, ErrNotFound
	}
	c, err := fn(m, &r)
	if err != nil {
		return Record{}, err
	}
	if c.NoRecord {
		return r, nil
	}
	m.recs[id] = r
	if c.Event != nil {
		m.events[id] = append(m.events[id], *c.Event)
	}
	if c.Queue {
		m.jobs = append(m.jobs, id)
	}
	return r, nil
}

func (m *memory) Get(_ context.Context, id string) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.recs[id]
	if !ok {
		return Record{}, ErrNotFound
	}
	return r, nil
}

func (m *memory) Events(_ context.Context, id string, after int64, _ int) (out []Event, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events[id] {
		if e.Sequence > after {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) Due(_ context.Context, now time.Time, _ time.Duration, alone *Alone) (d Due, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.recs {
		switch {
		case r.State == Running && (!r.LeaseUntil.After(now) || alone != nil && alone.Owner != r.Owner):
			d.Expired = append(d.Expired, id)
		case r.State == Pending && !r.DeadlineAt.After(now):
			d.Late = append(d.Late, id)
		case r.State == Pending && r.QueueAt != nil && !r.QueueAt.After(now):
			d.Queue = append(d.Queue, id)
		}
	}
	return d, nil
}
