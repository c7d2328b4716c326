package api

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMedia(t *testing.T) {
	b := newBench(t)
	const content = "0123456789"
	if _, err := b.media.Put(t.Context(), idA+"/0.webm", "video/webm", strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	link := func(key string, at time.Time) string {
		return strings.TrimPrefix(b.signer.URL("http://example.com", key, at), "http://example.com")
	}
	good := link(idA+"/0.webm", time.Now())
	none := []string{"Authorization", ""} // the link is enough

	w := b.call("GET", good, "", none...)
	if w.Code != 200 || w.Body.String() != content || w.Header().Get("Content-Type") != "video/webm" || w.Header().Get("Accept-Ranges") != "bytes" ||
		w.Header().Get("X-Request-Id") == "" {
		t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
	}
	tag := w.Header().Get("Etag")
	if tag == "" {
		t.Error("no ETag")
	}
	if w := b.call("GET", good, "", "Authorization", "Bearer wrong"); w.Code != 200 {
		t.Errorf("with a wrong key: %d", w.Code)
	}
	if w := b.call("HEAD", good, "", none...); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d %q %v", w.Code, w.Body, w.Header())
	}
	if w := b.call("GET", good, "", "Range", "bytes=2-4"); w.Code != 206 || w.Body.String() != "234" || w.Header().Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("Range: %d %q %v", w.Code, w.Body, w.Header())
	}
	if w := b.call("GET", good, "", "Range", "bytes=-3", "If-Range", tag); w.Code != 206 || w.Body.String() != "789" {
		t.Errorf("If-Range: %d %q", w.Code, w.Body)
	}
	if w := b.call("GET", good, "", "Range", "bytes=-3", "If-Range", `"other"`); w.Code != 200 || w.Body.String() != content {
		t.Errorf("If-Range of another: %d %q", w.Code, w.Body)
	}
	if w := b.call("GET", good, "", "If-None-Match", tag); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("If-None-Match: %d %q", w.Code, w.Body)
	}
	for _, unit := range []string{"bytes=10-", "bytes=99-100", "bytes=x"} {
		w := b.call("GET", good, "", "Range", unit)
		wantProblem(t, w, 416, "invalid_request", "")
		if got := w.Header().Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
			t.Errorf("Content-Length %s for %d bytes", got, w.Body.Len())
		}
	}
	wantProblem(t, b.call("GET", good, "", "If-Match", `"other"`), 412, "invalid_request", "")

	wantProblem(t, b.call("GET", link(idA+"/0.webm", time.Now().Add(-2*time.Hour)), ""), 403, "invalid_media_link", "")
	wantProblem(t, b.call("GET", link(idB+"/0.webm", time.Now()), ""), 404, "not_found", "") // not kept any more
	u, err := url.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	foreign := strings.Replace(good, idA, idB, 1)
	for _, bad := range []string{u.Path, u.Path + "?" + strings.Replace(u.RawQuery, "exp=", "exp=1", 1), u.Path + "?" + strings.Replace(u.RawQuery, "sig=", "sig=A", 1),
		u.Path + "?exp=" + u.Query().Get("exp"), foreign, u.Path + "%2f..%2f..%2fsecret?" + u.RawQuery, u.Path + "%00?" + u.RawQuery} {
		wantProblem(t, b.call("GET", bad, ""), 403, "invalid_media_link", "")
	}
	if w := b.call("DELETE", good, ""); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("DELETE: %d %v", w.Code, w.Header())
	}
}
