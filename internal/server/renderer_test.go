package server

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/provider/local"
)

// panicky is a renderer that panics half-way through the prompt "panic".
type panicky struct {
	*local.Renderer
	bad sync.Map // ids
}

func (p *panicky) Submit(ctx context.Context, r provider.Request) (string, error) {
	id, err := p.Renderer.Submit(ctx, r)
	if r.Prompt == "panic" {
		p.bad.Store(id, true)
	}
	return id, err
}

func (p *panicky) Watch(ctx context.Context, id string) iter.Seq2[provider.Update, error] {
	return func(yield func(provider.Update, error) bool) {
		for u, err := range p.Renderer.Watch(ctx, id) {
			if _, bad := p.bad.Load(id); bad && u.Phase == provider.Running {
				panic("half-way")
			}
			if !yield(u, err) {
				return
			}
		}
	}
}

func TestARendererThatPanicsHalfWay(t *testing.T) {
	t.Parallel() // it waits more than it works
	r := serve(t, settings(t, t.TempDir(), `{}`), func(o *Options) {
		o.wrap = func(l *local.Renderer) provider.Provider { return &panicky{Renderer: l} }
	})
	bearer := "Authorization: Bearer " + r.key()
	end := func(prompt string) (status, code, message string) {
		t.Helper()
		resp, body := r.call("POST", "/v1/videos/generations/async", `{"prompt":"`+prompt+`","size":"64x64","duration":4}`, bearer)
		if resp.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		var task struct {
			TaskID string `json:"task_id"`
		}
		if err := json.Unmarshal([]byte(body), &task); err != nil {
			t.Fatal(err)
		}
		_, body = r.call("GET", "/v1/tasks/"+task.TaskID+"/poll?timeout=120", "", bearer)
		var ended struct {
			Status      string `json:"status"`
			Error       string `json:"error"`
			ErrorDetail struct {
				Code string `json:"code"`
			} `json:"error_detail"`
		}
		if err := json.Unmarshal([]byte(body), &ended); err != nil {
			t.Fatal(err)
		}
		return ended.Status, ended.ErrorDetail.Code, ended.Error
	}
	if status, code, message := end("panic"); status != "failed" || code != "provider_unavailable" || message == "" || strings.Contains(message, "half-way") {
		t.Errorf("%s %s %q", status, code, message)
	}
	if status, _, message := end("a paper boat"); status != "completed" {
		t.Errorf("the next one: %s %q", status, message)
	}
	if !strings.Contains(r.log.String(), "half-way") {
		t.Error("the log does not have the cause")
	}
}
