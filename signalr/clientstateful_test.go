package signalr

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// cutter is a proxy that cuts connections in the middle of what they carry.
type cutter struct {
	t        *testing.T
	listener net.Listener
	target   string
	cuts     atomic.Int64 // how many are left
	done     atomic.Int64 // how many were made
	work     sync.WaitGroup
}

func newCutter(t *testing.T, target string, cuts int64) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{t: t, listener: l, target: target}
	p.cuts.Store(cuts)
	p.work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.work.Wait()
	})
	return p
}

// serve joins a connection to the server. A WebSocket is cut after some bytes
// in one of the two directions, as long as there are cuts left.
func (p *cutter) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	in := bufio.NewReader(client)
	start, err := in.Peek(4)
	if err != nil {
		return
	}
	up, down := int64(-1), int64(-1)
	if string(start) == "GET " && p.cuts.Add(-1) >= 0 {
		if rand.N(2) == 0 {
			up = 200 + rand.N(int64(20_000))
		} else {
			down = 200 + rand.N(int64(20_000))
		}
	}
	over := make(chan struct{}, 2)
	var once sync.Once
	cut := func() {
		once.Do(func() {
			p.done.Add(1)
			for _, c := range []net.Conn{client, server} {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			}
		})
	}
	move := func(to net.Conn, from interface{ Read([]byte) (int, error) }, left int64) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if left >= 0 && int64(n) > left {
				_, _ = to.Write(buf[:left])
				cut()
				break
			}
			if left >= 0 {
				left -= int64(n)
			}
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		over <- struct{}{}
	}
	go move(server, in, up)
	go move(client, server, down)
	<-over
	_ = client.Close()
	_ = server.Close()
	<-over
}

// TestClientStatefulCuts: sockets that are cut in the middle of frames, in
// either direction, lose nothing, repeat nothing and change no order: of
// messages both ways, calls and streams.
func TestClientStatefulCuts(t *testing.T) {
	for _, protocol := range []string{"json", "messagepack"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			const count, cuts = 3000, 12
			var mu sync.Mutex
			var atServer, atClient []int
			hub := newClientHub(HubOptions{
				AllowStatefulReconnects: true, StatefulReconnectBufferSize: 1 << 20,
				SlowClient: Wait(clientPatience),
				OnDisconnected: func(_ context.Context, _ *Conn, err error) {
					if err != nil {
						t.Errorf("disconnected: %v", err)
					}
				},
			})
			Handle(hub, "Number", func(n int, _ string) { mu.Lock(); atServer = append(atServer, n); mu.Unlock() })
			url := serveHub(t, hub)
			proxy := newCutter(t, strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/hub"), cuts)
			c := startClient(t, "http://"+proxy.listener.Addr().String()+"/hub", ClientOptions{
				Protocol: protocol, StatefulReconnect: true, StatefulReconnectBufferSize: 1 << 20,
				HTTPClient:     &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
				OnReconnecting: func(err error) { t.Errorf("reconnecting: %v", err) },
				Reconnect:      DefaultReconnect,
			})
			c.On("Number", func(n int, _ string) { mu.Lock(); atClient = append(atClient, n); mu.Unlock() })
			id := c.ConnectionID()
			padding := strings.Repeat("p", 30)
			var work sync.WaitGroup
			work.Go(func() {
				for n := range count {
					if err := c.Send(t.Context(), "Number", n, padding); err != nil {
						t.Errorf("client: %v", err)
						return
					}
				}
			})
			work.Go(func() {
				for n := range count {
					if err := hub.Client(id).Send(t.Context(), "Number", n, padding); err != nil {
						t.Errorf("server: %v", err)
						return
					}
				}
			})
			work.Go(func() {
				for i := range 100 {
					var s string
					want := fmt.Sprint("call ", i)
					if err := c.Invoke(t.Context(), "Echo", &s, want); err != nil || s != want {
						t.Errorf("%s: %q, %v", want, s, err)
						return
					}
				}
			})
			work.Go(func() {
				items, err := collect(Stream[int](t.Context(), c, "Count", 1000), 0)
				if err != nil || len(items) != 1000 || !slices.IsSorted(items) {
					t.Errorf("stream of %d items: %v", len(items), err)
				}
			})
			work.Go(func() {
				var sum int
				upload := func(yield func(int, error) bool) {
					for i := range 1000 {
						if !yield(i, nil) {
							return
						}
					}
				}
				if err := c.Invoke(t.Context(), "Sum", &sum, upload); err != nil || sum != 499500 {
					t.Errorf("upload: %d, %v", sum, err)
				}
			})
			work.Wait()
			var want []int
			for n := range count {
				want = append(want, n)
			}
			eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(atServer) >= count && len(atClient) >= count
			})
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(atServer, want) {
				t.Errorf("the server got %d messages: %s", len(atServer), cmp.Diff(want, atServer))
			}
			if !slices.Equal(atClient, want) {
				t.Errorf("the client got %d messages: %s", len(atClient), cmp.Diff(want, atClient))
			}
			if c.ConnectionID() != id {
				t.Error("the connection has another id")
			}
			if proxy.done.Load() < cuts/2 {
				t.Errorf("only %d cuts", proxy.done.Load())
			}
		})
	}
}

