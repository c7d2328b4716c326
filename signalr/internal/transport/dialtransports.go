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
		one, cancel := context.WithCancel(ctx)
		late := time.AfterFunc(s.d.o.PollTimeout, cancel)
		resp, err := s.d.do(one, s.d.lasting, http.MethodGet, s.d.url, nil)
		if !late.Stop() && err != nil && ctx.Err() == nil {
			cancel()
			continue // nobody answers this one; the next one takes its place
		}
		if err != nil {
			cancel()
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		err = s.readPoll(resp, buf)
		cancel()
		switch {
		case errors.Is(err, errNoMore):
			return nil
		case err != nil:
			return err
		}
	}
}

// errNoMore is the answer to a poll that the connection has ended.
var errNoMore = errors.New("204")

// readPoll takes what a poll has brought.
func (s *dialed) readPoll(resp *http.Response, buf []byte) error {
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		drain(resp)
		return errNoMore
	default:
		drain(resp)
		return &StatusError{Op: "poll", Status: resp.StatusCode}
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			s.receive(buf[:n])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
}
