package signalr

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goldenObject is the argument of EchoObject: name in JSON, Name in MessagePack.
type goldenObject struct {
	Name  string
	Value int
}

// asks does what the recorded client did, each call awaited. detailed tells
// whether the server shows the details of its errors.
var asks = map[string]func(t *testing.T, ctx context.Context, c *Client, detailed bool){
	"calls": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		var text string
		var sum int
		var object goldenObject
		answer(t, c.Invoke(ctx, "Echo", &text, "hello"), "")
		answer(t, c.Invoke(ctx, "Add", &sum, 2, 3), "")
		answer(t, c.Invoke(ctx, "Nothing", nil), "")
		answer(t, c.Invoke(ctx, "EchoObject", &object, goldenObject{"n", 7}), "")
		var mu sync.Mutex
		var got []any
		c.On("Message", func(s string) { mu.Lock(); defer mu.Unlock(); got = append(got, s) })
		numbers := make(chan struct{})
		c.On("Number", func(n int) {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, n); n == 2 {
				close(numbers)
			}
		})
		answer(t, c.Send(ctx, "SendToCaller", "你好 <b>"), "")
		answer(t, c.Invoke(ctx, "Burst", nil, 3), "")
		<-numbers
		if text != "hello" || sum != 5 || object != (goldenObject{"n", 7}) {
			t.Errorf("answers %q %d %v", text, sum, object)
		}
		if diff := cmp.Diff([]any{"你好 <b>", 0, 1, 2}, got); diff != "" {
			t.Error(diff)
		}
	},
	"errors": func(t *testing.T, ctx context.Context, c *Client, detailed bool) {
		detail := func(text string) string {
			if detailed {
				return text
			}
			return "on the server." // the end of the sentence
		}
		answer(t, c.Invoke(ctx, "NoSuchMethod", nil), "Method does not exist.")
		answer(t, c.Invoke(ctx, "Add", nil, 1), detail("provides 1 argument(s) but target expects 2."))
		answer(t, c.Invoke(ctx, "Add", nil, 1, 2, 3), detail("provides 3 argument(s) but target expects 2."))
		answer(t, c.Invoke(ctx, "Add", nil, "a", "b"), detail("match the types of the hub method being invoked."))
		answer(t, c.Invoke(ctx, "Throw", nil, "secret"), detail("InvalidOperationException: secret"))
		answer(t, c.Invoke(ctx, "ThrowHub", nil, "no such task"), "HubException: no such task")
		answer(t, c.Invoke(ctx, "Counter", nil, 1, 0), "streaming 'Counter' method with a non-streaming invocation.")
		_, err := collect(Stream[string](ctx, c, "Echo", "a"), 0)
		answer(t, err, "non-streaming 'Echo' method with a streaming invocation.")
		_, err = collect(Stream[string](ctx, c, "NoSuchStream"), 0)
		answer(t, err, "Method does not exist.")
		answer(t, c.Send(ctx, "NoSuchMethod"), "")
		answer(t, c.Invoke(ctx, "Echo", nil, "still here"), "")
	},
	"results": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		off := c.On("Ask", func(question string) (string, error) {
			if question == "bad" {
				return "", errors.New("nope")
			}
			return question + "!", nil
		})
		var s string
		answer(t, c.Invoke(ctx, "AskCaller", &s, "sure"), "")
		answer(t, c.Invoke(ctx, "AskCaller", nil, "bad"), "nope")
		off()
		answer(t, c.Invoke(ctx, "AskCaller", nil, "nobody"), "Client didn't provide a result.")
		if s != "sure!" {
			t.Errorf("the answer is %q", s)
		}
	},
	"streams": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		counted, err := collect(Stream[int](ctx, c, "Counter", 3, 0), 0)
		answer(t, err, "")
		_, err = collect(Stream[int](ctx, c, "FailAfter", 2), 0)
		answer(t, err, "stream failed")
		_, err = collect(Stream[int](ctx, c, "Counter", 100000, 20), 2)
		answer(t, err, "")
		var joined string
		answer(t, c.Invoke(ctx, "Concat", &joined, uploadOf(nil, "a", "b")), "")
		answer(t, c.Invoke(ctx, "Concat", nil, uploadOf(errors.New("up failed"))), "up failed")
		upper, err := collect(Stream[string](ctx, c, "Upper", uploadOf(nil, "a")), 0)
		answer(t, err, "")
		if len(counted) != 3 || joined != "ab" || len(upper) != 1 || upper[0] != "A" {
			t.Errorf("streams %v %q %v", counted, joined, upper)
		}
	},
	"abort": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		answer(t, c.Send(ctx, "Abort"), "")
	},
	"toolarge": func(t *testing.T, ctx context.Context, c *Client, detailed bool) {
		want := "Connection closed with an error."
		if detailed {
			want = "The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions."
		}
		err := c.Invoke(ctx, "Echo", nil, strings.Repeat("x", 33000))
		if !errors.Is(err, ErrConnectionClosed) {
			t.Errorf("the call ends with %v", err)
		}
		answer(t, err, want)
	},
	"skip": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		answer(t, c.Invoke(ctx, "Echo", nil, "x"), "")
	},
	"dotnet11-client": func(t *testing.T, ctx context.Context, c *Client, _ bool) {
		var text string
		answer(t, c.Invoke(ctx, "Echo", &text, "x"), "")
		items, err := collect(Stream[int](ctx, c, "Counter", 2, 0), 0)
		answer(t, err, "")
		if text != "x" || len(items) != 2 {
			t.Errorf("%q, %v", text, items)
		}
	},
}

// collect reads a stream to its end, or n items of it.
func collect[T any](stream iter.Seq2[T, error], n int) (items []T, err error) {
	for v, err := range stream {
		if err != nil {
			return items, err
		}
		if items = append(items, v); len(items) == n {
			break
		}
	}
	return items, nil
}

func uploadOf(fail error, items ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, s := range items {
			if !yield(s, nil) {
				return
			}
		}
		if fail != nil {
			yield("", fail)
		}
	}
}

func answer(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}
