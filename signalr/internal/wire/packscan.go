package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// maxPackDepth is how deep arrays and maps may nest in one MessagePack value;
// the reference's default.
const maxPackDepth = 500

// packNames are the names that the reference has for the lead bytes from 0xC0
// to 0xDF, in its faults.
var packNames = [...]string{
	"nil", "(never used)", "false", "true", "bin 8", "bin 16", "bin 32", "ext 8", "ext 16", "ext 32",
	"float 32", "float 64", "uint 8", "uint 16", "uint 32", "uint 64", "int 8", "int 16", "int 32", "int 64",
	"fixext 1", "fixext 2", "fixext 4", "fixext 8", "fixext 16", "str 8", "str 16", "str 32",
	"array 16", "array 32", "map 16", "map 32",
}

func packName(lead byte) string {
	switch {
	case lead < 0x80:
		return "positive fixint"
	case lead < 0x90:
		return "fixmap"
	case lead < 0xa0:
		return "fixarray"
	case lead < 0xc0:
		return "fixstr"
	case lead < 0xe0:
		return packNames[lead-0xc0]
	}
	return "negative fixint"
}

// errEndOfStream is the fault of a message that is shorter than it says.
var errEndOfStream = &ProtocolError{Type: "EndOfStreamException", Text: "Attempted to read past the end of the stream."}

func errUnexpectedCode(lead byte) *ProtocolError {
	return &ProtocolError{Type: "MessagePackSerializationException",
		Text: fmt.Sprintf("Unexpected msgpack code %d (%s) encountered.", lead, packName(lead))}
}

func isPackNil(b []byte) bool { return len(b) > 0 && b[0] == 0xc0 }

// arrayHeader reads the header of an array whose elements can all be there: a
// count above the bytes that follow is no array.
func arrayHeader(b []byte) (count int, rest []byte, ok bool) {
	n, rest, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || uint64(n) > uint64(len(rest)) {
		return 0, b, false
	}
	return int(n), rest, true
}

// mapHeader is arrayHeader for maps, whose entries take two bytes at least.
func mapHeader(b []byte) (count int, rest []byte, ok bool) {
	n, rest, err := msgp.ReadMapHeaderBytes(b)
	if err != nil || 2*uint64(n) > uint64(len(rest)) {
		return 0, b, false
	}
	return int(n), rest, true
}

// skipPack returns what follows the value at the front of b. depth is how many
// levels of arrays and maps it may have. It is linear in b and allocates
// nothing, whatever the headers claim.
func skipPack(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	lead := b[0]
	switch {
	case lead < 0x80 || lead >= 0xe0:
		return b[1:], true
	case lead < 0x90:
		return skipElements(b[1:], 2*int64(lead&0x0f), depth)
	case lead < 0xa0:
		return skipElements(b[1:], int64(lead&0x0f), depth)
	case lead < 0xc0:
		return drop(b, 1+int64(lead&0x1f))
	}
	switch lead {
	case 0xc0, 0xc2, 0xc3: // nil, false, true
		return b[1:], true
	case 0xcc, 0xd0: // 8 bits
		return drop(b, 2)
	case 0xcd, 0xd1: // 16 bits
		return drop(b, 3)
	case 0xce, 0xd2, 0xca: // 32 bits
		return drop(b, 5)
	case 0xcf, 0xd3, 0xcb: // 64 bits
		return drop(b, 9)
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // fixext, with a type
		return drop(b, 2+int64(1)<<(lead-0xd4))
	case 0xc4, 0xd9: // bin, str
		return dropSized(b, 1, 0)
	case 0xc5, 0xda:
		return dropSized(b, 2, 0)
	case 0xc6, 0xdb:
		return dropSized(b, 4, 0)
	case 0xc7: // ext, with a type
		return dropSized(b, 1, 1)
	case 0xc8:
		return dropSized(b, 2, 1)
	case 0xc9:
		return dropSized(b, 4, 1)
	case 0xdc, 0xdd:
		if n, rest, ok := arrayHeader(b); ok {
			return skipElements(rest, int64(n), depth)
		}
	case 0xde, 0xdf:
		if n, rest, ok := mapHeader(b); ok {
			return skipElements(rest, 2*int64(n), depth)
		}
	}
	return nil, false // 0xc1, or a header without its bytes
}

func skipElements(b []byte, count int64, depth int) (rest []byte, ok bool) {
	if depth <= 0 {
		return nil, false
	}
	for ; count > 0; count-- {
		if b, ok = skipPack(b, depth-1); !ok {
			return nil, false
		}
	}
	return b, true
}

func drop(b []byte, n int64) ([]byte, bool) {
	if int64(len(b)) < n {
		return nil, false
	}
	return b[n:], true
}

// dropSized drops a lead byte, a length of width bytes, extra bytes, and what
// the length says.
func dropSized(b []byte, width, extra int) ([]byte, bool) {
	if len(b) < 1+width {
		return nil, false
	}
	var size uint32
	switch width {
	case 1:
		size = uint32(b[1])
	case 2:
		size = uint32(binary.BigEndian.Uint16(b[1:]))
	case 4:
		size = binary.BigEndian.Uint32(b[1:])
	}
	return drop(b, int64(1+width+extra)+int64(size))
}

// lenientText makes text of bytes: each one that is no UTF-8 becomes U+FFFD.
func lenientText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}
