package signalr

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeepAlive(t *testing.T) {
	tests := []struct {
		name string
		opts HubOptions
		want time.Duration // between pings
	}{
		{"default", HubOptions{}, 16 * time.Second},
		{"one second", HubOptions{KeepAliveInterval: time.Second}, 2 * time.Second},
		{"half a second", HubOptions{KeepAliveInterval: 500 * time.Millisecond}, time.Second},
		{"of the connection", HubOptions{KeepAlive: func(r *http.Request) time.Duration {
			if r.URL.Query().Get("x") == "1" {
				return 3500 * time.Millisecond
			}
			return 0
		}}, 4 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub("test", test.opts)
				p := connect(t, h, "c1")
				p.want(`{"type":6}`)
				for range 5 {
					start := time.Now()
					p.want(`{"type":6}`)
					if d := time.Since(start); d != test.want {
						t.Errorf("a ping after %v, want %v", d, test.want)
					}
				}
				shutdown(t, h)
			})
		})
	}
}

func TestClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		h := NewHub("test", HubOptions{KeepAliveInterval: time.Hour, EnableDetailedErrors: true,
			OnDisconnected: func(_ context.Context, _ *Conn, err error) { cause = err }})
		Handle(h, "Nothing", func() {})
		silent := connect(t, h, "silent")
		p := connect(t, h, "c1")
		time.Sleep(10 * time.Minute) // not armed yet
		p.send(`{"type":6}`)
		time.Sleep(29 * time.Second)
		p.send(`{"type":1,"target":"Nothing","arguments":[]}`) // any message counts
		start := time.Now()
		p.want(`{"type":7,"error":"Connection closed with an error. OperationCanceledException: Client hasn't sent a message/ping within the configured ClientTimeoutInterval.","allowReconnect":true}`, "")
		if d := time.Since(start); d < 30*time.Second || d > 32*time.Second {
			t.Errorf("closed after %v", d)
		}
		synctest.Wait()
		if cause == nil || !strings.HasPrefix(cause.Error(), "Client hasn't sent") {
			t.Errorf("cause %v", cause)
		}
		if silent.hasEnded() {
			t.Error("a client that never pings was timed out")
		}
		shutdown(t, h)
	})
}

func TestIdleConnectionHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		p := connect(t, h, "c1")
		synctest.Wait()
		c := h.Connection("c1")
		if c.out.entries != nil && cap(c.out.entries) > 32 || c.in.partial != nil || c.in.waiting != nil {
			t.Error("an idle connection keeps buffers")
		}
		h.mu.RLock()
		beating := h.beating != nil
		h.mu.RUnlock()
		if !beating {
			t.Error("no heartbeat")
		}
		p.session.Abort(nil)
		synctest.Wait()
		if h.beating != nil {
			t.Error("the heartbeat goes on without connections")
		}
	})
}
