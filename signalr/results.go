package signalr

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// clientCall is an invocation that a client is to answer.
type clientCall struct {
	conn   *Conn
	answer chan Result // of one
}

// Invoke invokes a method of one client, on whatever server it is connected,
// and waits for the result, which it stores in out, a pointer; nil if the value
// does not matter. There is no timeout but that of ctx. Within a method that
// waits for its own client other invocations of that client run meanwhile.
//
// Errors have the sentences of the reference: what the client answers as error
// is one made with Errorf; ErrNoConnection and ErrConnectionClosed are found by
// errors.Is. A client is not asked from within its own OnConnected, where it
// could not answer.
func (h *Hub) Invoke(ctx context.Context, connectionID, name string, out any, args ...any) error {
	if c, ok := ctx.Value(connecting{}).(*Conn); ok && c.id == connectionID {
		return WithType(errors.New("Client results inside OnConnectedAsync Hub methods are not allowed."), "InvalidOperationException") //nolint:staticcheck // reference text
	}
	if err := checkOut(name, out); err != nil {
		return err
	}
	c := h.connection(connectionID)
	p := h.newPayload(h.callID(c != nil), name, args)
	if err := p.encodeInUse(); err != nil {
		return err
	}
	m := &Message{Topic: Topic{TopicConnection, connectionID}, InvocationID: p.id, payload: p}
	if inv, ok := ctx.Value(invocationKey{}).(*invocation); ok {
		defer inv.giveUpTurn()()
	}
	var result Result
	var err error
	if c != nil {
		result, err = h.ask(ctx, c, m)
	} else {
		result, err = h.link.Invoke(ctx, m)
		if errors.Is(err, ErrNoConnection) {
			err = noConnection(connectionID)
		}
	}
	if err != nil {
		return err
	}
	return h.decodeResult(result, out)
}

// checkOut says before a call is made that its result has nowhere to go.
func checkOut(name string, out any) error {
	if v := reflect.ValueOf(out); out != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return fmt.Errorf("signalr: the result of %s goes into a pointer, or nil, not into %T", name, out)
	}
	return nil
}

// callID makes the id of a client result: counted, or random where another
// server answers, as in the reference.
func (h *Hub) callID(here bool) string {
	if here {
		return "s" + strconv.FormatUint(h.callIDs.Add(1), 10)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawStdEncoding.EncodeToString(b[:])
}

func noConnection(id string) error {
	return WithType(&sentence{text: fmt.Sprintf("Connection '%s' does not exist.", id), is: ErrNoConnection}, "IOException")
}

// ask sends an invocation to a client of this server and waits.
func (h *Hub) ask(ctx context.Context, c *Conn, m *Message) (Result, error) {
	call := &clientCall{conn: c, answer: make(chan Result, 1)}
	h.callsMu.Lock()
	h.calls[m.InvocationID] = call
	h.callsMu.Unlock()
	defer func() {
		h.callsMu.Lock()
		delete(h.calls, m.InvocationID)
		h.callsMu.Unlock()
	}()
	if err := h.deliverTo(ctx, m, true, c); err != nil {
		return Result{}, err
	}
	select {
	case r := <-call.answer:
		return r, nil
	default:
	}
	select {
	case r := <-call.answer:
		return r, nil
	case <-c.ctx.Done():
		return Result{}, WithType(&sentence{text: fmt.Sprintf("Connection '%s' disconnected.", c.id), is: ErrConnectionClosed}, "IOException")
	case <-ctx.Done():
		return Result{}, &callerError{text: "Invocation canceled by the server.", cause: ctx.Err()}
	}
}

// answered takes in the completion of a client result. known is false if nobody
// waits for it; an answer to what another connection was asked is a fault.
func (h *Hub) answered(c *Conn, m *wire.Message) (known bool, err error) {
	h.callsMu.Lock()
	call := h.calls[m.InvocationID]
	if call != nil && call.conn == c {
		delete(h.calls, m.InvocationID)
	}
	h.callsMu.Unlock()
	switch {
	case call == nil:
		return false, nil
	case call.conn != c:
		return false, WithType(fmt.Errorf("Connection ID '%s' is not valid for invocation ID '%s'.", c.id, m.InvocationID), "InvalidOperationException") //nolint:staticcheck // reference text
	}
	r := Result{Protocol: c.Protocol(), HasError: m.HasError, Error: m.Error}
	if m.HasResult {
		r.Value = append([]byte{}, m.Result...)
	}
	call.answer <- r
	return true, nil
}

// voidAnswer is what .NET says where an answer has neither value nor error.
const voidAnswer = "Exception of type 'Microsoft.AspNetCore.SignalR.HubException' was thrown."

func (h *Hub) decodeResult(r Result, out any) error {
	switch {
	case r.HasError:
		return Errorf("%s", r.Error)
	case r.Value == nil:
		return Errorf("%s", voidAnswer)
	case out == nil:
		return nil
	}
	i := protocolIndex(r.Protocol)
	if i < 0 {
		return fmt.Errorf("signalr: a result in unknown protocol %q", r.Protocol)
	}
	if err := h.decodeValue(i, r.Value, out); err != nil {
		var unfit *wire.BindError
		if errors.As(err, &unfit) {
			return &callerError{text: unfit.Result(), cause: err}
		}
		return Errorf("Error trying to deserialize result to %s. %w", reflect.TypeOf(out).Elem(), err)
	}
	return nil
}

func (h *Hub) decodeValue(protocol int, raw []byte, out any) error {
	return h.protect(func() error { return h.protocols[protocol].DecodeValue(raw, out) })
}
