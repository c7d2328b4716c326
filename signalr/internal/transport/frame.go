package transport

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// frameSink takes what a frameReader finds.
type frameSink interface {
	// data takes a piece of a message.
	data(p []byte)
	ping(payload []byte)
	// closed takes a close frame; reply is the code to answer with.
	closed(reply ws.StatusCode)
}

// closeFault is a breach of RFC 6455 by the peer, and the code that tells it.
type closeFault struct {
	code ws.StatusCode
	text string
}

func (f *closeFault) Error() string {
	return fmt.Sprintf("transport: WebSocket fault %d: %s", f.code, f.text)
}

func violation(text string) error { return &closeFault{ws.StatusProtocolError, text} }

// frameReader reads the frames of a client (RFC 6455, sections 5 to 8) from
// bytes that come in pieces of any size. Payloads go on as they come: a length
// that was announced costs nothing until its bytes are there. The zero value
// is ready. Not safe for concurrent use.
type frameReader struct {
	head  [ws.MaxHeaderSize]byte
	headN uint8 // bytes of head that are there

	inFrame bool // the header is read, left bytes of payload are to come
	over    bool // a close frame came: nothing counts any more
	open    bool // a message is not finished
	text    bool // that message is text
	frame   struct {
		op   ws.OpCode
		fin  bool
		mask [4]byte
	}
	pos  int    // of the payload, for the mask
	left uint64 // of the payload

	utf     utf8Check
	control []byte // payload of a control frame that came in pieces
}

// feed reads p, which it unmasks in place. After an error the reader is
// unusable; what precedes the fault has been handed on.
func (r *frameReader) feed(p []byte, sink frameSink) error {
	for len(p) > 0 && !r.over {
		if !r.inFrame {
			var err error
			if p, err = r.header(p); err != nil {
				return err
			}
			if !r.inFrame {
				return nil // more of the header is to come
			}
		}
		n := len(p)
		if uint64(n) > r.left {
			n = int(r.left)
		}
		piece := p[:n]
		p = p[n:]
		ws.Cipher(piece, r.frame.mask, r.pos)
		r.pos = (r.pos + n) & 3
		r.left -= uint64(n)
		if err := r.payload(piece, sink); err != nil {
			return err
		}
	}
	return nil
}

// header completes the header with bytes of p and returns the rest. A frame
// without payload is not over yet: payload is called for it too.
func (r *frameReader) header(p []byte) ([]byte, error) {
	for {
		need := r.headerSize()
		n := copy(r.head[r.headN:need], p)
		r.headN += uint8(n)
		p = p[n:]
		if int(r.headN) < need {
			return nil, nil
		}
		if need == 2 {
			if err := r.check(); err != nil {
				return nil, err
			}
		}
		if need == r.headerSize() {
			break
		}
	}
	size := uint64(r.head[1] & 0x7f)
	switch size {
	case 126:
		size = uint64(binary.BigEndian.Uint16(r.head[2:]))
	case 127:
		size = binary.BigEndian.Uint64(r.head[2:])
		if size>>63 != 0 {
			return nil, violation("a length from 2^63")
		}
	}
	r.frame.op = ws.OpCode(r.head[0] & 0x0f)
	r.frame.fin = r.head[0]&0x80 != 0
	copy(r.frame.mask[:], r.head[r.headN-4:])
	r.left, r.pos, r.headN = size, 0, 0
	r.inFrame = true
	return p, nil
}

// headerSize returns how long the header is, as far as that is known.
func (r *frameReader) headerSize() int {
	if r.headN < 2 {
		return 2
	}
	switch r.head[1] & 0x7f {
	case 126:
		return 8
	case 127:
		return 14
	}
	return 6
}

// check looks at the first two bytes of a header, and opens a message.
func (r *frameReader) check() error {
	first, second := r.head[0], r.head[1]
	op, fin := ws.OpCode(first&0x0f), first&0x80 != 0
	switch {
	case first&0x70 != 0:
		return violation("a reserved bit")
	case second&0x80 == 0:
		return violation("an unmasked frame")
	case op.IsReserved():
		return violation("an unknown opcode")
	case op.IsControl() && !fin:
		return violation("a fragmented control frame")
	case op.IsControl() && second&0x7f > ws.MaxControlFramePayloadSize:
		return violation("a control frame of more than 125 bytes")
	case op == ws.OpContinuation && !r.open:
		return violation("a continuation of nothing")
	case op.IsData() && op != ws.OpContinuation && r.open:
		return violation("a new message inside another")
	}
	if op == ws.OpText || op == ws.OpBinary {
		r.open, r.text = true, op == ws.OpText
	}
	return nil
}

