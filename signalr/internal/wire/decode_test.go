package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

type person struct {
	Name  string
	Value int32
	Tag   string `json:"the_tag"`
	NAME  string `json:"name"`
}

// TestDecodeValue has the rows of hub protocol 6.4 and their neighbours. want nil
// says that the value must not fit.
func TestDecodeValue(t *testing.T) {
	inf := math.Inf(1)
	utc := func(ns int) time.Time { return time.Date(2026, 1, 2, 3, 4, 5, ns, time.UTC) }
	const stamp = "\x69\x57\x35\xa5"
	type row struct {
		raw  string
		into any // pointer to a value that must be overwritten
		want any
	}
	for p, rows := range map[Protocol][]row{
		JSON: {
			{`-0`, new(int32), int32(0)}, {`-0`, new(uint8), uint8(0)}, {`-1`, new(uint8), nil}, {`256`, new(uint8), nil}, {` 7 `, new(int), 7},
			{`1.0`, new(int32), nil}, {`1e2`, new(int64), nil}, {`"1"`, new(int), nil}, {`true`, new(int), nil}, {`null`, new(int), nil}, {`-2147483649`, new(int32), nil},
			{`5`, new(float64), 5.0}, {`1e400`, new(float64), inf}, {`-1e400`, new(float64), -inf}, {`1e39`, new(float32), float32(inf)}, {`"NaN"`, new(float64), nil}, {`null`, new(float64), nil},
			{`true`, new(bool), true}, {`false`, pointerTo(true), false}, {`1`, new(bool), nil}, {`null`, new(bool), nil}, {`"true"`, new(bool), nil},
			{`null`, pointerTo("old"), ""}, {`"a\u0000b"`, new(string), "a\x00b"}, {`5`, new(string), nil}, {`"\ud800"`, new(string), nil}, {"\"\xff\"", new(string), nil},
			{`"\ud83c\udfac"`, new(string), "🎬"}, {`"\/"`, new(string), "/"}, {`"\ud83c\ud83c"`, new(string), nil}, {`"\udc00"`, new(string), nil},
			{`"AAEC/w=="`, new([]byte), []byte{0, 1, 2, 255}}, {`"AA EC\n/\tw=="`, new([]byte), []byte{0, 1, 2, 255}}, {`null`, new([]byte), []byte(nil)}, {`""`, new([]byte), []byte{}},
			{`"AAEC_w=="`, new([]byte), nil}, {`[0,1]`, new([]byte), nil}, {`"AAEC/w"`, new([]byte), nil},
			{`null`, new(time.Time), nil}, {`1767323045678`, new(time.Time), nil}, {`"2026-01-02T03:04:05.678Z"`, new(time.Time), utc(678e6)},
			{`"00:01:30"`, new(time.Duration), 90 * time.Second}, {`null`, new(time.Duration), nil}, {`90`, new(time.Duration), nil},
			{`null`, &person{Name: "old"}, person{}}, {`{}`, &person{Name: "old"}, person{}}, {`[]`, new(person), nil}, {`"x"`, new(person), nil},
			{`{"NAME":"n","vALUE":3,"THE_tag":"t"}`, new(person), person{Name: "n", Value: 3, Tag: "t"}}, {`{"name":"a","Name":"b"}`, new(person), person{NAME: "a", Name: "b"}},
			{`{"other":[1,{"x":[]}],"value":1,"value":2}`, new(person), person{Value: 2}}, {`{"value":"x"}`, new(person), nil}, {`{"other":\ud800}`, new(person), nil}, {`{"\ud800":1}`, new(person), nil},
			{`null`, &[]int{1}, []int(nil)}, {`[]`, new([]int), []int{}}, {`[1,2]`, new([]int), []int{1, 2}}, {`[1,"2"]`, new([]int), nil}, {`{}`, new([]int), nil},
			{`[1,2]`, new([2]int), [2]int{1, 2}}, {`[1]`, new([2]int), nil}, {`[1,2,3]`, new([2]int), nil},
			{`{"a":1,"A":2,"a":3}`, new(map[string]int), map[string]int{"a": 3, "A": 2}}, {`null`, &map[string]int{"x": 1}, map[string]int(nil)}, {`{"1":2}`, new(map[int8]int), map[int8]int{1: 2}}, {`{"300":2}`, new(map[int8]int), nil}, {`[]`, new(map[string]int), nil},
			{`null`, pointerTo(pointerTo(1)), (*int)(nil)}, {`4`, new(*int), pointerTo(4)},
			{`null`, pointerTo[any](1), any(nil)}, {`[1,-1,1.5,1e2,18446744073709551615,99999999999999999999,"a",true,null,{"k":{}}]`, new(any),
				any([]any{int64(1), int64(-1), 1.5, 100.0, uint64(math.MaxUint64), 1e20, "a", true, nil, map[string]any{"k": map[string]any{}}})},
			{`["\ud800"]`, new(any), nil}, {`9007199254740993`, new(any), any(int64(9007199254740993))},
			{`{"a" : 1}`, new(json.RawMessage), json.RawMessage(`{"a" : 1}`)}, {` [1] `, new(Raw), Raw("[1]")}, {`12.50`, new(json.Number), json.Number("12.50")}, {`"12"`, new(json.Number), nil},
			{`[1,2]`, new(pair), pair{1, 2}}, {`{}`, new(pair), nil}, {`"colour-3"`, new(colour), colour(3)}, {`3`, new(colour), nil}, {`"red"`, new(colour), nil},
			{`{"colour-3":1}`, new(map[colour]int), map[colour]int{3: 1}},
			{`{"Quoted":"6","inner":2,"next":{"Next":null}}`, new(named), named{inner: inner{Inner: 2}, Linked: &Linked{Next: &Linked{}}, Quoted: 6}}, {`{"Quoted":6}`, new(named), nil}, {`{"Quoted":"6 7"}`, new(named), nil}, {`{"Quoted":"x"}`, new(named), nil},
			{``, new(any), nil}, {`1 2`, new(int), nil}, {`[1`, new([]int), nil}, {`{"a"`, new(map[string]int), nil}, {`1`, new(chan int), nil}, {`1`, new(fmt.Stringer), nil},
			{strings.Repeat("[", 64) + strings.Repeat("]", 64), new(json.RawMessage), json.RawMessage(strings.Repeat("[", 64) + strings.Repeat("]", 64))}, {strings.Repeat("[", 65) + strings.Repeat("]", 65), new(any), nil},
		},
		MessagePack: {
			{"\x05", new(int32), int32(5)}, {"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", new(int8), int8(5)}, {"\xcf\x00\x00\x00\x00\x00\x00\x00\x05", new(int), 5}, {"\xff", new(int), -1}, {"\xff", new(uint), nil}, {"\xd0\x05", new(uint), uint(5)},
			{"\xcb\x40\x14\x00\x00\x00\x00\x00\x00", new(int), nil}, {"\xca\x40\xa0\x00\x00", new(int), nil}, {"\xce\x80\x00\x00\x00", new(int32), nil}, {"\xa15", new(int), nil}, {"\xc0", new(int), nil}, {"\xc3", new(int), nil}, {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", new(int64), nil},
			{"\x05", new(float64), 5.0}, {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", new(float64), float64(math.MaxUint64)}, {"\xca\x3f\xc0\x00\x00", new(float64), 1.5}, {"\xca\x3f\xc0\x00\x00", new(float32), float32(1.5)}, {"\xa15", new(float64), nil}, {"\xc0", new(float64), nil},
			{"\xc3", new(bool), true}, {"\x01", new(bool), nil}, {"\xc0", new(bool), nil},
			{"\xc0", pointerTo("old"), ""}, {"\xa2\xff\xfe", new(string), "\ufffd\ufffd"}, {"\xd9\x01a", new(string), "a"}, {"\x05", new(string), nil}, {"\xc4\x01a", new(string), nil}, {"\xa5a", new(string), nil},
			{"\xc4\x02\x00\xff", new([]byte), []byte{0, 255}}, {"\xa2ab", new([]byte), []byte("ab")}, {"\x92\x00\xcc\xff", new([]byte), []byte{0, 255}}, {"\x91\xcd\x01\x00", new([]byte), nil}, {"\xc0", new([]byte), []byte(nil)}, {"\x05", new([]byte), nil},
			{"\xd6\xff" + stamp, new(time.Time), utc(0)}, {"\xd7\xff\xa1\xa5\xd6\x00" + stamp, new(time.Time), utc(678e6)}, {"\xc7\x0c\xff\x28\x69\x5d\x80\x00\x00\x00\x00" + stamp, new(time.Time), utc(677993800)},
			{"\xc0", new(time.Time), nil}, {"\xce" + stamp, new(time.Time), nil}, {"\xb42026-01-02T03:04:05Z", new(time.Time), nil}, {"\xd6\x01" + stamp, new(time.Time), nil}, {"\xd7\xff\xff\xff\xff\xff" + stamp, new(time.Time), nil}, {"\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", new(time.Time), nil},
			{"\xce\x35\xa4\xe9\x00", new(time.Duration), 90 * time.Second}, {"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", new(time.Duration), nil}, {"\xa800:01:30", new(time.Duration), nil},
			{"\xc0", &person{Name: "old"}, person{}}, {"\x82\xa4Name\xa1n\xa5Value\x03", new(person), person{Name: "n", Value: 3}}, {"\x81\xa5vALUE\x03", new(person), person{Value: 3}}, {"\x81\xa5Other\x91\x01", new(person), person{}}, {"\x92\xa1n\x03", new(person), nil}, {"\x81\x01\x02", new(person), nil}, {"\x81\xa5Value", new(person), nil}, {"\x81\xa5Other\xc1", new(person), nil}, {"\x82\xa5Value\x01\xa5Value\x02", new(person), person{Value: 2}},
			{"\x92\x01\x02", new([]int), []int{1, 2}}, {"\x92\x01\xa12", new([]int), nil}, {"\xc0", &[]int{1}, []int(nil)}, {"\x90", new([]int), []int{}}, {"\x80", new([]int), nil}, {"\x92\x01\x02", new([2]int), [2]int{1, 2}}, {"\x91\x01", new([2]int), nil},
			{"\x82\xa1a\x01\xa1A\x02", new(map[string]int), map[string]int{"a": 1, "A": 2}}, {"\x82\xa1a\x01\xa1a\x02", new(map[string]int), nil}, {"\xc0", &map[string]int{"x": 1}, map[string]int(nil)}, {"\x81\xff\x02", new(map[int8]int), map[int8]int{-1: 2}}, {"\x81\x90\x02", new(map[any]int), nil},
			{"\xc0", pointerTo(pointerTo(1)), (*int)(nil)}, {"\x04", new(*int), pointerTo(4)},
			{"\x9a\x01\xff\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xca\x3f\xc0\x00\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1a\xc4\x01b\xc3\xc0\xd6\xff" + stamp, new(any), any([]any{int64(1), int64(-1), 1.5, 1.5, uint64(math.MaxUint64), "a", []byte("b"), true, nil, utc(0)})},
			{"\x81\xa1k\x80", new(any), any(map[string]any{"k": map[string]any{}})}, {"\x82\xa1k\x80\x01\x02", new(any), any(map[any]any{"k": map[string]any{}, int64(1): int64(2)})},
			{"\x82\xa1k\x01\xa1k\x02", new(any), nil}, {"\x82\x01\x01\x01\x02", new(any), nil}, {"\x81\x90\x01", new(any), nil}, {"\xd4\x05\x01", new(any), nil}, {"\xc1", new(any), nil}, {"\xc6\xff\xff\xff\xff\x00", new(any), nil}, {"\xdd\x7f\xff\xff\xff\x01", new(any), nil},
			{"\x81\xa1a\x01", new(Raw), Raw("\x81\xa1a\x01")}, {"\x92\x01\x02", new(pair), pair{1, 2}}, {"\x91\xa1x", new(pair), nil}, {"\xa8colour-3", new(colour), colour(3)}, {"\x03", new(colour), nil}, {"\x0c", new(json.Number), json.Number("12")}, {"\xa212", new(json.Number), nil},
			{"", new(any), nil}, {"\x01\x02", new(int), nil}, {"\x01", new(chan int), nil}, {"\x01", new(fmt.Stringer), nil}, {strings.Repeat("\x91", 501) + "\x01", new(Raw), nil},
		},
		MessagePackProtocol{ExactNames: true, TimeAsString: true}: {
			{"\x82\xa5value\x03\xa4name\xa1n", new(person), person{NAME: "n"}}, {"\xb42026-01-02T03:04:05Z", new(time.Time), utc(0)}, {"\xd6\xff" + stamp, new(time.Time), utc(0)}, {"\xa41 pm", new(time.Time), nil},
		},
	} {
		for i, row := range rows {
			t.Run(fmt.Sprintf("%s/%d %T", p.Name(), i, row.into), func(t *testing.T) {
				err := p.DecodeValue(Raw(row.raw), row.into)
				got := reflect.ValueOf(row.into).Elem().Interface()
				wantsNil := row.want == nil && reflect.TypeOf(row.into) == reflect.TypeFor[*any]() && (row.raw == "null" || row.raw == "\xc0")
				if row.want == nil && !wantsNil {
					var bind *BindError
					if !errors.As(err, &bind) {
						t.Errorf("%q: got %#v, %v; must not fit", row.raw, got, err)
					}
					if !reflect.ValueOf(row.into).Elem().IsZero() {
						t.Errorf("%q: %#v is left behind", row.raw, got)
					}
					return
				}
				if err != nil || !reflect.DeepEqual(got, row.want) {
					t.Errorf("%q: got %#v, %v; want %#v", row.raw, got, err, row.want)
				}
			})
		}
	}
}

// TestBindSentences has what the reference tells of values that do not fit.
func TestBindSentences(t *testing.T) {
	for _, tt := range []struct {
		p            Protocol
		raw          string
		into         any
		item, result string
	}{
		{JSON, `"x"`, new(int32), "The JSON value could not be converted to System.Int32. Path: $ | LineNumber: 0 | BytePositionInLine: 3.",
			"Error trying to deserialize result to Int32. The JSON value could not be converted to System.Int32. Path: $ | LineNumber: 0 | BytePositionInLine: 3."},
		{JSON, "[1,\n\"2\"]", new([]int32), "The JSON value could not be converted to System.Int32. Path: $[1] | LineNumber: 1 | BytePositionInLine: 3.",
			"Error trying to deserialize result to List`1. The JSON value could not be converted to System.Int32. Path: $[1] | LineNumber: 1 | BytePositionInLine: 3."},
		{JSON, `{"a":{"Value":[]}}`, new(map[string]*person), "The JSON value could not be converted to System.Int32. Path: $.a.Value | LineNumber: 0 | BytePositionInLine: 15.",
			"Error trying to deserialize result to Dictionary`2. The JSON value could not be converted to System.Int32. Path: $.a.Value | LineNumber: 0 | BytePositionInLine: 15."},
		{JSON, `{"a b":true}`, new(map[string]int64), "The JSON value could not be converted to System.Int64. Path: $['a b'] | LineNumber: 0 | BytePositionInLine: 11.",
			"Error trying to deserialize result to Dictionary`2. The JSON value could not be converted to System.Int64. Path: $['a b'] | LineNumber: 0 | BytePositionInLine: 11."},
		{JSON, `[]`, new(map[string]float64), "The JSON value could not be converted to System.Collections.Generic.Dictionary`2[System.String,System.Double]. Path: $ | LineNumber: 0 | BytePositionInLine: 1.",
			"Error trying to deserialize result to Dictionary`2. The JSON value could not be converted to System.Collections.Generic.Dictionary`2[System.String,System.Double]. Path: $ | LineNumber: 0 | BytePositionInLine: 1."},
		{MessagePack, "\xa1x", new(int32), "Deserializing object of the `Int32` type for 'item' failed.", "Error trying to deserialize result to Int32. Deserializing object of the `Int32` type for 'argument' failed."},
		{MessagePack, "", new(*string), "Deserializing object of the `String` type for 'item' failed.", "Error trying to deserialize result to String. Deserializing object of the `String` type for 'argument' failed."},
		{MessagePack, "\x01", new([]byte), "Deserializing object of the `Byte[]` type for 'item' failed.", "Error trying to deserialize result to Byte[]. Deserializing object of the `Byte[]` type for 'argument' failed."},
		{MessagePack, "\x01", new(person), "Deserializing object of the `person` type for 'item' failed.", "Error trying to deserialize result to person. Deserializing object of the `person` type for 'argument' failed."},
	} {
		var bind *BindError
		if err := tt.p.DecodeValue(Raw(tt.raw), tt.into); !errors.As(err, &bind) {
			t.Errorf("%q fits %T: %v", tt.raw, tt.into, err)
			continue
		}
		if bind.Item() != tt.item || bind.Result() != tt.result {
			t.Errorf("%q\ngot  %s\n     %s\nwant %s\n     %s", tt.raw, bind.Item(), bind.Result(), tt.item, tt.result)
		}
		if bind.Unwrap() == nil || !strings.Contains(bind.Error(), bind.Want) {
			t.Errorf("%q: error %v", tt.raw, bind)
		}
	}
}

func TestDecodeIntoNothing(t *testing.T) {
	for _, p := range protocols {
		for _, into := range []any{nil, 1, (*int)(nil)} {
			var bind *BindError
			if err := p.DecodeValue(Raw("1"), into); !errors.As(err, &bind) {
				t.Errorf("%s into %T: %v", p.Name(), into, err)
			}
		}
	}
}

// TestDecodedSharesNothing changes the input after decoding.
func TestDecodedSharesNothing(t *testing.T) {
	type all struct {
		S   string
		B   []byte
		R   Raw
		M   map[string]string
		A   any
		Raw json.RawMessage
	}
	for _, p := range protocols {
		want := all{"text", []byte("bytes"), encode(t, p, "raw"), map[string]string{"key": "value"}, []any{"x", map[string]any{"y": "z"}}, json.RawMessage(`"json"`)}
		raw := encode(t, p, want)
		var got all
		if err := p.DecodeValue(raw, &got); err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			raw[i] = '#'
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", p.Name(), got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	zone := func(minutes int) *time.Location { return time.FixedZone("", minutes*60) }
	for text, want := range map[string]time.Time{
		"2026-01-02":                            time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02T03:04":                      time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
		"2026-01-02T03:04Z":                     time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
		"2026-01-02T03:04:05":                   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05+02:00":             time.Date(2026, 1, 2, 3, 4, 5, 0, zone(120)),
		"2026-01-02T03:04:05-01:30":             time.Date(2026, 1, 2, 3, 4, 5, 0, zone(-90)),
		"2026-01-02T03:04:05+00:00":             time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05.1Z":                time.Date(2026, 1, 2, 3, 4, 5, 1e8, time.UTC),
		"2026-01-02T03:04:05.123456789Z":        time.Date(2026, 1, 2, 3, 4, 5, 123456700, time.UTC),
		"2024-02-29":                            time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"0001-01-01T00:00:00":                   {},
		"9999-12-31T23:59:59.9999999":           time.Date(9999, 12, 31, 23, 59, 59, 999999900, time.UTC),
		"2026-01-02T03:04:05.1234567890123456Z": time.Date(2026, 1, 2, 3, 4, 5, 123456700, time.UTC),
	} {
		if got, ok := parseTime([]byte(text)); !ok || !got.Equal(want) {
			t.Errorf("%s: got %v, %t; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "2026", "2026-1-2", "2026-01-02 03:04:05", "2026-01-02t03:04:05", "2026-01-02T03:04:05z", "2026-01-02T03", "2026-01-02T24:00:00", "2026-01-02T03:60:00",
		"2026-01-02T03:04:60", "2026-13-01", "2026-00-01", "2026-02-30", "2025-02-29", "0000-01-01", "2026-01-02T03:04:05.", "2026-01-02T03:04:05.12345678901234567",
		"2026-01-02T03:04:05+15:00", "2026-01-02T03:04:05+1", "2026-01-02T03:04:05Zx", "2026-01-02Z", "+2026-01-02", "2026-01-02T03:04:05,1", "2026-01-02T03:04:05 Z",
	} {
		if got, ok := parseTime([]byte(text)); ok {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestTimeSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"00:00:00": 0, "00:01:30": 90 * time.Second, "23:59:59.9999999": 24*time.Hour - tick, "1.00:00:00": 24 * time.Hour,
		"-00:00:00.0000001": -tick, "-10.01:02:03.5000000": -(241*time.Hour + 2*time.Minute + 3500*time.Millisecond),
	} {
		if got, ok := parseTimeSpan([]byte(text)); !ok || got != want {
			t.Errorf("%s: got %v, %t; want %v", text, got, ok, want)
		}
		if got := string(appendTimeSpan(nil, want)); got != text {
			t.Errorf("%v: wrote %s, want %s", want, got, text)
		}
	}
	for text, want := range map[string]time.Duration{"00:00:01.5": 1500 * time.Millisecond, "00000001.00:00:00": 24 * time.Hour} {
		if got, ok := parseTimeSpan([]byte(text)); !ok || got != want {
			t.Errorf("%s: got %v, %t; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "90", "1:2:3", "00:00", "24:00:00", "00:60:00", "00:00:60", "00:00:00.", "00:00:00.12345678", "99999999.00:00:00", "--00:00:00", "00:00:00x", "1.", ".00:00:00"} {
		if got, ok := parseTimeSpan([]byte(text)); ok {
			t.Errorf("%q was read as %v", text, got)
		}
	}
	if got := string(appendTimeSpan(nil, math.MinInt64)); got != "-106751.23:47:16.8547758" {
		t.Errorf("the shortest duration is %s", got)
	}
}
