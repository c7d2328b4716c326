package wire

import (
	"bytes"
	"fmt"
)

// handshakeReader reads the flat objects of the handshake. Unlike in hub
// messages, a fault in the JSON is told in the words of System.Text.Json.
type handshakeReader struct{ scanner }

// object reads the frame's object and calls property, which reads the value,
// for each name.
func (r *handshakeReader) object(property func(name string) *ProtocolError) *ProtocolError {
	if r.peek() != '{' {
		if r.pos >= len(r.data) {
			r.fault, r.at = faultEmpty, r.pos
			return r.jsonFault()
		}
		fault := r.notAnObject()
		if r.fault != noFault {
			return r.jsonFault()
		}
		return fault
	}
	r.pos++
	r.depth++
	var buf [32]byte
	for first := true; ; first = false {
		more, ok := r.next('}', first)
		if !ok {
			return r.jsonFault()
		}
		if !more {
			return nil
		}
		if !r.name() {
			return r.jsonFault()
		}
		name, fault := r.text(buf[:0])
		if fault != nil {
			name = nil // no name that we know
		}
		if fault := property(string(name)); fault != nil {
			return fault
		}
	}
}

func (r *handshakeReader) skipped() *ProtocolError {
	if !r.skip() {
		return r.jsonFault()
	}
	return nil
}

func (r *handshakeReader) string(name string) (string, *ProtocolError) {
	switch r.token() {
	case noToken:
		return "", r.jsonFault()
	case tokenString:
	default:
		return "", errExpected(name, "String")
	}
	b, fault := r.text(nil)
	return string(b), fault
}

func (r *handshakeReader) int32(name string) (int, *ProtocolError) {
	r.peek()
	from := r.pos
	switch r.token() {
	case noToken:
		return 0, r.jsonFault()
	case tokenNumber:
	default:
		return 0, errExpected(name, "Number")
	}
	n, ok := parseInteger(r.data[from:r.pos], 32)
	if !ok {
		return 0, errNumber("32")
	}
	return int(n), nil
}

func (r *handshakeReader) missing(name string) *ProtocolError {
	return invalidData("Missing required property '" + name + "'. Message content: " +
		lenientText(r.data))
}

// jsonFault puts the scanner's fault into words. The lines are counted from 0,
// as there.
func (r *handshakeReader) jsonFault() *ProtocolError {
	at := min(r.at, len(r.data))
	before := r.data[:at]
	line := bytes.Count(before, []byte{'\n'})
	column := at - (bytes.LastIndexByte(before, '\n') + 1)
	return &ProtocolError{Type: "JsonReaderException", Text: fmt.Sprintf(
		"%s LineNumber: %d | BytePositionInLine: %d.", r.faultText(at), line, column)}
}

func (r *handshakeReader) faultText(at int) string {
	char := ""
	if at < len(r.data) {
		c := r.data[at]
		char = string(rune(c))
		if c < ' ' || c >= 0x7f {
			char = fmt.Sprintf("0x%02X", c)
		}
	}
	switch r.fault {
	case faultEmpty:
		return "The input does not contain any JSON tokens. Expected the input to start with a valid JSON token, when isFinalBlock is true."
	case faultEnd:
		return "Expected depth to be zero at the end of the JSON payload. There is an open JSON object or array that should be closed."
	case faultEndOfString:
		return "Expected end of string, but instead reached end of data."
	case faultNumberData:
		return "Expected a digit ('0'-'9'), but instead reached end of data."
	case faultName:
		return "'" + char + "' is an invalid start of a property name. Expected a '\"'."
	case faultColon:
		return "'" + char + "' is invalid after a property name. Expected a ':'."
	case faultAfterValue:
		return "'" + char + "' is invalid after a value. Expected either ',', '}', or ']'."
	case faultTrailingComma:
		return "The JSON object contains a trailing comma at the end which is not supported in this mode. Change the reader options."
	case faultLiteral:
		rest := r.data[r.pos:]
		literal := map[byte]string{'t': "true", 'f': "false", 'n': "null"}[rest[0]]
		return "'" + lenientText(rest) + "' is an invalid JSON literal. Expected the literal '" + literal + "'."
	case faultControl:
		return "'" + char + "' is invalid within a JSON string. The string should be correctly escaped."
	case faultEscape:
		return "'" + char + "' is an invalid escapable character within a JSON string. The string should be correctly escaped."
	case faultHex:
		return "'" + char + "' is not a hex digit following '\\u' within a JSON string. The string should be correctly escaped."
	case faultLeadingZero:
		return "Invalid leading zero before '" + char + "'."
	case faultSign:
		return "'" + char + "' is invalid within a number, immediately after a sign character ('+' or '-'). Expected a digit ('0'-'9')."
	case faultFraction:
		return "'" + char + "' is invalid within a number, immediately after a decimal point ('.'). Expected a digit ('0'-'9')."
	case faultExponent, faultNumberEnd:
		return "'" + char + "' is an invalid end of a number. Expected a delimiter."
	case faultDepth:
		return fmt.Sprintf("The maximum configured depth of %d has been exceeded. Cannot read next JSON object or array.", maxJSONDepth)
	}
	return "'" + char + "' is an invalid start of a value."
}
