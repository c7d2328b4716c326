package wire

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// DecodeValue binds a JSON value as the reference does (hub protocol 6.4).
// Struct tags and the interfaces Unmarshaler and TextUnmarshaler act as in
// encoding/json. What differs from it: names are found in any case; null does
// not fit numbers, booleans and times; a []byte is a base64 string only; a
// number too large for a float is infinite; a time may lack its zone (UTC then)
// or its time of day and has a resolution of 100 ns; a time.Duration is a
// TimeSpan; text with lone surrogates or invalid UTF-8 does not fit. In an any,
// a number without fraction and exponent is an int64, or a uint64 if that is
// too small, other numbers are float64; in MessagePack alike. Whatever into
// pointed to before is gone.
func (JSONProtocol) DecodeValue(raw Raw, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return &BindError{Want: "Object", Err: errTarget}
	}
	v = v.Elem()
	v.SetZero()
	d := jsonDecoder{scanner: scanner{data: raw}}
	err := d.value(v)
	if err == nil {
		if d.space(); d.pos == len(raw) {
			return nil
		}
		err = d.fails(v.Type(), errTrailing)
	}
	v.SetZero()
	return &BindError{Want: shortName(v.Type()), text: err.text(raw), Err: err.cause}
}

// jsonMismatch is a value that does not fit, and where it is.
type jsonMismatch struct {
	want  reflect.Type // innermost type that did not fit
	path  string       // from the payload down, without the $
	at    int          // bytes read
	cause error
}

// text is what System.Text.Json says.
func (e *jsonMismatch) text(raw []byte) string {
	before := raw[:min(e.at, len(raw))]
	return fmt.Sprintf("The JSON value could not be converted to %s. Path: $%s | LineNumber: %d | BytePositionInLine: %d.",
		fullName(e.want), e.path, bytes.Count(before, []byte{'\n'}), len(before)-(bytes.LastIndexByte(before, '\n')+1))
}

// pathOf is the step from an object to a member.
func pathOf(name []byte) string {
	if bytes.ContainsAny(name, ". '/\"[]()\t\n\r\f\b\\\u0085\u2028\u2029") {
		return "['" + string(name) + "']"
	}
	return "." + string(name)
}

type jsonDecoder struct{ scanner }

func (d *jsonDecoder) fails(want reflect.Type, cause error) *jsonMismatch {
	if d.fault != noFault {
		cause = errUnreadable
	}
	return &jsonMismatch{want: want, at: d.pos, cause: cause}
}

func (d *jsonDecoder) unfit(want reflect.Type, got tokenKind) *jsonMismatch {
	return d.fails(want, errMismatch(got.String(), want))
}

// value reads the next value into v.
func (d *jsonDecoder) value(v reflect.Value) *jsonMismatch {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		if d.peek() == 'n' {
			return d.null(v)
		}
		v.Set(reflect.New(t.Elem()))
		return d.value(v.Elem())
	}
	switch t {
	case timeType:
		return d.time(v)
	case durationType:
		return d.timeSpan(v)
	case rawType, numberType:
		return d.verbatim(v)
	}
	switch p := reflect.PointerTo(t); {
	case p.Implements(jsonUnmarshalerType):
		return d.unmarshal(v)
	case p.Implements(textUnmarshalerType):
		return d.unmarshalText(v)
	}
	switch k := t.Kind(); k {
	case reflect.Bool:
		switch got := d.token(); got {
		case tokenTrue:
			v.SetBool(true)
		case tokenFalse:
		default:
			return d.unfit(t, got)
		}
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return d.numberInto(v)
	case reflect.String:
		if d.peek() == 'n' {
			return d.null(v)
		}
		b, err := d.textFor(t)
		if err == nil {
			v.SetString(string(b))
		}
		return err
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return d.fails(t, errNoEncoding(t))
		}
		x, err := d.any(t)
		if err == nil && x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case reflect.Struct, reflect.Map:
		if d.peek() == 'n' {
			return d.null(v)
		}
		if got := d.token(); got != tokenObject {
			return d.unfit(t, got)
		}
		if k == reflect.Map {
			return d.mapInto(v)
		}
		return d.structInto(v)
	case reflect.Slice, reflect.Array:
		if d.peek() == 'n' {
			return d.null(v)
		}
		if isBytes(t) {
			return d.bytesInto(v)
		}
		if got := d.token(); got != tokenArray {
			return d.unfit(t, got)
		}
		return d.list(v)
	}
	return d.fails(t, errNoEncoding(t))
}

