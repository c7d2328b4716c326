package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DialOptions say how a client reaches a hub. A zero field is its default.
type DialOptions struct {
	// URL of the hub: http, https, ws or wss; its query is kept on all
	// requests. Required.
	URL string
	// Header goes with every request.
	Header http.Header
	// Token is called before every request, of which several may be made at
	// once; what it returns goes along as bearer token, "" as none. nil: none.
	Token func(context.Context) (string, error)
	// HTTPClient makes the requests. Default http.DefaultClient. Its Timeout
	// counts for negotiation and for POST, not for what lasts.
	HTTPClient *http.Client
	// Transports that the client is ready to use; the order is the server's.
	// Default: all three.
	Transports []Kind
	// SkipNegotiation goes straight to a WebSocket, which must then be the
	// only transport.
	SkipNegotiation bool
	// Stateful asks for stateful reconnect, which needs a negotiation and a
	// WebSocket.
	Stateful bool
	// Binary: the hub protocol needs a transport for any bytes.
	Binary bool
	// SendTimeout is how long one write or POST may take. Default 10 s.
	SendTimeout time.Duration
	// CloseTimeout is how long a polite end may take. Default 5 s.
	CloseTimeout time.Duration
	// PollTimeout is how long the answer to a poll may take until another poll
	// is sent; servers answer within 90 s. Default 100 s.
	PollTimeout time.Duration
}

// Errors of Dial; test with errors.Is.
var (
	ErrNoTransport  = errors.New("none of the transports supported by the client are supported by the server")
	ErrRedirects    = errors.New("negotiate redirection limit exceeded")
	errUnasked      = errors.New("client didn't negotiate stateful reconnect but the server did")
	errSkipWithMore = errors.New("negotiation can only be skipped when using the WebSocket transport directly")
)

// StatusError is an answer to a request that has no good status.
type StatusError struct {
	Op     string // negotiate, send, poll, refresh, ...
	Status int
	Text   string // the server's word for it, "" if it has none
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("unexpected status code %d returned from %s", e.Status, e.Op)
	if e.Status == http.StatusNotFound && e.Op == "negotiate" {
		text += ": either this is not a SignalR endpoint or there is a proxy blocking the connection"
	}
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// maxRedirects is how often negotiation may be sent elsewhere.
const maxRedirects = 100

// maxNegotiation is how long an answer to negotiate may be, in bytes.
const maxNegotiation = 1 << 20

// Dial connects: it negotiates, tries the server's transports in its order,
// with a fresh negotiation for each, and gives the session of the first one
// that works to accept, whose Application it then serves. ctx bounds the
// connecting, not the connection. The session ends with Session.Close or Abort,
// or by the server; Application.Ended tells.
func Dial(ctx context.Context, o DialOptions, accept func(Session) (Application, error)) error {
	d, err := newDialer(o)
	if err != nil {
		return err
	}
	if o.SkipNegotiation {
		if !slices.Equal(d.o.Transports, []Kind{WebSockets}) {
			return errSkipWithMore
		}
		return d.connect(ctx, WebSockets, accept)
	}
	n, err := d.negotiate(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, offer := range n.AvailableTransports {
		kind := kindOf(offer.Transport)
		if !slices.Contains(d.o.Transports, kind) || !slices.Contains(offer.TransferFormats, d.format()) {
			continue
		}
		if len(failed) > 0 {
			if n, err = d.negotiate(ctx); err != nil {
				return err
			}
		}
		d.adopt(n)
		if err = d.connect(ctx, kind, accept); err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("%v failed: %w", kind, err))
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 0 {
		return ErrNoTransport
	}
	return fmt.Errorf("unable to connect to the server with any of the available transports: %w", errors.Join(failed...))
}

func kindOf(name string) Kind {
	for _, kind := range []Kind{WebSockets, ServerSentEvents, LongPolling} {
		if kind.String() == name {
			return kind
		}
	}
	return 0
}

// dialer is one attempt of a client to connect, and then the requests of the
// connection.
type dialer struct {
	o       DialOptions
	client  *http.Client // for what is short
	lasting *http.Client // without a timeout
	base    *url.URL     // of the hub, after redirects
	url     string       // with the token of the connection
	id      string       // public

	// What negotiation gave.
	token    string // secret, of the connection; "" if negotiation was skipped
	stateful bool   // stateful reconnect is agreed upon
	lifetime *int64 // of the credential, seconds; nil: unknown
}

func newDialer(o DialOptions) (*dialer, error) {
	if o.HTTPClient == nil {
		o.HTTPClient = http.DefaultClient
	}
	if o.Transports == nil {
		o.Transports = []Kind{WebSockets, ServerSentEvents, LongPolling}
	}
	if o.SendTimeout == 0 {
		o.SendTimeout = 10 * time.Second
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 5 * time.Second
	}
	if o.PollTimeout == 0 {
		o.PollTimeout = 100 * time.Second
	}
	base, err := hubURL(o.URL)
	if err != nil {
		return nil, err
	}
	lasting := *o.HTTPClient
	lasting.Timeout = 0
	return &dialer{o: o, client: o.HTTPClient, lasting: &lasting, base: base, url: base.String()}, nil
}

func hubURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("the hub's URL %q needs a scheme: http, https, ws or wss", u.Redacted())
	}
	u.Fragment = ""
	return u, nil
}

func (d *dialer) format() string {
	if d.o.Binary {
		return "Binary"
	}
	return "Text"
}

