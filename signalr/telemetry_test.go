package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

// meter keeps what is measured.
type meter struct {
	metricnoop.Meter
	mu   sync.Mutex
	seen []string
}

// meters gives out one meter.
type meters struct {
	metricnoop.MeterProvider
	m meter
}

func (p *meters) Meter(string, ...metric.MeterOption) metric.Meter { return &p.m }

func (m *meter) note(name string, value any, set attribute.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, fmt.Sprintf("%s %v %s", name, value, set.Encoded(attribute.DefaultEncoder())))
}

func (m *meter) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.seen
	m.seen = nil
	return seen
}

type counter struct {
	metricnoop.Int64UpDownCounter
	m    *meter
	name string
}

func (c counter) Add(_ context.Context, n int64, o ...metric.AddOption) {
	c.m.note(c.name, n, metric.NewAddConfig(o).Attributes())
}

type histogram struct {
	metricnoop.Float64Histogram
	m    *meter
	name string
}

func (h histogram) Record(_ context.Context, v float64, o ...metric.RecordOption) {
	h.m.note(h.name, v, metric.NewRecordConfig(o).Attributes())
}

func (m *meter) Int64UpDownCounter(name string, o ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	if unit := metric.NewInt64UpDownCounterConfig(o...).Unit(); unit != "{connection}" {
		return nil, fmt.Errorf("unit %q", unit)
	}
	return counter{m: m, name: name}, nil
}

func (m *meter) Float64Histogram(name string, o ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	if unit := metric.NewFloat64HistogramConfig(o...).Unit(); unit != "s" {
		return nil, fmt.Errorf("unit %q", unit)
	}
	return histogram{m: m, name: name}, nil
}

func TestMetrics(t *testing.T) {
	tests := []struct {
		name, status string
		wait         time.Duration
		end          func(*testing.T, *Hub, *peer)
	}{
		{"client closes", "normal_closure", 0, func(_ *testing.T, _ *Hub, p *peer) { p.send(`{"type":7}`) }},
		{"connection lost", "normal_closure", 3 * time.Second, func(_ *testing.T, _ *Hub, p *peer) { p.session.Abort(nil) }},
		{"silence", "timeout", 30 * time.Second, func(_ *testing.T, _ *Hub, p *peer) { p.send(`{"type":6}`) }},
		{"nobody came back", "timeout", 0, func(_ *testing.T, h *Hub, _ *peer) { h.Connection("c1").session.Abort(transport.ErrExpired) }},
		{"peer does not read", "timeout", 0, func(_ *testing.T, h *Hub, _ *peer) { h.Connection("c1").session.Abort(transport.ErrSendTimeout) }},
		{"shutdown", "app_shutdown", 0, func(t *testing.T, h *Hub, _ *peer) { shutdown(t, h) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all meters
				m := &all.m
				h := NewHub("test", HubOptions{MeterProvider: &all, KeepAliveInterval: time.Hour})
				p := connect(t, h, "c1")
				if got, want := m.take(), []string{"signalr.server.active_connections 1 signalr.transport=in_memory"}; !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				start := time.Now()
				if test.status == "normal_closure" {
					time.Sleep(test.wait)
				}
				test.end(t, h, p)
				for p.next() != "" {
				}
				synctest.Wait()
				want := []string{
					"signalr.server.active_connections -1 signalr.transport=in_memory",
					fmt.Sprintf("signalr.server.connection.duration %v signalr.connection.status=%s,signalr.transport=in_memory", time.Since(start).Seconds(), test.status),
				}
				if got := m.take(); !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
				if d := time.Since(start); d < test.wait {
					t.Errorf("ended after %v", d)
				}
				shutdown(t, h)
			})
		})
	}
}

// tracer keeps the spans that have ended.
type tracer struct {
	tracenoop.Tracer
	mu    sync.Mutex
	ended []*span
	ids   byte
}

// tracers gives out one tracer.
type tracers struct {
	tracenoop.TracerProvider
	r tracer
}

func (p *tracers) Tracer(string, ...trace.TracerOption) trace.Tracer { return &p.r }

