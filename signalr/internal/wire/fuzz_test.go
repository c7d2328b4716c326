package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// seedFrames adds the insides of all golden messages of a protocol.
func seedFrames(f *testing.F, protocol string) {
	f.Helper()
	for _, g := range golden(f) {
		if g.Protocol != protocol {
			continue
		}
		if frame, n, err := g.codec().Split(g.bytes, 0); err == nil && n > 0 {
			f.Add(frame)
		}
	}
}

// checkEnvelope parses a frame twice into differently used messages, and writes
// what it read and reads that again.
func checkEnvelope(t *testing.T, p Protocol, frame []byte) {
	before := bytes.Clone(frame)
	var m Message
	err := p.Parse(frame, &m)
	if !bytes.Equal(frame, before) {
		t.Fatal("Parse changed its input")
	}
	used := Message{Type: Close, Arguments: []Raw{Raw("1"), Raw("2")}, Error: "e", HasError: true, Headers: map[string]string{"a": "b"}}
	if again := p.Parse(frame, &used); errorText(again) != errorText(err) {
		t.Fatalf("first %v, then %v", err, again)
	}
	if err != nil {
		var fault *ProtocolError
		if !errors.As(err, &fault) && !errors.Is(err, ErrUnknownType) {
			t.Fatalf("error of type %T", err)
		}
		return
	}
	if !sameMessage(&m, &used) {
		t.Fatalf("read %+v into a fresh message, %+v into a used one", m, used)
	}
	if m.ArgumentsErr != nil || hasUnreadable(&m) {
		return // was announced and is not there: cannot be written
	}
	out := p.Append(nil, &m)
	inside, n, err := p.Split(out, 0)
	if err != nil || n != len(out) {
		t.Fatalf("wrote %q, which cuts to %d bytes, %v", out, n, err)
	}
	var back Message
	if err := p.Parse(inside, &back); err != nil {
		t.Fatalf("wrote %q, which reads as %v", out, err)
	}
	if m.Type == Completion && m.HasError && m.Error == "" {
		m.HasError = false // an empty error is not written
	}
	if len(m.StreamIDs) == 0 && p.Binary() {
		m.StreamIDs = nil
	}
	if !sameMessage(&m, &back) {
		t.Fatalf("%q\nread  %+v\nwrote %q\nread  %+v", frame, m, out, back)
	}
}

func hasUnreadable(m *Message) bool {
	for _, argument := range m.Arguments {
		if len(argument) == 0 {
			return true
		}
	}
	return m.Type == StreamItem && len(m.Item) == 0 || m.HasResult && len(m.Result) == 0
}

func sameMessage(a, b *Message) bool {
	x, y := *a, *b
	x.lastTarget, y.lastTarget = "", ""
	if len(x.Arguments) == 0 && len(y.Arguments) == 0 {
		x.Arguments, y.Arguments = nil, nil
	}
	return reflect.DeepEqual(x, y)
}

