package signalr

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// What a foreign client can make grow, beside the tests of each limit: calls and
// items by their bytes, the streams of one call, what comes while OnConnected
// runs, headers, names, nesting.

func keptBytes(c *Conn) int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.kept
}

// TestPendingBytes: few large calls hold reading up like many small ones, and
// all are answered in the end.
func TestPendingBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, calls = 100_000, 60
		h := NewHub("test", HubOptions{Limits: Limits{PendingBytes: limit}})
		gate := make(chan struct{})
		Handle(h, "Work", func(s string) int { <-gate; return len(s) })
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		large := strings.Repeat("x", 30_000)
		for n := range calls {
			p.send(fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Work","arguments":["%s"]}`, n, large))
		}
		p.send(`{"type":1,"invocationId":"nobody","target":"Nobody","arguments":["` + large + `"]}`)
		synctest.Wait()
		if kept := keptBytes(c); kept > limit || kept < limit/2 || c.in.busy.Load() == 0 {
			t.Errorf("%d bytes are kept, reading pauses: %v", kept, c.in.busy.Load() > 0)
		}
		close(gate)
		for n := range calls {
			p.want(fmt.Sprintf(`{"type":3,"invocationId":"%d","result":30000}`, n))
		}
		p.want(`{"type":3,"invocationId":"nobody","error":"Failed to invoke 'Nobody' due to an error on the server. HubException: Method does not exist."}`)
		synctest.Wait()
		if kept := keptBytes(c); kept != 0 {
			t.Errorf("%d bytes are kept in the end", kept)
		}
		shutdown(t, h)
	})
}

// TestPendingNames: ids of calls, and names of methods that do not exist, count
// like arguments.
func TestPendingNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, calls = 100_000, 20
		h := NewHub("test", HubOptions{Limits: Limits{PendingBytes: limit}})
		gate := make(chan struct{})
		Handle(h, "Work", func() { <-gate })
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		p.send(`{"type":1,"invocationId":"0","target":"Work","arguments":[]}`)
		long := strings.Repeat("x", 15_000)
		for n := range calls {
			p.send(fmt.Sprintf(`{"type":1,"invocationId":"%d%s","target":"%[2]s","arguments":[]}`, n, long))
		}
		synctest.Wait()
		if kept := keptBytes(c); kept > limit || kept < limit/2 || c.in.busy.Load() == 0 {
			t.Errorf("%d bytes are kept, reading pauses: %v", kept, c.in.busy.Load() > 0)
		}
		close(gate)
		p.want(`{"type":3,"invocationId":"0","result":null}`)
		for n := range calls {
			p.want(fmt.Sprintf(`{"type":3,"invocationId":"%d%s","error":"Failed to invoke '%[2]s' due to an error on the server. HubException: Method does not exist."}`, n, long))
		}
		synctest.Wait()
		if kept := keptBytes(c); kept != 0 {
			t.Errorf("%d bytes are kept in the end", kept)
		}
		shutdown(t, h)
	})
}

// TestUploadedBytes: the same as TestPendingBytes of items, over all uploads of a connection, also
// of those that nobody reads to their end.
func TestUploadedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, uploads = 100_000, 5
		h := NewHub("test", HubOptions{Limits: Limits{PendingBytes: limit}})
		gate := make(chan struct{})
		Handle(h, "First", func(items iter.Seq2[string, error]) (n int) {
			<-gate
			for s := range items {
				n += len(s)
				if n == 30_000 {
					break
				}
			}
			return n
		})
		Handle(h, "All", func(_ string, items iter.Seq2[string, error]) (n int, err error) {
			<-gate
			for s, err := range items {
				if err != nil {
					return 0, err
				}
				n += len(s)
			}
			return n, nil
		})
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		large := strings.Repeat("x", 30_000)
		for n := range uploads {
			method, args := "First", ""
			if n == 0 {
				method, args = "All", `"`+large+`"`
			}
			p.send(fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"%s","arguments":[%s],"streamIds":["u%[1]d"]}`, n, method, args))
		}
		for range 4 {
			for n := range uploads {
				p.send(fmt.Sprintf(`{"type":2,"invocationId":"u%d","item":"%s"}`, n, large))
			}
		}
		synctest.Wait()
		if kept := keptBytes(c); kept > limit || kept < limit/2 || c.in.busy.Load() == 0 {
			t.Errorf("%d bytes are kept, reading pauses: %v", kept, c.in.busy.Load() > 0)
		}
		close(gate)
		answers := map[string]bool{}
		for range uploads - 1 {
			answers[p.next()] = true
		}
		p.send(`{"type":3,"invocationId":"u0"}`)
		answers[p.next()] = true
		for n := range uploads {
			sum := 30_000
			if n == 0 {
				sum = 120_000
			}
			if want := fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}`, n, sum); !answers[want] {
				t.Errorf("no answer %s in %v", want, answers)
			}
		}
		synctest.Wait()
		if kept := keptBytes(c); kept != 0 {
			t.Errorf("%d bytes are kept in the end", kept)
		}
		shutdown(t, h)
	})
}

