package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/task"
)

// taskEvents is a task's life as server-sent events (rest-api C.2): event is
// the hub's event name, id the sequence, data the hub's JSON.
//
// Without Last-Event-ID it begins with the newest Progress or the terminal
// event, with it at the first stored event above. It ends after the terminal
// event; who has that already gets 204, which ends an EventSource. A task that
// runs in this process is followed through the feed, any other by reading the
// store again and again.
func (h *Handler) taskEvents(w http.ResponseWriter, r *http.Request) error {
	p, t, err := h.findToFollow(r)
	if err != nil {
		return err
	}
	after, resumed, err := lastEventID(r.Header, r.URL.RawQuery)
	if err != nil {
		return err
	}
	ctx, cancel := streamContext(r.Context(), p)
	defer cancel()
	remove, err := h.streams.add(p.KeyID, cancel)
	if err != nil {
		return err
	}
	defer remove()

	// Woken from here on: what is stored after the reads below is not missed.
	wake, unsubscribe := h.o.Feed.Subscribe(t.ID)
	defer unsubscribe()
	latest, err := h.o.Tasks.Latest(ctx, p.KeyID, t.ID)
	if err != nil {
		return err
	}
	if resumed && latest.Name.Terminal() && after >= latest.Sequence {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	f := &follower{h: h, keyID: p.KeyID, taskID: t.ID, last: min(after, max(t.Sequence, latest.Sequence)),
		w: w, control: http.NewResponseController(w)}
	f.begin()
	if r.Method == http.MethodHead {
		return nil
	}
	if !resumed {
		if err := f.send([]task.Event{latest}); err != nil {
			return err
		}
	}
	return f.run(ctx, wake)
}

// streamContext ends with the request, and with the key.
func streamContext(ctx context.Context, p key.Principal) (context.Context, context.CancelFunc) {
	if p.ExpiresAt.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, p.ExpiresAt)
}

// lastEventID is where the client stands. The header counts before the query,
// which polyfills use that cannot set headers.
func lastEventID(header http.Header, rawQuery string) (after int64, given bool, err error) {
	s := strings.TrimSpace(header.Get("Last-Event-ID"))
	if s == "" {
		q, err := url.ParseQuery(rawQuery)
		if err != nil {
			return 0, false, badRequest("", "The query is not readable.")
		}
		for _, name := range []string{"lastEventId", "last_event_id"} {
			if s == "" {
				s = strings.TrimSpace(q.Get(name))
			}
		}
	}
	if s == "" {
		return 0, false, nil
	}
	refused := badRequest("Last-Event-ID", "Last-Event-ID must be a sequence number of this stream, not '%s'.", shown(s))
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false, refused
		}
	}
	after, err = strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false, refused
	}
	return after, true, nil
}

// follower writes one event stream.
type follower struct {
	h             *Handler
	keyID, taskID string
	last          int64 // sequence sent last, or that the client had
	ended         bool  // the terminal event has been sent
	w             http.ResponseWriter
	control       *http.ResponseController
}

func (f *follower) begin() {
	head := f.w.Header()
	head.Set("Content-Type", "text/event-stream; charset=utf-8")
	head.Set("Cache-Control", "no-store, no-transform")
	head.Set("X-Accel-Buffering", "no")
	head.Set("X-Content-Type-Options", "nosniff")
	f.w.WriteHeader(http.StatusOK)
	f.bound()
	defer f.unbound()
	_ = f.control.Flush() // a client that is gone shows at the next write
}

// run sends what is stored, as it comes, until the terminal event.
func (f *follower) run(ctx context.Context, wake <-chan struct{}) error {
	reread := time.NewTicker(f.h.o.StreamReread)
	defer reread.Stop()
	comment := time.NewTicker(f.h.o.StreamComment)
	defer comment.Stop()
	for !f.ended {
		more, err := f.read(ctx)
		if err != nil || f.ended {
			return err
		}
		if more {
			continue
		}
		select {
		case <-wake:
		case <-reread.C:
		case <-comment.C:
			if err := f.write([]byte(": keep-alive\n\n")); err != nil {
				return err
			}
		case <-f.h.streams.draining:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// read sends the stored events that are new; more says that there may be
// further ones at once. A database that does not answer is waited for.
func (f *follower) read(ctx context.Context) (more bool, err error) {
	events, err := f.h.o.Tasks.Events(ctx, f.keyID, f.taskID, f.last)
	switch {
	case err == nil && len(events) > 0:
		return true, f.send(events)
	case err == nil:
		return false, nil
	case ctx.Err() != nil:
		return false, nil // the loop sees it
	case errors.Is(err, task.ErrUnavailable):
		f.h.log.WarnContext(ctx, "an event stream waits for the database", "error", err, "task_id", f.taskID)
		return false, nil
	}
	return false, fmt.Errorf("read events: %w", err)
}

// chunk is about how many bytes of events are written at once.
const chunk = 32 << 10

// send writes events, of which the first is above f.last or the only one, up
// to the terminal one.
func (f *follower) send(events []task.Event) error {
	var b []byte
	for i, e := range events {
		data, err := encode(f.h.public(e)) // ends with a line break
		if err != nil {
			return fmt.Errorf("encode an event: %w", err)
		}
		b = append(b, "event: "+string(e.Name)+"\nid: "...)
		b = strconv.AppendInt(b, e.Sequence, 10)
		b = append(b, "\ndata: "...)
		b = append(b, data...)
		b = append(b, '\n')
		f.last, f.ended = e.Sequence, e.Name.Terminal()
		if f.ended || i == len(events)-1 || len(b) >= chunk {
			if err := f.write(b); err != nil || f.ended {
				return err
			}
			b = b[:0]
		}
	}
	return nil
}

// write is bounded in time: a client that does not read is dropped. Between
// writes there is no deadline, since in HTTP/2 one that passes ends the stream.
func (f *follower) write(b []byte) error {
	f.bound()
	defer f.unbound()
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	return f.control.Flush()
}

// bound and unbound do nothing where the connection knows no deadlines.
func (f *follower) bound()   { _ = f.control.SetWriteDeadline(time.Now().Add(f.h.o.WriteTimeout)) }
func (f *follower) unbound() { _ = f.control.SetWriteDeadline(time.Time{}) }

// public is an event's JSON, with links for its reader.
func (h *Handler) public(e task.Event) any {
	now := time.Now()
	return e.Public(func(baseURL, mediaKey string) string {
		return h.o.Links.URL(h.linkBase(baseURL), mediaKey, now)
	})
}