// FuzzJSONEnvelope compares what is JSON with encoding/json, and reads every
// frame as a message.
func FuzzJSONEnvelope(f *testing.F) {
	seedFrames(f, "json")
	for _, seed := range []string{`{"a":[1,2.5e-3,{"b":"\u00e9\n"}],"type":6}`, `{"type":7,"error":"\ud83c\udfac"}`, "{\"x\":\"\x7f\xff\"}", `[[[]],{},"",null,true,false,-0.0]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := scanner{data: frame}
		ours := s.skip()
		if ours {
			s.space()
			ours = s.pos == len(frame)
		}
		// encoding/json goes deeper than 64 levels; else the two must agree.
		if theirs := json.Valid(frame); ours != theirs && s.fault != faultDepth {
			t.Fatalf("%q is JSON to us: %t, to encoding/json: %t (fault %d at %d)", frame, ours, theirs, s.fault, s.at)
		}
		checkEnvelope(t, JSON, frame)
		checkFields(t, frame)
	})
}

// FuzzMessagePackEnvelope reads every frame as a message.
func FuzzMessagePackEnvelope(f *testing.F) {
	seedFrames(f, "messagepack")
	f.Fuzz(func(t *testing.T, frame []byte) { checkEnvelope(t, MessagePack, frame) })
}

// FuzzSplit cuts a stream of bytes under a limit, all at once and as it arrives
// byte by byte: the frames must be the same.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("{\"type\":6}\x1e{\"type\":6}\x1e"), 20, false)
	f.Add([]byte("\x02\x91\x06\x82\x80\x00\x91\x06"), 10, true)
	f.Add([]byte("\xff\xff\xff\xff\x07"), 0, true)
	f.Add([]byte("\x80\x80\x80\x80\x00"), 0, true)
	f.Add([]byte("\x80\x80\x80\x80\x80\x01"), 0, true)
	for _, g := range golden(f) {
		f.Add(g.bytes, 64, g.Protocol != "json")
	}
	f.Fuzz(func(t *testing.T, in []byte, limit int, binary bool) {
		p := JSON
		if binary {
			p = MessagePack
			checkLength(t, in)
		}
		var whole []string
		rest, end := in, ""
		for {
			frame, n, err := p.Split(rest, int64(limit))
			if err != nil {
				end = err.Error()
				break
			}
			if n == 0 {
				break
			}
			if n < len(frame) || n > len(rest) || limit > 0 && n > limit {
				t.Fatalf("frame of %d bytes in %d of %d, limit %d", len(frame), n, len(rest), limit)
			}
			whole = append(whole, string(frame))
			rest = rest[n:]
		}
		var pieces []string
		from, pieceEnd := 0, ""
	arrival:
		for to := range len(in) + 1 {
			for {
				frame, n, err := p.Split(in[from:to], int64(limit))
				if err != nil {
					pieceEnd = err.Error()
					break arrival
				}
				if n == 0 {
					break
				}
				pieces = append(pieces, string(frame))
				from += n
			}
		}
		if !reflect.DeepEqual(pieces, whole) || pieceEnd != end {
			t.Fatalf("at once %q %q, in pieces %q %q", whole, end, pieces, pieceEnd)
		}
	})
}

// FuzzHandshake reads bytes as both handshake messages.
func FuzzHandshake(f *testing.F) {
	for _, e := range edges(f, "http-edges.jsonl", "handshake:") {
		f.Add([]byte(e.Sent))
		f.Add([]byte(e.answer()))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		req, n, err := ParseHandshakeRequest(in, 32768)
		var failed *HandshakeError
		switch {
		case err != nil && !errors.As(err, &failed):
			t.Fatalf("error of type %T", err)
		case err != nil:
			text, m, err := ParseHandshakeResponse(AppendHandshakeResponse(nil, failed.Sentence(true)), 0)
			if err != nil || m == 0 || text != strings.ToValidUTF8(failed.Sentence(true), "\ufffd") {
				t.Fatalf("the answer %q reads as %q, %v", failed.Sentence(true), text, err)
			}
		case n > 0:
			again, _, err := ParseHandshakeRequest(AppendHandshakeRequest(nil, req), 0)
			if err != nil || again != req {
				t.Fatalf("%+v reads as %+v, %v", req, again, err)
			}
		}
		text, n, err := ParseHandshakeResponse(in, 32768)
		if n > len(in) || err != nil && text != "" {
			t.Fatalf("took %d of %d bytes, %q and %v", n, len(in), text, err)
		}
	})
}

// fuzzTargets are what FuzzDecodeValue decodes into.
func fuzzTargets() []any {
	return []any{new(any), new(int32), new(uint8), new(float64), new(bool), new(string), new([]byte), new(time.Time), new(time.Duration),
		new(person), new(*node), new([]int), new(map[string]any), new(map[any]any), new(map[int8]string), new(named), new(Raw), new(json.Number),
		new(json.RawMessage), new(pair), new([]colour), new([2]float32)}
}

// FuzzDecodeValue binds bytes to every kind of target in both protocols. What
// fits is written and read again, with the same result.
func FuzzDecodeValue(f *testing.F) {
	f.Add([]byte("-0.0"), false)
	for _, p := range []string{"json", "messagepack"} {
		for _, g := range golden(f) {
			frame, n, err := g.codec().Split(g.bytes, 0)
			var m Message
			if g.Protocol != p || err != nil || n == 0 || g.codec().Parse(frame, &m) != nil {
				continue
			}
			for _, raw := range append(m.Arguments, m.Item, m.Result) {
				if len(raw) > 0 {
					f.Add([]byte(raw), g.codec().Binary())
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, binary bool) {
		p := JSON
		if binary {
			p = MessagePackProtocol{TimeAsString: true}
		}
		before := bytes.Clone(raw)
		for _, into := range fuzzTargets() {
			err := p.DecodeValue(raw, into)
			if !bytes.Equal(raw, before) {
				t.Fatal("DecodeValue changed its input")
			}
			var bind *BindError
			if err != nil && !errors.As(err, &bind) {
				t.Fatalf("error of type %T", err)
			}
			if err != nil {
				continue
			}
			value := reflect.ValueOf(into).Elem()
			out, err := p.AppendValue(nil, into, AsDeclared)
			if err != nil {
				continue // infinite, nested deeper than can be written, or keyed by what has no name
			}
			back := reflect.New(value.Type())
			if err := p.DecodeValue(out, back.Interface()); err != nil {
				t.Fatalf("%T: %q was read as %#v and written as %q, which does not bind: %v", into, raw, value, out, err)
			}
			again, err := p.AppendValue(nil, back.Interface(), AsDeclared)
			if err != nil || !bytes.Equal(again, out) {
				t.Fatalf("%T: %q was written as %q, then as %q, %v", into, raw, out, again, err)
			}
		}
	})
}

// FuzzStrings writes text as JSON, which encoding/json and we must read the same.
func FuzzStrings(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\x1f\x7f\u0085\u2028\ufeff\ue000\U0001f3ac\xff")
	f.Fuzz(func(t *testing.T, text string) {
		out := appendJSONString(nil, text)
		var theirs, ours string
		if err := json.Unmarshal(out, &theirs); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if err := JSON.DecodeValue(out, &ours); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		want := string([]rune(text)) // each byte that is no UTF-8 as U+FFFD
		if ours != want || theirs != want {
			t.Fatalf("%q written as %q, read as %q, by encoding/json as %q", text, out, ours, theirs)
		}
	})
}
