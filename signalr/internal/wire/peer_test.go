package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// What other readers of the same bytes make of them: encoding/json,
// encoding/binary, and a second MessagePack library.

// peerFields reads the fields of a JSON message with encoding/json. ok is false
// for what is no object, or has a field twice, for which readers have different
// rules.
func peerFields(frame []byte) (fields map[string]json.RawMessage, ok bool) {
	if json.Unmarshal(frame, &fields) != nil || fields == nil {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(frame))
	_, _ = dec.Token() // the brace
	n := 0
	for ; dec.More(); n++ {
		var value json.RawMessage
		_, _ = dec.Token() // the name
		if dec.Decode(&value) != nil {
			return nil, false
		}
	}
	return fields, n == len(fields)
}

// checkFields compares what Parse finds in a message with what encoding/json
// finds.
func checkFields(t *testing.T, frame []byte) {
	fields, ok := peerFields(frame)
	var m Message
	if !ok || JSON.Parse(frame, &m) != nil {
		return
	}
	text := func(name, got string) {
		t.Helper()
		raw, there := fields[name]
		if !there || string(raw) == "null" {
			if got != "" {
				t.Fatalf("%q: %s is %q, to encoding/json it is not there", frame, name, got)
			}
			return
		}
		var want string
		if err := json.Unmarshal(raw, &want); err != nil || want != got {
			t.Fatalf("%q: %s is %q, to encoding/json %q, %v", frame, name, got, want, err)
		}
	}
	var number float64
	if err := json.Unmarshal(fields["type"], &number); err != nil || Type(number) != m.Type {
		t.Fatalf("%q: type %d, to encoding/json %v, %v", frame, m.Type, number, err)
	}
	switch m.Type {
	case Invocation, StreamInvocation:
		text("target", m.Target)
		text("invocationId", m.InvocationID)
		var arguments []json.RawMessage
		if m.ArgumentsErr == nil && json.Unmarshal(fields["arguments"], &arguments) == nil {
			compareRaw(t, arguments, m.Arguments)
		}
	case StreamItem:
		text("invocationId", m.InvocationID)
		compareRaw(t, []json.RawMessage{fields["item"]}, []Raw{m.Item})
	case Completion:
		text("invocationId", m.InvocationID)
		text("error", m.Error)
		if m.HasResult {
			compareRaw(t, []json.RawMessage{fields["result"]}, []Raw{m.Result})
		}
	case Close:
		text("error", m.Error)
	}
}

func compareRaw(t *testing.T, want []json.RawMessage, got []Raw) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d values, to encoding/json %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(bytes.TrimSpace(got[i]), want[i]) {
			t.Fatalf("value %q, to encoding/json %q", got[i], want[i])
		}
	}
}

// peer reads MessagePack with the other library. Where that panics, it is a bug
// of its own.
func peer(raw []byte, read func(*msgpack.Decoder) (any, error)) (v any, n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	in := bytes.NewReader(raw)
	dec := msgpack.NewDecoder(in)
	dec.SetMapDecoder(func(d *msgpack.Decoder) (any, error) { return d.DecodeUntypedMap() })
	v, err = read(dec)
	return v, len(raw) - in.Len(), err
}

// peerValue decodes a value. Only for whole ones: for others that library takes
// memory by what they announce.
func peerValue(raw []byte) (any, int, error) {
	return peer(raw, (*msgpack.Decoder).DecodeInterface)
}

// peerSkip reads over a value.
func peerSkip(raw []byte) (int, error) {
	_, n, err := peer(raw, func(d *msgpack.Decoder) (any, error) { return nil, d.Skip() })
	return n, err
}

