package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

var errFake = errors.New("secret detail of the database")

// taskRoutes are all routes that name a task, with what they answer for a
// pending video task of one's own ("v") or image task ("i").
var taskRoutes = []struct {
	method, path string
	kind         task.Kind // "" both
	ok           int
}{
	{"GET", "/v1/videos/generations/tasks/{id}", task.Video, 200},
	{"DELETE", "/v1/videos/generations/tasks/{id}", task.Video, 204},
	{"DELETE", "/v1/videos/generations/{id}", task.Video, 204},
	{"POST", "/v1/videos/generations/tasks/{id}/retry", task.Video, 400},
	{"GET", "/v1/images/generations/{id}/status", task.Image, 200},
	{"DELETE", "/v1/images/generations/{id}", task.Image, 204},
	{"POST", "/v1/images/generations/{id}/retry", task.Image, 400},
	{"GET", "/v1/tasks/{id}", "", 200},
	{"POST", "/v1/tasks/{id}/cancel", "", 200},
	{"HEAD", "/v1/tasks/{id}/events", "", 200},
}

func TestWhoMaySeeATask(t *testing.T) {
	for _, route := range taskRoutes {
		t.Run(route.method+" "+route.path, func(t *testing.T) {
			at := func(id string) string { return strings.Replace(route.path, "{id}", id, 1) }
			kinds := []task.Kind{route.kind}
			if route.kind == "" {
				kinds = []task.Kind{task.Video, task.Image}
			}
			for _, kind := range kinds {
				fresh := func() *bench {
					b := newBench(t)
					b.tasks.add("mine", idA, kind)
					return b
				}
				if w := fresh().call(route.method, at(idA), ""); w.Code != route.ok {
					t.Errorf("%s: own task: %d %s", kind, w.Code, w.Body)
				}
				if w := fresh().call(route.method, at("video_"+strings.TrimPrefix(idA, "task_")), ""); w.Code != route.ok {
					t.Errorf("%s: own task by its other name: %d %s", kind, w.Code, w.Body)
				}
				// A foreign task and one that never was: one and the same answer.
				b := fresh()
				foreign, unknown := b.call(route.method, at(idA), "", "Authorization", "Bearer other"), b.call(route.method, at(idB), "", "Authorization", "Bearer other")
				wantProblem(t, foreign, 404, "task_not_found", "id")
				if foreign.Body.String() != unknown.Body.String() {
					t.Errorf("foreign %s, unknown %s", foreign.Body, unknown.Body)
				}
				if got := b.tasks.tasks[idA].State; got != task.Pending {
					t.Errorf("a foreign request made it %s", got)
				}
				for _, odd := range []string{"x", "%00", "task_%ff", strings.Repeat("a", 5000), "task_" + strings.Repeat("A", 32), "..%2f.."} {
					wantProblem(t, b.call(route.method, at(odd), ""), 404, "task_not_found", "id")
				}
				wantProblem(t, b.call(route.method, at(idA), "", "Authorization", "Bearer nav"), 403, "insufficient_scope", "")
				wantProblem(t, b.call(route.method, at(idA), "", "Authorization", ""), 401, "invalid_api_key", "")
				wrong := map[task.Kind]string{task.Video: "image", task.Image: "video"}[kind]
				wantProblem(t, b.call(route.method, at(idA), "", "Authorization", "Bearer "+wrong), 403, "insufficient_scope", "")
				b.tasks.err = task.ErrUnavailable
				wantProblem(t, b.call(route.method, at(idA), ""), 503, "service_unavailable", "")
				b.tasks.err = errFake
				wantProblem(t, b.call(route.method, at(idA), ""), 500, "internal_error", "")
			}
			if route.kind == "" {
				return
			}
			other := task.Image
			if route.kind == task.Image {
				other = task.Video
			}
			b := newBench(t)
			b.tasks.add("mine", idA, other)
			wantProblem(t, b.call(route.method, at(idA), ""), 404, "task_not_found", "id")
		})
	}
}

