package transport

import "net/http"

// Kind is a way to move bytes.
type Kind int

const (
	WebSockets       Kind = iota + 1
	ServerSentEvents      // server to client; the client sends by POST
	LongPolling           // the client fetches; it sends by POST
	Pipe                  // in memory, for tests
)

// String returns the name that negotiation uses: WebSockets, ServerSentEvents,
// LongPolling; Pipe and "" never travel.
func (k Kind) String() string {
	switch k {
	case WebSockets:
		return "WebSockets"
	case ServerSentEvents:
		return "ServerSentEvents"
	case LongPolling:
		return "LongPolling"
	case Pipe:
		return "Pipe"
	}
	return ""
}

// Application is what a transport connection is for: the hub's end of it, or
// the client's.
//
// Receive is never called beside itself, nor is Next, nor are Lost and Resumed
// beside either of them; Receive and Next may run at the same time. The calls
// come from goroutines of the transport, except Next, which may also come from
// the goroutine that calls Session.Flush: a caller of Flush must not hold what
// Next needs.
type Application interface {
	// Receive takes bytes in the peer's order; chunk boundaries mean nothing.
	// It may block, which holds the peer back; it must return soon after Ended
	// was called. p is valid during the call only. An error ends the
	// connection after what Next still yields has been written; Ended then
	// gets that error, and Receive is not called again.
	Receive(p []byte) error

	// Next appends whole hub messages that wait to be written to dst, about
	// max bytes of them at most (one message always fits), and says whether
	// more wait and whether the transport is to end once these are written.
	// It never blocks. A message that Next has yielded counts as sent.
	Next(dst []byte, max int) (out []byte, more, end bool)

	// PeerClosed says that the peer has asked for the end: a DELETE of a
	// long-polling connection, a close frame of a WebSocket. No byte follows.
	// What Next yields from now on reaches a poll that waits, and nobody else;
	// Ended follows. At most once, may run beside Receive, must not block.
	PeerClosed()

	// Lost says that the socket is gone without a close handshake but the
	// connection may be re-attached (stateful reconnect, see
	// Session.SetStateful). Partial input is to be dropped. Next is not called
	// until Resumed; Ended follows if nobody comes back in time.
	Lost()

	// Resumed says that a new socket took the place of the old one: Next
	// starts again, with Sequence and the unacknowledged messages.
	Resumed()

	// Ended says that nothing will be read or written any more. Called exactly
	// once, never inside a call of a Session method, after the last Next; a
	// Receive that blocks may still be under way. err is nil for a regular
	// end: the application's own (end, Session.Close), the peer's close frame
	// or DELETE, the end of a poll or event stream by the client.
	Ended(err error)
}

// Session is one logical connection as its Application sees the transport.
// All methods are safe for concurrent use.
type Session interface {
	// ID is the public id of the connection; at a client, what negotiation
	// gave it, "" if that was skipped.
	ID() string
	// Kind is the transport, which never changes.
	Kind() Kind
	// SupportsBinary is false for server-sent events.
	SupportsBinary() bool
	// SetBinary chooses the type of the WebSocket frames from now on: text
	// (the default) or binary. Nothing happens on other transports. Set it
	// before the handshake response is flushed.
	SetBinary(bool)
	// Request makes a trimmed copy of the request that attached the transport:
	// URL (without id and access_token), Header, Host, RemoteAddr, TLS. Its
	// context carries the values of the request's and is never cancelled.
	// nil at a client.
	Request() *http.Request
	// Flush has what Next yields written. It never blocks and coalesces: calls
	// during a write are one more round of that write. It may call Next before
	// it returns. A write that is stuck for SendTimeout ends the session.
	Flush()
	// Close ends the session when Next yields nothing more.
	Close()
	// Abort ends the session now, whatever waits. err goes to Ended.
	Abort(err error)
	// StatefulOffered is whether negotiation agreed on stateful reconnect.
	StatefulOffered() bool
	// SetStateful(true), after a handshake of version 2: losing the socket
	// means Lost, not Ended. SetStateful(false), when a Close is sent: no
	// re-attachment any more. Nothing happens if it was not offered.
	SetStateful(bool)
}
