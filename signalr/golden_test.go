package signalr

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// referenceHub is the hub of the recordings: Reference.TestHub of the
// conformance server.
func referenceHub(opts HubOptions) *Hub {
	h := NewHub("Reference.TestHub", opts)
	type object struct {
		Name  string
		Value int
	}
	Handle(h, "Echo", func(s *string) *string { return s })
	Handle(h, "EchoObject", func(o *object) *object { return o })
	Handle(h, "Add", func(a, b int32) int32 { return a + b })
	Handle(h, "Nothing", func() {})
	Handle(h, "Throw", func(m string) error { return WithType(errors.New(m), "InvalidOperationException") })
	Handle(h, "ThrowHub", func(m string) error { return Errorf("%s", m) })
	Handle(h, "SendToCaller", func(ctx context.Context, c *Conn, m string) error { return c.Caller().Send(ctx, "Message", m) })
	Handle(h, "AskCaller", func(ctx context.Context, c *Conn, question string) (string, error) {
		return NewQuery[string, string]("Ask").Ask(ctx, c.Caller(), question)
	})
	Handle(h, "Burst", func(ctx context.Context, c *Conn, count int) error {
		for i := range count {
			if err := c.Caller().Send(ctx, "Number", i); err != nil {
				return err
			}
		}
		return nil
	})
	Handle(h, "Abort", func(c *Conn) { c.Abort() })
	Handle(h, "Counter", func(ctx context.Context, count, delay int32) iter.Seq2[int32, error] {
		return func(yield func(int32, error) bool) {
			for i := range count {
				if delay > 0 && i > 0 {
					select {
					case <-ctx.Done():
						return
					case <-time.After(time.Duration(delay) * time.Millisecond):
					}
				}
				if !yield(i, nil) {
					return
				}
			}
		}
	})
	Handle(h, "FailAfter", func(count int32) iter.Seq2[int32, error] {
		return func(yield func(int32, error) bool) {
			for i := range count {
				if !yield(i, nil) {
					return
				}
			}
			yield(0, Errorf("stream failed"))
		}
	})
	Handle(h, "Concat", func(parts iter.Seq2[string, error]) (string, error) {
		all := ""
		for s, err := range parts {
			if err != nil {
				return "", err
			}
			all += s
		}
		return all, nil
	})
	Handle(h, "Upper", func(parts iter.Seq2[string, error]) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for s, err := range parts {
				if !yield(strings.ToUpper(s), err) || err != nil {
					return
				}
			}
		}
	})
	return h
}

// frame is a line of a recorded conversation.
type frame struct {
	Conn int    `json:"conn"`
	MS   int    `json:"ms"`
	From string `json:"from"`
	Kind string `json:"frame"`
	Text string `json:"text"`
	Hex  string `json:"hex"`
	// Length stands for the text where that is long: the call of toolarge.
	Length int `json:"length"`
}

func (f frame) bytes(t testing.TB) []byte {
	t.Helper()
	if f.Length > 0 {
		return append([]byte(`{"type":1,"invocationId":"0","target":"Echo","arguments":["`+strings.Repeat("x", 33000)+`"]}`), wire.Separator)
	}
	if f.Hex == "" {
		return []byte(f.Text)
	}
	b, err := hex.DecodeString(f.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenConversations replays what the official clients said to ASP.NET
// Core, each message after the answer it waited for, and compares what the hub
// answers. Each of the recordings is replayed.
func TestGoldenConversations(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recording) {
		switch {
		case r.what == "stateful" || r.what == "idle" && r.kind == WebSockets:
			synctest.Test(t, func(t *testing.T) { replayInTime(t, r) })
		case r.what == "dotnet11-refresh":
			synctest.Test(t, func(t *testing.T) { replayRefresh(t, r) })
		case r.kind == WebSockets:
			synctest.Test(t, func(t *testing.T) { replay(t, r) })
		}
		if r.kind != WebSockets || r.what == "dotnet11-client" { // the first half of it is long polling
			synctest.Test(t, func(t *testing.T) {
				h := referenceHub(r.hubOptions())
				replayHTTP(t, serveInMemory(t, h), readExchanges(t, r.file), r.proto)
				shutdown(t, h)
			})
		}
	})
}

