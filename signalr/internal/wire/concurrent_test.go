package wire

import (
	"sync"
	"testing"
)

// TestConcurrentFirstUse has many goroutines write and read a type that contains
// itself, and that nobody has used before, at once.
func TestConcurrentFirstUse(t *testing.T) {
	type leaf struct{ Next []leafHolder[int] }
	type tree struct {
		Left, Right *tree
		Leaves      map[string]leaf
	}
	for _, p := range protocols {
		var start, done sync.WaitGroup
		start.Add(1)
		out := make([]string, 8)
		for i := range out {
			done.Go(func() {
				start.Wait()
				v := tree{Left: &tree{}, Leaves: map[string]leaf{"a": {Next: []leafHolder[int]{{Value: 1}}}}}
				raw, err := p.AppendValue(nil, v, DefaultCasing)
				if err != nil {
					t.Error(err)
				}
				var back tree
				if err := p.DecodeValue(raw, &back); err != nil || back.Left == nil || back.Leaves["a"].Next[0].Value != 1 {
					t.Errorf("%s: read %+v, %v", p.Name(), back, err)
				}
				out[i] = string(raw)
			})
		}
		start.Done()
		done.Wait()
		for _, raw := range out {
			if raw != out[0] {
				t.Errorf("%s: wrote %q and %q", p.Name(), out[0], raw)
			}
		}
	}
}

type leafHolder[T any] struct {
	Value T
	Again *leafHolder[T]
}
