package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func wantLines(t *testing.T, r result, lines ...string) {
	t.Helper()
	got := strings.Join(strings.Fields(r.out), " ")
	for _, l := range lines {
		if !strings.Contains(got, l) {
			t.Errorf("it does not say %q:\n%s%s", l, r.out, r.err)
		}
	}
}

func TestDoctor(t *testing.T) {
	m := boot(t)
	r := m.good("doctor", "--idle", "1s")
	wantLines(t, r, "ok Server", "ok Readiness", "ok Virtual key", "ok Scope video", "ok Scope image", "ok Scope navigation",
		"ok WebSockets", "ok ServerSentEvents", "ok LongPolling", "skip Subscription", "ok Latency", "ok Idle connection", "ok Backplane", "Nothing is wrong.")
	m.good("generate", "image", "a paper boat", "--watch", "--size", "64x64")
	wantLines(t, m.good("doctor", "--idle", "0"), "ok Subscription ImageGenerationCompleted of task_")

	away := &machine{t: t, environ: append(slices.Clone(m.environ), "Conduit__DataFolder="+filepath.Join(t.TempDir(), "data"), "Redis__Configuration=127.0.0.1:1")}
	away.environ = away.environ[1:] // the folder is another
	away.start()
	wantLines(t, away.good("doctor", "--idle", "0"), "warn Redis latency Redis does not answer", "ConnectionStrings:Redis", "warn Backplane", "Nothing is broken")

	// A proxy that passes no upgrades on.
	target, err := url.Parse(m.url)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(target)
	pass.FlushInterval = -1
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	_, secret, _ := strings.Cut(m.good("keys", "create", "--name", "films", "--scopes", "video").out, "condt_")
	secret = "condt_" + strings.Fields(secret)[0]
	r = m.run("doctor", "--server", proxy.URL, "--key", secret)
	if r.code != exitError {
		t.Errorf("exit %d", r.code)
	}
	wantLines(t, r, "fail WebSockets", "Upgrade and Connection", "ok LongPolling", "warn Scope image", "--scopes video,image,navigation", "skip Latency")
	if strings.Contains(r.out+r.err, secret) {
		t.Error("the key is shown")
	}

	r = m.run("doctor", "--server", m.url, "--key", "condt_wrong")
	if r.code != exitError {
		t.Errorf("exit %d", r.code)
	}
	wantLines(t, r, "fail Virtual key", "conduit keys create")
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	wantLines(t, m.run("doctor", "--server", other.URL, "--key", "x"), "fail Server", "no Conduit")
	other.Close()
	wantLines(t, m.run("doctor", "--server", other.URL, "--key", "x"), "fail Server", "conduit serve")
}
