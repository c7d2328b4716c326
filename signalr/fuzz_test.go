package signalr

import (
	"bytes"
	"context"
	"iter"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// seedConversations adds what one side of each recorded conversation has said.
func seedConversations(f *testing.F, from string, add func(said []byte, binary bool)) {
	f.Helper()
	files, err := filepath.Glob("testdata/conversations/*.WebSockets.*.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		var said []byte
		for _, frame := range readFrames(f, file) {
			if frame.From == from && frame.Kind != "close" {
				said = append(said, frame.bytes(f)...)
			}
		}
		if len(said) < 20_000 { // not the one that is too large
			add(said, strings.Contains(file, "messagepack"))
		}
	}
}

// FuzzReceive gives a hub whatever bytes after the handshake, in two pieces: it
// neither panics nor hangs, and the next connection works.
func FuzzReceive(f *testing.F) {
	for _, seed := range []string{
		`{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}` + "\x1e",
		`{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["s"]}` + "\x1e" + `{"type":2,"invocationId":"s","item":1}` + "\x1e" + `{"type":3,"invocationId":"s"}` + "\x1e",
		`{"type":4,"invocationId":"2","target":"Count","arguments":[3]}` + "\x1e" + `{"type":5,"invocationId":"2"}` + "\x1e",
		`{"type":6}` + "\x1e" + `{"type":7,"error":"x"}` + "\x1e",
		`{"type":3,"invocationId":"s1","result":1}` + "\x1e" + `{"type":9,"sequenceId":5}` + "\x1e",
		"\x0d\x96\x01\x80\xc0\xa3Say\x91\xa2hi\x90", "\x02\x91\x06", "\xff\xff\xff\xff\xff",
	} {
		f.Add([]byte(seed), 10, false)
		f.Add([]byte(seed), 1, true)
	}
	seedConversations(f, "client", func(said []byte, binary bool) {
		_, calls, _ := bytes.Cut(said, []byte{wire.Separator}) // behind the handshake
		f.Add(calls, len(calls)/2, binary)
	})
	f.Fuzz(func(t *testing.T, data []byte, cut int, binary bool) {
		h := NewHub("fuzz", HubOptions{Limits: Limits{PendingInvocations: 4, Streams: 4}, ShutdownWindow: time.Millisecond})
		Handle(h, "Echo", func(s string) string { return s })
		Handle(h, "Ask", func(ctx context.Context, c *Conn) error {
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			return h.Invoke(ctx, c.ID(), "A", nil)
		})
		Handle(h, "Sum", func(ctx context.Context, a iter.Seq2[int, error]) (n int) {
			for v := range a {
				n += v
			}
			return n
		})
		Handle(h, "Count", func(n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range min(n, 100) {
					if !yield(i, nil) {
						return
					}
				}
			}
		})
		protocol := "json"
		if binary {
			protocol = "messagepack"
		}
		s := sinkConn(t, h, "c1", protocol)
		cut = min(max(cut, 0), len(data))
		done := make(chan struct{})
		go func() {
			defer close(done)
			if s.app.Receive(data[:cut:cut]) == nil {
				_ = s.app.Receive(data[cut:])
			}
		}()
		select {
		case <-done:
		case <-time.After(time.Second): // held back: the end lets it go
		}
		s.app.Ended(nil)
		<-done
		other := sinkConn(t, h, "c2", protocol)
		other.app.Ended(nil)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
