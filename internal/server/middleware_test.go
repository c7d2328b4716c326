package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/key"
)

type recorder struct {
	*httptest.ResponseRecorder
	r *http.Request
}

// newRecorder makes a request with headers, and what records its answer.
func newRecorder(method, target string, headers ...string) recorder {
	r := httptest.NewRequest(method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Host":
			r.Host = value
		case "Remote":
			r.RemoteAddr = value
		default:
			r.Header.Add(name, value)
		}
	}
	return recorder{httptest.NewRecorder(), r}
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })

func TestRequestNames(t *testing.T) {
	for given, kept := range map[string]bool{
		"abc-1._X": true, "": false, "a b": false, "ä": false, "a\nb": false, strings.Repeat("a", 129): false, strings.Repeat("a", 128): true,
	} {
		w := newRecorder("GET", "/")
		w.r.Header.Set("X-Request-Id", given)
		nameRequests(ok).ServeHTTP(w, w.r)
		got := w.Header().Get("X-Request-Id")
		if (got == given) != kept || !validRequestID(got) {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestLogHidesSecrets(t *testing.T) {
	var log syncBuffer
	h := logRequests(ok, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, target := range []string{
		"/hubs/video-generation?id=s3cr3t&access_token=s3cr3t",
		"/hubs/video-generation?ACCESS_TOKEN=s3cr3t",
		"/hubs/video-generation?access%5Ftoken=s3cr3t",
		"/hubs/video-generation?a=1;access_token=s3cr3t",
		"/v1/x?api_key=s3cr3t",
		"/v1/media/a?exp=1&sig=s3cr3t",
		"/v1/x?other=condt_s3cr3t",
		"/v1/x?access%ZZtoken=s3cr3t",
		"/v1/x?condt_s3cr3t",
		"/v1/x?condt_s3cr3t=1",
		"/v1/x?other=condt%5Fs3cr3t",
		"/v1/tasks/condt_s3cr3t",
	} {
		w := newRecorder("GET", "/", "Authorization: Bearer s3cr3t", "X-API-Key: s3cr3t", "Cookie: conduit_session=s3cr3t")
		path, query, _ := strings.Cut(target, "?")
		w.r.URL = &url.URL{Path: path, RawQuery: query}
		h.ServeHTTP(w, w.r)
	}
	w := newRecorder("GET", "/v1/tasks?limit=5&after=task_1")
	h.ServeHTTP(w, w.r)
	if strings.Contains(log.String(), "s3cr3t") {
		t.Errorf("a secret is in the log:\n%s", log.String())
	}
	for _, want := range []string{"limit=5", "after=task_1", "exp=1", "status=200", "method=GET", "duration=", "bytes=2"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is missing in the log:\n%s", want, log.String())
		}
	}
}

func FuzzRedactURL(f *testing.F) {
	f.Add("access_token", "&a=b")
	f.Add("API_KEY", ";x")
	f.Add("a", "%zz")
	f.Fuzz(func(t *testing.T, name, rest string) {
		const marker = "QZ7QZ7"
		if strings.Contains(name+rest, marker) {
			return
		}
		u := &url.URL{Path: "/hubs/x", RawQuery: "access_token=" + marker + "&" + name + "=condt_" + marker + "&" + rest}
		if got := redactURL(u); strings.Contains(got, marker) {
			t.Errorf("%s shows the secret: %s", u.RawQuery, got)
		}
	})
}

func TestCORS(t *testing.T) {
	const page = "https://app.example"
	for _, tt := range []struct {
		name    string
		allowed []string
		method  string
		headers []string
		status  int
		want    map[string]string // "" means absent
	}{
		{"no origin", []string{"*"}, "GET", nil, 200, map[string]string{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"echo", []string{"*"}, "GET", []string{"Origin: " + page}, 200, map[string]string{
			"Access-Control-Allow-Origin": page, "Access-Control-Allow-Credentials": "true", "Vary": "Origin", "Access-Control-Expose-Headers": exposed}},
		{"listed", []string{page}, "GET", []string{"Origin: " + page}, 200, map[string]string{"Access-Control-Allow-Origin": page}},
		{"listed in another spelling", []string{"HTTPS://App.Example:443/"}, "GET", []string{"Origin: " + page}, 200, map[string]string{"Access-Control-Allow-Origin": page}},
		{"not listed", []string{"https://other.example"}, "GET", []string{"Origin: " + page}, 200, map[string]string{
			"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Vary": "Origin"}},
		{"none allowed", nil, "GET", []string{"Origin: " + page}, 200, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"preflight", []string{"*"}, "OPTIONS", []string{"Origin: " + page, "Access-Control-Request-Method: DELETE",
			"Access-Control-Request-Headers: authorization,x-stainless-os"}, 204, map[string]string{
			"Access-Control-Allow-Origin": page, "Access-Control-Allow-Credentials": "true",
			"Access-Control-Allow-Methods": "DELETE", "Access-Control-Allow-Headers": "authorization,x-stainless-os", "Vary": "Origin"}},
		{"preflight not listed", []string{"https://other.example"}, "OPTIONS", []string{"Origin: " + page, "Access-Control-Request-Method: GET"}, 204,
			map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": ""}},
		{"OPTIONS that is no preflight", []string{"*"}, "OPTIONS", []string{"Origin: " + page}, 200, map[string]string{"Access-Control-Allow-Origin": page}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newRecorder(tt.method, "/v1/x", tt.headers...)
			cors(ok, tt.allowed).ServeHTTP(w, w.r)
			if w.Code != tt.status {
				t.Errorf("status %d", w.Code)
			}
			for name, want := range tt.want {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestForwarded(t *testing.T) {
	on := config.ForwardedHeaders{Enabled: true, KnownProxies: []string{"127.0.0.1", "10.0.0.0/8"}}
	all := []string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: conduit.example"}
	for _, tt := range []struct {
		name           string
		c              config.ForwardedHeaders
		headers        []string
		origin, remote string
	}{
		{"off", config.ForwardedHeaders{KnownProxies: on.KnownProxies}, append(all, "Remote: 127.0.0.1:1"), "http://inside", "127.0.0.1:1"},
		{"known", on, append(all, "Remote: 127.0.0.1:1"), "https://conduit.example", "192.0.2.7:0"},
		{"known network", on, append(all, "Remote: 10.9.8.7:1"), "https://conduit.example", "192.0.2.7:0"},
		{"mapped address", on, append(all, "Remote: [::ffff:10.9.8.7]:1"), "https://conduit.example", "192.0.2.7:0"},
		{"stranger", on, append(all, "Remote: 192.0.2.9:1"), "http://inside", "192.0.2.9:1"},
		{"forged beginning", on, []string{"X-Forwarded-For: 127.0.0.1, 192.0.2.7, 10.0.0.1", "Remote: 127.0.0.1:1"}, "http://inside", "192.0.2.7:0"},
		{"two headers", on, []string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 10.0.0.1", "Remote: 127.0.0.1:1"}, "http://inside", "192.0.2.7:0"},
		{"the nearest proxy counts", on, []string{"X-Forwarded-Proto: http, https", "X-Forwarded-Host: evil.example, conduit.example", "Remote: 127.0.0.1:1"}, "https://conduit.example", "127.0.0.1:1"},
		{"nonsense", on, []string{"X-Forwarded-For: unknown", "X-Forwarded-Proto: gopher", "Remote: 127.0.0.1:1"}, "http://inside", "127.0.0.1:1"},
		{"with port", on, []string{"X-Forwarded-For: [2001:db8::1]:443", "Remote: 127.0.0.1:1"}, "http://inside", "[2001:db8::1]:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newRecorder("GET", "/", append([]string{"Host: inside"}, tt.headers...)...)
			var origin, remote string
			forwarded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				origin, remote = key.Origin(r, ""), r.RemoteAddr
			}), tt.c).ServeHTTP(w, w.r)
			if origin != tt.origin || remote != tt.remote {
				t.Errorf("got %s, %s; want %s, %s", origin, remote, tt.origin, tt.remote)
			}
		})
	}
}

func TestAPanicIsAnswered(t *testing.T) {
	var log syncBuffer
	run := func(f http.HandlerFunc) (w recorder, aborted bool) {
		w = newRecorder("GET", "/health/condt_s3cr3t?access_token=s3cr3t")
		defer func() { aborted = recover() == http.ErrAbortHandler }()
		logRequests(f, slog.New(slog.NewTextHandler(&log, nil))).ServeHTTP(w, w.r)
		return w, false
	}
	w, aborted := run(func(http.ResponseWriter, *http.Request) { panic("oh") })
	if w.Code != 500 || !strings.Contains(w.Body.String(), "internal_error") || aborted {
		t.Errorf("nothing written: %d %s, aborted %v", w.Code, w.Body, aborted)
	}
	if _, aborted = run(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("half")); panic("oh") }); !aborted {
		t.Error("half an answer looks whole")
	}
	if _, aborted = run(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }); !aborted {
		t.Error("an abort is swallowed")
	}
	if strings.Count(log.String(), "a handler panicked") != 2 || strings.Contains(log.String(), "s3cr3t") {
		t.Errorf("log: %s", log.String())
	}
}
