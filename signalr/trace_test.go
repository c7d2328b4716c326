package signalr

import (
	"bytes"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// traced runs a conversation of every kind of message, whose contents are all
// "secret", and returns the log.
func traced(t *testing.T, on bool, level slog.Level) string {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{EnableMessageTracing: on, ShutdownWindow: time.Millisecond,
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))})
		Handle(h, "Echo", func(s string) string { return s })
		Handle(h, "Refuse", func(string) error { return Errorf("secret") })
		Handle(h, "Fail", func(string) error { return errors.New("the cause") })
		Handle(h, "Upper", func(words iter.Seq2[string, error]) iter.Seq2[string, error] { return words })
		p := connect(t, h, "c1")
		p.send(`{"type":1,"headers":{"h":"secret"},"invocationId":"1","target":"Echo","arguments":["secret"]}`)
		p.want(`{"type":3,"invocationId":"1","result":"secret"}`)
		p.send(`{"type":1,"invocationId":"2","target":"Refuse","arguments":["secret"]}`)
		p.next()
		p.send(`{"type":1,"invocationId":"3","target":"Fail","arguments":["secret"]}`)
		p.next()
		p.send(`{"type":4,"invocationId":"4","target":"Upper","arguments":[],"streamIds":["up"]}`,
			`{"type":2,"invocationId":"up","item":"secret"}`, `{"type":3,"invocationId":"up"}`)
		p.want(`{"type":2,"invocationId":"4","item":"secret"}`, `{"type":3,"invocationId":"4"}`)
		_ = h.All().Send(t.Context(), "Said", "secret")
		p.want(invocation1("Said", `"secret"`))
		p.want(`{"type":6}`)
		p.send(`{"type":5,"invocationId":"9"}`, `{"type":7,"error":"secret"}`)
		p.want(`{"type":7}`, "")
		shutdown(t, h)
	})
	return log.String()
}

func TestMessageTracing(t *testing.T) {
	log := traced(t, true, slog.LevelDebug)
	for _, want := range []string{
		`"message received" hub=test connection=c1 type=Invocation target=Echo invocation=1`,
		`"message sent" hub=test connection=c1 type=Completion invocation=1`,
		`"message received" hub=test connection=c1 type=StreamInvocation target=Upper invocation=4`,
		`"message received" hub=test connection=c1 type=StreamItem invocation=up`,
		`"message received" hub=test connection=c1 type=Completion invocation=up`,
		`"message sent" hub=test connection=c1 type=StreamItem invocation=4`,
		`"message sent" hub=test connection=c1 type=Invocation target=Said`,
		`"message sent" hub=test connection=c1 type=Ping`,
		`"message received" hub=test connection=c1 type=CancelInvocation invocation=9`,
		`"message received" hub=test connection=c1 type=Close`,
		`"message sent" hub=test connection=c1 type=Close`,
	} {
		if strings.Count(log, want+"\n") != 1 {
			t.Errorf("the trace has not once\n%s", want)
		}
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "secret") && strings.Contains(line, `msg="message `) {
			t.Errorf("the trace shows what a message carries: %s", line)
		}
	}
	if log := traced(t, true, slog.LevelInfo); strings.Contains(log, "secret") || strings.Contains(log, `msg="message `) {
		t.Errorf("above debug:\n%s", log)
	}
	if log := traced(t, false, slog.LevelDebug); strings.Contains(log, `msg="message `) {
		t.Errorf("tracing is off:\n%s", log)
	}
}
