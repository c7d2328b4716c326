package signalr

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// HubOptions are the settings of a hub. The zero value is the defaults of
// ASP.NET Core SignalR, with the limits of this library added; every function may
// be nil, and is called from many goroutines at once. NewHub panics on values that
// cannot work.
type HubOptions struct {
	// HandshakeTimeout is the time from the start of a connection to a
	// complete handshake request. Default 15 s.
	HandshakeTimeout time.Duration
	// KeepAliveInterval is the period of the server's pings, looked at once a
	// second. As in the reference a ping goes out when more than the interval
	// has passed since the last one, and other traffic does not put it off.
	// Default 15 s. Long polling has no pings.
	KeepAliveInterval time.Duration
	// KeepAlive overrides KeepAliveInterval for the connection that the
	// request opens; 0 leaves it. May be nil.
	KeepAlive func(*http.Request) time.Duration
	// ClientTimeoutInterval is the silence that a client which has pinged at
	// least once may keep. The clock stands still while its messages are being
	// taken in. Default 30 s.
	ClientTimeoutInterval time.Duration
	// DisconnectTimeout is how long a connection may be without a transport:
	// after negotiation, between two polls, after the loss of a socket that
	// stateful reconnect may replace. Looked at once a second. Default 15 s.
	DisconnectTimeout time.Duration
	// SendTimeout is how long one write to a client may take; then the
	// connection has ended. Default 10 s.
	SendTimeout time.Duration
	// PollTimeout is how long a poll of long polling waits for something to
	// carry. Clients give up after 100 s, proxies perhaps earlier. Default 90 s.
	PollTimeout time.Duration
	// CloseTimeout is how long a WebSocket waits for the answer to its close
	// frame, and a re-attached one for its first message. Default 5 s.
	CloseTimeout time.Duration
	// MinimumNegotiateVersion refuses clients that negotiate by an older version:
	// 1 wants the connection token to be another than the public id. Default 0.
	MinimumNegotiateVersion int
	// MaximumReceiveMessageSize limits one framed message from a client, in
	// bytes. Default 32768; -1 is no limit.
	MaximumReceiveMessageSize int64
	// StreamBufferCapacity is how many items of one upload stream wait for the
	// method that reads them; beyond that reading from the client pauses.
	// Default 10.
	StreamBufferCapacity int
	// MaximumParallelInvocationsPerClient is how many plain invocations of one
	// connection run at once; those behind them wait in order, and each begins
	// when the one before it has come to its method. Streams and invocations
	// with uploads run beside them. Default 1.
	MaximumParallelInvocationsPerClient int
	// EnableDetailedErrors shows clients the type and text of every error,
	// not only of those made with Errorf. Default false.
	EnableDetailedErrors bool
	// EnableMessageTracing logs every hub message in and out, at level debug,
	// by connection, type, target and invocation id; never what it carries.
	// What is sent is logged when it is queued; the Acks and Sequences that
	// stateful reconnect writes are left out. Default false.
	EnableMessageTracing bool
	// AllowStatefulReconnects lets WebSocket clients that ask for it replace a
	// lost socket without losing the connection. Default false.
	AllowStatefulReconnects bool
	// StatefulReconnectBufferSize is how many bytes of unacknowledged messages
	// one connection keeps; beyond that its queue waits. Default 100000.
	StatefulReconnectBufferSize int64
	// Transports are offered to clients in this order. Default WebSockets,
	// ServerSentEvents, LongPolling.
	Transports []Transport
	// Protocols are the hub protocols that clients may choose, "json" and
	// "messagepack". Default both.
	Protocols []string
	// SlowClient says what happens when a connection's queue is full. Default
	// Close().
	SlowClient SlowClient
	// QueueBytes and QueueMessages limit what waits to be written to one
	// connection. A message that is larger than QueueBytes is taken when the
	// queue is empty. Defaults 1 MiB and 4096.
	QueueBytes    int
	QueueMessages int
	// JSONNames and MessagePackNames choose how struct fields without a json
	// tag are named in each protocol. Defaults CamelCase and AsDeclared, as in
	// .NET.
	JSONNames        Names
	MessagePackNames Names
	// MessagePackTimes chooses how time.Time travels in MessagePack. Default
	// TimestampExtension, as in .NET. In JSON it is always an ISO 8601 string.
	MessagePackTimes Times
	// Limits bound what a client can make grow.
	Limits Limits
	// Events and queries that the hub uses, for Describe. Sending does not
	// need it.
	Declares []Declaration
	// Logger gets what goes wrong, with its cause. Default: nowhere.
	Logger *slog.Logger
	// Backplane joins this hub to the hubs of the same name on other servers.
	// Default: none, the hub is alone.
	Backplane Backplane
	// UserID names the user of a connection by the context of its request.
	// Default: nobody has a name, "".
	UserID func(ctx context.Context) string
	// AuthenticationExpires is when the credential of a request ends, by the
	// request's context; the zero time is never. A connection is closed within
	// a second after the end of the newest credential that it was shown (by the
	// request that opened it, a later poll, a re-attached socket, a refresh),
	// with reconnect allowed, so that the client comes back with a new one. It
	// must not block. Default: never (.NET: CloseOnAuthenticationExpiration).
	AuthenticationExpires func(ctx context.Context) time.Time
	// AuthenticationRefresh lets clients of .NET 11 show a new credential while
	// they are connected: negotiation tells them how long the old one lasts,
	// POST to the hub's path + "/refresh" takes the new one, which middleware
	// checks like that of every other request. One of another user is refused;
	// user id, groups and Conn.Context stay. Needs AuthenticationExpires.
	// Default false.
	AuthenticationRefresh bool
	// OnConnected runs for every connection before its first message is taken
	// in. An error ends the connection, without reconnect; its text is shown if
	// it was made with Errorf.
	OnConnected func(ctx context.Context, c *Conn) error
	// OnDisconnected runs when a connection for which OnConnected succeeded has
	// ended. cause is nil after a regular end. The connection is still in its
	// groups, but nothing reaches it; ctx has the values of the connection's
	// and is not cancelled.
	OnDisconnected func(ctx context.Context, c *Conn, cause error)
	// Admit runs before every call of a client, in the calls' order: also of
	// methods that do not exist, and before the arguments are bound, so that
	// nothing a client sends as a call gets around it. method is as registered,
	// else as the client wrote it. An error refuses the call, like one that the
	// method returns. It may run for several calls of a connection at once.
	// Default: every call is admitted.
	Admit func(ctx context.Context, c *Conn, method string) error
	// Filters wrap every call of a method, the first outermost.
	Filters []Filter
	// MeterProvider turns metrics on: signalr.server.connection.duration and
	// signalr.server.active_connections of the semantic conventions of
	// OpenTelemetry. Default nil: off, at no cost.
	MeterProvider metric.MeterProvider
	// TracerProvider turns traces on: a span for each invocation and stream,
	// which continues the traceparent in the headers of its message. The
	// method's context has it. Default nil: off, at no cost.
	TracerProvider trace.TracerProvider
	// ShutdownWindow is how long Shutdown spreads its Close messages, so that
	// clients do not all come back at once. Default 2 s.
	ShutdownWindow time.Duration
}

