package signalr

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"sync"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// pendingCall is a call of a client that the server has not completed.
type pendingCall struct {
	id     string
	name   string
	stream bool

	mu        sync.Mutex // after clientConn.mu
	items     []wire.Raw
	unread    bool // nobody reads them any more
	done      bool
	hasResult bool
	result    wire.Raw
	err       error
	changed   chan struct{} // holds one when something has changed
}

func (p *pendingCall) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *pendingCall) fail(err error) {
	p.mu.Lock()
	p.done, p.err = true, err
	p.mu.Unlock()
	p.signal()
}

func (p *pendingCall) complete(hasResult bool, result wire.Raw) {
	p.mu.Lock()
	p.done, p.hasResult, p.result = true, hasResult, result
	p.mu.Unlock()
	p.signal()
}

// Invoke calls a method of the hub and waits for its result, which it stores in
// out, a pointer; nil if the value does not matter. Arguments are values, and
// for streams to the server iter.Seq2[T, error], which are read on goroutines
// of their own until they end, the call ends or the connection does. An answer
// that is an error comes as *CallError, the end of the connection as
// ErrConnectionClosed. When ctx ends the server is told that nobody waits, and
// its error is returned.
func (c *Client) Invoke(ctx context.Context, name string, out any, args ...any) (err error) {
	ctx, end := c.startSpan(ctx, name)
	defer func() { end(err) }()
	if err := checkOut(name, out); err != nil {
		return err
	}
	k, call, err := c.start(ctx, wire.Invocation, name, args)
	if err != nil {
		return err
	}
	for {
		call.mu.Lock()
		done, hasResult, result, err := call.done, call.hasResult, call.result, call.err
		call.mu.Unlock()
		switch {
		case err != nil:
			return err
		case done && out == nil || done && !hasResult:
			return nil
		case done:
			if err := k.proto.DecodeValue(result, out); err != nil {
				return fmt.Errorf("signalr: the result of %s: %w", name, err)
			}
			return nil
		}
		select {
		case <-call.changed:
		case <-ctx.Done():
			k.giveUp(call)
			return ctx.Err()
		}
	}
}

// Send calls a method of the hub without waiting for it, or for what becomes of
// it; see Invoke for the arguments. It returns when the call is queued, and
// waits while more than 1 MiB is.
func (c *Client) Send(ctx context.Context, name string, args ...any) (err error) {
	ctx, end := c.startSpan(ctx, name)
	defer func() { end(err) }()
	k, err := c.current()
	if err != nil {
		return err
	}
	_, err = k.send(ctx, wire.Invocation, name, args, false)
	return err
}

// Stream calls a streaming method of the hub when it is ranged over, each time
// anew. An error comes as the last pair: *CallError, ErrConnectionClosed, or
// that of ctx. Leaving the loop cancels the stream at the server.
func Stream[T any](ctx context.Context, c *Client, name string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		ctx, end := c.startSpan(ctx, name)
		k, call, err := c.start(ctx, wire.StreamInvocation, name, args)
		defer func() { end(err) }()
		if err != nil {
			yield(zero, err)
			return
		}
		for {
			var items []wire.Raw
			var done bool
			items, done, err = call.next(ctx)
			if ctx.Err() != nil && !done {
				k.giveUp(call)
			}
			k.taken(len(items))
			for i, raw := range items {
				var v T
				if bad := k.proto.DecodeValue(raw, &v); bad != nil {
					k.giveUp(call)
					err = fmt.Errorf("signalr: item %d of %s: %w", i+1, name, bad)
					yield(zero, err)
					return
				}
				if !yield(v, nil) {
					k.giveUp(call)
					return
				}
			}
			if err != nil {
				yield(zero, err)
				return
			}
			if done {
				return
			}
		}
	}
}

