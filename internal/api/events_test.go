package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// frame is one event of a stream, or a comment.
type frame struct{ event, id, data, comment string }

// follow opens a stream on a real server; the channel is closed at its end.
func (b *bench) follow(t *testing.T, s *httptest.Server, id string, header ...string) (*http.Response, <-chan frame) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/v1/tasks/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer mine")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "query" {
			r.URL.RawQuery = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	frames := make(chan frame, 100)
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); _ = res.Body.Close(); <-done })
	go func() {
		defer close(done)
		defer close(frames)
		var f frame
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case lines.Text() == "":
				frames <- f
				f = frame{}
			case name == "":
				f.comment = value
			case name == "event":
				f.event = value
			case name == "id":
				f.id = value
			case name == "data":
				f.data = value
			}
		}
	}()
	return res, frames
}

// next is the next event of a stream, comments left out.
func next(t *testing.T, frames <-chan frame) frame {
	t.Helper()
	for {
		select {
		case f, ok := <-frames:
			if !ok {
				t.Fatal("the stream has ended")
			}
			if f.event != "" {
				return f
			}
		case <-time.After(patience):
			t.Fatal("nothing came")
		}
	}
}

func wantEnd(t *testing.T, frames <-chan frame) {
	t.Helper()
	for {
		select {
		case f, ok := <-frames:
			if !ok {
				return
			}
			if f.event != "" {
				t.Fatalf("got %+v, want the end", f)
			}
		case <-time.After(patience):
			t.Fatal("the stream did not end")
		}
	}
}

func wantFrames(t *testing.T, frames <-chan frame, want ...string) {
	t.Helper()
	for _, w := range want {
		if f := next(t, frames); f.event+" "+f.id != w {
			t.Fatalf("got %s %s, want %s", f.event, f.id, w)
		}
	}
}

