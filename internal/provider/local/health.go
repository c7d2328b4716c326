package local

import (
	"context"
	"os"
)

// Available implements provider.Health: nothing can be rendered where nothing
// can be written.
func (r *Renderer) Available(context.Context) error {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return ErrClosed
	}
	f, err := os.CreateTemp(r.opts.Dir, ".available-*")
	if err != nil {
		return storageError(err)
	}
	_, err = f.WriteString("x") // a full disk makes empty files all the same
	if e := f.Close(); err == nil {
		err = e
	}
	_ = os.Remove(f.Name()) // the first error says more
	if err != nil {
		return storageError(err)
	}
	return nil
}
