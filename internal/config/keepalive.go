package config

import (
	"net/http"
	"strconv"
	"time"
)

const (
	// clientKeepAlive is how often official clients ping.
	clientKeepAlive = 15 * time.Second
	// clientServerTimeout is how long official clients bear silence, unless
	// their application says otherwise.
	clientServerTimeout = 30 * time.Second
	// maxUntoldKeepAlive is two thirds of that.
	maxUntoldKeepAlive = clientServerTimeout * 2 / 3

	// pingsLate is how much later than asked for a ping may come: the library
	// looks once a second. As much again is for the way.
	pingsLate = time.Second

	minServerTimeout = 1500 * time.Millisecond // below it we would ping more than once a second
	maxServerTimeout = 24 * time.Hour
)

// KeepAlive is how often a connection to one of Conduit's hubs is pinged: the
// configured interval, but at most two thirds of the silence that its client
// bears, and early enough where that is little. That is 30 s, hence 20 s, unless the client tells its server timeout
// in the query of its opening request (serverTimeout, milliseconds). What is
// no number, or below 1.5 s or above a day, is passed over.
//
// The library takes the configured interval exactly; this is a rule of
// Conduit's hubs.
func KeepAlive(configured time.Duration, r *http.Request) time.Duration {
	bears := clientServerTimeout
	if r != nil && r.URL != nil {
		if ms, err := strconv.ParseInt(r.URL.Query().Get("serverTimeout"), 10, 64); err == nil &&
			ms >= minServerTimeout.Milliseconds() && ms <= maxServerTimeout.Milliseconds() {
			bears = time.Duration(ms) * time.Millisecond
		}
	}
	return min(configured, bears*2/3, max(bears-2*pingsLate, time.Millisecond))
}
