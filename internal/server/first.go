package server

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/key"
)

// announce tells where the server is, and on the first start hands out the
// first key.
func (s *Server) announce(ctx context.Context) error {
	for _, w := range s.config.Warnings {
		s.log.Warn(w)
	}
	if len(s.config.Foreign) > 0 {
		s.log.Info("settings that are not Conduit's are not used", "file", s.config.File, "names", s.config.Foreign)
	}
	if s.config.RedisConfiguration() != nil {
		s.log.Warn("a Redis is configured, but this build has no Redis backplane yet: events reach the clients of this instance only, and /health/signalr says Degraded")
	}
	if err := writeJSON(presencePath(s.folder), presence{PID: os.Getpid(), URL: s.URL()}); err != nil {
		s.log.Warn("the address could not be left in the data folder", "error", err)
	}
	s.closers = append(s.closers, func() error { return os.Remove(presencePath(s.folder)) })
	s.log.Info("listening", "url", s.URL(), "data", s.folder)

	existing, err := s.store.ListKeys(ctx)
	if err != nil {
		return fmt.Errorf("the keys cannot be read: %w", err)
	}
	if len(existing) == 0 {
		return s.firstKey(ctx)
	}
	s.say("Conduit listens on %s\n\nTo open the console signed in: conduit login\n", s.URL())
	return nil
}

func (s *Server) firstKey(ctx context.Context) error {
	k, secret, err := key.New(key.Options{Name: "first key", Scopes: key.DefaultScopes()})
	if err != nil {
		return err
	}
	if err := s.store.CreateKey(ctx, k); err != nil {
		return fmt.Errorf("the first key cannot be stored: %w", err)
	}
	if err := writeJSON(credentialsPath(s.folder), credentials{APIKey: secret}); err != nil {
		s.log.Warn("the first key could not be left for the command line; give it with CONDUIT_API_KEY", "error", err)
	}
	base := base(s.config, s.URL())
	s.say(`Conduit listens on %s

Your first virtual key (video, image, navigation). It is shown this once:

    %s

Make a video:

    curl %s/v1/videos/generations/async \
      -H "Authorization: Bearer %s" \
      -H "Content-Type: application/json" \
      -d '{"prompt": "a paper boat"}'

or, in this folder: conduit generate video "a paper boat" --watch
`, s.URL(), secret, base, secret)
	if !s.loopback() {
		s.say("\nTo open the console signed in: conduit login\n")
		return nil
	}
	code, _, err := key.NewLoginCode(ctx, s.store, k.ID)
	if err != nil {
		return fmt.Errorf("the login link cannot be made: %w", err)
	}
	s.say("\nOpen the console, signed in (this link works once, for ten minutes; conduit login makes another):\n\n    %s\n", loginLink(base, code))
	return nil
}

// base is the address that people are given: PublicUrl, else where we listen.
func base(c *config.Config, local string) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	return local
}

// loginLink holds its code in the fragment, which browsers send to nobody.
func loginLink(base, code string) string { return base + "/#login=" + code }

// loopback reports whether nobody but this machine is served.
func (s *Server) loopback() bool {
	for _, l := range s.listeners {
		if t, ok := l.Addr().(*net.TCPAddr); !ok || !t.IP.IsLoopback() {
			return false
		}
	}
	return true
}

func (s *Server) say(format string, args ...any) {
	if _, err := fmt.Fprintf(s.out, format, args...); err != nil {
		s.log.Warn("nobody reads what has to be seen", "error", err)
	}
}
