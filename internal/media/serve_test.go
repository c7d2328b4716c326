package media

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestServe(t *testing.T) {
	s := newLocal(t)
	info := put(t, s, "task_0f/0.webm", "video/webm", "0123456789")
	for _, c := range []struct {
		name, method string
		header       map[string]string
		status       int
		body         string
		length       string
	}{
		{"get", "GET", nil, 200, "0123456789", "10"},
		{"head", "HEAD", nil, 200, "", "10"},
		{"range", "GET", map[string]string{"Range": "bytes=2-4"}, 206, "234", "3"},
		{"range to the end", "GET", map[string]string{"Range": "bytes=7-"}, 206, "789", "3"},
		{"last bytes", "GET", map[string]string{"Range": "bytes=-2"}, 206, "89", "2"},
		{"range beyond", "GET", map[string]string{"Range": "bytes=10-"}, 416, "", ""},
		{"known", "GET", map[string]string{"If-None-Match": `"` + info.SHA256 + `"`}, 304, "", ""},
		{"range of another version", "GET", map[string]string{"Range": "bytes=2-4", "If-Range": `"other"`}, 200, "0123456789", "10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/v1/media/task_0f/0.webm", nil)
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			if err := Serve(w, r, s, "task_0f/0.webm"); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			if c.status < 300 && w.Body.String() != c.body {
				t.Errorf("body %q, want %q", w.Body, c.body)
			}
			if c.length != "" && w.Header().Get("Content-Length") != c.length {
				t.Errorf("Content-Length %q, want %s", w.Header().Get("Content-Length"), c.length)
			}
			if c.status >= 300 {
				return
			}
			for k, want := range map[string]string{
				"Content-Type":           "video/webm",
				"Accept-Ranges":          "bytes",
				"ETag":                   `"` + info.SHA256 + `"`,
				"Cache-Control":          "private, max-age=31536000, immutable",
				"X-Content-Type-Options": "nosniff",
				"Content-Disposition":    `inline; filename="task_0f-0.webm"`,
			} {
				if got := w.Header().Get(k); got != want {
					t.Errorf("%s: %q, want %q", k, got, want)
				}
			}
		})
	}
}

func TestServeNothing(t *testing.T) {
	s := newLocal(t)
	for _, key := range []string{"missing", "../etc/passwd", ""} {
		w := httptest.NewRecorder()
		if err := Serve(w, httptest.NewRequest(http.MethodGet, "/", nil), s, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("Serve(%q): %v", key, err)
		}
		if len(w.Header()) != 0 || w.Body.Len() != 0 {
			t.Errorf("Serve(%q) has written: %v", key, w.Header())
		}
	}
}
