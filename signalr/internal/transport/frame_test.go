package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// found is a frameSink that keeps what it gets.
type found struct {
	bytes  []byte
	pings  [][]byte
	closes []ws.StatusCode
}

func (f *found) data(p []byte)              { f.bytes = append(f.bytes, p...) }
func (f *found) ping(p []byte)              { f.pings = append(f.pings, bytes.Clone(p)) }
func (f *found) closed(reply ws.StatusCode) { f.closes = append(f.closes, reply) }
func codeOf(err error) (code ws.StatusCode) {
	var fault *closeFault
	if errors.As(err, &fault) {
		return fault.code
	}
	return 0
}

// slowFrames reads frames with gobwas/ws, one after the other, and checks them
// with its rules: what frameReader must agree with.
func slowFrames(data []byte) (f found, code ws.StatusCode) {
	in := bytes.NewReader(data)
	state := ws.StateServerSide
	var message []byte
	text := false
	for {
		h, err := ws.ReadHeader(in)
		if errors.Is(err, ws.ErrHeaderLengthMSB) {
			return f, ws.StatusProtocolError
		}
		if err != nil {
			return f, 0
		}
		if ws.CheckHeader(h, state) != nil {
			return f, ws.StatusProtocolError
		}
		payload := make([]byte, min(h.Length, int64(in.Len())))
		_, _ = io.ReadFull(in, payload)
		whole := int64(len(payload)) == h.Length
		ws.Cipher(payload, h.Mask, 0)
		if h.OpCode.IsControl() {
			if !whole {
				return f, 0
			}
			switch h.OpCode {
			case ws.OpPing:
				f.pings = append(f.pings, payload)
			case ws.OpClose:
				f.closes = append(f.closes, closeReply(payload))
				return f, 0
			}
			continue
		}
		if h.OpCode != ws.OpContinuation {
			message, text = nil, h.OpCode == ws.OpText
		}
		message = append(message, payload...)
		f.bytes = append(f.bytes, payload...)
		if text && !validSoFar(message, whole && h.Fin) {
			return f, ws.StatusInvalidFramePayloadData
		}
		if !whole {
			return f, 0
		}
		state = state.Set(ws.StateFragmented)
		if h.Fin {
			state = state.Clear(ws.StateFragmented)
		}
	}
}

// validSoFar tells whether a text can still become UTF-8, or, whole, is.
func validSoFar(p []byte, whole bool) bool {
	for len(p) > 0 {
		if !whole && !utf8.FullRune(p) {
			return true
		}
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 {
			return false
		}
		p = p[size:]
	}
	return true
}

// FuzzFrames compares frameReader, fed in pieces, with frames read by gobwas/ws
// one by one.
func FuzzFrames(f *testing.F) {
	f.Add(clientFrame(0x81, jsonHandshake), uint8(3))
	f.Add(append(clientFrame(0x01, "a\xe4\xbd"), clientFrame(0x80, "\xa0b")...), uint8(1))
	f.Add(append(append(clientFrame(0x02, "ab"), clientFrame(0x89, "ping")...), clientFrame(0x80, "cd")...), uint8(5))
	f.Add(clientFrame(0x88, "\x03\xe8bye"), uint8(2))
	f.Add(clientFrame(0x82, string(make([]byte, 70_000))), uint8(200))
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, uint8(4))
	f.Add(append([]byte{0x81, 2}, "hi"...), uint8(9))
	f.Add(clientFrame(0xc1, "x"), uint8(1))
	f.Add(clientFrame(0x09, "x"), uint8(1))
	for _, e := range readEdges(f)[111:127] {
		f.Add(socketInput(f, e), uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		want, wantCode := slowFrames(data)
		var got found
		var r frameReader
		var err error
		for rest := bytes.Clone(data); len(rest) > 0 && err == nil; {
			n := min(len(rest), 1+int(step))
			err = r.feed(rest[:n], &got)
			rest = rest[n:]
		}
		// Faults show at the first byte that has them, even if the rest of the
		// header is missing; text is handed on up to the piece that is wrong.
		if code := codeOf(err); code != wantCode && !(wantCode == 0 && code == ws.StatusProtocolError && cutHeader(data)) {
			t.Fatalf("code %d, want %d", code, wantCode)
		}
		if err == nil && !bytes.Equal(got.bytes, want.bytes) || !bytes.HasPrefix(want.bytes, got.bytes) {
			t.Fatalf("data %q, want %q", got.bytes, want.bytes)
		}
		if len(got.pings) != len(want.pings) || len(got.closes) != len(want.closes) {
			t.Fatalf("found %v, want %v", got, want)
		}
		for i := range got.pings {
			if !bytes.Equal(got.pings[i], want.pings[i]) {
				t.Fatalf("ping %q, want %q", got.pings[i], want.pings[i])
			}
		}
		for i := range got.closes {
			if got.closes[i] != want.closes[i] {
				t.Fatalf("close answered %d, want %d", got.closes[i], want.closes[i])
			}
		}
	})
}

// cutHeader tells whether data ends inside a header.
func cutHeader(data []byte) bool {
	in := bytes.NewReader(data)
	for in.Len() > 0 {
		h, err := ws.ReadHeader(in)
		if err != nil {
			return true
		}
		if _, err := in.Seek(h.Length, io.SeekCurrent); err != nil {
			return false
		}
	}
	return false
}

// FuzzUTF8 compares the check in pieces with the one of the whole.
func FuzzUTF8(f *testing.F) {
	f.Add([]byte("aé你🙂"), uint8(1))
	f.Add([]byte("\xf0\x9f\x99"), uint8(2))
	f.Add([]byte("\xed\xa0\x80"), uint8(1))
	f.Add([]byte("\xf4\x90\x80\x80"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var u utf8Check
		good := true
		for rest := data; len(rest) > 0 && good; {
			n := min(len(rest), 1+int(step))
			good = u.write(rest[:n])
			rest = rest[n:]
		}
		if good = good && u.done(); good != utf8.Valid(data) {
			t.Errorf("%q: %v", data, good)
		}
	})
}

// TestPutHeader compares our headers with those of gobwas/ws.
func TestPutHeader(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20} {
		for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
			var want bytes.Buffer
			if err := ws.WriteHeader(&want, ws.Header{Fin: true, OpCode: op, Length: int64(n)}); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, serverHeader)
			if got := b[putHeader(b, serverHeader, op, n):]; !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%d bytes: %x, want %x", n, got, want.Bytes())
			}
		}
	}
	if got := closeFrame(1002); binary.BigEndian.Uint16(got[2:]) != 1002 || got[0] != 0x88 || got[1] != 2 {
		t.Errorf("close frame %x", got)
	}
}
