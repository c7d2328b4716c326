package signalr

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// Handle makes fn callable by clients under name, which they may write in any
// case. Nothing else of a program is reachable.
//
// fn is a function
//
//	func([ctx context.Context], [c *signalr.Conn], args...) results
//
// whose first parameters may be left out. The others are the arguments that a
// client sends, in order, their number must fit; one of type iter.Seq2[T, error]
// is a stream that the client uploads, taken from the invocation's streams in
// order, read at most once. Results are
//
//	()                           the answer is null
//	(error)                      the same
//	(R), (R, error)              the answer is R
//	(iter.Seq2[T, error])        a stream to the client; an error ends it
//	(iter.Seq2[T, error], error) the same; an error instead of the stream
//
// ctx ends when the client cancels the invocation, and with the connection.
// Methods run on goroutines of their own; see
// HubOptions.MaximumParallelInvocationsPerClient. A panic fails the call and
// nothing else. Handle panics if fn does not fit, if name is taken, and once
// the hub has connections.
func Handle(hub *Hub, name string, fn any) {
	m, err := newMethod(name, fn)
	if err != nil {
		panic(fmt.Sprintf("signalr: Handle %q: %v", name, err))
	}
	if hub.sealed.Load() {
		panic(fmt.Sprintf("signalr: Handle %q: the hub has connections", name))
	}
	if hub.methods[fold(name)] != nil {
		panic(fmt.Sprintf("signalr: Handle %q: registered twice", name))
	}
	hub.methods[fold(name)] = m
	hub.exact[name] = m
}

// method is what Handle made of a function.
type method struct {
	name    string
	fn      reflect.Value
	params  []param
	args    int // params that clients send
	uploads int
	result  reflect.Type // nil: none; of the items if stream
	stream  bool
	fails   bool // the last result is an error
}

// param is one parameter of a method.
type param struct {
	kind paramKind
	typ  reflect.Type // of the parameter
	item reflect.Type // of an upload's items
}

type paramKind int

const (
	paramContext paramKind = iota
	paramConn
	paramArgument
	paramUpload
)

var (
	contextType = reflect.TypeFor[context.Context]()
	connType    = reflect.TypeFor[*Conn]()
	errorType   = reflect.TypeFor[error]()
)

// newMethod checks fn and makes the plan of its calls.
func newMethod(name string, fn any) (*method, error) {
	if name == "" {
		return nil, fmt.Errorf("a method needs a name")
	}
	m := &method{name: name, fn: reflect.ValueOf(fn)}
	if m.fn.Kind() != reflect.Func || m.fn.IsNil() {
		return nil, fmt.Errorf("%T is not a function", fn)
	}
	t := m.fn.Type()
	if t.IsVariadic() {
		return nil, fmt.Errorf("%v is variadic; clients send a fixed number of arguments", t)
	}
	for i := range t.NumIn() {
		if err := m.addParam(t.In(i), i); err != nil {
			return nil, fmt.Errorf("parameter %d of %v: %w", i+1, t, err)
		}
	}
	return m, m.setResults(t)
}

func (m *method) addParam(t reflect.Type, i int) error {
	p := param{kind: paramArgument, typ: t}
	item, isStream := streamItem(t)
	switch {
	case t == contextType:
		if i != 0 {
			return fmt.Errorf("a context must come first")
		}
		p.kind = paramContext
	case t == connType:
		if i > 1 || i == 1 && m.params[0].kind != paramContext {
			return fmt.Errorf("a *Conn must come first, or behind the context")
		}
		p.kind = paramConn
	case isStream:
		p.kind, p.item = paramUpload, item
		m.uploads++
	case t.Kind() == reflect.Func || t.Kind() == reflect.Chan || t.Kind() == reflect.UnsafePointer:
		return fmt.Errorf("%v cannot be sent", t)
	default:
		m.args++
	}
	m.params = append(m.params, p)
	return nil
}

