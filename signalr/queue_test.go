package signalr

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestQueueAgainstModel compares the queue with a plain list.
func TestQueueAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var q queue
		type waiting struct {
			text string
			key  *queueKey
		}
		var model []waiting
		for step := range 3000 {
			if rnd.IntN(100) < 55 {
				w := waiting{text: fmt.Sprint("m", step)}
				if rnd.IntN(3) > 0 {
					w.key = &queueKey{event: fmt.Sprint(rnd.IntN(5))}
					model = slices.DeleteFunc(model, func(o waiting) bool { return o.key != nil && *o.key == *w.key })
				}
				model = append(model, w)
				q.push(entry{frame: []byte(w.text), latest: w.key})
			} else {
				e, ok := q.pop()
				if ok != (len(model) > 0) {
					t.Fatalf("seed %d step %d: pop %v of %d", seed, step, ok, len(model))
				}
				if ok {
					if string(e.frame) != model[0].text {
						t.Fatalf("seed %d step %d: got %s, want %s", seed, step, e.frame, model[0].text)
					}
					model = model[1:]
				}
			}
			bytes := 0
			for _, w := range model {
				bytes += len(w.text)
			}
			if q.count != len(model) || q.bytes != bytes {
				t.Fatalf("seed %d step %d: %d messages, %d bytes; want %d, %d", seed, step, q.count, q.bytes, len(model), bytes)
			}
			if len(q.entries) > 4*len(model)+64 {
				t.Fatalf("seed %d step %d: %d entries for %d messages", seed, step, len(q.entries), len(model))
			}
		}
	}
}
