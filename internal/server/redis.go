package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/knnlabs/conduit/internal/config"
)

// redisProbe measures how far the configured Redis is away. It asks at most
// every redisEvery, however often it is asked itself. Safe for concurrent use.
type redisProbe struct {
	to *config.RedisConfiguration

	mu      sync.Mutex
	asked   time.Time
	latency time.Duration
	err     error
}

const (
	redisEvery   = 5 * time.Second
	redisTimeout = time.Second // for each of its servers, and twice that for all
)

// look returns the time that a PING took.
func (p *redisProbe) look(ctx context.Context) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) < redisEvery {
		return p.latency, p.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*redisTimeout) // others get this answer, too
	defer cancel()
	for _, endpoint := range p.to.Endpoints {
		if p.latency, p.err = p.ping(ctx, endpoint); p.err == nil {
			break
		}
	}
	p.asked = time.Now()
	return p.latency, p.err
}

func (p *redisProbe) ping(ctx context.Context, endpoint string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	c, err := p.dial(ctx, endpoint)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // nothing is lost with it
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return 0, err
	}
	answers := bufio.NewReader(c)
	if password := p.to.Options["password"]; password != "" {
		auth := []string{"AUTH", password}
		if user := p.to.Options["user"]; user != "" {
			auth = []string{"AUTH", user, password}
		}
		if err := ask(c, answers, auth...); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	err = ask(c, answers, "PING")
	return time.Since(begun), err
}

func (p *redisProbe) dial(ctx context.Context, endpoint string) (net.Conn, error) {
	switch strings.ToLower(p.to.Options["ssl"]) {
	case "true", "yes":
		name := p.to.Options["sslhost"] // "": the endpoint's
		return (&tls.Dialer{Config: &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", endpoint)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", endpoint)
}

// ask sends a command and reads its answer, a line. An error of Redis holds no
// secret.
func ask(c net.Conn, answers *bufio.Reader, command ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := c.Write([]byte(b.String())); err != nil {
		return err
	}
	line, err := answers.ReadString('\n')
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(line, "+"):
		return errors.New(strings.TrimSpace(strings.TrimPrefix(line, "-")))
	}
	return nil
}
