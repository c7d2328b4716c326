package signalr

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// A thousand clients come, call, get what is sent to all, and go, in every way
// and at once; nothing is left.
func TestStormOfConnections(t *testing.T) {
	var connected, disconnected atomic.Int32
	h := NewHub("test", HubOptions{ShutdownWindow: time.Millisecond, SlowClient: Wait(time.Minute),
		OnConnected: func(ctx context.Context, c *Conn) error {
			connected.Add(1)
			return c.Join(ctx, "g")
		},
		OnDisconnected: func(context.Context, *Conn, error) { disconnected.Add(1) }})
	Handle(h, "Echo", func(s string) string { return s })
	stop := make(chan struct{})
	var sender, wg sync.WaitGroup
	sender.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = h.Group("g").Send(context.Background(), "X")
			}
			runtime.Gosched()
		}
	})
	for worker := range 10 {
		wg.Go(func() {
			for i := range 100 {
				p := connect(t, h, fmt.Sprint(worker, "-", i))
				p.send(`{"type":1,"invocationId":"1","target":"Echo","arguments":["x"]}`)
				for r := p.next(); !strings.HasPrefix(r, `{"type":3`); r = p.next() {
					if r == "" {
						t.Error("ended early")
						return
					}
				}
				switch i % 3 {
				case 0:
					p.send(`{"type":7}`)
				case 1:
					p.session.Abort(nil)
				default:
					h.Connection(fmt.Sprint(worker, "-", i)).Abort()
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	sender.Wait()
	shutdown(t, h)
	if connected.Load() != 1000 || disconnected.Load() != 1000 {
		t.Errorf("%d connected, %d disconnected", connected.Load(), disconnected.Load())
	}
	if h.Count() != 0 || len(h.groups) != 0 || len(h.sessions) != 0 {
		t.Error("something is left")
	}
}

// One of a thousand clients stops reading: the others are served at once.
func TestOneOfThousandStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{QueueMessages: 64, KeepAliveInterval: time.Hour, ShutdownWindow: time.Millisecond})
		peers := make([]*peer, 1000)
		for i := range peers {
			peers[i] = connect(t, h, fmt.Sprint("c", i))
		}
		goOn := peers[500].stall()
		for n := range 100 {
			if err := h.All().Send(t.Context(), "N", n); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for i, p := range peers {
				if i != 500 {
					p.want(invocation1("N", fmt.Sprint(n)))
				}
			}
		}
		if h.Connection("c500").Context().Err() == nil {
			t.Error("the client that does not read is still there")
		}
		goOn()
		shutdown(t, h)
	})
}

func TestHalfOpenLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{Limits: Limits{HalfOpen: 3}})
		for i := range 5 {
			connect(t, h, fmt.Sprint("c", i)) // with handshake
		}
		for i := range 3 {
			connectAs(t, h, fmt.Sprint("h", i), context.Background(), "")
		}
		if _, err := h.accept(&sink{id: "x"}); err == nil {
			t.Error("one too many was taken")
		}
		time.Sleep(16 * time.Second) // their handshakes time out
		connect(t, h, "again")
		shutdown(t, h)
	})
}

// rawDialer keeps the TCP connections that it makes, to cut them.
type rawDialer struct {
	mu   sync.Mutex
	last net.Conn
}

func (d *rawDialer) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.last = c
		return c, err
	}}}
}

// cut resets the newest connection, as a network that is gone.
func (d *rawDialer) cut(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.last.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = d.last.Close()
}

// TestStatefulOverTheNetwork loses real sockets, and neither messages nor the
// connection.
func TestStatefulOverTheNetwork(t *testing.T) {
	h := NewHub("test", HubOptions{AllowStatefulReconnects: true, ShutdownWindow: time.Millisecond,
		OnDisconnected: func(_ context.Context, c *Conn, _ error) {}})
	Handle(h, "Echo", func(s string) string { return s })
	url := serve(t, h)
	resp, err := http.Post(url+"/negotiate?negotiateVersion=1&useStatefulReconnect=true", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		UseStatefulReconnect          bool
		ConnectionToken, ConnectionID string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || !answer.UseStatefulReconnect {
		t.Fatalf("%+v %v", answer, err)
	}
	_ = resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var raw rawDialer
	dial := func() *websocket.Conn {
		t.Helper()
		ws, _, err := websocket.Dial(ctx, url+"?id="+answer.ConnectionToken, &websocket.DialOptions{HTTPClient: raw.client()})
		if err != nil {
			t.Fatal(err)
		}
		return ws
	}
	write := func(ws *websocket.Conn, record string) {
		t.Helper()
		if err := ws.Write(ctx, websocket.MessageText, []byte(record+"\x1e")); err != nil {
			t.Fatal(err)
		}
	}
	ws := dial()
	write(ws, `{"protocol":"json","version":2}`)
	if got := readRecords(t, ws, 1)[0]; got != "{}" {
		t.Fatal(got)
	}
	write(ws, `{"type":6}`)
	next, sent := 1, 0 // the number of the next message from the hub, and of calls
	for round := range 5 {
		sent++
		write(ws, fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Echo","arguments":["%d"]}`, sent, sent))
		for got := 0; got < 1; {
			for _, r := range readRecords(t, ws, 1) {
				if strings.HasPrefix(r, `{"type":3`) {
					got++
				}
			}
		}
		next++
		write(ws, fmt.Sprintf(`{"type":8,"sequenceId":%d}`, next-1))
		raw.cut(t)
		for i := range 3 { // sent while nobody is there
			if err := h.Client(answer.ConnectionID).Send(ctx, "N", round, i); err != nil {
				t.Fatal(err)
			}
		}
		ws = dial()
		write(ws, fmt.Sprintf(`{"type":9,"sequenceId":%d}`, sent+1))
		var got []string
		for len(got) < 4 {
			for _, r := range readRecords(t, ws, 1) {
				if !strings.HasPrefix(r, `{"type":8`) {
					got = append(got, r)
				}
			}
		}
		// The Ack may have been lost with the socket.
		first := 0
		if _, err := fmt.Sscanf(got[0], `{"type":9,"sequenceId":%d}`, &first); err != nil || first > next {
			t.Fatalf("round %d: %q", round, got)
		}
		for len(got) < 4+next-first {
			got = append(got, readRecords(t, ws, 1)...)
		}
		got = got[1+next-first:]
		for i := range 3 {
			if want := invocation1("N", fmt.Sprintf("%d,%d", round, i)); got[i] != want {
				t.Fatalf("round %d: got %q, want %s", round, got, want)
			}
		}
		next += 3
	}
	if c := h.Connection(answer.ConnectionID); c == nil || c.Context().Err() != nil {
		t.Error("the connection has ended")
	}
	_ = ws.Close(websocket.StatusNormalClosure, "")
}
