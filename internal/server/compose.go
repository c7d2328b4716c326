package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/api"
	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/console"
	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/provider/local"
	"github.com/knnlabs/conduit/internal/push"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/internal/work"
	"github.com/knnlabs/conduit/signalr"
)

// compose makes the parts and joins them.
func (s *Server) compose() error {
	c := s.config
	results, links, err := s.openResults()
	if err != nil {
		return err
	}
	providers, catalog, err := s.openProviders()
	if err != nil {
		return err
	}

	feed := task.NewFeed()
	s.tasks = task.NewService(s.store, task.Options{
		Publishers:    []task.Publisher{feed},
		Limits:        task.Limits{Running: c.Tasks.MaxRunningPerKey, Unfinished: c.Tasks.MaxUnfinishedPerKey},
		VideoDeadline: c.Tasks.VideoDeadline,
		ImageDeadline: c.Tasks.ImageDeadline,
		Estimate:      estimates(catalog),
		Logger:        s.log,
	})
	s.metrics = newMetrics()
	s.abnormal = newAbnormal(s.log, s.metrics.note)
	if to := c.RedisConfiguration(); to != nil {
		s.redis = &redisProbe{to: to}
	}
	s.models = provider.NewAvailability(catalog, s.log)
	s.hubs = push.New(push.Options{Tasks: s.tasks, Links: links, Models: s.models, PublicURL: c.PublicURL, Hub: hubOptions(c, s.log),
		RateLimits: rateLimits(c.SignalR.RateLimits),
		Abnormal:   s.abnormal.ofHubs, Logger: s.log})
	s.metrics.watch(s.hubs.All(), s.models.List)
	s.tasks.AddPublisher(s.hubs)
	s.workers, err = work.New(s.store.Driver(), work.Options{
		Service: s.tasks, Providers: providers, Media: results, Alone: s.store.Exclusive(),
		MaxWorkers: map[string]int{providers[0].Name(): c.Renderer.MaxWorkers},
		Retention:  c.Tasks.Retention, Logger: s.log,
	})
	if err != nil {
		return fmt.Errorf("the workers cannot be made: %w", err)
	}

	s.keys = key.NewAuthenticator(key.AuthenticatorOptions{
		Store: s.store, PublicURL: c.PublicURL, WriteError: api.WriteError, Logger: s.log,
	})
	s.api = api.New(api.Options{
		Tasks: s.tasks, Feed: feed, Catalog: catalog, Media: results, Links: links,
		Abnormal: s.abnormal.report, UnknownTask: s.abnormal.ofStreams, Authenticate: s.keys.Middleware, PublicURL: c.PublicURL, Logger: s.log,
	})
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// No WriteTimeout: event streams and downloads take as long as they
		// take. boundBodies and boundAnswers bound each read and write.
	}
	return nil
}

// openResults opens what keeps results, and what signs links to them.
func (s *Server) openResults() (*media.Local, *media.Signer, error) {
	results, err := media.NewLocal(filepath.Join(s.folder, "media"))
	if err != nil {
		return nil, nil, fmt.Errorf("the folder for results cannot be used: %w", err)
	}
	s.closers = append(s.closers, results.Close)
	secret, err := media.LoadOrCreateSecret(filepath.Join(s.folder, "media.secret"))
	if err != nil {
		return nil, nil, fmt.Errorf("the secret that signs links cannot be read: %w", err)
	}
	return results, media.NewSigner(secret, s.config.Media.LinkLifetime), nil
}

// openProviders lists all services that generate media, and their models.
func (s *Server) openProviders() ([]provider.Provider, *provider.Catalog, error) {
	renderer, err := local.New(local.Options{Dir: filepath.Join(s.folder, "renderer"), Parallel: s.config.Renderer.MaxWorkers, Logger: s.log})
	if err != nil {
		return nil, nil, fmt.Errorf("the folder for renders cannot be used: %w", err)
	}
	s.closers = append(s.closers, renderer.Close)
	providers := []provider.Provider{renderer}
	if s.wrap != nil {
		providers[0] = s.wrap(renderer)
	}
	catalog, err := provider.NewCatalog(providers...)
	if err != nil {
		return nil, nil, fmt.Errorf("the list of models is impossible: %w", err)
	}
	return providers, catalog, nil
}

