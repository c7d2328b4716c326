package api

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAbnormalIsForAdmins(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	report := AbnormalReport{Since: at, Window: time.Minute,
		Patterns: []AbnormalPattern{{Pattern: "unknown_tasks", Limit: 60, Total: 70, Exceeded: 1}},
		Subjects: []AbnormalSubject{
			{Pattern: "unknown_tasks", KeyID: "key_1", Count: 61, Limit: 60, Began: at, Last: at.Add(time.Second)},
			{Pattern: "unknown_tasks", Address: "192.0.2.1", Count: 9, Limit: 60, Began: at, Last: at},
		}}
	b := newBench(t, func(o *Options) { o.Abnormal = func() AbnormalReport { return report } })
	for _, token := range []string{"mine", "nav", "onlyA"} {
		wantProblem(t, b.call("GET", "/v1/admin/abnormal", "", "Authorization", "Bearer "+token), 403, "insufficient_scope", "")
	}
	wantProblem(t, b.call("GET", "/v1/admin/abnormal", "", "Authorization", ""), 401, "invalid_api_key", "")
	w := b.call("GET", "/v1/admin/abnormal", "", "Authorization", "Bearer admin")
	want := `{"object":"abnormal","since":"2026-11-22T10:00:00Z","window_seconds":60,` +
		`"patterns":[{"pattern":"unknown_tasks","limit":60,"total":70,"exceeded":1}],"data":[` +
		`{"pattern":"unknown_tasks","key_id":"key_1","address":null,"count":61,"limit":60,"above_limit":true,"window_began_at":"2026-11-22T10:00:00Z","last_seen_at":"2026-11-22T10:00:01Z"},` +
		`{"pattern":"unknown_tasks","key_id":null,"address":"192.0.2.1","count":9,"limit":60,"above_limit":false,"window_began_at":"2026-11-22T10:00:00Z","last_seen_at":"2026-11-22T10:00:00Z"}]}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); w.Code != 200 || diff != "" {
		t.Errorf("%d %s", w.Code, diff)
	}
	report = AbnormalReport{}
	w = b.call("GET", "/v1/admin/abnormal", "", "Authorization", "Bearer admin")
	if got := decode[abnormalView](t, w, 200); got.Patterns == nil || got.Data == nil {
		t.Errorf("lists are null: %s", w.Body)
	}
}
