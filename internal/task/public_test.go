package task

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPublic is the JSON that clients get, to the letter.
func TestPublic(t *testing.T) {
	at := time.Date(2026, 11, 22, 11, 0, 0, 123_000_000, time.FixedZone("", 3600))
	position := 0
	link := func(base, key string) string { return base + "/" + key + "?signed" }
	e := func(kind Kind, name EventName, f func(*Event)) Event {
		e := Event{TaskID: "task_1", Kind: kind, Sequence: 14, Attempt: 2, Name: name, At: at, BaseURL: "http://h"}
		if f != nil {
			f(&e)
		}
		return e
	}
	full := func(e *Event) {
		e.Progress, e.ProgressSource, e.Message, e.CurrentFrame, e.TotalFrames, e.QueuePosition = 31, "native", "rendering", 37, 120, &position
	}
	video := func(e *Event) {
		e.Outputs = []Output{{MediaKey: "k", Width: 640, Height: 360, FPS: 24, Duration: 5, Format: "webm"}}
	}
	images := func(e *Event) {
		e.Outputs = []Output{{MediaKey: "k", Width: 64, Height: 36, Format: "png"}, {MediaKey: "l", Width: 64, Height: 36, Format: "png"}}
	}
	failure := func(e *Event) { e.Failure = &Failure{Code: "timed_out", Message: "late", Retryable: true} }
	for _, c := range []struct {
		e    Event
		want string
	}{
		{e(Video, EventStarted, nil), `{"eventType":"VideoGenerationStarted","taskId":"task_1","sequence":14,"attempt":2,"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Image, EventStarted, nil), `{"eventType":"ImageGenerationStarted","taskId":"task_1","sequence":14,"attempt":2,"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Video, EventProgress, nil), `{"eventType":"VideoGenerationProgress","taskId":"task_1","sequence":14,"attempt":2,"progress":0,"percentage":0,"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Video, EventProgress, full), `{"eventType":"VideoGenerationProgress","taskId":"task_1","sequence":14,"attempt":2,"progress":31,"percentage":31,"progressSource":"native","message":"rendering","currentFrame":37,"totalFrames":120,"queuePosition":0,"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Image, EventProgress, full), `{"eventType":"ImageGenerationProgress","taskId":"task_1","sequence":14,"attempt":2,"progress":31,"percentage":31,"progressSource":"native","message":"rendering","currentFrame":37,"totalFrames":120,"queuePosition":0,"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Video, EventCompleted, video), `{"eventType":"VideoGenerationCompleted","taskId":"task_1","sequence":14,"attempt":2,"videoUrl":"http://h/k?signed","duration":5,"metadata":{"width":640,"height":360,"fps":24,"format":"webm"},"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Image, EventCompleted, images), `{"eventType":"ImageGenerationCompleted","taskId":"task_1","sequence":14,"attempt":2,"imageUrl":"http://h/k?signed","metadata":{"width":64,"height":36,"format":"png"},"images":[{"url":"http://h/k?signed","width":64,"height":36,"format":"png"},{"url":"http://h/l?signed","width":64,"height":36,"format":"png"}],"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Video, EventFailed, failure), `{"eventType":"VideoGenerationFailed","taskId":"task_1","sequence":14,"attempt":2,"error":"late","isRetryable":true,"errorCode":"timed_out","timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Image, EventFailed, failure), `{"eventType":"ImageGenerationFailed","taskId":"task_1","sequence":14,"attempt":2,"error":"late","isRetryable":true,"errorCode":"timed_out","timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Video, EventCancelled, nil), `{"eventType":"VideoGenerationCancelled","taskId":"task_1","sequence":14,"attempt":2,"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Image, EventCancelled, nil), `{"eventType":"ImageGenerationCancelled","taskId":"task_1","sequence":14,"attempt":2,"timestamp":"2026-11-22T10:00:00.123Z"}`},
		// Never a panic, whatever is stored.
		{e(Video, EventCompleted, nil), `{"eventType":"VideoGenerationCompleted","taskId":"task_1","sequence":14,"attempt":2,"videoUrl":"","duration":0,"metadata":{"width":0,"height":0,"fps":0,"format":""},"timestamp":"2026-11-22T10:00:00.123Z"}`},
		{e(Video, EventFailed, nil), `{"eventType":"VideoGenerationFailed","taskId":"task_1","sequence":14,"attempt":2,"error":"","isRetryable":false,"timestamp":"2026-11-22T10:00:00.123Z"}`},
	} {
		got, err := json.Marshal(c.e.Public(link))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, string(got)); d != "" {
			t.Errorf("%s of %s:\n%s", c.e.Name, c.e.Kind, d)
		}
	}
	if got := (Event{Name: "Other"}).Public(link); got != nil {
		t.Errorf("%v", got)
	}
}
