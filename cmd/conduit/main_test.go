package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// machine is a data folder with the commands on it.
type machine struct {
	t       *testing.T
	environ []string
	url     string
	out     *syncBuffer // of the server
	stop    func() int  // ends the server
}

// boot starts a server by the command line.
func boot(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, environ: []string{"Conduit__DataFolder=" + filepath.Join(t.TempDir(), "data"), "Urls=http://127.0.0.1:0"}}
	m.start()
	return m
}

func (m *machine) start() {
	m.t.Helper()
	m.out = &syncBuffer{}
	log := &syncBuffer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	out, environ := m.out, m.environ
	go func() { done <- run(ctx, nil, environ, out, log) }()
	m.stop = sync.OnceValue(func() int { cancel(); return <-done })
	m.t.Cleanup(func() { _ = m.stop() })
	eventually(m.t, "the server", func() bool { return strings.Contains(m.out.String(), "conduit login") })
	m.url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(m.out.String())
}

type result struct {
	code     int
	out, err string
}

func (m *machine) run(args ...string) result {
	m.t.Helper()
	var out, errOut syncBuffer
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	code := run(ctx, args, m.environ, &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

func (m *machine) good(args ...string) result {
	m.t.Helper()
	r := m.run(args...)
	if r.code != exitOK {
		m.t.Fatalf("%q: exit %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r
}

var (
	taskID = regexp.MustCompile(`task_[0-9a-f]{32}`)
	small  = []string{"--size", "64x64", "--duration", "1", "--fps", "8"}
)

func TestGenerateAndWatch(t *testing.T) {
	m := boot(t)
	r := m.good(append([]string{"generate", "video", "a paper boat", "--watch"}, small...)...)
	link := strings.TrimSpace(r.out)
	if !strings.HasPrefix(link, m.url+"/v1/media/") {
		t.Fatalf("the result: %q", r.out)
	}
	resp, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "video/webm") {
		t.Errorf("the link: %s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	if strings.ContainsAny(r.err, "\r\x1b") || !strings.Contains(r.err, "100 %  done") {
		t.Errorf("progress: %q", r.err)
	}
	id := taskID.FindString(r.err)

	again := m.good("watch", id)
	if !strings.Contains(again.out, "/v1/media/") {
		t.Errorf("watching what has ended: %q", again.out)
	}
	file := filepath.Join(t.TempDir(), "boat.webm")
	m.good("watch", id, "-o", file)
	if b, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(b, []byte{0x1a, 0x45, 0xdf, 0xa3}) {
		t.Errorf("the saved video: %v", err)
	}
	nowhere := filepath.Join(t.TempDir(), "missing", "boat.webm")
	if r := m.run("watch", id, "-o", nowhere); r.code != exitError || !strings.Contains(r.err, nowhere+" cannot be saved") || !strings.Contains(r.err, "/v1/media/") {
		t.Errorf("a result that cannot be saved: %+v", r)
	}
	if r := m.good("tasks"); !strings.Contains(r.out, id) || !strings.Contains(r.out, "completed") || !strings.Contains(r.out, "a paper boat") {
		t.Errorf("tasks: %s", r.out)
	}
	var page struct{ Data []taskStatus }
	if err := json.Unmarshal([]byte(m.good("tasks", "--json", "--status", "completed").out), &page); err != nil || len(page.Data) != 1 {
		t.Errorf("tasks as JSON: %v, %+v", err, page)
	}
}

func TestGenerateImage(t *testing.T) {
	m := boot(t)
	file := filepath.Join(t.TempDir(), "boat.png")
	m.good("generate", "image", "a paper boat", "--size", "64x64", "-o", file)
	if b, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
		t.Errorf("the saved image: %v", err)
	}
}

// The server is stopped and started while somebody watches; the watcher sees
// the end, over the hub and over the event stream.
func TestWatchSurvivesARestart(t *testing.T) {
	for _, kind := range []string{"hub", "stream"} {
		t.Run(kind, func(t *testing.T) {
			m := boot(t)
			m.environ[1] = "Urls=" + m.url // the same port again
			id := taskID.FindString(m.good("generate", "video", "a long way", "--size", "320x180", "--duration", "20", "--fps", "30").out)
			var end event
			watched := make(chan error, 1)
			seen := make(chan struct{}, 1)
			p := &program{ctx: t.Context(), environ: m.environ}
			c, err := p.connect(remote{})
			if err != nil {
				t.Fatal(err)
			}
			var sequences []int64
			go func() {
				status := taskStatus{TaskID: id, Kind: map[string]string{"hub": "video"}[kind]}
				var err error
				end, err = c.follow(t.Context(), status, func(e event) {
					sequences = append(sequences, e.Sequence)
					if e.CurrentFrame > 0 {
						select {
						case seen <- struct{}{}:
						default:
						}
					}
				})
				watched <- err
			}()
			<-seen
			if code := m.stop(); code != exitOK {
				t.Errorf("the server ended with %d", code)
			}
			m.start()
			m.cancelWhenRunning(c, id)
			if err := <-watched; err != nil || !end.is("Cancelled") {
				t.Errorf("watched to %+v, %v", end, err)
			}
			for i := 1; i < len(sequences); i++ {
				if sequences[i] <= sequences[i-1] {
					t.Errorf("sequences: %v", sequences)
				}
			}
		})
	}
}

// cancelWhenRunning lets the task come to work again, then ends it.
func (m *machine) cancelWhenRunning(c *client, id string) {
	m.t.Helper()
	eventually(m.t, "the task to run again", func() bool {
		s, err := c.status(m.t.Context(), id)
		return err == nil && s.Status == "running"
	})
	if err := c.call(m.t.Context(), http.MethodPost, "/v1/tasks/"+id+"/cancel", nil, nil); err != nil {
		m.t.Fatal(err)
	}
}

func TestInterruptedWatchLeavesTheTask(t *testing.T) {
	m := boot(t)
	var out, errOut syncBuffer
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"generate", "video", "a long way", "--watch", "--size", "320x180", "--duration", "60"}, m.environ, &out, &errOut)
	}()
	eventually(t, "the start", func() bool { return strings.Contains(errOut.String(), "started") })
	interrupt()
	if code := <-done; code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	id := taskID.FindString(errOut.String())
	if !strings.Contains(errOut.String(), "conduit watch "+id) {
		t.Errorf("it does not say how to go on: %q", errOut.String())
	}
	p := &program{ctx: t.Context(), environ: m.environ}
	c, err := p.connect(remote{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.status(t.Context(), id); err != nil || s.Status != "running" && s.Status != "pending" {
		t.Errorf("the task is %s, %v", s.Status, err)
	}
	if err := c.call(t.Context(), http.MethodPost, "/v1/tasks/"+id+"/cancel", nil, nil); err != nil {
		t.Fatal(err)
	}
	if r := m.run("watch", id); r.code != exitTaskFailed || !strings.Contains(r.err, "cancelled") {
		t.Errorf("watching a cancelled task: %+v", r)
	}
}

func TestErrors(t *testing.T) {
	m := boot(t)
	unreachable := "http://127.0.0.1:1"
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"unknown command", []string{"nonsense"}, exitUsage, []string{"nonsense"}},
		{"unknown flag", []string{"tasks", "--nonsense"}, exitUsage, []string{"--nonsense"}},
		{"no prompt", []string{"generate", "video"}, exitUsage, []string{"prompt"}},
		{"empty prompt", []string{"generate", "video", ""}, exitError, []string{"prompt"}},
		{"odd size", []string{"generate", "video", "x", "--size", "641x361"}, exitError, []string{"size"}},
		{"no such task", []string{"watch", "task_" + strings.Repeat("0", 32)}, exitError, []string{"task_not_found"}},
		{"a wrong key", []string{"tasks", "--key", "condt_wrong"}, exitError, []string{"invalid_api_key", "--key"}},
		{"no server", []string{"tasks", "--server", unreachable, "--key", "condt_x"}, exitError, []string{unreachable, "conduit serve"}},
		{"no key for another server", []string{"tasks", "--server", unreachable}, exitError, []string{"CONDUIT_API_KEY"}},
		{"no address", []string{"tasks", "--server", "nowhere", "--key", "condt_x"}, exitError, []string{"nowhere"}},
		{"unknown key", []string{"keys", "revoke", "nobody"}, exitError, []string{"nobody", "keys list"}},
		{"unknown scope", []string{"keys", "create", "x", "--scopes", "root"}, exitError, []string{"root", "navigation"}},
		{"unnamed key", []string{"keys", "create"}, exitError, []string{"name"}},
		{"expiry", []string{"keys", "create", "x", "--expires", "soon"}, exitError, []string{"soon", "30d"}},
		{"a setting", []string{"config", "--set", "SignalR:KeepAliveInterval=often"}, exitError, []string{"SignalR:KeepAliveInterval", "often", "00:00:15"}},
		{"a settings file", []string{"config", "--config", "missing.json"}, exitError, []string{"missing.json"}},
		{"the folder is taken", []string{"serve"}, exitError, []string{"in use", m.url}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := m.run(tt.args...)
			if r.code != tt.code {
				t.Errorf("exit %d, want %d: %s", r.code, tt.code, r.err)
			}
			for _, w := range tt.want {
				if !strings.Contains(r.err, w) {
					t.Errorf("%q is missing in %q", w, r.err)
				}
			}
		})
	}
	if r := m.run("--help"); r.code != exitOK || !strings.Contains(r.out, "generate video") {
		t.Errorf("help: %+v", r)
	}
	if r := m.run("version"); r.code != exitOK || !strings.HasPrefix(r.out, "conduit ") {
		t.Errorf("version: %+v", r)
	}
}

