package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/knnlabs/conduit/internal/media"
)

// getMedia serves a result to whoever holds its link: GET and HEAD, Range,
// If-Range, If-None-Match, If-Modified-Since (net/http's ServeContent).
func (h *Handler) getMedia(w http.ResponseWriter, r *http.Request) error {
	name, q := r.PathValue("key"), r.URL.Query()
	if err := h.o.Links.Verify(name, q.Get("exp"), q.Get("sig"), time.Now()); err != nil {
		return err
	}
	out := &download{ResponseWriter: w, control: http.NewResponseController(w), timeout: h.o.WriteTimeout}
	defer out.end()
	if err := media.Serve(out, r, h.o.Media, name); err != nil {
		return fmt.Errorf("serve a result: %w", err)
	}
	return nil
}

// download is a ResponseWriter whose client must keep reading, and that says
// in our envelope what ServeContent says in plain text.
type download struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // for one write
	refused bool          // the body is written already
}

func (d *download) WriteHeader(status int) {
	if status < 400 {
		d.ResponseWriter.WriteHeader(status)
		return
	}
	d.refused = true
	p := internalError()
	switch {
	case status == http.StatusRequestedRangeNotSatisfiable:
		p = &problem{Status: status, Code: "invalid_request", Message: "The result has no such part."}
	case status < 500:
		p = &problem{Status: status, Code: "invalid_request", Message: "The result does not meet the request's conditions."}
	}
	length := d.Header().Get("Content-Range")
	forgetBody(d.Header())
	if length != "" {
		d.Header().Set("Content-Range", length)
	}
	writeProblem(d.ResponseWriter, p)
}

func (d *download) Write(p []byte) (int, error) {
	if d.refused {
		return len(p), nil
	}
	_ = d.control.SetWriteDeadline(time.Now().Add(d.timeout)) // where the connection has deadlines
	return d.ResponseWriter.Write(p)
}

// end leaves the connection to its next request without a deadline.
func (d *download) end() { _ = d.control.SetWriteDeadline(time.Time{}) }
