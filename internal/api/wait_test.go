package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

// begin makes a request in the background and returns when it waits.
func (b *bench) begin(ctx context.Context, method, target, body string) (done <-chan *httptest.ResponseRecorder) {
	ch := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		r := httptest.NewRequest(method, target, strings.NewReader(body)).WithContext(ctx)
		r.Header.Set("Authorization", "Bearer mine")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		ch <- w
	}()
	synctest.Wait()
	return ch
}

const oneImage = `{"prompt":"a paper boat"}`

func TestSynchronousImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.tasks.add("mine", idA, task.Image)
		answer := b.begin(t.Context(), "POST", "/v1/images/generations", `{"prompt":"a paper boat","n":2}`)
		if n := b.tasks.submitted[0].N; n != 2 {
			t.Errorf("%d images are made", n)
		}
		b.tasks.happen(idA, task.EventStarted, 0, true)
		synctest.Wait()
		select {
		case w := <-answer:
			t.Fatalf("answered before the end: %s", w.Body)
		default:
		}
		b.tasks.happen(idA, task.EventCompleted, 100, true)
		w := <-answer
		got := decode[struct {
			Created int64
			Data    []map[string]string
		}](t, w, 200)
		if len(got.Data) != 1 || len(got.Data[0]) != 1 || !strings.HasPrefix(got.Data[0]["url"], "http://example.com/v1/media/"+idA+"/0.webm?exp=") {
			t.Errorf("%s", w.Body)
		}
		if got.Created != time.Date(2026, 11, 22, 10, 1, 0, 0, time.UTC).Unix() || w.Header().Get("X-Task-Id") != idA {
			t.Errorf("%s %v", w.Body, w.Header())
		}
	})
}

func TestSynchronousImagesInBase64(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idA, task.Image)
	pictures := []string{"first picture", "", strings.Repeat("third", 20_000)}
	made := b.tasks.tasks[idA]
	made.State, made.ResponseFormat = task.Completed, "b64_json"
	for i, p := range pictures {
		name := "task_aa/" + string(rune('0'+i)) + ".png"
		if _, err := b.media.Put(t.Context(), name, "image/png", strings.NewReader(p)); err != nil {
			t.Fatal(err)
		}
		made.Outputs = append(made.Outputs, task.Output{MediaKey: name})
	}
	b.tasks.tasks[idA] = made
	w := b.call("POST", "/v1/images/generations", `{"prompt":"x","response_format":"b64_json"}`)
	got := decode[imagesBase64](t, w, 200)
	if len(got.Data) != len(pictures) || w.Header().Get("Content-Length") != "" && w.Body.Len() != atoi(t, w.Header().Get("Content-Length")) {
		t.Fatalf("%d images, %d bytes, %v", len(got.Data), w.Body.Len(), w.Header())
	}
	for i, p := range pictures {
		if data, err := base64.StdEncoding.DecodeString(got.Data[i].B64); err != nil || string(data) != p {
			t.Errorf("image %d is %d bytes (%v)", i, len(data), err)
		}
	}
	if err := b.media.Delete(t.Context(), made.Outputs[2].MediaKey); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, b.call("POST", "/v1/images/generations", `{"prompt":"x","response_format":"b64_json"}`), 404, "not_found", "")
	for path, body := range map[string]string{
		"/v1/images/generations/async": `{"prompt":"x","response_format":"b64_json"}`,
		"/v1/videos/generations/async": `{"prompt":"x","response_format":"b64_json"}`,
		"/v1/images/generations":       `{"prompt":"x","response_format":"svg"}`,
	} {
		code := "unsupported_parameter"
		if strings.Contains(body, "svg") {
			code = "invalid_request"
		}
		wantProblem(t, b.call("POST", path, body), 400, code, "response_format")
	}
}

type imagesBase64 struct {
	Data []struct {
		B64 string `json:"b64_json"`
	}
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSynchronousImagesThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		state   task.State
		failure *task.Failure
		status  int
		code    string
		param   string
	}{
		"policy":    {task.Failed, &task.Failure{Code: "content_policy", Message: "No."}, 400, "content_policy", "prompt"},
		"time":      {task.TimedOut, &task.Failure{Code: "timed_out", Message: "Late."}, 504, "timed_out", ""},
		"may pass":  {task.Failed, &task.Failure{Code: "storage_full", Message: "Full.", Retryable: true}, 503, "storage_full", ""},
		"will not":  {task.Failed, &task.Failure{Code: "broken", Message: "Broken."}, 500, "broken", ""},
		"cancelled": {task.Cancelled, nil, 409, "cancelled", ""},
		"unknown":   {task.Failed, nil, 500, "internal_error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.tasks.add("mine", idA, task.Image)
			ended := b.tasks.tasks[idA]
			ended.State, ended.Failure = c.state, c.failure
			b.tasks.tasks[idA] = ended
			w := b.call("POST", "/v1/images/generations", oneImage)
			wantProblem(t, w, c.status, c.code, c.param)
			if w.Header().Get("X-Should-Retry") != "false" || w.Header().Get("X-Task-Id") != idA {
				t.Errorf("%v", w.Header())
			}
		})
	}
}

