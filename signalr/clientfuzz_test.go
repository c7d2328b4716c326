package signalr

import (
	"testing"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

// FuzzClient gives a client any bytes from its server, in pieces.
func FuzzClient(f *testing.F) {
	f.Add([]byte("{}\x1e{\"type\":1,\"target\":\"M\",\"arguments\":[1]}\x1e{\"type\":7}\x1e"), uint8(3), false)
	f.Add([]byte("{}\x1e{\"type\":2,\"invocationId\":\"1\",\"item\":1}\x1e{\"type\":3,\"invocationId\":\"1\",\"result\":1}\x1e"), uint8(200), false)
	f.Add([]byte("{}\x1e{\"type\":9,\"sequenceId\":1}\x1e{\"type\":1,\"target\":\"Q\",\"invocationId\":\"a\",\"arguments\":[1]}\x1e{\"type\":8,\"sequenceId\":-1}\x1e"), uint8(2), false)
	f.Add([]byte("{}\x1e\x0d\x96\x01\x80\xa11\xa1M\x91\xa1x\x90"), uint8(7), true)
	seedConversations(f, "server", func(said []byte, binary bool) { f.Add(said, uint8(100), binary) })
	f.Fuzz(func(t *testing.T, data []byte, step uint8, pack bool) {
		opts := ClientOptions{QueueMessages: 4}
		if pack {
			opts.Protocol = "messagepack"
		}
		c := NewClient("http://example.test", opts)
		c.On("M", func(v any) {})
		c.On("Q", func(v any) any { return v })
		k := newClientConn(c, quietSession{stateful: step%2 == 0})
		k.calls["1"] = &pendingCall{id: "1", stream: true, changed: make(chan struct{}, 1)}
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+int(step))
			if k.Receive(rest[:n]) != nil {
				break
			}
			if rest = rest[n:]; len(rest)%7 == 0 {
				k.Lost()
				k.Resumed()
				k.Next(nil, 100)
			}
		}
		k.Ended(nil)
	})
}

// quietSession is a session without a transport.
type quietSession struct {
	transport.Session
	stateful bool
}

func (q quietSession) StatefulOffered() bool { return q.stateful }
func (quietSession) SetStateful(bool)        {}
func (quietSession) SetBinary(bool)          {}
func (quietSession) Flush()                  {}
func (quietSession) Close()                  {}
