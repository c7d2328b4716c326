package signalr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dialHub connects a WebSocket without negotiation and shakes hands.
func dialHub(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { _ = ws.CloseNow() })
	if err := ws.Write(ctx, websocket.MessageText, []byte("{\"protocol\":\"json\",\"version\":1}\x1e")); err != nil {
		t.Fatal(err)
	}
	_, b, err := ws.Read(ctx)
	if err != nil || string(b) != "{}\x1e" {
		t.Fatalf("handshake: %q %v", b, err)
	}
	return ws
}

// readRecords reads n records that are no pings.
func readRecords(t *testing.T, ws *websocket.Conn, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var records []string
	for len(records) < n {
		_, b, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("after %d records: %v", len(records), err)
		}
		for r := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x1e"), "\x1e") {
			if r != `{"type":6}` {
				records = append(records, r)
			}
		}
	}
	return records
}

func serve(t *testing.T, h *Hub) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/hub", h)
	mux.Handle("/hub/", h)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		shutdown(t, h)
		server.Close()
	})
	return server.URL + "/hub"
}

// TestOverTheNetwork has one client that never reads among others, on real
// sockets: the others get everything, the one is closed.
func TestOverTheNetwork(t *testing.T) {
	gone := make(chan error, 10)
	h := NewHub("test", HubOptions{QueueBytes: 1 << 18, ShutdownWindow: time.Millisecond,
		OnDisconnected: func(_ context.Context, _ *Conn, err error) { gone <- err }})
	Handle(h, "Add", func(a, b int) int { return a + b })
	url := serve(t, h)
	stuck := dialHub(t, url)
	var stuckConn *Conn
	for c := range h.Connections() {
		stuckConn = c
	}
	var others []*websocket.Conn
	for range 5 {
		others = append(others, dialHub(t, url))
	}
	payload := strings.Repeat("x", 10000)
	const batch = 20
	for n, closed := 0, false; !closed; n += batch {
		for i := range batch {
			if err := h.All().Send(t.Context(), "N", n+i, payload); err != nil {
				t.Fatal(err)
			}
		}
		for _, ws := range others {
			for i, r := range readRecords(t, ws, batch) {
				if want := fmt.Sprintf(`{"type":1,"target":"N","arguments":[%d,`, n+i); !strings.HasPrefix(r, want) {
					t.Fatalf("got %.60s, want %s", r, want)
				}
			}
		}
		closed = stuckConn.Context().Err() != nil
		if n > 20000 {
			t.Fatal("the client that does not read is never closed")
		}
	}
	_ = stuck.CloseNow()
	if err := <-gone; !errors.Is(err, ErrSlowClient) {
		t.Errorf("cause %v", err)
	}
	err := others[0].Write(t.Context(), websocket.MessageText, []byte(`{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}`+"\x1e"))
	if err != nil {
		t.Fatal(err)
	}
	if got := readRecords(t, others[0], 1)[0]; got != `{"type":3,"invocationId":"1","result":3}` {
		t.Error(got)
	}
}
