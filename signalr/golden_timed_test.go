package signalr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// replayInTime replays a recording by its clock: each message of the client
// when it was sent, a new socket where the old one was cut. What the server says
// is compared to the last ping, Sequence and Ack, in its order.
func replayInTime(t *testing.T, r recording) {
	opts := r.hubOptions()
	if r.what == "idle" {
		opts.KeepAliveInterval, opts.ClientTimeoutInterval = time.Second, 5*time.Second
	}
	h := referenceHub(opts)
	if r.what == "idle" { // the server's tick has a time of its own: 260 ms behind the handshake
		connect(t, h, "other")
		time.Sleep(740 * time.Millisecond)
	}
	s := &socket{t: t, up: true}
	app, err := h.accept(s)
	if err != nil {
		t.Fatal(err)
	}
	s.app = app
	t.Cleanup(func() { s.end(nil) })
	frames := readFrames(t, r.file)
	conn, opened, start := frames[0].Conn, 0, time.Now()
	for i, f := range frames {
		if f.Conn != conn {
			conn, opened = f.Conn, frames[i-1].MS
			s.lose()
			s.comeBack()
		}
		switch data := f.bytes(t); {
		case f.Kind == "close":
			synctest.Wait()
			return // the official client stops; the server's last word is best effort
		case f.From == "client":
			time.Sleep(time.Until(start.Add(time.Duration(opened+f.MS) * time.Millisecond)))
			if err := s.app.Receive(data); err != nil && !isClose(data) {
				t.Fatalf("%q: %v", data, err)
			}
		case i == 1:
			s.wantBytes(data) // the answer to the handshake
		default:
			for len(data) > 0 {
				_, n, err := r.proto.Split(data, 0)
				if err != nil || n == 0 {
					t.Fatalf("recorded message is not whole: %q %v", data, err)
				}
				s.wantBytes(data[:n])
				data = data[n:]
			}
		}
	}
}

// wantBytes waits for exactly these bytes, which must come next.
func (s *socket) wantBytes(want []byte) {
	s.t.Helper()
	for range 300 {
		synctest.Wait()
		s.mu.Lock()
		got := s.raw
		if bytes.HasPrefix(got, want) {
			s.raw = got[len(want):]
		}
		s.mu.Unlock()
		switch {
		case bytes.HasPrefix(got, want):
			return
		case len(got) >= len(want):
			s.t.Fatalf("got %q, want %q", got, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%q did not come within 3 s", want)
}

// refreshLine is a line of the recording of authentication refresh: what the
// client of .NET 11 did against a stand-in.
type refreshLine struct {
	Run     string
	S       float64
	Request string
	Headers map[string]string
	Frame   int
	Text    string
}

func (l refreshLine) at() time.Duration { return time.Duration(l.S * float64(time.Second)) }

// readRefresh returns the runs of the recording, in order.
func readRefresh(t *testing.T, file string) (runs [][]refreshLine) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var l refreshLine
		if err := json.Unmarshal(raw, &l); err != nil {
			t.Fatal(err)
		}
		if last := len(runs) - 1; last < 0 || runs[last][0].Run != l.Run {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], l)
	}
	if len(runs) != 2 {
		t.Fatalf("%d runs, want 2", len(runs))
	}
	return runs
}

// replayRefresh says to the hub what the client of .NET 11 said to the
// stand-in, at the same times. A credential lasts 4 s. Where it is replaced in
// time the connection lives on to the client's Close; where that is refused, it
// is closed, with reconnect allowed, when the credential has ended.
func replayRefresh(t *testing.T, r recording) {
	for _, run := range readRefresh(t, r.file) {
		refused := strings.Contains(run[0].Run, "401")
		h := NewHub("test", authenticated(HubOptions{AuthenticationRefresh: true}))
		cancelled := false
		Handle(h, "Wait", func(ctx context.Context) { <-ctx.Done(); cancelled = true })
		client := serveInMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refused && strings.HasSuffix(r.URL.Path, "/refresh") {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r.WithContext(withCredential(r.Context(), "alice", time.Now().Add(4*time.Second))))
		}))
		start := time.Now().Add(-run[0].at())
		var token string
		var ws *websocket.Conn
		var heard []string
		over := make(chan struct{})
		for _, l := range run {
			time.Sleep(time.Until(start.Add(l.at())))
			method, path, _ := strings.Cut(strings.TrimSuffix(l.Request, " HTTP/1.1"), " ")
			url := "http://memory" + strings.Replace(path, "ctok", token, 1)
			switch {
			case method == "GET":
				var err error
				ws, _, err = websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: client})
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					defer close(over)
					for {
						_, b, err := ws.Read(context.Background())
						if err != nil {
							return
						}
						heard = append(heard, strings.Split(strings.TrimSuffix(string(b), "\x1e"), "\x1e")...)
					}
				}()
			case method == "POST":
				req, _ := http.NewRequestWithContext(t.Context(), method, url, nil)
				if l.Headers["x-signalr-connection-token"] != "" {
					req.Header.Set("X-SignalR-Connection-Token", token)
				}
				token = wantLifetime(t, client, req, token, refused)
			case l.Frame == 1:
				_ = ws.Write(t.Context(), websocket.MessageText, []byte(l.Text)) // the hub may have closed
			}
			synctest.Wait()
		}
		<-over
		_ = ws.CloseNow()
		shutdown(t, h)
		want := []string{"{}", `{"type":3,"invocationId":"1","result":null}`, `{"type":7}`}
		if refused {
			want[2] = `{"type":7,"allowReconnect":true}`
		}
		if fmt.Sprint(heard) != fmt.Sprint(want) || !cancelled {
			t.Errorf("%s: heard %q, want %q", run[0].Run, heard, want)
		}
	}
}

