package wire

import "bytes"

// Separator ends every JSON message and both handshake messages.
const Separator = 0x1E

// Split cuts at the separator. The inside of a frame may be empty.
func (JSONProtocol) Split(buf []byte, limit int64) (frame []byte, n int, err error) {
	return splitText(buf, limit)
}

func splitText(buf []byte, limit int64) (frame []byte, n int, err error) {
	window := buf
	over := limit > 0 && int64(len(buf)) > limit
	if over {
		window = buf[:limit]
	}
	if i := bytes.IndexByte(window, Separator); i >= 0 {
		return buf[:i:i], i + 1, nil
	}
	if over {
		return nil, 0, tooLarge(limit)
	}
	return nil, 0, nil
}

// MayEnd reports whether a message of p that began before piece can end within
// it. As long as it cannot, Split need not look at the whole again, which would
// cost the square of the length where a text comes in many pieces.
func MayEnd(p Protocol, piece []byte) bool {
	return p.Binary() || bytes.IndexByte(piece, Separator) >= 0
}

// Split cuts by the length prefix. A message that its prefix says to be over
// the limit is refused at once, without waiting for its bytes.
func (MessagePackProtocol) Split(buf []byte, limit int64) (frame []byte, n int, err error) {
	window := buf // the prefix counts too, so that the answer is the same however the bytes arrive
	over := limit > 0 && int64(len(buf)) > limit
	if over {
		window = buf[:limit]
	}
	size, width, err := readLength(window)
	if err != nil {
		return nil, 0, err
	}
	if width == 0 {
		if over {
			return nil, 0, tooLarge(limit)
		}
		return nil, 0, nil
	}
	whole := int64(width) + size
	if limit > 0 && whole > limit {
		return nil, 0, tooLarge(limit)
	}
	if int64(len(buf)) < whole {
		return nil, 0, nil
	}
	return buf[width:whole:whole], int(whole), nil
}

// maxLengthBytes is how long a prefix may be; the last byte of five holds three
// bits, which makes 2 GB less one byte.
const maxLengthBytes = 5

// readLength reads an unsigned LEB128 number of at most 31 bits, which need not
// be minimal. width is 0 when bytes are missing.
func readLength(buf []byte) (size int64, width int, err error) {
	for i, c := range buf {
		if i == maxLengthBytes-1 && c > 7 {
			return 0, 0, &ProtocolError{Type: "FormatException", Text: "Messages over 2GB in size are not supported."}
		}
		size |= int64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return size, i + 1, nil
		}
	}
	return 0, 0, nil
}

// appendLength writes the minimal form.
func appendLength(dst []byte, size int) []byte {
	for size > 0x7f {
		dst = append(dst, byte(size)|0x80)
		size >>= 7
	}
	return append(dst, byte(size))
}

// lengthWidth is how many bytes appendLength writes.
func lengthWidth(size int) int {
	width := 1
	for size > 0x7f {
		size >>= 7
		width++
	}
	return width
}
