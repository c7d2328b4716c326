package wire

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// any reads whatever comes; t is the type that is blamed when it is no JSON.
func (d *jsonDecoder) any(t reflect.Type) (any, *jsonMismatch) {
	d.peek()
	from := d.pos
	switch d.token() {
	case tokenNull:
		return nil, nil
	case tokenTrue:
		return true, nil
	case tokenFalse:
		return false, nil
	case tokenNumber:
		return anyNumber(string(d.data[from:d.pos])), nil
	case tokenString:
		b, fault := d.text(nil)
		if fault != nil {
			return nil, d.fails(t, fault)
		}
		return string(b), nil
	case tokenArray:
		list := []any{}
		for i := 0; ; i++ {
			more, ok := d.next(']', i == 0)
			if !ok {
				return nil, d.fails(t, errUnreadable)
			}
			if !more {
				return list, nil
			}
			item, err := d.any(t)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
	case tokenObject:
		object := map[string]any{}
		for first := true; ; first = false {
			name, more, err := d.member(t, first)
			if err != nil {
				return nil, err
			}
			if !more {
				return object, nil
			}
			key := string(name)
			if object[key], err = d.any(t); err != nil {
				return nil, err
			}
		}
	}
	return nil, d.fails(t, errUnreadable)
}

func anyNumber(number string) any {
	if number != "-0" && !strings.ContainsAny(number, ".eE") { // only a float has a negative zero
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			return n
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return math.NaN() // cannot be: the scanner has checked it
	}
	return f
}
