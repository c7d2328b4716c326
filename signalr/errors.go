package signalr

import (
	"errors"
	"fmt"
)

// Errors that methods of this package return; test with errors.Is.
var (
	// ErrConnectionClosed: the connection has ended.
	ErrConnectionClosed = errors.New("signalr: the connection is closed")
	// ErrHubClosed: Shutdown was called.
	ErrHubClosed = errors.New("signalr: the hub is shut down")
	// ErrNoConnection: nobody has a connection of that id.
	ErrNoConnection = errors.New("signalr: connection does not exist")
	// ErrSlowClient is the cause of a connection that was closed because its
	// queue was full, or a write took longer than SendTimeout.
	ErrSlowClient = errors.New("signalr: the client is too slow")
	// ErrMessageTooLarge is the cause of a connection whose client sent more
	// than MaximumReceiveMessageSize.
	ErrMessageTooLarge = errors.New("signalr: the client sent too large a message")
	// ErrClientTimeout is the cause of a connection whose client was silent for
	// longer than ClientTimeoutInterval.
	ErrClientTimeout = errors.New("signalr: the client was silent for too long")
	// ErrTooManyGroups and ErrGroupName: a limit of HubOptions.Limits.
	ErrTooManyGroups = errors.New("signalr: the connection is in too many groups")
	ErrGroupName     = errors.New("signalr: the name of the group is too long")
)

// callerError is an error whose text is made for the caller: the counterpart
// of .NET's HubException.
type callerError struct {
	text  string
	cause error
}

func (e *callerError) Error() string { return e.text }
func (e *callerError) Unwrap() error { return e.cause }

// Errorf makes an error for the caller. It is the only kind whose text crosses
// the wire when a method, a stream or OnConnected returns it, or an error that
// wraps it: clients see "... HubException: text". All other errors are masked,
// unless EnableDetailedErrors is on. The format is that of fmt.Errorf.
func Errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &callerError{text: err.Error(), cause: errors.Unwrap(err)}
}

// typedError gives an error the type name that .NET would show.
type typedError struct {
	name string
	err  error
}

func (e *typedError) Error() string { return e.err.Error() }
func (e *typedError) Unwrap() error { return e.err }

// WithType names the type that clients see before the text of err:
// "InvalidOperationException: text". Without it that is HubException for
// errors made with Errorf, Exception for all others. It changes nothing of
// whether the text is shown: errors of Errorf always, others only with
// EnableDetailedErrors. A nil err stays nil.
func WithType(err error, name string) error {
	if err == nil {
		return nil
	}
	return &typedError{name: name, err: err}
}

// describeError returns what clients may see of err, "Type: text", or "" if
// they may see nothing.
func describeError(err error, detailed bool) string {
	forCaller := (*callerError)(nil)
	if !detailed && !errors.As(err, &forCaller) {
		return ""
	}
	name, text := errorName(err)
	return name + ": " + text
}

// errorName returns the type that .NET would show of err, and its text.
func errorName(err error) (name, text string) {
	var own *callerError
	var typed *typedError
	forCaller, named := errors.As(err, &own), errors.As(err, &typed)
	if forCaller && named {
		named = errors.As(typed.err, &own) // not of what the error for the caller wraps
	}
	name, text = "Exception", err.Error()
	if forCaller {
		name, text = "HubException", own.text
	}
	if named {
		name = typed.name
		if !forCaller {
			text = typed.err.Error()
		}
	}
	return name, text
}

// withDetail appends to an error sentence what clients may see of err.
func withDetail(sentence string, err error, detailed bool) string {
	if err == nil {
		return sentence
	}
	if d := describeError(err, detailed); d != "" {
		return sentence + " " + d
	}
	return sentence
}

// panicError is a panic of user code, caught.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }
func (e *panicError) Unwrap() error { err, _ := e.value.(error); return err }
