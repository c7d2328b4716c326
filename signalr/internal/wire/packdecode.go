package wire

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// DecodeValue binds a MessagePack value as the reference does (hub protocol
// 6.4). Integers of any width fit any integer type that can hold them, but
// floats do not, and strings fit no number; nil fits strings, slices, maps,
// structs and pointers, not numbers, booleans and times; a []byte is made of
// bin, str or an array of numbers; a time.Time of a timestamp, cut to 100 ns,
// and with TimeAsString of an ISO 8601 string too; a time.Duration of an integer
// of 100 ns. In an any, integers are int64, or uint64 if that is too small,
// floats float64, bin []byte, and maps map[string]any, or map[any]any when a key
// is no string. A type with UnmarshalMsg, UnmarshalText or UnmarshalJSON reads
// itself, from its object, str, or the JSON of its object. Whatever into pointed
// to before is gone.
func (p MessagePackProtocol) DecodeValue(raw Raw, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return &BindError{Want: "Object", Err: errTarget}
	}
	v = v.Elem()
	v.SetZero()
	d := packDecoder{b: raw, MessagePackProtocol: p}
	err := d.value(v, maxPackDepth)
	if err == nil && len(d.b) > 0 {
		err = errTrailing
	}
	if err != nil {
		v.SetZero()
		return &BindError{Want: shortName(v.Type()), Err: err}
	}
	return nil
}

// packDecoder reads values from the front of b.
type packDecoder struct {
	b []byte
	MessagePackProtocol
}

// unfit says that the value at the front does not fit t.
func (d *packDecoder) unfit(t reflect.Type) error {
	if len(d.b) == 0 {
		return errUnreadable
	}
	return errMismatch(packName(d.b[0]), t)
}

// nil reads a nil, if that is what comes.
func (d *packDecoder) nil() bool {
	if !isPackNil(d.b) {
		return false
	}
	d.b = d.b[1:]
	return true
}

// take returns the bytes of the next value of any kind.
func (d *packDecoder) take(depth int) (Raw, error) {
	rest, ok := skipPack(d.b, depth)
	if !ok {
		return nil, errUnreadable
	}
	raw := d.b[:len(d.b)-len(rest)]
	d.b = rest
	return raw, nil
}

// value reads the next value into v, which is zero. depth is how many levels
// may follow.
func (d *packDecoder) value(v reflect.Value, depth int) error {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		if d.nil() {
			return nil
		}
		v.Set(reflect.New(t.Elem()))
		return d.value(v.Elem(), depth)
	}
	if done, err := d.special(v, depth); done {
		return err
	}
	switch k := t.Kind(); k {
	case reflect.Bool:
		x, rest, err := msgp.ReadBoolBytes(d.b)
		if err != nil {
			return d.unfit(t)
		}
		d.b = rest
		v.SetBool(x)
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, rest, err := msgp.ReadInt64Bytes(d.b)
		if err != nil || v.OverflowInt(n) {
			return d.unfit(t)
		}
		d.b = rest
		v.SetInt(n)
		return nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, rest, err := msgp.ReadUint64Bytes(d.b)
		if err != nil || v.OverflowUint(n) {
			return d.unfit(t)
		}
		d.b = rest
		v.SetUint(n)
		return nil
	case reflect.Float32, reflect.Float64:
		return d.float(v)
	case reflect.String:
		if d.nil() {
			return nil
		}
		b, rest, err := msgp.ReadStringZC(d.b)
		if err != nil {
			return d.unfit(t)
		}
		d.b = rest
		v.SetString(lenientText(b))
		return nil
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return errNoEncoding(t)
		}
		x, err := d.any(depth)
		if err == nil && x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case reflect.Struct, reflect.Map, reflect.Slice:
		if d.nil() {
			return nil
		}
		switch {
		case isBytes(t):
			return d.bytes(v)
		case k == reflect.Struct:
			return d.structInto(v, depth)
		case k == reflect.Map:
			return d.mapInto(v, depth)
		}
		return d.list(v, depth)
	case reflect.Array:
		return d.list(v, depth)
	}
	return errNoEncoding(t)
}

// special reads the types that have a form of their own. done is false for the
// others.
func (d *packDecoder) special(v reflect.Value, depth int) (done bool, err error) {
	t := v.Type()
	switch t {
	case timeType:
		at, err := d.time()
		*v.Addr().Interface().(*time.Time) = at
		return true, err
	case durationType:
		n, rest, err := msgp.ReadInt64Bytes(d.b)
		if err != nil || n*int64(tick)/int64(tick) != n {
			return true, d.unfit(t)
		}
		d.b = rest
		v.SetInt(n * int64(tick))
		return true, nil
	case rawType:
		raw, err := d.take(depth)
		v.SetBytes(bytes.Clone(raw))
		return true, err
	case numberType:
		n, err := d.any(depth)
		switch n.(type) {
		case int64, uint64, float64:
			v.SetString(fmt.Sprint(n))
			return true, err
		}
		return true, errMismatch("no number", t)
	}
	p := reflect.PointerTo(t)
	switch {
	case p.Implements(packUnmarshalerType):
		raw, err := d.take(depth)
		if err == nil {
			_, err = v.Addr().Interface().(msgp.Unmarshaler).UnmarshalMsg(bytes.Clone(raw))
		}
		return true, err
	case p.Implements(textUnmarshalerType):
		if d.nil() {
			return true, nil
		}
		b, rest, err := msgp.ReadStringZC(d.b)
		if err != nil {
			return true, d.unfit(t)
		}
		d.b = rest
		return true, v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(lenientText(b)))
	case p.Implements(jsonUnmarshalerType):
		x, err := d.any(depth)
		if err != nil {
			return true, err
		}
		b, err := JSON.AppendValue(nil, x, AsDeclared)
		if err != nil {
			return true, err
		}
		return true, v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(b)
	}
	return false, nil
}

