package transport

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gobwas/ws"
)

// lastFrame is what follows when the control frame that waits is written.
type lastFrame int

const (
	lastNone  lastFrame = iota
	lastClose           // our close frame: wait for the peer's
	lastReply           // our answer to the peer's: close TCP
	lastFault           // the peer broke the protocol: reset TCP
)

// isWebSocket reports whether a request asks for a WebSocket in the way that
// RFC 6455 wants it; anything less counts as a poll.
func isWebSocket(r *http.Request) bool {
	h := r.Header
	if !hasToken(h["Connection"], "upgrade") || !hasToken(h["Upgrade"], "websocket") ||
		h.Get("Sec-Websocket-Version") != "13" || r.ProtoMajor != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(h.Get("Sec-Websocket-Key"))
	return err == nil && len(key) == 16
}

// serveWebSocket attaches a WebSocket, for the first time or again.
func (s *session) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, text := s.refusal(WebSockets)
	first := status == 0 && s.phase == pending
	switch {
	case status != 0:
	case first:
		s.activate(attaching)
	case s.refused:
		status = http.StatusNoContent
	case s.phase == attaching || !s.stateful:
		status = http.StatusConflict
	}
	s.mu.Unlock()
	if status != 0 {
		refuse(w, status, text)
		return
	}
	if first && !s.attach(w, r, WebSockets) {
		return
	}
	if !first {
		s.renew(r)
	}
	conn, early, err := upgrade(w, r, s.e.opts.SendTimeout)
	if err != nil {
		s.e.opts.Logger.Debug("A WebSocket could not be set up.", "connection", s.id, "error", err)
		if first {
			s.finish(ErrLost)
		}
		return
	}
	sock := newSocket(conn)
	s.mu.Lock()
	if s.phase == over {
		s.mu.Unlock()
		sock.cut(false)
		return
	}
	previous := s.socket
	s.socket = sock
	s.activate(active)
	s.mu.Unlock()
	if previous != nil {
		previous.cut(false) // without a close handshake, so that its peer may come back
	}
	go s.runSocket(sock, previous, early)
}

// upgrade takes the connection from net/http and answers 101. early is what the
// client sent behind its request. It has answered if it fails.
func upgrade(w http.ResponseWriter, r *http.Request, timeout time.Duration) (conn net.Conn, early []byte, err error) {
	answer := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ")
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer = base64.StdEncoding.AppendEncode(answer, sum[:])
	answer = append(answer, "\r\n"...)
	for name, values := range w.Header() { // what middleware has set
		for _, value := range values {
			answer = append(answer, name+": "+headerValue(value)+"\r\n"...)
		}
	}
	answer = append(answer, "\r\n"...)

	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "WebSockets are not possible here", http.StatusInternalServerError)
		return nil, nil, err
	}
	if n := rw.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		if _, err = rw.Reader.Read(early); err != nil {
			_ = conn.Close()
			return nil, nil, err
		}
	}
	if err = conn.SetDeadline(time.Time{}); err == nil { // those of http.Server end here
		err = conn.SetWriteDeadline(time.Now().Add(timeout))
	}
	if err == nil {
		_, err = conn.Write(answer)
	}
	if err == nil {
		err = conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, early, nil
}

// headerValue keeps a value from opening a line of its own.
func headerValue(v string) string {
	b := []byte(v)
	for i, c := range b {
		if c == '\r' || c == '\n' {
			b[i] = ' '
		}
	}
	return string(b)
}

// runSocket begins the reader of a socket, the one goroutine that an idle
// WebSocket has.
func (s *session) runSocket(sock, previous *socket, early []byte) {
	if previous == nil {
		s.beginReading()
	} else {
		<-previous.done
	}
	if !s.raise(sock, previous != nil) {
		sock.cut(false)
		close(sock.done)
		return
	}
	r := &socketReader{s: s, sock: sock}
	if err := sock.frames.feed(early, r); err != nil {
		r.end(err)
		return
	}
	go r.run()
}

// beginReading makes the WebSocket the one who calls Receive, for good.
func (s *session) beginReading() {
	s.mu.Lock()
	g := s.signals
	s.reading = g == nil
	s.mu.Unlock()
	if g != nil { // there were POSTs
		select {
		case g.receive <- struct{}{}:
		case <-g.gone:
			return
		}
	}
	s.deliverHeld()
}

