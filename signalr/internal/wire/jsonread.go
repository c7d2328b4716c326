package wire

import "strconv"

// errBadJSON is the fault of every text that is no JSON.
var errBadJSON = invalidData("Error reading JSON.")

func errExpected(name string, kind string) *ProtocolError {
	return invalidData("Expected '" + name + "' to be of type " + kind + ".")
}

func errMissing(name string) *ProtocolError {
	return invalidData("Missing required property '" + name + "'.")
}

func errNumber(bits string) *ProtocolError {
	return &ProtocolError{Type: "FormatException",
		Text: "Either the JSON value is not in a supported format, or is out of bounds for an Int" + bits + "."}
}

// jsonReader reads one message. It goes from left to right, and the first fault
// counts; what is missing shows at the end.
type jsonReader struct {
	scanner
	m    *Message
	seen properties

	noSequence bool // the newest sequenceId is null
}

// Parse reads the object of a message. What follows its closing brace is not
// looked at.
//
// The reference binds while it reads, and lets a StreamInvocation without id
// pass when its arguments do not bind; Parse knows nothing of parameters, and
// such a message is always a fault.
func (JSONProtocol) Parse(frame []byte, m *Message) error {
	m.reset()
	r := jsonReader{scanner: scanner{data: frame}, m: m}
	if err := r.object(); err != nil {
		return err
	}
	return r.finish()
}

func (r *jsonReader) object() error {
	if r.peek() != '{' {
		return r.notAnObject()
	}
	r.pos++
	r.depth++
	for first := true; ; first = false {
		more, ok := r.next('}', first)
		if !ok {
			return errBadJSON
		}
		if !more {
			return nil
		}
		if !r.name() {
			return errBadJSON
		}
		p := r.propertyName()
		if err := r.property(p); err != nil {
			return err
		}
		if p != unknownProperty {
			r.seen |= 1 << p
		}
	}
}

// notAnObject says what stands where the message's object should begin.
func (s *scanner) notAnObject() *ProtocolError {
	kind := s.token()
	if kind == noToken {
		return errBadJSON
	}
	name := kind.String()
	if kind == tokenArray {
		name = "Array"
	}
	return invalidData("Unexpected JSON Token Type '" + name + "'. Expected a JSON Object.")
}

// propertyName maps the newest string, which may be escaped, to a property.
func (r *jsonReader) propertyName() property {
	name := r.data[r.from:r.to]
	if !r.escaped {
		return propertyOf(name)
	}
	var buf [64]byte
	plain, err := unescape(buf[:0], name)
	if err != nil {
		return unknownProperty
	}
	return propertyOf(plain)
}

// property reads the value of p.
func (r *jsonReader) property(p property) error {
	m := r.m
	switch p {
	case typeProperty:
		n, err := r.integer("type", 32)
		if err != nil {
			return err
		}
		m.Type = Type(n)
	case invocationIDProperty:
		b, err := r.string("invocationId")
		if err != nil {
			return err
		}
		m.InvocationID = string(b)
	case targetProperty:
		b, err := r.string("target")
		if err != nil {
			return err
		}
		m.setTarget(b)
	case errorProperty:
		b, err := r.string("error")
		if err != nil {
			return err
		}
		m.Error, m.HasError = string(b), true
	case argumentsProperty:
		return r.arguments()
	case streamIDsProperty:
		return r.streamIDs()
	case headersProperty:
		return r.headers()
	case itemProperty:
		v, ok := r.value()
		if !ok {
			return errBadJSON
		}
		m.Item = v
	case resultProperty:
		v, ok := r.value()
		if !ok {
			return errBadJSON
		}
		m.Result, m.HasResult = v, true
	case allowReconnectProperty:
		switch r.token() {
		case noToken:
			return errBadJSON
		case tokenTrue:
			m.AllowReconnect = true
		case tokenFalse:
			m.AllowReconnect = false
		default:
			return invalidData("Expected 'allowReconnect' to be true or false.")
		}
	case sequenceIDProperty:
		if r.peek() == 'n' { // null counts as absent here, and only here
			if !r.skip() {
				return errBadJSON
			}
			r.noSequence = true
			return nil
		}
		n, err := r.integer("sequenceId", 64)
		if err != nil {
			return err
		}
		m.SequenceID, r.noSequence = n, false
	default:
		if !r.skip() {
			return errBadJSON
		}
	}
	return nil
}

