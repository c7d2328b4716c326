package signalr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHTTPEdges asks what the recorder asked ASP.NET Core over long polling:
// lines 54 to 99 of http-edges.jsonl, a message and what came of it, with and
// without detailed errors; and 139 and 140, MessagePack. The other lines are
// about the transports and asked in internal/transport.
func TestHTTPEdges(t *testing.T) {
	for file, detailed := range map[string]bool{"http-edges.jsonl": true, "http-edges.without-details.jsonl": false} {
		data, err := os.ReadFile("internal/transport/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		hub := referenceHub(HubOptions{EnableDetailedErrors: detailed, MaximumParallelInvocationsPerClient: 2})
		url := serveHub(t, hub)
		for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
			var e struct {
				Says, Sent string
				Polls      []json.RawMessage
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			switch {
			case e.Sent == "":
				continue
			case e.Says == "message: unknown type, then a call":
				continue // the reference forgets the call until more bytes come; we do not (hub protocol 4.4)
			}
			t.Run(fmt.Sprintf("%s line %d %s", file, i+1, e.Says), func(t *testing.T) {
				t.Parallel()
				p := newPoller(t, url)
				if strings.HasPrefix(e.Says, "message") {
					p.post(t, "{\"protocol\":\"json\",\"version\":1}\x1e")
					if status, body := p.get(t, clientPatience); status != 200 || body != "{}\x1e" {
						t.Fatalf("handshake: %d %q", status, body)
					}
				}
				p.post(t, e.Sent)
				p.compare(t, e.Polls)
			})
		}
	}
	t.Run("MessagePack", func(t *testing.T) {
		p := newPoller(t, serveHub(t, referenceHub(HubOptions{})))
		p.post(t, "{\"protocol\":\"messagepack\",\"version\":1}\x1e")
		if status, body := p.get(t, clientPatience); status != 200 || body != "{}\x1e" {
			t.Errorf("handshake: %d %q", status, body)
		}
		p.post(t, "\x0e\x96\x01\x80\xa11\xa4Echo\x91\xa1x\x90")
		if status, body := p.get(t, clientPatience); status != 200 || body != "\b\x95\x03\x80\xa11\x03\xa1x" {
			t.Errorf("call: %d %q", status, body)
		}
	})
}

// poller is a client that polls by hand.
type poller struct{ url string }

func newPoller(t *testing.T, hub string) poller {
	t.Helper()
	resp, err := http.Post(hub+"/negotiate?negotiateVersion=1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var n struct{ ConnectionToken string }
	if err := json.NewDecoder(resp.Body).Decode(&n); err != nil {
		t.Fatal(err)
	}
	p := poller{hub + "?id=" + n.ConnectionToken}
	t.Cleanup(func() {
		req, _ := http.NewRequest("DELETE", p.url, nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	})
	if status, body := p.get(t, clientPatience); status != 200 || body != "" {
		t.Fatalf("first poll: %d %q", status, body)
	}
	return p
}

func (p poller) post(t *testing.T, body string) {
	t.Helper()
	resp, err := http.Post(p.url, "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("POST: %d", resp.StatusCode)
	}
}

// get polls; status 0: nothing came in time.
func (p poller) get(t *testing.T, patience time.Duration) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", p.url, nil)
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(all)
}

// sortRecords sorts messages: the order of answers to calls that run at the
// same time is random.
func sortRecords(s string) []string {
	records := strings.SplitAfter(s, "\x1e")
	slices.Sort(records)
	return records
}

// compare polls for what was recorded. How messages are spread over polls is
// random, and so is whether something comes within the recorder's patience:
// what must come is compared, of what must not a short while is watched.
func (p poller) compare(t *testing.T, polls []json.RawMessage) {
	t.Helper()
	var want, got string
	end := false
	for _, raw := range polls {
		var poll struct {
			Status int
			Body   string
		}
		if json.Unmarshal(raw, &poll) == nil {
			want += poll.Body
			end = end || poll.Status == http.StatusNoContent
		}
	}
	for len(got) < len(want) {
		status, body := p.get(t, clientPatience)
		if status != 200 {
			t.Fatalf("poll: %d after %q, want %q", status, got, want)
		}
		got += body
	}
	if diff := cmp.Diff(sortRecords(want), sortRecords(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if end {
		if status, body := p.get(t, clientPatience); status != http.StatusNoContent {
			t.Errorf("at the end: %d %q, want 204", status, body)
		}
	} else if want == "" {
		if status, body := p.get(t, 50*time.Millisecond); status != 0 {
			t.Errorf("got %d %q, want nothing", status, body)
		}
	}
}
