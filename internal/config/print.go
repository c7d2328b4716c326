package config

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Setting is one setting that is in force, as text.
type Setting struct {
	Path   string
	Value  string // secrets blotted out
	Source Source
}

// Settings are all settings in force, in the order of Config.
func (c *Config) Settings() []Setting {
	var out []Setting
	copied := *c
	for _, f := range ordered(&copied) {
		from, ok := c.origins[fold(f.path)]
		if !ok {
			from = Source{Kind: "default"}
		}
		out = append(out, Setting{Path: f.path, Value: show(f), Source: from})
	}
	return out
}

// Print writes what is in force and where each value came from.
func (c *Config) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range c.Settings() {
		if _, err := fmt.Fprintf(t, "%s\t%s\t(%s)\n", s.Path, s.Value, s.Source); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(c.Foreign) > 0 {
		if _, err := fmt.Fprintf(w, "\nNot used by Conduit: %s\n", strings.Join(c.Foreign, ", ")); err != nil {
			return err
		}
	}
	for _, s := range c.Warnings {
		if _, err := fmt.Fprintf(w, "\nNote: %s.\n", s); err != nil {
			return err
		}
	}
	return nil
}

// ordered lists the fields in the order of their declaration.
func ordered(c *Config) []field {
	byPath := fieldsOf(c)
	var out []field
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for i := range t.NumField() {
			name := t.Field(i).Tag.Get("name")
			if name == "" {
				name = t.Field(i).Name
			}
			if f, ok := byPath[fold(prefix+name)]; ok {
				out = append(out, f)
			} else if t.Field(i).Type.Kind() == reflect.Struct && t.Field(i).IsExported() {
				walk(t.Field(i).Type, prefix+name+":")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return out
}

// show writes a value as one would write it in the file.
func show(f field) string {
	switch v := f.value.Interface().(type) {
	case time.Duration:
		return strconv.Quote(FormatTimeSpan(v))
	case []string:
		quotedItems := make([]string, len(v))
		for i, s := range v {
			quotedItems[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quotedItems, ", ") + "]"
	case int64:
		if f.tag.Get("null") == strconv.FormatInt(v, 10) {
			return "null"
		}
		return strconv.FormatInt(v, 10)
	case string:
		return quoted(f.path, v)
	default:
		return fmt.Sprint(v)
	}
}
