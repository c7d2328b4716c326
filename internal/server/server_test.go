package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/config"
)

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is a server that serves.
type running struct {
	*Server
	t        *testing.T
	out, log *syncBuffer
	stop     func() error // once
}

// settings are those of a server on folder, with file as its settings file.
func settings(t *testing.T, folder, file string) *config.Config {
	t.Helper()
	name := filepath.Join(t.TempDir(), "appsettings.json")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.LoadOptions{File: name, Environ: []string{}, Flags: []config.Flag{
		{Name: "--data", Path: "DataFolder", Value: folder},
		{Name: "--urls", Path: "Urls", Value: "http://127.0.0.1:0"},
		{Name: "--log-level", Path: "Log:Level", Value: "debug"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func start(t *testing.T, folder, file string) *running {
	t.Helper()
	return serve(t, settings(t, folder, file))
}

// serve runs a server with settings until the test is over.
func serve(t *testing.T, c *config.Config, with ...func(*Options)) *running {
	t.Helper()
	r := &running{t: t, out: &syncBuffer{}, log: &syncBuffer{}}
	o := Options{Config: c, Logger: Logger(c, r.log), Out: r.out}
	for _, f := range with {
		f(&o)
	}
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", withoutDebug(r.log.String()))
		}
	})
	eventually(t, "the announcement", func() bool { return strings.Contains(r.out.String(), "conduit login") })
	return r
}

// eventually waits for something that takes a moment, up to ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// call sends a request and returns the answer with its whole body.
func (r *running) call(method, path, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.URL()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(b)
}

func (r *running) key() string {
	r.t.Helper()
	k := regexp.MustCompile(`condt_[A-Za-z0-9_-]{43}`).FindString(r.out.String())
	if k == "" {
		r.t.Fatalf("no key in\n%s", r.out)
	}
	return k
}

func TestFirstAndSecondStart(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "data")
	r := start(t, folder, `{}`)
	secret := r.key()
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(credentialsPath(folder)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the credentials: %v", err)
	}
	if resp, body := r.call("GET", "/v1/models", "", "Authorization: Bearer "+secret); resp.StatusCode != 200 || !strings.Contains(body, "local-video") {
		t.Errorf("the printed key: %d %s", resp.StatusCode, body)
	}
	local, err := FindLocal(r.config)
	if err != nil || local.APIKey != secret || local.URL != r.URL() || !local.Running {
		t.Errorf("the command line finds %+v, %v", local, err)
	}

	code := regexp.MustCompile(`#login=([A-Za-z0-9_-]+)`).FindStringSubmatch(r.out.String())
	if code == nil {
		t.Fatalf("no login link in\n%s", r.out)
	}
	resp, _ := r.call("POST", "/console/session", `{"code":"`+code[1]+`"}`, "Origin: "+r.URL())
	if resp.StatusCode != 204 || len(resp.Cookies()) != 1 {
		t.Errorf("the login link: %d", resp.StatusCode)
	}
	cookie := "Cookie: " + resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
	if resp, _ := r.call("GET", "/v1/tasks", "", cookie); resp.StatusCode != 200 {
		t.Errorf("the session: %d", resp.StatusCode)
	}
	if resp, _ := r.call("POST", "/console/session", `{"code":"`+code[1]+`"}`); resp.StatusCode != 401 {
		t.Errorf("the login link again: %d", resp.StatusCode)
	}
	if strings.Contains(r.log.String(), secret) || strings.Contains(r.log.String(), code[1]) {
		t.Error("a secret is in the log")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(presencePath(folder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stopped server seems to be there: %v", err)
	}

	again := start(t, folder, `{}`)
	if strings.Contains(again.out.String(), "condt_") {
		t.Errorf("the second start prints a key:\n%s", again.out)
	}
	if resp, _ := again.call("GET", "/v1/tasks", "", "X-API-Key: "+secret); resp.StatusCode != 200 {
		t.Errorf("the key after a restart: %d", resp.StatusCode)
	}
	if resp, _ := again.call("GET", "/v1/tasks", "", cookie); resp.StatusCode != 200 {
		t.Errorf("the session after a restart: %d", resp.StatusCode)
	}
}

func TestOneServerPerFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := start(t, folder, `{}`)
	_, err := New(t.Context(), Options{Config: settings(t, folder, `{}`), Logger: slog.New(slog.DiscardHandler), Out: io.Discard})
	if err == nil {
		t.Fatal("a second server starts")
	}
	for _, want := range []string{folder, r.URL(), "process", "--data"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	k, err := OpenKeys(t.Context(), r.config)
	if err != nil {
		t.Fatalf("keys beside the server: %v", err)
	}
	defer func() { _ = k.Close() }()
	info, secret, err := k.Create(t.Context(), "friend", []string{"video"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if resp, _ := r.call("GET", "/v1/models", "", "X-API-Key: "+secret); resp.StatusCode != 200 {
		t.Errorf("a key made beside it: %d", resp.StatusCode)
	}
	if _, err := k.Revoke(t.Context(), info.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the revocation", func() bool {
		resp, _ := r.call("GET", "/v1/models", "", "X-API-Key: "+secret)
		return resp.StatusCode == 401
	})
	link, err := k.Login(t.Context(), "")
	if err != nil || !strings.HasPrefix(link, r.URL()+"/#login=") {
		t.Errorf("a login link: %q, %v", link, err)
	}
	if _, err := k.Login(t.Context(), "friend"); err == nil {
		t.Error("a revoked key signs in")
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := settings(t, t.TempDir(), `{}`)
	c.URLs = "http://" + l.Addr().String()
	_, err = New(t.Context(), Options{Config: c, Logger: slog.New(slog.DiscardHandler), Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "--urls") {
		t.Errorf("got %v", err)
	}
	// The folder was let go.
	c.URLs = "http://127.0.0.1:0"
	s, err := New(t.Context(), Options{Config: c, Logger: slog.New(slog.DiscardHandler), Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	s.close()
}

func TestFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), Options{Config: settings(t, filepath.Join(file, "data"), `{}`), Logger: slog.New(slog.DiscardHandler), Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("got %v", err)
	}
}

func TestHealth(t *testing.T) {
	r := start(t, t.TempDir(), `{}`)
	for _, path := range []string{"/health", "/health/live", "/health/ready", "/health/signalr"} {
		resp, body := r.call("GET", path, "")
		var h health
		if err := json.Unmarshal([]byte(body), &h); err != nil || resp.StatusCode != 200 || h.Status != "Healthy" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
		if resp, _ := r.call("POST", path, ""); resp.StatusCode != 405 {
			t.Errorf("POST %s: %d", path, resp.StatusCode)
		}
	}
	_, body := r.call("GET", "/health/signalr", "")
	if !strings.Contains(body, `"/hubs/video-generation":{"connections":0}`) || strings.Contains(body, "backplane") {
		t.Errorf("signalr: %s", body)
	}

	r.draining.Store(true)
	if resp, _ := r.call("GET", "/health/ready", ""); resp.StatusCode != 503 {
		t.Errorf("ready while stopping: %d", resp.StatusCode)
	}
	if resp, body := r.call("GET", "/health/signalr", ""); resp.StatusCode != 200 || !strings.Contains(body, "Degraded") {
		t.Errorf("signalr while stopping: %d %s", resp.StatusCode, body)
	}
	r.draining.Store(false)
}

func TestHealthWithoutDatabase(t *testing.T) {
	c := settings(t, t.TempDir(), `{}`)
	s, err := New(t.Context(), Options{Config: c, Logger: slog.New(slog.DiscardHandler), Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/health/live": 200, "/health/ready": 503, "/health/signalr": 200} {
		w := newRecorder("GET", path)
		s.http.Handler.ServeHTTP(w.ResponseRecorder, w.r)
		if w.Code != want || path != "/health/live" && !strings.Contains(w.Body.String(), "database") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// The guide's settings, as they stand there, with a Redis that is not there.
func TestGuideSettingsStart(t *testing.T) {
	r := start(t, t.TempDir(), `{
  "SignalR": {
    "EnableDetailedErrors": false,
    "KeepAliveInterval": "00:00:15",
    "ClientTimeoutInterval": "00:00:30",
    "HandshakeTimeout": "00:00:15",
    "MaximumReceiveMessageSize": 32768,
    "StreamBufferCapacity": 10,
    "EnableMessageTracing": false
  },
  "Redis": {
    "Configuration": "localhost:6379,password=s3cr3t",
    "InstanceName": "conduit-signalr"
  },
  "Logging": {"LogLevel": {"Default": "Information"}}
}`)
	resp, body := r.call("GET", "/health/signalr", "")
	if resp.StatusCode != 200 || !strings.Contains(body, `"status":"Degraded"`) || !strings.Contains(body, "Redis") || !strings.Contains(body, `"backplane":{"kind":"redis"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := r.call("GET", "/health/ready", ""); resp.StatusCode != 200 {
		t.Errorf("ready: %d", resp.StatusCode)
	}
	if strings.Contains(r.log.String(), "s3cr3t") || strings.Contains(body, "s3cr3t") {
		t.Error("the password is told")
	}
	if n := strings.Count(r.log.String(), "Logging"); n != 1 {
		t.Errorf("the foreign section is named %d times", n)
	}
}

func TestTuningSettingsStart(t *testing.T) {
	r := start(t, t.TempDir(), `{
  "SignalR": {
    // Reduce keep-alive frequency
    "KeepAliveInterval": "00:00:30",
    
    // Increase client timeout for mobile networks
    "ClientTimeoutInterval": "00:01:00",
    
    // Limit message size to prevent abuse
    "MaximumReceiveMessageSize": 16384
  }
}`)
	if !strings.Contains(r.log.String(), "at least every 20 s") {
		t.Error("the log does not tell of the pings")
	}
}

func withoutDebug(log string) string {
	var b strings.Builder
	for l := range strings.Lines(log) {
		if !strings.Contains(l, "level=DEBUG") {
			b.WriteString(l)
		}
	}
	return b.String()
}

// What is stored of a task names its result, never a link to it: links are made
// when somebody is told, and expire.
func TestLinksAreNotStored(t *testing.T) {
	folder := t.TempDir()
	r := start(t, folder, `{}`)
	bearer := "Authorization: Bearer " + r.key()
	_, accepted := r.call("POST", "/v1/videos/generations/async", `{"prompt":"a paper boat","size":"16x16","duration":1,"fps":2}`, bearer)
	id := regexp.MustCompile(`task_[0-9a-f]{32}`).FindString(accepted)
	_, stream := r.call("GET", "/v1/tasks/"+id+"/events", "", bearer) // to the end
	link := regexp.MustCompile(`"videoUrl":"([^"]*)"`).FindStringSubmatch(stream)
	if link == nil || !strings.HasPrefix(link[1], r.URL()+"/v1/media/"+id+"/") || !strings.Contains(link[1], "sig=") {
		t.Fatalf("the end as it is told: %s", stream)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"conduit.db", "conduit.db-wal"} {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("sig=")) || bytes.Contains(b, []byte("/v1/media/")) {
			t.Errorf("a link is in %s", name)
		}
		if name == "conduit.db" && !bytes.Contains(b, []byte(id+"/1-0.webm")) {
			t.Error("the result's name is not in the database")
		}
	}
}
