package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// dialEvents connects by server-sent events.
func (d *dialer) dialEvents(ctx context.Context, accept func(Session) (Application, error)) error {
	s := d.session(ServerSentEvents)
	// ctx bounds the wait for the header, s.ctx the stream.
	stop := context.AfterFunc(ctx, s.cancel)
	resp, err := d.do(s.ctx, d.lasting, http.MethodGet, d.url, nil, "Accept", "text/event-stream") //nolint:bodyclose // the end of the session closes it
	if err == nil && resp.StatusCode != http.StatusOK {
		drain(resp)
		err = &StatusError{Op: "the event stream", Status: resp.StatusCode}
	}
	if !stop() && err == nil {
		err = ctx.Err()
		_ = resp.Body.Close()
	}
	if err != nil {
		s.cancel()
		return err
	}
	s.link = link{write: d.post, bye: func(context.Context) {}, cut: func() { _ = resp.Body.Close() }}
	return s.start(accept, func() error { return s.readEvents(resp.Body) })
}

// readEvents reads the data of events until the stream ends, which is the
// server's way to close.
func (s *dialed) readEvents(body io.Reader) error {
	in := bufio.NewReader(body)
	var data []byte
	lines := 0
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil // what has no empty line behind it is no event
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
		if len(line) == 0 {
			if lines > 0 {
				s.receive(data)
			}
			data, lines = data[:0], 0
			continue
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		if string(field) != "data" {
			continue // a comment, or a field that means nothing here
		}
		if lines > 0 {
			data = append(data, '\n')
		}
		data = append(data, bytes.TrimPrefix(value, []byte{' '})...)
		lines++
	}
}

// dialPolling connects by long polling. The first poll only attaches.
func (d *dialer) dialPolling(ctx context.Context, accept func(Session) (Application, error)) error {
	s := d.session(LongPolling)
	resp, err := d.do(ctx, d.lasting, http.MethodGet, d.url, nil)
	if err != nil {
		s.cancel()
		return err
	}
	drain(resp)
	if resp.StatusCode != http.StatusOK {
		s.cancel()
		return &StatusError{Op: "the first poll", Status: resp.StatusCode}
	}
	polls, stopPolling := context.WithCancel(s.ctx)
	s.link = link{write: d.post, cut: stopPolling, bye: func(ctx context.Context) {
		stopPolling()
		if resp, err := d.do(ctx, d.client, http.MethodDelete, d.url, nil); err == nil {
			drain(resp) // 202, or 404 when the server was faster
		}
	}}
	return s.start(accept, func() error {
		err := s.poll(polls)
		if polls.Err() != nil {
			<-s.ctx.Done() // we are the ones who end, see bye
			return nil
		}
		return err
	})
}

// poll polls until the server says that the connection has ended.
func (s *dialed) poll(ctx context.Context) error {
	buf := make([]byte, 16<<10)
	for {
		if end, err := s.pollOnce(ctx, buf); end || err != nil {
			return err
		}
	}
}

// pollOnce makes a poll and takes what it brings. A poll that nobody answers is
// given up for the next one, which takes its place at the server.
func (s *dialed) pollOnce(ctx context.Context, buf []byte) (end bool, err error) {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(s.d.o.PollTimeout, cancel)
	resp, err := s.d.do(ctx, s.d.lasting, http.MethodGet, s.d.url, nil)
	if !late.Stop() && err != nil && outer.Err() == nil {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrLost, err)
	}
	defer drain(resp)
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		return true, nil
	default:
		return false, &StatusError{Op: "poll", Status: resp.StatusCode}
	}
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			s.receive(buf[:n])
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
}
