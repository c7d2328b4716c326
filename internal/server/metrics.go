package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/signalr"
)

// metrics are the figures of this instance. They name no key and no address.
type metrics struct {
	registry *prometheus.Registry
	abnormal *prometheus.CounterVec
	exceeded *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"pattern"})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		abnormal: counter("conduit_abnormal_total", "What may be abuse when there is much of it, by pattern; of reconnect_storms every opened connection."),
		exceeded: counter("conduit_abnormal_exceeded_total", "How often a key or an address was above the limit of a pattern in a window."),
	}
	for pattern := range abnormalLimits {
		m.abnormal.WithLabelValues(pattern)
		m.exceeded.WithLabelValues(pattern)
	}
	m.registry.MustRegister(m.abnormal, m.exceeded, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// note is told of every abnormal pattern.
func (m *metrics) note(pattern string, times, exceeded int) {
	m.abnormal.WithLabelValues(pattern).Add(float64(times))
	m.exceeded.WithLabelValues(pattern).Add(float64(exceeded))
}

// watch adds the figures of the hubs and of the models.
func (m *metrics) watch(hubs []*signalr.Hub, models func() []provider.ModelState) {
	for _, h := range hubs {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "signalr_server_active_connections", Help: "Connections to a hub of this instance.",
			ConstLabels: prometheus.Labels{"hub": h.Name()}}, func() float64 { return float64(h.Count()) }))
	}
	for _, model := range models() {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "conduit_model_available", Help: "1 while a model can be used.",
			ConstLabels: prometheus.Labels{"model": model.ID, "kind": string(model.Kind)}}, func() float64 {
			for _, now := range models() {
				if now.ID == model.ID && now.Available {
					return 1
				}
			}
			return 0
		}))
	}
}

// listenMetrics opens the listeners of /metrics; none where it is off.
func (s *Server) listenMetrics(ctx context.Context) error {
	if s.config.Metrics.URLs == "" {
		return nil
	}
	addresses, err := config.ListenAddresses(s.config.Metrics.URLs)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a)
		if err != nil {
			return fmt.Errorf("%s cannot be listened on for metrics: %w; choose another address with Metrics:Urls", a, err)
		}
		s.metricListeners = append(s.metricListeners, l)
		s.closers = append(s.closers, func() error {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
		s.log.Info("metrics are served", "url", localURL(l.Addr())+"/metrics")
	}
	return nil
}

// serveMetrics serves /metrics until ctx ends. What goes wrong with it touches
// nothing else.
func (s *Server) serveMetrics(ctx context.Context) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	done := make(chan struct{}, len(s.metricListeners))
	for _, l := range s.metricListeners {
		go func() {
			defer func() { done <- struct{}{} }()
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("metrics are not served any more", "error", err)
			}
		}()
	}
	<-ctx.Done()
	_ = server.Close() // a scrape that is cut off is made again
	for range s.metricListeners {
		<-done
	}
}
