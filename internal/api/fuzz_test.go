package api

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// Whatever comes in, the answer is a request that holds every limit, or a
// problem that can be shown.
func FuzzCreate(f *testing.F) {
	for _, s := range []string{`{"prompt":"a paper boat"}`, `{"prompt":"a","model":"local-video","size":"640x360","duration":5,"fps":24,"seed":-7,"n":1,"response_format":"url","user":"u","timeout_seconds":60}`,
		`{"prompt":"\ud83d\udea3"}`, `{"prompt":"\ud83d"}`, `{"prompt":"a","promt":1}`, `{"a":{"b":[1,2,{}]}}`, `[]`, `{"prompt":"a","prompt":"b"}`, "{\"prompt\":\"\xff\"}", "{", ""} {
		f.Add([]byte(s))
	}
	catalog := testCatalog(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseObject(body)
		if err == nil {
			if !json.Valid(body) || !utf8.Valid(body) {
				t.Fatalf("accepted %q", body)
			}
			var q task.Request
			if q, err = parseCreate(o, provider.Video, catalog); err == nil {
				if !utf8.ValidString(q.Prompt) || q.Prompt == "" || utf8.RuneCountInString(q.Prompt) > maxPrompt || q.Width < 16 || q.Width > 1920 ||
					q.Height%2 != 0 || q.Duration < 1 || q.Duration > 60 || q.FPS < 1 || q.FPS > 60 || q.N != 1 || q.RequestHash == "" || q.ResponseFormat != "url" {
					t.Fatalf("%q became %+v", body, q)
				}
				return
			}
		}
		var p *problem
		if !errors.As(err, &p) || p.Status < 400 || p.Status >= 500 || p.Message == "" || !utf8.ValidString(p.Message) || len(p.Message) > 1000 {
			t.Fatalf("%q: %v", body, err)
		}
	})
}

func FuzzListQuery(f *testing.F) {
	for _, s := range []string{"", "limit=5", "limit=5&after=" + idA, "status=queued,running&status=timedout", "kind=image", "%zz", "a;b", "limit=-1", "Limit=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := parseList(query)
		if err != nil {
			var p *problem
			if !errors.As(err, &p) || p.Status != 400 || !utf8.ValidString(p.Message) {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		if q.Limit < 1 || q.Limit > 100 || len(q.States) > len(states) {
			t.Fatalf("%q became %+v", query, q)
		}
	})
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"example.com", "[::1]:5000", "a:b:c", "[", "]", ":", "a@b", "127.0.0.1:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !validHost(host) {
			return
		}
		for _, c := range host {
			if c <= ' ' || c > '~' || c == '/' || c == '@' || c == '?' || c == '#' || c == '\\' {
				t.Fatalf("accepted %q", host)
			}
		}
	})
}
