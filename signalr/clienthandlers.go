package signalr

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// clientHandler is what a client does when the server calls.
type clientHandler struct {
	answers bool // it has a result
	run     func(ctx context.Context, k *clientConn, args []wire.Raw) (any, error)
}

// errClientArguments are arguments that do not fit the handler.
var errClientArguments = errors.New("Client failed to parse argument(s).") //nolint:staticcheck // the .NET client's words

// On has fn called when the server calls name, which is compared with case, as
// in .NET. fn is a function
//
//	func([ctx context.Context], args...) results
//
// whose arguments must be as many as the server sends; results are (), (error),
// (R) or (R, error). A function with an R answers the server's client results;
// there can be one for a name. Several others run in the order in which they
// were registered. Handlers without R run one after the other, so that they see
// the messages in the server's order; those with R beside them. An error is the
// answer where the server wants one, with its text, and is logged elsewhere.
// ctx ends with the connection. Handlers stay over reconnects; off takes this
// one away. On panics if fn does not fit.
func (c *Client) On(name string, fn any) (off func()) {
	m, err := newMethod(name, fn)
	if err != nil {
		panic(fmt.Sprintf("signalr: On %q: %v", name, err))
	}
	for _, p := range m.params {
		if p.kind == paramConn || p.kind == paramUpload {
			panic(fmt.Sprintf("signalr: On %q: a client's handler cannot take a %v", name, p.typ))
		}
	}
	if m.stream {
		panic(fmt.Sprintf("signalr: On %q: a client cannot answer with a stream", name))
	}
	return c.handle(name, &clientHandler{answers: m.result != nil, run: func(ctx context.Context, k *clientConn, args []wire.Raw) (any, error) {
		if len(args) != m.args {
			return nil, errClientArguments
		}
		values := make([]reflect.Value, len(m.params))
		for i, p := range m.params {
			if p.kind == paramContext {
				values[i] = reflect.ValueOf(ctx)
				continue
			}
			v := reflect.New(p.typ)
			if err := k.proto.DecodeValue(args[0], v.Interface()); err != nil {
				return nil, fmt.Errorf("%w %w", errClientArguments, err)
			}
			values[i], args = v.Elem(), args[1:]
		}
		result, err := m.call(values)
		if err != nil || !result.IsValid() {
			return nil, err
		}
		return result.Interface(), nil
	}})
}

// On has fn called when the server sends the event to this client; see
// Client.On.
func (e *Event[T]) On(c *Client, fn func(ctx context.Context, payload T)) (off func()) {
	return c.handle(e.name, &clientHandler{run: func(ctx context.Context, k *clientConn, args []wire.Raw) (any, error) {
		payload, err := onlyArgument[T](k, args)
		if err == nil {
			fn(ctx, payload)
		}
		return nil, err
	}})
}

// Answer has the client answer the query with what fn returns; see Client.On.
func (q *Query[In, Out]) Answer(c *Client, fn func(ctx context.Context, in In) (Out, error)) (off func()) {
	return c.handle(q.name, &clientHandler{answers: true, run: func(ctx context.Context, k *clientConn, args []wire.Raw) (any, error) {
		in, err := onlyArgument[In](k, args)
		if err != nil {
			return nil, err
		}
		return fn(ctx, in)
	}})
}

func onlyArgument[T any](k *clientConn, args []wire.Raw) (v T, err error) {
	if len(args) != 1 {
		return v, errClientArguments
	}
	if err := k.proto.DecodeValue(args[0], &v); err != nil {
		return v, fmt.Errorf("%w %w", errClientArguments, err)
	}
	return v, nil
}

func (c *Client) handle(name string, h *clientHandler) (off func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.answers && slices.ContainsFunc(c.handlers[name], func(h *clientHandler) bool { return h.answers }) {
		panic(fmt.Sprintf("signalr: %q already has a value returning handler. Multiple return values are not supported.", name))
	}
	c.handlers[name] = append(slices.Clip(c.handlers[name]), h)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		rest := slices.Clone(c.handlers[name])
		c.handlers[name] = slices.DeleteFunc(rest, func(other *clientHandler) bool { return other == h })
	}
}

