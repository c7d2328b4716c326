package transport

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest asks an endpoint anything by HTTP: it answers, with a status of
// the table, and negotiation is always JSON.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/hub/negotiate", "negotiateVersion=1", "", "")
	f.Add("POST", "/hub/negotiate", "negotiateVersion=%31&useStatefulReconnect=TRUE", "", "")
	f.Add("POST", "/hub/negotiate", "negotiateVersion=99999999999999999999", "", "")
	f.Add("GET", "/hub", "id=x", "text/event-stream", "")
	f.Add("GET", "/hub", "id=TOKEN&_=1", "", "")
	f.Add("POST", "/hub", "ID=TOKEN", "", "{}\x1e")
	f.Add("DELETE", "/hub/", "id=TOKEN", "", "")
	f.Add("HEAD", "/hub", "%zz;&=&id", "a,,b", "")
	for _, e := range readEdges(f) {
		if method, target, ok := strings.Cut(e.Request, " "); ok {
			path, query, _ := strings.Cut(target, "?")
			f.Add(method, path, query, e.RequestHeaders["accept"], e.RequestBody)
		}
	}
	f.Fuzz(func(t *testing.T, method, path, query, accept, body string) {
		e := NewEndpoint(EndpointOptions{
			Accept:        func(s Session) (Application, error) { return newTinyHub(s), nil },
			AllowStateful: func(*http.Request) bool { return true },
			PollTimeout:   1, // nanosecond
		})
		s := e.open(httptest.NewRequest("POST", "/", nil), 1, false)
		defer s.finish(nil)
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		r.Method = method
		r.URL = &url.URL{Path: path, RawQuery: strings.ReplaceAll(query, "TOKEN", s.token)}
		r.Header.Set("Accept", accept)
		if wantsEvents(r) && r.Method == "GET" {
			return // lasts for as long as the client stays
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		switch w.Code {
		case 200, 202, 204, 400, 403, 404, 405:
		default:
			t.Errorf("status %d", w.Code)
		}
		if w.Code == 200 && routeOf(r) == routeNegotiate {
			var n struct{ ConnectionID, ConnectionToken, Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &n); err != nil || (n.Error == "") == (n.ConnectionID == "") {
				t.Errorf("answer %q", w.Body)
			}
		}
		for _, s := range e.all() {
			s.finish(nil)
		}
	})
}

// TestTrimQuery: the secrets go, the rest stays as written.
func TestTrimQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                                     "",
		"id=1":                                 "",
		"ID=1&x=%20&access_token=abc&y":        "x=%20&y",
		"x=1&access%5Ftoken=abc&Access_Token=": "x=1",
		"&&a=b;c&id":                           "a=b;c",
	} {
		if got := trimQuery(query); got != want {
			t.Errorf("trimQuery(%q) = %q, want %q", query, got, want)
		}
	}
}