// FuzzMessagePackValue compares values as we read and write them with what
// another MessagePack library makes of them.
func FuzzMessagePackValue(f *testing.F) {
	for _, g := range golden(f) {
		if frame, n, err := g.codec().Split(g.bytes, 0); err == nil && n > 0 && g.codec().Binary() {
			f.Add(frame)
		}
	}
	for _, seed := range []string{"\xd6\xff\x00\x00\x00\x01", "\xc7\x0c\xff\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff", "\x82\x01\xa1a\xa1b\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", "\xc4\x02\x00\xff", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := peerSkip(raw)
		rest, whole := skipPack(raw, len(raw)+1) // however deep
		if whole != (err == nil) || whole && len(raw)-len(rest) != n {
			t.Fatalf("%x: whole: %t, %d bytes, to msgpack %d bytes, %v", raw, whole, len(raw)-len(rest), n, err)
		}
		if !whole {
			return
		}
		raw = raw[:n]
		var ours any
		if err := MessagePack.DecodeValue(raw, &ours); err != nil {
			return // a key twice, a time .NET does not have, an extension: our rules
		}
		theirs, _, err := peerValue(raw)
		if err != nil || !sameValue(ours, theirs) {
			t.Fatalf("%x is %#v, to msgpack %#v, %v", raw, ours, theirs, err)
		}
		out, err := MessagePack.AppendValue(nil, ours, AsDeclared)
		if err != nil {
			return // a key that has no name
		}
		back, n, err := peerValue(out)
		if err != nil || n != len(out) || !sameValue(ours, back) {
			t.Fatalf("%#v is written as %x, to msgpack %#v of %d bytes, %v", ours, out, back, n, err)
		}
	})
}

// sameValue compares a value of ours with one of the other library, which keeps
// the width of numbers, the nanoseconds of times, and bytes that are no UTF-8.
func sameValue(ours, theirs any) bool {
	switch x := ours.(type) {
	case string:
		y, ok := theirs.(string)
		return ok && x == lenientText([]byte(y))
	case []byte:
		y, _ := theirs.([]byte)
		return bytes.Equal(x, y)
	case time.Time:
		y, ok := theirs.(time.Time)
		return ok && x.Equal(y.Truncate(tick))
	case []any:
		y, ok := theirs.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameValue(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any, map[any]any:
		return sameMap(reflect.ValueOf(ours), reflect.ValueOf(theirs))
	}
	return sameNumber(reflect.ValueOf(ours), reflect.ValueOf(theirs))
}

func sameMap(ours, theirs reflect.Value) bool {
	if theirs.Kind() != reflect.Map {
		return false
	}
	for _, key := range ours.MapKeys() {
		found := false
		for _, other := range theirs.MapKeys() {
			if sameValue(key.Interface(), other.Interface()) && sameValue(ours.MapIndex(key).Interface(), theirs.MapIndex(other).Interface()) {
				found = true
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func sameNumber(x, y reflect.Value) bool {
	switch {
	case !x.IsValid() || !y.IsValid():
		return x.IsValid() == y.IsValid()
	case x.CanInt() && y.CanInt():
		return x.Int() == y.Int()
	case x.CanUint() && y.CanUint():
		return x.Uint() == y.Uint()
	case x.CanInt() && y.CanUint():
		return x.Int() >= 0 && uint64(x.Int()) == y.Uint()
	case x.CanUint() && y.CanInt():
		return sameNumber(y, x)
	case x.CanFloat() && y.CanFloat():
		return x.Float() == y.Float() || math.IsNaN(x.Float()) && math.IsNaN(y.Float())
	}
	return x.Kind() == reflect.Bool && y.Kind() == reflect.Bool && x.Bool() == y.Bool()
}

// checkLength compares the length before a binary message with what
// encoding/binary reads.
func checkLength(t *testing.T, in []byte) {
	frame, n, err := MessagePack.Split(in, 0)
	size, width := binary.Uvarint(in[:min(len(in), 5)])
	switch {
	case err != nil:
		if width > 0 && size <= math.MaxInt32 {
			t.Fatalf("%x: %v, to encoding/binary %d", in, err, size)
		}
	case n == 0: // more must come
		if width > 0 && uint64(len(in)-width) >= size {
			t.Fatalf("%x: waits for more, to encoding/binary all %d bytes are there", in, size)
		}
	case width <= 0 || uint64(len(frame)) != size || n != width+int(size):
		t.Fatalf("%x: %d of %d bytes, to encoding/binary %d behind %d", in, len(frame), n, size, width)
	}
}
