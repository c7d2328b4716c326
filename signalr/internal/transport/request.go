package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
)

// opening is what is kept of the request that attached a transport: all that an
// application may want to know, as one text, since a connection that does
// nothing should cost little. An http.Request with its map of fields takes four
// times as much. Left out are the body, the cancellation, secrets of the query
// (id, access_token) and the fields of the upgrade.
type opening struct {
	ctx  context.Context
	tls  *tls.ConnectionState
	path map[string]string // what the mux found for the wildcards of its pattern; mostly nil
	// text is a list of strings, each behind its length: those of openingParts,
	// then names and values of header fields.
	text string
}

// openingParts are the strings of a request that are kept.
func openingParts(r *http.Request) []*string {
	u := r.URL
	return []*string{&r.Method, &r.Proto, &r.Host, &r.RemoteAddr, &r.Pattern, &u.Scheme, &u.Host, &u.Path, &u.RawPath, &u.RawQuery}
}

func keepRequest(r *http.Request) *opening {
	o := &opening{ctx: context.WithoutCancel(r.Context()), tls: r.TLS}
	var text []byte
	add := func(s string) {
		text = append(binary.AppendUvarint(text, uint64(len(s))), s...)
	}
	query := trimQuery(r.URL.RawQuery)
	for _, part := range openingParts(r) {
		if part == &r.URL.RawQuery {
			part = &query
		}
		add(*part)
	}
	for name, values := range r.Header {
		switch name {
		case "Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions":
			continue
		}
		for _, value := range values {
			add(name)
			add(value)
		}
	}
	o.text = string(text)
	for _, name := range wildcards(r.Pattern) {
		if o.path == nil {
			o.path = make(map[string]string)
		}
		o.path[name] = r.PathValue(name)
	}
	return o
}

// request makes a request of it; nil of nothing.
func (o *opening) request() *http.Request {
	if o == nil {
		return nil
	}
	r := &http.Request{URL: new(url.URL), Header: make(http.Header), Body: http.NoBody, TLS: o.tls}
	rest := o.text
	next := func() string {
		// The length is short, so that the copy stays on the stack.
		n, size := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		s := rest[size : size+int(n)]
		rest = rest[size+int(n):]
		return s
	}
	for _, part := range openingParts(r) {
		*part = next()
	}
	for rest != "" {
		name := next()
		r.Header[name] = append(r.Header[name], next())
	}
	r.RequestURI = r.URL.RequestURI()
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(r.Proto)
	for name, value := range o.path {
		r.SetPathValue(name, value)
	}
	return r.WithContext(o.ctx)
}

// wildcards returns the names of the wildcards of a mux pattern.
func wildcards(pattern string) (names []string) {
	for {
		_, rest, found := strings.Cut(pattern, "{")
		if !found {
			return names
		}
		name, rest, _ := strings.Cut(rest, "}")
		if name = strings.TrimSuffix(name, "..."); name != "$" && name != "" {
			names = append(names, name)
		}
		pattern = rest
	}
}

// trimQuery drops the parameters id and access_token, and keeps the rest as it
// was written.
func trimQuery(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if pair != "" && !strings.EqualFold(name, "id") && !strings.EqualFold(name, "access_token") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}
