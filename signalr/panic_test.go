package signalr

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPanicInOptions: a function of the options that panics refuses the request
// that made it, with nothing left behind; the hub and its other connections go
// on.
func TestPanicInOptions(t *testing.T) {
	type bad struct{}
	boom := func(ctx context.Context) {
		if ctx.Value(bad{}) != nil {
			panic("boom")
		}
	}
	for name, opts := range map[string]HubOptions{
		"UserID":                {UserID: func(ctx context.Context) string { boom(ctx); return "ann" }},
		"KeepAlive":             {KeepAlive: func(r *http.Request) time.Duration { boom(r.Context()); return 0 }},
		"AuthenticationExpires": {AuthenticationExpires: func(ctx context.Context) time.Time { boom(ctx); return time.Time{} }, AuthenticationRefresh: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub("test", opts)
				Handle(h, "Echo", func(s string) string { return s })
				client := serveInMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() { // as net/http does, without its log
						if recover() != nil {
							w.WriteHeader(http.StatusInternalServerError)
						}
					}()
					if r.Header.Get("X-Bad") != "" {
						r = r.WithContext(context.WithValue(r.Context(), bad{}, true))
					}
					h.ServeHTTP(w, r)
				}))
				ask := func(method, query, body string, bad bool) (int, string) {
					t.Helper()
					req, _ := http.NewRequestWithContext(t.Context(), method, "http://memory/hub"+query, strings.NewReader(body))
					if bad {
						req.Header.Set("X-Bad", "1")
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = resp.Body.Close() }()
					b, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatal(err)
					}
					return resp.StatusCode, string(b)
				}
				token := func() string {
					_, body := ask("POST", "/negotiate?negotiateVersion=1", "", false)
					_, rest, _ := strings.Cut(body, `"connectionToken":"`)
					return "?id=" + rest[:22]
				}
				if status, _ := ask("GET", token(), "", true); status < 500 { // the first poll
					t.Errorf("status %d", status)
				}
				id := token()
				ask("GET", id, "", false)
				ask("POST", id, "{\"protocol\":\"json\",\"version\":1}\x1e", false)
				for _, method := range []string{"GET", "POST"} {
					if status, _ := ask(method, id, "", true); name == "UserID" && status < 500 {
						t.Errorf("%s: status %d", method, status)
					}
				}
				ask("POST", id, echo(1)+"\x1e", false)
				got := ""
				for range 3 {
					if !strings.Contains(got, echoed(1)) {
						_, body := ask("GET", id, "", false)
						got += body
					}
				}
				if want := echoed(1) + "\x1e"; !strings.HasSuffix(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				ask("DELETE", id, "", false)
				time.Sleep(20 * time.Second) // what was refused expires
				if n := h.endpoint.Count(); n != 0 || h.Count() != 0 {
					t.Errorf("%d sessions are left", n)
				}
				shutdown(t, h)
			})
		})
	}
}
