package api

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

const taskIDHeader = "X-Task-Id"

// generateImages is OpenAI's synchronous form (rest-api A.3): it makes a task
// like any other and waits for it. Whoever goes away leaves the task to itself;
// the same request with its Idempotency-Key, or the retry of an OpenAI client,
// waits for the same task.
func (h *Handler) generateImages(w http.ResponseWriter, r *http.Request) error {
	p, t, created, err := h.submit(w, r, provider.Image, formatURL, formatBase64)
	if err != nil {
		return err
	}
	w.Header().Set(taskIDHeader, t.ID)
	if !created {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	format := t.ResponseFormat
	if t, err = h.await(r.Context(), p, t.ID); err != nil {
		return err
	}
	if t.State != task.Completed {
		return failedTask(t)
	}
	if format == formatBase64 {
		return h.writeImages(w, r, t)
	}
	a := imagesView{Created: createdAt(t), Data: []imageLink{}}
	now := time.Now()
	for _, o := range t.Outputs {
		a.Data = append(a.Data, imageLink{URL: h.o.Links.URL(h.linkBase(t.BaseURL), o.MediaKey, now)})
	}
	return writeJSON(w, http.StatusOK, a)
}

// imagesView is the synchronous answer.
type imagesView struct {
	Created int64       `json:"created"` // unix seconds
	Data    []imageLink `json:"data"`
}

type imageLink struct {
	URL string `json:"url"` // absolute, signed, valid for an hour
}

func createdAt(t task.Task) int64 {
	if t.CompletedAt == nil {
		return t.UpdatedAt.Unix()
	}
	return t.CompletedAt.Unix()
}

// writeImages is the answer with the images in it, in base64. They are read as
// they are written, one at a time.
func (h *Handler) writeImages(w http.ResponseWriter, r *http.Request, t task.Task) error {
	files := make([]io.ReadSeekCloser, 0, len(t.Outputs))
	defer func() {
		for _, f := range files {
			_ = f.Close() // only read from
		}
	}()
	length := 0
	for _, o := range t.Outputs {
		f, info, err := h.o.Media.Open(r.Context(), o.MediaKey)
		if err != nil {
			return fmt.Errorf("open a result: %w", err)
		}
		files = append(files, f)
		length += base64.StdEncoding.EncodedLen(int(info.Bytes))
	}
	const before, between, after = `{"b64_json":"`, `,`, `"}`
	head := `{"created":` + strconv.FormatInt(createdAt(t), 10) + `,"data":[`
	const tail = "]}\n"
	length += len(head) + len(tail) + len(files)*(len(before)+len(after)) + max(len(files)-1, 0)*len(between)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	out := &download{ResponseWriter: w, control: http.NewResponseController(w), timeout: h.o.WriteTimeout}
	defer out.end()
	if _, err := io.WriteString(out, head); err != nil {
		return err
	}
	for i, f := range files {
		text := before
		if i > 0 {
			text = between + before
		}
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
		encoder := base64.NewEncoder(base64.StdEncoding, out)
		if _, err := io.Copy(encoder, f); err != nil {
			return err
		}
		if err := encoder.Close(); err != nil {
			return err
		}
		if _, err := io.WriteString(out, after); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, tail)
	return err
}

// failedTask is the answer for somebody who waited for a task that ended
// without a result. Asking once more for the same would find the same task, so
// clients are told not to.
func failedTask(t task.Task) *problem {
	p := &problem{Status: http.StatusInternalServerError, Type: "server_error", Code: "internal_error", NoRetry: true,
		Message: "The task failed."}
	f := t.Failure
	switch {
	case t.State == task.Cancelled:
		p.Status, p.Type, p.Code, p.Message = http.StatusConflict, "", "cancelled", "The task was cancelled."
	case f == nil:
	case f.Code == "content_policy":
		p.Status, p.Type, p.Code, p.Param, p.Message = http.StatusBadRequest, "", f.Code, "prompt", f.Message
	case t.State == task.TimedOut:
		p.Status, p.Code, p.Message = http.StatusGatewayTimeout, f.Code, f.Message
	case f.Retryable:
		p.Status, p.Code, p.Message = http.StatusServiceUnavailable, f.Code, f.Message
	default:
		p.Code, p.Message = f.Code, f.Message
	}
	return p
}
