package transport

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// socket is one WebSocket below a session: the TCP or TLS connection and the
// state of its reader. A session that is re-attached has several in turn.
type socket struct {
	conn net.Conn
	raw  syscall.RawConn // nil: under TLS, on other systems, on foreign types
	done chan struct{}   // closed when its reader is through

	// Guarded by session.mu.
	up    bool // its session may write to it
	reset bool // to be ended by a TCP reset

	// The reader's.
	frames   frameReader
	fresh    bool // re-attached, and nothing came yet
	readable func(fd uintptr) bool
	buf      *[]byte // lent while there is something to read
	n        int
	err      error

	// The writer's.
	writable func(fd uintptr) bool
	out      []byte
	outN     int
	outErr   error
}

// readBuffers are lent to readers while there is something to read.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// writeBuffers are lent to writers. Larger ones are not kept.
var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const keptWriteBuffer = writeSize + 8<<10

func newSocket(conn net.Conn) *socket {
	k := &socket{conn: conn, done: make(chan struct{})}
	if !rawIO {
		return k
	}
	var err error
	switch c := conn.(type) { // these only: another type may have a Write of its own
	case *net.TCPConn:
		k.raw, err = c.SyscallConn()
	case *net.UnixConn:
		k.raw, err = c.SyscallConn()
	}
	if err != nil {
		k.raw = nil
	}
	if k.raw != nil {
		k.readable, k.writable = k.readFD, k.writeFD
	}
	return k
}

func (k *socket) readFD(fd uintptr) bool {
	if k.buf == nil {
		k.buf = readBuffers.Get().(*[]byte)
	}
	var again bool
	k.n, again, k.err = rawRead(fd, *k.buf)
	if again {
		k.release() // nothing is held while it waits
		return false
	}
	return true
}

func (k *socket) release() {
	if k.buf != nil {
		readBuffers.Put(k.buf)
		k.buf = nil
	}
}

func (k *socket) writeFD(fd uintptr) bool {
	k.outN, k.outErr = rawWrite(fd, k.out)
	return true
}

// read hands on what comes, once: it waits, reads until the connection has no
// more for now, and returns nil to be called again; or why the connection is
// through. It should be called on a fresh stack: one that has grown in sink
// would not shrink while it waits.
func (k *socket) read(sink frameSink, through func() bool) error {
	if k.raw == nil {
		return k.readBlocking(sink, through)
	}
	defer k.release()
	for full := true; full && !through(); {
		if err := k.raw.Read(k.readable); err != nil {
			return err
		}
		if k.err != nil {
			return k.err
		}
		if k.n == 0 {
			return io.EOF
		}
		full = k.n == len(*k.buf)
		if err := k.frames.feed((*k.buf)[:k.n], sink); err != nil {
			return err
		}
	}
	return nil
}

// readBlocking is read with a buffer of its own. It does not return while the
// connection goes on.
func (k *socket) readBlocking(sink frameSink, through func() bool) error {
	buf := make([]byte, 4<<10)
	for !through() {
		n, err := k.conn.Read(buf)
		if n > 0 {
			if err := k.frames.feed(buf[:n], sink); err != nil {
				return err
			}
		}
		if err != nil && !through() {
			return err
		}
	}
	return nil
}

// writeNow writes what the connection takes at once.
func (k *socket) writeNow(p []byte) (n int, err error) {
	if k.raw == nil {
		return 0, nil
	}
	k.out, k.outN, k.outErr = p, 0, nil
	err = k.raw.Write(k.writable)
	k.out = nil
	if err == nil {
		err = k.outErr
	}
	return k.outN, err
}

// writeAll writes p, waiting for the peer for timeout at most.
func (k *socket) writeAll(p []byte, timeout time.Duration) error {
	if err := k.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := k.conn.Write(p); err != nil {
		return err
	}
	return k.conn.SetWriteDeadline(time.Time{})
}

// cut ends the connection without a word; reset: by a TCP reset.
func (k *socket) cut(reset bool) {
	switch c := k.conn.(type) {
	case *tls.Conn:
		if tcp, ok := c.NetConn().(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0) // best effort
			_ = tcp.Close()
			return
		}
		go c.Close() // it may wait for room for its last record, 5 s at most
		return
	case *net.TCPConn:
		if reset {
			_ = c.SetLinger(0) // best effort
		}
	}
	_ = k.conn.Close() // nothing is to be done about it
}
