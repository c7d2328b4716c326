package wire

import (
	"encoding"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// packLevel is where the encoding of a MessagePack payload starts.
var packLevel = level{nest: maxPackDepth, hops: 1000}

// The ways of writing MessagePack: by casing, and by how times are written.
var (
	packDeclared         = &format{casing: AsDeclared, build: buildPack}
	packCamel            = &format{casing: CamelCase, build: buildPack}
	packDeclaredTimeText = &format{casing: AsDeclared, build: buildPack, timeAsString: true}
	packCamelTimeText    = &format{casing: CamelCase, build: buildPack, timeAsString: true}
)

// AppendValue writes v as MessagePack in the reference's conventions (hub
// protocol 5.5). Structs become maps; their fields are named, embedded and left
// out by the rules of encoding/json, without a name in the tag as declared
// unless c says CamelCase. Integers have their smallest form, floats keep their
// width, a []byte is bin, a time.Time a timestamp, a time.Duration an integer of
// 100 ns. A type with MarshalMsg (msgp.Marshaler) writes itself; one with
// MarshalText is a str; one with MarshalJSON only is translated from its JSON. A
// Raw is taken as it is. NaN and infinities are values here. Channels,
// functions, complex numbers and values nested deeper than 500 levels are
// errors.
func (p MessagePackProtocol) AppendValue(dst []byte, v any, c Casing) ([]byte, error) {
	out, err := p.format(c).appendPack(dst, v, packLevel)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (p MessagePackProtocol) format(c Casing) *format {
	switch {
	case c == CamelCase && p.TimeAsString:
		return packCamelTimeText
	case c == CamelCase:
		return packCamel
	case p.TimeAsString:
		return packDeclaredTimeText
	}
	return packDeclared
}

// appendPack spares the commonest types the detour over reflection.
func (f *format) appendPack(dst []byte, v any, at level) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return msgp.AppendNil(dst), nil
	case string:
		return msgp.AppendString(dst, v), nil
	case bool:
		return msgp.AppendBool(dst, v), nil
	case int:
		return appendPackInt(dst, int64(v)), nil
	case int32:
		return appendPackInt(dst, int64(v)), nil
	case int64:
		return appendPackInt(dst, v), nil
	case float64:
		return msgp.AppendFloat64(dst, v), nil
	case []byte:
		return appendPackBytes(dst, v), nil
	case time.Time:
		return f.appendPackTime(dst, v)
	case Raw:
		return appendPackRaw(dst, v)
	}
	rv := reflect.ValueOf(v)
	return f.encoder(rv.Type())(dst, rv, at)
}

// buildPack makes the encoder of a type.
func buildPack(f *format, t reflect.Type) encoder {
	switch t.Kind() {
	case reflect.Interface:
		return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
			if v.IsNil() {
				return msgp.AppendNil(dst), nil
			}
			return follow(f.encoder(v.Elem().Type()), dst, v, at)
		}
	case reflect.Pointer:
		pointee := f.encoder(t.Elem())
		return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
			if v.IsNil() {
				return msgp.AppendNil(dst), nil
			}
			return follow(pointee, dst, v, at)
		}
	}
	switch t {
	case timeType:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			at, _ := reflect.TypeAssert[time.Time](v)
			return f.appendPackTime(dst, at)
		}
	case durationType:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return appendPackInt(dst, v.Int()/int64(tick)), nil
		}
	case rawType:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return appendPackRaw(dst, v.Bytes())
		}
	case numberType:
		return f.appendPackFromJSON
	}
	pointer := reflect.PointerTo(t)
	for _, way := range []struct {
		by     reflect.Type
		encode encoder
	}{
		{packMarshalerType, appendPackMarshaler},
		{textMarshalerType, appendPackText},
		{jsonMarshalerType, f.appendPackFromJSON},
	} {
		switch {
		case t.Implements(way.by):
			return way.encode
		case pointer.Implements(way.by):
			return viaPointer(way.encode, buildPackKind(f, t))
		}
	}
	return buildPackKind(f, t)
}

func buildPackKind(f *format, t reflect.Type) encoder {
	switch t.Kind() {
	case reflect.Bool:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return msgp.AppendBool(dst, v.Bool()), nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return appendPackInt(dst, v.Int()), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return msgp.AppendUint64(dst, v.Uint()), nil
		}
	case reflect.Float32:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return msgp.AppendFloat32(dst, float32(v.Float())), nil
		}
	case reflect.Float64:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return msgp.AppendFloat64(dst, v.Float()), nil
		}
	case reflect.String:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return msgp.AppendString(dst, v.String()), nil
		}
	case reflect.Struct:
		return buildPackStruct(f, t)
	case reflect.Map:
		return buildPackMap(f, t)
	case reflect.Slice:
		if isBytes(t) {
			return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
				return appendPackBytes(dst, v.Bytes()), nil
			}
		}
		return buildPackList(f, t)
	case reflect.Array:
		return buildPackList(f, t)
	}
	return func([]byte, reflect.Value, level) ([]byte, error) { return nil, errNoEncoding(t) }
}

