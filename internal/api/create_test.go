package api

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/knnlabs/conduit/internal/task"
)

const createPath = "/v1/videos/generations/async"

func TestCreateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		param  string
		says   string // part of the message
	}{
		"empty body":              {" ", 400, "invalid_request", "", "empty"},
		"malformed":               {"{\n \"prompt\": oops}", 400, "invalid_request", "", "line 2, column 12"},
		"cut off":                 {`{"prompt":"a`, 400, "invalid_request", "", "ends too early"},
		"trailing data":           {`{"prompt":"a"} {}`, 400, "invalid_request", "", "after top-level value, at line 1, column 16"},
		"array":                   {`[{"prompt":"a"}]`, 400, "invalid_request", "", "no object"},
		"null":                    {`null`, 400, "invalid_request", "", "no object"},
		"string":                  {`"prompt"`, 400, "invalid_request", "", "no object"},
		"not UTF-8":               {"{\"prompt\":\"a\xff\"}", 400, "invalid_request", "", "not UTF-8, at line 1, column 13"},
		"nested":                  {`{"prompt":` + strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000) + `}`, 400, "invalid_request", "", "deeper than 32"},
		"nested a little":         {`{"prompt":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40) + `}`, 400, "invalid_request", "", "deeper than 32"},
		"twice":                   {`{"prompt":"a","prompt":"b"}`, 400, "invalid_request", "prompt", "twice"},
		"twice, one escaped":      {`{"prompt":"a","\u0070rompt":"b"}`, 400, "invalid_request", "prompt", "twice"},
		"no prompt":               {`{}`, 400, "missing_parameter", "prompt", ""},
		"null prompt":             {`{"prompt":null}`, 400, "missing_parameter", "prompt", ""},
		"empty prompt":            {`{"prompt":""}`, 400, "invalid_request", "prompt", "empty"},
		"blank prompt":            {`{"prompt":" \n\t\u00a0"}`, 400, "invalid_request", "prompt", "empty"},
		"number as prompt":        {`{"prompt":1}`, 400, "invalid_request", "prompt", "string"},
		"object as prompt":        {`{"prompt":{"text":"a"}}`, 400, "invalid_request", "prompt", "string"},
		"long prompt":             {`{"prompt":"` + strings.Repeat("ä", 32_001) + `"}`, 400, "invalid_request", "prompt", "32001"},
		"half a surrogate":        {`{"prompt":"a\ud800b"}`, 400, "invalid_request", "prompt", "surrogate"},
		"other half":              {`{"prompt":"\udc00"}`, 400, "invalid_request", "prompt", "surrogate"},
		"NUL":                     {`{"prompt":"a\u0000b"}`, 400, "invalid_request", "prompt", "NUL"},
		"unknown model":           {`{"prompt":"a","model":"sora"}`, 404, "model_not_found", "model", "sora"},
		"empty model":             {`{"prompt":"a","model":""}`, 404, "model_not_found", "model", ""},
		"model of another kind":   {`{"prompt":"a","model":"local-image"}`, 400, "invalid_request", "model", "images"},
		"model in another case":   {`{"prompt":"a","model":"Local-Video"}`, 404, "model_not_found", "model", ""},
		"model as a number":       {`{"prompt":"a","model":4}`, 400, "invalid_request", "model", "string"},
		"size without x":          {`{"prompt":"a","size":"640"}`, 400, "invalid_request", "size", "640x360"},
		"size with signs":         {`{"prompt":"a","size":"-640x360"}`, 400, "invalid_request", "size", ""},
		"size with spaces":        {`{"prompt":"a","size":"640x360 "}`, 400, "invalid_request", "size", ""},
		"size with a line":        {`{"prompt":"a","size":"640x360\n"}`, 400, "invalid_request", "size", ""},
		"empty size":              {`{"prompt":"a","size":""}`, 400, "invalid_request", "size", ""},
		"size as a number":        {`{"prompt":"a","size":640}`, 400, "invalid_request", "size", "string"},
		"huge size":               {`{"prompt":"a","size":"99999x99999"}`, 400, "invalid_request", "size", "1920"},
		"size of six digits":      {`{"prompt":"a","size":"100000x100"}`, 400, "invalid_request", "size", ""},
		"small size":              {`{"prompt":"a","size":"14x14"}`, 400, "invalid_request", "size", "16"},
		"odd size":                {`{"prompt":"a","size":"641x360"}`, 400, "invalid_request", "size", "even"},
		"no duration":             {`{"prompt":"a","duration":0}`, 400, "invalid_request", "duration", "1 to 60"},
		"negative duration":       {`{"prompt":"a","duration":-5}`, 400, "invalid_request", "duration", ""},
		"long duration":           {`{"prompt":"a","duration":61}`, 400, "invalid_request", "duration", ""},
		"endless duration":        {`{"prompt":"a","duration":1e400}`, 400, "invalid_request", "duration", ""},
		"duration beyond int64":   {`{"prompt":"a","duration":99999999999999999999}`, 400, "invalid_request", "duration", ""},
		"fraction":                {`{"prompt":"a","duration":5.5}`, 400, "invalid_request", "duration", "whole number"},
		"duration as a string":    {`{"prompt":"a","duration":"5"}`, 400, "invalid_request", "duration", "a string"},
		"duration as a boolean":   {`{"prompt":"a","duration":true}`, 400, "invalid_request", "duration", "a boolean"},
		"fps over the model's":    {`{"prompt":"a","fps":61}`, 400, "invalid_request", "fps", "60"},
		"fps over the gateway's":  {`{"prompt":"a","fps":121}`, 400, "invalid_request", "fps", "120"},
		"fps as an array":         {`{"prompt":"a","fps":[24]}`, 400, "invalid_request", "fps", "an array"},
		"seed beyond int64":       {`{"prompt":"a","seed":9223372036854775808}`, 400, "invalid_request", "seed", ""},
		"seed as a fraction":      {`{"prompt":"a","seed":0.5}`, 400, "invalid_request", "seed", ""},
		"two videos":              {`{"prompt":"a","n":2}`, 400, "unsupported_parameter", "n", ""},
		"no videos":               {`{"prompt":"a","n":0}`, 400, "invalid_request", "n", ""},
		"eleven videos":           {`{"prompt":"a","n":11}`, 400, "invalid_request", "n", ""},
		"b64_json":                {`{"prompt":"a","response_format":"b64_json"}`, 400, "unsupported_parameter", "response_format", ""},
		"another format":          {`{"prompt":"a","response_format":"mp4"}`, 400, "invalid_request", "response_format", ""},
		"long user":               {`{"prompt":"a","user":"` + strings.Repeat("u", 257) + `"}`, 400, "invalid_request", "user", "256"},
		"no time":                 {`{"prompt":"a","timeout_seconds":0}`, 400, "invalid_request", "timeout_seconds", ""},
		"too much time":           {`{"prompt":"a","timeout_seconds":3601}`, 400, "invalid_request", "timeout_seconds", ""},
		"webhook":                 {`{"prompt":"a","webhook_url":"https://x.example"}`, 400, "unsupported_parameter", "webhook_url", "not supported yet"},
		"webhook headers":         {`{"prompt":"a","webhook_headers":{"a":"b"}}`, 400, "unsupported_parameter", "webhook_headers", ""},
		"some webhook":            {`{"prompt":"a","webhook_later":1}`, 400, "unsupported_parameter", "webhook_later", "not supported yet"},
		"unknown":                 {`{"prompt":"a","cheese":1}`, 400, "unsupported_parameter", "cheese", "It knows: prompt"},
		"mistyped":                {`{"promt":"a"}`, 400, "unsupported_parameter", "promt", "Did you mean 'prompt'"},
		"of another API":          {`{"prompt":"a","seconds":5}`, 400, "unsupported_parameter", "seconds", "Did you mean 'duration'"},
		"in another case":         {`{"Prompt":"a"}`, 400, "unsupported_parameter", "Prompt", "Did you mean 'prompt'"},
		"in camel case":           {`{"prompt":"a","timeoutSeconds":5}`, 400, "unsupported_parameter", "timeoutSeconds", "Did you mean 'timeout_seconds'"},
		"unknown with line break": {`{"prompt":"a","a\nb":1}`, 400, "unsupported_parameter", "ab", ""},
		"unknown without end":     {`{"prompt":"a","` + strings.Repeat("n", 5000) + `":1}`, 400, "unsupported_parameter", strings.Repeat("n", 64) + "...", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			e := wantProblem(t, b.call("POST", createPath, c.body), c.status, c.code, c.param)
			if !strings.Contains(e.Error.Message, c.says) {
				t.Errorf("the message does not say %q: %s", c.says, e.Error.Message)
			}
			if len(e.Error.Message) > 500 {
				t.Errorf("the message has %d bytes", len(e.Error.Message))
			}
			if len(b.tasks.submitted) != 0 {
				t.Error("submitted all the same")
			}
			if w := b.call("POST", createPath, `{"prompt":"a"}`); w.Code != http.StatusAccepted {
				t.Errorf("the next request got %d", w.Code)
			}
		})
	}
}

// A client that sends all of a body before it reads gets its answer, too.
func TestTooLargeBodyIsAnswered(t *testing.T) {
	b := newBench(t)
	server := httptest.NewServer(b)
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	const size = 12 << 20
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", createPath, size); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(bytes.Repeat([]byte("["), size)); err != nil {
		t.Fatalf("the body is not taken: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %s", resp.Status)
	}
}

func TestCreateRefusesBodiesAsAWhole(t *testing.T) {
	b := newBench(t)
	big := `{"prompt":"` + strings.Repeat("a", maxBody) + `"}`
	wantProblem(t, b.call("POST", createPath, big), 413, "payload_too_large", "")
	wantProblem(t, b.call("POST", createPath, `{"prompt":"a"}`, "Content-Type", ""), 415, "unsupported_media_type", "")
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=latin1", "json", ";;"} {
		wantProblem(t, b.call("POST", createPath, `{"prompt":"a"}`, "Content-Type", contentType), 415, "unsupported_media_type", "")
	}
	wantProblem(t, b.call("POST", createPath, `{"prompt":"a"}`, "Content-Encoding", "gzip"), 415, "unsupported_media_type", "")
	for _, contentType := range []string{"application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=\"UTF-8\""} {
		if w := b.call("POST", createPath, `{"prompt":"a"}`, "Content-Type", contentType); w.Code != 202 {
			t.Errorf("%s: %d %s", contentType, w.Code, w.Body)
		}
	}
	for _, k := range []string{strings.Repeat("k", 256), "with\x01control", "ümlaut"} {
		wantProblem(t, b.call("POST", createPath, `{"prompt":"a"}`, "Idempotency-Key", k), 400, "invalid_request", "")
	}
}

func TestCreateSubmits(t *testing.T) {
	base := task.Request{KeyID: "mine", Kind: task.Video, Model: "local-video", Provider: "local", Prompt: "a paper boat",
		Width: 640, Height: 360, Duration: 5, FPS: 24, N: 1, ResponseFormat: "url", BaseURL: "http://example.com"}
	with := func(f func(*task.Request)) task.Request { r := base; f(&r); return r }
	for name, c := range map[string]struct {
		body string
		head []string
		want task.Request
	}{
		"the least": {`{"prompt":"a paper boat"}`, nil, base},
		"nulls":     {`{"prompt":"a paper boat","model":null,"size":null,"duration":null,"fps":null,"seed":null,"n":null,"response_format":null,"user":null,"timeout_seconds":null}`, nil, base},
		"everything": {`{"prompt":"a paper boat","model":"maker/model","size":"1920x16","duration":60,"fps":60,"seed":-9223372036854775808,"n":1,"response_format":"url","user":"u1","timeout_seconds":3600}`,
			[]string{"Idempotency-Key", "k 1", "X-Stainless-Retry-Count", "1"},
			with(func(r *task.Request) {
				r.Model, r.Width, r.Height, r.Duration, r.FPS = "maker/model", 1920, 16, 60, 60
				r.Seed, r.User, r.Timeout, r.IdempotencyKey, r.RetryAttempt = math.MinInt64, "u1", time.Hour, "k 1", true
			})},
		"the longest prompt": {`{"prompt":"` + strings.Repeat("ä", 32_000) + `"}`, nil,
			with(func(r *task.Request) { r.Prompt = strings.Repeat("ä", 32_000) })},
		"a surrogate pair": {`{"prompt":"\ud83d\udea3 \\ud800 \u00e4"}`, nil, with(func(r *task.Request) { r.Prompt = `🚣 \ud800 ä` })},
		"garbage as hint":  {`{"prompt":"a paper boat"}`, []string{"X-Stainless-Retry-Count", "many"}, base},
		"no retry":         {`{"prompt":"a paper boat"}`, []string{"X-Stainless-Retry-Count", "0"}, base},
		"another host":     {`{"prompt":"a paper boat"}`, []string{"Host", "Gw.example:8443"}, with(func(r *task.Request) { r.BaseURL = "http://gw.example:8443" })},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			w := b.call("POST", createPath, c.body, c.head...)
			got := decode[acceptedView](t, w, http.StatusAccepted)
			if len(b.tasks.submitted) != 1 {
				t.Fatalf("submitted %d times", len(b.tasks.submitted))
			}
			r := b.tasks.submitted[0]
			if diff := cmp.Diff(c.want, r, cmpopts.IgnoreFields(task.Request{}, "RequestHash"), cmp.FilterPath(func(p cmp.Path) bool {
				return p.String() == "Seed" && c.want.Seed == 0
			}, cmp.Ignore())); diff != "" {
				t.Error(diff)
			}
			if len(r.RequestHash) != 64 {
				t.Errorf("the hash is %q", r.RequestHash)
			}
			if got.Seed != r.Seed || r.Seed == 0 {
				t.Errorf("seed %d is shown as %d", r.Seed, got.Seed)
			}
			if want := r.BaseURL + "/v1/videos/generations/tasks/" + idA; got.CheckStatusURL != want {
				t.Errorf("check_status_url is %s, want %s", got.CheckStatusURL, want)
			}
			if want := r.BaseURL + "/v1/tasks/" + idA + "/events"; got.EventsURL != want {
				t.Errorf("events_url is %s, want %s", got.EventsURL, want)
			}
		})
	}
}

func TestRequestHash(t *testing.T) {
	b := newBench(t)
	hash := func(path, body string) string {
		t.Helper()
		if w := b.call("POST", path, body); w.Code != 202 {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		return b.tasks.submitted[len(b.tasks.submitted)-1].RequestHash
	}
	one := hash(createPath, `{"prompt":"a","seed":5}`)
	for _, same := range []string{`{"seed":5,"prompt":"a"}`, " {\"\\u0070rompt\" : \"\\u0061\",\n\"seed\":5,\"fps\":null}"} {
		if hash(createPath, same) != one {
			t.Errorf("%s hashes differently", same)
		}
	}
	for _, other := range []string{`{"prompt":"a"}`, `{"prompt":"a","seed":6}`, `{"prompt":"b","seed":5}`, `{"prompt":"a","seed":5,"fps":24}`, `{"prompt":"a","seed":5,"user":"5"}`} {
		if hash(createPath, other) == one {
			t.Errorf("%s hashes the same", other)
		}
	}
	unseeded := hash(createPath, `{"prompt":"a"}`)
	if hash(createPath, `{"prompt":"a"}`) != unseeded {
		t.Error("the random seed is part of the hash")
	}
	if hash("/v1/images/generations/async", `{"prompt":"a","seed":5}`) == one {
		t.Error("an image hashes like a video")
	}
}

func TestCreateReplays(t *testing.T) {
	b := newBench(t)
	b.tasks.add("mine", idB, task.Video)
	b.tasks.replay = idB
	w := b.call("POST", createPath, `{"prompt":"a paper boat"}`, "Idempotency-Key", "k")
	if got := decode[acceptedView](t, w, 202); got.TaskID != idB || got.Seed != 7 {
		t.Errorf("got %+v", got)
	}
	if w.Header().Get("Idempotent-Replayed") != "true" {
		t.Error("a replay is not named")
	}
}

func TestCreateImages(t *testing.T) {
	b := newBench(t)
	w := b.call("POST", "/v1/images/generations/async", `{"prompt":"a","n":3,"size":"64x64"}`)
	if got := decode[acceptedView](t, w, 202); got.CheckStatusURL != "http://example.com/v1/images/generations/"+idA+"/status" {
		t.Error(got.CheckStatusURL)
	}
	if r := b.tasks.submitted[0]; r.N != 3 || r.Duration != 0 || r.FPS != 0 || r.Model != "local-image" {
		t.Errorf("submitted %+v", r)
	}
	wantProblem(t, b.call("POST", "/v1/images/generations/async", `{"prompt":"a","n":5}`), 400, "invalid_request", "n")
	for _, fields := range []string{`"quality":"auto"`, `"quality":"standard"`, `"operation":"generate"`, `"quality":null`} {
		if w := b.call("POST", "/v1/images/generations/async", `{"prompt":"a",`+fields+`}`); w.Code != 202 {
			t.Errorf("%s: %d %s", fields, w.Code, w.Body)
		}
	}
	for _, c := range [][3]string{{"/v1/images/generations/async", `"quality":"hd"`, "quality"}, {"/v1/images/generations", `"operation":"edit"`, "operation"},
		{"/v1/images/generations/async", `"style":"vivid"`, "style"}, {"/v1/videos/generations/async", `"quality":"auto"`, "quality"},
		{"/v1/images/generations", `"mask":"x"`, "mask"}} {
		wantProblem(t, b.call("POST", c[0], `{"prompt":"a",`+c[1]+`}`), 400, "unsupported_parameter", c[2])
	}
	wantProblem(t, b.call("POST", "/v1/images/generations/async", `{"prompt":"a","quality":1}`), 400, "invalid_request", "quality")
	wantProblem(t, b.call("POST", "/v1/images/generations/async", `{"prompt":"a","duration":5}`), 400, "unsupported_parameter", "duration")
}

func TestQuotaIsTold(t *testing.T) {
	b := newBench(t)
	told := func(w *httptest.ResponseRecorder) string {
		var all []string
		for _, name := range []string{"Limit", "Remaining", "Reset"} {
			all = append(all, w.Header().Get("X-Ratelimit-"+name+"-Requests"))
		}
		return strings.Join(all, " ")
	}
	for _, want := range []string{"10 9 0s", "10 8 0s"} {
		if got := told(b.call("POST", createPath, `{"prompt":"a"}`)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := told(b.call("POST", createPath, `{"prompt":""}`)); got != "  " {
		t.Errorf("of a bad request: %q", got)
	}
	b.tasks.setErr(task.ErrTooMany)
	if got := told(b.call("POST", createPath, `{"prompt":"a"}`)); got != "10 0 5s" {
		t.Errorf("at the limit: %q", got)
	}
	b.tasks.setErr(task.ErrUnavailable)
	if got := told(b.call("POST", createPath, `{"prompt":"a"}`)); got != "  " {
		t.Errorf("without a database: %q", got)
	}
}

func TestServiceErrors(t *testing.T) {
	for err, want := range map[error]struct {
		status     int
		code       string
		retry      string
		retryAfter bool
	}{
		task.ErrTooMany:     {429, "concurrency_limit_exceeded", "", true},
		task.ErrKeyReused:   {422, "idempotency_key_reused", "false", false},
		task.ErrUnavailable: {503, "service_unavailable", "", true},
		task.ErrFull:        {503, "service_unavailable", "", true},
		errFake:             {500, "internal_error", "", false},
	} {
		b := newBench(t)
		b.tasks.err = err
		w := b.call("POST", createPath, `{"prompt":"a"}`)
		wantProblem(t, w, want.status, want.code, "")
		if got := w.Header().Get("X-Should-Retry"); got != want.retry {
			t.Errorf("%v: x-should-retry %q", err, got)
		}
		if got := w.Header().Get("Retry-After"); (got != "") != want.retryAfter {
			t.Errorf("%v: retry-after %q", err, got)
		}
		if strings.Contains(w.Body.String(), "secret detail") {
			t.Errorf("leaked: %s", w.Body)
		}
	}
}