func (r *tracer) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(o...)
	parent := trace.SpanContextFromContext(ctx)
	if config.NewRoot() {
		parent = trace.SpanContext{}
	}
	r.mu.Lock()
	r.ids++
	own := trace.SpanContextConfig{TraceID: parent.TraceID(), SpanID: trace.SpanID{r.ids}, TraceFlags: trace.FlagsSampled}
	if !parent.IsValid() {
		own.TraceID = trace.TraceID{0xff, r.ids}
	}
	r.mu.Unlock()
	s := &span{tracer: r, name: name, config: config, parent: parent, own: trace.NewSpanContext(own), attrs: config.Attributes()}
	return trace.ContextWithSpan(ctx, s), s
}

func (r *tracer) take() []*span {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := r.ended
	r.ended = nil
	return ended
}

type span struct {
	tracenoop.Span
	tracer *tracer
	name   string
	config trace.SpanConfig
	parent trace.SpanContext
	own    trace.SpanContext
	attrs  []attribute.KeyValue
	status codes.Code
}

func (s *span) SpanContext() trace.SpanContext         { return s.own }
func (s *span) SetStatus(c codes.Code, _ string)       { s.status = c }
func (s *span) SetAttributes(kv ...attribute.KeyValue) { s.attrs = append(s.attrs, kv...) }
func (s *span) IsRecording() bool                      { return true }
func (s *span) End(...trace.SpanEndOption) {
	s.tracer.mu.Lock()
	defer s.tracer.mu.Unlock()
	s.tracer.ended = append(s.tracer.ended, s)
}

func (s *span) describe() string {
	set := attribute.NewSet(s.attrs...)
	return fmt.Sprintf("%s %v %v %s", s.name, s.config.SpanKind(), s.status, set.Encoded(attribute.DefaultEncoder()))
}

func TestSpans(t *testing.T) {
	const headers = `"headers":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`
	tests := []struct {
		name, message, span string
		answers             int
		traced              bool
	}{
		{"invocation", `{"type":1,"invocationId":"1","target":"ok","arguments":[]}`,
			"test/Ok server Unset rpc.method=Ok,rpc.service=test,rpc.system=signalr", 1, false},
		{"continues a trace", `{"type":1,` + headers + `,"invocationId":"1","target":"Ok","arguments":[]}`,
			"test/Ok server Unset rpc.method=Ok,rpc.service=test,rpc.system=signalr", 1, true},
		{"not blocking", `{"type":1,` + headers + `,"target":"Ok","arguments":[]}`,
			"test/Ok server Unset rpc.method=Ok,rpc.service=test,rpc.system=signalr", 0, true},
		{"headers that are no trace", `{"type":1,"headers":{"traceparent":"00-xyz","a":"b"},"invocationId":"1","target":"Ok","arguments":[]}`,
			"test/Ok server Unset rpc.method=Ok,rpc.service=test,rpc.system=signalr", 1, false},
		{"stream", `{"type":4,` + headers + `,"invocationId":"1","target":"Count","arguments":[]}`,
			"test/Count server Unset rpc.method=Count,rpc.service=test,rpc.system=signalr", 2, true},
		{"stream fails", `{"type":4,"invocationId":"1","target":"Fail","arguments":[]}`,
			"test/Fail server Error error.type=InvalidOperationException,rpc.method=Fail,rpc.service=test,rpc.system=signalr", 1, false},
		{"error for the caller", `{"type":1,"invocationId":"1","target":"Refuse","arguments":[]}`,
			"test/Refuse server Error error.type=HubException,rpc.method=Refuse,rpc.service=test,rpc.system=signalr", 1, false},
		{"panic", `{"type":1,"invocationId":"1","target":"Panic","arguments":[]}`,
			"test/Panic server Error error.type=panic,rpc.method=Panic,rpc.service=test,rpc.system=signalr", 1, false},
		{"arguments that do not fit", `{"type":1,"invocationId":"1","target":"Ok","arguments":[1]}`,
			"test/Ok server Error error.type=InvalidDataException,rpc.method=Ok,rpc.service=test,rpc.system=signalr", 1, false},
		{"unknown method", `{"type":1,"invocationId":"1","target":"Nothing","arguments":[]}`, "", 1, false},
	}
	opened := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all tracers
				r := &all.r
				var inside trace.SpanContext
				h := NewHub("test", HubOptions{TracerProvider: &all, KeepAliveInterval: time.Hour})
				Handle(h, "Ok", func(ctx context.Context) { inside = trace.SpanContextFromContext(ctx) })
				Handle(h, "Count", func(ctx context.Context) iter.Seq2[int, error] {
					inside = trace.SpanContextFromContext(ctx)
					return func(yield func(int, error) bool) { yield(1, nil) }
				})
				Handle(h, "Fail", func() iter.Seq2[int, error] {
					return func(yield func(int, error) bool) {
						yield(0, WithType(errors.New("x"), "InvalidOperationException"))
					}
				})
				Handle(h, "Refuse", func() error { return Errorf("no") })
				Handle(h, "Panic", func() { panic("x") })
				ctx := trace.ContextWithSpanContext(context.Background(), opened)
				p := connectAs(t, h, "c1", ctx, `{"protocol":"json","version":1}`)
				p.send(test.message)
				for range test.answers {
					p.next()
				}
				synctest.Wait()
				defer shutdown(t, h)
				spans := r.take()
				if test.span == "" {
					if len(spans) > 0 {
						t.Errorf("%d spans, want none", len(spans))
					}
					return
				}
				if len(spans) != 1 {
					t.Fatalf("%d spans", len(spans))
				}
				s := spans[0]
				if got := s.describe(); got != test.span {
					t.Errorf("got  %s\nwant %s", got, test.span)
				}
				if inside.IsValid() && inside.SpanID() != s.own.SpanID() {
					t.Error("the method's context does not have the span")
				}
				if links := s.config.Links(); len(links) != 1 || links[0].SpanContext.TraceID() != opened.TraceID() {
					t.Errorf("links %v, want that of the request", links)
				}
				want := trace.TraceID{}
				if test.traced {
					want, _ = trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c")
				}
				if got := s.parent.TraceID(); got != want {
					t.Errorf("parent %s, want %s", got, want)
				}
			})
		})
	}
}

