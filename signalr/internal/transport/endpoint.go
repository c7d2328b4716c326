package transport

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// EndpointOptions are the settings of an Endpoint. A zero field is its default.
type EndpointOptions struct {
	// Accept is called when a transport attaches to a connection for the first
	// time; it returns the application of the session. An error refuses the
	// request with 503. Required. The session may be used at once.
	Accept func(Session) (Application, error)
	// Transports are offered in this order. Default: WebSockets,
	// ServerSentEvents, LongPolling.
	Transports []Kind
	// AllowStateful says whether a negotiation that asks for stateful
	// reconnect gets it. Default: never.
	AllowStateful func(*http.Request) bool
	// UserID names the user of a request by its context. A later request of a
	// connection by another user than the one that opened it is refused with
	// 403. Default: everybody is "".
	UserID func(context.Context) string
	// DisconnectTimeout is how long a connection may be without a transport:
	// after negotiation, between two polls, after a lost socket. Checked each
	// second. Default 15 s.
	DisconnectTimeout time.Duration
	// SendTimeout is how long one write may take. Default 10 s.
	SendTimeout time.Duration
	// PollTimeout is how long a poll waits for data. Default 90 s; clients
	// give up after 100 s.
	PollTimeout time.Duration
	// CloseTimeout is how long a WebSocket waits for the answer to its close
	// frame, and a re-attached one for its first message. Default 5 s.
	CloseTimeout time.Duration
	// MaxPending limits the connections that are negotiated and have no
	// transport yet; one more gets 503. Default 10,000.
	MaxPending int
	// Logger gets what goes wrong below the application. Default: nowhere.
	Logger *slog.Logger
}

// Endpoint serves one hub path P, P/ and what is below: an http.Handler. Mount
// it at P and at P/.
type Endpoint struct {
	opts EndpointOptions
}

// NewEndpoint returns an endpoint without connections. It panics if Accept is
// missing.
func NewEndpoint(opts EndpointOptions) *Endpoint {
	if opts.Accept == nil {
		panic("transport: EndpointOptions.Accept is required")
	}
	return &Endpoint{opts: opts}
}

// ServeHTTP serves negotiation, the transports, POST and DELETE.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "not built yet", http.StatusNotImplemented)
}

// Drain refuses new connections from now on, with 503; those that exist go on.
func (e *Endpoint) Drain() {}

// Shutdown drains, closes every session (Session.Close) and waits until all
// have ended. When ctx ends first the rest is aborted and ctx's error returned.
func (e *Endpoint) Shutdown(ctx context.Context) error { return nil }
