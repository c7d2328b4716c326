package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// FileName is the settings file that is read from the working directory.
const FileName = "appsettings.json"

// prefix is a section that every setting may stand under, too: Conduit:Urls
// is Urls. It keeps names in the environment apart from those of others.
const prefix = "conduit"

// LoadOptions say where settings come from.
type LoadOptions struct {
	// File is the settings file; "" takes FileName in the working directory,
	// where it may be missing.
	File string

	// Environ is the environment as os.Environ gives it; nil takes that.
	Environ []string

	// Flags are values by path ("SignalR:KeepAliveInterval", folding case),
	// with the flag that gave each one.
	Flags []Flag
}

// Flag is a value from the command line.
type Flag struct{ Name, Path, Value string }

// Load reads the settings: defaults, then the file, the environment and the
// flags, each above the one before. The error names every setting that is
// unknown or impossible, with its place, its value, and what is allowed.
func Load(o LoadOptions) (*Config, error) {
	name, optional := o.File, false
	if name == "" {
		name, optional = FileName, true
	}
	file, found, err := readFile(name, optional)
	if err != nil {
		return nil, err
	}
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	c := Default()
	fields := fieldsOf(&c)
	section := func(top string) bool {
		_, ok := fields[top]
		return !ok && (hasSection(fields, top) || top == prefix)
	}
	env, err := readEnvironment(environ, section, func(top string) bool { _, ok := fields[top]; return ok })
	errs := []error{err}
	settings := slices.Concat(file, env)
	for _, f := range o.Flags {
		settings = append(settings, setting{path: strings.Split(f.Path, ":"), value: f.Value,
			from: Source{Kind: "flag", Name: f.Name}})
	}
	if found {
		c.File = name
	}
	errs = append(errs, c.apply(fields, settings))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	return &c, nil
}

// field is one setting of Config.
type field struct {
	path  string // as documented: "SignalR:KeepAliveInterval"
	value reflect.Value
	tag   reflect.StructTag
}

func (f field) list() bool { return f.value.Kind() == reflect.Slice }

// fieldsOf maps folded paths to the fields of c.
func fieldsOf(c *Config) map[string]field {
	out := map[string]field{}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			t := v.Type().Field(i)
			name := t.Tag.Get("name")
			if !t.IsExported() || name == "-" {
				continue
			}
			if name == "" {
				name = t.Name
			}
			if t.Type.Kind() == reflect.Struct {
				walk(v.Field(i), prefix+name+":")
				continue
			}
			out[fold(prefix+name)] = field{path: prefix + name, value: v.Field(i), tag: t.Tag}
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	return out
}

func hasSection(fields map[string]field, top string) bool {
	for k := range fields {
		if strings.HasPrefix(k, top+":") {
			return true
		}
	}
	return false
}

