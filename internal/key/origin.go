package key

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
)

type schemeKey struct{}

// WithScheme notes the scheme ("http" or "https") under which the browser
// sees the request, where a trusted proxy told it. Without it, TLS decides.
func WithScheme(ctx context.Context, scheme string) context.Context {
	return context.WithValue(ctx, schemeKey{}, strings.ToLower(scheme))
}

// Origin is our own origin as the browser of r sees it: publicURL's when
// there is one, else the request's own scheme and host (after forwarded
// headers, see WithScheme). It is lower-case, without a default port, as
// browsers write it; "" when the request's Host is no host.
func Origin(r *http.Request, publicURL string) string {
	if publicURL != "" {
		o, _ := parseOrigin(publicURL)
		return o
	}
	scheme, _ := r.Context().Value(schemeKey{}).(string)
	if scheme != "http" && scheme != "https" {
		scheme = "http"
		if r.TLS != nil {
			scheme = "https"
		}
	}
	o, _ := parseOrigin(scheme + "://" + r.Host)
	return o
}

// parseOrigin reads scheme, host and port of an http address and writes them
// as a browser does. ok is false for anything else.
func parseOrigin(s string) (origin string, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if scheme != "http" && scheme != "https" || !validHost(host) {
		return "", false
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && !(scheme == "http" && port == "80") && !(scheme == "https" && port == "443") {
		host += ":" + port
	}
	return scheme + "://" + host, true
}

func validHost(h string) bool {
	if h == "" || len(h) > 253 {
		return false
	}
	if strings.Contains(h, ":") {
		return net.ParseIP(h) != nil
	}
	for i := range len(h) {
		c := h[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}

// ownOrigin reports whether the Origin header o names exactly own. Browsers
// write origins in one way only, so there is no path, user or query to
// forgive.
func ownOrigin(o, own string) bool {
	if own == "" || strings.Count(o, "/") != 2 || strings.ContainsAny(o, "?#@") {
		return false
	}
	p, ok := parseOrigin(o)
	return ok && p == own
}

// cookieCounts reports whether r's session cookie may speak for its user:
// Origin is exactly our own, or there is none and the request is a GET or
// HEAD that is no WebSocket upgrade (browsers leave Origin out of same-origin
// GETs only). So no page of another origin, another port of this host
// included, can use a signed-in console.
func cookieCounts(r *http.Request, own string) bool {
	if origins := r.Header.Values("Origin"); len(origins) > 0 {
		return len(origins) == 1 && ownOrigin(origins[0], own)
	}
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !upgrade(r)
}

// upgrade reports whether r asks for another protocol, in whatever spelling.
func upgrade(r *http.Request) bool {
	if r.Header.Get("Upgrade") != "" || r.Header.Get("Sec-Websocket-Key") != "" {
		return true
	}
	for _, v := range r.Header.Values("Connection") {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), "upgrade") {
				return true
			}
		}
	}
	return false
}
