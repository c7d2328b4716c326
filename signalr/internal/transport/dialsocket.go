package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// dialWebSocket connects by WebSocket.
func (d *dialer) dialWebSocket(ctx context.Context, accept func(Session) (Application, error)) error {
	conn, err := d.openSocket(ctx)
	if err != nil {
		return err
	}
	s := d.session(WebSockets)
	s.link = s.linkTo(conn)
	return s.start(accept, func() error { return s.serveSocket(conn) })
}

// openSocket opens a WebSocket to the address of the connection.
func (d *dialer) openSocket(ctx context.Context) (*websocket.Conn, error) {
	header, err := d.header(ctx)
	if err != nil {
		return nil, err
	}
	conn, resp, err := websocket.Dial(ctx, d.url, &websocket.DialOptions{HTTPClient: d.lasting, HTTPHeader: header}) //nolint:bodyclose // the package needs no closing
	if err != nil {
		if resp != nil {
			return nil, &StatusError{Op: "the WebSocket", Status: resp.StatusCode}
		}
		return nil, hideQuery(err)
	}
	conn.SetReadLimit(-1) // messages are read as streams
	return conn, nil
}

func (s *dialed) linkTo(conn *websocket.Conn) link {
	return link{
		write: func(ctx context.Context, p []byte) error {
			ctx, cancel := context.WithTimeout(ctx, s.d.o.SendTimeout)
			defer cancel()
			kind := websocket.MessageText
			if s.binary.Load() {
				kind = websocket.MessageBinary
			}
			return conn.Write(ctx, kind, p)
		},
		bye: func(context.Context) { _ = conn.Close(websocket.StatusNormalClosure, "") }, // it waits 5 s at most
		cut: func() { _ = conn.CloseNow() },
	}
}

// serveSocket reads from a WebSocket, and from those that take its place, to
// the end.
func (s *dialed) serveSocket(conn *websocket.Conn) error {
	for {
		err := s.readWebSocket(conn)
		if !errors.Is(err, ErrLost) {
			return err
		}
		ctx, on := s.lose()
		if !on {
			return err
		}
		_ = conn.CloseNow()
		var refusal error
		if conn, refusal = s.reopen(ctx); refusal != nil {
			return fmt.Errorf("%w; it could not be re-attached: %w", err, refusal)
		}
		if !s.resume(conn) {
			return err
		}
	}
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

// SetStateful implements Session. Switching it off while there is no socket
// ends the session.
func (s *dialed) SetStateful(on bool) {
	if !s.StatefulOffered() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stateful = on
	if !on && s.lost != nil {
		s.lost()
	}
}

// outlives reports whether the session goes on without this socket. It sees to
// it that the reader ends, which gets another one.
func (s *dialed) outlives(to link) bool {
	s.mu.Lock()
	on := s.stateful && !s.closing && !s.ended
	s.mu.Unlock()
	if on {
		to.cut()
	}
	return on
}

// lose tells the application that the socket is gone. It says no when that is
// the end. ctx ends when nobody wants another socket any more, or the server
// has given the connection up.
func (s *dialed) lose() (ctx context.Context, on bool) {
	s.next.Lock() // a Next under way is over
	defer s.next.Unlock()
	s.mu.Lock()
	if !s.stateful || s.closing || s.ended {
		s.mu.Unlock()
		return nil, false
	}
	ctx, s.lost = context.WithTimeout(s.ctx, reattachWindow)
	s.mu.Unlock()
	s.app.Lost()
	return ctx, true
}

// reattachWindow is how long a server keeps a connection without a socket.
const reattachWindow = 15 * time.Second

// reattachDelay is how long before attempt n to get another socket, from 0 on.
// The official clients try once only.
func reattachDelay(n int) time.Duration {
	return min(time.Duration(n*n)*100*time.Millisecond, 2*time.Second)
}

// reattachAttempt is how long one attempt may take: a server that thinks the
// old socket alive answers after 5 s.
const reattachAttempt = 8 * time.Second

// reopen opens another socket to the same connection. It gives up when the
// server refuses, or ctx ends.
func (s *dialed) reopen(ctx context.Context) (*websocket.Conn, error) {
	var last error
	for n := 0; ; n++ {
		select {
		case <-time.After(reattachDelay(n)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			if last == nil {
				last = ctx.Err()
			}
			return nil, last
		}
		attempt, cancel := context.WithTimeout(ctx, reattachAttempt)
		conn, err := s.d.openSocket(attempt)
		cancel()
		if err == nil {
			return conn, nil
		}
		if refused(err) {
			return nil, err
		}
		last = err
	}
}

// refused reports whether a server or proxy that answers so will not answer
// otherwise soon.
func refused(err error) bool {
	var status *StatusError
	if !errors.As(err, &status) {
		return false
	}
	switch status.Status {
	case http.StatusConflict, http.StatusTooManyRequests:
		return false
	}
	return status.Status < 500
}

// resume has the session go on with another socket; it says no after the end.
func (s *dialed) resume(conn *websocket.Conn) bool {
	s.next.Lock()
	s.mu.Lock()
	s.lost()
	if s.ended || s.closing || !s.stateful {
		s.mu.Unlock()
		s.next.Unlock()
		_ = conn.CloseNow()
		return false
	}
	s.link = s.linkTo(conn)
	s.mu.Unlock()
	s.app.Resumed()
	s.mu.Lock()
	s.lost = nil
	s.mu.Unlock()
	s.next.Unlock()
	s.Flush()
	return true
}
