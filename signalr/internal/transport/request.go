package transport

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// trimRequest returns what an application may want to know of the request that
// attached its transport, without what would keep net/http's buffers alive
// (the body) or ends with the request (its cancellation). Secrets of the query
// (id, access_token) and the fields of the upgrade are left out.
func trimRequest(r *http.Request) *http.Request {
	t := r.WithContext(context.WithoutCancel(r.Context()))
	t.Body = http.NoBody
	t.GetBody = nil
	t.Response = nil
	t.Form, t.PostForm, t.MultipartForm = nil, nil, nil

	u := *r.URL
	u.RawQuery = trimQuery(u.RawQuery)
	t.URL = &u
	t.RequestURI = u.RequestURI()

	t.Header = maps.Clone(r.Header)
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions"} {
		delete(t.Header, name)
	}
	return t
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
