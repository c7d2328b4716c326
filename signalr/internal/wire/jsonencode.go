package wire

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"time"
)

// payloadLevel is where the encoding of a JSON payload starts: what nests deeper
// than 62 levels no reader of an invocation would take.
var payloadLevel = level{nest: maxJSONDepth - 2, hops: 1000}

// The ways of writing JSON, one for each casing.
var (
	jsonCamel    = &format{casing: CamelCase, build: buildJSON}
	jsonDeclared = &format{casing: AsDeclared, build: buildJSON}
)

// AppendValue writes v as JSON in the reference's conventions (hub protocol
// 4.5). Struct tags and the interfaces Marshaler and TextMarshaler act as in
// encoding/json; fields without a name in their tag are cased by c, by default
// CamelCase. What differs from encoding/json: nothing is escaped for HTML,
// characters outside the BMP are; floats are written as .NET writes them; a
// time.Time has at most seven digits of a second; a time.Duration is a TimeSpan
// such as "00:01:30". A Raw is taken as it is. NaN, infinities, channels,
// functions, complex numbers and values nested deeper than 62 levels are
// errors.
func (JSONProtocol) AppendValue(dst []byte, v any, c Casing) ([]byte, error) {
	f := jsonCamel
	if c == AsDeclared {
		f = jsonDeclared
	}
	out, err := f.appendJSON(dst, v, payloadLevel)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// appendJSON spares the commonest types the detour over reflection.
func (f *format) appendJSON(dst []byte, v any, at level) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendJSONString(dst, v), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int32:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case float64:
		return appendJSONFloat(dst, v, 64)
	case []byte:
		return appendJSONBytes(dst, v), nil
	case time.Time:
		return appendJSONTime(dst, v)
	case Raw:
		return appendJSONRaw(dst, v)
	}
	rv := reflect.ValueOf(v)
	return f.encoder(rv.Type())(dst, rv, at)
}

// buildJSON makes the encoder of a type.
func buildJSON(f *format, t reflect.Type) encoder {
	switch t.Kind() {
	case reflect.Interface:
		return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
			if v.IsNil() {
				return append(dst, "null"...), nil
			}
			return follow(f.encoder(v.Elem().Type()), dst, v, at)
		}
	case reflect.Pointer:
		pointee := f.encoder(t.Elem())
		return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
			if v.IsNil() {
				return append(dst, "null"...), nil
			}
			return follow(pointee, dst, v, at)
		}
	}
	switch t {
	case timeType:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			at, _ := reflect.TypeAssert[time.Time](v)
			return appendJSONTime(dst, at)
		}
	case durationType:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return append(appendTimeSpan(append(dst, '"'), time.Duration(v.Int())), '"'), nil
		}
	case rawType:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return appendJSONRaw(dst, v.Bytes())
		}
	case numberType:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return appendJSONNumber(dst, v.String())
		}
	}
	switch {
	case t.Implements(jsonMarshalerType):
		return appendJSONMarshaler
	case reflect.PointerTo(t).Implements(jsonMarshalerType):
		return viaPointer(appendJSONMarshaler, buildJSONText(f, t))
	}
	return buildJSONText(f, t)
}

func buildJSONText(f *format, t reflect.Type) encoder {
	switch {
	case t.Implements(textMarshalerType):
		return appendJSONText
	case reflect.PointerTo(t).Implements(textMarshalerType):
		return viaPointer(appendJSONText, buildJSONKind(f, t))
	}
	return buildJSONKind(f, t)
}

func buildJSONKind(f *format, t reflect.Type) encoder {
	switch t.Kind() {
	case reflect.Bool:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return strconv.AppendBool(dst, v.Bool()), nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return strconv.AppendInt(dst, v.Int(), 10), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return strconv.AppendUint(dst, v.Uint(), 10), nil
		}
	case reflect.Float32, reflect.Float64:
		bits := t.Bits()
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return appendJSONFloat(dst, v.Float(), bits)
		}
	case reflect.String:
		return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
			return appendJSONString(dst, v.String()), nil
		}
	case reflect.Struct:
		return buildJSONStruct(f, t)
	case reflect.Map:
		return buildJSONMap(f, t)
	case reflect.Slice:
		if isBytes(t) {
			return func(dst []byte, v reflect.Value, _ level) ([]byte, error) {
				return appendJSONBytes(dst, v.Bytes()), nil
			}
		}
		return buildJSONList(f, t)
	case reflect.Array:
		return buildJSONList(f, t)
	}
	return func([]byte, reflect.Value, level) ([]byte, error) { return nil, errNoEncoding(t) }
}

