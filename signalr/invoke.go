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

// invocation is one call of a client. It is the context of its method.
type invocation struct {
	context.Context
	cancel context.CancelFunc // nil: nobody can cancel it

	conn    *Conn
	id      string     // "": no answer is wanted
	target  string     // for error sentences
	method  *method    // nil: there is none of that name
	args    []wire.Raw // own memory, until the call is bound
	kept    int        // of inbound.kept, guarded by inbound.mu
	argsErr error
	stream  bool // the client wants a stream
	uploads []*upload
	refusal string // not empty: the answer is this error, unless the call does not fit the method
	failed  error  // what went wrong in the method or its stream
	away    int    // goroutines of the method that wait for the client; guarded by inbound.mu
	traced  bool   // the context has the trace of the message's headers
	few     struct {
		args   [4]wire.Raw      // of args, as long as they suffice
		values [4]reflect.Value // the same of the values of the parameters
	}
	slot bool // counts as one of the plain invocations under way
}

// invocationKey finds the invocation that a context belongs to.
type invocationKey struct{}

// Value implements context.Context.
func (inv *invocation) Value(key any) any {
	if key == (invocationKey{}) {
		return inv
	}
	return inv.Context.Value(key)
}

// invoked takes in a call: streams and calls with uploads start at once, plain
// ones when their turn has come. It blocks while too many wait.
func (c *Conn) invoked(m *wire.Message) error {
	inv := &invocation{Context: c.ctx, conn: c, id: m.InvocationID, target: m.Target,
		argsErr: m.ArgumentsErr, stream: m.Type == wire.StreamInvocation}
	inv.method = c.hub.lookup(m.Target)
	if inv.method != nil {
		inv.target = inv.method.name
	}
	if c.hub.telemetry.tracer != nil {
		inv.continueTrace(m.Headers)
	}
	inv.args, inv.kept = copyArguments(inv.few.args[:0], m.Arguments)
	inv.kept += len(inv.id)
	if inv.method == nil {
		inv.kept += len(inv.target)
		return c.queueInvocation(inv)
	}
	beside := inv.stream && inv.method.stream || !inv.stream && !inv.method.stream && inv.method.uploads > 0
	if beside && len(m.StreamIDs) == inv.method.uploads {
		return c.startBeside(inv, m.StreamIDs)
	}
	if len(m.StreamIDs) != inv.method.uploads {
		inv.refusal = fmt.Sprintf("An unexpected error occurred invoking '%s' on the server. HubException: Client sent %d stream(s), Hub method expects %d.",
			inv.target, len(m.StreamIDs), inv.method.uploads)
	}
	return c.queueInvocation(inv)
}

// copyArguments makes the arguments outlive the call of Receive: it appends
// them to own, which must be empty. total is their size.
func copyArguments(own, args []wire.Raw) (copied []wire.Raw, total int) {
	for _, a := range args {
		total += len(a)
	}
	own = slices.Grow(own, len(args))
	memory := make([]byte, 0, total)
	for _, a := range args {
		start := len(memory)
		memory = append(memory, a...)
		own = append(own, memory[start:len(memory):len(memory)])
	}
	return own, total
}

// startBeside starts a stream, or a call with uploads.
func (c *Conn) startBeside(inv *invocation, streamIDs []string) error {
	in := &c.in
	in.mu.Lock()
	in.await(func() bool { return c.roomFor(inv.kept) })
	if in.over {
		in.mu.Unlock()
		return errStop
	}
	if limit := c.hub.opts.Limits.Streams; limit > 0 && (in.streams >= limit || len(in.uploads)+len(streamIDs) > limit) {
		in.mu.Unlock()
		inv.refusal = fmt.Sprintf("Failed to invoke '%s' due to an error on the server. HubException: Too many streams on this connection.", inv.target)
		return c.queueInvocation(inv)
	}
	if inv.stream && in.calls[inv.id] != nil {
		inv.refusal = fmt.Sprintf("Invocation ID '%s' is already in use.", inv.id)
	} else {
		inv.refusal = c.addUploads(inv, streamIDs)
	}
	in.streams++
	in.kept += inv.kept
	c.makeCancellable(inv)
	in.mu.Unlock()
	c.hub.start(func() {
		c.run(inv)
		c.begun(inv) // if it did not come to its method
		in.mu.Lock()
		in.streams--
		in.mu.Unlock()
	})
	return nil
}

// makeCancellable gives the invocation a context of its own that the client can
// end. The caller holds in.mu.
func (c *Conn) makeCancellable(inv *invocation) {
	if inv.id == "" || c.in.calls[inv.id] != nil {
		return
	}
	inv.Context, inv.cancel = context.WithCancel(inv.Context)
	if c.in.calls == nil {
		c.in.calls = make(map[string]*invocation)
	}
	c.in.calls[inv.id] = inv
}

