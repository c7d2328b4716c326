// Package contract prints the TypeScript types of the SDK from the Go types
// that the hubs and the REST surface send. Its test keeps
// sdk/typescript/src/contract.ts in step; nothing imports it.
package contract

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/api"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/push"
	"github.com/knnlabs/conduit/internal/task"
	"github.com/knnlabs/conduit/signalr"
)

const header = `// The types that Conduit's hubs and REST surface send.
//
// Generated from the Go types: go test ./internal/contract -update
`

// events are the types of the hubs' events, whether or not a hub sends them
// yet: event streams do.
var events = []reflect.Type{
	reflect.TypeFor[task.VideoGenerationStarted](),
	reflect.TypeFor[task.VideoGenerationProgress](),
	reflect.TypeFor[task.VideoGenerationCompleted](),
	reflect.TypeFor[task.VideoGenerationFailed](),
	reflect.TypeFor[task.VideoGenerationCancelled](),
	reflect.TypeFor[task.ImageGenerationStarted](),
	reflect.TypeFor[task.ImageGenerationProgress](),
	reflect.TypeFor[task.ImageGenerationCompleted](),
	reflect.TypeFor[task.ImageGenerationFailed](),
	reflect.TypeFor[task.ImageGenerationCancelled](),
}

// words are the string types whose values are known.
var words = map[reflect.Type]struct {
	name, doc string
	values    []string
}{
	reflect.TypeFor[task.State](): {"TaskStatus", "Where a task stands.", texts([]task.State{
		task.Pending, task.Running, task.Completed, task.Failed, task.Cancelled, task.TimedOut,
	})},
	reflect.TypeFor[task.Kind](): {"TaskKind", "What a task makes.", []string{string(task.Video), string(task.Image)}},
	reflect.TypeFor[provider.Kind](): {"TaskKind", "What a task makes.", []string{
		string(provider.Video), string(provider.Image)}},
}

func texts[S ~string](values []S) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

// TypeScript prints the contract. sources are the folders whose Go files hold
// the comments of the types; without a comment a field has none here either.
// It fails where a type has no counterpart in TypeScript.
func TypeScript(sources ...string) (string, error) {
	comments, err := readComments(sources)
	if err != nil {
		return "", err
	}
	p := &printer{names: map[reflect.Type]string{}, eventTypes: map[reflect.Type]string{}, comments: comments}
	p.line("%s", header)
	p.words()

	surface := api.Describe()
	for _, a := range surface.Answers {
		p.names[a.Type] = a.Name
	}
	for _, t := range events {
		p.names[t] = t.Name()
	}
	hubs := describeHubs()
	for _, h := range hubs {
		for _, e := range h.Events {
			p.name(e.Payload)
			if !slices.Contains(events, e.Payload) {
				p.eventTypes[e.Payload] = e.Name
			}
		}
	}
	for _, r := range surface.Requests {
		p.request(r)
	}
	p.dates = "string" // REST answers are handed over as they are
	for _, a := range surface.Answers {
		if err := p.structure(a.Type); err != nil {
			return "", err
		}
	}
	p.dates = "Date"
	if err := p.events(hubs); err != nil {
		return "", err
	}
	p.hubs(hubs)
	return p.out.String(), nil
}

type noTasks struct{ push.Tasks }

type noLinks struct{ push.Links }

type noModels struct{}

func (noModels) List() []provider.ModelState { return nil }

func describeHubs() []signalr.Description {
	var out []signalr.Description
	for _, h := range push.New(push.Options{Tasks: noTasks{}, Links: noLinks{}, Models: noModels{}}).All() {
		out = append(out, h.Describe())
	}
	return out
}

type printer struct {
	out        strings.Builder
	names      map[reflect.Type]string
	eventTypes map[reflect.Type]string // where it is not the type's name
	printed    map[reflect.Type]bool
	comments   map[string]string
	dates      string // what a time.Time is
	pending    []reflect.Type
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(&p.out, format+"\n", args...) }

func (p *printer) doc(indent, text string) {
	if text != "" {
		p.line("%s/** %s */", indent, text)
	}
}

func (p *printer) words() {
	done := map[string]bool{}
	for _, t := range slices.SortedFunc(maps.Keys(words), func(a, b reflect.Type) int {
		return cmp.Compare(words[a].name, words[b].name)
	}) {
		w := words[t]
		if done[w.name] {
			continue
		}
		done[w.name] = true
		p.doc("", w.doc)
		p.line("export type %s = '%s';\n", w.name, strings.Join(w.values, "' | '"))
	}
}

func (p *printer) request(r api.RequestDescription) {
	kind := strings.ToUpper(string(r.Kind[:1])) + string(r.Kind[1:])
	p.line("/** What to make: the body of a request for %ss. */\nexport interface %sRequest {", r.Kind, kind)
	for _, f := range r.Fields {
		p.doc("  ", f.Doc)
		typ, optional := "string", "?"
		if f.Type == reflect.Int {
			typ = "number"
		}
		if f.Name == "prompt" {
			optional = ""
		}
		if f.Name == "response_format" {
			typ = "'url'"
		}
		p.line("  %s%s: %s;", f.Name, optional, typ)
	}
	p.line("}\n")
}

// name gives a type of ours a name in TypeScript.
func (p *printer) name(t reflect.Type) string {
	if p.names[t] == "" {
		p.names[t] = t.Name()
	}
	return p.names[t]
}