// wantLifetime sends a negotiation or a refresh: the answer tells how long the
// credential lasts. It returns the token of the connection.
func wantLifetime(t *testing.T, client *http.Client, req *http.Request, token string, refused bool) string {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if strings.HasSuffix(req.URL.Path, "/refresh") && refused {
		return token
	}
	var answer negotiation
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", req.URL.Path, resp.StatusCode, err)
	}
	if answer.TokenLifetimeSeconds == nil || *answer.TokenLifetimeSeconds != 4 {
		t.Errorf("%s: %+v", req.URL.Path, answer)
	}
	if answer.ConnectionToken != "" {
		return answer.ConnectionToken
	}
	return token
}

// clientRefreshGolden has the client do what the one of .NET 11 did against the
// stand-in, at the same times: negotiate, connect, cancel a call, replace its
// credential when it is due, by itself and by hand, and stop.
func clientRefreshGolden(t *testing.T, r recording) {
	for _, run := range readRefresh(t, r.file) {
		refused := strings.Contains(run[0].Run, "401")
		var mu sync.Mutex
		var got []refreshLine
		start := time.Now().Add(-run[0].at())
		note := func(l refreshLine) {
			mu.Lock()
			defer mu.Unlock()
			l.S = time.Since(start).Seconds()
			got = append(got, l)
		}
		standIn := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			note(refreshLine{Request: r.Method + " " + r.URL.RequestURI() + " HTTP/1.1", Headers: map[string]string{
				"authorization": r.Header.Get("Authorization"), "x-signalr-connection-token": r.Header.Get("X-SignalR-Connection-Token"),
				"x-requested-with": r.Header.Get("X-Requested-With")}})
			switch {
			case strings.HasSuffix(r.URL.Path, "/negotiate"):
				_, _ = w.Write([]byte(`{"negotiateVersion":1,"connectionId":"cid","connectionToken":"ctok","tokenLifetimeSeconds":4,` +
					`"availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}`))
			case strings.HasSuffix(r.URL.Path, "/refresh") && refused:
				http.Error(w, `{"error":"no more"}`, http.StatusUnauthorized)
			case strings.HasSuffix(r.URL.Path, "/refresh"):
				_, _ = w.Write([]byte(`{"tokenLifetimeSeconds":4}`))
			default:
				listen(w, r, func(text string) { note(refreshLine{Frame: 1, Text: text}) })
			}
		})
		var tokens, failures atomic.Int32
		c := NewClient("http://memory/hub", ClientOptions{
			HTTPClient: serveInMemory(t, standIn), RefreshBeforeExpiration: time.Second,
			Token:           func(context.Context) (string, error) { return fmt.Sprint("token-", tokens.Add(1)-1), nil },
			OnRefreshFailed: func(error) { failures.Add(1) },
		})
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if err := c.Invoke(ctx, "Wait", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		time.Sleep(time.Until(start.Add(9 * time.Second)))
		if err := c.Refresh(t.Context()); (err != nil) != refused {
			t.Error(err)
		}
		if err := c.Stop(t.Context()); err != nil || refused != (failures.Load() == 1) {
			t.Errorf("%v, %d failures", err, failures.Load())
		}
		mu.Lock()
		compareRefresh(t, run, got)
		mu.Unlock()
	}
}

// listen is a server that hears a WebSocket to its end, record by record, and
// answers the handshake.
func listen(w http.ResponseWriter, r *http.Request, heard func(text string)) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	for shaken := false; ; shaken = true {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		for record := range strings.SplitAfterSeq(string(b), "\x1e") {
			if record != "" {
				heard(record)
			}
		}
		if !shaken {
			_ = ws.Write(context.Background(), websocket.MessageText, []byte("{}\x1e"))
		}
	}
}

// compareRefresh compares what the client did with what was recorded. The
// recorder's stand-in was a little slower.
func compareRefresh(t *testing.T, recorded, got []refreshLine) {
	t.Helper()
	recorded = slices.DeleteFunc(slices.Clone(recorded), func(l refreshLine) bool { return l.Frame == 8 })
	if len(got) != len(recorded) {
		t.Fatalf("%d steps, want %d: %+v", len(got), len(recorded), got)
	}
	for i, want := range recorded {
		same := got[i].Request == want.Request && got[i].Text == want.Text && (got[i].at()-want.at()).Abs() < 200*time.Millisecond
		for _, name := range []string{"authorization", "x-signalr-connection-token", "x-requested-with"} {
			same = same && got[i].Headers[name] == want.Headers[name]
		}
		if !same {
			t.Errorf("step %d is\n%+v, want\n%+v", i+1, got[i], want)
		}
	}
}
