package server

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/internal/push"
)

func TestEveryPatternHasALimit(t *testing.T) {
	for _, p := range []string{patternNegotiation, push.PatternConnection, push.PatternOversized, push.PatternRateLimitStop, push.PatternUnknownTask} {
		if abnormalLimits[p] <= 0 {
			t.Errorf("%s has no limit", p)
		}
	}
}

func TestAbnormalIsToldOncePerWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &syncBuffer{}
		seen := 0
		a := newAbnormal(slog.New(slog.NewTextHandler(log, nil)), func(string) { seen++ })
		told := func(want int, has string) {
			t.Helper()
			if n := strings.Count(log.String(), "abnormal connections"); n != want || !strings.Contains(log.String(), has) {
				t.Errorf("told %d times, want %d with %s:\n%s", n, want, has, log.String())
			}
		}
		note := func(key, address string, times int) (above bool) {
			for range times {
				above = a.note(push.PatternOversized, key, address)
			}
			return above
		}
		if note("k", "10.0.0.1:1", 3) {
			t.Error("the limit itself is above it")
		}
		told(0, "")
		if !note("k", "10.0.0.2:1", 1) { // the key, from wherever
			t.Error("above the limit is not noticed")
		}
		told(1, "key=k")
		note("other", "10.0.0.1:9", 10) // the address, and the other key
		told(3, "address=10.0.0.1")
		time.Sleep(abnormalWindow)
		if note("k", "10.0.0.1:1", 3) {
			t.Error("a new window is not new")
		}
		told(3, "")
		note("k", "", 1)
		told(4, "")
		if seen != 18 {
			t.Errorf("seen %d", seen)
		}
		for i := range maxSubjects + 10 {
			a.note(push.PatternOversized, "", time.Duration(i).String())
		}
		if n := len(a.counts); n > maxSubjects {
			t.Errorf("%d are remembered", n)
		}
	})
}

func TestRefusedNegotiationsAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := http.StatusUnauthorized
		h := newAbnormal(slog.New(slog.DiscardHandler), func(string) {}).watchHubs(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
		}))
		ask := func(ctx context.Context, times int) time.Duration {
			begun := time.Now()
			for range times {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/hubs/video-generation/negotiate", nil).WithContext(ctx))
			}
			return time.Since(begun)
		}
		limit := abnormalLimits[patternNegotiation]
		if took := ask(t.Context(), limit); took != 0 {
			t.Errorf("took %s", took)
		}
		if took := ask(t.Context(), 3); took != 3*slowDown {
			t.Errorf("took %s", took)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if took := ask(gone, 3); took != 0 {
			t.Errorf("nobody was waited for %s", took)
		}
		status = http.StatusOK // from the same address, with a good key
		if took := ask(t.Context(), 3); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

func TestKeysInTheClear(t *testing.T) {
	for name, c := range map[string]struct {
		remote, header, target string
		tls, warned            bool
	}{
		"foreign, bearer":      {"192.0.2.1:1", "Authorization: Bearer condt_x", "http://h/v1/tasks", false, true},
		"foreign, X-API-Key":   {"[2001:db8::1]:1", "X-API-Key: condt_x", "http://h/v1/tasks", false, true},
		"foreign, query":       {"192.0.2.1:1", "A: b", "http://h/hubs/x?api_key=condt_x", false, true},
		"foreign, without key": {"192.0.2.1:1", "A: b", "http://h/health", false, false},
		"foreign, TLS":         {"192.0.2.1:1", "Authorization: Bearer condt_x", "https://h/v1/tasks", true, false},
		"this machine":         {"127.0.0.1:1", "Authorization: Bearer condt_x", "http://h/v1/tasks", false, false},
		"this machine, v6":     {"[::1]:1", "Authorization: Bearer condt_x", "http://h/v1/tasks", false, false},
	} {
		log := &syncBuffer{}
		h := plainKeys(http.NotFoundHandler(), slog.New(slog.NewTextHandler(log, nil)), func(r *http.Request) bool { return r.TLS != nil })
		for range 3 {
			r := httptest.NewRequest("GET", c.target, nil)
			r.RemoteAddr, r.TLS = c.remote, nil
			if c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			key, value, _ := strings.Cut(c.header, ": ")
			r.Header.Set(key, value)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		want := 0
		if c.warned {
			want = 1
		}
		if n := strings.Count(log.String(), "in the clear"); n != want || strings.Contains(log.String(), "condt_") {
			t.Errorf("%s: warned %d times: %s", name, n, log.String())
		}
	}
}

func TestMetrics(t *testing.T) {
	r := start(t, t.TempDir(), `{"Metrics": {"Urls": "http://127.0.0.1:0"}}`)
	s, status := r.dial("?access_token=" + r.key())
	if status != http.StatusSwitchingProtocols {
		t.Fatal(status)
	}
	s.handshake()
	r.call("POST", "/hubs/video-generation/negotiate", "")
	get := func(url string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	base := localURL(r.metricListeners[0].Addr())
	_, text := get(base + "/metrics")
	for _, line := range []string{
		`signalr_server_active_connections{hub="video-generation"} 1`, `signalr_server_active_connections{hub="navigation-state"} 0`,
		`conduit_abnormal_total{pattern="failed_negotiations"} 1`, `conduit_abnormal_total{pattern="reconnect_storms"} 1`,
		`conduit_model_available{kind="video",model="local-video"} 1`, "go_goroutines ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if strings.Contains(text, r.key()) {
		t.Error("/metrics names a key")
	}
	if status, _ := get(base + "/v1/tasks"); status != http.StatusNotFound {
		t.Errorf("the listener of the metrics serves more: %d", status)
	}
	if status, body := get(r.URL() + "/metrics"); status == http.StatusOK && strings.Contains(body, "go_goroutines") {
		t.Error("the metrics are served to everybody")
	}
}
