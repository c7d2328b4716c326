package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler(Options{}).ServeHTTP(w, r)
	return w.Result()
}

func TestAnswers(t *testing.T) {
	page, err := dist.ReadFile("dist/index.html")
	if err != nil {
		t.Fatal(err)
	}
	script := "/" + string(regexp.MustCompile(`assets/[^"]+\.js`).Find(page))
	tests := []struct {
		method, target string
		status         int
		contentType    string
		cache          string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/?from=mail", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", script, 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/favicon.svg", 200, "image/svg+xml", "no-cache"},
		{"GET", "/assets/", 404, "", ""},
		{"GET", "/sources.json", 404, "", ""},
		{"GET", "/index.html", 404, "", ""},
		{"GET", "/../console.go", 404, "", ""},
		{"POST", "/", 405, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			res := get(t, tt.method, tt.target)
			if res.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", res.StatusCode, tt.status)
			}
			if tt.status == 200 {
				if got := res.Header.Get("Content-Type"); got != tt.contentType {
					t.Errorf("Content-Type %q, want %q", got, tt.contentType)
				}
				if got := res.Header.Get("Cache-Control"); got != tt.cache {
					t.Errorf("Cache-Control %q, want %q", got, tt.cache)
				}
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
			policy := res.Header.Get("Content-Security-Policy")
			if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") || !strings.HasPrefix(policy, "default-src 'none'") {
				t.Errorf("policy %q", policy)
			}
		})
	}
}

func TestUnchangedPageIsNotSentAgain(t *testing.T) {
	etag := get(t, "GET", "/").Header.Get("ETag")
	if res := get(t, "GET", "/", "If-None-Match", etag); res.StatusCode != http.StatusNotModified {
		t.Errorf("status %d, want 304", res.StatusCode)
	}
}

func TestMediaOriginsAreAllowed(t *testing.T) {
	got := policy(Options{MediaOrigins: []string{"https://bucket.example"}})
	for _, want := range []string{"media-src 'self' https://bucket.example;", "img-src 'self' https://bucket.example;"} {
		if !strings.Contains(got, want) {
			t.Errorf("policy %q lacks %q", got, want)
		}
	}
}

// The built page has nothing inline, which its policy would not run.
func TestNothingInline(t *testing.T) {
	page, err := dist.ReadFile("dist/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, inline := range []string{"<style", " style=", "<script>", " onload=", "javascript:", "data:"} {
		if bytes.Contains(page, []byte(inline)) {
			t.Errorf("index.html contains %q", inline)
		}
	}
}

// The build records the hash of each of its sources in dist/sources.json.
func TestBuiltFromTheseSources(t *testing.T) {
	const web = "../../web"
	text, err := os.ReadFile("dist/sources.json")
	if err != nil {
		t.Fatal(err)
	}
	var built map[string]string
	if err := json.Unmarshal(text, &built); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(web, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(web, name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		sum := sha256.Sum256(content)
		if built[rel] != hex.EncodeToString(sum[:]) {
			t.Errorf("web/%s is not what internal/console/dist was built from: run npm ci && npm run build in web/", rel)
		}
		delete(built, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range built {
		t.Errorf("internal/console/dist was built from web/%s, which is gone: run npm ci && npm run build in web/", name)
	}
}