// negotiation is the server's answer to negotiate.
type negotiation struct {
	Error            string
	ProtocolVersion  string // of the old ASP.NET SignalR
	URL              string
	AccessToken      string
	NegotiateVersion int
	ConnectionID     string
	ConnectionToken  string
	// UseStatefulReconnect answers the question for it.
	UseStatefulReconnect bool
	TokenLifetimeSeconds *int64 // .NET 11
	AvailableTransports  []struct {
		Transport       string
		TransferFormats []string
	}
}

// negotiate asks for a connection, wherever the server sends the client.
func (d *dialer) negotiate(ctx context.Context) (*negotiation, error) {
	for range maxRedirects {
		n, err := d.negotiateOnce(ctx)
		if err != nil {
			return nil, err
		}
		if n.URL == "" {
			return n, nil
		}
		next, err := d.base.Parse(n.URL)
		if err != nil {
			return nil, fmt.Errorf("negotiation sends to a bad address: %w", err)
		}
		if d.base, err = hubURL(next.String()); err != nil {
			return nil, err
		}
		if token := n.AccessToken; token != "" {
			d.o.Token = func(context.Context) (string, error) { return token, nil }
		}
	}
	return nil, ErrRedirects
}

func (d *dialer) negotiateOnce(ctx context.Context) (*negotiation, error) {
	u := d.below("negotiate")
	if !u.Query().Has("negotiateVersion") {
		u.RawQuery = join(u.RawQuery, "negotiateVersion=1")
	}
	if d.o.Stateful {
		u.RawQuery = join(u.RawQuery, "useStatefulReconnect=true")
	}
	resp, err := d.do(ctx, d.client, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("failed to complete negotiation with the server: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxNegotiation))
	if err != nil {
		return nil, fmt.Errorf("failed to complete negotiation with the server: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, &StatusError{Op: "negotiate", Status: resp.StatusCode}
	}
	n, err := parseNegotiation(body)
	if err == nil && n.UseStatefulReconnect && !d.o.Stateful {
		return nil, errUnasked
	}
	return n, err
}

// below is the address of what stands one step below the hub. A path that is
// escaped in a way of its own stays so.
func (d *dialer) below(name string) *url.URL {
	u := *d.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + name
	if u.RawPath != "" {
		u.RawPath = strings.TrimSuffix(u.RawPath, "/") + "/" + name
	}
	return &u
}

func parseNegotiation(body []byte) (*negotiation, error) {
	var n negotiation
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, fmt.Errorf("the answer to negotiate is not what a SignalR server says: %w", err)
	}
	switch {
	case n.Error != "":
		return nil, errors.New(n.Error)
	case n.ProtocolVersion != "":
		return nil, errors.New("the server is one of ASP.NET SignalR, not of ASP.NET Core SignalR")
	case n.URL == "" && n.ConnectionID == "":
		return nil, errors.New("the answer to negotiate has no connection id")
	}
	return &n, nil
}

// adopt takes the connection that was negotiated.
func (d *dialer) adopt(n *negotiation) {
	token := n.ConnectionID
	if n.NegotiateVersion > 0 && n.ConnectionToken != "" {
		token = n.ConnectionToken
	}
	u := *d.base
	u.RawQuery = join(u.RawQuery, "id="+url.QueryEscape(token))
	d.url, d.id = u.String(), n.ConnectionID
	d.token, d.stateful, d.lifetime = token, n.UseStatefulReconnect, n.TokenLifetimeSeconds
}

// join joins two queries.
func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "&" + b
}

// header makes the header of a request.
func (d *dialer) header(ctx context.Context) (http.Header, error) {
	h := d.o.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set("X-Requested-With", "XMLHttpRequest")
	if d.o.Token != nil {
		token, err := d.o.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("the access token: %w", err)
		}
		if token != "" {
			h.Set("Authorization", "Bearer "+token)
		}
	}
	return h, nil
}

// do makes a request. The caller closes the body.
func (d *dialer) do(ctx context.Context, client *http.Client, method, url string, body io.Reader, fields ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if req.Header, err = d.header(ctx); err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := client.Do(req)
	return resp, hideQuery(err)
}

// hideQuery keeps the connection's token out of error texts. What wraps the
// error of the request is left out, since its text is made already.
func hideQuery(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		ue.URL, _, _ = strings.Cut(ue.URL, "?")
		return ue
	}
	return err
}

func (d *dialer) connect(ctx context.Context, kind Kind, accept func(Session) (Application, error)) error {
	switch kind {
	case WebSockets:
		return d.dialWebSocket(ctx, accept)
	case ServerSentEvents:
		return d.dialEvents(ctx, accept)
	}
	return d.dialPolling(ctx, accept)
}

// post sends bytes of a connection that cannot send by itself.
func (d *dialer) post(ctx context.Context, p []byte) error {
	ctx, cancel := context.WithTimeout(ctx, d.o.SendTimeout)
	defer cancel()
	contentType := "text/plain;charset=UTF-8"
	if d.o.Binary {
		contentType = "application/octet-stream"
	}
	resp, err := d.do(ctx, d.client, http.MethodPost, d.url, strings.NewReader(string(p)), "Content-Type", contentType)
	if err != nil {
		return err
	}
	drain(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &StatusError{Op: "send", Status: resp.StatusCode}
	}
	return nil
}

// drain reads a short body, so that its connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // what is left of it does not matter
	_ = resp.Body.Close()
}
