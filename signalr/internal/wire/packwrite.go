package wire

import (
	"maps"
	"slices"

	"github.com/tinylib/msgp/msgp"
)

// Append writes the message's array behind its length, with every field that
// the reference writes. Headers are sorted by name.
func (MessagePackProtocol) Append(dst []byte, m *Message) []byte {
	if m.Type < Invocation || m.Type > Sequence {
		return dst
	}
	// The length comes first and is known last: leave the room that it will
	// most likely need, and move the body where that was wrong.
	start, room := len(dst), lengthWidth(m.guess())
	for range room {
		dst = append(dst, 0)
	}
	dst = appendPack(dst, m)
	size := len(dst) - start - room
	if width := lengthWidth(size); width != room {
		dst = slices.Grow(dst, maxLengthBytes)
		body := dst[start+room:]
		dst = dst[:start+width+size]
		copy(dst[start+width:], body)
	}
	appendLength(dst[:start], size)
	return dst
}

// guess is about how many bytes m takes, headers aside.
func (m *Message) guess() int {
	n := 8 + len(m.InvocationID) + len(m.Target) + len(m.Item) + len(m.Result) + len(m.Error)
	for _, argument := range m.Arguments {
		n += len(argument)
	}
	for _, id := range m.StreamIDs {
		n += 1 + len(id)
	}
	return n
}

func appendPack(dst []byte, m *Message) []byte {
	switch m.Type {
	case Invocation, StreamInvocation:
		dst = appendPackOpening(dst, 6, m)
		dst = msgp.AppendString(dst, m.Target)
		dst = msgp.AppendArrayHeader(dst, uint32(len(m.Arguments)))
		for _, argument := range m.Arguments {
			dst = append(dst, argument...)
		}
		dst = msgp.AppendArrayHeader(dst, uint32(len(m.StreamIDs)))
		for _, id := range m.StreamIDs {
			dst = msgp.AppendString(dst, id)
		}
	case StreamItem:
		dst = appendPackOpening(dst, 4, m)
		dst = append(dst, m.Item...)
	case Completion:
		switch {
		case m.HasError && m.Error != "":
			dst = append(appendPackOpening(dst, 5, m), kindError)
			dst = msgp.AppendString(dst, m.Error)
		case m.HasResult:
			dst = append(appendPackOpening(dst, 5, m), kindValue)
			dst = append(dst, m.Result...)
		default:
			dst = append(appendPackOpening(dst, 4, m), kindVoid)
		}
	case CancelInvocation:
		dst = appendPackOpening(dst, 3, m)
	case Ping:
		dst = append(dst, 0x91, byte(Ping))
	case Close:
		dst = append(dst, 0x93, byte(Close))
		if m.HasError {
			dst = msgp.AppendString(dst, m.Error)
		} else {
			dst = msgp.AppendNil(dst)
		}
		dst = msgp.AppendBool(dst, m.AllowReconnect)
	case Ack, Sequence:
		dst = append(dst, 0x92, byte(m.Type))
		dst = appendPackInt(dst, m.SequenceID)
	}
	return dst
}

// appendPackOpening writes the array's header, the type, the headers and the
// invocation id.
func appendPackOpening(dst []byte, fields uint32, m *Message) []byte {
	dst = msgp.AppendArrayHeader(dst, fields)
	dst = append(dst, byte(m.Type))
	dst = msgp.AppendMapHeader(dst, uint32(len(m.Headers)))
	if len(m.Headers) > 0 {
		for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
			dst = msgp.AppendString(dst, name)
			dst = msgp.AppendString(dst, m.Headers[name])
		}
	}
	if m.InvocationID == "" {
		return msgp.AppendNil(dst)
	}
	return msgp.AppendString(dst, m.InvocationID)
}

// appendPackInt writes the smallest form; what is not negative has an unsigned
// one, as in the reference.
func appendPackInt(dst []byte, n int64) []byte {
	if n >= 0 {
		return msgp.AppendUint64(dst, uint64(n))
	}
	return msgp.AppendInt64(dst, n)
}
