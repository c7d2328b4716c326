package wire

import (
	"strconv"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

func errReading(field, kind string) *ProtocolError {
	return invalidData("Reading '" + field + "' as " + kind + " failed.")
}

func errEmpty(what string) *ProtocolError { return invalidData("Null or empty " + what + ".") }

// errArguments is a failure to bind: there is no array where the arguments
// should be.
var errArguments = invalidData("Reading array length for 'arguments' failed.")

// packReader reads a message from left to right, and the first fault counts. As
// in the reference the fields are taken as they come; how many the message's
// array has matters only for those at its end that may be left out.
type packReader struct{ rest []byte }

// Parse reads the array of a message. What follows its fields, inside the frame
// or inside the array, is not looked at.
//
// The reference does not read streamIds once the arguments failed to bind;
// Parse knows nothing of parameters, and reports a fault in streamIds whatever
// the arguments are.
func (MessagePackProtocol) Parse(frame []byte, m *Message) error {
	m.reset()
	if fault := parsePack(frame, m); fault != nil {
		return fault
	}
	if m.Type < Invocation || m.Type > Sequence {
		return ErrUnknownType
	}
	return nil
}

func parsePack(frame []byte, m *Message) *ProtocolError {
	if len(frame) == 0 {
		return errEndOfStream
	}
	if lead := frame[0]; lead>>4 != 9 && lead != 0xdc && lead != 0xdd {
		return errUnexpectedCode(lead)
	}
	fields, rest, ok := arrayHeader(frame)
	if !ok {
		return errEndOfStream
	}
	r := packReader{rest: rest}
	number, rest, err := msgp.ReadInt32Bytes(r.rest)
	if err != nil {
		return errReading("messageType", "Int32")
	}
	r.rest, m.Type = rest, Type(number)
	switch m.Type {
	case Invocation, StreamInvocation:
		return r.call(m, fields)
	case StreamItem:
		return r.item(m)
	case Completion:
		return r.completion(m)
	case CancelInvocation:
		return r.opening(m)
	case Close:
		return r.close(m, fields)
	case Ack, Sequence:
		n, _, err := msgp.ReadInt64Bytes(r.rest)
		if err != nil {
			return errReading("sequenceId", "Int64")
		}
		m.SequenceID = n
	}
	return nil
}

// opening reads headers and invocation id, with which types 1 to 5 begin.
func (r *packReader) opening(m *Message) *ProtocolError {
	if fault := r.headers(m); fault != nil {
		return fault
	}
	id, _, fault := r.text("invocationId")
	if fault != nil {
		return fault
	}
	if m.InvocationID = lenientText(id); m.InvocationID == "" && m.Type != Invocation {
		return errEmpty("invocation ID for " + m.Type.String() + " message")
	}
	return nil
}

func (r *packReader) headers(m *Message) *ProtocolError {
	count, rest, ok := mapHeader(r.rest)
	if !ok {
		return invalidData("Reading map length for 'headers' failed.")
	}
	r.rest = rest
	if count == 0 {
		return nil
	}
	m.Headers = make(map[string]string)
	for i := range count {
		key, fault := r.headerPart(i, "Key", "key")
		if fault != nil {
			return fault
		}
		value, fault := r.headerPart(i, "Value", "value")
		if fault != nil {
			return fault
		}
		if _, twice := m.Headers[key]; twice {
			return &ProtocolError{Type: "ArgumentException",
				Text: "An item with the same key has already been added. Key: " + key}
		}
		m.Headers[key] = value
	}
	return nil
}

func (r *packReader) headerPart(i int, part, word string) (string, *ProtocolError) {
	b, _, fault := r.text("headers")
	if fault != nil {
		return "", errReading("headers["+strconv.Itoa(i)+"]."+part, "String")
	}
	if len(b) == 0 {
		return "", errEmpty(word + " in header")
	}
	return lenientText(b), nil
}

// text reads a string; null tells nil from "".
func (r *packReader) text(field string) (b []byte, null bool, fault *ProtocolError) {
	if isPackNil(r.rest) {
		r.rest = r.rest[1:]
		return nil, true, nil
	}
	b, rest, err := msgp.ReadStringZC(r.rest)
	if err != nil {
		return nil, false, errReading(field, "String")
	}
	r.rest = rest
	return b, false, nil
}

// fields of a call that has a slot for streamIds.
const callFields = 6

func (r *packReader) call(m *Message, fields int) *ProtocolError {
	if fault := r.opening(m); fault != nil {
		return fault
	}
	target, _, fault := r.text("target")
	switch {
	case fault != nil:
		return fault
	case len(target) == 0:
		return errEmpty("target for " + m.Type.String() + " message")
	}
	if !utf8.Valid(target) {
		target = []byte(lenientText(target))
	}
	m.setTarget(target)
	count, rest, ok := arrayHeader(r.rest)
	if !ok {
		m.ArgumentsErr = errArguments
		return nil
	}
	r.rest = rest
	for i := range count {
		from := r.rest
		rest, ok := skipPack(from, maxPackDepth)
		if !ok { // where the next one begins nobody can tell
			for ; i < count; i++ {
				m.Arguments = append(m.Arguments, nil)
			}
			return nil
		}
		size := len(from) - len(rest)
		m.Arguments = append(m.Arguments, Raw(from[:size:size]))
		r.rest = rest
	}
	if fields < callFields {
		return nil
	}
	return r.streamIDs(m)
}

func (r *packReader) streamIDs(m *Message) *ProtocolError {
	count, rest, ok := arrayHeader(r.rest)
	if !ok {
		return invalidData("Reading array length for 'streamIds' failed.")
	}
	r.rest = rest
	for range count {
		id, _, fault := r.text("streamIds")
		if fault != nil {
			return r.unreadableString()
		}
		if len(id) == 0 {
			return errEmpty("value in streamIds received")
		}
		m.StreamIDs = append(m.StreamIDs, lenientText(id))
	}
	return nil
}

// unreadableString says what is wrong with what should be a string, in the
// words of the reference's MessagePack library.
func (r *packReader) unreadableString() *ProtocolError {
	if len(r.rest) == 0 {
		return errEndOfStream
	}
	if lead := r.rest[0]; lead>>5 != 5 && (lead < 0xd9 || lead > 0xdb) {
		return errUnexpectedCode(lead)
	}
	return errEndOfStream
}

func (r *packReader) item(m *Message) *ProtocolError {
	if fault := r.opening(m); fault != nil {
		return fault
	}
	m.Item = r.value()
	return nil
}

// value takes the value at the front; it is empty when there is none that can
// be read.
func (r *packReader) value() Raw {
	from := r.rest
	rest, ok := skipPack(from, maxPackDepth)
	if !ok {
		return nil
	}
	r.rest = rest
	size := len(from) - len(rest)
	return Raw(from[:size:size])
}

// What the fourth field of a Completion says.
const (
	kindError = 1 // an error follows
	kindVoid  = 2 // nothing follows
	kindValue = 3 // a value, perhaps nil, follows
)

func (r *packReader) completion(m *Message) *ProtocolError {
	if fault := r.opening(m); fault != nil {
		return fault
	}
	kind, rest, err := msgp.ReadInt32Bytes(r.rest)
	if err != nil {
		return errReading("resultKind", "Int32")
	}
	r.rest = rest
	switch kind {
	case kindError:
		text, null, fault := r.text("error")
		if fault != nil {
			return fault
		}
		m.HasError, m.Error = !null, lenientText(text)
	case kindVoid:
	case kindValue:
		m.HasResult, m.Result = true, r.value()
	default:
		return invalidData("Invalid invocation result kind.")
	}
	return nil
}

// fields of a Close that says whether to connect anew.
const closeFields = 3

func (r *packReader) close(m *Message, fields int) *ProtocolError {
	text, null, fault := r.text("error")
	if fault != nil {
		return fault
	}
	m.HasError, m.Error = !null, lenientText(text)
	if fields < closeFields {
		return nil
	}
	again, _, err := msgp.ReadBoolBytes(r.rest)
	if err != nil {
		return errReading("allowReconnect", "Boolean")
	}
	m.AllowReconnect = again
	return nil
}
