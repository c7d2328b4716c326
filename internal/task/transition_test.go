package task

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/task-life.md anew")

const lifePath = "../../docs/task-life.md"

// TestLife prints the transition table as documentation, and fails when the
// file is not what it prints.
func TestLife(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# A task's life

This page is printed from the table that the code moves tasks by (` + "`internal/task/transition.go`" + `):
` + "`go test ./internal/task -run TestLife -update`" + `. What is not listed does not happen.

` + "```mermaid\nstateDiagram-v2\n")
	for _, tr := range transitions {
		from := string(tr.From)
		if from == "" {
			from = "[*]"
		}
		fmt.Fprintf(&b, "    %s --> %s: %s\n", from, tr.To, tr.Action)
	}
	for _, s := range states {
		if s.Final() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}
	b.WriteString("```\n\n| From | To | What | By | Event | Attempt | When |\n|---|---|---|---|---|---|---|\n")
	for _, tr := range transitions {
		from, event, attempt := string(tr.From), "", ""
		if tr.Event != "" {
			event = "`" + string(tr.Event) + "`"
		}
		if tr.NewAttempt {
			attempt = "+1"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", from, tr.To, tr.Action, tr.By, event, attempt, tr.When)
	}
	b.WriteString(`
Every event raises the task's ` + "`sequence`" + `, from 1. Every write of a worker names its attempt, the state ` + "`running`" + ` and
its own name; where the row says otherwise, nothing is written, and the worker stops. So exactly one terminal event
is stored, and it is the last. A task that is tried again by its owner is a new task, with ` + "`retry_of`" + `.
`)
	if *update {
		if err := os.MkdirAll("../../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(lifePath, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(lifePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is out of date: go test ./internal/task -run TestLife -update", lifePath)
	}
}

var states = []State{Pending, Running, Completed, Failed, Cancelled, TimedOut}

// TestApply tries every action in every state: the table's ways are gone,
// all others are refused and change nothing.
func TestApply(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	actions := []Action{ActSubmit, ActStart, ActReport, ActComplete, ActFail, ActRetry, ActGiveBack, ActTakeOver, ActTimeOut, ActCancel}
	ways := 0
	for _, from := range append([]State{""}, states...) {
		for _, a := range actions {
			r := Record{Task: Task{State: from, Sequence: 7, Attempt: 2}}
			before := r
			e, err := r.apply(a, at)
			if err != nil {
				if !errors.Is(err, errNoTransition) || r.State != before.State || r.Sequence != 7 || r.Attempt != 2 {
					t.Errorf("%s from %q: %v, %+v", a, from, err, r)
				}
				continue
			}
			ways++
			if from.Final() {
				t.Errorf("%s leads out of %s", a, from)
			}
			if r.State.Final() != (r.CompletedAt != nil) {
				t.Errorf("%s from %q: %s, completed %v", a, from, r.State, r.CompletedAt)
			}
			if r.State.Final() && (e == nil || !e.Name.Terminal()) {
				t.Errorf("%s from %q ends without a terminal event", a, from)
			}
			if e != nil && (e.Sequence != 8 || r.Sequence != 8 || e.Attempt != r.Attempt || e.Name.Terminal() != r.State.Final()) {
				t.Errorf("%s from %q: event %+v, record %+v", a, from, e, r)
			}
			if (r.Attempt == 3) != (from == Running && r.State == Pending) {
				t.Errorf("%s from %q: attempt %d", a, from, r.Attempt)
			}
		}
	}
	if ways != len(Transitions()) {
		t.Errorf("%d ways of %d: two lines of the table are for the same action and state", ways, len(Transitions()))
	}
}

func TestParseID(t *testing.T) {
	core := strings.Repeat("0af9", 8)
	for in, want := range map[string]string{
		"task_" + core: "task_" + core, "video_" + core: "task_" + core,
		core: "", "": "", "task_": "", "task_" + core + "0": "", "task_" + core[1:]: "",
		"task_" + strings.ToUpper(core): "", "image_" + core: "", "task_video_" + core: "", "task_" + core[:31] + "/": "", "task_" + core[:31] + "\x00": "",
	} {
		if got, ok := ParseID(in); got != want || ok != (want != "") {
			t.Errorf("ParseID(%q) = %q, %v", in, got, ok)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		if got, ok := ParseID(id); !ok || got != id || seen[id] {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("task_" + strings.Repeat("0af9", 8))
	f.Add("video_x")
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := ParseID(s)
		if again, ok2 := ParseID(id); ok && (!ok2 || again != id || len(id) != 37) {
			t.Errorf("%q gives %q", s, id)
		}
	})
}
