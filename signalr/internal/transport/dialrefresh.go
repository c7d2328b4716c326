package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Refresher is a client's Session whose credential can be renewed while the
// connection goes on (fact sheet: transports, section 3.4). Safe for concurrent
// use.
type Refresher interface {
	// TokenLifetime is how long the credential lasts, counted from
	// negotiation, in whole seconds; false: the server does not say.
	TokenLifetime() (time.Duration, bool)
	// Refresh asks the token source and gives the server what it says. It
	// returns how long the new credential lasts, false: without end. An error
	// leaves the connection as it is; a refusal is a *StatusError.
	Refresh(ctx context.Context) (time.Duration, bool, error)
}

var _ Refresher = (*dialed)(nil)

// errNoToken: without negotiation there is nothing to name a connection by.
var errNoToken = errors.New("authentication refresh needs a negotiated connection")

// maxRefresh is how long an answer to a refresh may be, in bytes.
const maxRefresh = 64 << 10

func (s *dialed) TokenLifetime() (time.Duration, bool) { return lifetime(s.d.lifetime) }

// lifetime reads a number of seconds, which may be too large for a Duration.
func lifetime(seconds *int64) (time.Duration, bool) {
	if seconds == nil {
		return 0, false
	}
	const most = int64(100 * 365 * 24 * time.Hour / time.Second)
	return time.Duration(max(0, min(*seconds, most))) * time.Second, true
}

func (s *dialed) Refresh(ctx context.Context) (time.Duration, bool, error) {
	d := s.d
	if d.token == "" {
		return 0, false, errNoToken
	}
	resp, err := d.do(ctx, d.client, http.MethodPost, d.below("refresh").String(), nil, "X-Signalr-Connection-Token", d.token)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefresh))
	if err != nil {
		return 0, false, err
	}
	return parseRefresh(resp.StatusCode, body)
}

func parseRefresh(status int, body []byte) (time.Duration, bool, error) {
	var answer struct {
		TokenLifetimeSeconds *int64
		Error                string
	}
	err := json.Unmarshal(body, &answer)
	if status < 200 || status > 299 {
		return 0, false, &StatusError{Op: "refresh", Status: status, Text: answer.Error}
	}
	if err != nil {
		return 0, false, fmt.Errorf("the answer to refresh is not what a SignalR server says: %w", err)
	}
	d, ok := lifetime(answer.TokenLifetimeSeconds)
	return d, ok, nil
}