// payload takes a piece of the present frame; at its end, it closes the frame.
func (r *frameReader) payload(piece []byte, sink frameSink) error {
	if r.frame.op.IsControl() {
		return r.controlPayload(piece, sink)
	}
	if r.text && !r.utf.write(piece) {
		return &closeFault{ws.StatusInvalidFramePayloadData, "text that is not UTF-8"}
	}
	if len(piece) > 0 {
		sink.data(piece)
	}
	if r.left > 0 {
		return nil
	}
	r.inFrame = false
	if r.frame.fin {
		r.open = false
		if r.text && !r.utf.done() {
			return &closeFault{ws.StatusInvalidFramePayloadData, "text that ends inside a character"}
		}
	}
	return nil
}

func (r *frameReader) controlPayload(piece []byte, sink frameSink) error {
	if r.left > 0 || r.control != nil {
		r.control = append(r.control, piece...)
		piece = r.control
	}
	if r.left > 0 {
		return nil
	}
	r.inFrame, r.control = false, nil
	switch r.frame.op {
	case ws.OpPing:
		sink.ping(piece)
	case ws.OpClose:
		r.over = true
		sink.closed(closeReply(piece))
	}
	return nil
}

// closeReply returns the code that answers a close frame: 1000 for one that is
// well formed, whatever its code, else 1002.
func closeReply(payload []byte) ws.StatusCode {
	if len(payload) == 0 {
		return ws.StatusNormalClosure
	}
	if len(payload) == 1 || !utf8.Valid(payload[2:]) {
		return ws.StatusProtocolError
	}
	switch code := binary.BigEndian.Uint16(payload); {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return ws.StatusNormalClosure
	}
	return ws.StatusProtocolError
}

// utf8Check tells whether bytes that come in pieces are UTF-8. It says no at
// the first byte that cannot be part of it, as RFC 6455 recommends.
type utf8Check struct {
	part [utf8.UTFMax]byte // the beginning of a character
	n    int
}

// write takes the next piece and reports whether all is well so far.
func (u *utf8Check) write(p []byte) bool {
	for u.n > 0 && len(p) > 0 {
		u.part[u.n] = p[0]
		u.n++
		p = p[1:]
		if utf8.FullRune(u.part[:u.n]) {
			if r, size := utf8.DecodeRune(u.part[:u.n]); r == utf8.RuneError && size == 1 {
				return false
			}
			u.n = 0
		}
	}
	// The last bytes may be the beginning of a character.
	tail := len(p)
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				tail = len(p) - i
			}
			break
		}
	}
	u.n += copy(u.part[u.n:], p[tail:])
	return utf8.Valid(p[:tail])
}

// done reports whether the text may end here, and starts anew.
func (u *utf8Check) done() bool {
	whole := u.n == 0
	u.n = 0
	return whole
}

// serverHeader is the room for the longest header of a server's frame, which
// carries no mask.
const serverHeader = 10

// putHeader writes the header of an unfragmented frame with n bytes of payload
// right before position at of b, and returns where it begins.
func putHeader(b []byte, at int, op ws.OpCode, n int) int {
	first := 0x80 | byte(op)
	switch {
	case n <= 125:
		b[at-2], b[at-1] = first, byte(n)
		return at - 2
	case n <= 0xffff:
		b[at-4], b[at-3] = first, 126
		binary.BigEndian.PutUint16(b[at-2:], uint16(n))
		return at - 4
	}
	b[at-10], b[at-9] = first, 127
	binary.BigEndian.PutUint64(b[at-8:], uint64(n))
	return at - 10
}

// controlFrame returns a whole control frame.
func controlFrame(op ws.OpCode, payload []byte) []byte {
	return append([]byte{0x80 | byte(op), byte(len(payload))}, payload...)
}

// closeFrame returns a close frame with a code and no reason.
func closeFrame(code ws.StatusCode) []byte {
	return controlFrame(ws.OpClose, binary.BigEndian.AppendUint16(nil, uint16(code)))
}
