package api

import (
	"reflect"
	"testing"
)

// Every field that a request may have is described, and no other.
func TestDescribe(t *testing.T) {
	used := map[string]bool{}
	for _, r := range Describe().Requests {
		for _, f := range r.Fields {
			used[f.Name] = true
			if f.Doc == "" || f.Type != reflect.String && f.Type != reflect.Int {
				t.Errorf("%s of %s requests is not described", f.Name, r.Kind)
			}
		}
	}
	for name := range fieldDocs {
		if !used[name] {
			t.Errorf("%s is described and in no request", name)
		}
	}
}
