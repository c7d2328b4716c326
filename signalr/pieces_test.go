package signalr

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// countingProtocol counts the bytes that it is asked to find a message in.
type countingProtocol struct {
	wire.Protocol
	searched *atomic.Int64
}

func (p countingProtocol) Split(buf []byte, limit int64) ([]byte, int, error) {
	p.searched.Add(int64(len(buf)))
	return p.Protocol.Split(buf, limit)
}

// inPieces hands over a message of 400 KB, and a ping, in small pieces.
func inPieces(t *testing.T, receive func([]byte) error) {
	t.Helper()
	message := `{"type":1,"target":"M","arguments":["` + strings.Repeat("x", 400_000) + `"]}` + "\x1e" + `{"type":6}` + "\x1e"
	for piece := range slices.Chunk([]byte(message), 100) {
		if err := receive(piece); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLongMessageInPieces: a long message that comes in many pieces is searched
// for its end about once, not from its beginning with each piece.
func TestLongMessageInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 2_000_000 // bytes; from the beginning each time it is 800 MB
		var searched atomic.Int64

		h := NewHub("test", HubOptions{MaximumReceiveMessageSize: 1 << 20})
		got := make(chan int, 1)
		Handle(h, "M", func(s string) { got <- len(s) })
		connect(t, h, "c1")
		c := h.Connection("c1")
		c.proto = countingProtocol{c.proto, &searched}
		inPieces(t, (*application)(c).Receive)
		if n := <-got; n != 400_000 {
			t.Errorf("the hub got %d bytes", n)
		}
		if n := searched.Swap(0); n > most {
			t.Errorf("the hub searched %d bytes", n)
		}
		shutdown(t, h)

		client, s := cableClient(t, ClientOptions{})
		client.On("M", func(s string) { got <- len(s) })
		client.protocol = countingProtocol{client.protocol, &searched}
		if err := client.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		inPieces(t, s.app.Receive)
		if n := <-got; n != 400_000 {
			t.Errorf("the client got %d bytes", n)
		}
		if n := searched.Load(); n > most {
			t.Errorf("the client searched %d bytes", n)
		}
		if err := client.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