// eventually waits for what must become true.
func eventually(t *testing.T, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(clientPatience); !ready(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("it does not come about")
			return
		}
	}
}

// front stands before a hub and can refuse WebSockets.
type front struct {
	hub     http.Handler
	mu      sync.Mutex
	status  int // of the next WebSockets; 0: let them in
	times   int // how often; below 0: always
	sockets int // how many asked
	cut     []net.Conn
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		f.mu.Lock()
		f.sockets++
		status := f.status
		if f.times == 0 {
			status = 0
		} else {
			f.times--
		}
		f.mu.Unlock()
		if status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	f.hub.ServeHTTP(w, r)
}

// loseAll cuts what is connected; the next WebSockets are answered so.
func (f *front) loseAll(status, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.times = status, times
	for _, c := range f.cut {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	f.cut = nil
}

func (f *front) asked() int { f.mu.Lock(); defer f.mu.Unlock(); return f.sockets }

// serveFront puts a hub with a front on a server.
func serveFront(t *testing.T, hub *Hub) (url string, f *front) {
	t.Helper()
	f = &front{hub: hub}
	server := httptest.NewUnstartedServer(f)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateHijacked {
			f.mu.Lock()
			f.cut = append(f.cut, c)
			f.mu.Unlock()
		}
	}
	server.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), clientPatience)
		defer cancel()
		_ = hub.Shutdown(ctx)
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return server.URL + "/hub", f
}

// TestClientStatefulRefused: what becomes of a connection whose new socket is
// refused, for good or for a while.
func TestClientStatefulRefused(t *testing.T) {
	for _, tc := range []struct {
		name          string
		status, times int
		policy        bool
		want          string // again, new, closed
	}{
		{"let in", 0, 0, true, "again"},
		{"busy at first", http.StatusServiceUnavailable, 2, false, "again"},
		{"still there at first", http.StatusConflict, 1, false, "again"},
		{"unknown, reconnect", http.StatusNotFound, 1, true, "new"},
		{"unknown", http.StatusNotFound, 1, false, "closed"},
		{"closing", http.StatusNoContent, 1, false, "closed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hub := newClientHub(HubOptions{AllowStatefulReconnects: true})
			url, f := serveFront(t, hub)
			happened := make(chan string, 10)
			opts := ClientOptions{
				StatefulReconnect: true,
				OnReconnected:     func(string) { happened <- "new" },
				OnClosed:          func(err error) { happened <- "closed" },
			}
			if tc.policy {
				opts.Reconnect = DefaultReconnect
			}
			c := startClient(t, url, opts)
			id := c.ConnectionID()
			asked, goOn := make(chan struct{}), make(chan struct{})
			clientQuery.Answer(c, func(context.Context, string) (thing, error) {
				close(asked)
				<-goOn
				return thing{}, nil
			})
			waiting := make(chan error, 1)
			go func() { waiting <- c.Invoke(context.Background(), "AskBack", nil, "?") }()
			<-asked
			f.loseAll(tc.status, tc.times)
			if tc.want == "again" {
				eventually(t, func() bool { return f.asked() == tc.times+2 })
				close(goOn)
				if err := <-waiting; err != nil || c.ConnectionID() != id {
					t.Errorf("the call that waited: %v", err)
				}
				if len(happened) > 0 {
					t.Errorf("told: %s", <-happened)
				}
				return
			}
			if got := <-happened; got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			close(goOn)
			if err := <-waiting; !errors.Is(err, ErrConnectionClosed) {
				t.Errorf("the call that waited: %v", err)
			}
		})
	}
}

