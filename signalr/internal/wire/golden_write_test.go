package wire

import (
	"testing"
	"time"
)

// progressEvent is the object of the golden lines. Its names have no tags, so
// that each protocol's own casing shows.
type progressEvent struct {
	EventType    string
	TaskId       string
	Progress     int32
	Message      *string
	CurrentFrame *int32
	TotalFrames  *int32
	Timestamp    time.Time
}

// anInt is an integer inside something untyped, which the reference writes in
// the full width of its type; see TestGoldenWrite.
type anInt int32

// goldenMessages are the messages of the golden lines 1 to 58, as values.
func goldenMessages() map[string]struct {
	m         Message
	arguments []any
	value     any
} {
	type message = struct {
		m         Message
		arguments []any
		value     any
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	rendering, frame, frames := "Rendering", int32(13), int32(30)
	full := progressEvent{"VideoGenerationProgress", "task-1", 42, &rendering, &frame, &frames, at}
	bare := progressEvent{EventType: "E", TaskId: "t", Progress: 1, Timestamp: at}
	traced := map[string]string{"traceparent": "00-1-2-01", "x": "é"}
	a := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = 'a'
		}
		return string(b)
	}
	types := []any{nil, true, false, 0, 1, -1, 127, 128, 255, 256, 65535, 65536, -128, -129, -32769,
		2147483647, -2147483648, int64(4294967296), int64(9223372036854775807), int64(-9223372036854775808),
		1.5, 0.1, 3.0, float32(1.5), 1e300, "", "text", "你好 🎬 \"quoted\" <b>&'", a(31), a(32), a(255), a(256)}
	return map[string]message{
		"invocation":                {Message{Type: Invocation, Target: "SubscribeToTask"}, []any{"task-1"}, nil},
		"invocation-id":             {Message{Type: Invocation, InvocationID: "1", Target: "SubscribeToTask"}, []any{"task-1"}, nil},
		"invocation-noargs":         {Message{Type: Invocation, InvocationID: "2", Target: "Ping"}, nil, nil},
		"invocation-types":          {Message{Type: Invocation, InvocationID: "3", Target: "Types"}, types, nil},
		"invocation-object":         {Message{Type: Invocation, Target: "Progress"}, []any{full}, nil},
		"invocation-nested":         {Message{Type: Invocation, Target: "Nested"}, []any{[]int32{1, 2, 3}, map[string]any{"Key": []any{"a", nil, anInt(1)}}, [][]string{{}, {"x"}}}, nil},
		"invocation-bytes":          {Message{Type: Invocation, Target: "Bytes"}, []any{[]byte{0, 1, 2, 255}}, nil},
		"invocation-headers":        {Message{Type: Invocation, InvocationID: "4", Target: "WithHeaders", Headers: traced}, []any{1}, nil},
		"invocation-streams":        {Message{Type: Invocation, InvocationID: "5", Target: "Upload", StreamIDs: []string{"s1", "s2"}}, []any{"name"}, nil},
		"stream-invocation":         {Message{Type: StreamInvocation, InvocationID: "6", Target: "Counter"}, []any{10, 500}, nil},
		"stream-invocation-streams": {Message{Type: StreamInvocation, InvocationID: "7", Target: "Upper", StreamIDs: []string{"s3"}}, nil, nil},
		"stream-item-int":           {Message{Type: StreamItem, InvocationID: "6"}, nil, 42},
		"stream-item-null":          {Message{Type: StreamItem, InvocationID: "6"}, nil, nil},
		"stream-item-object":        {Message{Type: StreamItem, InvocationID: "6"}, nil, bare},
		"completion-void":           {Message{Type: Completion, InvocationID: "1"}, nil, nil},
		"completion-result":         {Message{Type: Completion, InvocationID: "1", HasResult: true}, nil, "ok"},
		"completion-null":           {Message{Type: Completion, InvocationID: "1", HasResult: true}, nil, nil},
		"completion-object":         {Message{Type: Completion, InvocationID: "1", HasResult: true}, nil, &bare},
		"completion-error":          {Message{Type: Completion, InvocationID: "1", HasError: true, Error: "Unauthorized access to task"}, nil, nil},
		"completion-headers":        {Message{Type: Completion, InvocationID: "1", Headers: traced}, nil, nil},
		"cancel":                    {Message{Type: CancelInvocation, InvocationID: "6"}, nil, nil},
		"ping":                      {Message{Type: Ping}, nil, nil},
		"close":                     {Message{Type: Close}, nil, nil},
		"close-error":               {Message{Type: Close, HasError: true, Error: "Connection closed with an error."}, nil, nil},
		"close-reconnect":           {Message{Type: Close, HasError: true, Error: "Server shutting down", AllowReconnect: true}, nil, nil},
		"ack":                       {Message{Type: Ack, SequenceID: 394}, nil, nil},
		"ack-large":                 {Message{Type: Ack, SequenceID: 9007199254740991}, nil, nil},
		"sequence":                  {Message{Type: Sequence, SequenceID: 1234}, nil, nil},
	}
}