func (b *bench) serve(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(b)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func TestEventStreamFollowsATask(t *testing.T) {
	b := newBench(t, func(o *Options) { o.StreamReread = time.Hour })
	b.tasks.add("mine", idA, task.Video)
	b.tasks.happen(idA, task.EventStarted, 0, true)
	b.tasks.happen(idA, task.EventProgress, 1, true)
	res, frames := b.follow(t, b.serve(t), idA)
	if got := res.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" || res.Header.Get("X-Accel-Buffering") != "no" || res.StatusCode != 200 {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
	wantFrames(t, frames, "Progress 3") // the newest first
	for i := range 5 {
		b.tasks.happen(idA, task.EventProgress, 2+i, true)
	}
	wantFrames(t, frames, "Progress 4", "Progress 5", "Progress 6", "Progress 7", "Progress 8")
	e := b.tasks.happen(idA, task.EventCompleted, 100, true)
	f := next(t, frames)
	var got, want map[string]any
	if err := json.Unmarshal([]byte(f.data), &got); err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(e.Public(func(base, key string) string { return base + "/v1/media/" + key }))
	_ = json.Unmarshal(data, &want)
	link, _ := got["videoUrl"].(string)
	got["videoUrl"], _, _ = strings.Cut(link, "?")
	if diff := cmp.Diff(want, got); diff != "" || f.event != "Completed" || f.id != "9" {
		t.Errorf("%s %s %s", f.event, f.id, diff)
	}
	wantEnd(t, frames)
}

func TestEventStreamResumes(t *testing.T) {
	start := func(events int, end bool) (*bench, *httptest.Server) {
		b := newBench(t)
		b.tasks.add("mine", idA, task.Video)
		b.tasks.happen(idA, task.EventStarted, 0, false)
		for i := range events {
			b.tasks.happen(idA, task.EventProgress, i+1, false)
		}
		if end {
			b.tasks.happen(idA, task.EventFailed, 50, false)
		}
		return b, b.serve(t)
	}
	t.Run("after the end", func(t *testing.T) {
		b, s := start(3, true) // 1 to 6
		for _, c := range []struct {
			header []string
			want   []string
		}{
			{nil, []string{"Failed 6"}},
			{[]string{"Last-Event-ID", "0"}, []string{"Progress 1", "Started 2", "Progress 3", "Progress 4", "Progress 5", "Failed 6"}},
			{[]string{"Last-Event-ID", "3"}, []string{"Progress 4", "Progress 5", "Failed 6"}},
			{[]string{"query", "lastEventId=4"}, []string{"Progress 5", "Failed 6"}},
			{[]string{"query", "last_event_id=5"}, []string{"Failed 6"}},
			{[]string{"query", "lastEventId=1", "Last-Event-ID", "5"}, []string{"Failed 6"}},
		} {
			_, frames := b.follow(t, s, idA, c.header...)
			wantFrames(t, frames, c.want...)
			wantEnd(t, frames)
		}
		for _, id := range []string{"6", "7", "9223372036854775807"} {
			res, frames := b.follow(t, s, idA, "Last-Event-ID", id)
			if res.StatusCode != 204 {
				t.Errorf("%s: %d", id, res.StatusCode)
			}
			wantEnd(t, frames)
		}
	})
	t.Run("while it runs", func(t *testing.T) {
		b, s := start(3, false)                                 // 1 to 5
		for _, id := range []string{"5", "6", "123456789012"} { // an id that is not ours counts as the newest
			_, frames := b.follow(t, s, idA, "Last-Event-ID", id)
			go b.tasks.happen(idA, task.EventProgress, 60, true)
			if f := next(t, frames); f.event != "Progress" {
				t.Errorf("got %+v", f)
			}
		}
		_, frames := b.follow(t, s, idA, "Last-Event-ID", "123456789012")
		b.tasks.happen(idA, task.EventCancelled, 60, true)
		if f := next(t, frames); f.event != "Cancelled" {
			t.Errorf("got %+v", f)
		}
		wantEnd(t, frames)
	})
	t.Run("malformed", func(t *testing.T) {
		b, _ := start(0, false)
		for _, id := range []string{"x", "-1", "+1", "1.0", "0x1", "9223372036854775808", "1 2", "١"} {
			w := b.call("GET", "/v1/tasks/"+idA+"/events", "", "Last-Event-ID", id)
			wantProblem(t, w, 400, "invalid_request", "Last-Event-ID")
		}
		wantProblem(t, b.call("GET", "/v1/tasks/"+idA+"/events?lastEventId=x", ""), 400, "invalid_request", "Last-Event-ID")
	})
}

func TestEventStreamOfATaskElsewhere(t *testing.T) {
	b := newBench(t, func(o *Options) { o.StreamReread = 5 * time.Millisecond })
	b.tasks.add("mine", idA, task.Video)
	_, frames := b.follow(t, b.serve(t), idA)
	wantFrames(t, frames, "Progress 1")
	b.tasks.happen(idA, task.EventStarted, 0, false)
	wantFrames(t, frames, "Started 2")
	b.tasks.setErr(fmt.Errorf("no answer: %w", task.ErrUnavailable)) // waited for
	b.tasks.happen(idA, task.EventCancelled, 0, false)
	b.tasks.setErr(nil)
	wantFrames(t, frames, "Cancelled 3")
	wantEnd(t, frames)
}

func TestEventStreamSaysThatItLives(t *testing.T) {
	b := newBench(t, func(o *Options) { o.StreamComment = 5 * time.Millisecond })
	b.tasks.add("mine", idA, task.Video)
	_, frames := b.follow(t, b.serve(t), idA)
	wantFrames(t, frames, "Progress 1")
	for range 2 {
		select {
		case f := <-frames:
			if f.comment != "keep-alive" {
				t.Errorf("got %+v", f)
			}
		case <-time.After(patience):
			t.Fatal("no comment")
		}
	}
}

func TestEventStreamEndsWithItsKey(t *testing.T) {
	t.Run("lost", func(t *testing.T) {
		b := newBench(t)
		s := b.serve(t)
		b.tasks.add("mine", idA, task.Video)
		b.tasks.add("other", idB, task.Video)
		_, mine := b.follow(t, s, idA)
		_, other := b.follow(t, s, idB, "Authorization", "Bearer other")
		wantFrames(t, mine, "Progress 1")
		wantFrames(t, other, "Progress 1")
		b.LoseKey("mine")
		wantEnd(t, mine)
		wantProblem(t, b.call("GET", "/v1/tasks/"+idA+"/events", ""), 401, "invalid_api_key", "") // let in just before
		b.tasks.happen(idB, task.EventStarted, 0, true)
		wantFrames(t, other, "Started 2")
	})
	t.Run("expired", func(t *testing.T) {
		b := newBench(t, func(o *Options) {
			o.Authenticate = func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					p := principals["mine"]
					p.ExpiresAt = time.Now().Add(50 * time.Millisecond)
					next.ServeHTTP(w, r.WithContext(key.WithPrincipal(r.Context(), p)))
				})
			}
		})
		b.tasks.add("mine", idA, task.Video)
		_, frames := b.follow(t, b.serve(t), idA)
		wantFrames(t, frames, "Progress 1")
		wantEnd(t, frames)
	})
}

