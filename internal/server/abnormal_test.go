package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/internal/key"
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
		seen, exceeded := 0, 0
		a := newAbnormal(slog.New(slog.NewTextHandler(log, nil)), func(_ string, times, above int) { seen, exceeded = seen+times, exceeded+above })
		told := func(want int, has string) {
			t.Helper()
			if n := strings.Count(log.String(), "abnormal connections"); n != want || n != exceeded || !strings.Contains(log.String(), has) {
				t.Errorf("told %d times and %d, want %d with %s:\n%s", n, exceeded, want, has, log.String())
			}
		}
		note := func(key, address string, times int) (above bool) {
			for range times {
				above = a.note(push.PatternOversized, 1, key, address)
			}
			return above
		}
		if note("k", "10.0.0.1:1", 3) {
			t.Error("the limit itself is above it")
		}
		told(0, "")
		if a.above("k", "10.0.0.1") {
			t.Error("above before the limit")
		}
		if !note("k", "10.0.0.2:1", 1) { // the key, from wherever
			t.Error("above the limit is not noticed")
		}
		told(1, "key=k")
		if !a.above("k", "10.9.9.9:1") || a.above("other", "10.0.0.1:1") {
			t.Error("who is above is not known")
		}
		note("other", "10.0.0.1:9", 10) // the address, and the other key
		told(3, "address=10.0.0.1")
		if !a.note(push.PatternOversized, 4, "", "[2001:db8::1]:1") || !a.above("", "[2001:db8::2]:9") { // several at once; a network
			t.Error("the addresses of one network count apart")
		}
		told(4, "address=2001:db8::")
		time.Sleep(abnormalWindow)
		if a.above("k", "") || note("k", "10.0.0.1:1", 3) {
			t.Error("a new window is not new")
		}
		told(4, "")
		note("k", "", 1)
		told(5, "")
		if seen != 22 {
			t.Errorf("seen %d", seen)
		}
		for i := range maxSubjects + 10 {
			a.note(push.PatternOversized, 1, "", time.Duration(i).String())
		}
		if n := len(a.counts); n > maxSubjects {
			t.Errorf("%d are remembered", n)
		}
	})
}

func TestAbnormalReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAbnormal(slog.New(slog.DiscardHandler), func(string, int, int) {})
		begin := time.Now()
		a.note(push.PatternUnknownTask, 61, "k", "10.0.0.1:1")
		a.note(push.PatternOversized, 2, "", "10.0.0.2:1") // below its limit: not kept
		time.Sleep(abnormalWindow)
		a.note(patternNegotiation, 1, "", "10.0.0.3:1")
		time.Sleep(time.Second)
		a.note(patternNegotiation, 2, "", "10.0.0.4:1")
		r := a.report()
		if !r.Since.Equal(begin) || r.Window != abnormalWindow || len(r.Patterns) != len(abnormalLimits) {
			t.Errorf("%+v", r)
		}
		var got []string
		for _, s := range r.Subjects {
			got = append(got, fmt.Sprintf("%s%s %s %d/%d +%s +%s", s.KeyID, s.Address, s.Pattern, s.Count, s.Limit, s.Began.Sub(begin), s.Last.Sub(begin)))
		}
		if diff := cmp.Diff([]string{
			"10.0.0.4 failed_negotiations 2/30 +1m0s +1m1s", "10.0.0.3 failed_negotiations 1/30 +1m0s +1m0s",
			"k unknown_tasks 61/60 +0s +0s", "10.0.0.1 unknown_tasks 61/60 +0s +0s",
		}, got); diff != "" {
			t.Error(diff)
		}
		for _, p := range r.Patterns {
			if p.Pattern == push.PatternUnknownTask && (p.Total != 61 || p.Exceeded != 2 || p.Limit != 60) {
				t.Errorf("%+v", p)
			}
		}
		for range 10 { // what is remembered of earlier windows is bounded
			time.Sleep(abnormalWindow)
			for i := range 30 {
				a.note(push.PatternOversized, 4, fmt.Sprint(i), "")
			}
		}
		if n := len(a.report().Subjects); n != maxReported+30 {
			t.Errorf("%d are reported", n)
		}
	})
}

