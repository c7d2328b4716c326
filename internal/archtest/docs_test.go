package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	goTestFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	namedGoTest = regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Z_]\\w*)[`/]")
	scenario    = regexp.MustCompile(`(?m)^  (?:async )?['"](.*?)['"]\(`)
	rowOfCells  = regexp.MustCompile(`(?m)^\|(.*)\|$`)
)

// What a page calls a proof exists.
func TestDocsNameTests(t *testing.T) {
	exist := make(map[string]bool)
	var pages []string
	sources(t, func(path string) {
		switch {
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range goTestFunc.FindAllStringSubmatch(read(t, path), -1) {
				exist[m[1]] = true
			}
		case filepath.Ext(path) == ".md":
			pages = append(pages, path)
		}
	})
	named := 0
	for _, page := range pages {
		for _, m := range namedGoTest.FindAllStringSubmatch(read(t, page), -1) {
			named++
			if !exist[m[1]] {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
	if named < 100 {
		t.Errorf("%d tests are named; is the pattern right?", named)
	}
}

// The last column of the features in docs/conformance.md names scenarios of the
// JavaScript suite: all of them, those of a part, or some by part and name. The
// page also says how many there are.
func TestDocsNameScenarios(t *testing.T) {
	exist, count := map[string]bool{"": true, "all": true, "all, in Chromium": true}, 0
	files, err := filepath.Glob(filepath.Join(root, "conformance/js/scenarios/*.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		part := strings.TrimSuffix(filepath.Base(file), ".mjs")
		for _, m := range scenario.FindAllStringSubmatch(read(t, file), -1) {
			exist[part], exist[part+": "+m[1]] = true, true
			count++
		}
	}
	page := read(t, filepath.Join(root, "docs/conformance.md"))
	_, features, _ := strings.Cut(page, "\n## Features\n")
	features, _, _ = strings.Cut(features, "\n## ")
	rows := rowOfCells.FindAllStringSubmatch(features, -1)
	if len(rows) < 30 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows[2:] {
		cells := strings.Split(row[1], "|")
		for name := range strings.SplitSeq(cells[len(cells)-1], ";") {
			if name = strings.TrimSpace(name); !exist[name] {
				t.Errorf("%s: there is no scenario %q", strings.TrimSpace(cells[0]), name)
			}
		}
	}
	if says := "a table of " + strconv.Itoa(count) + " scenarios"; !strings.Contains(page, says) {
		t.Errorf("docs/conformance.md does not say that it is %s", says)
	}
}

// Every example of the library is in the table of its page.
func TestDocsListExamples(t *testing.T) {
	page := read(t, filepath.Join(root, "docs/signalr/README.md"))
	var listed []string
	for _, m := range namedGoTest.FindAllStringSubmatch(page, -1) {
		listed = append(listed, m[1])
	}
	files, err := filepath.Glob(filepath.Join(root, "signalr/*/example_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(root, "signalr/example_*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Concat(files, more) {
		for _, m := range goTestFunc.FindAllStringSubmatch(read(t, file), -1) {
			if !slices.Contains(listed, m[1]) {
				t.Errorf("docs/signalr/README.md does not list %s of %s", m[1], file)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var goProgram = regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```$")

// Programs on pages compile.
func TestDocsPrograms(t *testing.T) {
	found := 0
	sources(t, func(path string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		for _, m := range goProgram.FindAllStringSubmatch(read(t, path), -1) {
			found++
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			vet := exec.CommandContext(t.Context(), "go", "vet", file)
			vet.Dir = root
			if out, err := vet.CombinedOutput(); err != nil {
				t.Errorf("a program of %s: %v\n%s", path, err, out)
			}
		}
	})
	if found < 2 {
		t.Errorf("%d programs were found", found)
	}
}
