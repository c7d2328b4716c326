package signalr

import (
	"errors"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// reliable is the state of stateful reconnect of one connection: what was sent
// and not acknowledged, and what was received. Messages are numbered when the
// transport takes them, so numbers have the order of the bytes. Guarded by
// the mu of its Conn or clientConn. (Fact sheet: stateful reconnect, sections 3 to 8.)
type reliable struct {
	proto wire.Protocol
	limit int64

	sent     int64    // the number of the message numbered last
	unacked  [][]byte // the last ones of them, oldest first
	bytes    int64    // of unacked
	again    int      // unacked[again:] are to be written to the new socket
	sequence bool     // a Sequence is to be written first
	lost     bool     // there is no socket
	quiet    int      // of a server: for how many ticks numbered messages still wait, see quietTicks

	next   int64 // the number of the next message received
	latest int64 // the highest number received
	acked  int64 // the number acknowledged last
	repeat bool  // a duplicate came: the last ack may be lost
	ack    bool  // an Ack is to be written
}

func newReliable(proto wire.Protocol, limit int64) *reliable {
	return &reliable{proto: proto, limit: limit, next: 1}
}

// quietTicks is how long a server holds numbered messages back behind its
// answer to the handshake, unless the client speaks before: official clients
// lose count of what comes right behind it. The first tick may come at once.
const quietTicks = 2

// errSequence is the reference's own sentence.
var errSequence = WithType(errors.New("Sequence ID greater than amount of messages we've received."), "InvalidOperationException") //nolint:staticcheck // reference text

// lose follows the loss of the socket.
func (r *reliable) lose() { r.lost = true }

// resumed follows a new socket: everything that is not acknowledged is written
// again, behind a Sequence.
func (r *reliable) resumed() { r.lost, r.quiet, r.sequence, r.again = false, 0, true, 0 }

// blocked reports whether no further message may be numbered now.
func (r *reliable) blocked() bool {
	return r.lost || r.quiet > 0 || r.bytes > r.limit || r.again < len(r.unacked)
}

// number keeps a message that is written for the first time.
func (r *reliable) number(frame []byte) {
	r.sent++
	r.unacked = append(r.unacked, frame)
	r.bytes += int64(len(frame))
	r.again = len(r.unacked)
}

// write writes Sequence, repeated messages and Ack. more is set when not all of
// them fit.
func (r *reliable) write(dst []byte, start, max int) (out []byte, more bool) {
	if r.sequence {
		r.sequence = false
		first := r.sent - int64(len(r.unacked)) + 1
		dst = r.proto.Append(dst, &wire.Message{Type: wire.Sequence, SequenceID: first})
	}
	for r.again < len(r.unacked) {
		frame := r.unacked[r.again]
		if n := len(dst) - start; n > 0 && n+len(frame) > max {
			return dst, true
		}
		dst = append(dst, frame...)
		r.again++
	}
	if r.ack {
		r.ack, r.repeat = false, false
		r.acked = r.latest
		dst = r.proto.Append(dst, &wire.Message{Type: wire.Ack, SequenceID: r.latest})
	}
	return dst, false
}

// acknowledged drops what the peer has. An id beyond what was sent drops all.
func (r *reliable) acknowledged(id int64) {
	oldest := r.sent - int64(len(r.unacked)) + 1
	if id < oldest {
		return
	}
	n := min(id-oldest+1, int64(len(r.unacked)))
	for _, frame := range r.unacked[:n] {
		r.bytes -= int64(len(frame))
	}
	clear(r.unacked[:n])
	r.unacked = r.unacked[n:]
	if len(r.unacked) == 0 {
		r.unacked = nil
	}
	r.again = max(r.again-int(n), 0)
}

// received counts a numbered message; false: it came before and is to be
// dropped.
func (r *reliable) received() bool {
	n := r.next
	r.next++
	if n <= r.latest {
		r.repeat = true
		return false
	}
	r.latest = n
	return true
}

// resume sets the number of the message that the peer sends next. Only what has
// been received may be left out. That is not what next says where the socket was
// lost in the middle of a repetition: the peer may have our Ack of all of it.
func (r *reliable) resume(id int64) error {
	if id > r.latest+1 {
		return errSequence
	}
	r.next = id
	return nil
}

// tick is called each second; it reports whether there is something to write.
func (r *reliable) tick() bool {
	ended := r.quiet == 1
	if r.quiet > 0 {
		r.quiet--
	}
	return r.ackDue() || ended
}

// ackDue has an Ack written if there is need; it reports whether there is.
func (r *reliable) ackDue() bool {
	if r.lost || r.latest <= r.acked && !r.repeat {
		return false
	}
	r.ack = true
	return true
}
