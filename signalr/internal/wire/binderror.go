package wire

import (
	"errors"
	"fmt"
	"reflect"
)

// BindError is a payload that does not fit the value that it is to fill. It
// never ends a connection. For an argument the reference says BindArgumentsText,
// for items and results what the methods return.
type BindError struct {
	// Want is the reference's short name of the type that was asked for, such
	// as Int32 or String.
	Want string

	// text is the reference's whole message in JSON; in MessagePack it is made
	// from what the payload is, and text is empty.
	text string

	// Err is the cause in Go's terms.
	Err error
}

// Error names the type and the cause.
func (e *BindError) Error() string { return "wire: cannot bind to " + e.Want + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BindError) Unwrap() error { return e.Err }

// Item returns what the reference says of a stream item that does not bind.
func (e *BindError) Item() string { return e.sentence("item") }

// Result returns what the reference says of a client's result that does not
// bind.
func (e *BindError) Result() string {
	return "Error trying to deserialize result to " + e.Want + ". " + e.sentence("argument")
}

func (e *BindError) sentence(field string) string {
	if e.text != "" {
		return e.text
	}
	return "Deserializing object of the `" + e.Want + "` type for '" + field + "' failed."
}

// Causes of a BindError that need no more words.
var (
	errUnreadable = errors.New("payload is missing or malformed")
	errTrailing   = errors.New("payload is followed by more bytes")
	errTarget     = errors.New("target is not a pointer")
)

func errMismatch(got string, want reflect.Type) error {
	return fmt.Errorf("%s does not fit %s", got, want)
}

// shortName is the reference's short name of the type that t stands for. A Go
// type without a counterpart there has its own name.
func shortName(t reflect.Type) string {
	switch t {
	case timeType:
		return "DateTime"
	case durationType:
		return "TimeSpan"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "Boolean"
	case reflect.Int, reflect.Int64:
		return "Int64"
	case reflect.Int32:
		return "Int32"
	case reflect.Int16:
		return "Int16"
	case reflect.Int8:
		return "SByte"
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		return "UInt64"
	case reflect.Uint32:
		return "UInt32"
	case reflect.Uint16:
		return "UInt16"
	case reflect.Uint8:
		return "Byte"
	case reflect.Float32:
		return "Single"
	case reflect.Float64:
		return "Double"
	case reflect.String:
		return "String"
	case reflect.Interface:
		return "Object"
	case reflect.Pointer:
		return shortName(t.Elem())
	case reflect.Slice:
		if isBytes(t) {
			return "Byte[]"
		}
		return "List`1"
	case reflect.Array:
		return shortName(t.Elem()) + "[]"
	case reflect.Map:
		return "Dictionary`2"
	}
	if t.Name() == "" {
		return "Object"
	}
	return t.Name()
}

// fullName is the reference's name of the type with its namespace.
func fullName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return fullName(t.Elem())
	case reflect.Slice:
		if !isBytes(t) {
			return "System.Collections.Generic.List`1[" + fullName(t.Elem()) + "]"
		}
	case reflect.Map:
		return "System.Collections.Generic.Dictionary`2[" + fullName(t.Key()) + "," + fullName(t.Elem()) + "]"
	case reflect.Struct:
		if t != timeType {
			return shortName(t)
		}
	}
	return "System." + shortName(t)
}
