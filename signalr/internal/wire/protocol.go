package wire

import (
	"errors"
	"strconv"
)

// Protocol is an encoding of hub messages and of the values in them. Its
// methods keep no state: one value serves all connections at once.
type Protocol interface {
	// Name is the name in the handshake, "json" or "messagepack".
	Name() string

	// Binary reports whether the bytes need a transport that carries any byte.
	Binary() bool

	// Append writes m with its framing behind dst, byte for byte as ASP.NET
	// Core writes it. It trusts m: raw values must be whole and of this
	// protocol. A message of an unknown type adds nothing.
	Append(dst []byte, m *Message) []byte

	// Split finds the first whole frame in buf: frame is its inside, without
	// separator or prefix, and n the bytes that it takes in buf. n is 0 when
	// more bytes are needed. limit is the largest message in bytes, framing
	// included; 0 or less means none. The error is a *ProtocolError: the
	// message is, or will be, over the limit, or its prefix is wrong.
	Split(buf []byte, limit int64) (frame []byte, n int, err error)

	// Parse reads the inside of a frame into m, whose earlier content is
	// overwritten. The raw values of m are parts of frame. An error of type
	// *ProtocolError must end the connection; ErrUnknownType says that the
	// message is well-formed and to be passed over.
	Parse(frame []byte, m *Message) error

	// AppendValue encodes a payload behind dst. On an error dst is returned as
	// it was.
	AppendValue(dst []byte, v any, c Casing) ([]byte, error)

	// DecodeValue binds a payload to the value that into, a pointer, points to,
	// the way the reference binds values to parameters (hub protocol 6.4). The
	// result shares no memory with raw. Its errors are of type *BindError.
	DecodeValue(raw Raw, into any) error
}

// JSON and MessagePack are the two protocols with their defaults.
var (
	JSON        Protocol = JSONProtocol{}
	MessagePack Protocol = MessagePackProtocol{}
)

// JSONProtocol is the JSON hub protocol: one object a message, each followed by
// the byte 0x1E.
type JSONProtocol struct{}

// Name returns "json".
func (JSONProtocol) Name() string { return "json" }

// Binary returns false: JSON is text.
func (JSONProtocol) Binary() bool { return false }

// MessagePackProtocol is the MessagePack hub protocol: one array a message,
// each behind its length. The zero value has the reference's conventions,
// except that names are read in any case.
type MessagePackProtocol struct {
	// TimeAsString writes a time.Time as an ISO 8601 string instead of a
	// timestamp extension, and reads both. By default a string is no time, as in
	// the reference.
	TimeAsString bool

	// ExactNames binds the members of an object to fields of exactly that
	// name, as the reference does. By default case is folded where no name fits
	// exactly, so that camelCase from a JavaScript client finds its field.
	ExactNames bool
}

// Name returns "messagepack".
func (MessagePackProtocol) Name() string { return "messagepack" }

// Binary returns true.
func (MessagePackProtocol) Binary() bool { return true }

// Casing says how struct fields are named that have no name in a json tag. A
// tag always gives the name.
type Casing int

// The casings.
const (
	DefaultCasing Casing = iota // CamelCase in JSON, AsDeclared in MessagePack, as .NET
	CamelCase                   // TaskID becomes taskID, URLPath becomes urlPath
	AsDeclared                  // the Go name
)

// ProtocolError is a fault in foreign bytes that ends the connection.
type ProtocolError struct {
	Type string // short name of the reference's exception, such as InvalidDataException
	Text string // its message
}

// Error returns the sentence that the reference shows with detailed errors.
func (e *ProtocolError) Error() string { return e.Type + ": " + e.Text }

func invalidData(text string) *ProtocolError {
	return &ProtocolError{Type: "InvalidDataException", Text: text}
}

// ErrUnknownType is returned by Parse for a message of a type that is not
// defined. The message is to be skipped; it does not count for stateful
// reconnect.
var ErrUnknownType = errors.New("wire: unknown message type")

// BindArgumentsText is what the reference says, as an InvalidDataException,
// when an argument does not fit its parameter.
const BindArgumentsText = "Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked."

// tooLarge is the fault of a message over the limit, in the reference's words.
func tooLarge(limit int64) *ProtocolError {
	return invalidData("The maximum message size of " + strconv.FormatInt(limit, 10) +
		"B was exceeded. The message size can be configured in AddHubOptions.")
}
