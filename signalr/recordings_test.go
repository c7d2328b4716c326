package signalr

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// recording is one recorded conversation of an official client with ASP.NET
// Core: WHAT.TRANSPORT.PROTOCOL, or a name of its own.
type recording struct {
	file, what string
	kind       Transport
	proto      wire.Protocol
	detailed   bool // the server shows details of errors
}

// eachRecording runs a test for each of the recordings: none is left out.
func eachRecording(t *testing.T, run func(t *testing.T, r recording)) {
	t.Helper()
	files, err := filepath.Glob("testdata/conversations/*.jsonl")
	if err != nil || len(files) != 39 {
		t.Fatalf("%d recordings, want 39: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		r := recording{file: file, kind: WebSockets, proto: wire.JSON, detailed: true}
		name, masked := strings.CutPrefix(name, "without-details.")
		r.detailed = !masked
		parts := strings.Split(name, ".")
		r.what = parts[0]
		if len(parts) == 3 {
			r.kind = map[string]Transport{"WebSockets": WebSockets, "ServerSentEvents": ServerSentEvents, "LongPolling": LongPolling}[parts[1]]
			if parts[2] == "messagepack" {
				r.proto = wire.MessagePack
			}
		}
		t.Run(filepath.Base(file), func(t *testing.T) { run(t, r) })
	}
}

// hubOptions are the options of the hub that was recorded.
func (r recording) hubOptions() HubOptions {
	if !r.detailed {
		return HubOptions{AllowStatefulReconnects: true}
	}
	return HubOptions{EnableDetailedErrors: true, MaximumParallelInvocationsPerClient: 2, AllowStatefulReconnects: true}
}

// network joins HTTP clients to a server in memory, so that time can be the
// test's own.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: "memory"} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-n.closed:
		return nil, errors.New("the server is gone")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveInMemory serves until the end of the test and returns a client for it.
func serveInMemory(t *testing.T, h http.Handler) *http.Client {
	t.Helper()
	n := &network{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(n) // until it is closed
	}()
	link := &http.Transport{DialContext: n.dial}
	t.Cleanup(func() {
		link.CloseIdleConnections()
		_ = server.Close()
		<-done
	})
	return &http.Client{Transport: link}
}
