// Package console serves the web console: one page that is built from web/ and
// embedded, so that a machine without Node.js has it too.
//
// The page signs in at key's /console/session and talks to the public REST and
// hub routes like any other client.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed dist/index.html dist/favicon.svg dist/assets
var dist embed.FS

// Options are the settings of the console. The zero value is complete.
type Options struct {
	// MediaOrigins are further origins that results are loaded from, for
	// example "https://bucket.example". Default none: Conduit serves results
	// itself.
	MediaOrigins []string
}

// Handler serves the page at / and its files below. Any other path is 404, and
// any method but GET and HEAD 405. It is safe for concurrent use and holds
// nothing of a user.
func Handler(o Options) http.Handler {
	h := &handler{files: map[string]file{}, policy: policy(o)}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		h.files["/"+strings.TrimPrefix(name, "dist/")] = newFile(name, content)
		return nil
	})
	if err != nil {
		panic("console: the embedded page cannot be read: " + err.Error()) // not possible: it is in the binary
	}
	h.files["/"] = h.files["/index.html"]
	delete(h.files, "/index.html")
	return h
}

// policy allows the page its own origin and nothing inline. connect-src 'self'
// covers the WebSocket of the same host and port.
func policy(o Options) string {
	media := strings.Join(append([]string{"'self'"}, o.MediaOrigins...), " ")
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
		"img-src " + media, "media-src " + media,
		"base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
	}, "; ")
}

type file struct {
	content     []byte
	contentType string
	cache       string
	etag        string
}

func newFile(name string, content []byte) file {
	sum := sha256.Sum256(content)
	f := file{
		content: content, contentType: contentType(name),
		cache: "no-cache", // asked for each time, answered 304 while it is the same
		etag:  `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
	}
	if strings.Contains(name, "/assets/") { // their names carry a hash of their content
		f.cache = "public, max-age=31536000, immutable"
	}
	return f
}

// contentType does not ask the system's table for the types that the page
// needs: a wrong entry there, with nosniff, leaves the page blank.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

type handler struct {
	files  map[string]file
	policy string
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	f, ok := h.files[r.URL.Path]
	switch {
	case !ok:
		http.NotFound(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the console is read with GET", http.StatusMethodNotAllowed)
	default:
		header.Set("Content-Type", f.contentType)
		header.Set("Cache-Control", f.cache)
		header.Set("ETag", f.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
	}
}
