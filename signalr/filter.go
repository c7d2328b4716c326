package signalr

import (
	"context"
	"fmt"
	"reflect"
)

// Call is a call of a method on its way through the filters. It belongs to the
// filters of that one call, which run one within the other.
type Call struct {
	Conn   *Conn
	Method string // as registered
	// Args are the arguments that the client sent, bound. A filter may replace
	// them by values of the same types.
	Args []any
}

// Filter wraps the calls of methods: it runs code before and after next, or
// instead of it. The result is that of the method, nil if it has none; for a
// stream it is the sequence, which is pulled after the filters have returned.
// Errors and panics are treated like the method's own.
type Filter func(ctx context.Context, call *Call, next func(ctx context.Context) (any, error)) (any, error)

// filtered calls a method through the filters of the hub.
func (h *Hub) filtered(inv *invocation, values []reflect.Value) (reflect.Value, error) {
	m := inv.method
	if len(h.opts.Filters) == 0 {
		return m.call(values)
	}
	call := &Call{Conn: inv.conn, Method: m.name}
	for i, p := range m.params {
		if p.kind == paramArgument {
			call.Args = append(call.Args, values[i].Interface())
		}
	}
	next := func(ctx context.Context) (any, error) {
		if err := m.rebind(ctx, call.Args, values); err != nil {
			return nil, err
		}
		v, err := m.call(values)
		if err != nil || !v.IsValid() {
			return nil, err
		}
		return v.Interface(), nil
	}
	for i := len(h.opts.Filters) - 1; i >= 0; i-- {
		filter, inner := h.opts.Filters[i], next
		next = func(ctx context.Context) (any, error) { return filter(ctx, call, inner) }
	}
	result, err := next(inv)
	if err != nil || result == nil {
		if err == nil && m.stream {
			return reflect.Zero(m.fn.Type().Out(0)), nil
		}
		return reflect.Value{}, err
	}
	v := reflect.ValueOf(result)
	if m.stream && v.Type() != m.fn.Type().Out(0) {
		return reflect.Value{}, fmt.Errorf("signalr: a filter returned %T instead of the stream of %s", result, m.name)
	}
	return v, nil
}

// rebind puts the context and the arguments of a call into the values of the
// parameters.
func (m *method) rebind(ctx context.Context, args []any, values []reflect.Value) error {
	if len(args) != m.args {
		return fmt.Errorf("signalr: a filter left %d arguments of %d for %s", len(args), m.args, m.name)
	}
	arg := 0
	for i, p := range m.params {
		switch p.kind {
		case paramContext:
			values[i] = reflect.ValueOf(ctx)
		case paramArgument:
			v := reflect.New(p.typ).Elem()
			if args[arg] != nil {
				if t := reflect.TypeOf(args[arg]); !t.AssignableTo(p.typ) {
					return fmt.Errorf("signalr: a filter replaced argument %d of %s by a %v", arg+1, m.name, t)
				}
				v.Set(reflect.ValueOf(args[arg]))
			}
			values[i] = v
			arg++
		}
	}
	return nil
}