// null reads null; the value is zero already.
func (d *jsonDecoder) null(v reflect.Value) *jsonMismatch {
	if got := d.token(); got != tokenNull {
		return d.unfit(v.Type(), got)
	}
	v.SetZero()
	return nil
}

func (d *jsonDecoder) numberInto(v reflect.Value) *jsonMismatch {
	t := v.Type()
	d.peek()
	from := d.pos
	if got := d.token(); got != tokenNumber {
		return d.unfit(t, got)
	}
	return d.setNumber(v, string(d.data[from:d.pos]))
}

// setNumber stores a valid JSON number. The text is a string for strconv, which
// keeps it when it fails.
func (d *jsonDecoder) setNumber(v reflect.Value, number string) *jsonMismatch {
	t := v.Type()
	switch {
	case v.CanInt():
		n, err := strconv.ParseInt(number, 10, t.Bits())
		if err != nil {
			return d.fails(t, err)
		}
		v.SetInt(n)
	case v.CanUint():
		if number == "-0" {
			number = "0"
		}
		n, err := strconv.ParseUint(number, 10, t.Bits())
		if err != nil {
			return d.fails(t, err)
		}
		v.SetUint(n)
	default:
		n, err := strconv.ParseFloat(number, t.Bits())
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return d.fails(t, err)
		}
		v.SetFloat(n)
	}
	return nil
}

// textFor reads a string for a value of type t. The bytes may be the payload's.
func (d *jsonDecoder) textFor(t reflect.Type) ([]byte, *jsonMismatch) {
	if got := d.token(); got != tokenString {
		return nil, d.unfit(t, got)
	}
	b, fault := d.text(nil)
	if fault != nil {
		return nil, d.fails(t, fault)
	}
	return b, nil
}

func (d *jsonDecoder) time(v reflect.Value) *jsonMismatch {
	b, err := d.textFor(timeType)
	if err != nil {
		return err
	}
	at, ok := parseTime(b)
	if !ok {
		return d.fails(timeType, errMismatch("String", timeType))
	}
	*v.Addr().Interface().(*time.Time) = at
	return nil
}

func (d *jsonDecoder) timeSpan(v reflect.Value) *jsonMismatch {
	b, err := d.textFor(durationType)
	if err != nil {
		return err
	}
	span, ok := parseTimeSpan(b)
	if !ok {
		return d.fails(durationType, errMismatch("String", durationType))
	}
	v.SetInt(int64(span))
	return nil
}

// verbatim keeps the JSON as it is: any value in a Raw, a number in a
// json.Number.
func (d *jsonDecoder) verbatim(v reflect.Value) *jsonMismatch {
	c := d.peek()
	if v.Type() == numberType && c != '-' && !isDigit(c) {
		return d.unfit(numberType, d.token())
	}
	raw, ok := d.scanner.value()
	switch {
	case !ok:
		return d.fails(v.Type(), errUnreadable)
	case v.Type() == numberType:
		v.SetString(string(raw))
	default:
		v.SetBytes(bytes.Clone(raw))
	}
	return nil
}

func (d *jsonDecoder) unmarshal(v reflect.Value) *jsonMismatch {
	raw, ok := d.scanner.value()
	if !ok {
		return d.fails(v.Type(), errUnreadable)
	}
	if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(bytes.Clone(raw)); err != nil {
		return d.fails(v.Type(), err)
	}
	return nil
}

