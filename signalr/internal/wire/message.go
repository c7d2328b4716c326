package wire

import "strconv"

// Type is the number that says what a hub message is.
type Type int

// The message types (hub protocol, section 3).
const (
	Invocation       Type = 1 // a call, either way
	StreamItem       Type = 2 // an item of a stream, either way
	Completion       Type = 3 // the end of a call or stream
	StreamInvocation Type = 4 // a call that is answered with a stream, client to server
	CancelInvocation Type = 5 // the caller wants no more of a stream
	Ping             Type = 6 // keep-alive, never answered
	Close            Type = 7 // the last message of a side
	Ack              Type = 8 // stateful reconnect: everything up to SequenceID has arrived
	Sequence         Type = 9 // stateful reconnect: the next counted message has number SequenceID
)

var typeNames = [...]string{
	Invocation: "Invocation", StreamItem: "StreamItem", Completion: "Completion",
	StreamInvocation: "StreamInvocation", CancelInvocation: "CancelInvocation",
	Ping: "Ping", Close: "Close", Ack: "Ack", Sequence: "Sequence",
}

// String returns the name that the protocol's texts use, or the number of a
// type that nobody has defined.
func (t Type) String() string {
	if t >= Invocation && t <= Sequence {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}

// Counted reports whether messages of this type are numbered, buffered and
// sent again by stateful reconnect.
func (t Type) Counted() bool { return t >= Invocation && t <= CancelInvocation }

// Raw is one encoded value, in the protocol that it was read with or is to be
// written with: a JSON text, or one MessagePack object. An empty Raw stands for
// a value that was announced and could not be read; DecodeValue fails on it.
type Raw []byte

// Message is a hub message of any type; which fields mean something depends on
// Type. One struct for all keeps the path of a message free of allocations and
// type switches.
//
// A Message may be parsed into again and again by one goroutine. It is not safe
// for concurrent use.
type Message struct {
	Type Type

	// InvocationID is the caller's id of a call or stream; "" in an Invocation
	// says that no answer is wanted. Never "" in types 2 to 5.
	InvocationID string

	// Target is the method's name, of types 1 and 4.
	Target string

	// Arguments of types 1 and 4, one encoded value each. After Parse they are
	// parts of the frame, and the slice itself is used again by the next Parse.
	// In MessagePack those from the first unreadable one on are empty, so that
	// their number is right and decoding them fails.
	Arguments []Raw

	// ArgumentsErr says that there is no array of arguments to be read, which
	// is a failure to bind: the call is answered with an error, the connection
	// lives (MessagePack only; JSON closes the connection).
	ArgumentsErr error

	// StreamIDs of types 1 and 4 name the streams that the caller uploads, in
	// order; nil when absent.
	StreamIDs []string

	// Headers of types 1 to 5; nil when there are none.
	Headers map[string]string

	// Item of type 2. Empty after Parse when it could not be read.
	Item Raw

	// HasResult and Result of type 3. A void answer and the end of a stream
	// have no result, a null result is one.
	HasResult bool
	Result    Raw

	// HasError and Error of types 3 and 7. In a Completion that is written an
	// empty Error counts as none, as in the reference.
	HasError bool
	Error    string

	// AllowReconnect of type 7 tells the client that it may connect anew.
	AllowReconnect bool

	// SequenceID of types 8 and 9. It may be negative on arrival.
	SequenceID int64

	// lastTarget is the target read last; a caller that repeats itself costs no
	// new string.
	lastTarget string
}

// What a Message keeps from one Parse to the next is bounded, so that one large
// message does not cost memory for the life of a connection.
const (
	maxKeptArguments = 64
	maxKeptTarget    = 256 // bytes
)

// reset empties m for the next Parse and keeps what can be used again.
func (m *Message) reset() {
	arguments := m.Arguments[:0]
	if cap(arguments) > maxKeptArguments {
		arguments = nil
	}
	*m = Message{Arguments: arguments, lastTarget: m.lastTarget}
}

// setTarget avoids the allocation where a target follows an equal one.
func (m *Message) setTarget(b []byte) {
	switch {
	case string(b) == m.lastTarget:
		m.Target = m.lastTarget
	case len(b) <= maxKeptTarget:
		m.lastTarget = string(b)
		m.Target = m.lastTarget
	default:
		m.Target = string(b)
	}
}
