package wire

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// recordedObject is the class of the recorder's method Object.
type recordedObject struct {
	Name  *string
	Value int32
}

// recordedMethods are the methods that the recorder's binder knew.
var recordedMethods = map[string][]any{
	"Echo":    {new(*string)},
	"Counter": {new(int32), new(int32)},
	"Ping":    {},
	"Count":   {new(int32)},
	"Long":    {new(int64)},
	"Double":  {new(float64)},
	"Bool":    {new(bool)},
	"Bytes":   {new([]byte)},
	"Time":    {new(time.Time)},
	"Object":  {new(*recordedObject)},
	"List":    {new([]int32)},
	"Map":     {new(map[string]int32)},
	"Any":     {new(any)},
}

// recordMessage prints m as the recorder printed the reference's messages.
func recordMessage(p Protocol, m *Message) string {
	switch m.Type {
	case Invocation, StreamInvocation:
		return recordCall(p, m)
	case StreamItem:
		var item int32
		var bind *BindError
		if err := p.DecodeValue(m.Item, &item); errors.As(err, &bind) {
			return fmt.Sprintf("StreamBindingFailure id=%s: %s", m.InvocationID, bind.Item())
		}
		return fmt.Sprintf("StreamItem id=%s item=%d", m.InvocationID, item)
	case Completion:
		return recordCompletion(p, m)
	case CancelInvocation:
		return "CancelInvocation id=" + m.InvocationID
	case Close:
		text := "null"
		if m.HasError {
			text = m.Error
		}
		return fmt.Sprintf("Close error=%s allowReconnect=%s", text, title(m.AllowReconnect))
	case Ack, Sequence:
		return fmt.Sprintf("%s %d", m.Type, m.SequenceID)
	}
	return m.Type.String()
}

func title(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func recordCall(p Protocol, m *Message) string {
	failure := func(text string) string {
		return fmt.Sprintf("InvocationBindingFailure id=%s target=%s: %s", m.InvocationID, m.Target, text)
	}
	var fault *ProtocolError
	if errors.As(m.ArgumentsErr, &fault) {
		return failure(fault.Text)
	}
	into, known := recordedMethods[m.Target]
	if !known {
		return failure("no method " + m.Target)
	}
	count := fmt.Sprintf("Invocation provides %d argument(s) but target expects %d.", len(m.Arguments), len(into))
	if len(m.Arguments) != len(into) && p.Binary() {
		return failure(count)
	}
	values := make([]any, 0, len(into))
	for i, to := range into[:min(len(into), len(m.Arguments))] {
		value := reflect.New(reflect.TypeOf(to).Elem())
		if err := p.DecodeValue(m.Arguments[i], value.Interface()); err != nil {
			return failure(BindArgumentsText)
		}
		values = append(values, value.Elem().Interface())
	}
	if len(m.Arguments) != len(into) {
		return failure(count)
	}
	text := fmt.Sprintf("%s id=%s target=%s args=%s streams=%s", m.Type, m.InvocationID, m.Target, recordJSON(values), recordJSON(m.StreamIDs))
	if m.Type == Invocation {
		text += " headers=" + recordJSON(m.Headers)
	}
	return text
}

func recordCompletion(p Protocol, m *Message) string {
	hasResult, result, text := m.HasResult, any(nil), "null"
	if m.HasError {
		text = m.Error
	}
	if m.HasResult {
		into := any(new(any))
		if m.InvocationID == "int" {
			into = new(int32)
		}
		var bind *BindError
		if err := p.DecodeValue(m.Result, into); errors.As(err, &bind) {
			hasResult, text = false, bind.Result()
		} else {
			result = reflect.ValueOf(into).Elem().Interface()
		}
	}
	return fmt.Sprintf("Completion id=%s hasResult=%s result=%s error=%s", m.InvocationID, title(hasResult), recordJSON(result), text)
}

// recordJSON prints values as the recorder did, near enough for sameParsed.
func recordJSON(v any) string {
	b, err := json.Marshal(recordable(v))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func recordable(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = recordable(v[i])
		}
		return out
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[fmt.Sprint(key)] = recordable(value)
		}
		return out
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case float64:
		if math.IsInf(v, 0) {
			return "Infinity"
		}
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return v
}

// sameParsed compares two printed messages: the words as they are, the JSON
// values in them by value, instants by instant.
func sameParsed(got, want string) bool {
	if got == want {
		return true
	}
	g, w := splitParsed(got), splitParsed(want)
	if len(g) != len(w) {
		return false
	}
	for i := range g {
		if g[i] != w[i] && !sameJSON(g[i], w[i]) {
			return false
		}
	}
	return true
}

// splitParsed cuts at the fields' names. A call has no id or an empty one: that
// is the same to us.
func splitParsed(s string) []string {
	s = strings.Replace(s, "Invocation id=null ", "Invocation id= ", 1)
	for _, name := range []string{" target=", " args=", " streams=", " headers=", " hasResult=", " result=", " error="} {
		s = strings.Replace(s, name, "\x00"+name+"\x00", 1)
	}
	return strings.Split(s, "\x00")
}

func sameJSON(a, b string) bool {
	var va, vb any
	if json.Unmarshal([]byte(a), &va) != nil || json.Unmarshal([]byte(b), &vb) != nil {
		return false
	}
	return reflect.DeepEqual(instants(va), instants(vb))
}

// instants replaces date strings by what they say in UTC; those without a zone
// were recorded in UTC.
func instants(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = instants(v[i])
		}
	case string:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
			if at, err := time.Parse(layout, v); err == nil {
				return at.UTC().Format(time.RFC3339Nano)
			}
		}
	}
	return v
}
