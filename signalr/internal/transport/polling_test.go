package transport

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
)

// pieces is a body that comes in pieces.
func pieces(body []byte, step uint8) io.ReadCloser {
	var r io.Reader = bytes.NewReader(body)
	if step > 0 {
		r = &stepReader{r, int(step)}
	}
	return io.NopCloser(iotest.DataErrReader(r))
}

type stepReader struct {
	r    io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.step)]) }

// answers is a server that answers in turn.
type answers []*http.Response

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	next := (*a)[0]
	*a = (*a)[1:]
	return next, nil
}

// FuzzBodies sends whatever bytes by POST, before the first poll and behind it,
// and has a client poll them: they arrive as they are, neither less nor more.
func FuzzBodies(f *testing.F) {
	f.Add([]byte(jsonHandshake), []byte("{\"type\":6}\x1e"), uint8(0))
	f.Add([]byte(jsonHandshake+"{\"type\":1,\"target\":\"Ech"), []byte("o\",\"arguments\":[]}\x1e"), uint8(3))
	f.Add([]byte("\x02\x91\x06\x02\x91"), []byte("\x06"), uint8(1))
	f.Add([]byte{}, bytes.Repeat([]byte("x"), 20_000), uint8(200))
	f.Add(bytes.Repeat([]byte("y"), heldSize), []byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, early, late []byte, step uint8) {
		early = early[:min(len(early), heldSize)] // more would wait for the poll
		var got *caller
		e := NewEndpoint(EndpointOptions{Accept: func(s Session) (Application, error) {
			got = &caller{Session: s, ended: make(chan error, 1)}
			return got, nil
		}})
		s := e.open(httptest.NewRequest("POST", "/", nil), 1, false)
		request := func(method string, body []byte) {
			t.Helper()
			r := httptest.NewRequest(method, "/hub?id="+s.token, pieces(body, step))
			w := httptest.NewRecorder()
			if e.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", method, w.Code, w.Body)
			}
		}
		request(http.MethodPost, early)
		request(http.MethodGet, nil)
		request(http.MethodPost, late)
		want := string(early) + string(late)
		eventually(t, "all has arrived", func() bool { return len(got.got()) >= len(want) })
		if got.got() != want {
			t.Fatalf("%q arrives as %q", want, got.got())
		}
		s.finish(nil)

		polls := answers{
			{StatusCode: http.StatusOK, Body: pieces(early, step)},
			{StatusCode: http.StatusOK, Body: pieces(late, step)},
			{StatusCode: http.StatusNoContent, Body: http.NoBody},
		}
		d, err := newDialer(DialOptions{URL: "http://example.test/hub", HTTPClient: &http.Client{Transport: &polls}})
		if err != nil {
			t.Fatal(err)
		}
		client := &caller{}
		session := d.session(LongPolling)
		session.app = client
		if err := session.poll(t.Context()); err != nil || client.got() != want {
			t.Fatalf("%q is polled as %q, %v", want, client.got(), err)
		}
		session.cancel()
	})
}