// next waits for items or the end.
func (p *pendingCall) next(ctx context.Context) (items []wire.Raw, done bool, err error) {
	for {
		p.mu.Lock()
		items, done, err = p.items, p.done, p.err
		p.items = nil
		p.mu.Unlock()
		if len(items) > 0 || done {
			return items, done, err
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// start begins a call that will be answered.
func (c *Client) start(ctx context.Context, kind wire.Type, name string, args []any) (*clientConn, *pendingCall, error) {
	k, err := c.current()
	if err != nil {
		return nil, nil, err
	}
	call, err := k.send(ctx, kind, name, args, true)
	return k, call, err
}

// send queues an invocation and starts its uploads.
func (k *clientConn) send(ctx context.Context, kind wire.Type, name string, args []any, answered bool) (*pendingCall, error) {
	m := wire.Message{Type: kind, Target: name, Arguments: []wire.Raw{}, Headers: k.client.traceHeaders(ctx)}
	var uploads []reflect.Value
	for i, arg := range args {
		if v := reflect.ValueOf(arg); v.IsValid() {
			if _, ok := streamItem(v.Type()); ok {
				uploads = append(uploads, v)
				continue
			}
		}
		raw, err := k.encode(arg)
		if err != nil {
			return nil, fmt.Errorf("signalr: argument %d of %s: %w", i+1, name, err)
		}
		m.Arguments = append(m.Arguments, raw)
	}
	k.mu.Lock()
	if k.ended {
		k.mu.Unlock()
		return nil, ErrConnectionClosed
	}
	for range uploads {
		m.StreamIDs = append(m.StreamIDs, k.newID())
	}
	var call *pendingCall
	if answered {
		m.InvocationID = k.newID()
		call = &pendingCall{id: m.InvocationID, name: name, stream: kind == wire.StreamInvocation, changed: make(chan struct{}, 1)}
		k.calls[call.id] = call
	}
	k.mu.Unlock()
	if err := k.queue(ctx, k.proto.Append(nil, &m)); err != nil {
		if call != nil {
			k.mu.Lock()
			delete(k.calls, call.id)
			k.mu.Unlock()
		}
		return nil, err
	}
	for i, seq := range uploads {
		go k.upload(ctx, call, m.StreamIDs[i], seq)
	}
	return call, nil
}

// encode encodes an argument or result. A panic of a marshaller is an error.
func (k *clientConn) encode(v any) (raw wire.Raw, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while encoding %T: %v", v, p)
		}
	}()
	return k.proto.AppendValue(nil, v, k.client.casing)
}

// giveUp tells the server, once, that nobody waits for a call any more; .NET 11
// does so for plain calls too. Items of a stream go on to come until its
// completion, and are passed over, like the completion itself. It does not
// wait for room: a call that is given up ends at once.
func (k *clientConn) giveUp(call *pendingCall) {
	call.mu.Lock()
	if call.unread {
		call.mu.Unlock()
		return
	}
	done, left := call.done, len(call.items)
	call.unread, call.items = true, nil
	call.mu.Unlock()
	k.taken(left)
	if done {
		return
	}
	k.mu.Lock()
	if !call.stream {
		delete(k.calls, call.id)
	}
	told := !k.ended && !k.leaving
	if told {
		k.push(k.proto.Append(nil, &wire.Message{Type: wire.CancelInvocation, InvocationID: call.id}))
	}
	k.mu.Unlock()
	if told {
		k.session.Flush()
	}
}

// upload sends the items of a sequence, and its end.
func (k *clientConn) upload(ctx context.Context, call *pendingCall, id string, seq reflect.Value) {
	end := wire.Message{Type: wire.Completion, InvocationID: id}
	fail := func(format string, args ...any) {
		end.HasError, end.Error = true, fmt.Sprintf(format, args...)
	}
	over := func() bool {
		if k.ctx.Err() != nil {
			return true
		}
		if call == nil {
			return false
		}
		call.mu.Lock()
		defer call.mu.Unlock()
		return call.done // the server wants no more
	}
	yield := reflect.MakeFunc(seq.Type().In(0), func(pair []reflect.Value) []reflect.Value {
		goOn := false
		err, _ := pair[1].Interface().(error)
		switch {
		case over():
		case ctx.Err() != nil && call != nil:
			fail("Stream canceled by client.")
		case err != nil:
			fail("Stream errored by client: '%v'", err)
		default:
			raw, err := k.encode(pair[0].Interface())
			if err != nil {
				fail("Stream errored by client: '%v'", err)
				break
			}
			goOn = k.queue(k.ctx, k.proto.Append(nil, &wire.Message{Type: wire.StreamItem, InvocationID: id, Item: raw})) == nil
		}
		return []reflect.Value{reflect.ValueOf(goOn)}
	})
	func() {
		defer func() {
			if p := recover(); p != nil {
				fail("Stream errored by client: 'panic'")
				k.client.opts.Logger.Error("an upload panicked", "panic", p)
			}
		}()
		seq.Call([]reflect.Value{yield})
	}()
	if !over() {
		_ = k.queue(k.ctx, k.proto.Append(nil, &end)) // the connection may be gone
	}
}