func (r *jsonReader) integer(name string, bits int) (int64, error) {
	r.peek()
	from := r.pos
	switch r.token() {
	case noToken:
		return 0, errBadJSON
	case tokenNumber:
	default:
		return 0, errExpected(name, "Number")
	}
	n, ok := parseInteger(r.data[from:r.pos], bits)
	if !ok {
		return 0, errNumber(strconv.Itoa(bits))
	}
	return n, nil
}

// parseInteger reads a valid JSON number that has neither fraction nor exponent
// and fits bits.
func parseInteger(b []byte, bits int) (int64, bool) {
	if len(b) == 1 {
		return int64(b[0] - '0'), true
	}
	if len(b) > len("-9223372036854775808") {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, bits)
	return n, err == nil
}

// string reads a text; the result is part of the frame, or a copy when
// something in it is escaped.
func (s *scanner) string(name string) ([]byte, error) {
	switch s.token() {
	case noToken:
		return nil, errBadJSON
	case tokenString:
	default:
		return nil, errExpected(name, "String")
	}
	b, err := s.text(nil)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (r *jsonReader) arguments() error {
	switch r.token() {
	case noToken:
		return errBadJSON
	case tokenArray:
	default:
		return errExpected("arguments", "Array")
	}
	m := r.m
	m.Arguments = m.Arguments[:0]
	for first := true; ; first = false {
		more, ok := r.next(']', first)
		if !ok {
			return errBadJSON
		}
		if !more {
			return nil
		}
		v, ok := r.value()
		if !ok {
			return errBadJSON
		}
		m.Arguments = append(m.Arguments, v)
	}
}

func (r *jsonReader) streamIDs() error {
	switch r.token() {
	case noToken:
		return errBadJSON
	case tokenArray:
	default:
		return errExpected("streamIds", "Array")
	}
	ids := []string{}
	for first := true; ; first = false {
		more, ok := r.next(']', first)
		if !ok {
			return errBadJSON
		}
		if !more {
			r.m.StreamIDs = ids
			return nil
		}
		switch kind := r.token(); kind {
		case noToken:
			return errBadJSON
		case tokenString:
			b, err := r.text(nil)
			if err != nil {
				return err
			}
			ids = append(ids, string(b))
		case tokenNull:
			return invalidData("Null value for 'streamIds' is not valid.")
		default:
			return &ProtocolError{Type: "InvalidOperationException",
				Text: "Cannot get the value of a token type '" + kind.String() + "' as a string."}
		}
	}
}

func (r *jsonReader) headers() error {
	switch r.token() {
	case noToken:
		return errBadJSON
	case tokenObject:
	default:
		return errExpected("headers", "StartObject")
	}
	var headers map[string]string
	for first := true; ; first = false {
		more, ok := r.next('}', first)
		if !ok {
			return errBadJSON
		}
		if !more {
			r.m.Headers = headers
			return nil
		}
		if !r.name() {
			return errBadJSON
		}
		b, fault := r.text(nil)
		if fault != nil {
			return fault
		}
		key := string(b)
		switch r.token() {
		case noToken:
			return errBadJSON
		case tokenString:
		default:
			return invalidData("Expected header '" + key + "' to be of type String.")
		}
		b, fault = r.text(nil)
		if fault != nil {
			return fault
		}
		if headers == nil {
			headers = make(map[string]string)
		}
		headers[key] = string(b)
	}
}

// finish checks that the message has what its type needs, in the reference's
// order.
func (r *jsonReader) finish() error {
	m := r.m
	if !r.seen.has(typeProperty) {
		return errMissing("type")
	}
	if m.Type < Invocation || m.Type > Sequence {
		return ErrUnknownType
	}
	switch m.Type {
	case Invocation, StreamInvocation:
		switch {
		case !r.seen.has(targetProperty):
			return errMissing("target")
		case m.Type == StreamInvocation && m.InvocationID == "":
			return errMissing("invocationId")
		case !r.seen.has(argumentsProperty):
			return errMissing("arguments")
		}
	case StreamItem:
		switch {
		case m.InvocationID == "":
			return errMissing("invocationId")
		case !r.seen.has(itemProperty):
			return errMissing("item")
		}
	case Completion:
		switch {
		case m.InvocationID == "":
			return errMissing("invocationId")
		case m.HasError && m.HasResult:
			return invalidData("The 'error' and 'result' properties are mutually exclusive.")
		}
	case CancelInvocation:
		if m.InvocationID == "" {
			return errMissing("invocationId")
		}
	case Ack, Sequence:
		if !r.seen.has(sequenceIDProperty) || r.noSequence {
			return errMissing("sequenceId")
		}
	}
	if foreign := r.seen &^ propertiesOf[m.Type]; foreign != 0 {
		m.clear(foreign)
	}
	return nil
}
