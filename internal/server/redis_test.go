package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/config"
)

// fakeRedis answers AUTH and PING, and counts them. It knows one password.
func fakeRedis(t *testing.T) (address string, asked *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c, asked)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), asked
}

func answer(c net.Conn, asked *atomic.Int32) {
	defer func() { _ = c.Close() }()
	allowed := false
	for r := bufio.NewReader(c); ; {
		var words int
		if _, err := fmt.Fscanf(r, "*%d\r\n", &words); err != nil {
			return
		}
		command := make([]string, words)
		for i := range command {
			var length int
			if _, err := fmt.Fscanf(r, "$%d\r\n%s\r\n", &length, &command[i]); err != nil || len(command[i]) != length {
				return
			}
		}
		asked.Add(1)
		text := "-NOAUTH Authentication required.\r\n"
		switch line := strings.Join(command, " "); {
		case line == "AUTH me s3cr3t":
			allowed, text = true, "+OK\r\n"
		case line == "PING" && allowed:
			text = "+PONG\r\n"
		}
		if _, err := c.Write([]byte(text)); err != nil {
			return
		}
	}
}

func TestRedisLatency(t *testing.T) {
	at, asked := fakeRedis(t)
	for name, c := range map[string]struct {
		redis   string
		answers bool
	}{
		"answers":            {at + ",user=me,password=s3cr3t", true},
		"the second answers": {"127.0.0.1:1," + at + ",user=me,password=s3cr3t", true},
		"wrong password":     {at + ",user=me,password=s3cr3t2", false},
		"nobody there":       {"127.0.0.1:1,password=s3cr3t", false},
		"no TLS there":       {at + ",ssl=true", false},
	} {
		t.Run(name, func(t *testing.T) {
			to, err := config.ParseRedis(c.redis)
			if err != nil {
				t.Fatal(err)
			}
			p := &redisProbe{to: &to}
			latency, err := p.look(t.Context())
			if (err == nil) != c.answers || c.answers != (latency > 0) {
				t.Errorf("%s, %v", latency, err)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the password is told: %v", err)
			}
			before := asked.Load()
			p.asked = time.Now().Add(time.Minute) // however slow this machine is
			if again, _ := p.look(t.Context()); again != latency || asked.Load() != before {
				t.Error("Redis is asked each time that somebody asks us")
			}
		})
	}
}

func TestRedisLatencyIsTold(t *testing.T) {
	at, _ := fakeRedis(t)
	r := start(t, t.TempDir(), `{"ConnectionStrings": {"Redis": "`+at+`,user=me,password=s3cr3t"}}`)
	_, body := r.call("GET", "/health/signalr", "")
	var h health
	if err := json.Unmarshal([]byte(body), &h); err != nil || h.Status != degraded || h.Backplane == nil || h.Backplane.LatencyMs == nil ||
		strings.Contains(body, "does not answer") {
		t.Errorf("%v %s", err, body)
	}
	if strings.Contains(body+r.log.String(), "s3cr3t") {
		t.Error("the password is told")
	}
}