func TestCredentialForOneTask(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idA, task.Video)
	b.tasks.add("mine", idB, task.Video)
	only := []string{"Authorization", "Bearer onlyA"}
	if w := b.call("GET", "/v1/tasks/"+idA, "", only...); w.Code != 200 {
		t.Errorf("its task: %d", w.Code)
	}
	wantProblem(t, b.call("GET", "/v1/tasks/"+idB, "", only...), 404, "task_not_found", "id")
	wantProblem(t, b.call("GET", "/v1/tasks", "", only...), 403, "insufficient_scope", "")
	wantProblem(t, b.call("POST", createPath, `{"prompt":"a"}`, only...), 403, "insufficient_scope", "")
	wantProblem(t, b.call("POST", "/v1/videos/generations/tasks/"+idA+"/retry", "", only...), 403, "insufficient_scope", "")
}

func TestUnknownPathsAndMethods(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/v1", "/v1/", "/v1/nothing", "/v1/tasks/a/b/c", "/v1/videos", "/v1/models/", "/v1/media/"} {
		w := b.call("GET", path, "")
		if path == "/v1/models/" { // the model without a name
			wantProblem(t, w, 404, "model_not_found", "model")
			continue
		}
		if path == "/v1/media/" {
			wantProblem(t, w, 403, "invalid_media_link", "")
			continue
		}
		wantProblem(t, w, 404, "not_found", "")
	}
	for path, allow := range map[string]string{
		createPath:                            "DELETE, POST", // async could be an id
		"/v1/tasks":                           "GET, HEAD",
		"/v1/videos/generations/tasks/" + idA: "DELETE, GET, HEAD",
		"/v1/tasks/" + idA + "/cancel":        "POST",
	} {
		w := b.call("PATCH", path, "")
		wantProblem(t, w, 405, "method_not_allowed", "")
		if got := w.Header().Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", path, got, allow)
		}
	}
}

func TestOddHosts(t *testing.T) {
	b := newBench(t)
	for _, host := range []string{"a b", "evil.example/path", "user@evil.example", "evil.example:99999", "evil.example:0", "evil.example:x",
		"[::1", "::1", "a..b", "-a", "ä.example", "a?b", "a#b", "[1.2.3.4]", "[fe80::1%25eth0]", strings.Repeat("a", 64) + ".example", "a:80:80", ":80"} {
		wantProblem(t, b.call("POST", createPath, `{"prompt":"a"}`, "Host", host), 400, "invalid_request", "")
	}
	for host, want := range map[string]string{"127.0.0.1:5000": "http://127.0.0.1:5000", "[::1]:5000": "http://[::1]:5000", "[::1]": "http://[::1]",
		"under_score.example": "http://under_score.example", "example.com:80": "http://example.com"} {
		if got := decode[acceptedView](t, b.call("POST", createPath, `{"prompt":"a"}`, "Host", host), 202); !strings.HasPrefix(got.EventsURL, want+"/v1/") {
			t.Errorf("%s: %s", host, got.EventsURL)
		}
	}
}

func TestPublicURL(t *testing.T) {
	b := newBench(t, func(o *Options) { o.PublicURL = "https://media.example/" })
	got := decode[acceptedView](t, b.call("POST", createPath, `{"prompt":"a"}`), 202)
	if want := "https://media.example/v1/tasks/" + idA + "/events"; got.EventsURL != want {
		t.Errorf("got %s, want %s", got.EventsURL, want)
	}
	b.tasks.add("mine", idB, task.Video)
	b.tasks.happen(idB, task.EventCompleted, 100, true)
	if v := decode[taskView](t, b.call("GET", "/v1/tasks/"+idB, ""), 200); !strings.HasPrefix(v.Result.Data[0].URL, "https://media.example/v1/media/"+idB+"/0.webm?exp=") {
		t.Error(v.Result.Data[0].URL)
	}
}

