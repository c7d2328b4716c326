package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type valueKey struct{}

// TestKeptRequest: an application sees all of the request that means something
// to it, as often as it asks.
func TestKeptRequest(t *testing.T) {
	var kept *opening
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/{room}/b/{rest...}", func(w http.ResponseWriter, r *http.Request) {
		r.TLS = nil
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), valueKey{}, "v"))
		kept = keepRequest(r.WithContext(ctx))
		cancel()
	})
	r := httptest.NewRequest("GET", "/a/r%20%2F1/b/x/y?q=1&ID=secret&access_token=secret&r=2", nil)
	r.Header = http.Header{
		"Accept": {"a", "", "b\r\nc"}, "Cookie": {"k=v"}, "X-Empty": {""}, "X-None": nil,
		"Upgrade": {"websocket"}, "Sec-Websocket-Key": {"k"}, "Sec-Websocket-Protocol": {"p"},
	}
	mux.ServeHTTP(httptest.NewRecorder(), r)
	for range 2 {
		got := kept.request()
		if diff := cmp.Diff(http.Header{
			"Accept": {"a", "", "b\r\nc"}, "Cookie": {"k=v"}, "X-Empty": {""}, "Sec-Websocket-Protocol": {"p"},
		}, got.Header); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{
			"GET", "/a/r%20%2F1/b/x/y?q=1&r=2", "/a/r /1/b/x/y", "example.com", r.RemoteAddr, "HTTP/1.1",
			"r /1", "x/y", "GET /a/{room}/b/{rest...}", "v", "1",
		}, []string{
			got.Method, got.RequestURI, got.URL.Path, got.Host, got.RemoteAddr, got.Proto,
			got.PathValue("room"), got.PathValue("rest"), got.Pattern, got.Context().Value(valueKey{}).(string), got.FormValue("q"),
		}); diff != "" {
			t.Error(diff)
		}
		if got.Context().Err() != nil || got.ProtoMajor != 1 || got.ProtoMinor != 1 || got.Body == nil {
			t.Errorf("%v, %d.%d", got.Context().Err(), got.ProtoMajor, got.ProtoMinor)
		}
		got.Header.Set("Accept", "changed") // by one who should not; nobody else sees it
	}
}

// FuzzKeptRequest keeps any fields.
func FuzzKeptRequest(f *testing.F) {
	f.Add("Accept", "*/*", "/hub?x=1")
	f.Add("", "\x00\xff", "")
	f.Fuzz(func(t *testing.T, name, value, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		r.Header = http.Header{"X": {value}, name: {value, value}}
		for _, dropped := range []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions"} {
			delete(r.Header, dropped)
		}
		if diff := cmp.Diff(r.Header, keepRequest(r).request().Header); diff != "" {
			t.Error(diff)
		}
	})
}
