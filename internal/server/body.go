package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// How long a request's body may be on its way, not counting the time that its
// handler takes between two reads; and what is left for a body that nobody
// reads, which net/http passes over before it takes the next request.
const (
	bodyPatience = 30 * time.Second
	restPatience = 5 * time.Second
)

// boundBodies ends connections on which the rest of a request's body does not
// come: without, anybody could hold connections open for ever, since net/http
// knows deadlines for headers and for whole requests only, and event streams
// and uploads have none.
func boundBodies(next http.Handler, patience, rest time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		b := &boundBody{ReadCloser: r.Body, control: http.NewResponseController(w), left: patience}
		bounded := *r
		bounded.Body = b
		defer b.leave(rest)
		next.ServeHTTP(w, &bounded)
	})
}

// boundBody is read by one goroutine, as bodies are.
type boundBody struct {
	io.ReadCloser
	control *http.ResponseController // of writers without deadlines, as in tests, the errors are passed over
	left    time.Duration
	ended   bool
}

func (b *boundBody) Read(p []byte) (int, error) {
	begun := time.Now()
	_ = b.control.SetReadDeadline(begun.Add(b.left))
	n, err := b.ReadCloser.Read(p)
	b.left -= time.Since(begun)
	b.ended = b.ended || err == io.EOF // as io.Reader says it
	// Between reads nothing ends: when all is read, net/http watches the
	// connection, and a deadline would look like a client that is gone.
	_ = b.control.SetReadDeadline(time.Time{})
	return n, err
}

func (b *boundBody) leave(rest time.Duration) {
	if !b.ended {
		_ = b.control.SetReadDeadline(time.Now().Add(rest)) // net/http sets the next request's own
	}
}

// answerPatience is how long a client may take for one write of its answer.
const answerPatience = 30 * time.Second

// boundAnswers ends connections whose client does not take its answers: anybody
// could hold them open for ever by reading nothing. Handlers that set deadlines
// of their own keep those until they return.
func boundAnswers(next http.Handler, patience time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := &boundAnswer{ResponseWriter: w, control: http.NewResponseController(w), patience: patience}
		_ = b.control.SetWriteDeadline(time.Time{}) // the connection still has that of the answer before
		defer b.leave()
		next.ServeHTTP(b, r)
	})
}

// boundAnswer is written to by one goroutine at a time, as answers are.
type boundAnswer struct {
	http.ResponseWriter
	control  *http.ResponseController // as in boundBody
	patience time.Duration
	own      bool // the handler sets deadlines
	hijacked bool
}

func (b *boundAnswer) Write(p []byte) (int, error) {
	if !b.own {
		_ = b.control.SetWriteDeadline(time.Now().Add(b.patience))
	}
	return b.ResponseWriter.Write(p)
}

// SetWriteDeadline, Hijack and Unwrap are for http.ResponseController.
func (b *boundAnswer) SetWriteDeadline(at time.Time) error {
	b.own = true
	return b.control.SetWriteDeadline(at)
}

func (b *boundAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := b.control.Hijack()
	b.hijacked = err == nil
	return c, rw, err
}

func (b *boundAnswer) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// leave is for what net/http still holds back of the answer.
func (b *boundAnswer) leave() {
	if !b.hijacked {
		_ = b.control.SetWriteDeadline(time.Now().Add(b.patience))
	}
}