// Limits bound what a foreign client can make grow. A zero field is its
// default, a negative one stands for no limit.
type Limits struct {
	// PendingInvocations is how many plain invocations of one connection wait
	// for their turn; beyond that reading from it pauses. Default 1024.
	PendingInvocations int
	// PendingBytes is how many bytes of calls that have not come to their
	// method, and of uploaded items that no method has taken, one connection
	// keeps; beyond that reading from it pauses. A message that is larger is
	// taken when nothing else is kept. Default 4 MiB.
	PendingBytes int
	// Streams is how many streams of one connection run at once, down and up
	// each; an invocation beyond that fails. Default 1024.
	Streams int
	// GroupsPerConnection is how many groups one connection is in; Join fails
	// beyond that. Default 10,000.
	GroupsPerConnection int
	// GroupNameBytes is how long the name of a group may be. Default 1024.
	GroupNameBytes int
	// HalfOpen is how many connections may be negotiated, or connected without
	// a handshake; beyond that new ones are refused with 503. Default 10,000.
	HalfOpen int
}

// Names is how struct fields without a json tag are named in payloads. A json
// tag gives the name in both protocols.
type Names int

const (
	// DefaultNames is CamelCase in JSON, AsDeclared in MessagePack.
	DefaultNames Names = iota
	// CamelCase writes the first letters small: TaskID becomes taskID.
	CamelCase
	// AsDeclared writes the Go name.
	AsDeclared
)