// TestClientStatefulFinal: after a Close of the server or Stop, no other socket
// is asked for.
func TestClientStatefulFinal(t *testing.T) {
	for _, stop := range []bool{true, false} {
		hub := newClientHub(HubOptions{AllowStatefulReconnects: true})
		url, f := serveFront(t, hub)
		closed := make(chan error, 1)
		c := startClient(t, url, ClientOptions{StatefulReconnect: true, OnClosed: func(err error) { closed <- err }})
		if stop {
			_ = c.Stop(t.Context())
		} else {
			_ = c.Send(t.Context(), "CloseMe", "because", true)
		}
		if err := <-closed; (err == nil) != stop {
			t.Errorf("stop %v: closed: %v", stop, err)
		}
		eventually(t, func() bool { return hub.endpoint.Count() == 0 })
		if n := f.asked(); n != 1 {
			t.Errorf("stop %v: %d sockets", stop, n)
		}
	}
}

// TestClientStatefulStopWhileLost: Stop does not wait for a socket.
func TestClientStatefulStopWhileLost(t *testing.T) {
	hub := newClientHub(HubOptions{AllowStatefulReconnects: true})
	url, f := serveFront(t, hub)
	closed := make(chan error, 1)
	c := startClient(t, url, ClientOptions{StatefulReconnect: true, Reconnect: DefaultReconnect, OnClosed: func(err error) { closed <- err }})
	f.loseAll(http.StatusServiceUnavailable, -1)
	eventually(t, func() bool { return f.asked() >= 2 })
	if c.State() != StateConnected {
		t.Errorf("state %v", c.State())
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Errorf("closed: %v", err)
	}
	f.loseAll(0, 0)
	if err := c.Start(t.Context()); err != nil {
		t.Errorf("Start after Stop: %v", err)
	}
}

// TestClientStatefulNotOffered: a server that does not come along, and a
// transport that cannot.
func TestClientStatefulNotOffered(t *testing.T) {
	for _, kind := range []Transport{WebSockets, LongPolling, ServerSentEvents} {
		hub := newClientHub(HubOptions{AllowStatefulReconnects: kind != WebSockets})
		c := startClient(t, serveHub(t, hub), ClientOptions{StatefulReconnect: true, Transports: []Transport{kind}})
		var s string
		if err := c.Invoke(t.Context(), "Echo", &s, "x"); err != nil || s != "x" {
			t.Errorf("%v: %q, %v", kind, s, err)
		}
		_ = c.Stop(t.Context())
	}
}

// statefulShown shows what a message says, with its sequence id.
func statefulShown(m *wire.Message) string {
	return fmt.Sprintf("%s sequence %d", shown(m), m.SequenceID)
}

// clientStatefulGolden has the client go through the recorded cut.
func clientStatefulGolden(t *testing.T, r recording) {
	c, s := connectCable(t, ClientOptions{StatefulReconnect: true, Protocol: r.proto.Name()})
	if s.version != 2 {
		t.Errorf("handshake version %d", s.version)
	}
	var numbers atomic.Int32
	c.On("Number", func(int) { numbers.Add(1) })
	cut, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ctx := t.Context()
		answer(t, c.Invoke(ctx, "Burst", nil, 3), "")
		answer(t, c.Invoke(ctx, "Echo", nil, "before the cut"), "")
		<-cut
		time.Sleep(300 * time.Millisecond)
		answer(t, c.Invoke(ctx, "Echo", nil, "after the cut"), "")
		answer(t, c.Invoke(ctx, "Burst", nil, 2), "")
		time.Sleep(1500 * time.Millisecond)
		answer(t, c.Stop(ctx), "")
	}()
	var heard []wire.Message
	for _, line := range readStateful(t, r) {
		switch {
		case line.cut:
			synctest.Wait()
			s.lose()
			s.comeBack()
			close(cut)
		case !line.client:
			s.say(line.msg)
		default:
			for tries := 0; len(heard) == 0 && tries < 300; tries++ {
				if heard = s.heard(); len(heard) == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			if len(heard) == 0 {
				t.Fatalf("the client does not say %s", statefulShown(&line.msg))
			}
			if diff := cmp.Diff(statefulShown(&line.msg), statefulShown(&heard[0])); diff != "" {
				t.Errorf("the client's message (-recorded +ours):\n%s", diff)
			}
			heard = heard[1:]
		}
	}
	<-stopped
	if numbers.Load() != 5 {
		t.Errorf("%d numbers, want 5", numbers.Load())
	}
}