func buildPackStruct(f *format, t reflect.Type) encoder {
	type member struct {
		*structField
		label  []byte
		encode encoder
	}
	plan := planOf(t, f.casing)
	members := make([]member, len(plan.fields))
	conditional := false
	for i := range plan.fields {
		field := &plan.fields[i]
		members[i] = member{field, msgp.AppendString(nil, field.name), f.encoder(field.typ)}
		conditional = conditional || field.conditional()
	}
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		at, err := at.enter()
		if err != nil {
			return nil, err
		}
		count := len(members)
		if conditional {
			count = 0
			for i := range members {
				if _, ok := members[i].written(v); ok {
					count++
				}
			}
		}
		dst = msgp.AppendMapHeader(dst, uint32(count))
		for i := range members {
			m := &members[i]
			field, ok := m.written(v)
			if !ok {
				continue
			}
			dst = append(dst, m.label...)
			if dst, err = m.encode(dst, field, at); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
}

// buildPackMap writes keys as what they are, except that those with a text are
// written as that.
func buildPackMap(f *format, t reflect.Type) encoder {
	key, value := f.encoder(t.Key()), f.encoder(t.Elem())
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		if v.IsNil() {
			return msgp.AppendNil(dst), nil
		}
		at, err := at.enter()
		if err != nil {
			return nil, err
		}
		entries, err := sortedEntries(v)
		if err != nil {
			return nil, err
		}
		dst = msgp.AppendMapHeader(dst, uint32(len(entries)))
		for _, e := range entries {
			if dst, err = key(dst, e.key, at); err != nil {
				return nil, err
			}
			if dst, err = value(dst, e.value, at); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
}

func buildPackList(f *format, t reflect.Type) encoder {
	element := f.encoder(t.Elem())
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		if v.Kind() == reflect.Slice && v.IsNil() {
			return msgp.AppendNil(dst), nil
		}
		at, err := at.enter()
		if err != nil {
			return nil, err
		}
		dst = msgp.AppendArrayHeader(dst, uint32(v.Len()))
		for i := range v.Len() {
			if dst, err = element(dst, v.Index(i), at); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
}

func appendPackMarshaler(dst []byte, v reflect.Value, _ level) ([]byte, error) {
	b, err := v.Interface().(msgp.Marshaler).MarshalMsg(nil)
	if err != nil {
		return nil, err
	}
	return appendPackRaw(dst, b)
}

func appendPackText(dst []byte, v reflect.Value, _ level) ([]byte, error) {
	b, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return nil, err
	}
	return msgp.AppendStringFromBytes(dst, b), nil
}

// appendPackFromJSON translates the JSON of a value that knows no other form.
func (f *format) appendPackFromJSON(dst []byte, v reflect.Value, at level) ([]byte, error) {
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return nil, err
	}
	var x any
	if err := JSON.DecodeValue(b, &x); err != nil {
		return nil, err
	}
	return f.appendPack(dst, x, at)
}

// appendPackRaw takes one whole object that someone else wrote.
func appendPackRaw(dst, b []byte) ([]byte, error) {
	if rest, ok := skipPack(b, maxPackDepth); !ok || len(rest) > 0 {
		return nil, errors.New("wire: a raw payload is not one MessagePack object")
	}
	return append(dst, b...), nil
}

func appendPackBytes(dst, b []byte) []byte {
	if b == nil {
		return msgp.AppendNil(dst)
	}
	return msgp.AppendBytes(dst, b)
}

func (f *format) appendPackTime(dst []byte, t time.Time) ([]byte, error) {
	if !f.timeAsString {
		return appendTimestamp(dst, t), nil
	}
	var buf [len("2006-01-02T15:04:05.9999999-07:00")]byte
	text, err := appendTime(buf[:0], t)
	if err != nil {
		return nil, err
	}
	return msgp.AppendStringFromBytes(dst, text), nil
}

// appendTimestamp writes the timestamp extension, type -1, in the smallest of
// its three forms: whole seconds of 32 bits, 34 bits of seconds with
// nanoseconds, or 64 bits of seconds.
func appendTimestamp(dst []byte, t time.Time) []byte {
	seconds, nanos := t.Unix(), uint64(t.Nanosecond())
	nanos -= nanos % uint64(tick)
	switch {
	case seconds >= 0 && seconds <= math.MaxUint32 && nanos == 0:
		return appendBigEndian(append(dst, 0xd6, 0xff), uint64(seconds), 4)
	case seconds >= 0 && seconds < 1<<34:
		return appendBigEndian(append(dst, 0xd7, 0xff), nanos<<34|uint64(seconds), 8)
	}
	dst = appendBigEndian(append(dst, 0xc7, 12, 0xff), nanos, 4)
	return appendBigEndian(dst, uint64(seconds), 8)
}

func appendBigEndian(dst []byte, n uint64, width int) []byte {
	for shift := 8 * (width - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(n>>shift))
	}
	return dst
}
