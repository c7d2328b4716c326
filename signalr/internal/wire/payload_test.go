package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

type colour int

func (c colour) MarshalText() ([]byte, error) { return []byte("colour-" + strconv.Itoa(int(c))), nil }

func (c *colour) UnmarshalText(b []byte) error {
	n, err := strconv.Atoi(strings.TrimPrefix(string(b), "colour-"))
	*c = colour(n)
	return err
}

// pair writes and reads itself as a JSON array.
type pair struct{ a, b int }

func (p *pair) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "[%d, %d]", p.a, p.b), nil }

func (p *pair) UnmarshalJSON(b []byte) error {
	var list [2]int
	err := json.Unmarshal(b, &list)
	p.a, p.b = list[0], list[1]
	return err
}

type failing struct{}

func (failing) MarshalJSON() ([]byte, error) { return nil, errors.New("no") }

type lying struct{}

func (lying) MarshalJSON() ([]byte, error) { return []byte("{} \x1e{}"), nil }

// packed writes and reads itself as a MessagePack integer.
type packed struct{ n int64 }

func (p packed) MarshalMsg(b []byte) ([]byte, error) { return append(b, byte(p.n)), nil }

func (p *packed) UnmarshalMsg(b []byte) ([]byte, error) {
	p.n = int64(b[0])
	return b[1:], nil
}

// broken writes what is no MessagePack object.
type broken struct{}

func (broken) MarshalMsg(b []byte) ([]byte, error) { return append(b, 0x92, 0x01), nil }

type inner struct {
	Inner int
	Both  int
}

type named struct {
	inner
	*Linked
	TaskID    string
	URLPath   string
	Tagged    int       `json:"the_tag"`
	Gone      int       `json:"-"`
	Dash      int       `json:"-,"` //nolint:staticcheck // a field named "-", which encoding/json knows
	Empty     []int     `json:"empty,omitempty"`
	Null      *int      `json:",omitempty"`
	Zero      time.Time `json:",omitzero"`
	Quoted    int       `json:",string"`
	Both      string
	unexposed int //nolint:unused // must not be written
}

// Linked is embedded by pointer.
type Linked struct{ Next *Linked }

type node struct {
	Value    int
	Children []*node
	Any      any
}

