package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRefresh asks as the client of .NET 11 was recorded to ask, and takes its
// answers.
func TestRefresh(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		left   time.Duration
		ends   bool
		bad    string
	}{
		{200, `{"tokenLifetimeSeconds":4}`, 4 * time.Second, true, ""},
		{200, `{}`, 0, false, ""},
		{202, `{"tokenLifetimeSeconds":0,"more":1}`, 0, true, ""},
		{200, `{"tokenLifetimeSeconds":9223372036854775807}`, 100 * 365 * 24 * time.Hour, true, ""},
		{200, ``, 0, false, "not what a SignalR server says"},
		{200, `[]`, 0, false, "not what a SignalR server says"},
		{401, `{"error":"no more"}`, 0, false, "unexpected status code 401 returned from refresh: no more"},
		{404, ``, 0, false, "unexpected status code 404 returned from refresh"},
	} {
		t.Run(fmt.Sprint(tc.status, tc.body), func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			mux := http.NewServeMux()
			e := NewEndpoint(EndpointOptions{
				Accept:   func(s Session) (Application, error) { return newTinyHub(s), nil },
				Lifetime: func(context.Context) (time.Duration, bool) { return 10 * time.Second, true },
			})
			mux.HandleFunc("POST /hub/refresh", func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked = append(asked, fmt.Sprint(r.URL, " ", r.ContentLength, " ", r.Header.Get("Authorization"), " ",
					r.Header.Get("X-Requested-With"), " ", len(r.Header.Get("X-SignalR-Connection-Token"))))
				mu.Unlock()
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			})
			mux.Handle("/hub", e)
			mux.Handle("/hub/", e)
			server := httptest.NewServer(mux)
			defer server.Close()
			defer http.DefaultClient.CloseIdleConnections()
			var tokens atomic.Int32
			c := &caller{ended: make(chan error, 1)}
			err := Dial(t.Context(), DialOptions{URL: server.URL + "/hub?x=1", Token: func(context.Context) (string, error) {
				return fmt.Sprint("token-", tokens.Add(1)-1), nil
			}}, c.accept)
			if err != nil {
				t.Fatal(err)
			}
			r := c.Session.(Refresher)
			if left, ends := r.TokenLifetime(); !ends || left != 10*time.Second {
				t.Errorf("negotiated: %v %v", left, ends)
			}
			left, ends, err := r.Refresh(t.Context())
			if left != tc.left || ends != tc.ends || (err == nil) != (tc.bad == "") || err != nil && !strings.Contains(err.Error(), tc.bad) {
				t.Errorf("%v %v %v", left, ends, err)
			}
			var status *StatusError
			if tc.status > 299 && (!errors.As(err, &status) || status.Status != tc.status) {
				t.Errorf("no status in %v", err)
			}
			if want := []string{"/hub/refresh?x=1 0 Bearer token-2 XMLHttpRequest 22"}; !slices.Equal(asked, want) {
				t.Errorf("asked %q, want %q", asked, want)
			}
			c.Abort(nil)
			<-c.ended
		})
	}
}

// TestRefreshWithoutNegotiation: there is nothing to name the connection by.
func TestRefreshWithoutNegotiation(t *testing.T) {
	r := newRig(t, EndpointOptions{})
	c := &caller{ended: make(chan error, 1)}
	err := Dial(t.Context(), DialOptions{URL: r.url, SkipNegotiation: true, Transports: []Kind{WebSockets}}, c.accept)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Session.(Refresher).Refresh(t.Context()); !errors.Is(err, errNoToken) {
		t.Error(err)
	}
	c.Abort(nil)
	<-c.ended
}

// FuzzRefresh reads any answer to refresh.
func FuzzRefresh(f *testing.F) {
	f.Add(200, []byte(`{"tokenLifetimeSeconds":4}`))
	f.Add(401, []byte(`{"error":"invalid_token"}`))
	f.Add(200, []byte(`{"tokenLifetimeSeconds":-1}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		left, ends, err := parseRefresh(status, body)
		if left < 0 || left > 0 && !ends || err != nil && ends {
			t.Errorf("%v, %v, %v", left, ends, err)
		}
	})
}