func TestKeys(t *testing.T) {
	m := boot(t)
	secret := strings.TrimSpace(m.good("keys", "create", "--name", "friend", "--scopes", "video,image", "--expires", "30d").out)
	if !regexp.MustCompile(`^condt_[A-Za-z0-9_-]{43}$`).MatchString(secret) {
		t.Fatalf("the key: %q", secret)
	}
	if r := m.good("tasks", "--key", secret); strings.Contains(r.out, "task_") {
		t.Errorf("a new key sees tasks: %s", r.out)
	}
	list := m.good("keys", "list").out
	if !strings.Contains(list, "friend") || !strings.Contains(list, "video,image") || strings.Contains(list, secret) {
		t.Errorf("list: %s", list)
	}
	var shown struct {
		Name   string
		Scopes []string
		State  string
	}
	if err := json.Unmarshal([]byte(m.good("keys", "show", "friend", "--json").out), &shown); err != nil || !cmp.Equal(shown.Scopes, []string{"video", "image"}) || shown.State != "active" {
		t.Errorf("show: %+v, %v", shown, err)
	}
	m.good("keys", "revoke", secret) // by itself
	eventually(t, "the revocation", func() bool { return m.run("tasks", "--key", secret).code == exitError })
	if r := m.good("keys", "show", "friend"); !strings.Contains(r.out, "revoked") {
		t.Errorf("show after: %s", r.out)
	}
	if r := m.good("login"); !strings.HasPrefix(r.out, m.url+"/#login=") {
		t.Errorf("login: %s", r.out)
	}
	// All of it works without a server, too.
	m.stop()
	m.good("keys", "create", "later")
	if r := m.good("keys", "list"); !strings.Contains(r.out, "later") {
		t.Errorf("list without a server: %s", r.out)
	}
}