func TestStatusShowsEveryKey(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idA, task.Video)
	keys := []string{"task_id", "kind", "model", "status", "progress", "progress_source", "queue_position", "message", "current_frame",
		"total_frames", "estimated_time_to_completion", "attempt", "created_at", "started_at", "updated_at", "completed_at", "error",
		"error_detail", "result", "sequence", "prompt", "size", "duration", "fps", "seed", "n", "user", "retry_of"}
	slices.Sort(keys)
	m := decode[map[string]json.RawMessage](t, b.call("GET", "/v1/videos/generations/tasks/"+idA, ""), 200)
	var got []string
	for k := range m {
		got = append(got, k)
	}
	slices.Sort(got)
	if !slices.Equal(got, keys) {
		t.Errorf("got %v\nwant %v", got, keys)
	}
	if string(m["created_at"]) != `"2026-11-22T10:00:00Z"` || string(m["result"]) != "null" || string(m["error"]) != "null" {
		t.Errorf("got %s", m)
	}
	b.tasks.happen(idA, task.EventStarted, 0, true)
	b.tasks.happen(idA, task.EventCompleted, 100, true)
	v := decode[taskView](t, b.call("GET", "/v1/tasks/"+idA, ""), 200)
	if v.Status != task.Completed || v.Progress != 100 || v.Sequence != 3 || v.Result == nil || v.Result.Usage.VideosGenerated == nil {
		t.Errorf("got %+v", v)
	}
	if d := v.Result.Data[0].Metadata; *d.Bitrate != 1600 || *d.Codec != "vp8" || d.AudioCodec != nil || d.MimeType != "video/webm" {
		t.Errorf("got %+v", d)
	}
}

// A task that waits is told what its work takes, however long it has waited.
func TestEstimate(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idA, task.Video)
	x := b.tasks.tasks[idA]
	end := x.CreatedAt.Add(7 * time.Second)
	x.EstimatedEnd = &end
	b.tasks.tasks[idA] = x
	estimate := func() *int { return decode[taskView](t, b.call("GET", "/v1/tasks/"+idA, ""), 200).EstimatedSeconds }
	if s := estimate(); s == nil || *s != 7 {
		t.Errorf("waiting: %v", s)
	}
	x.State, x.StartedAt = task.Running, &x.CreatedAt
	b.tasks.tasks[idA] = x
	if s := estimate(); s == nil || *s != 0 {
		t.Errorf("over time: %v", s)
	}
}

func TestLinksCanBeCopiedFromTheText(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idA, task.Video)
	b.tasks.happen(idA, task.EventCompleted, 100, true)
	for _, path := range []string{"/v1/tasks/" + idA, "/v1/tasks/" + idA + "/events"} {
		if text := b.call("GET", path, "").Body.String(); !strings.Contains(text, "&sig=") {
			t.Errorf("%s: %s", path, text)
		}
	}
}

func TestFailedTask(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idA, task.Video)
	b.tasks.happen(idA, task.EventFailed, 10, true)
	v := decode[taskView](t, b.call("GET", "/v1/tasks/"+idA, ""), 200)
	if v.Error == nil || *v.Error != "No." || v.ErrorDetail.Code != "content_policy" || v.Result != nil {
		t.Errorf("got %+v", v)
	}
	w := b.call("POST", "/v1/tasks/"+idA+"/cancel", "")
	wantProblem(t, w, 400, "task_not_cancellable", "")
	if w.Header().Get("X-Should-Retry") != "false" {
		t.Error("clients would try again")
	}
	wantProblem(t, b.call("DELETE", "/v1/videos/generations/tasks/"+idA, ""), 400, "task_not_cancellable", "")
	again := decode[acceptedView](t, b.call("POST", "/v1/videos/generations/tasks/"+idA+"/retry", ""), 202)
	if again.TaskID != idC || again.RetryOf == nil || *again.RetryOf != idA {
		t.Errorf("got %+v", again)
	}
}

func TestCancelTwice(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idA, task.Video)
	for range 2 {
		v := decode[taskView](t, b.call("POST", "/v1/tasks/"+idA+"/cancel", ""), 200)
		if v.Status != task.Cancelled || v.ErrorDetail.Code != "cancelled" {
			t.Errorf("got %+v", v)
		}
		if w := b.call("DELETE", "/v1/videos/generations/tasks/"+idA, ""); w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	}
	w := b.call("POST", "/v1/videos/generations/tasks/"+idA+"/retry", "")
	if w.Code != 202 {
		t.Errorf("a cancelled task cannot be tried again: %s", w.Body)
	}
}

