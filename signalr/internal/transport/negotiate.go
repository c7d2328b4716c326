package transport

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// negotiate answers POST P/negotiate. Errors of the protocol are answered with
// status 200 too; a server that is full or going down answers 503.
func (e *Endpoint) negotiate(w http.ResponseWriter, r *http.Request) {
	version, fault := negotiateVersion(r, e.opts.MinNegotiateVersion)
	if fault != "" {
		writeJSON(w, []byte(`{"error":"`+fault+`"}`))
		return
	}
	ask, _ := queryValue(r, "useStatefulReconnect")
	stateful := strings.EqualFold(ask, "true") && e.opts.AllowStateful(r)

	s := e.open(r, version, stateful)
	if s == nil {
		e.busy(w)
		return
	}
	answer := s.appendNegotiation(nil, version)
	if e.opts.Lifetime != nil && version > 0 {
		if left, ends := e.opts.Lifetime(r.Context()); ends && left > 0 {
			answer = append(appendLifetime(append(answer[:len(answer)-1], ','), left), '}')
		}
	}
	writeJSON(w, answer)
}

// negotiateVersion returns the version of the protocol that a negotiation gets,
// or why it gets none.
func negotiateVersion(r *http.Request, least int) (version int, fault string) {
	asked := int64(0)
	if text, present := queryValue(r, "negotiateVersion"); present {
		var err error
		if asked, err = strconv.ParseInt(strings.TrimSpace(text), 10, 32); err != nil {
			return 0, "The client requested a non-integer protocol version."
		}
	}
	if asked < int64(least) {
		return 0, fmt.Sprintf("The client requested version '%d', but the server does not support this version.", asked)
	}
	return int(min(asked, 1)), ""
}

// Redirect answers a negotiation by sending the client to another hub, with a
// token if there is one.
func Redirect(w http.ResponseWriter, r *http.Request, url, accessToken string) {
	version, fault := negotiateVersion(r, 0)
	if fault != "" {
		writeJSON(w, []byte(`{"error":"`+fault+`"}`))
		return
	}
	body, _ := json.Marshal(struct { // strings and numbers never fail
		Version     int      `json:"negotiateVersion"`
		URL         string   `json:"url"`
		AccessToken string   `json:"accessToken,omitempty"`
		Transports  []string `json:"availableTransports"`
	}{version, url, accessToken, []string{}})
	writeJSON(w, body)
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the connection expires if nobody reads this
}

// appendNegotiation appends the answer, its fields in the reference's order.
func (s *session) appendNegotiation(b []byte, version int) []byte {
	b = append(b, '{')
	if s.offered {
		b = append(b, `"useStatefulReconnect":true,`...)
	}
	b = append(b, `"negotiateVersion":`...)
	b = strconv.AppendInt(b, int64(version), 10)
	b = append(b, `,"connectionId":"`...)
	b = append(b, s.id...)
	if version > 0 {
		b = append(b, `","connectionToken":"`...)
		b = append(b, s.token...)
	}
	b = append(b, `","availableTransports":[`...)
	for i, kind := range s.e.opts.Transports {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"transport":"`...)
		b = append(b, kind.String()...)
		b = append(b, `","transferFormats":["Text"`...)
		if kind != ServerSentEvents {
			b = append(b, `,"Binary"`...)
		}
		b = append(b, `]}`...)
	}
	return append(b, `]}`...)
}

// newID returns 16 random bytes as 22 characters that are safe in a URL.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}
