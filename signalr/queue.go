package signalr

// queueKey says which waiting message a latest-only one takes the place of.
type queueKey struct{ group, event, key string }

// entry is one framed message that waits to be written. Its bytes are shared
// with other connections.
type entry struct {
	frame  []byte // nil: taken out by a newer one
	order  *Order // kept for messages that a catch-up holds back
	latest *queueKey
}

// queue is a first-in, first-out queue of messages in which a latest-only
// message takes the older one of its key out. It does no locking and keeps no
// memory while it is empty.
type queue struct {
	entries []entry // entries[head:] wait
	head    int
	first   uint64 // the number of entries[0], counted from the first entry ever
	bytes   int    // of what waits
	count   int    // of what waits, without what was taken out
	latest  map[queueKey]uint64
}

// replaced is how many bytes a latest-only message would take out, -1 for none.
func (q *queue) replaced(key *queueKey) int {
	if key == nil {
		return -1
	}
	n, ok := q.latest[*key]
	if !ok {
		return -1
	}
	return len(q.entries[n-q.first].frame)
}

// push puts a message at the end.
func (q *queue) push(e entry) {
	if e.latest != nil {
		if n, ok := q.latest[*e.latest]; ok {
			old := &q.entries[n-q.first]
			q.bytes -= len(old.frame)
			q.count--
			*old = entry{}
		}
	}
	if waiting := len(q.entries) - q.head; waiting > 2*q.count+16 || q.head > 16 && q.head > waiting {
		q.compact()
	}
	if e.latest != nil {
		if q.latest == nil {
			q.latest = make(map[queueKey]uint64)
		}
		q.latest[*e.latest] = q.first + uint64(len(q.entries))
	}
	q.entries = append(q.entries, e)
	q.bytes += len(e.frame)
	q.count++
}

// peek returns the message that is next, nil if none waits.
func (q *queue) peek() []byte {
	for q.head < len(q.entries) {
		if f := q.entries[q.head].frame; f != nil {
			return f
		}
		q.head++
	}
	return nil
}

// pop takes the next message out.
func (q *queue) pop() (e entry, ok bool) {
	if q.peek() == nil {
		return entry{}, false
	}
	e = q.entries[q.head]
	if e.latest != nil && q.latest[*e.latest] == q.first+uint64(q.head) {
		delete(q.latest, *e.latest)
	}
	q.entries[q.head] = entry{}
	q.head++
	q.bytes -= len(e.frame)
	q.count--
	if q.count == 0 {
		q.rewind()
	}
	return e, true
}

// rewind makes an empty queue start anew, and gives large memory back.
func (q *queue) rewind() {
	q.first += uint64(len(q.entries))
	q.head, q.latest = 0, nil
	if cap(q.entries) > 32 {
		q.entries = nil
	}
	clear(q.entries)
	q.entries = q.entries[:0]
}

// compact drops what was taken out or popped.
func (q *queue) compact() {
	q.first += uint64(q.head)
	kept := q.entries[:0]
	for _, e := range q.entries[q.head:] {
		if e.frame == nil {
			continue
		}
		if e.latest != nil {
			q.latest[*e.latest] = q.first + uint64(len(kept))
		}
		kept = append(kept, e)
	}
	clear(q.entries[len(kept):])
	q.entries, q.head = kept, 0
}

// drop empties the queue.
func (q *queue) drop() {
	*q = queue{first: q.first + uint64(len(q.entries))}
}
