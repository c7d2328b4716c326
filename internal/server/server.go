// Package server is the composition root: it makes the parts of Conduit from
// a Config, in explicit lists, joins them, runs them, and stops them in order.
//
//	requests -> forwarded, named, logged, CORS -> key -> api, hubs
//	                                                      |     ^
//	                                             task.Service -> publishers: feed, hubs, workers
//	                                                |
//	                                      store (SQLite), work -> providers -> media
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knnlabs/conduit/internal/api"
	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/provider/local"
	"github.com/knnlabs/conduit/internal/push"
	"github.com/knnlabs/conduit/internal/store"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/internal/work"
)

// Options are what New needs.
type Options struct {
	Config *config.Config // required
	Logger *slog.Logger   // nil: slog.Default()
	// Out gets what people have to see: the address, the first key, the login
	// link. nil: os.Stdout.
	Out io.Writer

	wrap func(*local.Renderer) provider.Provider // tests put something around the renderer; nil: nothing
}

// Server is one instance of Conduit: New opens everything and listens, Run
// serves and stops. A Server runs once.
type Server struct {
	config *config.Config
	log    *slog.Logger
	out    io.Writer
	wrap   func(*local.Renderer) provider.Provider
	folder string // absolute

	store     *store.Store
	tasks     *task.Service
	keys      *key.Authenticator
	api       *api.Handler
	hubs      *push.Hubs
	models    *provider.Availability
	metrics   *metrics
	abnormal  *abnormal
	redis     *redisProbe // nil: none is configured
	workers   *work.Workers
	http      *http.Server
	listeners []net.Listener

	secure          []bool // by listener: it speaks TLS
	metricListeners []net.Listener

	draining atomic.Bool
	closers  []func() error // in the order of opening
}

// New makes the data folder where there is none, opens the database for this
// server alone, and listens. Its errors say what to do about them.
func New(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{config: o.Config, log: o.Logger, out: o.Out, wrap: o.wrap}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.out == nil {
		s.out = os.Stdout
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.folder, err = makeFolder(o.Config.DataFolder, s.log); err != nil {
		return nil, err
	}
	s.store, err = store.Open(ctx, store.Options{Path: databasePath(s.folder), Exclusive: true, Logger: s.log})
	switch {
	case errors.Is(err, store.ErrInUse):
		return nil, inUse(s.folder)
	case err != nil:
		return nil, fmt.Errorf("the database in %s cannot be opened: %w", s.folder, err)
	}
	s.closers = append(s.closers, s.store.Close)
	if err := s.compose(); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if err := s.listenMetrics(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// databasePath is the database's place in a data folder.
func databasePath(folder string) string { return filepath.Join(folder, "conduit.db") }

func makeFolder(folder string, log *slog.Logger) (string, error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("the data folder %s has no absolute path: %w", folder, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", fmt.Errorf("the data folder cannot be made: %w; choose another with --data or DataFolder", err)
	}
	if info, err := os.Stat(abs); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("the data folder can be entered by other users of this machine", "folder", abs, "mode", info.Mode().Perm().String())
	}
	return abs, nil
}

func inUse(folder string) error {
	who := "another Conduit"
	if p, err := readPresence(folder); err == nil {
		who = fmt.Sprintf("another Conduit (process %d, %s)", p.PID, p.URL)
	}
	return fmt.Errorf("the data folder %s is in use by %s; stop that one, or give this one a folder and an address of its own: --data FOLDER --urls http://127.0.0.1:5001", folder, who)
}

func (s *Server) listen(ctx context.Context) error {
	var err error
	if s.http.TLSConfig, err = s.tlsConfig(); err != nil {
		return err
	}
	for _, a := range s.config.Listen() {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.Address)
		if err != nil {
			return cannotListen(a.Address, err)
		}
		s.secure = append(s.secure, a.TLS)
		s.listeners = append(s.listeners, l)
		s.closers = append(s.closers, func() error {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return nil
}

// URL is the address under which this machine reaches the server.
func (s *Server) URL() string {
	u := localURL(s.listeners[0].Addr())
	if s.secure[0] {
		u = "https" + strings.TrimPrefix(u, "http")
	}
	return u
}

func localURL(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return "http://" + a.String()
	}
	host := t.IP.String()
	if t.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(t.Port))
}

// Run serves until ctx ends, then stops: clients are told to come back, workers
// give back what they have begun, then no new requests are taken, and what is
// left after ShutdownTimeout is cut off.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	if err := s.workers.Start(ctx); err != nil {
		return fmt.Errorf("the workers cannot start: %w", err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var loops sync.WaitGroup
	loops.Go(func() { s.keys.Run(background) })
	loops.Go(func() { key.Watch(background, s.store, s.log, s.loseKey) })
	loops.Go(func() { s.hubs.Run(background) })
	loops.Go(func() { s.models.Run(background, 0) })
	loops.Go(func() { s.serveMetrics(background) })

	failed := make(chan error, len(s.listeners))
	for i, l := range s.listeners {
		loops.Go(func() {
			serve := s.http.Serve
			if s.secure[i] {
				serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") } // the certificate is in TLSConfig
			}
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s cannot be served any more: %w", l.Addr(), err)
			}
		})
	}
	var err error
	if err = s.announce(ctx); err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	s.drain(context.WithoutCancel(ctx))
	stop()
	loops.Wait()
	return err
}

// drain ends everything that clients hold, then the listeners, and waits for
// those who publish.
func (s *Server) drain(ctx context.Context) {
	begin := time.Now()
	s.draining.Store(true)
	s.log.Info("stopping", "timeout", s.config.ShutdownTimeout)
	ctx, cancel := context.WithTimeout(ctx, s.config.ShutdownTimeout)
	defer cancel()
	s.api.Drain()
	var group sync.WaitGroup
	for _, h := range s.hubs.All() {
		group.Go(func() {
			if err := h.Shutdown(ctx); err != nil {
				s.log.Warn("connections had to be cut off", "hub", h.Name(), "error", err)
			}
		})
	}
	var workErr error
	group.Go(func() { workErr = s.workers.Stop(ctx) })
	group.Wait()
	if workErr != nil {
		s.log.Warn("workers had to be abandoned; their tasks go on when their leases end", "error", workErr)
	}
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("requests had to be cut off", "error", err)
		_ = s.http.Close() // they are lost either way
	}
	if err := s.tasks.Flush(ctx); err != nil {
		s.log.Warn("events were not published any more; who comes back reads them", "error", err)
	}
	s.log.Info("stopped", "took", time.Since(begin).Round(time.Millisecond))
}

// loseKey ends what a lost key holds; before that, nothing new lets it in.
func (s *Server) loseKey(id string) {
	s.keys.Recheck()
	s.api.LoseKey(id)
	s.hubs.LoseKey(id)
}

// close closes what was opened, the newest first.
func (s *Server) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil {
			s.log.Warn("something could not be closed", "error", err)
		}
	}
	s.closers = nil
}

// Logger writes text to w at the configured level.
func Logger(c *config.Config, w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(strings.ToUpper(c.Log.Level))) // config has checked it
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
