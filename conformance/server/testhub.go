package main

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// The messages that the test hub sends, and the one question it asks.
var (
	message = signalr.NewEvent[string]("Message")
	number  = signalr.NewEvent[int32]("Number")
	ask     = signalr.NewQuery[string, *string]("Ask") // null stays null
)

// object travels as {"name", "value"} in JSON and as {Name, Value} in
// MessagePack, as a .NET class does.
type object struct {
	Name  *string
	Value int32
}

// newTestHub is the hub that every client scenario talks to. It answers as
// the hub that the recordings of ASP.NET Core were made with.
func newTestHub(options signalr.HubOptions) *signalr.Hub {
	options.AllowStatefulReconnects = true
	var hub *signalr.Hub
	options.OnDisconnected = func(ctx context.Context, c *signalr.Conn, cause error) {
		var text *string
		if cause != nil {
			s := cause.Error()
			text = &s
		}
		_ = hub.Group("watchers").Send(ctx, "Left", c.ID(), text)
	}
	hub = signalr.NewHub("Reference.TestHub", options)

	// Calls.
	signalr.Handle(hub, "Echo", func(s *string) *string { return s })
	signalr.Handle(hub, "EchoObject", func(o *object) *object { return o })
	signalr.Handle(hub, "Add", func(a, b int32) int32 { return a + b })
	signalr.Handle(hub, "Nothing", func() {})
	signalr.Handle(hub, "GetConnectionId", func(c *signalr.Conn) string { return c.ID() })
	signalr.Handle(hub, "GetUser", func(c *signalr.Conn) *string { return userOrNil(c) })
	signalr.Handle(hub, "GetTransport", func(c *signalr.Conn) string { return c.Transport().String() })
	signalr.Handle(hub, "Throw", func(text string) error {
		return signalr.WithType(errors.New(text), "InvalidOperationException")
	})
	signalr.Handle(hub, "ThrowHub", func(text string) error { return signalr.Errorf("%s", text) })
	signalr.Handle(hub, "Abort", func(c *signalr.Conn) { c.Abort() })
	signalr.Handle(hub, "WaitForCancel", func(ctx context.Context) string {
		select {
		case <-ctx.Done():
			return "cancelled"
		case <-time.After(30 * time.Second):
			return "timeout"
		}
	})

	// Sending, and groups.
	signalr.Handle(hub, "SendToCaller", func(ctx context.Context, c *signalr.Conn, m string) error {
		return message.Send(ctx, c.Caller(), m)
	})
	signalr.Handle(hub, "SendToOthers", func(ctx context.Context, c *signalr.Conn, m string) error {
		return message.Send(ctx, c.Others(), m)
	})
	signalr.Handle(hub, "SendToAll", func(ctx context.Context, m string) error {
		return message.Send(ctx, hub.All(), m)
	})
	signalr.Handle(hub, "Join", func(ctx context.Context, c *signalr.Conn, group string) error {
		return c.Join(ctx, group)
	})
	signalr.Handle(hub, "Leave", func(ctx context.Context, c *signalr.Conn, group string) error {
		return c.Leave(ctx, group)
	})
	signalr.Handle(hub, "SendToGroup", func(ctx context.Context, group, m string) error {
		return message.Send(ctx, hub.Group(group), m)
	})
	signalr.Handle(hub, "SendToOthersInGroup", func(ctx context.Context, c *signalr.Conn, group, m string) error {
		return message.Send(ctx, c.OthersInGroup(group), m)
	})
	signalr.Handle(hub, "Burst", func(ctx context.Context, c *signalr.Conn, count int32) error {
		for i := range count {
			if err := number.Send(ctx, c.Caller(), i); err != nil {
				return err
			}
		}
		return nil
	})

	// Client results.
	signalr.Handle(hub, "AskCaller", func(ctx context.Context, c *signalr.Conn, question string) (*string, error) {
		return ask.Ask(ctx, c.Caller(), question)
	})
	signalr.Handle(hub, "AskConnection", func(ctx context.Context, id, question string) (*string, error) {
		return ask.Ask(ctx, hub.Client(id), question)
	})

	// Streams, down, up and both.
	signalr.Handle(hub, "Counter", counter)
	signalr.Handle(hub, "FailAfter", failAfter)
	signalr.Handle(hub, "Concat", func(words iter.Seq2[string, error]) (string, error) {
		var all strings.Builder
		for word, err := range words {
			if err != nil {
				return "", err
			}
			all.WriteString(word)
		}
		return all.String(), nil
	})
	signalr.Handle(hub, "Sum", sum)
	signalr.Handle(hub, "SumTwo", func(a, b iter.Seq2[int32, error]) (int32, error) {
		first, err := sum(a)
		if err != nil {
			return 0, err
		}
		second, err := sum(b)
		return first + second, err
	})
	signalr.Handle(hub, "Upper", func(words iter.Seq2[string, error]) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for word, err := range words {
				if !yield(strings.ToUpper(word), err) || err != nil {
					return
				}
			}
		}
	})
	return hub
}

// counter yields 0 to count-1, one each delayMs milliseconds.
func counter(ctx context.Context, count, delayMs int32) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		for i := range count {
			if delayMs > 0 {
				select {
				case <-time.After(time.Duration(delayMs) * time.Millisecond):
				case <-ctx.Done():
				}
			}
			if ctx.Err() != nil || !yield(i, nil) {
				return
			}
		}
	}
}

// failAfter yields count numbers, then an error that is made for the caller.
func failAfter(count int32) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		for i := range count {
			if !yield(i, nil) {
				return
			}
		}
		yield(0, signalr.Errorf("stream failed"))
	}
}

func sum(numbers iter.Seq2[int32, error]) (int32, error) {
	total := int32(0)
	for n, err := range numbers {
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func userOrNil(c *signalr.Conn) *string {
	if user := c.UserID(); user != "" {
		return &user
	}
	return nil
}

// backplane sends from outside the hub, as an application's own code would:
// POST /backplane?what=W&a=A&b=B.
func backplane(hub *signalr.Hub) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, a, b := r.Context(), r.FormValue("a"), r.FormValue("b")
		what := r.FormValue("what")
		text := "to " + what
		answer := "ok"
		var err error
		switch what {
		case "all":
			err = message.Send(ctx, hub.All(), text)
		case "allExcept":
			err = message.Send(ctx, hub.AllExcept(a, b), text)
		case "connection":
			err = message.Send(ctx, hub.Client(a), text)
		case "connections":
			err = message.Send(ctx, hub.Clients(a, b), text)
		case "group":
			err = message.Send(ctx, hub.Group(a), text)
		case "groupExcept":
			err = message.Send(ctx, hub.GroupExcept(a, b), text)
		case "groups":
			err = message.Send(ctx, hub.Groups(a, b), text)
		case "user":
			err = message.Send(ctx, hub.User(a), text)
		case "users":
			err = message.Send(ctx, hub.Users(a, b), text)
		case "add":
			err = hub.AddToGroup(ctx, a, b)
		case "remove":
			err = hub.RemoveFromGroup(ctx, a, b)
		case "ask":
			var said *string
			if said, err = ask.Ask(ctx, hub.Client(a), b); err == nil {
				answer = *cmp.Or(said, new(string)) // null is an empty body
			}
		default:
			http.Error(w, "what is unknown: "+what, http.StatusBadRequest)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(answer))
	}
}
