package signalr

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// sink is a session that writes to nobody. Flush drains the connection, as a
// socket with room does.
type sink struct {
	id    string
	app   transport.Application
	mu    sync.Mutex // around Next
	buf   []byte
	bytes atomic.Int64
	wrote chan struct{} // told of writes
}

func (s *sink) ID() string             { return s.id }
func (s *sink) Kind() transport.Kind   { return transport.WebSockets }
func (s *sink) SupportsBinary() bool   { return true }
func (s *sink) SetBinary(bool)         {}
func (s *sink) Request() *http.Request { return nil }
func (s *sink) StatefulOffered() bool  { return false }
func (s *sink) SetStateful(bool)       {}
func (s *sink) Close()                 {}
func (s *sink) Abort(error)            {}
func (s *sink) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for more := true; more; {
		s.buf, more, _ = s.app.Next(s.buf[:0], 1<<16)
		s.bytes.Add(int64(len(s.buf)))
	}
	select {
	case s.wrote <- struct{}{}:
	default:
	}
}

func sinkConn(b testing.TB, h *Hub, id, protocol string) *sink {
	s := &sink{id: id, wrote: make(chan struct{}, 1)}
	app, err := h.accept(s)
	if err != nil {
		b.Fatal(err)
	}
	s.app = app
	if err := app.Receive([]byte(`{"protocol":"` + protocol + `","version":1}` + "\x1e")); err != nil {
		b.Fatal(err)
	}
	for s.bytes.Load() == 0 {
		<-s.wrote
	}
	return s
}

// BenchmarkFanOut is one event to all members of a group, encoded and written
// out to the last byte.
func BenchmarkFanOut(b *testing.B) {
	for _, conns := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			h := NewHub("bench", HubOptions{SlowClient: Wait(1 << 40)})
			sinks := make([]*sink, conns)
			for i := range sinks {
				sinks[i] = sinkConn(b, h, fmt.Sprint(i), "json")
				if err := h.AddToGroup(context.Background(), fmt.Sprint(i), "g"); err != nil {
					b.Fatal(err)
				}
			}
			event := NewEvent[map[string]any]("Progress")
			payload := map[string]any{"taskId": "task_0123456789", "progress": 42, "message": strings.Repeat("x", 150)}
			total := func() (n int64) {
				for _, s := range sinks {
					n += s.bytes.Load()
				}
				return n
			}
			before := total()
			var one int64
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := event.Send(context.Background(), h.Group("g"), payload); err != nil {
					b.Fatal(err)
				}
			}
			frame, _ := h.newPayload("", "Progress", []any{payload}).frame(0)
			one = int64(len(frame))
			for total()-before < one*int64(conns)*int64(b.N) {
				runtime.Gosched()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*conns), "ns/delivery")
			b.StopTimer()
			for _, s := range sinks {
				s.app.Ended(nil)
			}
		})
	}
}

// BenchmarkEvent is one event made ready to be queued: payload, envelope, frame.
func BenchmarkEvent(b *testing.B) {
	type payload struct {
		TaskID   string  `json:"taskId"`
		Progress float64 `json:"progress"`
		Message  string  `json:"message"`
	}
	h := NewHub("bench", HubOptions{})
	v := payload{"task_0123456789", 42.5, "frame 37 of 120"}
	for i, name := range protocolNames {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := h.newPayload("", "Progress", []any{v}).frame(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInvocation is a call of a method and its answer, in memory: from the
// bytes of the one to the bytes of the other.
func BenchmarkInvocation(b *testing.B) {
	for i, name := range protocolNames {
		b.Run(name, func(b *testing.B) {
			h := NewHub("bench", HubOptions{})
			Handle(h, "Add", func(a, b int) int { return a + b })
			s := sinkConn(b, h, "c1", name)
			m := wire.Message{Type: wire.Invocation, InvocationID: "7", Target: "Add"}
			for _, n := range []int{2, 40} {
				raw, _ := h.protocols[i].AppendValue(nil, n, wire.DefaultCasing)
				m.Arguments = append(m.Arguments, raw)
			}
			call := h.protocols[i].Append(nil, &m)
			result, _ := h.protocols[i].AppendValue(nil, 42, wire.DefaultCasing)
			answer := int64(len(h.protocols[i].Append(nil, &wire.Message{Type: wire.Completion, InvocationID: "7", HasResult: true, Result: result})))
			want := s.bytes.Load()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.app.Receive(call); err != nil {
					b.Fatal(err)
				}
				for want += answer; s.bytes.Load() < want; {
					<-s.wrote
				}
			}
			b.StopTimer()
			s.app.Ended(nil)
		})
	}
}