func TestEventStreamsOfAKeyAreBounded(t *testing.T) {
	b := newBench(t)
	b.streams.most = 2
	s := b.serve(t)
	b.tasks.add("mine", idA, task.Video)
	b.tasks.add("other", idB, task.Video)
	_, first := b.follow(t, s, idA)
	_, second := b.follow(t, s, idA)
	wantFrames(t, first, "Progress 1")
	wantFrames(t, second, "Progress 1")
	for _, path := range []string{"/events", "/poll"} {
		w := b.call("GET", "/v1/tasks/"+idA+path, "")
		wantProblem(t, w, 429, "concurrency_limit_exceeded", "")
		if w.Header().Get("Retry-After") == "" {
			t.Error("when to try again is not said")
		}
	}
	_, other := b.follow(t, s, idB, "Authorization", "Bearer other")
	wantFrames(t, other, "Progress 1")
	b.tasks.happen(idA, task.EventCompleted, 100, true) // both end
	wantFrames(t, first, "Completed 2")
	wantEnd(t, first)
	wantFrames(t, second, "Completed 2")
	wantEnd(t, second)
	if w := b.call("GET", "/v1/tasks/"+idA+"/events", ""); w.Code != 200 {
		t.Errorf("when there is room again: %d", w.Code)
	}
}

// A write's deadline must not outlive the write: in HTTP/2 it would end the
// stream.
func TestEventStreamOverHTTP2(t *testing.T) {
	b := newBench(t, func(o *Options) { o.WriteTimeout = 30 * time.Millisecond; o.StreamComment = 200 * time.Millisecond })
	b.tasks.add("mine", idA, task.Video)
	s := httptest.NewUnstartedServer(b)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	res, frames := b.follow(t, s, idA)
	if res.ProtoMajor != 2 {
		t.Fatalf("got %s", res.Proto)
	}
	wantFrames(t, frames, "Progress 1")
	for range 2 {
		select {
		case f, ok := <-frames:
			if !ok || f.comment == "" {
				t.Fatalf("got %+v, open: %v", f, ok)
			}
		case <-time.After(patience):
			t.Fatal("no comment")
		}
	}
	b.tasks.happen(idA, task.EventCancelled, 0, true)
	wantFrames(t, frames, "Cancelled 2")
	wantEnd(t, frames)
}

func TestDrain(t *testing.T) {
	b := newBench(t)
	s := b.serve(t)
	b.tasks.add("mine", idA, task.Video)
	_, frames := b.follow(t, s, idA)
	wantFrames(t, frames, "Progress 1")
	b.Drain()
	b.Drain()
	wantEnd(t, frames)
	_, frames = b.follow(t, s, idA, "Last-Event-ID", "0")
	wantFrames(t, frames, "Progress 1")
	wantEnd(t, frames)
}

// A client that reads nothing must not hold its stream for good.
func TestEventStreamDropsWhoDoesNotRead(t *testing.T) {
	b := newBench(t, func(o *Options) { o.WriteTimeout = 50 * time.Millisecond })
	b.tasks.add("mine", idA, task.Video)
	for range 4000 { // far more than sockets hold
		e := b.tasks.happen(idA, task.EventProgress, 1, false)
		b.tasks.events[idA][e.Sequence-1].Message = strings.Repeat("m", 10_000)
	}
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		b.ServeHTTP(w, r)
	}))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET /v1/tasks/"+idA+"/events HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 0\r\nAuthorization: Bearer mine\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the stream is still held")
	}
}

func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{"", "0", "17", "-1", " 5 ", "9223372036854775808", "x", "1\n2"} {
		f.Add(s, "lastEventId="+s)
	}
	f.Fuzz(func(t *testing.T, header, query string) {
		after, given, err := lastEventID(http.Header{"Last-Event-Id": {header}}, query)
		if after < 0 || err != nil && given || !given && after != 0 {
			t.Errorf("%q %q: %d %v %v", header, query, after, given, err)
		}
		if s := strings.TrimSpace(header); given && s != "" {
			if n, e := strconv.ParseInt(s, 10, 64); e != nil || n != after {
				t.Errorf("%q read as %d", header, after)
			}
		}
	})
}

// Who wants to follow tasks that there are not is told of, and nobody else.
func TestFollowersOfUnknownTasksAreTold(t *testing.T) {
	var told []string
	b := newBench(t, func(o *Options) {
		o.UnknownTask = func(_ context.Context, keyID, address string) { told = append(told, keyID+" "+address) }
	})
	b.tasks.add("mine", idA, task.Video)
	for _, path := range []string{"/v1/tasks/" + idB + "/events", "/v1/tasks/nonsense/poll", "/v1/tasks/" + idB} {
		wantProblem(t, b.call("GET", path, ""), 404, "task_not_found", "id")
	}
	wantProblem(t, b.call("GET", "/v1/tasks/"+idA+"/events", "", "Authorization", "Bearer other"), 404, "task_not_found", "id")
	b.call("HEAD", "/v1/tasks/"+idA+"/events", "")
	b.tasks.err = task.ErrUnavailable
	b.call("GET", "/v1/tasks/"+idA+"/events", "")
	from := httptest.NewRequest("GET", "/", nil).RemoteAddr
	if want := []string{"mine " + from, "mine " + from, "other " + from}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}
