package wire

import (
	"fmt"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Faults of a string that is valid for the scanner but no text.
var (
	errInvalidUTF8 = &ProtocolError{Type: "InvalidOperationException",
		Text: "Cannot transcode invalid UTF-8 JSON text to UTF-16 string."}
	errLoneSurrogate = &ProtocolError{Type: "InvalidOperationException",
		Text: "Cannot read incomplete UTF-16 JSON text as string with missing low surrogate."}
)

func errInvalidSurrogate(unit rune) *ProtocolError {
	return &ProtocolError{Type: "InvalidOperationException",
		Text: fmt.Sprintf("Cannot read invalid UTF-16 JSON text as string. Invalid surrogate value: '0x%02X'.", unit)}
}

// text returns the newest string as text. The bytes are those of the data
// where nothing is escaped, else they are appended to buf.
func (s *scanner) text(buf []byte) ([]byte, *ProtocolError) {
	b := s.data[s.from:s.to]
	if !s.ascii && !utf8.Valid(b) {
		return nil, errInvalidUTF8
	}
	if !s.escaped {
		return b, nil
	}
	return unescape(buf, b)
}

// unescape appends what the inside of a valid JSON string says.
func unescape(dst, b []byte) ([]byte, *ProtocolError) {
	for i := 0; i < len(b); {
		c := b[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		c = b[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			unit := hexUnit(b[i:])
			i += 4
			if utf16.IsSurrogate(unit) {
				if unit >= 0xDC00 {
					return nil, errInvalidSurrogate(unit)
				}
				if len(b) < i+6 || b[i] != '\\' || b[i+1] != 'u' {
					return nil, errLoneSurrogate
				}
				low := hexUnit(b[i+2:])
				if low < 0xDC00 || low > 0xDFFF {
					return nil, errInvalidSurrogate(low)
				}
				unit = utf16.DecodeRune(unit, low)
				i += 6
			}
			dst = utf8.AppendRune(dst, unit)
			continue
		}
		dst = append(dst, c) // '"', '\\', '/' and what was translated
	}
	return dst, nil
}

func hexUnit(b []byte) rune {
	return rune(hexValue(b[0])<<12 | hexValue(b[1])<<8 | hexValue(b[2])<<4 | hexValue(b[3]))
}

const upperHex = "0123456789ABCDEF"

// appendJSONString writes s as the relaxed encoder of .NET does: letters of all
// scripts raw; quote, backslash, controls, unusual spaces, private and
// unassigned code points and everything outside the BMP escaped. A byte that is
// no UTF-8 becomes U+FFFD.
func appendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if !endsRun[c] && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscapedASCII(dst, c)
			i++
			start = i
			continue
		}
		r, size := decodeRune(s[i:])
		if r != utf8.RuneError && r < 0x10000 && relaxed().has(r) {
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		switch {
		case r == utf8.RuneError:
			dst = append(dst, "\uFFFD"...)
		case r >= 0x10000:
			high, low := utf16.EncodeRune(r)
			dst = appendUnit(appendUnit(dst, high), low)
		default:
			dst = appendUnit(dst, r)
		}
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func decodeRune[T string | []byte](s T) (rune, int) {
	// A rune has at most four bytes; converting so few does not allocate.
	return utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
}

func appendEscapedASCII(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return appendUnit(dst, rune(c))
}

func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', upperHex[u>>12&15], upperHex[u>>8&15], upperHex[u>>4&15], upperHex[u&15])
}

// bmpSet is a set of code points below 0x10000.
type bmpSet [0x10000 / 64]uint64

func (b *bmpSet) has(r rune) bool { return b[r>>6]&(1<<(r&63)) != 0 }

// relaxed is the set of code points that are written raw: the assigned ones
// that are neither control, private, surrogate nor a separator, without the
// byte order mark.
var relaxed = sync.OnceValue(func() *bmpSet {
	set := new(bmpSet)
	for r := rune(0x80); r < 0x10000; r++ {
		if r != 0xFEFF && unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Cf) {
			set[r>>6] |= 1 << (r & 63)
		}
	}
	return set
})
