package api

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The reference names every route, every field and every error code.
func TestReferenceIsComplete(t *testing.T) {
	doc := read(t, "../../docs/api.md")
	for _, m := range regexp.MustCompile(`\{"([A-Z]+ /v1/[^"]*)",`).FindAllStringSubmatch(read(t, "routes.go"), -1) {
		if !strings.Contains(doc, "| `"+m[1]+"` |") {
			t.Errorf("docs/api.md has no row for the route %s", m[1])
		}
	}
	for _, name := range append(fieldsOf("video"), fieldsOf("image")...) {
		if !strings.Contains(doc, "| `"+name+"` |") {
			t.Errorf("docs/api.md has no row for the field %s", name)
		}
	}
	for _, file := range []string{"errors.go", "decode.go", "create.go", "guard.go", "tasks.go", "events.go", "wait.go"} {
		for _, m := range regexp.MustCompile(`Code: "([a-z_]+)"`).FindAllStringSubmatch(read(t, file), -1) {
			if !strings.Contains(doc, "`"+m[1]+"`") {
				t.Errorf("docs/api.md does not name the code %s", m[1])
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