func TestAppendValue(t *testing.T) {
	one := 1
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_299, time.FixedZone("", 2*3600))
	for _, tt := range []struct {
		name       string
		v          any
		casing     Casing
		json, pack string
	}{
		{name: "nil", v: nil, json: `null`, pack: "\xc0"},
		{name: "uint64", v: uint64(math.MaxUint64), json: `18446744073709551615`, pack: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"},
		{name: "int8", v: int8(-33), json: `-33`, pack: "\xd0\xdf"},
		{name: "float32", v: float32(0.1), json: `0.1`, pack: "\xca\x3d\xcc\xcc\xcd"},
		{name: "float of a whole number", v: 3.0, json: `3`, pack: "\xcb\x40\x08\x00\x00\x00\x00\x00\x00"},
		{name: "pointers", v: pointerTo(pointerTo(one)), json: `1`, pack: "\x01"},
		{name: "nil pointer", v: (*int)(nil), json: `null`, pack: "\xc0"},
		{name: "nil slice, map, bytes", v: []any{[]int(nil), map[string]int(nil), []byte(nil), []any(nil)}, json: `[null,null,null,null]`, pack: "\x94\xc0\xc0\xc0\xc0"},
		{name: "empty slice, map, bytes", v: []any{[]int{}, map[string]int{}, []byte{}}, json: `[[],{},""]`, pack: "\x93\x90\x80\xc4\x00"},
		{name: "array", v: [2]bool{true, false}, json: `[true,false]`, pack: "\x92\xc3\xc2"},
		{name: "map is sorted, keys unchanged", v: map[string]int{"Bb": 1, "aA": 2, "A": 3}, json: `{"A":3,"Bb":1,"aA":2}`, pack: "\x83\xa1A\x03\xa2Bb\x01\xa2aA\x02"},
		{name: "map of int keys", v: map[int]string{2: "b", -1: "a"}, json: `{"-1":"a","2":"b"}`, pack: "\x82\xff\xa1a\x02\xa1b"},
		{name: "map of any keys", v: map[any]any{uint8(1): "a", "k": nil}, json: `{"1":"a","k":null}`, pack: "\x82\x01\xa1a\xa1k\xc0"},
		{name: "map of text keys", v: map[colour]int{7: 1}, json: `{"colour-7":1}`, pack: "\x81\xa8colour-7\x01"},
		{name: "text", v: colour(5), json: `"colour-5"`, pack: "\xa8colour-5"},
		{name: "address", v: netip.MustParseAddr("::1"), json: `"::1"`, pack: "\xa3::1"},
		{name: "json.Marshaler by pointer", v: &pair{1, 2}, json: `[1, 2]`, pack: "\x92\x01\x02"},
		{name: "json.Marshaler without an address", v: pair{1, 2}, json: `{}`, pack: "\x80"},
		{name: "json.Marshaler in a slice", v: []pair{{1, 2}}, json: `[[1, 2]]`, pack: "\x91\x92\x01\x02"},
		{name: "raw JSON", v: json.RawMessage(`{"a": 1}`), json: `{"a": 1}`, pack: "\x81\xa1a\x01"},
		{name: "json.Number", v: json.Number("12.50"), json: `12.50`, pack: "\xcb\x40\x29\x00\x00\x00\x00\x00\x00"},
		{name: "big.Int", v: big.NewInt(77), json: `77`, pack: "\xa277"},
		{name: "time with an offset, cut", v: at, json: `"2026-01-02T03:04:05.6789012+02:00"`, pack: "\xd7\xff\xa1\xdc\xd7\x40\x69\x57\x19\x85"},
		{name: "time to the second", v: at.UTC().Truncate(time.Second), json: `"2026-01-02T01:04:05Z"`, pack: "\xd6\xff\x69\x57\x19\x85"},
		{name: "time before 1970", v: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), json: `"1960-01-01T00:00:00Z"`, pack: "\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xed\x30\x08\x80"},
		{name: "duration", v: -(26*time.Hour + 3*time.Minute + 1500*time.Microsecond), json: `"-1.02:03:00.0015000"`, pack: "\xd3\xff\xff\xff\x25\xa6\xc3\x63\x68"},
		{name: "struct, as the protocol has it", v: named{inner: inner{1, 2}, TaskID: "t", URLPath: "u", Tagged: 3, Gone: 4, Dash: 5, Quoted: 6},
			json: `{"inner":1,"taskID":"t","urlPath":"u","the_tag":3,"-":5,"quoted":"6","both":""}`,
			pack: "\x87\xa5Inner\x01\xa6TaskID\xa1t\xa7URLPath\xa1u\xa7the_tag\x03\xa1-\x05\xa6Quoted\x06\xa4Both\xa0"},
		{name: "struct, camel", casing: CamelCase, v: struct{ ID, AValue, Ab int }{1, 2, 3}, json: `{"id":1,"aValue":2,"ab":3}`, pack: "\x83\xa2id\x01\xa6aValue\x02\xa2ab\x03"},
		{name: "struct, declared", casing: AsDeclared, v: &struct{ ID *int }{&one}, json: `{"ID":1}`, pack: "\x81\xa2ID\x01"},
		{name: "struct, all options met", v: named{Linked: &Linked{}, Empty: []int{1}, Null: &one, Zero: time.Unix(0, 0).UTC()},
			json: `{"inner":0,"next":null,"taskID":"","urlPath":"","the_tag":0,"-":0,"empty":[1],"null":1,"zero":"1970-01-01T00:00:00Z","quoted":"0","both":""}`,
			pack: "\x8b\xa5Inner\x00\xa4Next\xc0\xa6TaskID\xa0\xa7URLPath\xa0\xa7the_tag\x00\xa1-\x00\xa5empty\x91\x01\xa4Null\x01\xa4Zero\xd6\xff\x00\x00\x00\x00\xa6Quoted\x00\xa4Both\xa0"},
		{name: "recursive", v: node{Value: 1, Children: []*node{{Value: 2}}}, json: `{"value":1,"children":[{"value":2,"children":null,"any":null}],"any":null}`,
			pack: "\x83\xa5Value\x01\xa8Children\x91\x83\xa5Value\x02\xa8Children\xc0\xa3Any\xc0\xa3Any\xc0"},
		{name: "characters", v: "\"\\/<>&'+\b\f\n\r\t\x00\x1f\x7f\u0085é你\u00a0\u2028\ufeff\ue000\u200b🎬\xff",
			json: `"\"\\/<>&'+\b\f\n\r\t\u0000\u001F\u007F\u0085é你\u00A0\u2028\uFEFF\uE000` + "\u200b" + `\uD83C\uDFAC` + "\ufffd" + `"`,
			pack: "\xd9\x2a\"\\/<>&'+\b\f\n\r\t\x00\x1f\x7f\u0085é你\u00a0\u2028\ufeff\ue000\u200b🎬\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for p, want := range map[Protocol]string{JSON: tt.json, MessagePack: tt.pack} {
				got, err := p.AppendValue([]byte("x"), tt.v, tt.casing)
				if err != nil {
					t.Errorf("%s: %v", p.Name(), err)
				} else if string(got) != "x"+want {
					t.Errorf("%s\ngot  %q\nwant %q", p.Name(), got[1:], want)
				}
			}
		})
	}
}

