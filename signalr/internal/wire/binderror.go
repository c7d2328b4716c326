package wire

// BindError is a payload that does not fit the value that it is to fill. It
// never ends a connection.
type BindError struct {
	// Want is the reference's short name of the type that was asked for, such
	// as Int32 or String.
	Want string

	// text is the reference's whole message in JSON; in MessagePack it depends
	// on what the payload is.
	text string

	// Err is the cause in Go's terms.
	Err error
}

// Error names the type and the cause.
func (e *BindError) Error() string {
	return "cannot bind payload to " + e.Want + ": " + e.Err.Error()
}

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
