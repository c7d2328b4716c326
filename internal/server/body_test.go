package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
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