// queueInvocation starts a plain invocation, or has it wait for its turn.
func (c *Conn) queueInvocation(inv *invocation) error {
	in := &c.in
	limit := c.hub.opts.Limits.PendingInvocations
	in.mu.Lock()
	defer in.mu.Unlock()
	in.await(func() bool { return (limit <= 0 || len(in.pending) < limit) && c.roomFor(inv.kept) })
	if in.over {
		return errStop
	}
	in.kept += inv.kept
	inv.slot = true
	if inv.method != nil {
		c.makeCancellable(inv)
	}
	if in.begins != nil || in.running >= c.hub.opts.MaximumParallelInvocationsPerClient {
		in.pending = append(in.pending, inv)
		return nil
	}
	in.running++
	in.begins = inv
	c.startWork(inv)
	return nil
}

func (c *Conn) startWork(inv *invocation) {
	c.hub.addWork()
	go c.work(inv)
}

// work runs a plain invocation and those that wait behind it.
func (c *Conn) work(inv *invocation) {
	defer c.hub.doneWork()
	for inv != nil {
		c.run(inv)
		c.begun(inv) // if it did not come to its method
		inv = c.in.passOn()
	}
}

// begun is called when an invocation has come to its method: its arguments are
// kept no longer, and the next one may begin, if there is a turn for it. So
// methods of one connection begin in the order of the calls, however many run
// at once.
func (c *Conn) begun(inv *invocation) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	in.letGo(inv.kept)
	inv.kept = 0
	if in.begins != inv {
		return
	}
	in.begins = nil
	if in.running < c.hub.opts.MaximumParallelInvocationsPerClient {
		if next := in.next(); next != nil {
			in.running++
			c.startWork(next)
		}
	}
}

// next takes out the invocation whose turn it is, nil for none. The caller
// holds in.mu.
func (in *inbound) next() *invocation {
	if in.over {
		in.pending = nil
	}
	if len(in.pending) == 0 {
		in.pending = nil
		return nil
	}
	inv := in.pending[0]
	in.pending[0] = nil
	in.pending = in.pending[1:]
	in.signalSpace()
	in.begins = inv
	return inv
}

// passOn gives a turn to who is next: one who gave it up before, or the
// invocation that it returns for the caller to run, or nobody.
func (in *inbound) passOn() *invocation {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.resume) > 0 {
		close(in.resume[0])
		in.resume = in.resume[1:]
		return nil
	}
	var inv *invocation
	if in.begins == nil { // else that one sees to the next
		inv = in.next()
	}
	if inv == nil {
		in.running--
	}
	return inv
}

// giveUpTurn lets another invocation of the connection run while this one waits
// for the client; the returned function gets the turn back.
func (inv *invocation) giveUpTurn() (takeBack func()) {
	c, in := inv.conn, &inv.conn.in
	in.mu.Lock()
	inv.away++
	leave := inv.slot && inv.away == 1
	in.mu.Unlock()
	if leave {
		if next := in.passOn(); next != nil {
			c.startWork(next)
		}
	}
	return func() {
		in.mu.Lock()
		inv.away--
		if !inv.slot || inv.away > 0 {
			in.mu.Unlock()
			return
		}
		if in.running < c.hub.opts.MaximumParallelInvocationsPerClient {
			in.running++
			in.mu.Unlock()
			return
		}
		turn := make(chan struct{})
		in.resume = append(in.resume, turn)
		in.mu.Unlock()
		<-turn
	}
}

// cancelled ends the context of a call; unknown ids mean nothing.
func (c *Conn) cancelled(id string) {
	c.in.mu.Lock()
	inv := c.in.calls[id]
	c.in.mu.Unlock()
	if inv != nil {
		inv.cancel()
	}
}

// run calls the method and answers. It does not panic.
func (c *Conn) run(inv *invocation) {
	defer c.finish(inv)
	if err := c.admit(inv); err != nil {
		c.answerError(inv, inv.failure(&callFailed{err}))
		return
	}
	if inv.method == nil {
		c.answerError(inv, fmt.Sprintf("Failed to invoke '%s' due to an error on the server. HubException: Method does not exist.", inv.target))
		return
	}
	if t := &c.hub.telemetry; t.tracer != nil {
		span := t.startSpan(inv)
		defer func() {
			if inv.failed != nil {
				failSpan(span, inv.failed)
			}
			span.End()
		}()
	}
	var result reflect.Value
	err := c.protect(inv, func() (err error) {
		result, err = c.call(inv)
		return err
	})
	switch {
	case err != nil:
		c.answerError(inv, inv.failure(err))
	case inv.method.stream:
		c.stream(inv, result)
	default:
		c.answer(inv, result)
	}
}

// admit asks the hub's owner whether the call may be made at all.
func (c *Conn) admit(inv *invocation) error {
	admit := c.hub.opts.Admit
	if admit == nil {
		return nil
	}
	return c.protect(inv, func() error { return admit(inv, c, inv.target) })
}

