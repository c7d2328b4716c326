package wire

import (
	"encoding/binary"
	"math/bits"
)

// maxJSONDepth is how deep objects and arrays may nest in a message, the
// message's own object included.
const maxJSONDepth = 64

// tokenKind is what a JSON token is.
type tokenKind int

const (
	noToken tokenKind = iota
	tokenObject
	tokenArray
	tokenString
	tokenNumber
	tokenTrue
	tokenFalse
	tokenNull
)

// String returns the reference's name of a token that starts a value.
func (k tokenKind) String() string {
	return [...]string{"None", "StartObject", "StartArray", "String", "Number", "True", "False", "Null"}[k]
}

// fault is why a JSON text is none. Its text is needed for the handshake only:
// in a hub message every fault reads `Error reading JSON.`
type fault int

const (
	noFault fault = iota
	faultEmpty
	faultEnd
	faultEndOfString
	faultValue
	faultName
	faultColon
	faultAfterValue
	faultTrailingComma
	faultLiteral
	faultControl
	faultEscape
	faultHex
	faultLeadingZero
	faultSign
	faultFraction
	faultExponent
	faultNumberEnd
	faultNumberData
	faultDepth
)

// scanner walks over a JSON text as strictly as System.Text.Json. It validates
// and finds bounds; nothing is copied. Invalid UTF-8 within strings passes, as
// there; who turns a string into text checks it.
type scanner struct {
	data  []byte
	pos   int
	depth int

	// Of the newest string: its bounds without the quotes, whether a backslash
	// is in it, and whether all its bytes are ASCII.
	from, to       int
	escaped, ascii bool

	// Why a method returned false or noToken, and where.
	fault fault
	at    int
}

func (s *scanner) fail(f fault, at int) bool {
	s.fault, s.at = f, at
	return false
}

// endsRun are the bytes that do not stand for themselves in a string.
var endsRun = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is no white space, or 0 at the end; 0 is
// never valid between tokens.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) && s.data[s.pos] > ' ' {
		return s.data[s.pos]
	}
	s.space()
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// wrong tells the fault at the end of the data from f, the one at a wrong byte.
func (s *scanner) wrong(f fault) bool {
	if s.pos >= len(s.data) {
		return s.fail(faultEnd, s.pos)
	}
	return s.fail(f, s.pos)
}

// token reads the next token that can start a value. Of an object or array only
// the bracket is read.
func (s *scanner) token() tokenKind {
	switch c := s.peek(); c {
	case '"':
		if s.str() {
			return tokenString
		}
	case '{':
		if s.open() {
			return tokenObject
		}
	case '[':
		if s.open() {
			return tokenArray
		}
	case 't':
		if s.literal("true") {
			return tokenTrue
		}
	case 'f':
		if s.literal("false") {
			return tokenFalse
		}
	case 'n':
		if s.literal("null") {
			return tokenNull
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if s.number() {
			return tokenNumber
		}
	default:
		s.wrong(faultValue)
	}
	return noToken
}

// open reads the bracket at pos.
func (s *scanner) open() bool {
	if s.depth >= maxJSONDepth {
		return s.fail(faultDepth, s.pos)
	}
	s.depth++
	s.pos++
	return true
}

// str reads the string whose opening quote is at pos.
func (s *scanner) str() bool {
	i := s.pos + 1
	s.from, s.escaped = i, false
	data := s.data
	var high uint64 // all bytes, or'ed
	for {
		n, all := plainRun(data[i:])
		i += n
		high |= all
		if i >= len(data) {
			return s.fail(faultEndOfString, len(data))
		}
		switch c := data[i]; {
		case c == '"':
			s.to, s.pos, s.ascii = i, i+1, high&high8 == 0
			return true
		case c != '\\':
			return s.fail(faultControl, i)
		}
		s.escaped = true
		if i+1 >= len(data) {
			return s.fail(faultEndOfString, len(data))
		}
		switch data[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			for j := i + 2; j < i+6; j++ {
				if j >= len(data) {
					return s.fail(faultEndOfString, len(data))
				}
				if hexValue(data[j]) < 0 {
					return s.fail(faultHex, j)
				}
			}
			i += 6
		default:
			return s.fail(faultEscape, i+1)
		}
	}
}

const (
	low8  = 0x0101010101010101
	high8 = 0x8080808080808080
)

// plainRun counts the bytes at the front of b that stand for themselves in a
// string, eight at a time while it can, and returns their bits or'ed together.
func plainRun(b []byte) (n int, all uint64) {
	for n+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[n:])
		quote, slash := x^'"'*low8, x^'\\'*low8
		// The lowest bit set is that of the first byte below 0x20, or zero in
		// quote or slash; bits above it may be wrong.
		stop := ((x-' '*low8)&^x | (quote-low8)&^quote | (slash-low8)&^slash) & high8
		if stop != 0 {
			k := bits.TrailingZeros64(stop) >> 3
			return n + k, all | x&(1<<(8*k)-1)
		}
		all |= x
		n += 8
	}
	for n < len(b) && !endsRun[b[n]] {
		all |= uint64(b[n])
		n++
	}
	return n, all
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func (s *scanner) literal(word string) bool {
	rest := s.data[s.pos:]
	if len(rest) >= len(word) && string(rest[:len(word)]) == word {
		s.pos += len(word)
		return true
	}
	i := 0
	for i < len(rest) && i < len(word) && rest[i] == word[i] {
		i++
	}
	return s.fail(faultLiteral, s.pos+i)
}