// Times is how time.Time travels in MessagePack.
type Times int

const (
	// TimestampExtension is the timestamp of the MessagePack specification.
	TimestampExtension Times = iota
	// ISOString is the string that JSON has.
	ISOString
)

// Transport is a way to reach a hub.
type Transport int

// The transports, in the order in which clients try them.
const (
	WebSockets       = Transport(transport.WebSockets)
	ServerSentEvents = Transport(transport.ServerSentEvents)
	LongPolling      = Transport(transport.LongPolling)
	// InMemory is what package signalrtest connects with; it is never offered.
	InMemory = Transport(transport.Pipe)
)

// String returns the name that SignalR gives the transport; that of InMemory is
// "Pipe".
func (t Transport) String() string { return transport.Kind(t).String() }

// SlowClient says what happens when the queue of a connection is full: Close
// or Wait.
type SlowClient struct {
	wait time.Duration
}

// Close closes a connection whose queue is full, with reconnect allowed. The
// sender and the other connections do not notice. This is the default.
func Close() SlowClient { return SlowClient{} }

// Wait makes the sender wait until the queue is half empty. When timeout is
// over the connection is closed as with Close, and the sender goes on. When
// the sender's context ends first, Send returns its error: members with room
// have the message, the others not. Only senders on the connection's own
// server wait, unless the backplane hands messages over directly.
func Wait(timeout time.Duration) SlowClient {
	if timeout <= 0 {
		panic("signalr: Wait needs a positive timeout")
	}
	return SlowClient{wait: timeout}
}