// float takes integers and floats of any width.
func (d *packDecoder) float(v reflect.Value) error {
	x, err := d.anyNumber()
	if err != nil {
		return d.unfit(v.Type())
	}
	switch x := x.(type) {
	case int64:
		v.SetFloat(float64(x))
	case uint64:
		v.SetFloat(float64(x))
	case float64:
		v.SetFloat(x)
	}
	return nil
}

// bytes takes bin, str, and an array of small numbers.
func (d *packDecoder) bytes(v reflect.Value) error {
	if b, rest, err := msgp.ReadBytesZC(d.b); err == nil {
		d.b = rest
		v.SetBytes(append([]byte{}, b...))
		return nil
	}
	if b, rest, err := msgp.ReadStringZC(d.b); err == nil {
		d.b = rest
		v.SetBytes(append([]byte{}, b...))
		return nil
	}
	count, rest, ok := arrayHeader(d.b)
	if !ok {
		return d.unfit(v.Type())
	}
	d.b = rest
	out := make([]byte, count)
	for i := range out {
		n, rest, err := msgp.ReadUint8Bytes(d.b)
		if err != nil {
			return d.unfit(v.Type())
		}
		d.b, out[i] = rest, n
	}
	v.SetBytes(out)
	return nil
}

func (d *packDecoder) time() (time.Time, error) {
	if d.TimeAsString {
		if b, rest, err := msgp.ReadStringZC(d.b); err == nil {
			at, ok := parseTime(b)
			if !ok {
				return time.Time{}, errMismatch("str", timeType)
			}
			d.b = rest
			return at, nil
		}
	}
	at, rest, ok := readTimestamp(d.b)
	if !ok {
		return time.Time{}, d.unfit(timeType)
	}
	d.b = rest
	return at, nil
}

// list reads an array into a slice or an array of the same length.
func (d *packDecoder) list(v reflect.Value, depth int) error {
	t := v.Type()
	count, rest, ok := arrayHeader(d.b)
	if !ok || depth <= 0 {
		return d.unfit(t)
	}
	d.b = rest
	slice := t.Kind() == reflect.Slice
	if slice {
		// Grown as the items come: the header alone cannot make us allocate.
		v.Set(reflect.MakeSlice(t, 0, min(count, 64)))
	} else if count != v.Len() {
		return fmt.Errorf("%d items for %s", count, t)
	}
	for i := range count {
		if slice {
			v.Grow(1)
			v.SetLen(i + 1)
			v.Index(i).SetZero()
		}
		if err := d.value(v.Index(i), depth-1); err != nil {
			return err
		}
	}
	return nil
}

func (d *packDecoder) structInto(v reflect.Value, depth int) error {
	t := v.Type()
	count, rest, ok := mapHeader(d.b)
	if !ok || depth <= 0 {
		return d.unfit(t)
	}
	d.b = rest
	plan := planOf(t, AsDeclared)
	for range count {
		name, rest, err := msgp.ReadStringZC(d.b)
		if err != nil {
			return d.unfit(reflect.TypeFor[string]())
		}
		d.b = rest
		field := plan.field(name, d.ExactNames)
		if field == nil {
			if _, err := d.take(depth - 1); err != nil {
				return err
			}
			continue
		}
		target, ok := field.place(v)
		if !ok {
			return errors.New("embedded pointer to an unexported struct")
		}
		target.SetZero()
		if err := d.value(target, depth-1); err != nil {
			return err
		}
	}
	return nil
}

func (d *packDecoder) mapInto(v reflect.Value, depth int) error {
	t := v.Type()
	count, rest, ok := mapHeader(d.b)
	if !ok || depth <= 0 {
		return d.unfit(t)
	}
	d.b = rest
	v.Set(reflect.MakeMapWithSize(t, min(count, 64)))
	key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	for range count {
		key.SetZero()
		value.SetZero()
		if err := d.value(key, depth-1); err != nil {
			return err
		}
		if !key.Comparable() {
			return errors.New("a key that cannot be compared")
		}
		if v.MapIndex(key).IsValid() {
			return errors.New("a key comes twice")
		}
		if err := d.value(value, depth-1); err != nil {
			return err
		}
		v.SetMapIndex(key, value)
	}
	return nil
}

func (d *packDecoder) anyNumber() (any, error) {
	if n, rest, err := msgp.ReadInt64Bytes(d.b); err == nil {
		d.b = rest
		return n, nil
	}
	if n, rest, err := msgp.ReadUint64Bytes(d.b); err == nil {
		d.b = rest
		return n, nil
	}
	if len(d.b) > 0 && d.b[0] == 0xca {
		if f, rest, err := msgp.ReadFloat32Bytes(d.b); err == nil {
			d.b = rest
			return float64(f), nil
		}
	}
	f, rest, err := msgp.ReadFloat64Bytes(d.b)
	if err == nil {
		d.b = rest
	}
	return f, err
}