// TestStreamsOfOneCall: the uploads of one call count against the limit each.
func TestStreamsOfOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{Limits: Limits{Streams: 3}})
		Handle(h, "Two", func(a, b iter.Seq2[int, error]) {
			for range a { // to its end
			}
		})
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"1","target":"Two","arguments":[],"streamIds":["a","b"]}`,
			`{"type":1,"invocationId":"2","target":"Two","arguments":[],"streamIds":["c","d"]}`)
		p.want(`{"type":3,"invocationId":"2","error":"Failed to invoke 'Two' due to an error on the server. HubException: Too many streams on this connection."}`)
		p.send(`{"type":3,"invocationId":"a"}`)
		p.want(`{"type":3,"invocationId":"1","result":null}`)
		p.send(`{"type":1,"invocationId":"3","target":"Two","arguments":[],"streamIds":["c","d"]}`, `{"type":3,"invocationId":"c"}`)
		p.want(`{"type":3,"invocationId":"3","result":null}`)
		shutdown(t, h)
	})
}

// TestFloodWhileConnecting: 64 KiB are taken in while OnConnected runs, the
// rest stays with the client until it has returned.
func TestFloodWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := NewHub("test", HubOptions{OnConnected: func(context.Context, *Conn) error { <-gate; return nil }})
		sum := 0
		Handle(h, "Add", func(s string) { sum += len(s) })
		Handle(h, "Sum", func() int { return sum })
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		large := strings.Repeat("x", 30_000)
		for range 10 {
			p.send(`{"type":1,"target":"Add","arguments":["` + large + `"]}`)
			synctest.Wait()
		}
		p.send(`{"type":1,"invocationId":"1","target":"Sum","arguments":[]}`)
		c.in.mu.Lock()
		if waits := len(c.in.waiting); waits > openingBytes || waits < openingBytes/2 || c.in.busy.Load() == 0 {
			t.Errorf("%d bytes wait, reading pauses: %v", waits, c.in.busy.Load() > 0)
		}
		c.in.mu.Unlock()
		close(gate)
		p.want(`{"type":3,"invocationId":"1","result":300000}`)
		shutdown(t, h)
	})
}

// TestHostileMessages: headers without end, long names, deep nesting. None of
// them costs more than its message, and what is legal in them goes on.
func TestHostileMessages(t *testing.T) {
	var headers strings.Builder
	for n := range 1500 {
		fmt.Fprintf(&headers, `"h%d":"v",`, n)
	}
	headers.WriteString(`"last":"v"`)
	name := strings.Repeat("n", 30_000)
	const ok, closes = `{"type":3,"invocationId":"1","result":null}`, `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`
	tests := []struct{ name, send, want string }{
		{"headers", `{"type":1,"headers":{` + headers.String() + `},"invocationId":"1","target":"Any","arguments":[1]}`, ok},
		{"name of a method", `{"type":1,"invocationId":"1","target":"` + name + `","arguments":[1]}`,
			`{"type":3,"invocationId":"1","error":"Failed to invoke '` + name + `' due to an error on the server. HubException: Method does not exist."}`},
		{"name of a call", `{"type":1,"invocationId":"` + name + `","target":"Any","arguments":[1]}`, `{"type":3,"invocationId":"` + name + `","result":null}`},
		{"62 levels", `{"type":1,"invocationId":"1","target":"Any","arguments":[` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + `]}`, ok},
		{"63 levels", `{"type":1,"invocationId":"1","target":"Any","arguments":[` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `]}`, closes},
		{"30,000 levels, cut short", `{"type":1,"invocationId":"1","target":"Any","arguments":[` + strings.Repeat("[", 30_000), closes},
		{"arguments", `{"type":1,"invocationId":"1","target":"Any","arguments":[` + strings.Repeat("1,", 10_000) + `1]}`,
			`{"type":3,"invocationId":"1","error":"Failed to invoke 'Any' due to an error on the server."}`},
		{"streams", `{"type":1,"invocationId":"1","target":"Any","arguments":[1],"streamIds":[` + strings.Repeat(`"s",`, 5_000) + `"s"]}`,
			`{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking 'Any' on the server. HubException: Client sent 5001 stream(s), Hub method expects 0."}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub("test", HubOptions{})
				Handle(h, "Any", func(any) {})
				p := connect(t, h, "c1")
				p.send(test.send)
				p.want(test.want)
				shutdown(t, h)
			})
		})
	}
}

// TestHostileMessagePack: 500 levels are read, more do not bind, and lengths
// that nothing stands behind cost nothing.
func TestHostileMessagePack(t *testing.T) {
	call := func(args string) []byte {
		body := "\x96\x01\x80\xa11\xa3Any" + args
		return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
	}
	const fails = "Failed to invoke 'Any' due to an error on the server."
	tests := []struct {
		name, args string
		want       string // the error; "-" for the end of the connection
	}{
		{"500 levels", "\x91" + strings.Repeat("\x91", 499) + "\x90\x90", ""},
		{"501 levels", "\x91" + strings.Repeat("\x91", 500) + "\x90\x90", fails},
		{"30,000 levels", "\x91" + strings.Repeat("\x91", 30_000) + "\x90\x90", fails},
		{"an array of 2^32-1", "\x91\xdd\xff\xff\xff\xff\x90", fails},
		{"a map of 2^32-1", "\x91\xdf\xff\xff\xff\xff\x90", fails},
		{"a string of 2^32-1", "\x91\xdb\xff\xff\xff\xff\x90", fails},
		{"2^32-1 arguments", "\xdd\xff\xff\xff\xff\x90", fails},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub("test", HubOptions{})
				Handle(h, "Any", func(any) {})
				p := connectAs(t, h, "c1", context.Background(), `{"protocol":"messagepack","version":1}`)
				p.sendRaw(call(test.args))
				var m wire.Message
				if err := wire.MessagePack.Parse(p.nextFrame(wire.MessagePack), &m); err != nil {
					t.Fatal(err)
				}
				if m.Type != wire.Completion || m.Error != test.want {
					t.Errorf("%v %q, want the error %q", m.Type, m.Error, test.want)
				}
				shutdown(t, h)
			})
		})
	}
}