type statefulLine struct {
	line
	cut bool
}

// readStateful reads the recording behind the handshake, without pings, with
// our ids.
func readStateful(t *testing.T, r recording) (script []statefulLine) {
	t.Helper()
	frames := readFrames(t, r.file)
	conn := frames[0].Conn
	for _, f := range frames[2:] { // behind the handshake
		if f.Kind == "close" {
			continue
		}
		if f.Conn != conn {
			conn = f.Conn
			script = append(script, statefulLine{cut: true})
		}
		for buf := f.bytes(t); len(buf) > 0; {
			inside, n, err := r.proto.Split(buf, 0)
			if err != nil || n == 0 {
				t.Fatalf("%q: %v", buf, err)
			}
			var m wire.Message
			if err := r.proto.Parse(bytes.Clone(inside), &m); err != nil {
				t.Fatal(err)
			}
			if m = asOurs(m); m.Type != wire.Ping {
				script = append(script, statefulLine{line: line{f.From == "client", m, buf[:n]}})
			}
			buf = buf[n:]
		}
	}
	return script
}

// TestClientStatefulAcks: one each second, if there is news, and again when a
// duplicate shows that one was lost.
func TestClientStatefulAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connectCable(t, ClientOptions{StatefulReconnect: true, ServerTimeout: -1})
		event := wire.Message{Type: wire.Invocation, Target: "X", Arguments: []wire.Raw{}}
		want := func(acks ...int64) {
			t.Helper()
			var got []int64
			for _, m := range s.heard() {
				if m.Type != wire.Ack {
					t.Errorf("%v", m.Type)
				}
				got = append(got, m.SequenceID)
			}
			if !slices.Equal(got, acks) {
				t.Errorf("acks %v, want %v", got, acks)
			}
		}
		s.say(event, event, wire.Message{Type: wire.Ping}, event)
		time.Sleep(900 * time.Millisecond)
		want()
		time.Sleep(200 * time.Millisecond)
		want(3)
		time.Sleep(10 * time.Second)
		want()
		s.say(event)
		s.lose()
		time.Sleep(5 * time.Second)
		want() // there is nowhere to write to
		s.comeBack()
		if got := s.heard(); len(got) != 1 || got[0].Type != wire.Sequence || got[0].SequenceID != 1 {
			t.Errorf("after the cut: %v", got)
		}
		s.say(wire.Message{Type: wire.Sequence, SequenceID: 4}, event)
		time.Sleep(time.Second)
		want(4)
		s.lose()
		s.comeBack()
		s.heard()
		s.say(wire.Message{Type: wire.Sequence, SequenceID: 4}, event)
		time.Sleep(time.Second)
		want(4)
		closed := make(chan error, 1)
		c.opts.OnClosed = func(err error) { closed <- err }
		s.say(wire.Message{Type: wire.Sequence, SequenceID: 9})
		if err := <-closed; err == nil || !strings.Contains(err.Error(), "Sequence ID greater") {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestClientStatefulBufferLimit: Send waits when too much is not acknowledged,
// through a cut, until it is, or nobody wants it any more.
func TestClientStatefulBufferLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := connectCable(t, ClientOptions{StatefulReconnect: true, StatefulReconnectBufferSize: 100, ServerTimeout: -1})
		sent := make(chan int, 100)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() {
			for n := range 10 {
				if err := c.Send(ctx, "Number", n); err != nil { // 45 bytes
					over <- err
					return
				}
				sent <- n
			}
		}()
		want := func(total int, kinds ...wire.Type) {
			t.Helper()
			var got []wire.Type
			for _, m := range s.heard() {
				got = append(got, m.Type)
			}
			if !slices.Equal(got, kinds) || len(sent) != total {
				t.Errorf("heard %v, want %v; %d sent, want %d", got, kinds, len(sent), total)
			}
		}
		i := wire.Invocation
		want(3, i, i, i)
		s.lose()
		want(3)
		s.comeBack()
		want(3, wire.Sequence, i, i, i)
		s.say(wire.Message{Type: wire.Ack, SequenceID: 1})
		want(4, i)
		s.say(wire.Message{Type: wire.Ack, SequenceID: 4})
		want(7, i, i, i)
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that waits: %v", err)
		}
		// A call that is given up ends at once, even so.
		soon, cancel := context.WithCancel(t.Context())
		go func() { over <- c.Invoke(soon, "Wait", nil) }()
		synctest.Wait()
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("the call: %v", err)
		}
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
