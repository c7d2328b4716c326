package signalr

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHandshakeErrors(t *testing.T) {
	const unexpected = "An unexpected error occurred during connection handshake."
	tests := []struct {
		name, request, want, detailed string
	}{
		{"unknown protocol", `{"protocol":"foo","version":1}`, "The protocol 'foo' is not supported.", ""},
		{"disabled protocol", `{"protocol":"MessagePack","version":1}`, "The protocol 'MessagePack' is not supported.", ""},
		{"version too high", `{"protocol":"json","version":3}`, "The server does not support version 3 of the 'json' protocol.", ""},
		{"too large", `{"protocol":"json","version":1,"x":"` + strings.Repeat("x", 33000) + `"}`, "Handshake was canceled.", ""},
		{"not JSON", `hello`, unexpected, "JsonReaderException: 'h' is an invalid start of a value. LineNumber: 0 | BytePositionInLine: 0."},
		{"not an object", `42`, unexpected, "InvalidDataException: Unexpected JSON Token Type 'Number'. Expected a JSON Object."},
		{"no protocol", `{"version":1}`, unexpected, `InvalidDataException: Missing required property 'protocol'. Message content: {\"version\":1}`},
		{"protocol is a number", `{"protocol":1,"version":1}`, unexpected, "InvalidDataException: Expected 'protocol' to be of type String."},
	}
	for _, test := range tests {
		for _, detailed := range []bool{false, true} {
			name := test.name
			if detailed {
				name += ", detailed"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := NewHub("test", HubOptions{EnableDetailedErrors: detailed, Protocols: []string{"json"},
						OnConnected:    func(context.Context, *Conn) error { t.Error("OnConnected was called"); return nil },
						OnDisconnected: func(context.Context, *Conn, error) { t.Error("OnDisconnected was called") }})
					p := connectAs(t, h, "c1", context.Background(), "")
					p.send(test.request)
					want := test.want
					if detailed && test.detailed != "" {
						want += " " + test.detailed
					}
					p.want(`{"error":"`+want+`"}`, "")
					if n := h.Count(); n != 0 {
						t.Errorf("%d connections", n)
					}
				})
			})
		}
	}
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		start := time.Now()
		p := connectAs(t, h, "c1", context.Background(), "")
		p.sendRaw([]byte(`{"protocol":`))
		p.want(`{"error":"Handshake was canceled."}`, "")
		if d := time.Since(start); d != 15*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestHandshakeInPiecesAndWithCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		h := NewHub("test", HubOptions{OnConnected: func(ctx context.Context, c *Conn) error {
			<-slow
			return c.Caller().Send(ctx, "Welcome")
		}})
		Handle(h, "Echo", func(s string) string { return s })
		p := connectAs(t, h, "c1", context.Background(), "")
		all := `{"protocol":"JSON","version":0,"more":[1]}` + "\x1e" +
			`{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}` + "\x1e" + `{"type":6}` + "\x1e" +
			`{"type":1,"invocationId":"2","target":"Echo","arguments":["b"]}` + "\x1e"
		for i := range len(all) {
			p.sendRaw([]byte{all[i]})
			synctest.Wait()
		}
		p.want("{}")
		close(slow)
		p.want(`{"type":1,"target":"Welcome","arguments":[]}`,
			`{"type":3,"invocationId":"1","result":"a"}`, `{"type":3,"invocationId":"2","result":"b"}`)
		shutdown(t, h)
	})
}

