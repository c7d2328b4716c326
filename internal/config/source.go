package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// Source is where a value came from.
type Source struct {
	Kind string // "default", "file", "environment", "flag"
	Name string // file name, variable or flag
	Line int    // in the file
}

func (s Source) String() string {
	switch s.Kind {
	case "file":
		return s.Name + ":" + strconv.Itoa(s.Line)
	case "environment", "flag":
		return s.Kind + " " + s.Name
	}
	return "default"
}

// setting is one value at one place.
type setting struct {
	path  []string // as written
	value string
	null  bool // JSON null
	list  bool // an empty array: a list without items
	from  Source
}

func (s setting) key() string  { return fold(strings.Join(s.path, ":")) }
func (s setting) name() string { return strings.Join(s.path, ":") }

// fold is the key under which a name is looked up: .NET configuration
// compares names without case.
func fold(s string) string { return strings.ToLower(s) }

const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 32      // of the file's objects and arrays
)

// readFile reads a settings file; a missing one is no error when optional.
func readFile(name string, optional bool) ([]setting, bool, error) {
	f, err := os.Open(name)
	if err != nil {
		if optional && errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("the settings file cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("the settings file cannot be read: %w", err)
	case len(b) > maxFile:
		return nil, false, fmt.Errorf("%s: the settings file is larger than 1 MiB", name)
	}
	s, err := parseFile(name, b)
	return s, true, err
}

// parseFile reads JSON with comments and trailing commas into settings.
func parseFile(name string, b []byte) ([]setting, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%s: the file is not UTF-8", name)
	}
	if line, ok := tooDeep(b); ok {
		return nil, fmt.Errorf("%s:%d: nested deeper than %d levels", name, line, maxDepth)
	}
	v, err := hujson.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: not JSON: %w", name, err)
	}
	root, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, fmt.Errorf("%s: the file must hold one JSON object", name)
	}
	f := flattener{name: name, text: b, seen: map[string]int{}}
	f.object(root, nil)
	return f.out, errors.Join(f.errs...)
}

// tooDeep finds out how deep the brackets of b go, before anything recurses
// into them. Brackets in strings and comments do not count.
func tooDeep(b []byte) (line int, deep bool) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '/':
			if i+1 < len(b) && b[i+1] == '/' {
				for i < len(b) && b[i] != '\n' {
					i++
				}
			} else if i+1 < len(b) && b[i+1] == '*' {
				end := bytes.Index(b[i+2:], []byte("*/"))
				if end < 0 {
					return 0, false
				}
				i += end + 3
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return 1 + bytes.Count(b[:i], []byte("\n")), true
			}
		case '}', ']':
			depth--
		}
	}
	return 0, false
}

type flattener struct {
	name string
	text []byte
	out  []setting
	seen map[string]int // line by key
	errs []error
}

func (f *flattener) line(offset int) int {
	return 1 + bytes.Count(f.text[:min(max(offset, 0), len(f.text))], []byte("\n"))
}

func (f *flattener) object(o *hujson.Object, path []string) {
	for i := range o.Members {
		m := &o.Members[i]
		lit, _ := m.Name.Value.(hujson.Literal)
		// .NET reads "a:b" as b in section a.
		p := slices.Concat(path, strings.Split(lit.String(), ":"))
		f.value(&m.Value, p, f.line(m.Name.StartOffset))
	}
}

func (f *flattener) value(v *hujson.Value, path []string, line int) {
	s := setting{path: path, from: Source{Kind: "file", Name: f.name, Line: line}}
	switch x := v.Value.(type) {
	case *hujson.Object:
		f.object(x, path)
		return
	case *hujson.Array:
		for i := range x.Elements {
			e := &x.Elements[i]
			f.value(e, append(slices.Clone(path), strconv.Itoa(i)), f.line(e.StartOffset))
		}
		if len(x.Elements) > 0 {
			return
		}
		s.list = true
	case hujson.Literal:
		switch x.Kind() {
		case 'n':
			s.null = true
		case '"':
			s.value = x.String()
		default:
			s.value = string(x)
		}
	}
	if before, ok := f.seen[s.key()]; ok {
		f.errs = append(f.errs, fmt.Errorf("%s:%d: %s stands there twice (first in line %d)", f.name, line, s.name(), before))
		return
	}
	f.seen[s.key()] = line
	f.out = append(f.out, s)
}

// readEnvironment takes the settings out of environ ("NAME=value"): two
// underscores part section and name (SignalR__KeepAliveInterval). own tells
// which top-level names are sections of ours and which are single values;
// everything else in the environment is none of our business.
func readEnvironment(environ []string, section, value func(folded string) bool) ([]setting, error) {
	var out []setting
	var errs []error
	seen := map[string]setting{}
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, v, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue
		}
		path := strings.Split(name, "__")
		top := fold(path[0])
		if !(len(path) > 1 && section(top) || len(path) == 1 && value(top)) {
			continue
		}
		s := setting{path: path, value: v, from: Source{Kind: "environment", Name: name}}
		if old, dup := seen[s.key()]; dup {
			if old.value != v {
				errs = append(errs, fmt.Errorf("environment: %s and %s name the same setting and differ", old.from.Name, name))
			}
			continue
		}
		seen[s.key()] = s
		out = append(out, s)
	}
	return out, errors.Join(errs...)
}
