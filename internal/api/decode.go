package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxBody  = 1 << 20  // bytes (rest-api B.2)
	maxDrain = 16 << 20 // bytes of a body that is too large which are read all the same
	maxDepth = 32       // nested arrays and objects in a body
)

// object is a JSON object as it was sent: each name once, values not looked
// at yet.
type object struct {
	names  []string // in the body's order
	values map[string]json.RawMessage
}

// readObject reads the JSON object in r's body. What is wrong with the body as
// a whole is said with line and column.
func readObject(w http.ResponseWriter, r *http.Request, timeout time.Duration) (object, error) {
	if err := checkContentType(r.Header); err != nil {
		return object{}, err
	}
	if r.ContentLength > maxBody && r.Header.Get("Expect") != "" {
		return object{}, tooLarge() // asked before it was sent
	}
	// Writers of other servers and of tests know no deadlines; those go without.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(timeout))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case len(body) > maxBody:
		// Many clients send all before they read: they would see a broken
		// connection instead of the answer.
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		return object{}, tooLarge()
	case err != nil:
		return object{}, &problem{Status: http.StatusBadRequest, Code: "invalid_request", Message: "The body ended too early or came too slowly."}
	}
	_ = control.SetReadDeadline(time.Time{})
	return parseObject(body)
}

func tooLarge() *problem {
	return &problem{Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large",
		Message: fmt.Sprintf("The body is larger than %d bytes.", maxBody)}
}

func checkContentType(h http.Header) error {
	refuse := func(what string) error {
		return &problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type",
			Message: what + " Send JSON in UTF-8, with Content-Type: application/json."}
	}
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return refuse("Encoded bodies are not read.")
	}
	given := h.Get("Content-Type")
	if given == "" {
		return refuse("There is no Content-Type.")
	}
	mediaType, params, err := mime.ParseMediaType(given)
	if err != nil || mediaType != "application/json" {
		return refuse("The Content-Type is not JSON.")
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "utf8") {
		return refuse("The charset is not UTF-8.")
	}
	return nil
}

// parseObject checks body and takes it apart. It accepts exactly one JSON
// object in UTF-8, without a name twice, nested at most maxDepth deep.
func parseObject(body []byte) (object, error) {
	at := func(offset int, format string, args ...any) error {
		line := 1 + bytes.Count(body[:offset], []byte{'\n'})
		column := 1 + utf8.RuneCount(body[bytes.LastIndexByte(body[:offset], '\n')+1:offset])
		return badRequest("", "The body is no usable JSON: %s, at line %d, column %d.", fmt.Sprintf(format, args...), line, column)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return object{}, badRequest("", "The body is empty. A JSON object is expected.")
	}
	if i := firstInvalidUTF8(body); i >= 0 {
		return object{}, at(i, "a byte that is not UTF-8")
	}
	if i := tooDeep(body, maxDepth); i >= 0 {
		return object{}, at(i, "nested deeper than %d levels", maxDepth)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) {
			return object{}, badRequest("", "The body is no usable JSON.")
		}
		offset := min(max(int(syntax.Offset)-1, 0), len(body))
		if strings.HasPrefix(syntax.Error(), "unexpected end") {
			return object{}, at(len(body), "it ends too early")
		}
		return object{}, at(offset, "%s", syntax.Error())
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return object{}, badRequest("", "The body is JSON, but no object.")
	}
	o := object{values: map[string]json.RawMessage{}}
	for d.More() {
		before := int(d.InputOffset())
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return object{}, at(before, "a name is expected")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return object{}, at(before, "a value is expected")
		}
		if _, twice := o.values[name]; twice {
			e := badRequest(shown(name), "'%s' is given twice.", shown(name))
			return object{}, e
		}
		o.names = append(o.names, name)
		o.values[name] = value
	}
	return o, nil
}

func firstInvalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// tooDeep returns where body nests deeper than limit, or -1. Strings are
// passed over; whether the rest is JSON at all is not its business.
func tooDeep(body []byte, limit int) int {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

// shown is foreign text cut to what fits into a message.
func shown(s string) string {
	const most = 64
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

// given reports whether the body says anything about name; null counts as
// left out.
func (o object) given(name string) bool {
	v, ok := o.values[name]
	return ok && string(v) != "null"
}

// text returns the string of name, "" when it was left out. Longer than most
// characters is an error.
func (o object) text(name string, most int) (string, error) {
	if !o.given(name) {
		return "", nil
	}
	raw := o.values[name]
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", badRequest(name, "'%s' must be a string.", name)
	}
	if loneSurrogate(raw) {
		return "", badRequest(name, "'%s' contains half of a surrogate pair.", name)
	}
	if strings.ContainsRune(s, 0) {
		return "", badRequest(name, "'%s' contains a NUL character.", name)
	}
	if n := utf8.RuneCountInString(s); n > most {
		return "", badRequest(name, "'%s' has %d characters; at most %d are allowed.", name, n, most)
	}
	return s, nil
}

// loneSurrogate reports whether a valid JSON string has an escape of half a
// pair, which Unmarshal would quietly replace.
func loneSurrogate(raw []byte) bool {
	unit := func(i int) (rune, bool) { // the \uXXXX at i
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
		return rune(n), err == nil
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		u, ok := unit(i)
		switch {
		case !ok:
			i++
		case u >= 0xDC00 && u <= 0xDFFF:
			return true
		case u >= 0xD800 && u <= 0xDBFF:
			if low, ok := unit(i + 6); !ok || low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

// integer returns the whole number of name, and fallback when it was left out.
func (o object) integer(name string, least, most, fallback int64) (int64, error) {
	if !o.given(name) {
		return fallback, nil
	}
	raw := string(o.values[name])
	n, err := strconv.ParseInt(raw, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && (n < least || n > most):
		return 0, badRequest(name, "'%s' must be a whole number from %d to %d.", name, least, most)
	case err != nil:
		return 0, badRequest(name, "'%s' must be a whole number, not %s.", name, kindOf(raw))
	}
	return n, nil
}

func kindOf(raw string) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	}
	return "a fraction or a number with an exponent"
}
