package signalr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// strictPlane is a backplane whose link takes its time and insists on the
// contract: one operation per topic at once, subscribe and unsubscribe in turn,
// nothing unsubscribed is left behind.
type strictPlane struct {
	MemoryBackplane
	t     *testing.T
	fails func(Topic) error

	mu   sync.Mutex
	live map[Topic]bool
	busy map[Topic]bool
	ops  int
}

type strictLink struct {
	Link
	plane *strictPlane
}

func (p *strictPlane) Attach(hub string, r Receiver) (Link, error) {
	l, err := p.MemoryBackplane.Attach(hub, r)
	return strictLink{l, p}, err
}

func (p *strictPlane) operate(topic Topic, live bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[topic] || p.live[topic] == live {
		p.t.Errorf("%v: busy %v, subscribed %v, wanted %v", topic, p.busy[topic], p.live[topic], live)
	}
	p.busy[topic] = true
	p.ops++
	p.mu.Unlock()
	time.Sleep(time.Millisecond) // fake time
	p.mu.Lock()
	delete(p.busy, topic)
	if live {
		p.live[topic] = true
	} else {
		delete(p.live, topic)
	}
}

func (l strictLink) Subscribe(_ context.Context, topic Topic) error {
	if l.plane.fails != nil {
		if err := l.plane.fails(topic); err != nil {
			return err
		}
	}
	l.plane.operate(topic, true)
	return nil
}

func (l strictLink) Unsubscribe(topic Topic) { l.plane.operate(topic, false) }

func newStrictPlane(t *testing.T) *strictPlane {
	return &strictPlane{t: t, live: make(map[Topic]bool), busy: make(map[Topic]bool)}
}

func TestInterestInTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newStrictPlane(t)
		h := NewHub("test", HubOptions{Backplane: plane, KeepAliveInterval: time.Hour,
			UserID: func(ctx context.Context) string { return "ann" }})
		var wg sync.WaitGroup
		for i := range 10 {
			id := fmt.Sprint("c", i)
			connect(t, h, id)
			synctest.Wait()
			c := h.Connection(id)
			wg.Go(func() {
				for n := range 50 {
					g := fmt.Sprint("g", (n+i)%3)
					if err := c.Join(t.Context(), g); err != nil {
						t.Error(err)
					}
					if _, err := c.CatchUp(t.Context(), g, func(context.Context, *Joining) error { return nil }); err != nil {
						t.Error(err)
					}
					plane.mu.Lock()
					if !plane.live[Topic{TopicGroup, g}] {
						t.Errorf("member of %s, which is not subscribed", g)
					}
					plane.mu.Unlock()
					_ = c.Leave(t.Context(), g)
				}
			})
		}
		wg.Wait()
		plane.mu.Lock()
		if !plane.live[Topic{TopicUser, "ann"}] || len(plane.live) != 11 || plane.ops < 13 {
			t.Errorf("subscribed: %v after %d operations", plane.live, plane.ops)
		}
		plane.mu.Unlock()
		shutdown(t, h)
		if len(plane.live) != 0 || len(h.interest.topics) != 0 {
			t.Errorf("left over: %v", plane.live)
		}
	})
}

func TestBackplaneThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("the backplane is down")
		plane := newStrictPlane(t)
		plane.fails = func(topic Topic) error {
			if topic.Kind == TopicGroup || topic.Name == "bad" {
				return down
			}
			return nil
		}
		h := NewHub("test", HubOptions{Backplane: plane, OnDisconnected: func(_ context.Context, c *Conn, _ error) {
			if c.ID() == "bad" {
				t.Error("OnDisconnected without OnConnected")
			}
		}})
		p := connect(t, h, "c1")
		synctest.Wait()
		if err := h.Connection("c1").Join(t.Context(), "g"); !errors.Is(err, down) {
			t.Errorf("Join: %v", err)
		}
		if _, err := h.Connection("c1").CatchUp(t.Context(), "g", nil); !errors.Is(err, down) {
			t.Errorf("CatchUp: %v", err)
		}
		bad := connect(t, h, "bad")
		bad.want(`{"type":7,"error":"Connection closed with an error."}`, "")
		if err := h.All().Send(t.Context(), "M"); err != nil {
			t.Error(err)
		}
		p.want(invocation1("M", ""))
		shutdown(t, h)
		if len(plane.live) != 0 {
			t.Errorf("left over: %v", plane.live)
		}
	})
}

// A message from a server that does not have the connection's protocol ends the
// connection, as in the reference.
func TestMessageWithoutTheProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		p := connect(t, h, "c1")
		frame := []byte(invocation1("M", "1") + "\x1e")
		ok := NewMessage(Topic{Kind: TopicAll}, []string{"x"}, "", nil, map[string][]byte{"json": frame, "other": nil})
		if err := (receiver{h}).Deliver(t.Context(), ok, false); err != nil {
			t.Error(err)
		}
		p.want(invocation1("M", "1"))
		if b, err := ok.Bytes("JSON"); err != nil || !bytes.Equal(b, frame) {
			t.Errorf("%q %v", b, err)
		}
		if _, err := ok.Bytes("messagepack"); err == nil {
			t.Error("there is a form that nobody made")
		}
		bad := NewMessage(Topic{Kind: TopicAll}, nil, "", nil, map[string][]byte{"messagepack": {1}})
		if err := (receiver{h}).Deliver(t.Context(), bad, false); err != nil {
			t.Error(err)
		}
		p.want(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`, "")
	})
}

func TestDescribe(t *testing.T) {
	query := NewQuery[string, int]("Ask")
	h := errorsHub(HubOptions{Declares: []Declaration{progressEvent, query}})
	var lines []string
	d := h.Describe()
	for _, m := range d.Methods {
		lines = append(lines, fmt.Sprint(m.Name, m.Arguments, m.Uploads, m.Result, m.Stream))
	}
	want := []string{"Add[int int] [] int false", "Breaks[] [] int true", "Chan[] [] interface {} false", "ChanStream[] [] interface {} true",
		"Count[int] [] int true", "Nil[] [] int true", "NoStream[] [] int true", "Nothing[] [] <nil> false", "Own[] [] <nil> false",
		"OwnTyped[] [] <nil> false", "Panic[] [] <nil> false", "PanicStream[] [] int true", "Picky[signalr.picky] [] <nil> false",
		"Plain[] [] <nil> false", "Sum[] [int] int false", "Typed[] [] <nil> false", "Unspeakable[] [] interface {} false"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if fmt.Sprint(d.Events, d.Queries) != "[{Progress signalr.progress}] [{Ask string int}]" {
		t.Error(d.Events, d.Queries)
	}
}
