package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// stream sends the items of a sequence, as fast as the client takes them, and
// the end.
func (c *Conn) stream(inv *invocation, seq reflect.Value) {
	if seq.IsNil() {
		c.answerError(inv, fmt.Sprintf("The value returned by the streaming method '%s' is not a ChannelReader<> or IAsyncEnumerable<>.", inv.target))
		return
	}
	err := c.protect(inv, func() error { return c.sendItems(inv, seq) })
	if err == nil || inv.Err() != nil { // a cancelled stream ends without an error
		inv.failed = nil
		if inv.id != "" {
			a := newAssembly()
			a.Type, a.InvocationID = wire.Completion, inv.id
			c.reply(a)
		}
		return
	}
	c.answerError(inv, withDetail("An error occurred on the server while streaming results.", err, c.hub.opts.EnableDetailedErrors))
}

// sendItems pulls the sequence to its end, its error, or the cancelling of the
// invocation.
func (c *Conn) sendItems(inv *invocation, seq reflect.Value) error {
	for item, failed := range seq.Seq2() {
		if err, _ := failed.Interface().(error); err != nil {
			return err
		}
		if inv.Err() != nil {
			return nil
		}
		frame, err := c.itemFrame(inv.id, item.Interface())
		if err != nil {
			return err
		}
		if inv.id == "" {
			continue
		}
		c.traceSent(wire.StreamItem, "", inv.id)
		if c.queueWaiting(inv, delivery{frame: frame}) != nil {
			return nil // cancelled, or gone
		}
	}
	return nil
}

// itemFrame is the message that carries one item.
func (c *Conn) itemFrame(id string, item any) ([]byte, error) {
	a := newAssembly()
	defer a.release()
	if err := a.encode(c.hub, c.protocol, item); err != nil {
		return nil, err
	}
	a.Type, a.InvocationID, a.Item = wire.StreamItem, id, a.values
	return a.framed(c.proto), nil
}

// upload is a stream from the client.
type upload struct {
	id        string
	items     chan wire.Raw // closed at the end of the stream
	failed    error         // why it ended, set before
	abandoned bool          // nobody reads any more; guarded by inbound.mu
}

var (
	errUploadLost = errors.New("The underlying connection was closed.") //nolint:staticcheck // reference text
	errUploadRead = errors.New("signalr: an uploaded stream can be read once")
)

// addUploads registers the streams of an invocation; it returns the refusal.
// The caller holds in.mu.
func (c *Conn) addUploads(inv *invocation, ids []string) string {
	for i, id := range ids {
		taken := c.in.uploads[id] != nil
		for _, before := range ids[:i] {
			taken = taken || before == id
		}
		if taken {
			return fmt.Sprintf("An unexpected error occurred invoking '%s' on the server. HubException: Stream ID '%s' is already in use.", inv.target, id)
		}
	}
	for _, id := range ids {
		u := &upload{id: id, items: make(chan wire.Raw, c.hub.opts.StreamBufferCapacity)}
		if c.in.uploads == nil {
			c.in.uploads = make(map[string]*upload)
		}
		c.in.uploads[id] = u
		inv.uploads = append(inv.uploads, u)
	}
	return ""
}

// uploaded takes in an item. It blocks while the stream's buffer is full, or the
// connection keeps too much.
func (c *Conn) uploaded(m *wire.Message) error {
	in := &c.in
	in.mu.Lock()
	u := in.uploads[m.InvocationID]
	in.await(func() bool { return u == nil || u.abandoned || len(u.items) < cap(u.items) && c.roomFor(len(m.Item)) })
	defer in.mu.Unlock()
	switch {
	case in.over:
		return errStop
	case u == nil || u.abandoned: // over, or never there
		return nil
	}
	in.kept += len(m.Item)
	u.items <- append(wire.Raw(nil), m.Item...) // has room: nobody else sends
	return nil
}

// uploadEnded takes in the end of a stream; false: there is none of that id.
func (c *Conn) uploadEnded(m *wire.Message) bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	u := c.in.uploads[m.InvocationID]
	if u == nil {
		return false
	}
	delete(c.in.uploads, m.InvocationID)
	if m.HasError {
		u.failed = Errorf("%s", m.Error)
	}
	close(u.items)
	return true
}

// seq yields the items of the stream, then its error if it has one.
func (u *upload) seq(inv *invocation, item reflect.Type) iter.Seq2[reflect.Value, error] {
	read := false
	return func(yield func(reflect.Value, error) bool) {
		if read {
			yield(reflect.Value{}, errUploadRead)
			return
		}
		read = true
		for {
			raw, more, err := u.receive(inv)
			if err != nil {
				yield(reflect.Value{}, err)
				return
			}
			if !more {
				return
			}
			v := reflect.New(item)
			if err := inv.conn.proto.DecodeValue(raw, v.Interface()); err != nil {
				inv.conn.abandon(u)
				yield(reflect.Value{}, bindStreamError(err, inv.conn.proto, inv.conn.hub.opts.EnableDetailedErrors))
				return
			}
			if !yield(v.Elem(), nil) {
				inv.conn.abandon(u)
				return
			}
		}
	}
}

// receive waits for the next item. What has arrived is read before the end of
// the connection is told.
func (u *upload) receive(inv *invocation) (raw wire.Raw, more bool, err error) {
	select {
	case raw, more = <-u.items:
	default:
		select {
		case raw, more = <-u.items:
		case <-inv.Done():
			if inv.conn.ctx.Err() != nil {
				return nil, false, errUploadLost
			}
			return nil, false, context.Cause(inv)
		}
	}
	if !more {
		return nil, false, u.failed
	}
	in := &inv.conn.in
	in.mu.Lock()
	defer in.mu.Unlock()
	in.letGo(len(raw))
	return raw, true, nil
}

// abandon makes what follows of a stream be passed over.
func (c *Conn) abandon(u *upload) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.abandon(u)
}

// abandon is the same; the caller holds in.mu.
func (in *inbound) abandon(u *upload) {
	if in.uploads[u.id] == u {
		delete(in.uploads, u.id)
	}
	u.abandoned = true
	in.signalSpace()
	for {
		select { // a method that has returned may have left a reader behind
		case raw, more := <-u.items:
			if !more {
				return
			}
			in.letGo(len(raw))
		default:
			return
		}
	}
}

// bindStreamError is what the reader of an upload gets for an item that does
// not fit.
func bindStreamError(err error, proto wire.Protocol, detailed bool) error {
	const text = "Failed to bind Stream message."
	var unfit *wire.BindError
	switch {
	case !detailed:
		return &callerError{text: text, cause: err}
	case !errors.As(err, &unfit):
		return Errorf("%s %w", text, err)
	case proto.Binary():
		return &callerError{text: text + " InvalidDataException: " + unfit.Item(), cause: err}
	}
	return &callerError{text: text + " JsonException: " + unfit.Item(), cause: err}
}
