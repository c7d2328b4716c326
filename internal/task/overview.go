package task

import "context"

// Overview is where all tasks of a key stand.
type Overview struct {
	// Revision rises whenever something of the key's tasks is written, and with
	// RaiseRevisions. It never falls.
	Revision int64
	Counts   map[Kind]map[State]int // without those of which there are none
	Recent   []Task                 // the newest, newest first
}

// Overview returns where a key's tasks of kinds stand, with up to recent of the
// newest.
func (s *Service) Overview(ctx context.Context, keyID string, kinds []Kind, recent int) (Overview, error) {
	return s.store.Overview(ctx, keyID, kinds, recent)
}

// Revisions returns the revision of each key's Overview.
func (s *Service) Revisions(ctx context.Context, keyIDs []string) (map[string]int64, error) {
	return s.store.Revisions(ctx, keyIDs)
}

// RaiseRevisions raises the revision of every key, for something that concerns
// all of them.
func (s *Service) RaiseRevisions(ctx context.Context) error { return s.store.RaiseRevisions(ctx) }
