package signalrtest

import (
	"context"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Server is an HTTP server in memory. Give its URL and HTTPClient to
// signalr.NewClient, and the client reaches the hub by any transport, through
// whatever middleware there is. All methods are safe for concurrent use.
type Server struct {
	// URL is the address of the server's root.
	URL string
	// HTTPClient reaches this server and no other.
	HTTPClient *http.Client

	network *network
}

// network is the connections between clients and the server.
type network struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once // closes closed

	mu    sync.Mutex
	conns map[*memoryConn]struct{}
}

// Serve serves handler, a hub or what is around it, in memory until the test
// ends. Inside testing/synctest all timeouts, keep-alives and reconnects of hub
// and clients go by fake time; stop clients, and shut the hub down, before the
// end of the bubble.
func Serve(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	n := &network{accepted: make(chan net.Conn), closed: make(chan struct{}), conns: make(map[*memoryConn]struct{})}
	client := &http.Client{Transport: &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: -1}} // none is kept for later
	server := &http.Server{Handler: handler, ErrorLog: log.New(t.Output(), "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener{n}) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		n.cut()
		<-done
	})
	return &Server{URL: "http://signalr.test", HTTPClient: client, network: n}
}

// Cut breaks all connections of the network that there are at present, as a
// router that fails would. New ones are possible at once. A client of long
// polling that is just between two polls does not notice.
func (s *Server) Cut() { s.network.cut() }

func (n *network) cut() {
	n.mu.Lock()
	conns := n.conns
	n.conns = make(map[*memoryConn]struct{})
	n.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

// memoryConn is the client's end of a connection.
type memoryConn struct {
	net.Conn
	network *network
}

func (c *memoryConn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	c := &memoryConn{near, n}
	n.mu.Lock()
	n.conns[c] = struct{}{}
	n.mu.Unlock()
	var err error
	select {
	case n.accepted <- far:
		return c, nil
	case <-n.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = c.Close()
	return nil, err
}

// listener is the server's end of the network.
type listener struct{ *network }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} } // of no network, for documentation
