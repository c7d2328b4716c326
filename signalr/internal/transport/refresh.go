package transport

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// tokenHeader carries the connection token of a refresh. Clients of the release
// candidates of .NET 11 put it into the query, as id.
const tokenHeader = "X-SignalR-Connection-Token"

// refresh answers POST P/refresh (fact sheet transports 3.4): the connection
// lives on under the credential of this request, which must be one of the same
// user. Statuses and words are those of ASP.NET Core 11.
func (e *Endpoint) refresh(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get(tokenHeader)
	if token == "" {
		token, _ = queryValue(r, "id")
	}
	if token == "" {
		refuseRefresh(w, http.StatusBadRequest, "missing_connection_token")
		return
	}
	e.mu.Lock()
	s := e.sessions[token]
	e.mu.Unlock()
	switch {
	case s == nil:
		refuseRefresh(w, http.StatusNotFound, "connection_not_found")
		return
	case s.token == s.id: // no secret: whoever knows the public id could refresh
		refuseRefresh(w, http.StatusBadRequest, "unsupported_negotiate_version")
		return
	case e.opts.UserID(r.Context()) != s.user:
		refuseRefresh(w, http.StatusForbidden, "permission_change_rejected")
		return
	}
	left, ends := e.opts.Lifetime(r.Context())
	if ends && left <= 0 {
		refuseRefresh(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	s.renew(r)
	body := []byte{'{'}
	if ends {
		body = appendLifetime(body, left)
	}
	writeJSON(w, append(body, '}'))
}

// refuseRefresh answers with one of the words that clients may show.
func refuseRefresh(w http.ResponseWriter, status int, word string) {
	body := `{"error":"` + word + `"}`
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that is gone needs no answer
}

// renew tells the application that a later request came with a credential of
// its own. Before there is an application nothing is to be told: the request
// that attaches the transport carries one.
func (s *session) renew(r *http.Request) {
	s.mu.Lock()
	app := s.app
	s.mu.Unlock()
	if app != nil && s.e.opts.Renewed != nil {
		s.e.opts.Renewed(app, r.Context())
	}
}

// appendLifetime appends the property that says how many seconds, to the
// nearest one, a credential has left.
func appendLifetime(b []byte, left time.Duration) []byte {
	seconds := min(int64(left.Round(time.Second)/time.Second), math.MaxInt32)
	return strconv.AppendInt(append(b, `"tokenLifetimeSeconds":`...), seconds, 10)
}
