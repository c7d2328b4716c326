package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// sources calls visit for each file below the module's root that is not
// fetched or built.
func sources(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "node_modules", "bin", "dist", "testdata", "conduit-data":
				return fs.SkipDir
			}
			return nil
		}
		visit(path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An init function runs before main can decide anything, and in every test
// that imports the package.
func TestNoInitFunctions(t *testing.T) {
	sources(t, func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init", path)
			}
		}
	})
}

// A test that sleeps is slow when all is well and wrong when the machine is
// busy: it waits for what it is about instead. Inside a loop a sleep is the pace
// of polling, and inside a synctest bubble it takes no time.
func TestNoSleepInTests(t *testing.T) {
	sources(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		if slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` }) {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForStmt, *ast.RangeStmt:
				return false
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && n.Sel.Name == "Sleep" {
					t.Errorf("%s: time.Sleep; wait for a signal, or poll until a deadline", set.Position(n.Pos()))
				}
			}
			return true
		})
	})
}

// A lock file that names a registry's host works only where that host is.
func TestLockFilesNameNoHost(t *testing.T) {
	host := regexp.MustCompile(`"resolved": "[a-z]+://`)
	sources(t, func(path string) {
		if filepath.Base(path) != "package-lock.json" {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		if found := host.Find(text); found != nil {
			t.Errorf("%s: %s…; npm's omit-lockfile-registry-resolved belongs into the folder's .npmrc", path, found)
		}
	})
}
