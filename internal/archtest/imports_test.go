package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/knnlabs/conduit"

// rule says what the packages that it names may import besides the standard
// library. Paths are relative to the module; a trailing "/..." takes in what
// lies below. The first rule whose from matches a package counts.
type rule struct {
	from    string
	allow   []string // packages of this module
	modules []string // packages of other modules
	tests   []string // what test files may import on top, of this module or another
	reason  string
}

// anything matches every import path.
const anything = "..."

var rules = []rule{
	{
		from: "signalr/internal/wire", modules: []string{"github.com/tinylib/msgp/msgp"},
		tests:  []string{"github.com/google/go-cmp/...", "github.com/vmihailenco/msgpack/v5", "go.uber.org/goleak"},
		reason: "bytes in, bytes out: no socket, no clock, no connection",
	},
	{
		from: "signalr/internal/transport", modules: []string{"github.com/gobwas/ws/...", "github.com/coder/websocket/...", "golang.org/x/sys/..."},
		tests:  []string{"github.com/google/go-cmp/...", "go.uber.org/goleak", "github.com/gorilla/websocket"},
		reason: "moves bytes and never looks inside them, so it has no use for wire",
	},
	{
		from: "signalr/...", allow: []string{"signalr/..."}, modules: []string{anything},
		tests:  []string{anything},
		reason: "the library is usable without Conduit and knows nothing of it",
	},
	{
		from: "cmd/conduit", allow: []string{"internal/config", "internal/server", "signalr"}, modules: []string{anything},
		reason: "flags and environment to a config, then one call; all else goes over the public surface",
	},
	{
		from: "internal/server", allow: []string{"internal/...", "signalr/..."}, modules: []string{anything},
		reason: "the composition root: the only place that sees concrete providers, stores and backplanes",
	},
	{
		from: "internal/push", allow: []string{"internal/task", "internal/key", "internal/provider", "internal/media", "signalr"},
		modules: []string{"golang.org/x/time/rate"}, tests: []string{"internal/store", "internal/store/...", "signalr/...", "github.com/google/go-cmp/...", "go.uber.org/goleak"},
		reason: "the only adapter between tasks and hubs, over signalr's public API alone",
	},
	{
		from: "internal/contract", allow: []string{"internal/push", "internal/api", "internal/task", "internal/provider", "signalr"}, modules: nil,
		reason: "prints the SDK's types from what push and api describe",
	},
	{
		from: "internal/console", modules: nil,
		reason: "serves files; whoever signs in does so through key's sessions",
	},
	{
		from: "internal/api", allow: []string{"internal/task", "internal/key", "internal/provider", "internal/media"},
		modules: []string{"github.com/agnivade/levenshtein", "golang.org/x/time/rate"}, tests: []string{"internal/store", "internal/store/...", "internal/provider/local", "internal/work", "github.com/google/go-cmp/...", "go.uber.org/goleak"},
		reason: "api, push, work and console are siblings: each can be read and replaced without the others",
	},
	{
		from: "internal/work", allow: []string{"internal/task", "internal/key", "internal/provider", "internal/media"},
		modules: []string{"github.com/riverqueue/river/...", "modernc.org/sqlite/..."}, tests: []string{"internal/store", "internal/store/...", "internal/provider/local", "github.com/google/go-cmp/...", "go.uber.org/goleak"},
		reason: "api, push, work and console are siblings: each can be read and replaced without the others",
	},
	{
		from: "internal/store/...", allow: []string{"internal/task", "internal/key", "internal/store/..."}, modules: []string{anything},
		tests:  []string{anything},
		reason: "implements interfaces that task and key declare; all SQL is here",
	},
	{
		from: "internal/provider/local/...", allow: []string{"internal/provider", "internal/provider/local/..."}, modules: []string{anything},
		tests:  []string{anything},
		reason: "a provider knows the interface that it implements and nothing of tasks",
	},
	{
		from: "internal/provider/...", allow: []string{"internal/provider"}, modules: []string{anything},
		reason: "a provider knows the interface that it implements and nothing of tasks",
	},
	{
		from: "internal/task/...", allow: []string{"internal/task/..."}, tests: []string{"github.com/google/go-cmp/..."},
		reason: "a task's life is plain Go; whoever stores, runs or publishes it comes to it",
	},
	{
		from: "internal/key/...", allow: []string{"internal/key/..."}, modules: []string{"golang.org/x/time/rate"}, tests: []string{"github.com/google/go-cmp/..."},
		reason: "who is asking must be readable without the rest",
	},
	{
		from: "internal/media/...", allow: []string{"internal/media/..."}, modules: []string{"gocloud.dev/..."}, tests: []string{"github.com/google/go-cmp/..."},
		reason: "keeps and signs results, whatever made them",
	},
	{
		from: "internal/config/...", allow: []string{"internal/config/..."}, modules: []string{"github.com/tailscale/hujson", "github.com/agnivade/levenshtein"}, tests: []string{"github.com/google/go-cmp/..."},
		reason: "a documented struct that every part may be given, so it may need none of them",
	},
	{
		from: "internal/archtest", reason: "looks at the others from outside",
	},
	{
		from: "e2e/...", allow: []string{"internal/key", "internal/store"},
		reason: "prepares what the journeys take for granted; the journeys themselves use the public surface",
	},
	{
		from: "conformance/...", allow: []string{"signalr", "signalr/backplane/...", "conformance/..."}, modules: []string{anything},
		reason: "what foreign clients are pointed at is the library alone",
	},
}

type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Standard     bool
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return pkgs
		case err != nil:
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// matches reports whether an import path is covered by a pattern of a rule.
func matches(pattern, importPath string) bool {
	if pattern == anything {
		return true
	}
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return importPath == below || strings.HasPrefix(importPath, below+"/")
	}
	return importPath == pattern
}

func matchesAny(patterns []string, importPath string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, importPath) })
}

// permits reports whether the rule lets a package, or its tests, import path.
func (r rule) permits(imported string, test bool) bool {
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		// A package's external test imports the package itself.
		return matches(r.from, own) || matchesAny(r.allow, own) || test && ownTests(r.tests, own)
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	return matchesAny(r.modules, imported) || test && matchesAny(r.tests, imported)
}

// ownTests is matchesAny for packages of this module, to which "anything"
// does not extend: signalr's tests may use any module, but not Conduit.
func ownTests(patterns []string, own string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return p != anything && matches(p, own) })
}

func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.from, name) })
		if i < 0 {
			t.Errorf("%s: no rule covers this package; say in archtest what it may import, and why", name)
			continue
		}
		r := rules[i]
		check := func(imports []string, test bool) {
			for _, imported := range imports {
				if !r.permits(imported, test) {
					t.Errorf("%s may not import %s (test file: %v): %s", name, imported, test, r.reason)
				}
			}
		}
		check(p.Imports, false)
		check(p.TestImports, true)
		check(p.XTestImports, true)
	}
}

func TestPackageNames(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "shared"}
	for _, p := range listPackages(t) {
		if base := path.Base(p.ImportPath); slices.Contains(vague, base) {
			t.Errorf("%s: the name says nothing of what is inside", p.ImportPath)
		}
	}
}

func TestRulesHaveReasons(t *testing.T) {
	for _, r := range rules {
		if r.reason == "" {
			t.Errorf("%s: a rule without a reason is a whim", r.from)
		}
	}
}
