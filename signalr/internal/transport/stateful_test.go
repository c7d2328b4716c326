package transport

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// newStatefulRig is a rig that allows stateful reconnect, with a connection
// that has it.
func newStatefulRig(t *testing.T, opts EndpointOptions) (*rig, *tinyHub, *peer, string) {
	t.Helper()
	opts.AllowStateful = func(*http.Request) bool { return true }
	rig := newRig(t, opts)
	_, token := rig.negotiated(t, "negotiateVersion=1&useStatefulReconnect=true")
	target := "/testhub?id=" + token
	p := dialPeer(t, rig, target, nil)
	p.shake(t, 2)
	return rig, rig.hub(t), p, target
}

func expectText(t *testing.T, p *peer, text string) {
	t.Helper()
	if got := fmt.Sprint(p.frame()); !strings.Contains(got, text) {
		t.Fatalf("got %v, want %q", got, text)
	}
}

const sequence1 = "{\"type\":9,\"sequenceId\":1}\x1e"

// TestReattachAfterLoss: a new socket follows a lost one; the application sees
// Lost, then Resumed, and the partial message of the old one is its to drop.
func TestReattachAfterLoss(t *testing.T) {
	rig, hub, p, target := newStatefulRig(t, EndpointOptions{})
	p.send(t, clientFrame(0x01, `{"type":1,"inv`))
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close()
	eventually(t, "the loss is noticed", func() bool { return slices.Equal(hub.noted(), []string{"Lost"}) })
	hub.say("said in the gap\x1e")
	again := dialPeer(t, rig, target, nil)
	if again.answer.Status != 101 {
		t.Fatalf("the new socket got %v", again.answer)
	}
	expectText(t, again, "said in the gap\x1e"+sequence1)
	again.send(t, clientFrame(0x81, sequence1+echoCall("7", "new")))
	expectText(t, again, `"invocationId":"7"`)
	if got := hub.noted(); !slices.Equal(got, []string{"Lost", "Resumed"}) {
		t.Errorf("the application saw %v", got)
	}
}

// TestReattachOverLiving: the old socket is dropped without a close handshake.
func TestReattachOverLiving(t *testing.T) {
	rig, hub, p, target := newStatefulRig(t, EndpointOptions{})
	for range 20 {
		again := dialPeer(t, rig, target, nil)
		if again.answer.Status != 101 {
			t.Fatalf("the new socket got %v", again.answer)
		}
		expectText(t, again, sequence1)
		if got := p.frame(); got != "end of the connection" {
			t.Fatalf("the old socket got %v", got)
		}
		p = again
	}
	p.send(t, clientFrame(0x81, echoCall("1", "x")))
	expectText(t, p, `"result":"x"`)
	if got := hub.noted(); len(got) != 40 {
		t.Errorf("the application saw %v", got)
	}
}

// TestReattachRace: of several newcomers the last one stays, and works.
func TestReattachRace(t *testing.T) {
	rig, hub, _, target := newStatefulRig(t, EndpointOptions{})
	for range 10 {
		dialPeer(t, rig, target, nil)
	}
	last := dialPeer(t, rig, target, nil)
	last.send(t, clientFrame(0x81, echoCall("1", "x")))
	for got := ""; !strings.Contains(got, `"result":"x"`); {
		f := last.frame()
		if _, broken := f.(string); broken {
			t.Fatalf("got %v", f)
		}
		got = fmt.Sprint(f)
	}
	for i, what := range hub.noted() {
		if want := []string{"Lost", "Resumed"}[i%2]; what != want {
			t.Fatalf("the application saw %v", hub.noted())
		}
	}
}

// TestReattachExpires: nobody comes back.
func TestReattachExpires(t *testing.T) {
	rig, hub, p, target := newStatefulRig(t, EndpointOptions{DisconnectTimeout: 30 * time.Millisecond})
	_ = p.Close()
	if err := hub.awaitEnd(t); err != ErrExpired {
		t.Errorf("Ended(%v), want ErrExpired", err)
	}
	if a := dialPeer(t, rig, target, nil).answer; a.Status != 404 || a.Body != noSuchConnection {
		t.Errorf("late: %v", a)
	}
}