func TestConnectedAndDisconnected(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name  string
		opts  HubOptions
		on    error // of OnConnected
		act   func(p *peer, c *Conn)
		want  []string
		cause error // nil: none
		text  string
		never bool // OnDisconnected is not called
	}{
		{name: "client stops", act: func(p *peer, c *Conn) { p.send(`{"type":7}`) }, want: []string{`{"type":7}`, ""}},
		{name: "client stops with an error", act: func(p *peer, c *Conn) { p.send(`{"type":7,"error":"why"}`) },
			want: []string{`{"type":7}`, ""}, text: "why"},
		{name: "abort", act: func(p *peer, c *Conn) { c.Abort() }, want: []string{`{"type":7}`, ""}},
		{name: "close", act: func(p *peer, c *Conn) { c.Close("bye", true) },
			want: []string{`{"type":7,"error":"bye","allowReconnect":true}`, ""}},
		{name: "network", act: func(p *peer, c *Conn) { p.session.Abort(boom) }, want: []string{""}, text: "is gone"},
		{name: "garbage", act: func(p *peer, c *Conn) { p.send(`{"type":1}`) },
			want: []string{`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`, ""}, text: "Missing required property"},
		{name: "garbage, detailed", opts: HubOptions{EnableDetailedErrors: true}, act: func(p *peer, c *Conn) { p.send(`[]`) },
			want: []string{`{"type":7,"error":"Connection closed with an error. InvalidDataException: Unexpected JSON Token Type 'Array'. Expected a JSON Object.","allowReconnect":true}`, ""},
			text: "Unexpected JSON Token"},
		{name: "too large", act: func(p *peer, c *Conn) { p.sendRaw([]byte(`{"type":1,"target":"` + strings.Repeat("x", 33000))) },
			want: []string{`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`, ""}, text: "maximum message size of 32768B"},
		{name: "OnConnected fails", on: boom, want: []string{`{"type":7,"error":"Connection closed with an error."}`, ""}, never: true},
		{name: "OnConnected fails for the caller", on: Errorf("not you"),
			want: []string{`{"type":7,"error":"Connection closed with an error. HubException: not you"}`, ""}, never: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				var cause error
				var conn *Conn
				test.opts.OnConnected = func(_ context.Context, c *Conn) error { conn = c; return test.on }
				test.opts.OnDisconnected = func(ctx context.Context, c *Conn, err error) {
					calls++
					cause = err
					if ctx.Err() != nil || c.Context().Err() == nil {
						t.Error("contexts are wrong")
					}
				}
				h := NewHub("test", test.opts)
				p := connect(t, h, "c1")
				synctest.Wait()
				if test.act != nil {
					test.act(p, conn)
				}
				p.want(test.want...)
				synctest.Wait()
				switch {
				case test.never:
					if calls != 0 {
						t.Error("OnDisconnected was called")
					}
				case calls != 1:
					t.Errorf("OnDisconnected was called %d times", calls)
				case test.text == "" && cause != nil, test.text != "" && (cause == nil || !strings.Contains(cause.Error(), test.text)):
					t.Errorf("cause is %v", cause)
				}
				if h.Count() != 0 {
					t.Error("the hub still knows the connection")
				}
			})
		})
	}
}

func TestPanicInCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{
			OnConnected: func(_ context.Context, c *Conn) error {
				if c.ID() == "bad" {
					panic("connected")
				}
				return nil
			},
			OnDisconnected: func(context.Context, *Conn, error) { panic("disconnected") },
		})
		Handle(h, "Echo", func(s string) string { return s })
		other := connect(t, h, "good")
		p := connect(t, h, "bad")
		p.want(`{"type":7,"error":"Connection closed with an error."}`, "")
		third := connect(t, h, "third")
		third.send(`{"type":7}`)
		third.want(`{"type":7}`, "")
		other.send(`{"type":1,"invocationId":"1","target":"Echo","arguments":["a"]}`)
		other.want(`{"type":3,"invocationId":"1","result":"a"}`)
		shutdown(t, h)
	})
}

func TestContextOfConnection(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{UserID: func(ctx context.Context) string { s, _ := ctx.Value(key{}).(string); return s }})
		ended := make(chan struct{})
		Handle(h, "Wait", func(ctx context.Context, c *Conn) string {
			if ctx.Value(key{}) != "alice" || c.UserID() != "alice" {
				t.Error("the context has lost its values")
			}
			c.Items().Store("k", 1)
			<-ctx.Done()
			close(ended)
			return "late"
		})
		p := connectAs(t, h, "c1", context.WithValue(context.Background(), key{}, "alice"), `{"protocol":"json","version":1}`)
		p.send(`{"type":1,"invocationId":"1","target":"Wait","arguments":[]}`)
		synctest.Wait()
		c := h.Connection("c1")
		if v, ok := c.Items().Load("k"); !ok || v != 1 {
			t.Error("items are lost")
		}
		p.session.Abort(nil)
		<-ended
		synctest.Wait()
		if h.User("alice").Send(t.Context(), "X") != nil {
			t.Error("a send to nobody is an error")
		}
	})
}

func TestNewHubPanics(t *testing.T) {
	for name, opts := range map[string]HubOptions{
		"KeepAliveInterval": {KeepAliveInterval: -1}, "QueueBytes": {QueueBytes: -5}, "Transports": {Transports: []Transport{}},
		"Protocols": {Protocols: []string{"xml"}}, "MaximumReceiveMessageSize": {MaximumReceiveMessageSize: -2},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, name) {
					t.Errorf("panic %q", v)
				}
			}()
			NewHub("test", opts)
		})
	}
}
