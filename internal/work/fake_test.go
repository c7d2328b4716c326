package work

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
)

// fake is a provider that does what a test says. What it is asked, it notes.
type fake struct {
	name string

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced whenever something happens
	tasks    map[string]*fakeTask
	submits  []provider.Request
	cancels  []string
	releases []string
	lookups  []string

	// Hooks, called without the lock; nil: as usual.
	onSubmit func(context.Context, provider.Request) error
	onWatch  func(ctx context.Context, id string, n int) error
	onFetch  func(id string) (io.ReadCloser, error)
	onLookup func(intent string) error
	onCancel func(id string) error
	// script, if set, is what a submitted task does by itself.
	script []provider.Update
}

type fakeTask struct {
	intent  string
	updates []provider.Update
	watches int
}

func newFake() *fake {
	return &fake{name: "fake", changed: make(chan struct{}), tasks: map[string]*fakeTask{}}
}

var done = provider.Update{Phase: provider.Done, Outputs: []provider.Output{{ContentType: "video/webm", Format: "webm", Codec: "vp8", Width: 16, Height: 16, FPS: 10, Duration: 1}}}

func at(percent float64) provider.Update {
	return provider.Update{Phase: provider.Running, Progress: percent, Source: "native", Message: fmt.Sprint("at ", percent)}
}

func failing(code string, retryable bool) provider.Update {
	return provider.Update{Phase: provider.Failed, Err: &provider.Error{Code: code, Message: "no", Retryable: retryable}}
}

func (f *fake) note(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	close(f.changed)
	f.changed = make(chan struct{})
}

// say makes a task of the provider's do something.
func (f *fake) say(id string, us ...provider.Update) {
	f.note(func() {
		if t := f.tasks[id]; t != nil {
			t.updates = append(t.updates, us...)
		}
	})
}

// until waits for something to be true of what the provider was asked.
func (f *fake) until(ctx context.Context, ok func() bool) error {
	for {
		f.mu.Lock()
		is, changed := ok(), f.changed
		f.mu.Unlock()
		if is {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// locked reads what a test may change at any time.
func locked[T any](mu *sync.Mutex, p *T) T {
	mu.Lock()
	defer mu.Unlock()
	return *p
}

func (f *fake) numSubmits() int { return len(locked(&f.mu, &f.submits)) }
func (f *fake) numBought() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tasks)
}

func (f *fake) Name() string             { return f.name }
func (f *fake) Models() []provider.Model { return nil }

func (f *fake) Submit(ctx context.Context, r provider.Request) (string, error) {
	f.note(func() { f.submits = append(f.submits, r) })
	id := "p:" + r.Intent
	if hook := locked(&f.mu, &f.onSubmit); hook != nil {
		if err := hook(ctx, r); err != nil {
			return "", err
		}
	}
	f.add(id, r.Intent)
	return id, nil
}

func (f *fake) add(id, intent string) {
	f.note(func() { f.tasks[id] = &fakeTask{intent: intent, updates: slices.Clone(f.script)} })
}

func (f *fake) Watch(ctx context.Context, id string) iter.Seq2[provider.Update, error] {
	return func(yield func(provider.Update, error) bool) {
		n := 0
		known := true
		f.note(func() {
			t := f.tasks[id]
			if known = t != nil; known {
				n = t.watches
				t.watches++
			}
		})
		if hook := locked(&f.mu, &f.onWatch); hook != nil {
			if err := hook(ctx, id, n); err != nil {
				yield(provider.Update{}, err)
				return
			}
		}
		if !known {
			yield(provider.Update{}, provider.ErrUnknownTask)
			return
		}
		for i := 0; ; i++ {
			var u provider.Update
			err := f.until(ctx, func() bool {
				us := f.tasks[id].updates
				if len(us) > i {
					u = us[i]
				}
				return len(us) > i
			})
			if err != nil {
				yield(provider.Update{}, err)
				return
			}
			if !yield(u, nil) || u.Phase == provider.Done || u.Phase == provider.Failed {
				return
			}
		}
	}
}

func (f *fake) Cancel(_ context.Context, id string) error {
	f.note(func() { f.cancels = append(f.cancels, id) })
	if hook := locked(&f.mu, &f.onCancel); hook != nil {
		return hook(id)
	}
	return nil
}

func (f *fake) Release(_ context.Context, id string) error {
	f.note(func() { f.releases = append(f.releases, id) })
	return nil
}

func (f *fake) FetchOutput(_ context.Context, id string, _ provider.Output) (io.ReadCloser, error) {
	if hook := locked(&f.mu, &f.onFetch); hook != nil {
		return hook(id)
	}
	return io.NopCloser(bytes.NewReader([]byte("result of " + id))), nil
}

// askable is a fake that can be asked about intents.
type askable struct{ *fake }

func (f askable) Lookup(_ context.Context, intent string) (id string, found bool, err error) {
	f.note(func() { f.lookups = append(f.lookups, intent) })
	if hook := locked(&f.mu, &f.onLookup); hook != nil {
		if err := hook(intent); err != nil {
			return "", false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, t := range f.tasks {
		if t.intent == intent {
			return id, true, nil
		}
	}
	return "", false, nil
}

// memory is a media.Store.
type memory struct {
	mu    sync.Mutex
	files map[string][]byte
	onPut func(key string) error
}

func newMemory() *memory { return &memory{files: map[string][]byte{}} }

func (m *memory) Put(_ context.Context, key, contentType string, r io.Reader) (media.Info, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return media.Info{}, err
	}
	if hook := locked(&m.mu, &m.onPut); hook != nil {
		if err := hook(key); err != nil {
			return media.Info{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[key] = b
	sum := sha256.Sum256(b)
	return media.Info{Key: key, ContentType: contentType, Bytes: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}, nil
}

func (m *memory) Open(context.Context, string) (io.ReadSeekCloser, media.Info, error) {
	return nil, media.Info{}, errors.New("not needed")
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.files[key]; !ok {
		return media.ErrNotFound
	}
	delete(m.files, key)
	return nil
}

func (m *memory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ks []string
	for k := range m.files {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
