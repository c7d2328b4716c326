package transport

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
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
	// MinNegotiateVersion refuses negotiations of a lower version. Default 0.
	MinNegotiateVersion int
	// AllowStateful says whether a negotiation that asks for stateful
	// reconnect gets it. Default: never.
	AllowStateful func(*http.Request) bool
	// UserID names the user of a request by its context. A later request of a
	// connection by another user than the one that opened it is refused with
	// 403. Default: everybody is "".
	UserID func(context.Context) string
	// Lifetime is how long the credential of a request still lasts; ends is
	// false for one without an end. Setting it turns authentication refresh on:
	// negotiation tells the lifetime, POST P/refresh takes a new credential.
	// Default: off, there is no such route.
	Lifetime func(context.Context) (left time.Duration, ends bool)
	// Renewed is called with the context of a later request of a connection
	// whose credential counts from now on: a poll, a re-attached socket, a
	// refresh. It must not block. May be nil.
	Renewed func(Application, context.Context)
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

func (o EndpointOptions) withDefaults() EndpointOptions {
	if o.Accept == nil {
		panic("transport: EndpointOptions.Accept is required")
	}
	if o.Transports == nil {
		o.Transports = []Kind{WebSockets, ServerSentEvents, LongPolling}
	}
	if o.AllowStateful == nil {
		o.AllowStateful = func(*http.Request) bool { return false }
	}
	if o.UserID == nil {
		o.UserID = func(context.Context) string { return "" }
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.DisconnectTimeout, 15 * time.Second},
		{&o.SendTimeout, 10 * time.Second},
		{&o.PollTimeout, 90 * time.Second},
		{&o.CloseTimeout, 5 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.MaxPending == 0 {
		o.MaxPending = 10_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Errors that Application.Ended gets from a server's transport.
var (
	// ErrLost: the socket ended without a close handshake. (The reference
	// counts that as a regular end.)
	ErrLost = errors.New("transport: the connection was lost")
	// ErrSendTimeout: the peer did not take a write within SendTimeout.
	ErrSendTimeout = errors.New("transport: the peer does not read")
	// ErrExpired: nobody attached a transport within DisconnectTimeout. (The
	// reference counts that as a regular end.)
	ErrExpired = errors.New("transport: the client did not come back")
	// ErrShutdown: the endpoint is closing down.
	ErrShutdown = errors.New("transport: the server is shutting down")
)

// Endpoint serves one hub path P, P/ and what is below: an http.Handler. Mount
// it at P and at P/. Safe for concurrent use.
type Endpoint struct {
	opts EndpointOptions

	// mu is a leaf: nothing else is locked while it is held.
	mu       sync.Mutex
	sessions map[string]*session   // by token
	live     map[*session]struct{} // all that are not over
	parked   map[*session]bool     // without a transport; true: never had one
	pending  int                   // how many of these are true
	sweeping bool                  // a sweep is scheduled
	draining bool
	empty    chan struct{} // closed when no session is left; nil before Shutdown
}

// NewEndpoint returns an endpoint without connections. It panics if Accept is
// missing.
func NewEndpoint(opts EndpointOptions) *Endpoint {
	return &Endpoint{
		opts:     opts.withDefaults(),
		sessions: make(map[string]*session),
		live:     make(map[*session]struct{}),
		parked:   make(map[*session]bool),
	}
}

// ServeHTTP serves negotiation, the transports, POST and DELETE. It returns
// from a WebSocket request when the socket is up.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route := routeOf(r)
	switch {
	case route == routeNone:
		w.WriteHeader(http.StatusNotFound)
	case route == routeRefresh && e.opts.Lifetime == nil:
		w.WriteHeader(http.StatusNotFound)
	case route == routeNegotiate && r.Method == http.MethodPost:
		e.negotiate(w, r)
	case route == routeRefresh && r.Method == http.MethodPost:
		e.refresh(w, r)
	case route == routeHub && r.Method == http.MethodGet:
		e.attach(w, r)
	case route == routeHub && r.Method == http.MethodPost:
		e.post(w, r)
	case route == routeHub && r.Method == http.MethodDelete:
		e.delete(w, r)
	default:
		refuse(w, http.StatusMethodNotAllowed, "")
	}
}

// refuse answers with a status and a text, as plain text.
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	if text != "" {
		_, _ = w.Write([]byte(text)) // a client that is gone needs no answer
	}
}

type route int

const (
	routeNone route = iota
	routeHub
	routeNegotiate
	routeRefresh
)

// routeOf tells which route a request is for, by the end of its path: without
// case, with or without a slash at the end. What precedes is the business of
// the mux, which may lead here in any way. Below negotiate there is nothing.
func routeOf(r *http.Request) route {
	path := strings.TrimSuffix(strings.ToLower(r.URL.Path), "/")
	switch {
	case strings.HasSuffix(path, "/negotiate"):
		return routeNegotiate
	case strings.HasSuffix(path, "/refresh"):
		return routeRefresh
	case strings.Contains(path, "/negotiate/"), strings.Contains(path, "/refresh/"):
		return routeNone
	}
	return routeHub
}

// queryValue returns the value of a query parameter whose name is matched
// without case; several values are joined by commas, as ASP.NET Core does.
func queryValue(r *http.Request, name string) (value string, present bool) {
	var all []string
	for key, values := range r.URL.Query() {
		if strings.EqualFold(key, name) {
			all = append(all, values...)
		}
	}
	return strings.Join(all, ","), all != nil
}

// find returns the session that a request names. It has answered if it returns
// nil.
func (e *Endpoint) find(w http.ResponseWriter, r *http.Request) *session {
	token, _ := queryValue(r, "id")
	if token == "" {
		refuse(w, http.StatusBadRequest, "Connection ID required")
		return nil
	}
	e.mu.Lock()
	s := e.sessions[token]
	e.mu.Unlock()
	if s == nil {
		if isWebSocket(r) {
			w.Header()["Content-Type"] = nil // the one refusal without a type
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(noSuchConnection))
			return nil
		}
		refuse(w, http.StatusNotFound, noSuchConnection)
		return nil
	}
	if e.opts.UserID(r.Context()) != s.user {
		refuse(w, http.StatusForbidden, "")
		return nil
	}
	return s
}

