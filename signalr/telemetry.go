package signalr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

// scopeName names the library in metrics and traces.
const scopeName = "github.com/knnlabs/conduit/signalr"

// telemetry is what a hub measures, by the semantic conventions of
// OpenTelemetry for SignalR. Its zero value measures nothing.
type telemetry struct {
	duration metric.Float64Histogram    // nil: off
	active   metric.Int64UpDownCounter  // nil: off
	byKind   map[transport.Kind]measure // ready made, so that counting allocates nothing
	tracer   trace.Tracer               // nil: off
}

// measure is the attributes of one transport.
type measure struct {
	active   metric.MeasurementOption
	duration map[string]metric.MeasurementOption // by status
}

// How a connection ended, as signalr.connection.status tells it.
const (
	statusNormal   = "normal_closure"
	statusTimeout  = "timeout"
	statusShutdown = "app_shutdown"
)

// transportNames are the values of signalr.transport.
var transportNames = map[transport.Kind]string{
	transport.WebSockets:       "web_sockets",
	transport.ServerSentEvents: "server_sent_events",
	transport.LongPolling:      "long_polling",
	transport.Pipe:             "in_memory",
}

func newTelemetry(o HubOptions) (t telemetry, err error) {
	if o.TracerProvider != nil {
		t.tracer = o.TracerProvider.Tracer(scopeName)
	}
	if o.MeterProvider == nil {
		return t, nil
	}
	meter := o.MeterProvider.Meter(scopeName)
	t.duration, err = meter.Float64Histogram("signalr.server.connection.duration", metric.WithUnit("s"),
		metric.WithDescription("The duration of connections on the server."),
		metric.WithExplicitBucketBoundaries(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300))
	if err != nil {
		return t, fmt.Errorf("MeterProvider: %w", err)
	}
	t.active, err = meter.Int64UpDownCounter("signalr.server.active_connections", metric.WithUnit("{connection}"),
		metric.WithDescription("Number of connections that are currently active on the server."))
	if err != nil {
		return t, fmt.Errorf("MeterProvider: %w", err)
	}
	t.byKind = make(map[transport.Kind]measure)
	for kind, name := range transportNames {
		by := attribute.String("signalr.transport", name)
		m := measure{active: metric.WithAttributeSet(attribute.NewSet(by)), duration: make(map[string]metric.MeasurementOption)}
		for _, status := range []string{statusNormal, statusTimeout, statusShutdown} {
			m.duration[status] = metric.WithAttributeSet(attribute.NewSet(by, attribute.String("signalr.connection.status", status)))
		}
		t.byKind[kind] = m
	}
	return t, nil
}

// began counts a connection whose transport is attached.
func (t *telemetry) began(c *Conn) {
	if t.active == nil {
		return
	}
	c.began = time.Now()
	t.active.Add(c.ctx, 1, t.byKind[c.session.Kind()].active)
}

// ended counts a connection whose transport has ended because of cause.
func (t *telemetry) ended(c *Conn, cause error, shutdown bool) {
	if t.active == nil {
		return
	}
	status := statusNormal
	switch {
	case errors.Is(cause, ErrClientTimeout), errors.Is(cause, transport.ErrSendTimeout), c.expired:
		status = statusTimeout
	case shutdown && (cause == nil || errors.Is(cause, ErrHubClosed) || errors.Is(cause, transport.ErrShutdown)):
		status = statusShutdown
	}
	m := t.byKind[c.session.Kind()]
	t.active.Add(c.ctx, -1, m.active)
	t.duration.Record(c.ctx, time.Since(c.began).Seconds(), m.duration[status])
}

// traceHeaders reads and writes traceparent and tracestate.
var traceHeaders propagation.TraceContext

// continueTrace makes the trace that the headers of a message name that of the
// invocation.
func (inv *invocation) continueTrace(headers map[string]string) {
	if len(headers) > 0 {
		inv.Context = traceHeaders.Extract(trace.ContextWithSpanContext(inv.Context, trace.SpanContext{}), propagation.MapCarrier(headers))
		inv.traced = trace.SpanContextFromContext(inv.Context).IsValid()
	}
}

// startSpan starts the span of an invocation. Without a trace in the headers it
// is the first of a new one: that of the request which opened the connection is
// long over. Both are linked.
func (t *telemetry) startSpan(inv *invocation) trace.Span {
	opts := make([]trace.SpanStartOption, 0, 4)
	opts = append(opts, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("rpc.system", "signalr"),
		attribute.String("rpc.service", inv.conn.hub.name),
		attribute.String("rpc.method", inv.method.name),
	))
	if opened := trace.SpanContextFromContext(inv.conn.ctx); opened.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: opened}))
	}
	if !inv.traced {
		opts = append(opts, trace.WithNewRoot())
	}
	ctx, span := t.tracer.Start(inv.Context, inv.conn.hub.name+"/"+inv.method.name, opts...)
	inv.Context = ctx
	return span
}

// failSpan says in a span what went wrong: the type of the error, never its
// text, which may hold what clients sent.
func failSpan(span trace.Span, err error) {
	name, _ := errorName(err)
	if p := (*panicError)(nil); errors.As(err, &p) {
		name = "panic"
	}
	span.SetStatus(codes.Error, "")
	span.SetAttributes(attribute.String("error.type", name))
}

// startSpan starts the span of a client's call; end ends it. Without a tracer
// nothing happens.
func (c *Client) startSpan(ctx context.Context, method string) (_ context.Context, end func(error)) {
	if c.opts.TracerProvider == nil {
		return ctx, func(error) {}
	}
	ctx, span := c.opts.TracerProvider.Tracer(scopeName).Start(ctx, method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("rpc.system", "signalr"), attribute.String("rpc.method", method)))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String("error.type", clientErrorName(err)))
		}
		span.End()
	}
}

func clientErrorName(err error) string {
	if answered := (*CallError)(nil); errors.As(err, &answered) {
		return "CallError"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "cancelled"
	}
	return "_OTHER"
}

// traceHeaders are the headers of a message that continue the trace of ctx;
// nil without a tracer.
func (c *Client) traceHeaders(ctx context.Context) map[string]string {
	if c.opts.TracerProvider == nil {
		return nil
	}
	headers := make(map[string]string, 2)
	traceHeaders.Inject(ctx, propagation.MapCarrier(headers))
	return headers
}
