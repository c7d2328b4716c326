package wire

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// structField is a field of a struct as it appears on the wire.
type structField struct {
	name      string
	index     []int // path through embedded structs
	typ       reflect.Type
	tagged    bool
	omitEmpty bool
	omitZero  func(reflect.Value) bool // nil: the field is written when zero
	quoted    bool                     // the "string" option
}

// conditional reports whether a field may be left out: by an option, or because
// a pointer to the struct that holds it may be nil.
func (f *structField) conditional() bool {
	return f.omitEmpty || f.omitZero != nil || len(f.index) > 1
}

// find returns the field's value in v; ok is false when an embedded pointer on
// the way is nil.
func (f *structField) find(v reflect.Value) (field reflect.Value, ok bool) {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, true
}

// written returns the field's value if it is to be written.
func (f *structField) written(v reflect.Value) (field reflect.Value, ok bool) {
	field, ok = f.find(v)
	if !ok || f.omitEmpty && isEmpty(field) || f.omitZero != nil && f.omitZero(field) {
		return reflect.Value{}, false
	}
	return field, true
}

// place returns the field's value in v for writing to it, with the embedded
// pointers on the way set. ok is false when one of them cannot be.
func (f *structField) place(v reflect.Value) (field reflect.Value, ok bool) {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return reflect.Value{}, false
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, true
}

// structPlan is what there is to know about a struct type under one casing.
type structPlan struct {
	fields []structField
	exact  map[string]int // name to field
	folded map[string]int // lower-case name to field; the first one counts
}

// field finds the field of a name on the wire, of any case unless exact.
func (p *structPlan) field(name []byte, exact bool) *structField {
	if i, ok := p.exact[string(name)]; ok {
		return &p.fields[i]
	}
	if exact {
		return nil
	}
	var buf [64]byte
	if i, ok := p.folded[string(appendLower(buf[:0], name))]; ok {
		return &p.fields[i]
	}
	return nil
}

func appendLower(dst, name []byte) []byte {
	for i, c := range name {
		if c >= 0x80 {
			return append(dst, strings.ToLower(string(name[i:]))...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

type structKey struct {
	typ    reflect.Type
	casing Casing
}

// structPlans holds a *structPlan for each structKey; it grows with the types
// of the program, not with what clients send.
var structPlans sync.Map

func planOf(t reflect.Type, c Casing) *structPlan {
	key := structKey{t, c}
	if p, ok := structPlans.Load(key); ok {
		return p.(*structPlan)
	}
	plan := &structPlan{fields: fieldsOf(t, c)}
	plan.exact = make(map[string]int, len(plan.fields))
	plan.folded = make(map[string]int, len(plan.fields))
	for i, f := range plan.fields {
		plan.exact[f.name] = i
		lower := string(appendLower(nil, []byte(f.name)))
		if _, taken := plan.folded[lower]; !taken {
			plan.folded[lower] = i
		}
	}
	p, _ := structPlans.LoadOrStore(key, plan)
	return p.(*structPlan)
}

// fieldsOf lists the fields of t in the order of their declaration, by the rules
// of encoding/json: of several fields of one name the least nested counts, then
// a tagged one, and where that leaves several there is none.
func fieldsOf(t reflect.Type, c Casing) []structField {
	var all []structField
	collectFields(t, c, nil, map[reflect.Type]bool{}, &all)
	slices.SortStableFunc(all, func(a, b structField) int {
		return cmp.Or(
			strings.Compare(a.name, b.name),
			cmp.Compare(len(a.index), len(b.index)),
			cmp.Compare(boolRank(b.tagged), boolRank(a.tagged)),
		)
	})
	var chosen []structField
	for i := 0; i < len(all); {
		same := i + 1
		for same < len(all) && all[same].name == all[i].name {
			same++
		}
		ambiguous := same > i+1 && len(all[i].index) == len(all[i+1].index) && all[i].tagged == all[i+1].tagged
		if !ambiguous {
			chosen = append(chosen, all[i])
		}
		i = same
	}
	slices.SortFunc(chosen, func(a, b structField) int { return slices.Compare(a.index, b.index) })
	return chosen
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// collectFields appends the fields of t and of the structs embedded in it. open
// holds the types on the way, so that one that embeds itself ends.
func collectFields(t reflect.Type, c Casing, path []int, open map[reflect.Type]bool, all *[]structField) {
	if open[t] {
		return
	}
	open[t] = true
	defer delete(open, t)
	for i := range t.NumField() {
		sf := t.Field(i)
		inner := sf.Type
		if inner.Kind() == reflect.Pointer && inner.Name() == "" {
			inner = inner.Elem()
		}
		if !sf.IsExported() && (!sf.Anonymous || inner.Kind() != reflect.Struct) {
			continue
		}
		tag := sf.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !validName(name) {
			name = ""
		}
		index := append(slices.Clone(path), i)
		if sf.Anonymous && name == "" && inner.Kind() == reflect.Struct && !opaque(inner) {
			collectFields(inner, c, index, open, all)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		f := structField{name: name, index: index, typ: sf.Type, tagged: name != ""}
		if name == "" {
			f.name = c.apply(sf.Name)
		}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "omitempty":
				f.omitEmpty = true
			case "omitzero":
				f.omitZero = zeroTest(sf.Type)
			case "string":
				f.quoted = quotable(inner)
			}
		}
		*all = append(*all, f)
	}
}

// opaque types are written as one value though they are structs.
func opaque(t reflect.Type) bool { return t == timeType }

func validName(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return true
}

func quotable(t reflect.Type) bool {
	switch k := t.Kind(); k {
	case reflect.Bool, reflect.String:
		return true
	default:
		return k >= reflect.Int && k <= reflect.Float64
	}
}

// zeroTest asks an IsZero method where there is one.
func zeroTest(t reflect.Type) func(reflect.Value) bool {
	type zeroer interface{ IsZero() bool }
	if !t.Implements(reflect.TypeFor[zeroer]()) {
		return reflect.Value.IsZero
	}
	return func(v reflect.Value) bool {
		if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
			return true
		}
		return v.Interface().(zeroer).IsZero()
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// apply names a field that no tag names.
func (c Casing) apply(name string) string {
	if c != CamelCase {
		return name
	}
	return camelCase(name)
}

// camelCase lowers the capitals that a name begins with, but the last of
// several when a small letter follows: JsonNamingPolicy.CamelCase.
func camelCase(name string) string {
	runes := []rune(name)
	for i, r := range runes {
		if !unicode.IsUpper(r) || i > 0 && i+1 < len(runes) && !unicode.IsUpper(runes[i+1]) {
			break
		}
		runes[i] = unicode.ToLower(r)
	}
	return string(runes)
}
