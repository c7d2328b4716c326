package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// credential is who asks, and until when, as the token NAME:SECONDS says it.
type credential struct {
	user string
	ends time.Time
}

type credentialKey struct{}

func credentialOf(ctx context.Context) credential {
	c, _ := ctx.Value(credentialKey{}).(credential)
	return c
}

// newAuthHub is a hub for users whose credentials end: it closes connections
// then, unless the client has shown a newer one.
func newAuthHub(options signalr.HubOptions) *signalr.Hub {
	options.UserID = func(ctx context.Context) string { return credentialOf(ctx).user }
	options.AuthenticationExpires = func(ctx context.Context) time.Time { return credentialOf(ctx).ends }
	options.AuthenticationRefresh = true
	hub := signalr.NewHub("Reference.AuthHub", options)
	signalr.Handle(hub, "GetUser", func(c *signalr.Conn) string { return c.UserID() })
	signalr.Handle(hub, "Echo", func(s *string) *string { return s })
	return hub
}

// requireToken lets requests with a token NAME:SECONDS through, in the header
// or as access_token in the query; all others get 401.
func requireToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := parseToken(bearer(r), time.Now())
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), credentialKey{}, c)))
	})
}

func bearer(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return r.URL.Query().Get("access_token")
}

func parseToken(token string, now time.Time) (credential, bool) {
	name, seconds, ok := strings.Cut(token, ":")
	n, err := strconv.ParseInt(seconds, 10, 32)
	if !ok || name == "" || err != nil || n < 1 {
		return credential{}, false
	}
	return credential{user: name, ends: now.Add(time.Duration(n) * time.Second)}, true
}

// toUser sends to the connections of a user: POST /user?user=U.
func toUser(hub *signalr.Hub) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := message.Send(r.Context(), hub.User(r.FormValue("user")), "to user"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte("ok"))
	}
}
