package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/knnlabs/conduit/internal/config"
)

// certificate is read from its two files, and read again when they change, so
// that renewing it needs no restart. Safe for concurrent use.
type certificate struct {
	files config.HTTPS
	log   *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  [2]time.Time // of the files, when they were looked at last
	looked time.Time
}

// certificateEvery is how often the files are looked at.
const certificateEvery = 10 * time.Second

func loadCertificate(files config.HTTPS, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log, looked: time.Now(), stamp: stampsOf(files)}
	loaded, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be read: %w; check Https:Certificate and Https:Key", err)
	}
	c.loaded = &loaded
	return c, nil
}

// stampsOf tells whether the files have changed; a file that is not there has
// none.
func stampsOf(files config.HTTPS) (stamps [2]time.Time) {
	for i, name := range []string{files.Certificate, files.Key} {
		if info, err := os.Stat(name); err == nil {
			stamps[i] = info.ModTime()
		}
	}
	return stamps
}

// get is tls.Config.GetCertificate. Files that cannot be read leave what was
// read before in force.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.looked) < certificateEvery {
		return c.loaded, nil
	}
	c.looked = now
	stamp := stampsOf(c.files)
	if stamp == c.stamp {
		return c.loaded, nil
	}
	loaded, err := tls.LoadX509KeyPair(c.files.Certificate, c.files.Key)
	if err != nil {
		// Perhaps only one of the two is written yet: looked at again.
		c.log.Warn("the changed certificate cannot be read, the one before stays in force", "error", err)
		return c.loaded, nil
	}
	c.log.Info("the certificate was read again", "file", c.files.Certificate)
	c.loaded, c.stamp = &loaded, stamp
	return c.loaded, nil
}

// tlsConfig is for the listeners of https addresses; nil without any.
func (s *Server) tlsConfig() (*tls.Config, error) {
	if !s.config.ServesHTTPS() {
		return nil, nil //nolint:nilnil // nil is how net/http says that there is none
	}
	c, err := loadCertificate(s.config.HTTPS, s.log)
	if err != nil {
		return nil, err
	}
	// net/http sets HTTP/2 up in whichever of Serve and ServeTLS comes first; in
	// Serve it does so only if h2 is named here.
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}, nil
}
