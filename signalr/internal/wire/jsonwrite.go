package wire

import (
	"maps"
	"slices"
	"strconv"
)

// Append writes the properties in the reference's order, omits what is absent,
// and ends with the separator. Headers are sorted by name.
func (JSONProtocol) Append(dst []byte, m *Message) []byte {
	if m.Type < Invocation || m.Type > Sequence {
		return dst
	}
	dst = append(dst, `{"type":`...)
	dst = append(dst, '0'+byte(m.Type))
	if m.Type.Counted() {
		dst = appendJSONHeaders(dst, m.Headers)
		if m.InvocationID != "" {
			dst = append(dst, `,"invocationId":`...)
			dst = appendJSONString(dst, m.InvocationID)
		}
	}
	switch m.Type {
	case Invocation, StreamInvocation:
		dst = appendJSONCall(dst, m)
	case StreamItem:
		dst = append(dst, `,"item":`...)
		dst = append(dst, m.Item...)
	case Completion:
		if m.HasError && m.Error != "" {
			dst = append(dst, `,"error":`...)
			dst = appendJSONString(dst, m.Error)
		} else if m.HasResult {
			dst = append(dst, `,"result":`...)
			dst = append(dst, m.Result...)
		}
	case Close:
		if m.HasError {
			dst = append(dst, `,"error":`...)
			dst = appendJSONString(dst, m.Error)
		}
		if m.AllowReconnect {
			dst = append(dst, `,"allowReconnect":true`...)
		}
	case Ack, Sequence:
		dst = append(dst, `,"sequenceId":`...)
		dst = strconv.AppendInt(dst, m.SequenceID, 10)
	}
	return append(dst, '}', Separator)
}

func appendJSONHeaders(dst []byte, headers map[string]string) []byte {
	if len(headers) == 0 {
		return dst
	}
	dst = append(dst, `,"headers":{`...)
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, name)
		dst = append(dst, ':')
		dst = appendJSONString(dst, headers[name])
	}
	return append(dst, '}')
}

func appendJSONCall(dst []byte, m *Message) []byte {
	dst = append(dst, `,"target":`...)
	dst = appendJSONString(dst, m.Target)
	dst = append(dst, `,"arguments":[`...)
	for i, argument := range m.Arguments {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, argument...)
	}
	dst = append(dst, ']')
	if m.StreamIDs != nil {
		dst = append(dst, `,"streamIds":[`...)
		for i, id := range m.StreamIDs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, id)
		}
		dst = append(dst, ']')
	}
	return dst
}
