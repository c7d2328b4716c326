package signalr_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// What happens is told to a slog.Logger; with EnableMessageTracing also every
// message, at level debug, but nothing of what it carries.
func ExampleHubOptions_tracing() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // what is another each time
			if a.Key == slog.TimeKey || a.Key == "connection" {
				return slog.Attr{}
			}
			return a
		},
	}))
	hub := signalr.NewHub("maths", signalr.HubOptions{Logger: logger, EnableMessageTracing: true})
	signalr.Handle(hub, "Add", func(a, b int) int { return a + b })
	client := signalrtest.Connect(t, hub)
	signalrtest.Invoke[int](client, "Add", 2, 40)
	client.Cut()
	// Output:
	// level=DEBUG msg="message received" hub=maths type=Invocation target=Add invocation=1
	// level=DEBUG msg="message sent" hub=maths type=Completion invocation=1
}

// Metrics by the conventions of OpenTelemetry, here read with its SDK.
func ExampleHubOptions_metrics() {
	ctx := context.Background()
	reader := sdkmetric.NewManualReader()
	hub := signalr.NewHub("chat", signalr.HubOptions{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	read := func() (active int64, ended uint64) {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(ctx, &all); err != nil {
			log.Fatal(err)
		}
		for _, m := range all.ScopeMetrics[0].Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]: // signalr.server.active_connections
				active = data.DataPoints[0].Value
			case metricdata.Histogram[float64]: // signalr.server.connection.duration
				ended = data.DataPoints[0].Count
			}
		}
		return active, ended
	}
	client := signalrtest.Connect(t, hub)
	fmt.Println(read())
	client.Stop()
	_ = hub.Shutdown(ctx)
	fmt.Println(read())
	// Output:
	// 1 0
	// 0 1
}

// A span for each call, which continues that of the client.
func ExampleHubOptions_spans() {
	ctx := context.Background()
	spans := tracetest.NewInMemoryExporter()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	hub := signalr.NewHub("maths", signalr.HubOptions{TracerProvider: tracer})
	signalr.Handle(hub, "Add", func(a, b int) int { return a + b })
	server, stop := served(hub)
	defer stop()
	client := signalr.NewClient(server.URL, signalr.ClientOptions{HTTPClient: server.HTTPClient, TracerProvider: tracer})
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := client.Invoke(ctx, "Add", nil, 2, 40); err != nil {
		log.Fatal(err)
	}
	_ = client.Stop(ctx)
	_ = hub.Shutdown(ctx) // which waits for the end of the span
	var call, method tracetest.SpanStub
	for _, s := range spans.GetSpans() {
		if s.Name == "maths/Add" {
			method = s
		} else {
			call = s
		}
	}
	fmt.Println(method.Name, "continues", call.Name+":", method.Parent.SpanID() == call.SpanContext.SpanID())
	// Output: maths/Add continues Add: true
}
