package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	fences   = regexp.MustCompile("(?ms)^(?:> ?)?```.*?^(?:> ?)?```$")
	spans    = regexp.MustCompile("`[^`\n]*`")
	links    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
)

// A link that leads nowhere is worse than none. Addresses of other hosts are
// not looked at.
func TestLinksLeadSomewhere(t *testing.T) {
	found := 0
	sources(t, func(path string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		for _, m := range links.FindAllStringSubmatch(spans.ReplaceAllString(prose(t, path), ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			found++
			target, anchor, _ := strings.Cut(m[1], "#")
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), filepath.FromSlash(target))
			}
			info, err := os.Stat(file)
			switch {
			case err != nil:
				t.Errorf("%s: there is no %s", path, m[1])
			case anchor == "":
			case info.IsDir() || filepath.Ext(file) != ".md":
				t.Errorf("%s: %s has no headings", path, m[1])
			case !slices.Contains(anchors(prose(t, file)), anchor):
				t.Errorf("%s: there is no heading for %s", path, m[1])
			}
		}
	})
	if found == 0 {
		t.Error("no link was found")
	}
}

// prose is a page without its blocks of code.
func prose(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fences.ReplaceAllString(string(text), "")
}

// anchors are what the headings of a page are called in links to them.
func anchors(page string) []string {
	var out []string
	for _, m := range headings.FindAllStringSubmatch(page, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, m[1]))
	}
	return out
}