// structure prints a struct, and then what it needs and is not printed yet.
func (p *printer) structure(t reflect.Type) error {
	if p.printed == nil {
		p.printed = map[reflect.Type]bool{}
	}
	if p.printed[t] {
		return nil
	}
	p.printed[t] = true
	p.doc("", p.typeDoc(t))
	p.line("export interface %s {", p.name(t))
	for i := range t.NumField() {
		f := t.Field(i)
		name, omitted := tag(f)
		if name == "" {
			continue
		}
		typ, err := p.typeOf(f.Type)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		if name == "eventType" {
			typ = "'" + cmp.Or(p.eventTypes[t], t.Name()) + "'"
		}
		optional := ""
		switch {
		case omitted:
			optional = "?"
		case f.Type.Kind() == reflect.Pointer:
			typ += " | null"
		}
		if name != "eventType" {
			p.doc("  ", p.fieldDoc(t, f.Name))
		}
		p.line("  %s%s: %s;", name, optional, typ)
	}
	p.line("}\n")
	for len(p.pending) > 0 {
		next := p.pending[0]
		p.pending = p.pending[1:]
		if err := p.structure(next); err != nil {
			return err
		}
	}
	return nil
}

// tag is the name of a field in JSON, and whether an empty one is left out.
func tag(f reflect.StructField) (name string, omitted bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || !f.IsExported() {
		return "", false
	}
	return cmp.Or(name, f.Name), strings.Contains(options, "omit")
}

func (p *printer) typeOf(t reflect.Type) (string, error) {
	if w, ok := words[t]; ok {
		return w.name, nil
	}
	if t == reflect.TypeFor[time.Time]() {
		return p.dates, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return p.typeOf(t.Elem())
	case reflect.String:
		return "string", nil
	case reflect.Bool:
		return "boolean", nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return "number", nil
	case reflect.Slice:
		item, err := p.typeOf(t.Elem())
		return item + "[]", err
	case reflect.Map:
		item, err := p.typeOf(t.Elem())
		return "Record<string, " + item + ">", err
	case reflect.Struct:
		p.pending = append(p.pending, t)
		return p.name(t), nil
	}
	return "", fmt.Errorf("%s has no counterpart in TypeScript", t)
}

// events prints the events and their unions.
func (p *printer) events(hubs []signalr.Description) error {
	all := slices.Clone(events)
	for _, h := range hubs {
		for _, e := range h.Events {
			if !slices.Contains(all, e.Payload) {
				all = append(all, e.Payload)
			}
		}
	}
	for _, t := range all {
		if err := p.structure(t); err != nil {
			return err
		}
	}
	for _, kind := range []string{"Video", "Image"} {
		var names []string
		for _, t := range events {
			if strings.HasPrefix(t.Name(), kind) {
				names = append(names, t.Name())
			}
		}
		p.line("/** What happens to %s task; eventType tells which. */", map[string]string{"Video": "a video", "Image": "an image"}[kind])
		p.line("export type %sEvent =\n  | %s;\n", kind, strings.Join(names, "\n  | "))
	}
	return nil
}

// hubs prints what each hub offers by name.
func (p *printer) hubs(hubs []signalr.Description) {
	p.line("/** What the hubs offered when these types were made. */\nexport const hubs = {")
	for _, h := range hubs {
		p.line("  '/hubs/%s': {", h.Hub)
		var methods, names []string
		for _, m := range h.Methods {
			methods = append(methods, "'"+m.Name+"'")
		}
		for _, e := range h.Events {
			names = append(names, fmt.Sprintf("%s: '%s'", e.Name, p.name(e.Payload)))
		}
		p.line("    methods: [%s],", strings.Join(methods, ", "))
		p.line("    events: { %s },\n  },", strings.Join(names, ", "))
	}
	p.line("} as const;")
}

// readComments maps "task.VideoGenerationProgress" and
// "task.VideoGenerationProgress.Progress" to what their source says.
func readComments(folders []string) (map[string]string, error) {
	comments := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				decl, ok := n.(*ast.GenDecl)
				if !ok || decl.Tok != token.TYPE {
					return true
				}
				for _, spec := range decl.Specs {
					s, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					at := file.Name.Name + "." + s.Name.Name
					if len(decl.Specs) == 1 {
						comments[at] = sentence(decl.Doc.Text())
					}
					structure, ok := s.Type.(*ast.StructType)
					if !ok {
						continue
					}
					for _, f := range structure.Fields.List {
						for _, name := range f.Names {
							comments[at+"."+name.Name] = sentence(cmp.Or(f.Comment.Text(), f.Doc.Text()))
						}
					}
				}
				return true
			})
		}
	}
	return comments, nil
}

var reference = regexp.MustCompile(` \((rest-api|guide)[^)]*\)`)

func sentence(text string) string {
	text = reference.ReplaceAllString(strings.Join(strings.Fields(text), " "), "")
	return strings.ReplaceAll(text, "*/", "*\\/")
}

func key(t reflect.Type) string { return t.String() }

// typeDoc is a type's comment, under the name that it has here.
func (p *printer) typeDoc(t reflect.Type) string {
	text := p.comments[key(t)]
	if rest, ok := strings.CutPrefix(text, t.Name()+" "); ok {
		return p.name(t) + " " + rest
	}
	return text
}

func (p *printer) fieldDoc(t reflect.Type, field string) string {
	if text := p.comments[key(t)+"."+field]; text != "" {
		return text
	}
	// The image events are declared as the video events' types.
	return p.comments[strings.Replace(key(t), ".Image", ".Video", 1)+"."+field]
}