func replay(t *testing.T, r recording) {
	h := referenceHub(r.hubOptions())
	p := connectAs(t, h, "c1", context.Background(), "")
	shaken := false
	ids := map[string]string{} // recorded ids of client results to ours
	for _, f := range readFrames(t, r.file) {
		data := f.bytes(t)
		switch {
		case f.Kind == "close" && f.From == "client":
			continue
		case f.From == "client":
			for mine, recorded := range ids {
				data = bytes.ReplaceAll(data, []byte(recorded), []byte(mine))
			}
			p.sendRaw(data)
			synctest.Wait() // calls that may run beside each other are to start in order
		case f.Kind == "close":
			synctest.Wait()
			if !p.hasEnded() {
				t.Error("the connection did not end")
			}
			return
		default:
			for len(data) > 0 {
				if !shaken {
					p.want("{}")
					shaken = true
					data = data[3:]
					continue
				}
				inside, n, err := r.proto.Split(data, 0)
				if err != nil || n == 0 {
					t.Fatalf("recorded message is not whole: %q %v", data, err)
				}
				data = data[n:]
				compareMessage(t, r.proto, inside, p, ids)
			}
		}
	}
	p.session.Close()
	synctest.Wait()
}

// framer is where messages of the hub come from, one by one; nil at the end.
type framer interface{ nextFrame(wire.Protocol) []byte }

// compareMessage compares the next message from the hub with a recorded one, by
// value; the ids of client results may differ.
func compareMessage(t *testing.T, proto wire.Protocol, recorded []byte, p framer, ids map[string]string) {
	t.Helper()
	var want, got wire.Message
	if err := proto.Parse(recorded, &want); err != nil {
		t.Fatal(err)
	}
	if want.Type == wire.Ping {
		return
	}
	inside := p.nextFrame(proto)
	if inside == nil {
		if want.Type == wire.Close && !want.HasError {
			return // best effort
		}
		t.Fatalf("ended instead of %q", recorded)
	}
	if err := proto.Parse(inside, &got); err != nil {
		t.Fatal(err)
	}
	if want.Type == wire.Invocation && want.InvocationID != "" {
		ids[got.InvocationID] = want.InvocationID
		got.InvocationID = want.InvocationID
	}
	if a, b := printMessage(proto, &got), printMessage(proto, &want); a != b {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

// printMessage shows a message with its payloads as JSON.
func printMessage(proto wire.Protocol, m *wire.Message) string {
	value := func(raw wire.Raw) string {
		if len(raw) == 0 {
			return "none"
		}
		var v any
		if err := proto.DecodeValue(raw, &v); err != nil {
			return err.Error()
		}
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
	s := fmt.Sprintf("%v id=%q target=%q error=%v %q reconnect=%v streams=%q result=%v %s item=%s args:", m.Type, m.InvocationID, m.Target,
		m.HasError, m.Error, m.AllowReconnect, m.StreamIDs, m.HasResult, value(m.Result), value(m.Item))
	for _, a := range m.Arguments {
		s += " " + value(a)
	}
	return s
}

func readFrames(t testing.TB, file string) []frame {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []frame
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var f frame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		if f.Kind != "" {
			frames = append(frames, f)
		}
	}
	return frames
}

// sendRaw sends bytes as they are.
func (p *peer) sendRaw(b []byte) {
	p.mu.Lock()
	p.toSend = append(p.toSend, b...)
	p.mu.Unlock()
	p.session.Flush()
}

func (p *peer) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// nextFrame waits for one message of proto, nil at the end.
func (p *peer) nextFrame(proto wire.Protocol) []byte {
	p.t.Helper()
	for {
		p.mu.Lock()
		inside, n, err := proto.Split(p.got, 0)
		if err != nil {
			p.t.Fatal(err)
		}
		if n > 0 {
			p.got = p.got[n:]
			p.mu.Unlock()
			return inside
		}
		ended := p.ended
		p.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-p.changed:
		case <-time.After(time.Minute):
			p.t.Fatal("nothing came within a minute")
		}
	}
}

var _ transport.Application = (*peer)(nil)