// TestReattachSilent: a new socket that says nothing is dropped, and the
// connection waits for another.
func TestReattachSilent(t *testing.T) {
	rig, hub, p, target := newStatefulRig(t, EndpointOptions{CloseTimeout: 50 * time.Millisecond})
	_ = p.Close()
	eventually(t, "the loss is noticed", func() bool { return len(hub.noted()) == 1 })
	silent := dialPeer(t, rig, target, nil)
	expectText(t, silent, sequence1)
	if got := silent.frame(); got != "end of the connection" {
		t.Fatalf("got %v", got)
	}
	again := dialPeer(t, rig, target, nil)
	expectText(t, again, sequence1)
	again.send(t, clientFrame(0x81, echoCall("1", "x")))
	expectText(t, again, `"result":"x"`)
	time.AfterFunc(100*time.Millisecond, func() { hub.say("later\x1e") })
	expectText(t, again, "later\x1e") // it has spoken, so it stays
}

// TestReattachRefused: each reason has its status.
func TestReattachRefused(t *testing.T) {
	t.Run("not offered", func(t *testing.T) {
		rig := newRig(t, EndpointOptions{})
		_, token := rig.negotiated(t, "negotiateVersion=1&useStatefulReconnect=true")
		p := dialPeer(t, rig, "/testhub?id="+token, nil)
		p.shake(t, 2)
		if a := dialPeer(t, rig, "/testhub?id="+token, nil).answer; a.Status != 409 {
			t.Errorf("%v", a)
		}
	})
	t.Run("handshake of version 1", func(t *testing.T) {
		rig := newRig(t, EndpointOptions{AllowStateful: func(*http.Request) bool { return true }})
		_, token := rig.negotiated(t, "negotiateVersion=1&useStatefulReconnect=TRUE")
		p := dialPeer(t, rig, "/testhub?id="+token, nil)
		p.shake(t, 1)
		if a := dialPeer(t, rig, "/testhub?id="+token, nil).answer; a.Status != 409 {
			t.Errorf("%v", a)
		}
		_ = p.Close()
		_ = rig.hub(t).awaitEnd(t)
		if a := dialPeer(t, rig, "/testhub?id="+token, nil).answer; a.Status != 404 {
			t.Errorf("%v", a)
		}
	})
	t.Run("switched off", func(t *testing.T) {
		rig, hub, p, target := newStatefulRig(t, EndpointOptions{})
		hub.session.SetStateful(false)
		if a := dialPeer(t, rig, target, nil).answer; a.Status != 204 {
			t.Errorf("%v", a)
		}
		_ = p.Close()
		_ = hub.awaitEnd(t)
	})
	t.Run("closed with a close frame", func(t *testing.T) {
		rig, hub, p, target := newStatefulRig(t, EndpointOptions{})
		p.send(t, clientFrame(0x88, ""))
		if err := hub.awaitEnd(t); err != nil {
			t.Errorf("Ended(%v), want nil", err)
		}
		if a := dialPeer(t, rig, target, nil).answer; a.Status != 404 {
			t.Errorf("%v", a)
		}
	})
	t.Run("a fault", func(t *testing.T) {
		_, hub, p, _ := newStatefulRig(t, EndpointOptions{})
		p.send(t, clientFrame(0xc1, "x"))
		if err := hub.awaitEnd(t); err == nil {
			t.Error("Ended(nil), want the fault")
		}
	})
}

// TestCloseWhileLost: a session that is closed while it has no socket ends.
func TestCloseWhileLost(t *testing.T) {
	_, hub, p, _ := newStatefulRig(t, EndpointOptions{})
	_ = p.Close()
	eventually(t, "the loss is noticed", func() bool { return len(hub.noted()) == 1 })
	hub.session.Close()
	if err := hub.awaitEnd(t); err != nil {
		t.Errorf("Ended(%v), want nil", err)
	}
}