func TestAppendValueFails(t *testing.T) {
	circle := &node{}
	circle.Children = []*node{circle}
	var itself any
	itself = &itself
	deep := any(1)
	for range 501 {
		deep = []any{deep}
	}
	for _, tt := range []struct {
		name   string
		v      any
		inPack bool // fails in MessagePack too
	}{
		{"NaN", math.NaN(), false},
		{"infinity in a struct", struct{ F float32 }{float32(math.Inf(1))}, false},
		{"channel", make(chan int), true},
		{"function in a map", map[string]any{"f": func() {}}, true},
		{"complex", 1i, true},
		{"circle", circle, true},
		{"pointer to itself", itself, true},
		{"too deep", deep, true},
		{"key without a name", map[float64]int{1: 1}, true},
		{"failing marshaler", failing{}, true},
		{"marshaler that breaks out", lying{}, true},
		{"raw that is none", Raw("\xc1"), true},
		{"raw that is two", Raw("1 2"), true},
		{"number that is none", json.Number("true"), true},
		{"year 10000", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, p := range protocols {
				got, err := p.AppendValue([]byte("kept"), tt.v, DefaultCasing)
				if wantErr := tt.inPack || p == JSON; (err != nil) != wantErr {
					t.Errorf("%s: error %v, want one: %t", p.Name(), err, wantErr)
				} else if err != nil && string(got) != "kept" {
					t.Errorf("%s: dst is %q after an error", p.Name(), got)
				}
			}
		})
	}
}

func TestFloats(t *testing.T) {
	for _, tt := range []struct {
		x    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "-0"}, {1, "1"}, {-1.5, "-1.5"}, {0.1, "0.1"}, {100, "100"},
		{1e14, "100000000000000"}, {1e15, "1E+15"}, {123456789012345680, "1.2345678901234568E+17"}, {1234567890123456, "1234567890123456"},
		{0.0001, "0.0001"}, {0.00001, "1E-05"}, {0.000123, "0.000123"}, {1e300, "1E+300"}, {5e-324, "5E-324"}, {-1e21, "-1E+21"},
	} {
		if got, err := appendJSONFloat(nil, tt.x, 64); string(got) != tt.want || err != nil {
			t.Errorf("%v: got %s, %v; want %s", tt.x, got, err, tt.want)
		}
	}
	if got, err := appendJSONFloat(nil, float64(float32(1e8)), 32); string(got) != "1E+08" || err != nil {
		t.Errorf("float32 1e8: got %s, %v", got, err)
	}
}