// TestSpansOfTheClient has the spans of calls continued by the hub's.
func TestSpansOfTheClient(t *testing.T) {
	for _, protocol := range protocolNames {
		t.Run(protocol, func(t *testing.T) {
			var server, client tracers
			h := NewHub("test", HubOptions{TracerProvider: &server, ShutdownWindow: time.Millisecond})
			Handle(h, "Ok", func() {})
			Handle(h, "Count", func() iter.Seq2[int, error] {
				return func(yield func(int, error) bool) { yield(1, nil) }
			})
			url := serve(t, h)
			c := NewClient(url, ClientOptions{TracerProvider: &client, Protocol: protocol})
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.Invoke(t.Context(), "Ok", nil); err != nil {
				t.Fatal(err)
			}
			for _, err := range Stream[int](t.Context(), c, "Count") {
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Invoke(t.Context(), "Nothing", nil); err == nil {
				t.Fatal("an unknown method was called")
			}
			_ = c.Stop(t.Context())
			shutdown(t, h) // the spans of the hub end behind the answers
			sent, got := client.r.take(), server.r.take()
			if len(sent) != 3 || len(got) < 2 {
				t.Fatalf("%d spans of the client, %d of the hub", len(sent), len(got))
			}
			for _, s := range got[:2] { // in the order in which they ended
				i := slices.IndexFunc(sent, func(c *span) bool { return s.name == "test/"+c.name })
				if i < 0 {
					t.Errorf("nobody called %s", s.name)
					continue
				}
				if s.parent.SpanID() != sent[i].own.SpanID() || s.parent.TraceID() != sent[i].own.TraceID() {
					t.Errorf("%s does not continue %s", s.name, sent[i].name)
				}
			}
			if want := "Nothing client Error error.type=CallError,rpc.method=Nothing,rpc.system=signalr"; sent[2].describe() != want {
				t.Errorf("got  %s\nwant %s", sent[2].describe(), want)
			}
		})
	}
}

// TestTelemetryOffCostsNothing: no allocation for what nobody reads.
func TestTelemetryOffCostsNothing(t *testing.T) {
	h := NewHub("test", HubOptions{})
	c := &Conn{hub: h, ctx: t.Context()}
	inv := &invocation{Context: t.Context(), conn: c}
	client := &Client{}
	allocs := testing.AllocsPerRun(100, func() {
		h.telemetry.began(c)
		h.telemetry.ended(c, nil, false)
		if h.telemetry.tracer != nil {
			inv.continueTrace(nil)
		}
		ctx, end := client.startSpan(inv.Context, "x")
		if client.traceHeaders(ctx) != nil {
			t.Error("headers without a tracer")
		}
		end(nil)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