// apply writes settings, the later above the earlier, into the fields.
func (c *Config) apply(fields map[string]field, settings []setting) error {
	var errs []error
	c.origins = map[string]Source{}
	lists := map[string]map[int]setting{}
	for _, s := range settings {
		f, index, err := resolve(fields, s)
		switch {
		case errors.Is(err, errEmpty):
			continue
		case errors.Is(err, errForeign):
			if !slices.Contains(c.Foreign, s.path[0]) {
				c.Foreign = append(c.Foreign, s.path[0])
				if near := nearestTop(fields, fold(s.path[0])); near != "" {
					c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s is not used; did you mean %s?", s.from, s.path[0], near))
				}
			}
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		case s.null && f.tag.Get("null") == "":
			continue // .NET binds nothing; the default stays
		}
		key := fold(f.path)
		if index >= 0 {
			if lists[key] == nil || lists[key][-1].path != nil {
				lists[key] = map[int]setting{}
			}
			lists[key][index] = s
			c.origins[key] = s.from
			continue
		}
		if f.list() {
			lists[key] = map[int]setting{-1: s}
			c.origins[key] = s.from
			continue
		}
		if err := set(f, s); err != nil {
			errs = append(errs, err)
			continue
		}
		c.origins[key] = s.from
	}
	for _, key := range slices.Sorted(maps.Keys(lists)) {
		if err := setList(fields[key], lists[key]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

var (
	errForeign = errors.New("config: not ours")
	errEmpty   = errors.New("config: a section that says nothing")
)

// resolve finds the field that s is for; index is its place in a list, -1
// for none.
func resolve(fields map[string]field, s setting) (f field, index int, err error) {
	own := fold(s.path[0]) == prefix
	if own && len(s.path) > 1 {
		s.path = s.path[1:]
	}
	if f, ok := fields[s.key()]; ok {
		return f, -1, nil
	}
	top := fold(s.path[0])
	single, isValue := fields[top]
	if !isValue && !hasSection(fields, top) {
		if s.from.Kind == "flag" || own {
			return field{}, 0, unknown(fields, s)
		}
		return field{}, 0, errForeign
	}
	last := len(s.path) - 1
	parent := setting{path: s.path[:last]}
	if f, ok := fields[parent.key()]; ok && last > 0 {
		if n, err := strconv.Atoi(s.path[last]); err == nil && f.list() && n >= 0 && n < 1000 {
			return f, n, nil
		}
	}
	switch {
	case isValue:
		return field{}, 0, fmt.Errorf("%s: %s is a single value, not a section", s.from, single.path)
	case len(s.path) == 1 && (s.null || s.list):
		return field{}, 0, errEmpty
	case len(s.path) == 1:
		return field{}, 0, fmt.Errorf("%s: %s is a section, not a value; it holds %s", s.from, s.name(), known(fields, top))
	}
	return field{}, 0, unknown(fields, s)
}

func unknown(fields map[string]field, s setting) error {
	text := fmt.Sprintf("%s: unknown setting %s = %s", s.from, s.name(), quoted(s.name(), s.value))
	if near := nearest(fields, s.key()); near != "" {
		text += "; did you mean " + near + "?"
	}
	if names := known(fields, fold(s.path[0])); names != "" {
		text += " (section " + s.path[0] + " holds " + names + ")"
	}
	return errors.New(text)
}

func known(fields map[string]field, top string) string {
	var names []string
	for k, f := range fields {
		if strings.HasPrefix(k, top+":") {
			names = append(names, f.path[len(top)+1:])
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// maxMisspelt is the length in bytes beyond which a name is no misspelling.
const maxMisspelt = 200

// nearest is the documented path that key is most likely a misspelling of.
func nearest(fields map[string]field, key string) string {
	if len(key) > maxMisspelt {
		return ""
	}
	best, distance := "", 1+max(2, len(key)/5)
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if d := levenshtein.ComputeDistance(k, key); d < distance {
			best, distance = fields[k].path, d
		}
	}
	return best
}

// nearestTop is the top-level name of ours that top, which is none, is most
// likely a misspelling of.
func nearestTop(fields map[string]field, top string) string {
	if len(top) > maxMisspelt {
		return ""
	}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		own, _, _ := strings.Cut(k, ":")
		if levenshtein.ComputeDistance(own, top) <= len(own)/4 {
			name, _, _ := strings.Cut(fields[k].path, ":")
			return name
		}
	}
	return ""
}

// set parses s into f.
func set(f field, s setting) error {
	bad := func(allowed string) error {
		return fmt.Errorf("%s: %s = %s is impossible; %s", s.from, f.path, quoted(f.path, s.value), allowed)
	}
	if s.list {
		return bad("it is a single value, not a list")
	}
	if s.null {
		n, _ := strconv.ParseInt(f.tag.Get("null"), 10, 64)
		f.value.SetInt(n)
		return nil
	}
	text := strings.TrimSpace(s.value)
	switch f.value.Interface().(type) {
	case bool:
		b, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil || len(text) < 4 { // .NET takes true and false only
			return bad("write true or false")
		}
		f.value.SetBool(b)
	case time.Duration:
		d, err := ParseTimeSpan(text)
		if err != nil {
			return bad(strings.TrimPrefix(err.Error(), strconv.Quote(text)+" is ") + ", " + bounds(f))
		}
		low, high := limits(f)
		if d < low || d > high {
			hint := bounds(f)
			if _, err := strconv.Atoi(text); err == nil {
				hint += "; a lone number is days, 15 seconds are 00:00:15"
			}
			return bad(hint)
		}
		f.value.SetInt(int64(d))
	case int, int64:
		n, err := strconv.ParseInt(text, 10, 64)
		low, _ := strconv.ParseInt(f.tag.Get("min"), 10, 64)
		high, _ := strconv.ParseInt(f.tag.Get("max"), 10, 64)
		if err != nil || n < low || n > high {
			return bad("write a whole number " + bounds(f))
		}
		f.value.SetInt(n)
	case string:
		if why := check(f, text); why != "" {
			return bad(why)
		}
		if f.tag.Get("enum") != "" {
			text = strings.ToLower(text)
		}
		f.value.SetString(text)
	}
	return nil
}

// setList puts the items of a list, by index or as one text with semicolons
// or commas, into f.
func setList(f field, items map[int]setting) error {
	var out []string
	var from setting
	for _, i := range slices.Sorted(maps.Keys(items)) {
		from = items[i]
		if i >= 0 {
			out = append(out, strings.TrimSpace(from.value))
			continue
		}
		for _, v := range strings.FieldsFunc(from.value, func(r rune) bool { return r == ';' || r == ',' }) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	for _, v := range out {
		if why := check(f, v); why != "" {
			return fmt.Errorf("%s: %s = %q is impossible; %s", from.from, f.path, v, why)
		}
	}
	f.value.Set(reflect.ValueOf(out))
	return nil
}

func limits(f field) (low, high time.Duration) {
	low, _ = ParseTimeSpan(f.tag.Get("min"))
	high, _ = ParseTimeSpan(f.tag.Get("max"))
	return low, high
}

// bounds tells what is allowed, for people.
func bounds(f field) string {
	if f.tag.Get("min") == "" {
		return ""
	}
	text := "from " + f.tag.Get("min") + " to " + f.tag.Get("max")
	if f.tag.Get("null") != "" {
		text += ", or null for no limit"
	}
	return text
}

// finish makes what the settings imply, and finds what is doubtful.
func (c *Config) finish() error {
	text, path := c.ConnectionStrings.Redis, "ConnectionStrings:Redis"
	if other := c.Redis.Configuration; text == "" {
		text, path = other, "Redis:Configuration"
	} else if other != "" && other != text {
		c.Warnings = append(c.Warnings, "ConnectionStrings:Redis and Redis:Configuration differ; ConnectionStrings:Redis counts")
	}
	if text != "" {
		r, err := ParseRedis(text)
		if err != nil {
			return fmt.Errorf("%s: %s is impossible; %w", c.Origin(path), path, err)
		}
		c.redis = &r
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err == nil {
			c.PublicURL = strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host)
		}
	}
	if c.ServesHTTPS() && (c.HTTPS.Certificate == "" || c.HTTPS.Key == "") {
		return fmt.Errorf("%s: Urls = %q needs a certificate; set Https:Certificate and Https:Key to PEM files, or put a proxy in front that ends TLS and set PublicUrl", c.Origin("Urls"), c.URLs)
	}
	s := c.SignalR
	if s.ClientTimeoutInterval < 2*clientKeepAlive {
		c.Warnings = append(c.Warnings, fmt.Sprintf(
			"SignalR:ClientTimeoutInterval is %s; official clients ping every 15 s, so below 00:00:30 a single late ping ends a connection",
			FormatTimeSpan(s.ClientTimeoutInterval)))
	}
	if s.KeepAliveInterval > maxUntoldKeepAlive {
		c.Warnings = append(c.Warnings, fmt.Sprintf(
			"SignalR:KeepAliveInterval is %s; Conduit's hubs ping at least every 20 s all the same, unless the client tells a longer server timeout (?serverTimeout=milliseconds), because official clients hang up after 30 s of silence",
			FormatTimeSpan(s.KeepAliveInterval)))
	}
	if s.EnableDetailedErrors {
		c.Warnings = append(c.Warnings, "SignalR:EnableDetailedErrors is on; clients see the text of unexpected errors")
	}
	if s.EnableMessageTracing && c.Log.Level != "debug" {
		c.Warnings = append(c.Warnings, "SignalR:EnableMessageTracing is on, but Log:Level is "+c.Log.Level+"; messages are logged at debug")
	}
	return nil
}
