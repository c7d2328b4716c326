package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// The reference is made from the comments and tags of Config, so that it
// cannot say something else than the code.
func TestDocumentation(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "configuration.md")
	want := reference(t)
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is out of date; run: go test ./internal/config -run TestDocumentation -update")
	}
}

func reference(t *testing.T) string {
	t.Helper()
	comments := fieldComments(t)
	c := Default()
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Generated from internal/config/config.go: go test ./internal/config -run TestDocumentation -update -->

Settings come from ` + "`appsettings.json`" + ` in the working directory (or the file named by ` + "`--config`" + `), which may hold
comments and trailing commas; above it from environment variables, with two underscores between section and name
(` + "`SignalR__KeepAliveInterval=00:00:30`, `Cors__AllowedOrigins__0=https://app.example`" + `); above those from flags.
Names fold case, and every name may also stand below ` + "`Conduit`" + ` (` + "`Conduit__DataFolder=/var/lib/conduit`" + `). A TimeSpan is written as .NET
writes it: ` + "`00:00:15`, `1.00:00:00`" + ` for a day.

An unknown name or an impossible value in the sections below stops the start, with the place, the value, and what is
allowed. Other top-level names (` + "`Logging`, `AllowedHosts`" + `) are listed once in the log and not used.
` + "`conduit config`" + ` prints what is in force and where it came from, without secrets.
`)
	table := func(fields []field, cut int) {
		b.WriteString("\n| name | type | default | meaning |\n|---|---|---|---|\n")
		for _, f := range fields {
			fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", f.path[cut:], typeName(f), show(f), meaning(f, comments[f.path]))
		}
	}
	bySection := map[string][]field{}
	var order []string
	for _, f := range ordered(&c) {
		top, _, nested := strings.Cut(f.path, ":")
		if !nested {
			top = ""
		}
		if bySection[top] == nil {
			order = append(order, top)
		}
		bySection[top] = append(bySection[top], f)
	}
	for _, top := range order {
		if top == "" {
			b.WriteString("\n## Top level\n")
			table(bySection[top], 0)
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", top, comments[top])
		table(bySection[top], len(top)+1)
	}
	return b.String()
}

func typeName(f field) string {
	switch f.value.Type().String() {
	case "time.Duration":
		return "TimeSpan"
	case "[]string":
		return "list"
	case "int", "int64":
		return "number"
	}
	return f.value.Type().String()
}

func meaning(f field, comment string) string {
	if b := bounds(f); b != "" {
		comment += " Allowed: " + strings.TrimPrefix(b, "from ") + "."
	}
	return comment
}

// fieldComments are the comments above the fields of Config and its sections,
// by path.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structs := map[string]*ast.StructType{}
	ast.Inspect(file, func(n ast.Node) bool {
		if ts, ok := n.(*ast.TypeSpec); ok {
			if st, ok := ts.Type.(*ast.StructType); ok {
				structs[ts.Name.Name] = st
			}
		}
		return true
	})
	out := map[string]string{}
	var walk func(st *ast.StructType, prefix string)
	walk = func(st *ast.StructType, prefix string) {
		for _, f := range st.Fields.List {
			name := f.Names[0].Name
			if f.Tag != nil {
				if n := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("name"); n != "" {
					name = n
				}
			}
			out[prefix+name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			if id, ok := f.Type.(*ast.Ident); ok && structs[id.Name] != nil {
				walk(structs[id.Name], prefix+name+":")
			}
		}
	}
	walk(structs["Config"], "")
	return out
}

func TestEverySettingIsDescribed(t *testing.T) {
	comments := fieldComments(t)
	c := Default()
	for _, f := range ordered(&c) {
		if comments[f.path] == "" {
			t.Errorf("%s has no comment", f.path)
		}
		if k := f.value.Kind(); (k == reflect.Int || k == reflect.Int64) && f.tag.Get("max") == "" {
			t.Errorf("%s has no bounds", f.path)
		}
	}
}
