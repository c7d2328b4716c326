package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A body that does not come holds no connection, whether somebody reads it or
// not; one that is there leaves its handler all the time it needs.
func TestBodiesThatDoNotCome(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/reads", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	mux.HandleFunc("/ignores", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/works", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
			w.WriteHeader(http.StatusGone)
		}
	})
	const patience = 50 * time.Millisecond
	server := httptest.NewServer(boundBodies(mux, patience, patience))
	defer server.Close()
	dial := func(path, body string) (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n%s", path, body); err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
	answer := func(r *bufio.Reader) int {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for path, status := range map[string]int{"/reads": 400, "/ignores": 200} {
		_, r := dial(path, "12")
		if got := answer(r); got != status {
			t.Errorf("%s: %d", path, got)
		}
		if _, err := r.ReadByte(); err != io.EOF { // as io.Reader says it
			t.Errorf("%s: the connection is still there: %v", path, err)
		}
	}

	_, slow := dial("/works", "12345")
	_, quick := dial("/reads", "12") // its end shows that the time is over
	if got := answer(quick); got != 400 {
		t.Errorf("quick: %d", got)
	}
	close(release)
	if got := answer(slow); got != 200 {
		t.Errorf("a handler at work: %d", got)
	}
}

// Whoever does not read its answers, however large or many, holds no
// connection.
func TestAnswersThatNobodyReads(t *testing.T) {
	large := make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				large <- err
				return
			}
		}
	})
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	server := httptest.NewServer(boundAnswers(mux, 50*time.Millisecond))
	defer server.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	c := dial()
	if _, err := io.WriteString(c, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-large; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the large answer: %v", err)
	}
	c = dial()
	var err error
	for err == nil {
		_, err = io.WriteString(c, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("small answers that nobody reads hold the connection")
	}
}

// deadlines notes what is set on it.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.set = append(d.set, at); return nil }

func (d *deadlines) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

func TestAnswersWithDeadlinesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, none, end := time.Now().Add(time.Hour), time.Time{}, time.Now().Add(time.Second)
		for name, c := range map[string]struct {
			serve http.HandlerFunc
			want  []time.Time
		}{
			"none": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, []time.Time{none, end, end}},
			"own": {func(w http.ResponseWriter, _ *http.Request) {
				_ = http.NewResponseController(w).SetWriteDeadline(own)
				_, _ = io.WriteString(w, "x")
			}, []time.Time{none, own, end}},
			"hijacked": {func(w http.ResponseWriter, _ *http.Request) { _, _, _ = http.NewResponseController(w).Hijack() }, []time.Time{none}},
		} {
			d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			boundAnswers(c.serve, time.Second).ServeHTTP(d, httptest.NewRequest("GET", "/", nil))
			if diff := cmp.Diff(c.want, d.set); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}