// TestFieldsAsEncodingJSON compares which fields are written, in which order,
// with the standard library.
func TestFieldsAsEncodingJSON(t *testing.T) {
	type A struct{ X, Y int }
	type B struct{ X, Z int }
	type C struct {
		X int `json:"X"`
	}
	type deep struct {
		A
		Y string `json:"y"`
	}
	type pointerless struct{ *A }
	type named int
	for _, v := range []any{
		struct {
			A
			B
		}{A{1, 2}, B{3, 4}},
		struct {
			A
			C
		}{A{1, 2}, C{3}},
		struct {
			A
			X string
		}{A{1, 2}, "outer"},
		struct {
			A `json:"a"`
			B
		}{A{1, 2}, B{3, 4}},
		deep{A{1, 2}, "y"},
		pointerless{},
		pointerless{&A{1, 2}},
		struct {
			named
			Named named
		}{1, 2},
		struct {
			A int      `json:"bad\"name,omitempty"` //nolint:staticcheck // a name that does not count
			B int      `json:"b.c-d"`
			C int      `json:",omitempty"`
			D any      `json:",omitempty"`
			E [0]int   `json:",omitempty"`
			F struct{} `json:",omitempty"`
			G *int     `json:",string"`
			H bool     `json:",string"`
			I string   `json:",string"`
		}{H: true, I: `"q"`},
		struct {
			At   time.Time  `json:",omitzero"`
			Span netip.Addr `json:",omitzero"`
			N    int        `json:",omitzero"`
		}{},
	} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := JSON.AppendValue(nil, v, AsDeclared)
		if err != nil || string(got) != string(want) {
			t.Errorf("%T\ngot  %s, %v\nwant %s", v, got, err, want)
		}
	}
}

// TestRoundTrip writes values and reads them back, in both protocols.
func TestRoundTrip(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_200, time.UTC)
	for _, v := range []any{
		true, int(-5), int8(-128), int16(300), int32(math.MinInt32), int64(math.MaxInt64), uint(7), uint8(255), uint16(65535),
		uint32(math.MaxUint32), uint64(math.MaxUint64), float32(1.25), 1e300, -0.5, "", "é🎬\u2028", []byte{0, 255}, []byte{}, at, 90 * time.Second, -time.Hour * 100,
		[]int{1, 2}, []string{}, [3]int{1, 2, 3}, map[string][]int{"a": {1}}, map[int]string{-1: "x"}, map[colour]bool{3: true}, colour(9), netip.MustParseAddr("10.0.0.1"),
		pointerTo(pair{3, 4}), *pointerTo(inner{1, 2}), named{inner: inner{Inner: 1}, Linked: &Linked{&Linked{}}, TaskID: "t", Tagged: 4, Null: pointerTo(3), Zero: at, Quoted: 8, Both: "b"},
		node{Value: 1, Children: []*node{{Value: 2}, nil}, Any: []any{int64(1), "x", nil, true, 1.5}}, json.Number("12"),
	} {
		for _, p := range []Protocol{JSON, MessagePack, MessagePackProtocol{TimeAsString: true, ExactNames: true}} {
			raw, err := p.AppendValue(nil, v, DefaultCasing)
			if err != nil {
				t.Errorf("%s %T: %v", p.Name(), v, err)
				continue
			}
			into := reflect.New(reflect.TypeOf(v))
			if err := p.DecodeValue(raw, into.Interface()); err != nil {
				t.Errorf("%s %T %q: %v", p.Name(), v, raw, err)
				continue
			}
			if got := into.Elem().Interface(); !reflect.DeepEqual(got, v) {
				t.Errorf("%s %T %q:\ngot  %+v\nwant %+v", p.Name(), v, raw, got, v)
			}
		}
	}
}

func pointerTo[T any](v T) *T { return &v }

func TestMarshalMsg(t *testing.T) {
	raw, err := MessagePack.AppendValue(nil, []any{packed{5}, &packed{6}}, DefaultCasing)
	if err != nil || string(raw) != "\x92\x05\x06" {
		t.Fatalf("wrote %q, %v", raw, err)
	}
	var back []packed
	if err := MessagePack.DecodeValue(raw, &back); err != nil || len(back) != 2 || back[1].n != 6 {
		t.Errorf("read %+v, %v", back, err)
	}
	if raw, err := MessagePack.AppendValue(nil, broken{}, DefaultCasing); err == nil {
		t.Errorf("%q got out", raw)
	}
}
