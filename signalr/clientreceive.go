package signalr

import (
	"errors"
	"fmt"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Receive implements transport.Application: it takes in the messages that are
// whole and keeps the beginning of the next one.
func (k *clientConn) Receive(p []byte) error {
	k.busy.Add(1)
	defer k.busy.Add(-1)
	defer func() { k.seen.Store(k.now()) }()
	buf := p
	if len(k.partial) > 0 {
		k.partial = append(k.partial, p...)
		buf = k.partial
		if !wire.MayEnd(k.proto, p) {
			return nil
		}
	}
	n, err := k.take(buf)
	if err != nil {
		k.partial = nil
		return err
	}
	if n > 0 || len(k.partial) == 0 {
		k.partial = append(k.partial[:0], buf[n:]...)
	}
	if len(k.partial) == 0 && cap(k.partial) > 64<<10 {
		k.partial = nil
	}
	return nil
}

// take takes in the whole messages of buf and returns how many bytes these are.
func (k *clientConn) take(buf []byte) (n int, err error) {
	if !k.ready {
		text, size, err := wire.ParseHandshakeResponse(buf, 0)
		switch {
		case err != nil:
			return 0, fmt.Errorf("the answer to the handshake: %w", err)
		case size == 0:
			return 0, nil
		case text != "":
			return 0, fmt.Errorf("the server refuses the handshake: %s", text)
		}
		k.ready = true
		k.session.SetBinary(k.proto.Binary())
		if k.session.StatefulOffered() {
			r := newReliable(k.proto, k.client.opts.StatefulReconnectBufferSize)
			k.mu.Lock()
			k.reliable = r
			k.mu.Unlock()
			k.session.SetStateful(true)
		}
		close(k.shaken)
		n = size
	}
	for {
		frame, size, err := k.proto.Split(buf[n:], 0)
		if err != nil {
			return n, err
		}
		if size == 0 {
			return n, nil
		}
		n += size
		err = k.proto.Parse(frame, &k.message)
		switch {
		case errors.Is(err, wire.ErrUnknownType):
			k.client.opts.Logger.Info("unknown message type ignored")
			continue
		case err != nil:
			return n, err
		}
		if err := k.handle(&k.message); err != nil {
			return n, err
		}
	}
}

var errServerClosed = errors.New("signalr: the server has closed the connection")

// handle acts on one message.
func (k *clientConn) handle(m *wire.Message) error {
	if m.Type.Counted() && !k.counted() {
		return nil
	}
	switch m.Type {
	case wire.Ack, wire.Sequence:
		return k.resumption(m)
	case wire.Invocation:
		return k.invoked(m)
	case wire.StreamItem:
		return k.item(m)
	case wire.Completion:
		k.completed(m)
	case wire.Close:
		k.mu.Lock()
		k.serverClose, k.noReturn = true, !m.AllowReconnect
		switch {
		case m.HasError && k.cause == nil:
			k.cause = fmt.Errorf("the server closed the connection with the error: %s", m.Error)
		case m.AllowReconnect && k.cause == nil:
			k.cause = errServerClosed
		}
		k.mu.Unlock()
		k.session.SetStateful(false)
		k.session.Close()
		return errServerClosed // nothing counts any more
	}
	return nil
}

// counted numbers a message where there is stateful reconnect; false: it is a
// duplicate.
func (k *clientConn) counted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reliable == nil || k.reliable.received()
}

// resumption handles Ack and Sequence; without stateful reconnect they mean
// nothing.
func (k *clientConn) resumption(m *wire.Message) error {
	k.mu.Lock()
	r := k.reliable
	if r == nil {
		k.mu.Unlock()
		return nil
	}
	if m.Type == wire.Sequence {
		defer k.mu.Unlock()
		return r.resume(m.SequenceID)
	}
	r.acknowledged(m.SequenceID)
	k.signalRoom()
	k.mu.Unlock()
	k.session.Flush() // what waited for it
	return nil
}

// item gives an item to the stream that wants it.
func (k *clientConn) item(m *wire.Message) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	call := k.calls[m.InvocationID]
	if call == nil || !call.stream {
		return nil // late, or never asked for
	}
	call.mu.Lock()
	defer call.mu.Unlock()
	if call.unread {
		return nil
	}
	if err := k.wait(1); err != nil {
		return err
	}
	call.items = append(call.items, append(wire.Raw(nil), m.Item...))
	call.signal()
	return nil
}

// wait counts n more messages that wait. Called with mu held.
func (k *clientConn) wait(n int) error {
	if k.waiting+n > k.client.opts.QueueMessages {
		return ErrSlowClient
	}
	k.waiting += n
	return nil
}

// taken counts n messages that wait no longer.
func (k *clientConn) taken(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting -= n
}

func (k *clientConn) completed(m *wire.Message) {
	k.mu.Lock()
	call := k.calls[m.InvocationID]
	delete(k.calls, m.InvocationID)
	k.mu.Unlock()
	if call == nil {
		return
	}
	if m.HasError {
		call.fail(&CallError{Method: call.name, Text: m.Error})
		return
	}
	call.complete(m.HasResult, append(wire.Raw(nil), m.Result...))
}
