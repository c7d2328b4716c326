package signalr

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestSocketLostWhileConnecting: what came whole before the socket was lost
// counts, the beginning of a message goes with it, although OnConnected is
// still running and nothing has been looked at.
func TestSocketLostWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := statefulHub(HubOptions{OnConnected: func(context.Context, *Conn) error { <-gate; return nil }})
		s := connectStateful(t, h, 2)
		s.send(`{"type":6}`, echo(1))
		if err := s.app.Receive([]byte(`{"type":1,"invocationId":"2","tar`)); err != nil {
			t.Error(err)
		}
		s.lose()
		s.comeBack()
		s.send(sequence(1), echo(1), echo(2))
		s.want(sequence(1))
		close(gate)
		s.want(echoed(1), echoed(2))
	})
}

// TestFaultWhileConnecting: what is wrong is told when its turn has come.
func TestFaultWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := NewHub("test", HubOptions{MaximumReceiveMessageSize: 100, OnConnected: func(context.Context, *Conn) error { <-gate; return nil }})
		p := connect(t, h, "c1")
		p.send(`{"type":6}`)
		p.sendRaw(make([]byte, 200))
		p.send(`{"type":6}`)
		synctest.Wait()
		if p.hasEnded() {
			t.Error("ended before OnConnected has returned")
		}
		close(gate)
		p.want(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`, "")
	})
}

// abortAtHandshake is a session whose connection is closed while its handshake
// is under way.
type abortAtHandshake struct {
	*socket
	aborted bool
}

func (s *abortAtHandshake) SetStateful(on bool) {
	s.socket.SetStateful(on)
	if !s.aborted {
		s.aborted = true
		s.app.(*application).conn().Abort()
	}
}

// TestCloseDuringHandshake: the answer to the handshake comes first whatever
// happens.
func TestCloseDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{})
		s := &abortAtHandshake{socket: &socket{t: t, up: true}}
		app, err := h.accept(s)
		if err != nil {
			t.Fatal(err)
		}
		s.app = app
		s.send(`{"protocol":"json","version":2}`)
		s.want("{}", `{"type":7}`)
		synctest.Wait()
		if h.Count() != 0 {
			t.Error("the connection is left")
		}
	})
}

// TestNumberedMessagesWaitForTheClient: official clients lose count of what
// comes right behind the answer to the handshake, so it waits for their first
// message, or at least a second.
func TestNumberedMessagesWaitForTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := statefulHub(HubOptions{})
		connect(t, h, "first") // the heartbeat begins
		time.Sleep(999 * time.Millisecond)
		s := connectStateful(t, h, 2)
		if err := h.Client("c1").Send(t.Context(), "M"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(900 * time.Millisecond)
		s.want()
		time.Sleep(1200 * time.Millisecond)
		s.want(invocation1("M", ""))
	})
}
