package signalr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

// TestClientRefreshTimes: the credential is replaced before it ends, each time
// anew; a refusal is told, and the connection kept.
func TestClientRefreshTimes(t *testing.T) {
	token := func(context.Context) (string, error) { return "t", nil }
	lasts := func(d time.Duration) func() (time.Duration, bool, error) {
		return func() (time.Duration, bool, error) { return d, d > 0, nil }
	}
	no := &transport.StatusError{Op: "refresh", Status: 401, Text: "no more"}
	refused := func() (time.Duration, bool, error) { return 0, false, no }
	for _, tc := range []struct {
		name    string
		opts    ClientOptions
		first   time.Duration
		answers []func() (time.Duration, bool, error)
		want    []time.Duration // since the start
		failed  int
	}{
		{
			"as recorded", ClientOptions{Token: token, RefreshBeforeExpiration: time.Second}, 4 * time.Second,
			[]func() (time.Duration, bool, error){lasts(4 * time.Second), lasts(0)},
			[]time.Duration{3 * time.Second, 6 * time.Second}, 0,
		},
		{
			"a minute before", ClientOptions{Token: token}, time.Hour,
			[]func() (time.Duration, bool, error){lasts(90 * time.Second), lasts(0)},
			[]time.Duration{59 * time.Minute, 59*time.Minute + 45*time.Second}, 0,
		},
		{
			"refused", ClientOptions{Token: token}, 10 * time.Second,
			[]func() (time.Duration, bool, error){refused},
			[]time.Duration{5 * time.Second}, 1,
		},
		{"no token", ClientOptions{}, 10 * time.Second, nil, nil, 0},
		{"switched off", ClientOptions{Token: token, RefreshBeforeExpiration: -1}, 10 * time.Second, nil, nil, 0},
		{"the server does not know of it", ClientOptions{Token: token}, 0, nil, nil, 0},
		{
			"over already", ClientOptions{Token: token}, time.Nanosecond,
			[]func() (time.Duration, bool, error){lasts(0)}, []time.Duration{time.Second}, 0,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := 0
				tc.opts.ServerTimeout = -1
				tc.opts.OnRefreshFailed = func(err error) {
					failed++
					if !errors.Is(err, no) {
						t.Errorf("failed: %v", err)
					}
				}
				c, s := cableClient(t, tc.opts)
				s.lifetime, s.refreshed = tc.first, tc.answers
				start := time.Now()
				if err := c.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				var got []time.Duration
				for _, at := range s.refreshes {
					got = append(got, at.Sub(start))
				}
				if !slices.Equal(got, tc.want) || failed != tc.failed || c.State() != StateConnected {
					t.Errorf("refreshed after %v, want %v; %d failed; %v", got, tc.want, failed, c.State())
				}
				// By hand, at any time; what comes next is counted from there.
				s.refreshed = []func() (time.Duration, bool, error){refused, lasts(time.Hour), lasts(0)}
				if err := c.Refresh(t.Context()); !errors.Is(err, no) {
					t.Errorf("by hand: %v", err)
				}
				if err := c.Refresh(t.Context()); err != nil {
					t.Errorf("by hand: %v", err)
				}
				s.refreshes = nil
				_ = c.Stop(t.Context())
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if len(s.refreshes) > 0 {
					t.Error("refreshed after Stop")
				}
				if err := c.Refresh(t.Context()); !errors.Is(err, ErrNotConnected) {
					t.Errorf("after Stop: %v", err)
				}
			})
		})
	}
}

type endsKey struct{}

// TestClientRefreshOverTheNetwork: a connection outlives the credential that it
// was opened with.
func TestClientRefreshOverTheNetwork(t *testing.T) {
	hub := newClientHub(HubOptions{
		AuthenticationRefresh: true,
		AuthenticationExpires: func(ctx context.Context) time.Time { at, _ := ctx.Value(endsKey{}).(time.Time); return at },
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		life, err := time.ParseDuration(r.Header.Get("Authorization")[len("Bearer "):])
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		hub.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), endsKey{}, time.Now().Add(life))))
	}))
	t.Cleanup(func() {
		shutdown(t, hub)
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	var mu sync.Mutex
	life, asked := "2s", 0
	closed := make(chan error, 1)
	c := startClient(t, server.URL+"/hub", ClientOptions{
		Token: func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return life, nil
		},
		OnClosed: func(err error) { closed <- err },
	})
	mu.Lock()
	before := asked
	mu.Unlock()
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return asked > before+1 }) // by itself, twice
	mu.Lock()
	life = "1h"
	mu.Unlock()
	if err := c.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	life = "nonsense"
	mu.Unlock()
	var status *StatusError
	if err := c.Refresh(t.Context()); !errors.As(err, &status) || status.Status != 401 {
		t.Errorf("refused: %v", err)
	}
	var s string
	if err := c.Invoke(t.Context(), "Echo", &s, "still here"); err != nil || s != "still here" {
		t.Errorf("%q, %v", s, err)
	}
	if len(closed) > 0 {
		t.Errorf("closed: %v", <-closed)
	}
}

// TestClientToken: the source is asked before every request, over all
// transports, and again after the loss of the connection.
func TestClientToken(t *testing.T) {
	for _, kind := range []Transport{WebSockets, ServerSentEvents, LongPolling} {
		t.Run(kind.String(), func(t *testing.T) {
			hub := newClientHub(HubOptions{})
			var mu sync.Mutex
			seen := make(map[string]string)
			given := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				token := r.Header.Get("Authorization")
				if other, twice := seen[token]; twice || token == "" {
					t.Errorf("%s %s has %q, like %s", r.Method, r.URL.Path, token, other)
				}
				seen[token] = r.Method + " " + r.URL.Path
				mu.Unlock()
				hub.ServeHTTP(w, r)
			}))
			t.Cleanup(func() {
				shutdown(t, hub)
				server.Close()
				http.DefaultClient.CloseIdleConnections()
			})
			back := make(chan string, 1)
			c := startClient(t, server.URL+"/hub", ClientOptions{
				Transports: []Transport{kind}, Reconnect: DefaultReconnect,
				OnReconnected: func(id string) { back <- id },
				Token: func(context.Context) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					given++
					return fmt.Sprint(given), nil
				},
			})
			for range 3 {
				if err := c.Invoke(t.Context(), "Nothing", nil); err != nil {
					t.Error(err)
				}
			}
			_ = c.Send(t.Context(), "CloseMe", "", true)
			<-back
			if err := c.Invoke(t.Context(), "Nothing", nil); err != nil {
				t.Error(err)
			}
			_ = c.Stop(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if least := map[Transport]int{WebSockets: 4, ServerSentEvents: 8, LongPolling: 12}[kind]; len(seen) < least {
				t.Errorf("%d requests, want %d or more", len(seen), least)
			}
		})
	}
}
