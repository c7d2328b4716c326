package server

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// route is a line of the REST surface, or a hub's negotiation.
type route struct {
	method, path string // with a task's id as {id}
	scope        string // "anyKey": each will do
}

// routes are all that need a key, as package api and the server list them.
func (r *running) routes() (all []route) {
	r.t.Helper()
	source, err := os.ReadFile("../api/routes.go")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\{"([A-Z]+) (/v1/[^"]*)", (\w+),`).FindAllStringSubmatch(string(source), -1) {
		if m[3] != "nil" {
			all = append(all, route{m[1], strings.Replace(m[2], "{id...}", "local-video", 1), m[3]})
		}
	}
	if len(all) < 15 {
		r.t.Fatalf("only %d routes were found", len(all))
	}
	for _, hub := range r.hubs.All() {
		scope, _, _ := strings.Cut(hub.Name(), "-")
		all = append(all, route{"POST", "/hubs/" + hub.Name() + "/negotiate?negotiateVersion=1", scope})
	}
	return all
}

// Who may not, may not anywhere: a new route is asked here by itself.
func TestStrangersOnEveryRoute(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), `{}`)
	k, err := OpenKeys(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	create := func(name string, expires time.Time, scopes ...string) (id, bearer string) {
		info, secret, err := k.Create(t.Context(), name, scopes, expires)
		if err != nil {
			t.Fatal(err)
		}
		return info.ID, "Authorization: Bearer " + secret
	}
	id, revoked := create("revoked", time.Time{})
	if _, err := k.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	_, expired := create("expired", time.Now().Add(200*time.Millisecond))
	_, nothing := create("admin only", time.Time{}, "admin")
	_, neighbour := create("neighbour", time.Time{}, "video", "image")
	for _, bearer := range []string{revoked, expired} {
		eventually(t, "the key's end", func() bool {
			resp, _ := r.call("GET", "/v1/models", "", bearer)
			return resp.StatusCode == 401
		})
	}
	signedIn, _ := r.call("POST", "/console/session", `{"key":"`+r.key()+`"}`)
	cookie := "Cookie: " + signedIn.Cookies()[0].Name + "=" + signedIn.Cookies()[0].Value

	own := "Authorization: Bearer " + r.key()
	_, accepted := r.call("POST", "/v1/videos/generations/async", `{"prompt":"mine","size":"16x16","duration":1,"fps":1}`, own)
	taskID := regexp.MustCompile(`task_[0-9a-f]{32}`).FindString(accepted)
	if taskID == "" {
		t.Fatal(accepted)
	}
	ask := func(x route, id string, headers ...string) (status int, body string) {
		body = ""
		if x.method == "POST" && !strings.Contains(x.path, "{id}") {
			body = `{"prompt":"not mine"}`
		}
		resp, answer := r.call(x.method, strings.Replace(x.path, "{id}", id, 1), body, headers...)
		return resp.StatusCode, answer
	}
	for _, x := range r.routes() {
		t.Run(x.method+" "+x.path, func(t *testing.T) {
			for what, headers := range map[string][]string{
				"nobody":                  nil,
				"a wrong key":             {"Authorization: Bearer condt_" + strings.Repeat("A", 43)},
				"no key at all":           {"Authorization: Bearer nonsense"},
				"a revoked key":           {revoked},
				"an expired key":          {expired},
				"a page of another port":  {cookie, "Origin: http://127.0.0.1:1"},
				"a page without a name":   {cookie, "Origin: null"},
				"a revoked key in a page": {cookie, "Origin: " + r.URL(), revoked},
			} {
				status, body := ask(x, taskID, headers...)
				var e struct {
					Error struct{ Message, Code string }
				}
				if err := json.Unmarshal([]byte(body), &e); status != 401 || err != nil || e.Error.Message == "" || e.Error.Code == "" {
					t.Errorf("%s: %d %s", what, status, body)
				}
				if _, secret, ok := strings.Cut(strings.Join(headers, " "), "condt_"); ok && strings.Contains(body, secret) {
					t.Errorf("%s is told its key: %s", what, body)
				}
			}
			lacking := nothing
			if x.scope == "admin" {
				lacking = own
			}
			if status, body := ask(x, taskID, lacking); x.scope != "anyKey" && (status != 403 || !strings.Contains(body, "insufficient_scope")) {
				t.Errorf("without the scope: %d %s", status, body)
			}
			if strings.Contains(x.path, "{id}") {
				status, foreign := ask(x, taskID, neighbour)
				_, unknown := ask(x, "task_"+strings.Repeat("0", 32), neighbour)
				if status != 404 || foreign != unknown {
					t.Errorf("a foreign task: %d %s, an unknown one: %s", status, foreign, unknown)
				}
			}
		})
	}
	if _, list := r.call("GET", "/v1/tasks", "", own); strings.Count(list, `"task_id"`) != 1 || strings.Contains(list, "not mine") {
		t.Errorf("something was made: %s", list)
	}
	if strings.Contains(r.log.String(), "condt_") {
		t.Error("a key is in the log")
	}
}
