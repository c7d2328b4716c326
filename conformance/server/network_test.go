package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// front stands before a server and refuses what it is told to.
type front struct {
	mu       sync.Mutex
	refusals map[string]*refusal // by kind of request
	seen     []*http.Request
}

type refusal struct {
	status int // 0: the connection is cut
	times  int
}

// refuse answers requests of a kind with status, so many times: negotiate,
// websocket, events, poll, post; all.
func (f *front) refuse(kind string, status, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusals == nil {
		f.refusals = make(map[string]*refusal)
	}
	f.refusals[kind] = &refusal{status, times}
}

func (f *front) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, req)
		status, refused := f.take(kindOf(req))
		f.mu.Unlock()
		switch {
		case !refused:
			next.ServeHTTP(w, req)
		case status == 0:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(status)
		}
	})
}

func (f *front) take(kind string) (status int, refused bool) {
	for _, k := range []string{kind, "all"} {
		if r := f.refusals[k]; r != nil && r.times > 0 {
			r.times--
			return r.status, true
		}
	}
	return 0, false
}

// requests returns what has come.
func (f *front) requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*http.Request(nil), f.seen...)
}

func kindOf(r *http.Request) string {
	switch {
	case strings.HasSuffix(r.URL.Path, "/negotiate"):
		return "negotiate"
	case r.Header.Get("Upgrade") != "":
		return "websocket"
	case r.Method == http.MethodPost:
		return "post"
	case strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		return "events"
	}
	return "poll"
}

// network is a TCP proxy before a server that delays and goes silent.
type network struct {
	root string

	mu     sync.Mutex
	delay  time.Duration
	silent chan struct{} // not nil: nothing passes until it is closed
	conns  []net.Conn
	over   bool
}

// network starts a proxy before the server.
func (r *rig) network() *network {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	r.must(err)
	n := &network{root: "http://" + listener.Addr().String()}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(r.root, "http://"))
			if err != nil {
				_ = client.Close()
				continue
			}
			if !n.keep(client, server) {
				return
			}
			work.Go(func() { n.pass(server, client) })
			work.Go(func() { n.pass(client, server) })
		}
	})
	r.t.Cleanup(func() {
		_ = listener.Close()
		n.speak()
		n.end()
		work.Wait()
	})
	return n
}

// keep notes what has to be closed at the end; it says no after that.
func (n *network) keep(conns ...net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	n.conns = append(n.conns, conns...)
	return true
}

func (n *network) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	for _, c := range n.conns {
		_ = c.Close()
	}
}

func (n *network) pass(to, from net.Conn) {
	defer func() { _ = errors.Join(to.Close(), from.Close()) }()
	buf := make([]byte, 64<<10)
	for {
		size, err := from.Read(buf)
		if err != nil {
			return // io.EOF, or the test is over
		}
		n.mu.Lock()
		delay, silent := n.delay, n.silent
		n.mu.Unlock()
		time.Sleep(delay)
		if silent != nil {
			<-silent
		}
		if _, err := io.Copy(to, strings.NewReader(string(buf[:size]))); err != nil {
			return
		}
	}
}

func (n *network) slow(delay time.Duration) { n.mu.Lock(); defer n.mu.Unlock(); n.delay = delay }

func (n *network) silence() { n.mu.Lock(); defer n.mu.Unlock(); n.silent = make(chan struct{}) }

func (n *network) speak() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent != nil {
		close(n.silent)
		n.silent = nil
	}
}
