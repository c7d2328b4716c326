package wire

import (
	"errors"
	"strconv"
)

// HandshakeRequest is the client's first message, JSON in every protocol.
type HandshakeRequest struct {
	Protocol string // the client's spelling; names are compared without case
	Version  int    // 1, or 2 with stateful reconnect
}

// MaxVersion is the highest handshake version that is accepted; lower ones,
// zero and negative ones included, all are.
const MaxVersion = 2

// HandshakeError is a handshake that fails: what the client is told, and what
// it is told besides when detailed errors are on.
type HandshakeError struct {
	Text string // base sentence

	// Type and Detail are the reference's exception and its message; both are
	// empty where the base sentence is all there is.
	Type, Detail string
}

// Error returns the sentence with its detail.
func (e *HandshakeError) Error() string { return e.Sentence(true) }

// Sentence returns the text of the handshake response.
func (e *HandshakeError) Sentence(detailed bool) string {
	if !detailed || e.Type == "" {
		return e.Text
	}
	return e.Text + " " + e.Type + ": " + e.Detail
}

// The handshakes that fail without a fault in their bytes.

// HandshakeCanceled is the failure of a handshake that came too late or is too
// large.
func HandshakeCanceled() *HandshakeError { return &HandshakeError{Text: "Handshake was canceled."} }

// UnsupportedProtocol is the failure of a handshake that names a protocol which
// is unknown or switched off. name is in the client's spelling.
func UnsupportedProtocol(name string) *HandshakeError {
	return &HandshakeError{Text: "The protocol '" + name + "' is not supported."}
}

// UnsupportedVersion is the failure of a handshake with a version above
// MaxVersion. name is the protocol's own.
func UnsupportedVersion(version int, name string) *HandshakeError {
	return &HandshakeError{Text: "The server does not support version " + strconv.Itoa(version) +
		" of the '" + name + "' protocol."}
}

// UnsupportedTransport is the failure of a binary protocol on a transport for
// text.
func UnsupportedTransport(name string) *HandshakeError {
	return &HandshakeError{Text: "Cannot use the '" + name +
		"' protocol on the current transport. The transport does not support 'Binary' transfer format."}
}

// unexpectedHandshake is the base sentence for whatever else goes wrong.
const unexpectedHandshake = "An unexpected error occurred during connection handshake."

func badHandshake(fault *ProtocolError) *HandshakeError {
	return &HandshakeError{Text: unexpectedHandshake, Type: fault.Type, Detail: fault.Text}
}

// AppendHandshakeRequest writes the client's first message.
func AppendHandshakeRequest(dst []byte, req HandshakeRequest) []byte {
	dst = append(dst, `{"protocol":`...)
	dst = appendJSONString(dst, req.Protocol)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, int64(req.Version), 10)
	return append(dst, '}', Separator)
}

// AppendHandshakeResponse writes the server's answer: success when errText is
// empty.
func AppendHandshakeResponse(dst []byte, errText string) []byte {
	if errText == "" {
		return append(dst, '{', '}', Separator)
	}
	dst = append(dst, `{"error":`...)
	dst = appendJSONString(dst, errText)
	return append(dst, '}', Separator)
}

// ParseHandshakeRequest reads the client's first message from buf and returns
// how many bytes it takes; n is 0 when more are needed. limit is the largest
// message in bytes, separator included; 0 or less means none. The error is a
// *HandshakeError.
func ParseHandshakeRequest(buf []byte, limit int64) (req HandshakeRequest, n int, err error) {
	frame, n, err := splitText(buf, limit)
	if err != nil {
		return req, 0, HandshakeCanceled()
	}
	if n == 0 {
		return req, 0, nil
	}
	r := handshakeReader{scanner: scanner{data: frame}}
	var hasProtocol, hasVersion bool
	fault := r.object(func(name string) *ProtocolError {
		var fault *ProtocolError
		switch name {
		case "protocol":
			req.Protocol, fault = r.string(name)
			hasProtocol = true
		case "version":
			req.Version, fault = r.int32(name)
			hasVersion = true
		default:
			fault = r.skipped()
		}
		return fault
	})
	if fault == nil && !hasProtocol {
		fault = r.missing("protocol")
	}
	if fault == nil && !hasVersion {
		fault = r.missing("version")
	}
	if fault != nil {
		return HandshakeRequest{}, n, badHandshake(fault)
	}
	return req, n, nil
}

// ErrNotHandshake says that the server sent a hub message where the handshake
// response was expected.
var ErrNotHandshake = errors.New("Expected a handshake response from the server.") //nolint:staticcheck // the reference's sentence

// ParseHandshakeResponse reads the server's answer from buf and returns how many
// bytes it takes; n is 0 when more are needed. errText is what the server
// objects to, "" for success. Hub messages may follow in buf. limit is as in
// ParseHandshakeRequest. The error is ErrNotHandshake or a *ProtocolError.
func ParseHandshakeResponse(buf []byte, limit int64) (errText string, n int, err error) {
	frame, n, err := splitText(buf, limit)
	if err != nil || n == 0 {
		return "", 0, err
	}
	r := handshakeReader{scanner: scanner{data: frame}}
	isMessage := false
	fault := r.object(func(name string) *ProtocolError {
		var fault *ProtocolError
		switch name {
		case "type":
			isMessage = true
			fault = r.skipped()
		case "error":
			errText, fault = r.string(name)
		default:
			fault = r.skipped()
		}
		return fault
	})
	switch {
	case isMessage:
		return "", n, ErrNotHandshake
	case fault != nil:
		return "", n, fault
	}
	return errText, n, nil
}