// invoked takes in a call of the server.
func (k *clientConn) invoked(m *wire.Message) error {
	name, id := m.Target, m.InvocationID
	k.client.mu.Lock()
	handlers := k.client.handlers[name]
	k.client.mu.Unlock()
	if len(handlers) == 0 {
		k.client.opts.Logger.Warn("no handler for a method that the server calls", "method", name)
	}
	var args []wire.Raw
	if m.ArgumentsErr == nil {
		args, _ = copyArguments(nil, m.Arguments)
	}
	answered := false
	for _, h := range handlers {
		if h.answers {
			answered = true
			go k.answer(h, name, id, args, m.ArgumentsErr)
			continue
		}
		if err := k.dispatch(func() {
			if _, err := k.call(h, name, args, nil); err != nil {
				k.client.opts.Logger.Error("a handler failed", "method", name, "error", err)
			}
		}); err != nil {
			return err
		}
	}
	if id != "" && !answered {
		return k.dispatch(func() { k.complete(id, nil, errNoResult) })
	}
	return nil
}

var errNoResult = errors.New("Client didn't provide a result.") //nolint:staticcheck // the official clients' words

// call runs a handler. It does not panic.
func (k *clientConn) call(h *clientHandler, name string, args []wire.Raw, unreadable error) (result any, err error) {
	if unreadable != nil {
		return nil, errClientArguments
	}
	defer func() {
		if v := recover(); v != nil {
			k.client.opts.Logger.Error("a handler panicked", "method", name, "panic", v, "stack", string(debug.Stack()))
			err = errors.New("the client's handler failed")
		}
	}()
	return h.run(k.ctx, k, args)
}

// answer runs a handler with a result and sends that, if it is wanted.
func (k *clientConn) answer(h *clientHandler, name, id string, args []wire.Raw, unreadable error) {
	select {
	case <-k.open:
	case <-k.done:
		return
	}
	result, err := k.call(h, name, args, unreadable)
	if id == "" {
		k.client.opts.Logger.Error("a result was given that the server does not expect", "method", name)
		return
	}
	k.complete(id, result, err)
}

// complete answers a call of the server.
func (k *clientConn) complete(id string, result any, err error) {
	m := wire.Message{Type: wire.Completion, InvocationID: id}
	if err == nil {
		m.Result, err = k.encode(result)
		m.HasResult = true
	}
	switch {
	case errors.Is(err, errClientArguments):
		m = wire.Message{Type: wire.Completion, InvocationID: id, HasError: true, Error: errClientArguments.Error()}
	case err != nil:
		m = wire.Message{Type: wire.Completion, InvocationID: id, HasError: true, Error: err.Error()}
	}
	_ = k.queue(k.ctx, k.proto.Append(nil, &m)) // the connection may be gone
}

// dispatch has f run after those before it.
func (k *clientConn) dispatch(f func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.wait(1); err != nil {
		return err
	}
	k.inbox = append(k.inbox, f)
	if !k.dispatching {
		k.dispatching = true
		go k.work()
	}
	return nil
}

// work runs handlers until none waits. None runs before the client counts as
// connected, so that handlers can call the server.
func (k *clientConn) work() {
	select {
	case <-k.open:
	case <-k.done: // it may have ended right after it was opened
		select {
		case <-k.open:
		default:
			return
		}
	}
	for {
		k.mu.Lock()
		if len(k.inbox) == 0 {
			k.dispatching, k.inbox = false, nil
			k.mu.Unlock()
			return
		}
		f := k.inbox[0]
		k.inbox[0] = nil
		k.inbox = k.inbox[1:]
		k.waiting--
		k.mu.Unlock()
		f()
	}
}
