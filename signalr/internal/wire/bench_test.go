package wire

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// benchEvent is an event as Conduit sends it.
type benchEvent struct {
	EventType    string    `json:"eventType"`
	TaskID       string    `json:"taskId"`
	Progress     int       `json:"progress"`
	Message      string    `json:"message,omitempty"`
	CurrentFrame int       `json:"currentFrame,omitempty"`
	TotalFrames  int       `json:"totalFrames,omitempty"`
	Sequence     int64     `json:"sequence"`
	Timestamp    time.Time `json:"timestamp"`
}

var protocols = []Protocol{JSON, MessagePack}

func newBenchEvent() benchEvent {
	return benchEvent{"VideoGenerationProgress", "task_01hzxy7k", 42, "Rendering", 13, 30, 17,
		time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}
}

// BenchmarkDecodeInvocation cuts and reads a call from a client, with its one
// string argument.
func BenchmarkDecodeInvocation(b *testing.B) {
	for _, p := range protocols {
		b.Run(p.Name(), func(b *testing.B) {
			argument, err := p.AppendValue(nil, "task_01hzxy7k", DefaultCasing)
			if err != nil {
				b.Fatal(err)
			}
			buf := p.Append(nil, &Message{Type: Invocation, InvocationID: "17", Target: "SubscribeToTask", Arguments: []Raw{argument}})
			b.Run("envelope", func(b *testing.B) {
				var m Message
				b.ReportAllocs()
				b.SetBytes(int64(len(buf)))
				for b.Loop() {
					benchParse(b, p, buf, &m)
				}
			})
			b.Run("envelope by "+peerNames[p], func(b *testing.B) {
				frame, _, _ := p.Split(buf, 0)
				b.ReportAllocs()
				for b.Loop() {
					if err := benchPeer(p, frame); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("bound", func(b *testing.B) {
				var m Message
				var id string
				b.ReportAllocs()
				for b.Loop() {
					benchParse(b, p, buf, &m)
					if err := p.DecodeValue(m.Arguments[0], &id); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// peerNames are the libraries that the readers are compared with.
var peerNames = map[Protocol]string{JSON: "encoding-json", MessagePack: "vmihailenco"}

// benchPeer reads a call as one would without a reader of one's own.
func benchPeer(p Protocol, frame []byte) error {
	if p.Binary() {
		var m struct {
			_msgpack  struct{} `msgpack:",as_array"`
			Type      int
			Headers   map[string]string
			ID        string
			Target    string
			Arguments []msgpack.RawMessage
			Streams   []string
		}
		return msgpack.Unmarshal(frame, &m)
	}
	var m struct {
		Type         int               `json:"type"`
		Headers      map[string]string `json:"headers"`
		InvocationID string            `json:"invocationId"`
		Target       string            `json:"target"`
		Arguments    []json.RawMessage `json:"arguments"`
		StreamIDs    []string          `json:"streamIds"`
	}
	return json.Unmarshal(frame, &m)
}

func benchParse(b *testing.B, p Protocol, buf []byte, m *Message) {
	frame, _, err := p.Split(buf, 32768)
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Parse(frame, m); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEncodeEvent writes an event, payload and envelope.
func BenchmarkEncodeEvent(b *testing.B) {
	for _, p := range protocols {
		b.Run(p.Name(), func(b *testing.B) {
			event := newBenchEvent()
			m := Message{Type: Invocation, Target: "Progress", Arguments: make([]Raw, 1)}
			var payload, out []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if payload, err = p.AppendValue(payload[:0], &event, CamelCase); err != nil {
					b.Fatal(err)
				}
				m.Arguments[0] = payload
				out = p.Append(out[:0], &m)
			}
		})
		b.Run(p.Name()+" payload alone by "+peerNames[p], func(b *testing.B) {
			event := newBenchEvent()
			encode := json.Marshal
			if p.Binary() {
				encode = msgpack.Marshal
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encode(&event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeEvent binds an event's payload, as a Go client does.
func BenchmarkDecodeEvent(b *testing.B) {
	for _, p := range protocols {
		b.Run(p.Name(), func(b *testing.B) {
			payload, err := p.AppendValue(nil, newBenchEvent(), CamelCase)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				var event benchEvent
				if err := p.DecodeValue(payload, &event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
