package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/coder/websocket"
)

// dialWebSocket connects by WebSocket.
func (d *dialer) dialWebSocket(ctx context.Context, accept func(Session) (Application, error)) error {
	header, err := d.header(ctx)
	if err != nil {
		return err
	}
	conn, resp, err := websocket.Dial(ctx, d.url, &websocket.DialOptions{HTTPClient: d.lasting, HTTPHeader: header}) //nolint:bodyclose // the package needs no closing
	if err != nil {
		if resp != nil {
			return &StatusError{"the WebSocket", resp.StatusCode}
		}
		return hideQuery(err)
	}
	conn.SetReadLimit(-1) // messages are read as streams
	s := d.session(WebSockets)
	s.write = func(ctx context.Context, p []byte) error {
		ctx, cancel := context.WithTimeout(ctx, d.o.SendTimeout)
		defer cancel()
		kind := websocket.MessageText
		if s.binary.Load() {
			kind = websocket.MessageBinary
		}
		return conn.Write(ctx, kind, p)
	}
	s.bye = func(context.Context) { _ = conn.Close(websocket.StatusNormalClosure, "") } // it waits 5 s at most
	s.cut = func() { _ = conn.CloseNow() }
	return s.start(accept, func() error { return s.readWebSocket(conn) })
}

func (s *dialed) readWebSocket(conn *websocket.Conn) error {
	buf := make([]byte, 16<<10)
	for {
		_, r, err := conn.Reader(s.ctx)
		for err == nil {
			var n int
			n, err = r.Read(buf)
			if n > 0 {
				s.receive(buf[:n]) // a refusal closes; what follows is passed over
			}
		}
		if errors.Is(err, io.EOF) && r != nil {
			continue // the end of a message
		}
		var ce websocket.CloseError
		switch {
		case !errors.As(err, &ce):
			return fmt.Errorf("%w: %w", ErrLost, err)
		case ce.Code == websocket.StatusNormalClosure:
			return nil
		case ce.Reason == "":
			return fmt.Errorf("WebSocket closed with status code %d (no reason given)", ce.Code)
		}
		return fmt.Errorf("WebSocket closed with status code %d (%s)", ce.Code, ce.Reason)
	}
}

// dialEvents connects by server-sent events.
func (d *dialer) dialEvents(ctx context.Context, accept func(Session) (Application, error)) error {
	s := d.session(ServerSentEvents)
	// ctx bounds the wait for the header, s.ctx the stream.
	stop := context.AfterFunc(ctx, s.cancel)
	resp, err := d.do(s.ctx, d.lasting, http.MethodGet, d.url, nil, "Accept", "text/event-stream") //nolint:bodyclose // the end of the session closes it
	if err == nil && resp.StatusCode != http.StatusOK {
		drain(resp)
		err = &StatusError{"the event stream", resp.StatusCode}
	}
	if !stop() && err == nil {
		err = ctx.Err()
		_ = resp.Body.Close()
	}
	if err != nil {
		s.cancel()
		return err
	}
	s.write = d.post
	s.bye = func(context.Context) {}
	s.cut = func() { _ = resp.Body.Close() }
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
		return &StatusError{"the first poll", resp.StatusCode}
	}
	polls, stopPolling := context.WithCancel(s.ctx)
	s.write = d.post
	s.bye = func(ctx context.Context) {
		stopPolling()
		if resp, err := d.do(ctx, d.client, http.MethodDelete, d.url, nil); err == nil {
			drain(resp) // 202, or 404 when the server was faster
		}
	}
	s.cut = stopPolling
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
		resp, err := s.d.do(ctx, s.d.lasting, http.MethodGet, s.d.url, nil)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		if resp.StatusCode != http.StatusOK {
			drain(resp)
			if resp.StatusCode == http.StatusNoContent {
				return nil
			}
			return &StatusError{"poll", resp.StatusCode}
		}
		for err == nil {
			var n int
			n, err = resp.Body.Read(buf)
			if n > 0 {
				s.receive(buf[:n])
			}
		}
		_ = resp.Body.Close() // read to its end
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
}