// estimates asks the model's provider how long a task's work takes.
func estimates(catalog *provider.Catalog) func(task.Request) time.Duration {
	return func(r task.Request) time.Duration {
		p, _ := catalog.Provider(r.Model)
		e, ok := p.(provider.Estimator)
		if !ok {
			return 0
		}
		return e.Estimate(provider.Request{Kind: provider.Kind(r.Kind), Model: r.Model, Prompt: r.Prompt,
			Width: r.Width, Height: r.Height, Duration: r.Duration, FPS: r.FPS, Seed: r.Seed, N: r.N})
	}
}

// rateLimits are the settings as the hubs take them.
func rateLimits(r config.RateLimits) push.RateLimits {
	orNone := func(n int) int {
		if n == 0 {
			return -1
		}
		return n
	}
	return push.RateLimits{Calls: orNone(r.Calls), Burst: orNone(r.Burst), CallsPerKey: orNone(r.CallsPerKey), Refusals: orNone(r.Refusals)}
}

// hubOptions are the settings of all hubs.
func hubOptions(c *config.Config, log *slog.Logger) signalr.HubOptions {
	r := c.SignalR
	return signalr.HubOptions{
		HandshakeTimeout:          r.HandshakeTimeout,
		KeepAliveInterval:         r.KeepAliveInterval,
		KeepAlive:                 func(req *http.Request) time.Duration { return config.KeepAlive(r.KeepAliveInterval, req) },
		ClientTimeoutInterval:     r.ClientTimeoutInterval,
		MaximumReceiveMessageSize: r.MaximumReceiveMessageSize,
		StreamBufferCapacity:      r.StreamBufferCapacity,
		EnableDetailedErrors:      r.EnableDetailedErrors,
		EnableMessageTracing:      r.EnableMessageTracing,
		Logger:                    log,
	}
}

// handler is every path that the server answers, behind what holds for all.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/", s.api)
	mux.Handle("/v1", s.api) // which answers that there is nothing
	hubs, page := s.abnormal.watchHubs(s.hubHandler()), console.Handler(console.Options{})
	mux.Handle(key.SessionPath, s.keys.Sessions())
	mux.Handle("/health", s.liveness())
	mux.Handle("/health/live", s.liveness())
	mux.Handle("/health/ready", s.readiness())
	mux.Handle("/health/signalr", s.signalRHealth())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if below := "/hubs/"; len(r.URL.Path) >= len(below) && strings.EqualFold(r.URL.Path[:len(below)], below) {
			hubs.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})

	var h http.Handler = mux
	h = cors(h, s.config.Cors.AllowedOrigins)
	h = boundBodies(h, bodyPatience, restPatience)
	h = plainKeys(h, s.log, s.encrypted)
	h = logRequests(h, s.log)
	h = nameRequests(h)
	h = boundAnswers(h, answerPatience)
	return forwarded(h, s.config.ForwardedHeaders)
}

// encrypted reports whether r crossed the network encrypted, as far as can be
// known: where no proxy is believed, an https PublicUrl says that one is there.
func (s *Server) encrypted(r *http.Request) bool {
	public := s.config.PublicURL
	if s.config.ForwardedHeaders.Enabled {
		public = ""
	}
	return strings.HasPrefix(key.Origin(r, public), "https:")
}

// hubHandler serves the hubs. Their paths fold case (transports 2); below
// /hubs/ there is nothing else.
func (s *Server) hubHandler() http.Handler {
	hubs := http.NewServeMux()
	for path, hub := range map[string]http.Handler{
		push.VideoPath:      s.keys.Middleware(whose(key.Require(key.ScopeVideo)(s.hubs.Video()))),
		push.NavigationPath: s.keys.Middleware(whose(key.Require(key.ScopeNavigation)(s.hubs.Navigation()))),
		push.ImagePath:      s.keys.Middleware(whose(key.Require(key.ScopeImage)(s.hubs.Image()))),
	} {
		for _, below := range []string{"", "/{$}", "/negotiate", "/negotiate/{$}"} {
			hubs.Handle(path+below, hub)
		}
	}
	hubs.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusNotFound)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		folded := *r
		folded.URL = new(url.URL)
		*folded.URL = *r.URL
		folded.URL.Path, folded.URL.RawPath = strings.ToLower(r.URL.Path), ""
		hubs.ServeHTTP(w, &folded)
	})
}
