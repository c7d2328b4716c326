package wire

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestParseFaults has the rows of hub protocol 4.4 and 5.4 that no golden line
// shows.
func TestParseFaults(t *testing.T) {
	const (
		noJSON    = "InvalidDataException: Error reading JSON."
		badUTF8   = "InvalidOperationException: Cannot transcode invalid UTF-8 JSON text to UTF-16 string."
		surrogate = "InvalidOperationException: Cannot read incomplete UTF-16 JSON text as string with missing low surrogate."
	)
	for _, tt := range []struct {
		name string
		p    Protocol
		in   string
		err  string
	}{
		{"streamIds has null", JSON, `{"type":1,"target":"a","arguments":[],"streamIds":[null]}`, "InvalidDataException: Null value for 'streamIds' is not valid."},
		{"streamIds has an object", JSON, `{"streamIds":[{}]}`, "InvalidOperationException: Cannot get the value of a token type 'StartObject' as a string."},
		{"sequenceId null", JSON, `{"type":8,"sequenceId":null}`, "InvalidDataException: Missing required property 'sequenceId'."},
		{"sequenceId null after a number", JSON, `{"type":8,"sequenceId":1,"sequenceId":null}`, "InvalidDataException: Missing required property 'sequenceId'."},
		{"sequenceId null of another type", JSON, `{"type":6,"sequenceId":null}`, ""},
		{"sequenceId true of another type", JSON, `{"type":6,"sequenceId":true}`, "InvalidDataException: Expected 'sequenceId' to be of type Number."},
		{"the first fault counts", JSON, `{"type":"1",`, "InvalidDataException: Expected 'type' to be of type Number."},
		{"bad JSON before a wrong type", JSON, `{"target":5x}`, noJSON},
		{"missing target before missing id", JSON, `{"type":4}`, "InvalidDataException: Missing required property 'target'."},
		{"missing id before missing arguments", JSON, `{"type":4,"target":"a"}`, "InvalidDataException: Missing required property 'invocationId'."},
		{"lone surrogate in target", JSON, `{"target":"\ud800"}`, surrogate},
		{"lone surrogate before a letter", JSON, `{"error":"\ud800a"}`, surrogate},
		{"low surrogate alone", JSON, `{"error":"\udc00"}`, "InvalidOperationException: Cannot read invalid UTF-16 JSON text as string. Invalid surrogate value: '0xDC00'."},
		{"lone surrogate in an id", JSON, `{"invocationId":"\ud83c"}`, surrogate},
		{"lone surrogate in a header's name", JSON, `{"headers":{"\ud83c":""}}`, surrogate},
		{"invalid UTF-8 in a header", JSON, "{\"headers\":{\"a\":\"\xff\"}}", badUTF8},
		{"invalid UTF-8 in an unknown name", JSON, "{\"\xff\":1,\"type\":6}", ""},
		{"lone surrogate in an unknown name", JSON, `{"\ud800":1,"type":6}`, ""},
		{"invalid UTF-8 outside of a string", JSON, "{\"type\":6\xff}", noJSON},
		{"deep in an unknown property", JSON, `{"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `,"type":6}`, ""},
		{"too deep in an unknown property", JSON, `{"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `,"type":6}`, noJSON},
		{"deep that never ends", JSON, strings.Repeat(`{"x":`, 10000), noJSON},
		{"type -0", JSON, `{"type":-0}`, "unknown"},
		{"type of 20 digits", JSON, `{"type":10000000000000000000}`, "FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int32."},
		{"type of 50 digits", JSON, `{"type":` + strings.Repeat("9", 50) + `}`, "FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int32."},
		{"empty header", JSON, `{"type":6,"headers":{"":""}}`, ""},
		{"true where an object is", JSON, `true`, "InvalidDataException: Unexpected JSON Token Type 'True'. Expected a JSON Object."},
		{"bad literal where an object is", JSON, `nul`, noJSON},
		{"vertical tab", JSON, "{\v}", noJSON},
		{"colon missing", JSON, `{"type" 6}`, noJSON},
		{"comma first", JSON, `{,"type":6}`, noJSON},
		{"comma twice", JSON, `{"type":6,,"x":1}`, noJSON},
		{"wrong bracket", JSON, `{"x":[1}}`, noJSON},
		{"sign alone", JSON, `{"x":-}`, noJSON},
		{"plus", JSON, `{"x":+1}`, noJSON},
		{"point at the end", JSON, `{"x":1.}`, noJSON},
		{"exponent without digits", JSON, `{"x":1e}`, noJSON},
		{"exponents", JSON, `{"x":[1e5,1E+5,1.5e-5,0,-0.0,0e0],"type":6}`, ""},
		{"hexadecimal", JSON, `{"x":0x1}`, noJSON},
		{"escape at the end", JSON, `{"x":"\`, noJSON},
		{"unicode escape cut", JSON, `{"x":"\u12"}`, noJSON},
		{"DEL in a string", JSON, "{\"x\":\"\x7f\",\"type\":6}", ""},

		{"array of fixarray length", MessagePack, "\x9f\x06", "EndOfStreamException: Attempted to read past the end of the stream."},
		{"array 16 cut", MessagePack, "\xdc\x00", "EndOfStreamException: Attempted to read past the end of the stream."},
		{"ext where an array is", MessagePack, "\xd4\x05\x01", "MessagePackSerializationException: Unexpected msgpack code 212 (fixext 1) encountered."},
		{"negative where an array is", MessagePack, "\xff", "MessagePackSerializationException: Unexpected msgpack code 255 (negative fixint) encountered."},
		{"type beyond 32 bits", MessagePack, "\x91\xcf\x00\x00\x00\x01\x00\x00\x00\x00", "InvalidDataException: Reading 'messageType' as Int32 failed."},
		{"header key a number", MessagePack, "\x95\x01\x81\x01\xa1v\xc0", "InvalidDataException: Reading 'headers[0].Key' as String failed."},
		{"second header's value cut", MessagePack, "\x95\x01\x82\xa1a\xa1b\xa1c\xa5", "InvalidDataException: Reading 'headers[1].Value' as String failed."},
		{"header key empty", MessagePack, "\x95\x01\x81\xa0\xa1v\xc0", "InvalidDataException: Null or empty key in header."},
		{"header value empty", MessagePack, "\x95\x01\x81\xa1k\xa0\xc0", "InvalidDataException: Null or empty value in header."},
		{"item id empty", MessagePack, "\x94\x02\x80\xa0\x01", "InvalidDataException: Null or empty invocation ID for StreamItem message."},
		{"stream call without target", MessagePack, "\x95\x04\x80\xa11\xc0\x90", "InvalidDataException: Null or empty target for StreamInvocation message."},
		{"stream id cut", MessagePack, "\x96\x01\x80\xc0\xa1a\x90\x91\xa5a", "EndOfStreamException: Attempted to read past the end of the stream."},
		{"stream id bin", MessagePack, "\x96\x01\x80\xc0\xa1a\x90\x91\xc4\x01a", "MessagePackSerializationException: Unexpected msgpack code 196 (bin 8) encountered."},
		{"stream ids missing", MessagePack, "\x96\x01\x80\xc0\xa1a\x90", "InvalidDataException: Reading array length for 'streamIds' failed."},
		{"streamIds longer than the bytes", MessagePack, "\x96\x01\x80\xc0\xa1a\x90\x92\xa1", "InvalidDataException: Reading array length for 'streamIds' failed."},
		{"kind nil", MessagePack, "\x94\x03\x80\xa11\xc0", "InvalidDataException: Reading 'resultKind' as Int32 failed."},
		{"sequence negative", MessagePack, "\x92\x09\xd3\xff\xff\xff\xff\xff\xff\xff\xff", ""},
		{"bin as target", MessagePack, "\x96\x01\x80\xc0\xc4\x01a\x90\x90", "InvalidDataException: Reading 'target' as String failed."},
	} {
		t.Run(tt.p.Name()+"/"+tt.name, func(t *testing.T) {
			var m Message
			err := tt.p.Parse([]byte(tt.in), &m)
			got := errorText(err)
			if errors.Is(err, ErrUnknownType) {
				got = "unknown"
			}
			if got != tt.err {
				t.Errorf("%q\ngot  %s\nwant %s", tt.in, got, tt.err)
			}
		})
	}
}

// TestMessageIsReused parses one message after another into one Message: nothing
// of an earlier or of another type's properties shows.
func TestMessageIsReused(t *testing.T) {
	var m Message
	parse := func(in string) {
		t.Helper()
		if err := JSON.Parse([]byte(in), &m); err != nil {
			t.Fatal(err)
		}
	}
	parse(`{"type":1,"invocationId":"1","target":"A","arguments":[1,2],"streamIds":["s"],"headers":{"a":"b"}}`)
	kept := m.StreamIDs
	if m.Target != "A" || len(m.Arguments) != 2 || m.Headers["a"] != "b" {
		t.Fatalf("got %+v", m)
	}
	parse(`{"type":6,"invocationId":"1","target":"B","arguments":[1],"streamIds":["t"],"headers":{"a":"b"},"item":1,"result":2,"error":"e","allowReconnect":true,"sequenceId":7}`)
	m.lastTarget = ""
	if m.Type != Ping || m.InvocationID != "" || m.Target != "" || len(m.Arguments) != 0 || m.StreamIDs != nil || m.Headers != nil ||
		m.Item != nil || m.Result != nil || m.HasResult || m.HasError || m.Error != "" || m.AllowReconnect || m.SequenceID != 0 {
		t.Errorf("a ping has %+v", m)
	}
	if !slices.Equal(kept, []string{"s"}) {
		t.Errorf("the stream ids of an earlier message became %q", kept)
	}
	parse(`{"type":7,"error":"e","allowReconnect":true}`)
	parse(`{"type":3,"invocationId":"1"}`)
	if m.HasError || m.Error != "" || m.AllowReconnect {
		t.Errorf("a completion has %+v", m)
	}
}

// TestUnreadableArguments checks that a call whose arguments cannot be walked
// keeps their number, and fails when they are bound.
func TestUnreadableArguments(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		readable []bool
	}{
		{"never used byte", "\x96\x01\x80\xc0\xa1a\x93\x01\xc1\x02\x90", []bool{true, false, false}},
		{"bin cut", "\x96\x01\x80\xc0\xa1a\x92\xa1b\xc4\xff\x90", []bool{true, false}},
		{"deep", "\x96\x01\x80\xc0\xa1a\x91" + strings.Repeat("\x91", 501) + "\xc0", []bool{false}},
		{"all well", "\x96\x01\x80\xc0\xa1a\x91" + strings.Repeat("\x91", 500) + "\xc0\x90", []bool{true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m Message
			if err := MessagePack.Parse([]byte(tt.in), &m); err != nil || m.ArgumentsErr != nil {
				t.Fatal(err, m.ArgumentsErr)
			}
			var got []bool
			for _, argument := range m.Arguments {
				var v any
				got = append(got, MessagePack.DecodeValue(argument, &v) == nil)
			}
			if !slices.Equal(got, tt.readable) {
				t.Errorf("readable %v, want %v", got, tt.readable)
			}
		})
	}
}

// TestParseDoesNotAllocate holds for the messages of an idle or busy connection
// whose strings are known already.
func TestParseDoesNotAllocate(t *testing.T) {
	for _, p := range protocols {
		for name, m := range map[string]Message{
			"ping": {Type: Ping},
			"ack":  {Type: Ack, SequenceID: 12345},
			"call": {Type: Invocation, Target: "SubscribeToTask", Arguments: []Raw{encode(t, p, "task-1"), encode(t, p, map[string]any{"a": []int{1, 2}})}},
			"item": {Type: StreamItem, InvocationID: "7", Item: encode(t, p, 42)},
		} {
			frame, _, err := p.Split(p.Append(nil, &m), 0)
			if err != nil {
				t.Fatal(err)
			}
			var back Message
			allocations := testing.AllocsPerRun(100, func() {
				if err := p.Parse(frame, &back); err != nil {
					t.Fatal(err)
				}
			})
			if allocations > 0 {
				t.Errorf("%s %s: %v allocations", p.Name(), name, allocations)
			}
		}
	}
}

// TestHostileHeaders claims much and brings little.
func TestHostileHeaders(t *testing.T) {
	for _, in := range []string{
		"\xdd\xff\xff\xff\xff\x01", "\x96\x01\xdf\x7f\xff\xff\xff", "\x96\x01\x80\xc0\xa1a\xdd\x7f\xff\xff\xff\xc0",
		"\x96\x01\x80\xc0\xdb\xff\xff\xff\xff", "\x96\x01\x80\xc0\xa1a\x91\xdf\x00\xff\xff\xff\xc0", "\x94\x02\x80\xa11\xc9\xff\xff\xff\xff",
	} {
		var m Message
		allocations := testing.AllocsPerRun(10, func() { _ = MessagePack.Parse([]byte(in), &m) }) // may fail, may not allocate
		if allocations > 10 {
			t.Errorf("%q: %v allocations", in, allocations)
		}
	}
}

func TestWriterOmits(t *testing.T) {
	m := Message{Type: Completion, InvocationID: "1", HasError: true, HasResult: true, Result: Raw("1"), Headers: map[string]string{}}
	if got, want := string(JSON.Append(nil, &m)), "{\"type\":3,\"invocationId\":\"1\",\"result\":1}\x1e"; got != want {
		t.Errorf("an empty error beside a result: got %q, want %q", got, want)
	}
	m = Message{Type: Close, HasError: true}
	if got, want := string(JSON.Append(nil, &m)), "{\"type\":7,\"error\":\"\"}\x1e"; got != want {
		t.Errorf("a close with an empty error: got %q, want %q", got, want)
	}
	m = Message{Type: Invocation, Target: "T", StreamIDs: []string{}}
	if got, want := string(JSON.Append(nil, &m)), "{\"type\":1,\"target\":\"T\",\"arguments\":[],\"streamIds\":[]}\x1e"; got != want {
		t.Errorf("no stream ids, but not nil: got %q, want %q", got, want)
	}
	for _, p := range protocols {
		if got := p.Append([]byte("x"), &Message{Type: 10}); string(got) != "x" {
			t.Errorf("%s wrote %q for an unknown type", p.Name(), got)
		}
	}
}

func TestTypeNames(t *testing.T) {
	names := map[Type]string{}
	for i := Type(-1); i < 12; i++ {
		names[i] = i.String()
	}
	if names[0] != "0" || names[-1] != "-1" || names[10] != "10" || names[Invocation] != "Invocation" || names[Sequence] != "Sequence" {
		t.Errorf("names %v", names)
	}
	counted := slices.Collect(maps.Keys(names))
	counted = slices.DeleteFunc(counted, func(t Type) bool { return !t.Counted() })
	slices.Sort(counted)
	if !slices.Equal(counted, []Type{1, 2, 3, 4, 5}) {
		t.Errorf("counted %v", counted)
	}
}

// TestMessageKeepsLittle parses a large message and then a small one: what the
// large one needed does not stay with the Message.
func TestMessageKeepsLittle(t *testing.T) {
	var m Message
	long := strings.Repeat("t", maxKeptTarget+1)
	large := `{"type":1,"target":"` + long + `","arguments":[` + strings.Repeat("0,", 10*maxKeptArguments) + `0]}`
	if err := JSON.Parse([]byte(large), &m); err != nil || len(m.Arguments) != 10*maxKeptArguments+1 || m.Target != long {
		t.Fatalf("%d arguments, %v", len(m.Arguments), err)
	}
	if err := JSON.Parse([]byte(`{"type":6}`), &m); err != nil {
		t.Fatal(err)
	}
	if cap(m.Arguments) > maxKeptArguments || len(m.lastTarget) > maxKeptTarget {
		t.Errorf("%d arguments and a target of %d bytes are kept", cap(m.Arguments), len(m.lastTarget))
	}
}
