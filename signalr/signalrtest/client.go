package signalrtest

import (
	"time"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Invoke calls a method of the hub and returns its result. It fails the test if
// the method fails; see Client.Call.
func Invoke[T any](c *Client, name string, args ...any) T {
	c.t.Helper()
	var out T
	v, err := c.Call(name, args...)
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	if err := v.Decode(&out); err != nil {
		c.t.Fatalf("result of %s: %v", name, err)
	}
	return out
}

// Call calls a method of the hub and returns its result; the error is what the
// hub shows clients.
func (c *Client) Call(name string, args ...any) (Value, error) {
	c.t.Helper()
	_, a := c.start(wire.Invocation, name, args)
	c.wait("the answer of "+name, func() bool { return a.done })
	return a.result, a.err
}

// Send calls a method of the hub without wanting an answer.
func (c *Client) Send(name string, args ...any) { c.invocation(wire.Invocation, "", name, args) }

// Stream calls a streaming method of the hub.
func (c *Client) Stream(name string, args ...any) *Stream {
	id, a := c.start(wire.StreamInvocation, name, args)
	return &Stream{c: c, id: id, name: name, a: a}
}

// Stream is a stream from the hub, for one goroutine to read.
type Stream struct {
	c    *Client
	id   string
	name string
	a    *answer
}

// Next decodes the next item into v, a pointer; false: the stream has ended.
func (s *Stream) Next(v any) bool {
	s.c.t.Helper()
	var item Value
	ok := false
	s.c.wait("an item of "+s.name, func() bool {
		if ok = len(s.a.items) > 0; ok {
			item, s.a.items = s.a.items[0], s.a.items[1:]
		}
		return ok || s.a.done
	})
	if !ok {
		return false
	}
	if err := item.Decode(v); err != nil {
		s.c.t.Fatalf("item of %s: %v", s.name, err)
	}
	return true
}

// Err is the error that ended the stream, nil for a regular end. It waits for
// the end.
func (s *Stream) Err() error {
	s.c.t.Helper()
	s.c.wait("the end of "+s.name, func() bool { return s.a.done })
	return s.a.err
}

// Cancel tells the hub that no more is wanted.
func (s *Stream) Cancel() {
	s.c.write(s.c.proto.Append(nil, &wire.Message{Type: wire.CancelInvocation, InvocationID: s.id}))
}

// Answer has the client answer a query of the hub with what f returns. f runs
// on the client's reader.
func (c *Client) Answer(name string, f func(args []Value) (any, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answerTo[name] = f
}

// Expect waits for the next message of the hub to this client and fails the
// test unless it has that name.
func (c *Client) Expect(name string) Message {
	c.t.Helper()
	m := c.Next()
	if m.Name != name {
		c.t.Fatalf("got %s%v, want %s", m.Name, m.Args, name)
	}
	return m
}

// Next waits for the next message of the hub to this client.
func (c *Client) Next() Message {
	c.t.Helper()
	var m Message
	c.wait("a message", func() bool {
		if len(c.messages) == 0 {
			return false
		}
		m, c.messages = c.messages[0], c.messages[1:]
		return true
	})
	return m
}

// Received takes all messages that have come and were not taken, without
// waiting. Inside testing/synctest, call synctest.Wait before, to know that
// nothing more is under way.
func (c *Client) Received() []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.messages
	c.messages = nil
	return m
}

// Ping sends a ping, as clients do every 15 s.
func (c *Client) Ping() { c.write(c.proto.Append(nil, &wire.Message{Type: wire.Ping})) }

// Pause makes the client stop reading, like one whose network is stuck, until
// the returned function is called. What has been read already still counts.
// Pausing twice is pausing once.
func (c *Client) Pause() (goOn func()) {
	c.mu.Lock()
	if c.paused == nil {
		c.paused = make(chan struct{})
	}
	p := c.paused
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.paused == p {
			c.paused = nil
			close(p)
		}
	}
}

// Stop ends the connection as a client does that is stopped, and waits for the
// end.
func (c *Client) Stop() {
	c.t.Helper()
	c.write(c.proto.Append(nil, &wire.Message{Type: wire.Close}))
	c.WaitEnd()
}

// Cut ends the connection as a network does that fails, and waits until nothing
// of the client is left. It may be called more than once.
func (c *Client) Cut() {
	c.mu.Lock()
	if c.paused != nil {
		close(c.paused)
		c.paused = nil
	}
	c.mu.Unlock()
	_ = c.conn.Close() // never fails
	<-c.done
}

// WaitEnd waits for the end of the connection and returns the hub's Close
// message, nil if there was none.
func (c *Client) WaitEnd() *Closed {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatalf("the connection did not end within %v", patience)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}
