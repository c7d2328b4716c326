package transport

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// negotiate answers POST P/negotiate. Errors of the protocol are answered with
// status 200 too; a server that is full or going down answers 503.
func (e *Endpoint) negotiate(w http.ResponseWriter, r *http.Request) {
	version := int64(0)
	if text, present := queryValue(r, "negotiateVersion"); present {
		v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil {
			writeJSON(w, []byte(`{"error":"The client requested a non-integer protocol version."}`))
			return
		}
		if v < 0 {
			writeJSON(w, []byte(`{"error":"The client requested version '`+strconv.FormatInt(v, 10)+
				`', but the server does not support this version."}`))
			return
		}
		version = min(v, 1)
	}
	ask, _ := queryValue(r, "useStatefulReconnect")
	stateful := strings.EqualFold(ask, "true") && e.opts.AllowStateful(r)

	s := e.open(r, int(version), stateful)
	if s == nil {
		e.busy(w)
		return
	}
	answer := s.appendNegotiation(nil, int(version))
	if e.opts.Lifetime != nil && version > 0 {
		if left, ends := e.opts.Lifetime(r.Context()); ends && left > 0 {
			answer = append(appendLifetime(append(answer[:len(answer)-1], ','), left), '}')
		}
	}
	writeJSON(w, answer)
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