// What the hubs tell of holds up new connections and subscriptions to unknown
// tasks of who is above a limit, and nobody else.
func TestAbnormalClientsAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAbnormal(slog.New(slog.DiscardHandler), func(string, int, int) {})
		took := func(ctx context.Context, pattern string, times int, key string) time.Duration {
			begun := time.Now()
			a.ofHubs(ctx, pattern, times, key, "10.0.0."+key+":1")
			return time.Since(begun)
		}
		ctx := t.Context()
		if d := took(ctx, push.PatternUnknownTask, 60, "1"); d != 0 {
			t.Errorf("the limit itself took %s", d)
		}
		if d := took(ctx, push.PatternUnknownTask, 40, "1"); d != slowDown {
			t.Errorf("above it: took %s, whatever the number at once", d)
		}
		begun := time.Now()
		if a.ofStreams(ctx, "1", "10.0.0.9:1"); time.Since(begun) != slowDown {
			t.Errorf("its event stream: took %s", time.Since(begun))
		}
		if d := took(ctx, push.PatternOversized, 10, "2"); d != 0 {
			t.Errorf("a connection that ends took %s", d)
		}
		for key, want := range map[string]time.Duration{"1": slowDown, "2": slowDown, "3": 0} {
			if d := took(ctx, push.PatternConnection, 1, key); d != want {
				t.Errorf("the next connection of %s took %s, want %s", key, d, want)
			}
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if d := took(gone, push.PatternUnknownTask, 1, "1"); d != 0 {
			t.Errorf("nobody was waited for %s", d)
		}
	})
}

func TestRefusedNegotiationsAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := http.StatusUnauthorized
		h := newAbnormal(slog.New(slog.DiscardHandler), func(string, int, int) {}).watchHubs(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
		"foreign, cookie":      {"192.0.2.1:1", "Cookie: a=b; conduit_session=x", "http://h/", false, true},
		"foreign, without key": {"192.0.2.1:1", "A: b", "http://h/health", false, false},
		"foreign, not ours":    {"192.0.2.1:1", "Cookie: session=x", "http://h/", false, false},
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

// What an https PublicUrl says of the network counts only where no proxies are
// named: there, who comes from elsewhere comes without one.
func TestEncrypted(t *testing.T) {
	for file, want := range map[string]bool{
		`{}`: false,
		`{"PublicUrl": "https://conduit.example"}`:                                        true,
		`{"PublicUrl": "https://conduit.example", "ForwardedHeaders": {"Enabled": true}}`: false,
	} {
		s := &Server{config: settings(t, t.TempDir(), file)}
		r := httptest.NewRequest("GET", "http://inside/v1/tasks", nil)
		if got := s.encrypted(r); got != want {
			t.Errorf("%s: %v", file, got)
		}
		if !s.encrypted(r.WithContext(key.WithScheme(r.Context(), "https"))) {
			t.Errorf("%s: what the proxy says does not count", file)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
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
		`conduit_abnormal_exceeded_total{pattern="failed_negotiations"} 0`,
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

// An admin key is shown what was noticed, the key and the address by name; no
// other key is.
func TestAbnormalIsShownToAdmins(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), `{}`)
	k, err := OpenKeys(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	create := func(scope string) (id, bearer string) {
		info, secret, err := k.Create(t.Context(), scope, []string{scope}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return info.ID, "Authorization: Bearer " + secret
	}
	_, admin := create("admin")
	image, bearer := create("image")
	for range 2 {
		r.call("POST", "/hubs/video-generation/negotiate", "", bearer) // 403: of a known key
	}
	r.call("POST", "/hubs/video-generation/negotiate", "") // 401: nobody's
	resp, body := r.call("GET", "/v1/admin/abnormal", "", admin)
	var report struct {
		Data []struct {
			Pattern string
			KeyID   string `json:"key_id"`
			Address string
			Count   int
		}
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v %s", resp.StatusCode, err, body)
	}
	if got, want := fmt.Sprint(report.Data), "[{failed_negotiations  127.0.0.1 3} {failed_negotiations "+image+"  2}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