// isBytes reports whether t is a slice of plain bytes.
func isBytes(t reflect.Type) bool {
	if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	p := reflect.PointerTo(t.Elem())
	return !p.Implements(jsonMarshalerType) && !p.Implements(textMarshalerType)
}

func buildJSONStruct(f *format, t reflect.Type) encoder {
	type member struct {
		*structField
		label  []byte // "name": behind a comma
		encode encoder
	}
	plan := planOf(t, f.casing)
	members := make([]member, len(plan.fields))
	for i := range plan.fields {
		field := &plan.fields[i]
		label := append(appendJSONString([]byte{','}, field.name), ':')
		members[i] = member{field, label, f.encoder(field.typ)}
		if field.quoted {
			members[i].encode = quote(members[i].encode)
		}
	}
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		at, err := at.enter()
		if err != nil {
			return nil, err
		}
		dst = append(dst, '{')
		first := true
		for i := range members {
			m := &members[i]
			field, ok := m.written(v)
			if !ok {
				continue
			}
			label := m.label
			if first {
				label, first = label[1:], false
			}
			dst = append(dst, label...)
			if dst, err = m.encode(dst, field, at); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
}

// quote is the "string" option: the JSON of the value as a string.
func quote(e encoder) encoder {
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		inner, err := e(nil, v, at)
		if err != nil || string(inner) == "null" {
			return append(dst, inner...), err
		}
		return appendJSONString(dst, inner), nil
	}
}

func buildJSONMap(f *format, t reflect.Type) encoder {
	value := f.encoder(t.Elem())
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
		at, err := at.enter()
		if err != nil {
			return nil, err
		}
		entries, err := sortedEntries(v)
		if err != nil {
			return nil, err
		}
		dst = append(dst, '{')
		for i, e := range entries {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, e.name), ':')
			if dst, err = value(dst, e.value, at); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
}

func buildJSONList(f *format, t reflect.Type) encoder {
	element := f.encoder(t.Elem())
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		if v.Kind() == reflect.Slice && v.IsNil() {
			return append(dst, "null"...), nil
		}
		at, err := at.enter()
		if err != nil {
			return nil, err
		}
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = element(dst, v.Index(i), at); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
}

func appendJSONMarshaler(dst []byte, v reflect.Value, _ level) ([]byte, error) {
	b, err := v.Interface().(json.Marshaler).MarshalJSON()
	if err != nil {
		return nil, err
	}
	return appendJSONRaw(dst, b)
}

func appendJSONText(dst []byte, v reflect.Value, _ level) ([]byte, error) {
	b, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return nil, err
	}
	return appendJSONString(dst, b), nil
}

// appendJSONRaw takes JSON that someone else wrote. It must be valid, else one
// value could break the message or the framing.
func appendJSONRaw(dst, b []byte) ([]byte, error) {
	s := scanner{data: b}
	raw, ok := s.value()
	if s.space(); !ok || s.pos < len(b) {
		return nil, errors.New("wire: a raw payload is not valid JSON")
	}
	return append(dst, raw...), nil
}

func appendJSONNumber(dst []byte, number string) ([]byte, error) {
	if number == "" {
		number = "0"
	}
	if c := number[0]; c != '-' && !isDigit(c) {
		return nil, errors.New("wire: a json.Number is not a number")
	}
	return appendJSONRaw(dst, []byte(number))
}

func appendJSONBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

func appendJSONTime(dst []byte, t time.Time) ([]byte, error) {
	dst, err := appendTime(append(dst, '"'), t)
	return append(dst, '"'), err
}

// appendJSONFloat writes the shortest digits that read back the same, with an
// exponent where .NET has one: E, a sign, two digits at least.
func appendJSONFloat(dst []byte, x float64, bits int) ([]byte, error) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil, errNotFinite
	}
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], x, 'e', -1, bits)
	mark := bytes.IndexByte(e, 'e')
	digits := mark
	if e[0] == '-' {
		digits--
	}
	if digits > 1 {
		digits-- // the point
	}
	plain := 15 // so many digits before the point are written in full
	if bits == 32 {
		plain = 7
	}
	exponent, _ := strconv.Atoi(string(e[mark+1:])) // strconv wrote it
	if before := exponent + 1; x != 0 && (before > max(plain, digits) || before < -3) {
		e[mark] = 'E'
		return append(dst, e...), nil
	}
	return strconv.AppendFloat(dst, x, 'f', -1, bits), nil
}
