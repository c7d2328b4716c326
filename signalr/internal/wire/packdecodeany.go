package wire

import (
	"encoding/binary"
	"errors"
	"reflect"
	"time"

	"github.com/tinylib/msgp/msgp"
)

var anyType = reflect.TypeFor[any]()

// any reads whatever comes.
func (d *packDecoder) any(depth int) (any, error) {
	if len(d.b) == 0 {
		return nil, errUnreadable
	}
	switch msgp.NextType(d.b) {
	case msgp.NilType:
		d.b = d.b[1:]
		return nil, nil
	case msgp.BoolType:
		x := d.b[0] == 0xc3
		d.b = d.b[1:]
		return x, nil
	case msgp.StrType:
		b, rest, err := msgp.ReadStringZC(d.b)
		if err != nil {
			return nil, errUnreadable
		}
		d.b = rest
		return lenientText(b), nil
	case msgp.BinType:
		b, rest, err := msgp.ReadBytesZC(d.b)
		if err != nil {
			return nil, errUnreadable
		}
		d.b = rest
		return append([]byte{}, b...), nil
	case msgp.ArrayType:
		return d.anyList(depth)
	case msgp.MapType:
		return d.anyMap(depth)
	}
	if at, rest, ok := readTimestamp(d.b); ok {
		d.b = rest
		return at, nil
	}
	x, err := d.anyNumber()
	if err != nil {
		return nil, d.unfit(anyType)
	}
	return x, nil
}

func (d *packDecoder) anyList(depth int) (any, error) {
	count, rest, ok := arrayHeader(d.b)
	if !ok || depth <= 0 {
		return nil, errUnreadable
	}
	d.b = rest
	list := make([]any, 0, min(count, 64))
	for range count {
		item, err := d.any(depth - 1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

// anyMap makes a map by name, and changes to one by any key at the first key
// that is no string.
func (d *packDecoder) anyMap(depth int) (any, error) {
	count, rest, ok := mapHeader(d.b)
	if !ok || depth <= 0 {
		return nil, errUnreadable
	}
	d.b = rest
	byName := make(map[string]any, min(count, 64))
	var byKey map[any]any
	for range count {
		key, err := d.any(depth - 1)
		if err != nil {
			return nil, err
		}
		name, isName := key.(string)
		if !isName && byKey == nil {
			byKey = make(map[any]any, min(count, 64))
			for name, value := range byName {
				byKey[name] = value
			}
		}
		if !reflect.ValueOf(key).Comparable() {
			return nil, errors.New("a key that cannot be compared")
		}
		value, err := d.any(depth - 1)
		if err != nil {
			return nil, err
		}
		var twice bool
		if byKey != nil {
			_, twice = byKey[key]
			byKey[key] = value
		} else {
			_, twice = byName[name]
			byName[name] = value
		}
		if twice {
			return nil, errors.New("a key comes twice")
		}
	}
	if byKey != nil {
		return byKey, nil
	}
	return byName, nil
}

// readTimestamp reads the extension of type -1 in any of its three forms and
// cuts what is finer than 100 ns, as the reference does.
func readTimestamp(b []byte) (at time.Time, rest []byte, ok bool) {
	var seconds int64
	var nanos uint64
	switch {
	case len(b) >= 6 && b[0] == 0xd6 && b[1] == 0xff:
		seconds, rest = int64(binary.BigEndian.Uint32(b[2:])), b[6:]
	case len(b) >= 10 && b[0] == 0xd7 && b[1] == 0xff:
		both := binary.BigEndian.Uint64(b[2:])
		seconds, nanos, rest = int64(both&(1<<34-1)), both>>34, b[10:]
	case len(b) >= 15 && b[0] == 0xc7 && b[1] == 12 && b[2] == 0xff:
		nanos = uint64(binary.BigEndian.Uint32(b[3:]))
		seconds, rest = int64(binary.BigEndian.Uint64(b[7:])), b[15:]
	default:
		return time.Time{}, b, false
	}
	if nanos >= uint64(time.Second) || seconds < minSeconds || seconds > maxSeconds {
		return time.Time{}, b, false
	}
	return time.Unix(seconds, int64(nanos-nanos%uint64(tick))).UTC(), rest, true
}

// The years 1 to 9999, which the reference's times have.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)
