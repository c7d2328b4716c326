package wire

// The properties that messages have. One that a message's type does not use is
// checked all the same, as in the reference.
type property int

const (
	unknownProperty property = iota
	typeProperty
	invocationIDProperty
	targetProperty
	argumentsProperty
	streamIDsProperty
	headersProperty
	itemProperty
	resultProperty
	errorProperty
	allowReconnectProperty
	sequenceIDProperty
)

// properties is a set of them.
type properties uint16

func (set properties) has(p property) bool { return set>>p&1 != 0 }

// The properties that each type uses.
var propertiesOf = func() (sets [Sequence + 1]properties) {
	for t, list := range [...][]property{
		Invocation:       {headersProperty, invocationIDProperty, targetProperty, argumentsProperty, streamIDsProperty},
		StreamItem:       {headersProperty, invocationIDProperty, itemProperty},
		Completion:       {headersProperty, invocationIDProperty, resultProperty, errorProperty},
		StreamInvocation: {headersProperty, invocationIDProperty, targetProperty, argumentsProperty, streamIDsProperty},
		CancelInvocation: {headersProperty, invocationIDProperty},
		Ping:             {},
		Close:            {errorProperty, allowReconnectProperty},
		Ack:              {sequenceIDProperty},
		Sequence:         {sequenceIDProperty},
	} {
		for _, p := range append(list, typeProperty) {
			sets[t] |= 1 << p
		}
	}
	return sets
}()

func propertyOf(name []byte) property {
	switch string(name) {
	case "type":
		return typeProperty
	case "invocationId":
		return invocationIDProperty
	case "target":
		return targetProperty
	case "arguments":
		return argumentsProperty
	case "streamIds":
		return streamIDsProperty
	case "headers":
		return headersProperty
	case "item":
		return itemProperty
	case "result":
		return resultProperty
	case "error":
		return errorProperty
	case "allowReconnect":
		return allowReconnectProperty
	case "sequenceId":
		return sequenceIDProperty
	}
	return unknownProperty
}

// clear empties the fields of properties that the message's type does not use.
func (m *Message) clear(set properties) {
	if set.has(invocationIDProperty) {
		m.InvocationID = ""
	}
	if set.has(targetProperty) {
		m.Target = ""
	}
	if set.has(argumentsProperty) {
		m.Arguments = m.Arguments[:0]
	}
	if set.has(streamIDsProperty) {
		m.StreamIDs = nil
	}
	if set.has(headersProperty) {
		m.Headers = nil
	}
	if set.has(itemProperty) {
		m.Item = nil
	}
	if set.has(resultProperty) {
		m.HasResult, m.Result = false, nil
	}
	if set.has(errorProperty) {
		m.HasError, m.Error = false, ""
	}
	if set.has(allowReconnectProperty) {
		m.AllowReconnect = false
	}
	if set.has(sequenceIDProperty) {
		m.SequenceID = 0
	}
}