func isDigit(c byte) bool { return c-'0' < 10 }

// digits moves i over digits.
func (s *scanner) digits(i int) int {
	for i < len(s.data) && isDigit(s.data[i]) {
		i++
	}
	return i
}

// number reads the number at pos, which must be followed by a delimiter or the
// end.
func (s *scanner) number() bool {
	data, i := s.data, s.pos
	if i+1 < len(data) && isDigit(data[i]) && (data[i+1] == ',' || data[i+1] == '}' || data[i+1] == ']') {
		s.pos++ // a single digit, as most are
		return true
	}
	at := func(i int) byte {
		if i < len(data) {
			return data[i]
		}
		return 0
	}
	need := func(i int, f fault) bool {
		if i >= len(data) {
			return s.fail(faultNumberData, i)
		}
		return isDigit(data[i]) || s.fail(f, i)
	}
	if data[i] == '-' {
		i++
		if !need(i, faultSign) {
			return false
		}
	}
	if data[i] == '0' {
		i++
		if isDigit(at(i)) {
			return s.fail(faultLeadingZero, i)
		}
	} else {
		i = s.digits(i)
	}
	if at(i) == '.' {
		i++
		if !need(i, faultFraction) {
			return false
		}
		i = s.digits(i)
	}
	if c := at(i); c == 'e' || c == 'E' {
		i++
		if c := at(i); c == '+' || c == '-' {
			i++
		}
		if !need(i, faultExponent) {
			return false
		}
		i = s.digits(i)
	}
	if i < len(data) {
		switch data[i] {
		case ',', '}', ']', ' ', '\n', '\r', '\t':
		default:
			return s.fail(faultNumberEnd, i)
		}
	}
	s.pos = i
	return true
}

// name reads a property's name and the colon behind it; its bounds are those
// of the newest string.
func (s *scanner) name() bool {
	if s.peek() != '"' {
		return s.wrong(faultName)
	}
	if !s.str() {
		return false
	}
	if s.peek() != ':' {
		return s.wrong(faultColon)
	}
	s.pos++
	return true
}

// next moves to the next element of the object or array that ends with
// closing: more says that there is one. first says that none was read yet.
func (s *scanner) next(closing byte, first bool) (more, ok bool) {
	c := s.peek()
	if c == closing {
		s.pos++
		s.depth--
		return false, true
	}
	if first {
		if s.pos >= len(s.data) {
			return false, s.fail(faultEnd, s.pos)
		}
		return true, true
	}
	if c != ',' {
		return false, s.wrong(faultAfterValue)
	}
	s.pos++
	if s.peek() == closing {
		return false, s.fail(faultTrailingComma, s.pos)
	}
	return true, true
}

// skip reads a whole value of any kind.
func (s *scanner) skip() bool {
	switch s.token() {
	case noToken:
		return false
	case tokenObject:
		for first := true; ; first = false {
			more, ok := s.next('}', first)
			if !more {
				return ok
			}
			if !s.name() || !s.skip() {
				return false
			}
		}
	case tokenArray:
		for first := true; ; first = false {
			more, ok := s.next(']', first)
			if !more {
				return ok
			}
			if !s.skip() {
				return false
			}
		}
	}
	return true
}

// value reads a whole value and returns its bytes without the space around it.
func (s *scanner) value() (Raw, bool) {
	s.peek()
	from := s.pos
	if !s.skip() {
		return nil, false
	}
	return Raw(s.data[from:s.pos:s.pos]), true
}