func (m *method) setResults(t reflect.Type) error {
	n := t.NumOut()
	if n > 0 && t.Out(n-1) == errorType {
		m.fails = true
		n--
	}
	switch n {
	case 0:
		return nil
	case 1:
	default:
		return fmt.Errorf("%v: results are (), (error), (R) or (R, error)", t)
	}
	m.result = t.Out(0)
	if item, ok := streamItem(m.result); ok {
		m.result, m.stream = item, true
		return nil
	}
	if k := m.result.Kind(); k == reflect.Func || k == reflect.Chan {
		return fmt.Errorf("%v: %v cannot be sent; a stream is an iter.Seq2[T, error]", t, m.result)
	}
	return nil
}

// streamItem returns T of an iter.Seq2[T, error].
func streamItem(t reflect.Type) (item reflect.Type, ok bool) {
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 || t.IsVariadic() {
		return nil, false
	}
	yield := t.In(0)
	if yield.Kind() != reflect.Func || yield.NumIn() != 2 || yield.NumOut() != 1 || yield.IsVariadic() ||
		yield.In(1) != errorType || yield.Out(0).Kind() != reflect.Bool {
		return nil, false
	}
	return yield.In(0), true
}

// bindError is a call whose arguments do not fit; its text is shown with
// detailed errors.
func bindError(text string) error {
	return WithType(fmt.Errorf("%s", text), "InvalidDataException")
}

// bind makes the values of the parameters. Uploads are filled in by seqs. In
// JSON a wrong type comes before a wrong count, in MessagePack it is the other
// way round, as in the reference.
func (m *method) bind(proto wire.Protocol, inv *invocation) ([]reflect.Value, error) {
	if inv.argsErr != nil {
		return nil, WithType(inv.argsErr, "InvalidDataException")
	}
	count := func() error {
		if len(inv.args) == m.args {
			return nil
		}
		return bindError(fmt.Sprintf("Invocation provides %d argument(s) but target expects %d.", len(inv.args), m.args))
	}
	if proto.Binary() {
		if err := count(); err != nil {
			return nil, err
		}
	}
	values := append(inv.few.values[:0], make([]reflect.Value, len(m.params))...)
	arg := 0
	for i, p := range m.params {
		switch p.kind {
		case paramContext:
			values[i] = reflect.ValueOf(context.Context(inv))
		case paramConn:
			values[i] = reflect.ValueOf(inv.conn)
		case paramArgument:
			if arg == len(inv.args) {
				return nil, count()
			}
			v := reflect.New(p.typ)
			if err := proto.DecodeValue(inv.args[arg], v.Interface()); err != nil {
				return nil, bindError(wire.BindArgumentsText)
			}
			values[i] = v.Elem()
			arg++
		}
	}
	return values, count()
}

// call runs the function and returns its result: a value, nil, or for streams
// the sequence.
func (m *method) call(values []reflect.Value) (reflect.Value, error) {
	out := m.fn.Call(values)
	if m.fails {
		if err, _ := out[len(out)-1].Interface().(error); err != nil {
			return reflect.Value{}, err
		}
	}
	if m.result == nil {
		return reflect.Value{}, nil
	}
	return out[0], nil
}

// uploadSeq makes the value of an upload parameter.
func (p param) uploadSeq(seq iter.Seq2[reflect.Value, error]) reflect.Value {
	return reflect.MakeFunc(p.typ, func(args []reflect.Value) []reflect.Value {
		yield := args[0]
		for v, err := range seq {
			failed := reflect.Zero(errorType)
			if err != nil {
				failed = reflect.ValueOf(&err).Elem()
				v = reflect.Zero(p.item)
			}
			if !yield.Call([]reflect.Value{v, failed})[0].Bool() {
				break
			}
		}
		return nil
	})
}

// lookup finds a method by the name that a client wrote.
func (h *Hub) lookup(name string) *method {
	if m := h.exact[name]; m != nil {
		return m
	}
	return h.methods[fold(name)]
}

// fold maps names that differ in case only to one: each letter by itself to its
// upper case, as .NET's ordinal comparison does.
func fold(name string) string {
	ascii := true
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToUpper(name)
	}
	return strings.Map(unicode.ToUpper, name)
}
