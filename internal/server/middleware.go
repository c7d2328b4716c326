package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/api"
	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/key"
)

const requestIDHeader = "X-Request-Id"

// nameRequests gives every request a name, which is told in the answer and in
// the log. A client may bring its own: up to 128 letters, digits, dots,
// hyphens and underscores.
func nameRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !validRequestID(id) {
			id = "req_" + strings.ToLower(rand.Text())
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r)
	})
}

func validRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	})
}

// logRequests writes a line per request, without its secrets. Requests for
// health and for the page's files are told at debug level.
func logRequests(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		sw := &statusWriter{ResponseWriter: w}
		path := redactURL(r.URL)
		level := slog.LevelDebug
		if p := strings.ToLower(r.URL.Path); strings.HasPrefix(p, "/v1/") || strings.HasPrefix(p, "/hubs/") || p == key.SessionPath {
			level = slog.LevelInfo
		}
		defer func() {
			if v := recover(); v != nil {
				sw.panicked(r, log, v)
				if sw.status != http.StatusInternalServerError {
					defer panic(http.ErrAbortHandler) // half an answer must not look whole
				}
			}
			if sw.status >= 500 {
				level = slog.LevelWarn
			}
			log.Log(context.WithoutCancel(r.Context()), level, "request", "method", r.Method, "path", path,
				"status", sw.status, "duration", time.Since(begin).Round(time.Microsecond), "bytes", sw.bytes,
				"request_id", w.Header().Get(requestIDHeader))
		}()
		next.ServeHTTP(sw, r)
	})
}

// statusWriter notes what was answered. http.ResponseController finds the
// rest through Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status < 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status < 200 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// panicked logs what a handler panicked with, and answers if nothing was
// answered yet.
func (w *statusWriter) panicked(r *http.Request, log *slog.Logger, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares so, too
		return
	}
	log.ErrorContext(r.Context(), "a handler panicked", "panic", fmt.Sprint(v), "method", r.Method,
		"path", redactURL(r.URL), "request_id", w.Header().Get(requestIDHeader), "stack", string(debug.Stack()))
	if w.status == 0 {
		api.WriteError(w, r, &key.Error{Status: http.StatusInternalServerError, Code: "internal_error", Type: "server_error",
			Message: "Something went wrong on our side. The x-request-id header names this request."})
	}
}

// Hijack is how a WebSocket takes the connection.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// secretQuery are the query values that no log may hold: keys, connection
// tokens, signatures, login codes.
var secretQuery = []string{"access_token", "api_key", "id", "sig", "code", "key", "token"}

// redactURL is path and query of u with the secrets blotted out.
func redactURL(u *url.URL) string {
	path := u.EscapedPath()
	if strings.Contains(u.Path, key.Prefix) { // a key where an id was meant
		path = "***"
	}
	if u.RawQuery == "" {
		return path
	}
	var b strings.Builder
	b.WriteString(path)
	for i, part := range strings.FieldsFunc(u.RawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		if i == 0 {
			b.WriteByte('?')
		} else {
			b.WriteByte('&')
		}
		name, _, _ := strings.Cut(part, "=")
		plainName, err1 := url.QueryUnescape(name)
		plain, err2 := url.QueryUnescape(part)
		switch {
		case strings.Contains(plainName, key.Prefix):
			b.WriteString("***")
		case err1 != nil || err2 != nil || slices.Contains(secretQuery, strings.ToLower(plainName)) || strings.Contains(plain, key.Prefix):
			b.WriteString(clip(name, 64) + "=***")
		default:
			b.WriteString(clip(part, 256))
		}
	}
	return b.String()
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

// exposed are the answer headers that pages of other origins may read
// (rest-api B.8).
const exposed = "x-request-id, x-task-id, idempotent-replayed, x-should-retry, retry-after, openai-poll-after-ms, " +
	"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests"

// cors lets pages of the allowed origins read answers: the origin is echoed
// and credentials are allowed, because the official SignalR client asks for
// them (transports 11). It never makes a cookie count, see key.
func cors(next http.Handler, allowed []string) http.Handler {
	all := slices.Contains(allowed, "*")
	own := map[string]bool{}
	for _, o := range allowed {
		own[key.Origin(nil, o)] = true // as a browser writes it
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		may := origin != "" && (all || own[strings.ToLower(origin)])
		if may {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
		}
		method := r.Header.Get("Access-Control-Request-Method")
		if r.Method == http.MethodOptions && origin != "" && method != "" {
			if may {
				h.Set("Access-Control-Allow-Methods", method)
				if asked := r.Header.Values("Access-Control-Request-Headers"); len(asked) > 0 {
					h.Set("Access-Control-Allow-Headers", strings.Join(asked, ","))
				}
				h.Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if may {
			h.Set("Access-Control-Expose-Headers", exposed)
		}
		next.ServeHTTP(w, r)
	})
}

// forwarded believes the X-Forwarded headers of known proxies: the client's
// address, scheme and host are then what the nearest unknown hop said. From
// everybody else they are passed over.
func forwarded(next http.Handler, c config.ForwardedHeaders) http.Handler {
	if !c.Enabled {
		return next
	}
	var known []netip.Prefix
	for _, p := range c.KnownProxies {
		n, err := config.ParseNetwork(p)
		if err == nil { // config has checked them
			known = append(known, n)
		}
	}
	trusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(known, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !trusted(peer.Addr().Unmap().WithZone("")) {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		if scheme := strings.ToLower(last(r.Header.Values("X-Forwarded-Proto"))); scheme == "http" || scheme == "https" {
			ctx = key.WithScheme(ctx, scheme)
		}
		r = r.WithContext(ctx)
		if host := last(r.Header.Values("X-Forwarded-Host")); host != "" {
			r.Host = host
		}
		hops := list(r.Header.Values("X-Forwarded-For"))
		for i := len(hops) - 1; i >= 0; i-- {
			a, ok := hopAddress(hops[i])
			if !ok {
				break
			}
			r.RemoteAddr = netip.AddrPortFrom(a, 0).String()
			if !trusted(a) {
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}

func hopAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	host, _, err := net.SplitHostPort(s)
	if err != nil {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap().WithZone(""), err == nil
}

// list splits the values of a header that is a list.
func list(values []string) []string {
	var out []string
	for _, v := range values {
		for p := range strings.SplitSeq(v, ",") {
			if p = strings.TrimSpace(p); p != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

// last is what the nearest proxy said.
func last(values []string) string {
	if l := list(values); len(l) > 0 {
		return l[len(l)-1]
	}
	return ""
}