const noSuchConnection = "No Connection with that ID"

// attach serves GET: a transport for a connection, or the next poll.
func (e *Endpoint) attach(w http.ResponseWriter, r *http.Request) {
	kind := LongPolling
	switch {
	case wantsEvents(r):
		kind = ServerSentEvents
	case isWebSocket(r):
		kind = WebSockets
	default:
		h := w.Header()
		h.Set("Cache-Control", "no-cache, no-store")
		h.Set("Pragma", "no-cache")
		h.Set("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
	}
	var s *session
	if id, _ := queryValue(r, "id"); kind != WebSockets || id != "" {
		if s = e.find(w, r); s == nil {
			return
		}
	}
	if !slices.Contains(e.opts.Transports, kind) {
		refuse(w, http.StatusNotFound, kind.String()+" transport not supported by this end point type")
		return
	}
	if s == nil { // without negotiation
		if s = e.open(r, 0, false); s == nil {
			e.busy(w)
			return
		}
	}
	switch kind {
	case WebSockets:
		s.serveWebSocket(w, r)
	case ServerSentEvents:
		s.serveEvents(w, r)
	case LongPolling:
		s.servePoll(w, r)
	}
}

// wantsEvents reports whether the Accept header names text/event-stream,
// without parameters, also among others.
func wantsEvents(r *http.Request) bool {
	return hasToken(r.Header["Accept"], "text/event-stream")
}

// hasToken reports whether a header field with a list as value holds token,
// without case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// busy refuses a new connection for now.
func (e *Endpoint) busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	refuse(w, http.StatusServiceUnavailable, "")
}
