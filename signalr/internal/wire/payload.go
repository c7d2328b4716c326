package wire

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// Types that have a form of their own on the wire.
var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	rawType      = reflect.TypeFor[Raw]()
	numberType   = reflect.TypeFor[json.Number]()
)

// Interfaces by which a type says itself how it is written and read.
var (
	jsonMarshalerType   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textMarshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	packMarshalerType   = reflect.TypeFor[msgp.Marshaler]()
	packUnmarshalerType = reflect.TypeFor[msgp.Unmarshaler]()
)

var (
	errNotFinite = errors.New("wire: NaN and infinities cannot be written")
	errTooDeep   = errors.New("wire: value is nested too deeply, or contains itself")
)

func errNoEncoding(t reflect.Type) error {
	return fmt.Errorf("wire: a value of type %s cannot be written", t)
}

// level is how far down in a value an encoder still may go: through objects and
// arrays, and through pointers, which alone can make a circle too.
type level struct{ nest, hops int }

func (l level) enter() (level, error) {
	if l.nest--; l.nest < 0 {
		return l, errTooDeep
	}
	return l, nil
}

func (l level) follow() (level, error) {
	if l.hops--; l.hops < 0 {
		return l, errTooDeep
	}
	return l, nil
}

// encoder appends the values of one type.
type encoder func(dst []byte, v reflect.Value, at level) ([]byte, error)

// format is one way of writing values; there are a few, each with its encoders.
type format struct {
	casing Casing
	build  func(f *format, t reflect.Type) encoder

	// timeAsString is MessagePackProtocol's.
	timeAsString bool

	encoders sync.Map // reflect.Type to encoder
}

// encoder returns the encoder of t, made when it is first asked for.
func (f *format) encoder(t reflect.Type) encoder {
	if e, ok := f.encoders.Load(t); ok {
		return e.(encoder)
	}
	// A type may contain itself: until its encoder is made, whoever needs it
	// gets one that waits.
	var (
		ready sync.WaitGroup
		made  encoder
	)
	ready.Add(1)
	waiting, taken := f.encoders.LoadOrStore(t, encoder(func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		ready.Wait()
		return made(dst, v, at)
	}))
	if taken {
		return waiting.(encoder)
	}
	made = f.build(f, t)
	ready.Done()
	f.encoders.Store(t, made)
	return made
}

// follow writes what a pointer or an interface, not nil, leads to.
func follow(e encoder, dst []byte, v reflect.Value, at level) ([]byte, error) {
	at, err := at.follow()
	if err != nil {
		return nil, err
	}
	return e(dst, v.Elem(), at)
}

// viaPointer returns an encoder for a type whose pointer has the methods: they
// are used where the value has an address.
func viaPointer(own, other encoder) encoder {
	return func(dst []byte, v reflect.Value, at level) ([]byte, error) {
		if v.CanAddr() {
			return own(dst, v.Addr(), at)
		}
		return other(dst, v, at)
	}
}

// mapKey returns the name of a map's key.
func mapKey(k reflect.Value) (name string, err error) {
	for k.Kind() == reflect.Interface {
		k = k.Elem()
	}
	if !k.IsValid() {
		return "", errors.New("wire: nil as the key of a map")
	}
	if k.Kind() == reflect.String {
		return k.String(), nil
	}
	if k.Type().Implements(textMarshalerType) {
		if k.Kind() == reflect.Pointer && k.IsNil() {
			return "", nil
		}
		b, err := k.Interface().(encoding.TextMarshaler).MarshalText()
		return string(b), err
	}
	switch {
	case k.CanInt():
		return fmt.Sprint(k.Int()), nil
	case k.CanUint():
		return fmt.Sprint(k.Uint()), nil
	}
	return "", errNoEncoding(k.Type())
}

// mapEntry is an entry of a map with the name of its key.
type mapEntry struct {
	name       string
	key, value reflect.Value
}

// sortedEntries returns a map's entries by name, so that equal maps have equal
// bytes.
func sortedEntries(v reflect.Value) ([]mapEntry, error) {
	entries := make([]mapEntry, 0, v.Len())
	for iter := v.MapRange(); iter.Next(); {
		name, err := mapKey(iter.Key())
		if err != nil {
			return nil, err
		}
		entries = append(entries, mapEntry{name, iter.Key(), iter.Value()})
	}
	slices.SortFunc(entries, func(a, b mapEntry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}