// notWritten are the golden lines that Go values cannot give in full, and why.
var notWritten = map[string]string{
	"invocation-time": "Go has no DateTimeOffset and no enum, whose forms are in the line; TestGoldenTimes takes the rest of it apart",
}

// otherBytes are the golden lines that we write differently, why, and how.
var otherBytes = map[string]struct{ why, got string }{
	"messagepack/invocation-nested": {
		why: "an int inside something untyped has its full width in .NET, where the type is known; a Go int has its smallest form everywhere, and every reader takes both",
		got: "\x20\x96\x01\x80\xc0\xa6Nested\x93\x93\x01\x02\x03\x81\xa3Key\x93\xa1a\xc0\x01\x92\x90\x91\xa1x\x90",
	},
}

// TestGoldenWrite writes Go values and compares with what the reference wrote.
func TestGoldenWrite(t *testing.T) {
	messages := goldenMessages()
	used := map[string]bool{}
	for _, g := range golden(t) {
		if g.parse() {
			continue
		}
		used[g.Name] = true
		t.Run(g.Protocol+"/"+g.Name, func(t *testing.T) {
			message, ok := messages[g.Name]
			if why, excluded := notWritten[g.Name]; excluded {
				t.Logf("not written: %s", why)
				return
			}
			if !ok {
				t.Fatal("no value for this line")
			}
			p, m := g.codec(), message.m
			for _, argument := range message.arguments {
				m.Arguments = append(m.Arguments, encode(t, p, argument))
			}
			if m.Type == StreamItem {
				m.Item = encode(t, p, message.value)
			}
			if m.HasResult {
				m.Result = encode(t, p, message.value)
			}
			want := string(g.bytes)
			if other, ok := otherBytes[g.Protocol+"/"+g.Name]; ok {
				t.Logf("other bytes: %s", other.why)
				want = other.got
			}
			if got := p.Append([]byte("before"), &m); string(got) != "before"+want {
				t.Errorf("%s\ngot  %x\nwant %x", g.Says, got[len("before"):], want)
			}
		})
	}
	for name := range messages {
		if !used[name] {
			t.Errorf("%s is in no golden line", name)
		}
	}
}

func encode(t *testing.T, p Protocol, v any) Raw {
	t.Helper()
	raw, err := p.AppendValue(nil, v, DefaultCasing)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestGoldenTimes compares the parts of the golden lines invocation-time that Go
// has a type for.
func TestGoldenTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	for _, tt := range []struct {
		p    Protocol
		v    any
		want string
	}{
		{JSON, at, `"2026-01-02T03:04:05.678Z"`},
		{JSON, 90 * time.Second, `"00:01:30"`},
		{MessagePack, at, "\xd7\xff\xa1\xa5\xd6\x00\x69\x57\x35\xa5"},
		{MessagePack, 90 * time.Second, "\xce\x35\xa4\xe9\x00"},
		{MessagePackProtocol{TimeAsString: true}, at, "\xb82026-01-02T03:04:05.678Z"},
	} {
		if got := encode(t, tt.p, tt.v); string(got) != tt.want {
			t.Errorf("%s %v: got %q, want %q", tt.p.Name(), tt.v, got, tt.want)
		}
	}
}