// What may end a wait beside the task's end. The task goes on.
func TestWaitsThatEnd(t *testing.T) {
	for _, path := range []string{"POST /v1/images/generations", "GET /v1/tasks/" + idA + "/poll"} {
		method, target, _ := strings.Cut(path, " ")
		for name, c := range map[string]struct {
			end  func(b *bench, leave func())
			want func(t *testing.T, w *httptest.ResponseRecorder)
		}{
			"the client leaves": {func(_ *bench, leave func()) { leave() }, func(t *testing.T, w *httptest.ResponseRecorder) {
				if w.Body.Len() != 0 {
					t.Errorf("answered %s", w.Body)
				}
			}},
			"the key is lost": {func(b *bench, _ func()) { b.LoseKey("mine") }, func(t *testing.T, w *httptest.ResponseRecorder) {
				wantProblem(t, w, 401, "invalid_api_key", "")
			}},
			"the server stops": {func(b *bench, _ func()) { b.Drain() }, func(t *testing.T, w *httptest.ResponseRecorder) {
				wantProblem(t, w, 503, "service_unavailable", "")
			}},
			"the database is away for long": {func(b *bench, _ func()) { b.tasks.setErr(task.ErrUnavailable) }, func(t *testing.T, w *httptest.ResponseRecorder) {
				wantProblem(t, w, 503, "service_unavailable", "")
			}},
			"elsewhere, nobody tells": {func(b *bench, _ func()) { b.tasks.happen(idA, task.EventCompleted, 100, false) }, func(t *testing.T, w *httptest.ResponseRecorder) {
				if w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t)
					b.tasks.add("mine", idA, task.Image)
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					answer := b.begin(ctx, method, target, oneImage)
					c.end(b, leave)
					c.want(t, <-answer)
					if s := b.tasks.tasks[idA].State; s == task.Cancelled {
						t.Errorf("the task is %s", s)
					}
				})
			})
		}
	}
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.tasks.add("mine", idA, task.Video)
		begun := time.Now()
		wantProblem(t, <-b.begin(t.Context(), "GET", "/v1/tasks/"+idA+"/poll?timeout=7&interval=3", ""), 408, "poll_timeout", "")
		if took := time.Since(begun); took != 7*time.Second {
			t.Errorf("took %s", took)
		}
		wantProblem(t, <-b.begin(t.Context(), "GET", "/v1/tasks/"+idA+"/poll", ""), 408, "poll_timeout", "")
		if took := time.Since(begun); took != 307*time.Second {
			t.Errorf("took %s", took)
		}
		answer := b.begin(t.Context(), "GET", "/v1/tasks/"+idA+"/poll", "")
		b.tasks.happen(idA, task.EventCancelled, 0, true)
		if v := decode[taskView](t, <-answer, 200); v.Status != task.Cancelled {
			t.Errorf("%+v", v)
		}
	})
	b := newBench(t)
	b.tasks.add("mine", idA, task.Video)
	for query, param := range map[string]string{"timeout=0": "timeout", "timeout=601": "timeout", "timeout=1.5": "timeout", "timeout=": "timeout",
		"interval=0": "interval", "interval=61": "interval", "timeout=1&timeout=2": "timeout"} {
		wantProblem(t, b.call("GET", "/v1/tasks/"+idA+"/poll?"+query, ""), 400, "invalid_request", param)
	}
	wantProblem(t, b.call("GET", "/v1/tasks/"+idA+"/poll", "", "Authorization", "Bearer other"), 404, "task_not_found", "id")
	wantProblem(t, b.call("GET", "/v1/tasks/"+idA+"/poll", "", "Authorization", "Bearer image"), 403, "insufficient_scope", "")
	wantProblem(t, b.call("GET", "/v1/tasks/"+idA+"/poll?time_out=3", ""), 400, "unsupported_parameter", "time_out")
}
