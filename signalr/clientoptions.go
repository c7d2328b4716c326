package signalr

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// ClientOptions are the settings of a Client. The zero value is the defaults of
// the official clients; automatic reconnect is off, as there.
type ClientOptions struct {
	// Token is called before every request, of which several may be made at
	// once; what it returns goes along as bearer token in the Authorization
	// header, "" as none. nil: none.
	Token func(ctx context.Context) (string, error)
	// Header goes with every request.
	Header http.Header
	// HTTPClient makes the requests, the WebSocket's included. Its Timeout
	// counts for short requests only. Default: one that keeps cookies, as those
	// of load balancers that send a client to the same server each time.
	HTTPClient *http.Client
	// Transports that may be used; the server's order counts. Default all.
	Transports []Transport
	// SkipNegotiation goes straight to a WebSocket. Transports must be just
	// WebSockets.
	SkipNegotiation bool
	// Protocol is the hub protocol, "json" or "messagepack". Default "json".
	Protocol string
	// Names chooses how struct fields without a json tag are named. Default:
	// CamelCase in JSON, AsDeclared in MessagePack.
	Names Names
	// MessagePackTimes chooses how time.Time travels in MessagePack. Default
	// TimestampExtension.
	MessagePackTimes Times
	// Reconnect is asked after the loss of an established connection, unless
	// the server has forbidden to come back, and after each failed attempt: how
	// long to wait before the next, false to give up. Use DefaultReconnect for
	// 0, 2, 10 and 30 s. nil: no automatic reconnect.
	Reconnect func(Retry) (wait time.Duration, again bool)
	// StatefulReconnect asks the server to keep the connection when its socket
	// is lost. A new one takes its place within 15 s: nothing is lost or comes
	// twice, calls and streams go on, no callback tells of it. Where the server
	// does not come along, or over another transport than WebSockets, nothing
	// changes; where it refuses the new socket, the connection is lost like any
	// other. Default false.
	StatefulReconnect bool
	// StatefulReconnectBufferSize is how many bytes the server may leave
	// unacknowledged, which it does for about a second; beyond that Send and
	// Invoke wait. Default 100000.
	StatefulReconnectBufferSize int64
	// RefreshBeforeExpiration is how long before the end of the credential
	// Token is asked for the next one, with which the connection lives on;
	// never before half of its life is over. Servers of .NET 11 say when it
	// ends. Default 1 min; negative: never, see Client.Refresh. Nothing happens
	// without Token, or where the server does not know of it.
	RefreshBeforeExpiration time.Duration
	// OnRefreshFailed tells that the credential could not be replaced in time;
	// the connection goes on as long as the server lets it. See OnClosed for
	// how it is called.
	OnRefreshFailed func(err error)
	// HandshakeTimeout is the time for the server's answer to the handshake.
	// Default 15 s.
	HandshakeTimeout time.Duration
	// ServerTimeout is the silence that the server may keep; it should be twice
	// the server's KeepAliveInterval. Not used on long polling. Default 30 s;
	// negative: for ever.
	ServerTimeout time.Duration
	// KeepAliveInterval is how long after the last message a ping is sent.
	// Not used on long polling. Default 15 s; negative: never.
	KeepAliveInterval time.Duration
	// QueueMessages limits the messages that wait for handlers and for readers
	// of streams; beyond that the connection ends with ErrSlowClient. Default
	// 65,536.
	QueueMessages int
	// OnReconnecting, OnReconnected and OnClosed tell of changes, one call at a
	// time, in order, on a goroutine of their own. OnReconnected is the place to
	// join groups anew: the connection is a new one, with a new id. The cause
	// given to OnClosed is nil after Stop, and where the server ended regularly.
	OnReconnecting func(cause error)
	OnReconnected  func(connectionID string)
	OnClosed       func(cause error)
	// TracerProvider turns traces on: a span for each call, which the hub's
	// continues, by traceparent in the headers of the message. nil: off.
	TracerProvider trace.TracerProvider
	// Logger gets what goes wrong below, never a token or payload. Default:
	// nowhere.
	Logger *slog.Logger
}

// withDefaults fills in what was left out.
func (o ClientOptions) withDefaults() ClientOptions {
	setDefault(&o.Protocol, "json")
	setDefault(&o.HandshakeTimeout, 15*time.Second)
	setDefault(&o.ServerTimeout, 30*time.Second)
	setDefault(&o.KeepAliveInterval, 15*time.Second)
	setDefault(&o.QueueMessages, 65_536)
	setDefault(&o.StatefulReconnectBufferSize, 100_000)
	setDefault(&o.RefreshBeforeExpiration, time.Minute)
	if o.HTTPClient == nil {
		jar, _ := cookiejar.New(nil) // never fails
		o.HTTPClient = &http.Client{Jar: jar}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate names the first option that cannot work. It is called on options
// that withDefaults has filled in.
func (o ClientOptions) validate() error {
	switch {
	case protocolIndex(o.Protocol) < 0:
		return fmt.Errorf("there is no protocol %q", o.Protocol)
	case o.HandshakeTimeout < 0:
		return fmt.Errorf("HandshakeTimeout is %v, must be positive", o.HandshakeTimeout)
	case o.QueueMessages < 0:
		return fmt.Errorf("QueueMessages is %d, must be positive", o.QueueMessages)
	case o.StatefulReconnectBufferSize < 0:
		return fmt.Errorf("StatefulReconnectBufferSize is %d, must be positive", o.StatefulReconnectBufferSize)
	}
	for _, t := range o.Transports {
		if t != WebSockets && t != ServerSentEvents && t != LongPolling {
			return fmt.Errorf("Transports has %d, must be WebSockets, ServerSentEvents or LongPolling", t) //nolint:staticcheck // the name of the option
		}
	}
	return nil
}

// Retry describes a lost connection to ClientOptions.Reconnect.
type Retry struct {
	Previous int           // attempts that have failed so far
	Elapsed  time.Duration // since the loss
	Cause    error         // of the loss, then of the last failed attempt
}

// DefaultReconnect is the policy of the official clients: attempts after 0, 2,
// 10 and 30 s, then no more.
func DefaultReconnect(r Retry) (wait time.Duration, again bool) {
	delays := [...]time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second}
	if r.Previous >= len(delays) {
		return 0, false
	}
	return delays[r.Previous], true
}