// run reads while there is something to read, and then leaves the waiting to a
// goroutine with a small stack: 2 KB less for each idle connection.
func (r *socketReader) run() {
	err := r.sock.read(r, r.isThrough)
	if err == nil && !r.through {
		go r.run()
		return
	}
	r.end(err)
}

func (r *socketReader) end(err error) {
	r.s.socketGone(r.sock, err)
	close(r.sock.done)
}

// raise makes a socket the one that the session writes to.
func (s *session) raise(sock *socket, again bool) bool {
	if again {
		if !s.awaitGate() {
			return false
		}
		s.mu.Lock()
		current := s.socket == sock
		s.mu.Unlock()
		if current {
			s.app.Resumed()
			sock.fresh = true
			_ = sock.conn.SetReadDeadline(time.Now().Add(s.e.opts.CloseTimeout)) // fails only if it is closed
		}
		s.leaveGate()
	}
	s.mu.Lock()
	if s.phase == over || s.socket != sock {
		s.mu.Unlock()
		return false
	}
	sock.up, s.paused = true, false
	s.flushSocket()
	return true
}

// awaitGate waits until no writer is at work and takes its place. It says no
// after the end.
func (s *session) awaitGate() bool {
	for {
		s.mu.Lock()
		if s.ended {
			s.mu.Unlock()
			return false
		}
		if !s.writing {
			s.writing = true
			s.mu.Unlock()
			return true
		}
		if s.quiet == nil {
			s.quiet = make(chan struct{})
		}
		quiet := s.quiet
		s.mu.Unlock()
		<-quiet
	}
}

// socketReader takes the frames of one socket.
type socketReader struct {
	s       *session
	sock    *socket
	through bool // a close frame came
}

func (r *socketReader) isThrough() bool { return r.through }

func (r *socketReader) data(p []byte) {
	if r.sock.fresh {
		r.sock.fresh = false
		r.s.mu.Lock()
		if r.s.last == lastNone {
			_ = r.sock.conn.SetReadDeadline(time.Time{}) // fails only if it is closed
		}
		r.s.mu.Unlock()
	}
	r.s.deliver(p)
}

func (r *socketReader) ping(payload []byte) {
	s := r.s
	s.mu.Lock()
	if s.last != lastNone || s.socket != r.sock {
		s.mu.Unlock()
		return
	}
	s.control = controlFrame(ws.OpPong, payload) // an older one that still waits need not be sent
	s.flushSocket()
}

func (r *socketReader) closed(reply ws.StatusCode) {
	r.through = true
	s := r.s
	s.mu.Lock()
	answered := s.last != lastNone
	usable := s.socket == r.sock && !s.paused
	if !answered && usable {
		s.last, s.deaf = lastReply, true // no Next from now on
	}
	tell := !s.ended
	s.mu.Unlock()
	if answered || !usable { // it is the answer to ours, or nobody reads one
		s.finish(nil)
		return
	}
	if tell {
		s.app.PeerClosed()
	}
	s.mu.Lock()
	s.control = closeFrame(reply)
	s.flushSocket()
}

// fail answers a breach of the protocol with its code, and a reset.
func (s *session) fail(sock *socket, fault *closeFault) {
	s.mu.Lock()
	if s.last != lastNone || s.paused || s.socket != sock {
		s.mu.Unlock()
		s.finish(fault)
		return
	}
	if s.cause == nil {
		s.cause = fault
	}
	s.control, s.last, s.deaf = closeFrame(fault.code), lastFault, true
	s.flushSocket()
}

// socketGone follows the end of a reader.
func (s *session) socketGone(sock *socket, err error) {
	var fault *closeFault
	if errors.As(err, &fault) {
		s.fail(sock, fault)
		return
	}
	if err == nil {
		return // the writer sees to the end
	}
	sock.cut(false)
	s.mu.Lock()
	superseded := s.socket != sock
	closing := s.last != lastNone || s.closing
	if !superseded && (!s.stateful || closing) {
		s.mu.Unlock()
		if closing {
			s.finish(nil)
		} else {
			s.finish(ErrLost)
		}
		return
	}
	s.paused, sock.up, s.control = true, false, nil
	s.mu.Unlock()

	if !s.awaitGate() {
		return
	}
	s.app.Lost()
	s.mu.Lock()
	if s.phase == active && s.socket == sock {
		s.park()
	}
	end := s.closing
	s.leaveGateLocked()
	s.mu.Unlock()
	if end {
		s.finish(nil)
	}
}

// isTimeout reports whether a deadline has passed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
