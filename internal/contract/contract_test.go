package contract

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the SDK's types anew")

const path = "../../sdk/typescript/src/contract.ts"

func TestContract(t *testing.T) {
	got, err := TypeScript("../task", "../api", "../push")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is out of date: run go test ./internal/contract -update", path)
	}
}

// What the guide promises of the events, as it stands there.
func TestGuide(t *testing.T) {
	got, err := TypeScript()
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile("../../docs/guide/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"VideoGenerationProgress", "VideoGenerationCompleted", "VideoGenerationFailed"} {
		ours := block(t, got, name)
		for line := range strings.Lines(block(t, string(guide), name)) {
			field, _, _ := strings.Cut(line, "//")
			field = strings.TrimSpace(field)
			if !strings.HasSuffix(field, ";") || strings.HasPrefix(line, "    ") || field == "};" {
				continue // of a structure inside, which has a name of its own here
			}
			if !strings.Contains(ours, "  "+field+"\n") {
				t.Errorf("%s has no %q:\n%s", name, field, ours)
			}
		}
	}
}

// block is the declaration of an interface.
func block(t *testing.T, text, name string) string {
	t.Helper()
	_, after, ok := strings.Cut(text, "interface "+name+" {\n")
	inside, _, closed := strings.Cut(after, "\n}")
	if !ok || !closed {
		t.Fatalf("there is no interface %s", name)
	}
	return inside + "\n"
}
