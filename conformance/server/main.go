// Command server is the conformance server: a few small hubs, written as any
// user of package signalr would write them, that foreign clients and load
// generators are pointed at. The recordings of ASP.NET Core were made with
// the same hubs, so that every answer can be compared.
//
//	go run ./conformance/server
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // for -pprof
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance server:", err)
		os.Exit(1)
	}
}

// flags are the server's options; each is also an environment variable.
type flags struct {
	addr, redis, prefix, slow, tlsCert, tlsKey, pprof         string
	detailed                                                  int
	keepAlive, clientTimeout, statefulBuffer, parallel, queue int
}

func parse(args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet("server", flag.ContinueOnError)
	set.StringVar(&f.addr, "addr", env("ADDR", "127.0.0.1:5000"), "address to listen on")
	set.StringVar(&f.redis, "redis", env("REDIS", ""), "backplane")
	set.StringVar(&f.prefix, "prefix", env("PREFIX", ""), "channel prefix of the backplane")
	set.StringVar(&f.slow, "slow", env("SLOW", "wait"), "wait or close: what a slow client means")
	set.StringVar(&f.tlsCert, "tls-cert", env("TLS_CERT", ""), "PEM file")
	set.StringVar(&f.tlsKey, "tls-key", env("TLS_KEY", ""), "PEM file")
	set.StringVar(&f.pprof, "pprof", env("PPROF", ""), "address of net/http/pprof")
	var bad error
	number := func(p *int, name, variable string, def int, usage string) {
		n, err := strconv.Atoi(env(variable, strconv.Itoa(def)))
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("%s: %w", variable, err))
		}
		set.IntVar(p, name, n, usage)
	}
	number(&f.detailed, "detailed", "DETAILED", 1, "1: EnableDetailedErrors")
	number(&f.keepAlive, "keepalive-ms", "KEEPALIVE_MS", 15000, "KeepAliveInterval, milliseconds")
	number(&f.clientTimeout, "client-timeout-ms", "CLIENT_TIMEOUT_MS", 30000, "ClientTimeoutInterval, milliseconds")
	number(&f.statefulBuffer, "stateful-buffer", "STATEFUL_BUFFER", 100000, "StatefulReconnectBufferSize, bytes")
	number(&f.parallel, "parallel", "PARALLEL", 1, "MaximumParallelInvocationsPerClient")
	number(&f.queue, "queue", "QUEUE", 32768, "bytes that a connection's queue holds")
	if bad != nil {
		return f, bad
	}
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if f.redis != "" || f.prefix != "" {
		return f, errors.New("-redis and -prefix come with the Redis backplane, which is not there yet; start without them")
	}
	if (f.tlsCert == "") != (f.tlsKey == "") {
		return f, errors.New("-tls-cert and -tls-key go together")
	}
	if f.slow != "wait" && f.slow != "close" {
		return f, fmt.Errorf("-slow is %q; allowed are wait and close", f.slow)
	}
	return f, nil
}

func (f flags) hubOptions() signalr.HubOptions {
	options := signalr.HubOptions{
		EnableDetailedErrors:                f.detailed == 1,
		KeepAliveInterval:                   time.Duration(f.keepAlive) * time.Millisecond,
		ClientTimeoutInterval:               time.Duration(f.clientTimeout) * time.Millisecond,
		StatefulReconnectBufferSize:         int64(f.statefulBuffer),
		MaximumParallelInvocationsPerClient: f.parallel,
		QueueBytes:                          f.queue,
		Logger:                              slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if f.slow == "wait" {
		options.SlowClient = signalr.Wait(10 * time.Second)
	}
	return options
}

// hubs are what the server serves.
type hubs struct{ test, bench, auth, video *signalr.Hub }

func newHubs(options signalr.HubOptions) hubs {
	return hubs{newTestHub(options), newBenchHub(options), newAuthHub(options), newVideoHub(options)}
}

func (h hubs) routes() http.Handler {
	mux := http.NewServeMux()
	mount := func(path string, hub http.Handler) {
		mux.Handle(path, hub)
		mux.Handle(path+"/", hub)
	}
	mount("/testhub", h.test)
	mount("/bench", h.bench)
	mount("/authhub", requireToken(h.auth))
	mount("/hubs/video-generation", h.video)
	mux.HandleFunc("POST /backplane", backplane(h.test))
	mux.HandleFunc("POST /publish", publish(h.bench))
	mux.HandleFunc("POST /user", toUser(h.auth))
	mux.HandleFunc("POST /progress", progress(h.video))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	return allowEveryOrigin(mux)
}

func (h hubs) shutdown(ctx context.Context) error {
	var errs []error
	for _, hub := range []*signalr.Hub{h.test, h.bench, h.auth, h.video} {
		errs = append(errs, hub.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

func run(args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.addr)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	if f.pprof != "" { // the handlers of net/http/pprof are on the default mux
		go func() { failed <- fmt.Errorf("pprof: %w", http.ListenAndServe(f.pprof, nil)) }()
	}
	hubs := newHubs(f.hubOptions())
	server := &http.Server{Handler: hubs.routes(), ReadHeaderTimeout: 15 * time.Second}
	go func() {
		if f.tlsCert != "" {
			failed <- server.ServeTLS(listener, f.tlsCert, f.tlsKey)
			return
		}
		failed <- server.Serve(listener)
	}()
	fmt.Println("listening on", listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(hubs.shutdown(ctx), server.Shutdown(ctx))
}

// allowEveryOrigin is CORS as the reference server of the recordings has it:
// every origin, method and header, with credentials.
func allowEveryOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Add("Vary", "Origin")
		method := r.Header.Get("Access-Control-Request-Method")
		if r.Method != http.MethodOptions || method == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", method)
		if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
			h.Set("Access-Control-Allow-Headers", headers)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func env(name, def string) string { return cmp.Or(os.Getenv(name), def) }
