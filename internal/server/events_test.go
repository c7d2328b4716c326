package server

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Event streams and hubs send the same JSON, of videos and of images.
func TestEventsAreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), `{}`)
	bearer := "Authorization: Bearer " + r.key()
	signed := regexp.MustCompile(`\?exp=[^"]*`) // links are minted when they are sent
	for path, hub := range map[string]string{
		"/v1/videos/generations/async": "/hubs/video-generation", "/v1/images/generations/async": "/hubs/image-generation",
	} {
		_, accepted := r.call("POST", path, `{"prompt":"<a & b>","size":"64x64"}`, bearer)
		id := regexp.MustCompile(`task_[0-9a-f]{32}`).FindString(accepted)
		_, stream := r.call("GET", "/v1/tasks/"+id+"/events", "", bearer, "Last-Event-ID: 0") // ends with the task
		type event struct {
			Name string
			Data map[string]any
		}
		decode := func(name, data string) (e event) {
			t.Helper()
			e.Name = name
			data = signed.ReplaceAllString(strings.ReplaceAll(data, `\u0026`, "&"), "")
			if err := json.Unmarshal([]byte(data), &e.Data); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			return e
		}
		streamed := map[any]event{}
		for _, m := range regexp.MustCompile(`event: (\w+)\nid: (\d+)\ndata: (.*)\n`).FindAllStringSubmatch(stream, -1) {
			e := decode(m[1], m[3])
			streamed[e.Data["sequence"]] = e
		}
		s, status := r.dialHub(hub, "?access_token="+r.key())
		if status != http.StatusSwitchingProtocols {
			t.Fatal(status)
		}
		s.handshake()
		s.send(`{"type":1,"target":"SubscribeToTaskFrom","arguments":["` + id + `",0]}`)
		var seen int
		for last := ""; last != "Completed"; seen++ {
			var m struct {
				Target    string
				Arguments []json.RawMessage
			}
			if err := json.Unmarshal([]byte(s.until(`"type":1`)), &m); err != nil || len(m.Arguments) != 1 {
				t.Fatalf("%v %+v", err, m)
			}
			e := decode(m.Target, string(m.Arguments[0]))
			if diff := cmp.Diff(streamed[e.Data["sequence"]], e); diff != "" {
				t.Errorf("%s (-stream +hub):\n%s", hub, diff)
			}
			last = e.Name
		}
		if seen < 2 {
			t.Errorf("%s: only %d events", hub, seen)
		}
	}
}