func (d *jsonDecoder) unmarshalText(v reflect.Value) *jsonMismatch {
	if d.peek() == 'n' {
		return d.null(v)
	}
	b, mismatch := d.textFor(v.Type())
	if mismatch != nil {
		return mismatch
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(bytes.Clone(b)); err != nil {
		return d.fails(v.Type(), err)
	}
	return nil
}

// bytesInto reads base64, in which the reference allows white space.
func (d *jsonDecoder) bytesInto(v reflect.Value) *jsonMismatch {
	t := v.Type()
	text, mismatch := d.textFor(t)
	if mismatch != nil {
		return mismatch
	}
	if bytes.ContainsAny(text, " \t") {
		text = bytes.Map(func(r rune) rune {
			if strings.ContainsRune(" \t", r) {
				return -1
			}
			return r
		}, text)
	}
	b, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
	if err != nil {
		return d.fails(t, err)
	}
	v.SetBytes(b)
	return nil
}

func (d *jsonDecoder) list(v reflect.Value) *jsonMismatch {
	t := v.Type()
	array := t.Kind() == reflect.Array
	if !array {
		v.Set(reflect.MakeSlice(t, 0, 0))
	}
	for i := 0; ; i++ {
		more, ok := d.next(']', i == 0)
		switch {
		case !ok:
			return d.fails(t, errUnreadable)
		case !more && array && i < v.Len():
			return d.fails(t, fmt.Errorf("%d items for %s", i, t))
		case !more:
			return nil
		case array && i >= v.Len():
			return d.fails(t, fmt.Errorf("more than %d items for %s", i, t))
		case !array:
			v.Grow(1)
			v.SetLen(i + 1)
			v.Index(i).SetZero()
		}
		if err := d.value(v.Index(i)); err != nil {
			err.path = "[" + strconv.Itoa(i) + "]" + err.path
			return err
		}
	}
}

func (d *jsonDecoder) structInto(v reflect.Value) *jsonMismatch {
	t := v.Type()
	plan := planOf(t, AsDeclared)
	for first := true; ; first = false {
		name, more, err := d.member(t, first)
		if err != nil || !more {
			return err
		}
		field := plan.field(name, false)
		if field == nil {
			if !d.skip() {
				return d.fails(t, errUnreadable)
			}
			continue
		}
		if err := d.fieldInto(v, field); err != nil {
			err.path = pathOf(name) + err.path
			return err
		}
	}
}

func (d *jsonDecoder) fieldInto(v reflect.Value, field *structField) *jsonMismatch {
	target, ok := field.place(v)
	if !ok {
		return d.fails(field.typ, errors.New("embedded pointer to an unexported struct"))
	}
	target.SetZero()
	if !field.quoted {
		return d.value(target)
	}
	if d.peek() == 'n' {
		return d.null(target)
	}
	b, err := d.textFor(field.typ)
	if err != nil {
		return err
	}
	inner := jsonDecoder{scanner: scanner{data: b}}
	if err := inner.value(target); err != nil || inner.pos < len(b) {
		return d.fails(field.typ, errMismatch("String", field.typ))
	}
	return nil
}

// member moves to the next member of an object and returns its name, which may
// be part of the payload.
func (d *jsonDecoder) member(t reflect.Type, first bool) (name []byte, more bool, err *jsonMismatch) {
	more, ok := d.next('}', first)
	if !ok {
		return nil, false, d.fails(t, errUnreadable)
	}
	if !more {
		return nil, false, nil
	}
	if !d.name() {
		return nil, false, d.fails(t, errUnreadable)
	}
	name, fault := d.text(nil)
	if fault != nil {
		return nil, false, d.fails(t, fault)
	}
	return name, true, nil
}

func (d *jsonDecoder) mapInto(v reflect.Value) *jsonMismatch {
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	value := reflect.New(t.Elem()).Elem()
	for first := true; ; first = false {
		name, more, err := d.member(t, first)
		if err != nil || !more {
			return err
		}
		key := reflect.New(t.Key()).Elem()
		if cause := keyFromText(key, string(name)); cause != nil {
			return d.fails(t, cause)
		}
		value.SetZero()
		if err := d.value(value); err != nil {
			err.path = pathOf(name) + err.path
			return err
		}
		v.SetMapIndex(key, value)
	}
}

// keyFromText sets the key of a map from the name of an object's member.
func keyFromText(key reflect.Value, name string) error {
	if key.Kind() != reflect.String && key.Addr().Type().Implements(textUnmarshalerType) {
		return key.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(name))
	}
	switch {
	case key.Kind() == reflect.String:
		key.SetString(name)
	case key.CanInt():
		n, err := strconv.ParseInt(name, 10, key.Type().Bits())
		if err != nil {
			return err
		}
		key.SetInt(n)
	case key.CanUint():
		n, err := strconv.ParseUint(name, 10, key.Type().Bits())
		if err != nil {
			return err
		}
		key.SetUint(n)
	case key.Kind() == reflect.Interface && key.NumMethod() == 0:
		key.Set(reflect.ValueOf(name))
	default:
		return errNoEncoding(key.Type())
	}
	return nil
}