func TestListTasks(t *testing.T) {
	b := newBench(t)
	if v := decode[map[string]any](t, b.call("GET", "/v1/tasks", ""), 200); v["first_id"] != nil || len(v["data"].([]any)) != 0 || v["has_more"] != false || v["object"] != "list" {
		t.Errorf("empty: %v", v)
	}
	b.tasks.add("mine", idA, task.Video)
	b.tasks.add("mine", idB, task.Image)
	b.tasks.add("other", idC, task.Video)
	ids := func(token, query string) string {
		t.Helper()
		v := decode[listView](t, b.call("GET", "/v1/tasks"+query, "", "Authorization", "Bearer "+token), 200)
		var ids []string
		for _, one := range v.Data {
			ids = append(ids, one.TaskID[len(one.TaskID)-1:])
		}
		if n := len(v.Data); n > 0 && (*v.FirstID != v.Data[0].TaskID || *v.LastID != v.Data[n-1].TaskID) {
			t.Errorf("first %s, last %s", *v.FirstID, *v.LastID)
		}
		return strings.Join(ids, "")
	}
	for _, c := range []struct{ token, query, want string }{
		{"mine", "", "ba"}, {"video", "", "a"}, {"image", "", "b"}, {"other", "", "c"}, {"mine", "?kind=image", "b"}, {"video", "?kind=video", "a"},
	} {
		if got := ids(c.token, c.query); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.token, c.query, got, c.want)
		}
	}
	wantProblem(t, b.call("GET", "/v1/tasks?kind=image", "", "Authorization", "Bearer video"), 403, "insufficient_scope", "")
	wantProblem(t, b.call("GET", "/v1/tasks?after="+idC, ""), 400, "invalid_request", "after")
	b.call("GET", "/v1/tasks?status=queued&status=processing,timedout,running&limit=7&after=video_"+strings.TrimPrefix(idA, "task_"), "")
	q := b.tasks.listed[len(b.tasks.listed)-1]
	if want := []task.State{task.Pending, task.Running, task.TimedOut}; !slices.Equal(q.States, want) || q.Limit != 7 || q.After != idA {
		t.Errorf("asked for %+v", q)
	}
	for query, param := range map[string]string{"limit=0": "limit", "limit=101": "limit", "limit=x": "limit", "limit=": "limit", "limit=1&limit=2": "limit",
		"status=done": "status", "status=": "status", "kind=audio": "kind", "kind=": "kind", "after=x": "after", "after=": "after", "after=%00": "after"} {
		wantProblem(t, b.call("GET", "/v1/tasks?"+query, ""), 400, "invalid_request", param)
	}
	wantProblem(t, b.call("GET", "/v1/tasks?order=asc", ""), 400, "unsupported_parameter", "order")
	wantProblem(t, b.call("GET", "/v1/tasks?%zz", ""), 400, "invalid_request", "")
}

func TestModels(t *testing.T) {
	b := newBench(t)
	list := decode[struct{ Data []modelView }](t, b.call("GET", "/v1/models", "", "Authorization", "Bearer nav"), 200)
	if len(list.Data) != 3 || list.Data[0].ID != "local-video" || list.Data[0].Object != "model" || !list.Data[0].Conduit.Default {
		t.Errorf("got %+v", list)
	}
	for _, path := range []string{"/v1/models/maker/model", "/v1/models/maker%2Fmodel"} {
		if m := decode[modelView](t, b.call("GET", path, ""), 200); m.ID != "maker/model" || m.OwnedBy != "maker" {
			t.Errorf("%s: %+v", path, m)
		}
	}
	if m := decode[modelView](t, b.call("GET", "/v1/models/local-image", ""), 200); m.Conduit.FPS != nil || m.Conduit.MaxN != 4 {
		t.Errorf("got %+v", m)
	}
	wantProblem(t, b.call("GET", "/v1/models/none", ""), 404, "model_not_found", "model")
	wantProblem(t, b.call("GET", "/v1/models", "", "Authorization", ""), 401, "invalid_api_key", "")
}

func TestPanicLeaksNothing(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Feed = panicking{} })
	b.tasks.add("mine", idA, task.Video)
	w := b.call("GET", "/v1/tasks/"+idA+"/events", "")
	wantProblem(t, w, 500, "internal_error", "")
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("leaked: %s", w.Body)
	}
	if w := b.call("GET", "/v1/tasks/"+idA, ""); w.Code != 200 {
		t.Errorf("the next request got %d", w.Code)
	}
}

type panicking struct{}

func (panicking) Subscribe(string) (<-chan struct{}, func()) { panic("secret detail") }

func TestPanicAfterTheAnswerBeganEndsTheConnection(t *testing.T) {
	b := newBench(t)
	guarded := b.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("secret detail")
	}))
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("panicked with %v", err)
		}
	}()
	guarded.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/x", nil))
}
