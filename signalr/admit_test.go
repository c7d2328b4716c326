package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
)

// Every call is admitted or not, whatever it calls.
func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		var refuse error
		h := NewHub("test", HubOptions{Admit: func(_ context.Context, c *Conn, method string) error {
			seen = append(seen, c.ID()+" "+method)
			if refuse == errBoom { // this very one
				panic("boom")
			}
			return refuse
		}})
		Handle(h, "Echo", func(n int) int { return n })
		Handle(h, "Count", func() iter.Seq2[int, error] { return func(yield func(int, error) bool) { yield(1, nil) } })
		Handle(h, "Take", func(iter.Seq2[int, error]) {})
		p := connect(t, h, "c1")
		p.send(`{"type":1,"invocationId":"1","target":"echo","arguments":[7]}`)
		p.want(`{"type":3,"invocationId":"1","result":7}`)
		calls := []string{
			`{"type":1,"invocationId":"%d","target":"Echo","arguments":[7]}`,
			`{"type":1,"invocationId":"%d","target":"Echo","arguments":["wrong"]}`,
			`{"type":1,"invocationId":"%d","target":"Nothing","arguments":[]}`,
			`{"type":4,"invocationId":"%d","target":"Count","arguments":[]}`,
			`{"type":4,"invocationId":"%d","target":"Nothing","arguments":[]}`,
			`{"type":1,"invocationId":"%d","target":"Take","arguments":[],"streamIds":["s%[1]d"]}`,
		}
		names := []string{"Echo", "Echo", "Nothing", "Count", "Nothing", "Take"}
		id := 1
		for text, err := range map[string]error{
			" on the server. HubException: not now": Errorf("not now"),
			" on the server.":                       errors.New("secret"),
			" on the server. ":                      errBoom,
		} {
			refuse = err
			for i, call := range calls {
				id++
				p.send(fmt.Sprintf(call, id))
				if text == " on the server. " {
					text = " on the server."
				}
				p.want(fmt.Sprintf(`{"type":3,"invocationId":"%d","error":"An unexpected error occurred invoking '%s'%s"}`, id, names[i], text))
			}
		}
		refuse = nil
		p.send(`{"type":1,"target":"Nothing","arguments":[]}`)
		p.send(`{"type":1,"invocationId":"99","target":"ECHO","arguments":[8]}`)
		p.want(`{"type":3,"invocationId":"99","result":8}`)
		if n := len(seen); n != 3+3*len(calls) || seen[n-2] != "c1 Nothing" || seen[n-1] != "c1 Echo" {
			t.Errorf("admitted %q", seen)
		}
	})
}

var errBoom = errors.New("boom")
