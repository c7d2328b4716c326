package transport

import (
	"bytes"
	"io"
	"net"
	"net/http/httptest"
	"testing"
)

// BenchmarkFlush writes a message of 250 bytes to one WebSocket whose peer
// reads and throws away: the cost of a delivery, the peer's read included.
func BenchmarkFlush(b *testing.B) {
	message := bytes.Repeat([]byte("x"), 250)
	sessions := make(chan Session, 1)
	e := NewEndpoint(EndpointOptions{Accept: func(s Session) (Application, error) {
		sessions <- s
		return &supply{message: message}, nil
	}})
	server := httptest.NewServer(e)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, upgradeRequest("example.test", "/", nil)); err != nil {
		b.Fatal(err)
	}
	s := <-sessions
	read := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, conn)
		read <- n
	}()
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		s.Flush()
	}
	s.Close()
	_ = conn.(*net.TCPConn).CloseWrite()
	if n := <-read; n == 0 {
		b.Error("nothing arrived")
	}
}

// supply has one message whenever it is asked.
type supply struct{ message []byte }

func (s *supply) Receive([]byte) error { return nil }
func (s *supply) Next(dst []byte, _ int) ([]byte, bool, bool) {
	return append(dst, s.message...), false, false
}
func (s *supply) PeerClosed() {}
func (s *supply) Lost()       {}
func (s *supply) Resumed()    {}
func (s *supply) Ended(error) {}