func TestConfigCommand(t *testing.T) {
	m := &machine{t: t, environ: []string{"SignalR__KeepAliveInterval=00:00:12", "ConnectionStrings__Redis=h,password=s3cr3t"}}
	r := m.good("config", "--set", "SignalR:HandshakeTimeout=00:00:07", "--set", "Cors:AllowedOrigins=https://a.example;https://b.example", "--data", "elsewhere")
	for _, want := range []string{`"00:00:12"`, "environment SignalR__KeepAliveInterval", `"00:00:07"`, "flag --set", `"elsewhere"`, `"h,password=***"`,
		`["https://a.example", "https://b.example"]`, "(default)"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in\n%s", want, r.out)
		}
	}
	if strings.Contains(r.out, "s3cr3t") {
		t.Error("a secret is shown")
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"": {}, "never": {}, "2027-01-31": time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC),
		"2027-01-31T12:00:00Z": time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC), "30d": now.AddDate(0, 0, 30), "12h": now.Add(12 * time.Hour), "1s": now.Add(time.Second),
	} {
		if got, err := parseExpiry(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"soon", "-1d", "0d", "-1h", "1", "2027-02-30", "9999999999d"} {
		if got, err := parseExpiry(in, now); err == nil {
			t.Errorf("%q is accepted as %v", in, got)
		}
	}
}

func TestBarOnATerminal(t *testing.T) {
	var b bytes.Buffer
	bar := &bar{w: &b, terminal: true}
	bar.show(event{EventType: "VideoGenerationProgress", Progress: 31, CurrentFrame: 37, TotalFrames: 120})
	bar.show(event{EventType: "VideoGenerationProgress", Progress: 0, Message: "queued\x1b[31m\n"})
	bar.show(event{EventType: "VideoGenerationCompleted"})
	bar.done()
	if got := b.String(); !strings.Contains(got, "31 %  frame 37 of 120") || strings.Count(got, "\r") != 3 || strings.Count(got, "\n") != 1 || strings.Contains(got, "[31m\n") {
		t.Errorf("%q", got)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("event: Progress\nid: 1\ndata: {\"eventType\":\"VideoGenerationProgress\",\"sequence\":1}\n\n: comment\n\n"))
	f.Add([]byte("data: {\ndata: }\n\ndata:\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = readEvents(bytes.NewReader(b), func(e event) {
			if e.EventType == "" {
				t.Error("an event without a type")
			}
			_ = e.outcome()
		})
	})
}