// withDefaults fills in what was left out.
func (o HubOptions) withDefaults() HubOptions {
	setDefault(&o.HandshakeTimeout, 15*time.Second)
	setDefault(&o.KeepAliveInterval, 15*time.Second)
	setDefault(&o.ClientTimeoutInterval, 30*time.Second)
	setDefault(&o.DisconnectTimeout, 15*time.Second)
	setDefault(&o.SendTimeout, 10*time.Second)
	setDefault(&o.PollTimeout, 90*time.Second)
	setDefault(&o.CloseTimeout, 5*time.Second)
	setDefault(&o.MaximumReceiveMessageSize, 32768)
	setDefault(&o.StreamBufferCapacity, 10)
	setDefault(&o.MaximumParallelInvocationsPerClient, 1)
	setDefault(&o.StatefulReconnectBufferSize, 100000)
	setDefault(&o.QueueBytes, 1<<20)
	setDefault(&o.QueueMessages, 4096)
	setDefault(&o.JSONNames, CamelCase)
	setDefault(&o.MessagePackNames, AsDeclared)
	setDefault(&o.ShutdownWindow, 2*time.Second)
	setDefault(&o.Limits.PendingInvocations, 1024)
	setDefault(&o.Limits.PendingBytes, 4<<20)
	setDefault(&o.Limits.Streams, 1024)
	setDefault(&o.Limits.GroupsPerConnection, 10_000)
	setDefault(&o.Limits.GroupNameBytes, 1024)
	setDefault(&o.Limits.HalfOpen, 10_000)
	if o.Transports == nil {
		o.Transports = []Transport{WebSockets, ServerSentEvents, LongPolling}
	}
	if o.Protocols == nil {
		o.Protocols = []string{"json", "messagepack"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.UserID == nil {
		o.UserID = func(context.Context) string { return "" }
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate names the first option that cannot work. It is called on options
// that withDefaults has filled in.
func (o HubOptions) validate() error {
	positive := []struct {
		name  string
		value int64
	}{
		{"HandshakeTimeout", int64(o.HandshakeTimeout)},
		{"KeepAliveInterval", int64(o.KeepAliveInterval)},
		{"ClientTimeoutInterval", int64(o.ClientTimeoutInterval)},
		{"DisconnectTimeout", int64(o.DisconnectTimeout)},
		{"SendTimeout", int64(o.SendTimeout)},
		{"PollTimeout", int64(o.PollTimeout)},
		{"CloseTimeout", int64(o.CloseTimeout)},
		{"StreamBufferCapacity", int64(o.StreamBufferCapacity)},
		{"MaximumParallelInvocationsPerClient", int64(o.MaximumParallelInvocationsPerClient)},
		{"StatefulReconnectBufferSize", o.StatefulReconnectBufferSize},
		{"QueueBytes", int64(o.QueueBytes)},
		{"QueueMessages", int64(o.QueueMessages)},
		{"ShutdownWindow", int64(o.ShutdownWindow)},
	}
	for _, p := range positive {
		if p.value <= 0 {
			return fmt.Errorf("%s is %d, must be positive", p.name, p.value)
		}
	}
	if v := o.MinimumNegotiateVersion; v < 0 || v > 1 {
		return fmt.Errorf("MinimumNegotiateVersion is %d, must be 0 or 1", v)
	}
	if o.AuthenticationRefresh && o.AuthenticationExpires == nil {
		return fmt.Errorf("AuthenticationRefresh needs AuthenticationExpires")
	}
	if o.MaximumReceiveMessageSize < -1 {
		return fmt.Errorf("MaximumReceiveMessageSize is %d, must be positive, or -1 for no limit", o.MaximumReceiveMessageSize)
	}
	if len(o.Transports) == 0 {
		return fmt.Errorf("Transports is empty, must name at least one") //nolint:staticcheck // the name of the option
	}
	for _, t := range o.Transports {
		if t != WebSockets && t != ServerSentEvents && t != LongPolling {
			return fmt.Errorf("Transports has %d, must be WebSockets, ServerSentEvents or LongPolling", t) //nolint:staticcheck // the name of the option
		}
	}
	if len(o.Protocols) == 0 {
		return fmt.Errorf("Protocols is empty, must name at least one")
	}
	for _, p := range o.Protocols {
		if protocolIndex(p) < 0 {
			return fmt.Errorf("Protocols has %q, must be \"json\" or \"messagepack\"", p)
		}
	}
	return nil
}

// protocolNames are the hub protocols of this library; connections and messages
// refer to them by index.
var protocolNames = [...]string{"json", "messagepack"}

// defaultProtocols write the messages that have no payload.
var defaultProtocols = [len(protocolNames)]wire.Protocol{wire.JSON, wire.MessagePack}

// codecs are the protocols with the options of a hub.
func (o HubOptions) codecs() [len(protocolNames)]wire.Protocol {
	return [...]wire.Protocol{wire.JSON, wire.MessagePackProtocol{TimeAsString: o.MessagePackTimes == ISOString}}
}

// casing is how field names are written in protocol i.
func (o HubOptions) casing(i int) wire.Casing {
	names := o.JSONNames
	if i == 1 {
		names = o.MessagePackNames
	}
	if names == AsDeclared {
		return wire.AsDeclared
	}
	return wire.CamelCase
}

// protocolIndex finds a protocol by its name, in any case, or returns -1.
func protocolIndex(name string) int {
	return slices.IndexFunc(protocolNames[:], func(p string) bool { return strings.EqualFold(p, name) })
}