// finish forgets the invocation.
func (c *Conn) finish(inv *invocation) {
	if inv.cancel == nil && inv.uploads == nil {
		return
	}
	c.in.mu.Lock()
	if inv.cancel != nil {
		delete(c.in.calls, inv.id)
	}
	for _, u := range inv.uploads {
		c.in.abandon(u)
	}
	c.in.mu.Unlock()
	if inv.cancel != nil {
		inv.cancel()
	}
}

// callFailed is an error of the method itself; others are of the call.
type callFailed struct{ err error }

func (e *callFailed) Error() string { return e.err.Error() }
func (e *callFailed) Unwrap() error { return e.err }

// wrongMode is a call of the wrong type, or with the wrong number of streams,
// for the method; the text is all that the client gets.
type wrongMode struct{ text string }

func (e *wrongMode) Error() string { return e.text }

// wrongArguments is a call whose arguments do not fit the method.
type wrongArguments struct{ error }

func (e *wrongArguments) Unwrap() error { return e.error }

// call binds the arguments and calls the method through the filters.
func (c *Conn) call(inv *invocation) (reflect.Value, error) {
	m := inv.method
	values, err := m.bind(c.proto, inv)
	inv.args, inv.few.args = nil, [len(inv.few.args)]wire.Raw{}
	if err != nil {
		return reflect.Value{}, &wrongArguments{err}
	}
	switch {
	case m.stream && !inv.stream:
		return reflect.Value{}, &wrongMode{fmt.Sprintf("The client attempted to invoke the streaming '%s' method with a non-streaming invocation.", inv.target)}
	case !m.stream && inv.stream:
		return reflect.Value{}, &wrongMode{fmt.Sprintf("The client attempted to invoke the non-streaming '%s' method with a streaming invocation.", inv.target)}
	}
	if inv.refusal != "" {
		return reflect.Value{}, &wrongMode{inv.refusal}
	}
	upload := 0
	for i, p := range m.params {
		if p.kind == paramUpload {
			values[i] = p.uploadSeq(inv.uploads[upload].seq(inv, p.item))
			upload++
		}
	}
	c.begun(inv)
	result, err := c.hub.filtered(inv, values)
	if err != nil {
		return result, &callFailed{err}
	}
	return result, nil
}

// failure is the sentence that a caller gets.
func (inv *invocation) failure(err error) string {
	detailed := inv.conn.hub.opts.EnableDetailedErrors
	switch e := err.(type) { //nolint:errorlint // the invocation's own errors, as they were made
	case *wrongMode:
		return e.text
	case *callFailed:
		return withDetail(fmt.Sprintf("An unexpected error occurred invoking '%s' on the server.", inv.target), e.err, detailed)
	case *panicError:
		return withDetail(fmt.Sprintf("An unexpected error occurred invoking '%s' on the server.", inv.target), err, detailed)
	}
	return withDetail(fmt.Sprintf("Failed to invoke '%s' due to an error on the server.", inv.target), err, detailed)
}

// protect runs user code for an invocation: a panic becomes an error, and what
// went wrong is logged.
func (c *Conn) protect(inv *invocation, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
		inv.failed = err
		switch {
		case err == nil:
		case inv.clientsDoing(err):
			c.hub.opts.Logger.Debug("invocation refused", "connection", c.id, "target", inv.target, "error", err)
		default:
			c.hub.logFailure("invocation failed", c, inv.target, err)
		}
	}()
	return f()
}

// clientsDoing reports whether nothing is wrong on this side: a call that does
// not fit its method, and one that the client cancelled or went away from. A
// client could fill the log with them.
func (inv *invocation) clientsDoing(err error) bool {
	switch err.(type) { //nolint:errorlint // the invocation's own errors, as they were made
	case *wrongMode, *wrongArguments:
		return true
	case *panicError:
		return false
	}
	return inv.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, errUploadLost))
}

// answer sends the result; a method without one answers null, as in the
// reference.
func (c *Conn) answer(inv *invocation, result reflect.Value) {
	if inv.id == "" {
		return
	}
	var value any
	if result.IsValid() {
		value = result.Interface()
	}
	a := newAssembly()
	if err := a.encode(c.hub, c.protocol, value); err != nil {
		a.release()
		c.hub.logFailure("result cannot be encoded", c, inv.target, err)
		c.answerError(inv, inv.failure(&callFailed{err}))
		return
	}
	a.Type, a.InvocationID, a.HasResult, a.Result = wire.Completion, inv.id, true, a.values
	c.reply(a)
}

// answerError sends an error.
func (c *Conn) answerError(inv *invocation, text string) {
	if inv.id == "" {
		return
	}
	a := newAssembly()
	a.Type, a.InvocationID, a.HasError, a.Error = wire.Completion, inv.id, true, text
	c.reply(a)
}

// reply sends a message to the client as soon as its queue has room, and
// releases it.
func (c *Conn) reply(a *assembly) {
	c.traceSent(a.Type, "", a.InvocationID)
	frame := a.framed(c.proto)
	a.release()
	_ = c.queueWaiting(c.ctx, delivery{frame: frame}) // who is gone needs no answer
}
