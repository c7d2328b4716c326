// Package backplanetest is what every signalr.Backplane must pass.
//
//	func TestBackplane(t *testing.T) {
//		backplanetest.Run(t, func(t *testing.T) (a, b signalr.Backplane) { … })
//	}
package backplanetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// Run tests a backplane with two servers. newPair returns the backplane of each
// of them, joined to each other and to nobody else; it registers its own
// clean-up. It is called once for each test. Backplanes may deliver late, but
// not in another order than promised.
func Run(t *testing.T, newPair func(t *testing.T) (a, b signalr.Backplane)) {
	tests := []struct {
		name string
		run  func(*testing.T, *servers)
	}{
		{"All", testAll}, {"Connections", testConnections}, {"Groups", testGroups}, {"Users", testUsers},
		{"GroupCommands", testGroupCommands}, {"ConcurrentMembership", testConcurrentMembership},
		{"ClientResults", testClientResults}, {"AskedClientLeaves", testAskedClientLeaves}, {"Order", testOrder},
		{"PositionsTravel", testPositionsTravel}, {"LastEventTravels", testLastEventTravels}, {"CatchUp", testCatchUp}, {"HubsAreApart", testHubsAreApart}, {"Shutdown", testShutdown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			planeA, planeB := newPair(t)
			s := &servers{t: t, planes: [2]signalr.Backplane{planeA, planeB}}
			s.a, s.b = s.hub("shared", planeA), s.hub("shared", planeB)
			test.run(t, s)
		})
	}
}

// patience is how long something may take to arrive.
const patience = 20 * time.Second

type servers struct {
	t      *testing.T
	planes [2]signalr.Backplane
	a, b   *signalr.Hub
}

type userKey struct{}

// hub starts a server's hub, which is shut down with the test.
func (s *servers) hub(name string, plane signalr.Backplane) *signalr.Hub {
	h := signalr.NewHub(name, signalr.HubOptions{
		Backplane: plane, SlowClient: signalr.Wait(patience), ShutdownWindow: time.Millisecond,
		UserID: func(ctx context.Context) string { u, _ := ctx.Value(userKey{}).(string); return u },
	})
	signalr.Handle(h, "ID", func(c *signalr.Conn) string { return c.ID() })
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			s.t.Errorf("shutdown: %v", err)
		}
	})
	return h
}

// client is a client that is all the way connected.
type client struct {
	*signalrtest.Client
	id   string
	conn *signalr.Conn
}

func (s *servers) connect(h *signalr.Hub, user string) client {
	s.t.Helper()
	c := signalrtest.Connect(s.t, h, signalrtest.Options{
		Context: context.WithValue(context.Background(), userKey{}, user), MessagePack: len(user)%2 == 1,
	})
	id := signalrtest.Invoke[string](c, "ID")
	return client{c, id, h.Connection(id)}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect fails unless exactly these come next to each of the clients.
func expect(t *testing.T, name string, arg any, clients ...client) {
	t.Helper()
	for _, c := range clients {
		if got := c.Expect(name); fmt.Sprint(got.Args[0]) != fmt.Sprint(arg) {
			t.Errorf("got %s(%v), want %v", name, got.Args[0], arg)
		}
	}
}

// settle makes sure that nothing else is under way to any of the clients: what
// is sent last arrives last.
func (s *servers) settle(clients ...client) {
	s.t.Helper()
	for i, h := range []*signalr.Hub{s.a, s.b} {
		check(s.t, h.All().Send(s.t.Context(), "Settled", i))
	}
	for _, c := range clients {
		c.Expect("Settled")
		c.Expect("Settled")
	}
}

func testAll(t *testing.T, s *servers) {
	a, b, b2 := s.connect(s.a, ""), s.connect(s.b, ""), s.connect(s.b, "x")
	check(t, s.a.All().Send(t.Context(), "M", 1))
	expect(t, "M", 1, a, b, b2)
	check(t, s.b.AllExcept(a.id, b.id, "nobody").Send(t.Context(), "M", 2))
	expect(t, "M", 2, b2)
	check(t, a.conn.Others().Send(t.Context(), "M", 3))
	expect(t, "M", 3, b, b2)
	s.settle(a, b, b2)
}

func testConnections(t *testing.T, s *servers) {
	a, b := s.connect(s.a, ""), s.connect(s.b, "")
	for i, h := range []*signalr.Hub{s.a, s.b} {
		check(t, h.Client(a.id).Send(t.Context(), "M", 2*i))
		expect(t, "M", 2*i, a)
		check(t, h.Clients(b.id, "nobody", a.id).Send(t.Context(), "M", 2*i+1))
		expect(t, "M", 2*i+1, a, b)
		check(t, h.Client("nobody").Send(t.Context(), "M", 9))
	}
	s.settle(a, b)
}

func testGroups(t *testing.T, s *servers) {
	a, b, c := s.connect(s.a, ""), s.connect(s.b, ""), s.connect(s.b, "")
	for _, g := range []string{"g", "g:1 ü", "h"} {
		check(t, a.conn.Join(t.Context(), g))
		check(t, b.conn.Join(t.Context(), g))
	}
	check(t, c.conn.Join(t.Context(), "h"))
	for i, h := range []*signalr.Hub{s.a, s.b} {
		check(t, h.Group("g:1 ü").Send(t.Context(), "M", i))
		expect(t, "M", i, a, b)
		check(t, h.GroupExcept("h", b.id).Send(t.Context(), "M", i+10))
		expect(t, "M", i+10, a, c)
		check(t, h.Groups("g", "h").Send(t.Context(), "M", i+20))
		expect(t, "M", i+20, a, a, b, b, c)
		check(t, h.Group("nobody").Send(t.Context(), "M", i))
	}
	check(t, s.b.LocalGroup("h").Send(t.Context(), "M", 30))
	expect(t, "M", 30, b, c)
	check(t, b.conn.Leave(t.Context(), "g"))
	check(t, s.a.Group("g").Send(t.Context(), "M", 40))
	expect(t, "M", 40, a)
	check(t, b.conn.Join(t.Context(), "g"))
	check(t, s.a.Group("g").Send(t.Context(), "M", 41))
	expect(t, "M", 41, a, b)
	s.settle(a, b, c)
}

func testUsers(t *testing.T, s *servers) {
	a, b, b2, other := s.connect(s.a, "ann"), s.connect(s.b, "ann"), s.connect(s.b, "ann"), s.connect(s.b, "Ann")
	check(t, s.a.User("ann").Send(t.Context(), "M", 1))
	expect(t, "M", 1, a, b, b2)
	check(t, s.a.Users("ann", "Ann", "nobody").Send(t.Context(), "M", 2))
	expect(t, "M", 2, a, b, b2, other)
	b2.Stop()
	check(t, s.a.User("ann").Send(t.Context(), "M", 3))
	expect(t, "M", 3, a, b)
	s.settle(a, b, other)
}

func testGroupCommands(t *testing.T, s *servers) {
	a, b := s.connect(s.a, ""), s.connect(s.b, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	check(t, s.a.AddToGroup(ctx, b.id, "g"))
	check(t, s.a.Group("g").Send(ctx, "M", 1)) // right behind: the command is done
	expect(t, "M", 1, b)
	check(t, s.a.AddToGroup(ctx, b.id, "g"))
	check(t, s.b.AddToGroup(ctx, a.id, "g"))
	check(t, s.b.Group("g").Send(ctx, "M", 2))
	expect(t, "M", 2, a, b)
	check(t, s.a.RemoveFromGroup(ctx, b.id, "g"))
	check(t, s.a.RemoveFromGroup(ctx, b.id, "never"))
	check(t, s.a.Group("g").Send(ctx, "M", 3))
	expect(t, "M", 3, a)
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if err := s.a.AddToGroup(short, "nobody", "g"); err != nil && short.Err() == nil {
		t.Errorf("adding nobody: %v", err)
	}
	s.settle(a, b)
}

// testConcurrentMembership joins and leaves on one server while the other one
// sends: who has joined gets what is sent afterwards.
func testConcurrentMembership(t *testing.T, s *servers) {
	var wg sync.WaitGroup
	for i := range 4 {
		c := s.connect(s.b, "")
		wg.Go(func() {
			for n := range 20 {
				group := fmt.Sprint("g", n%3)
				if err := c.conn.Join(t.Context(), group); err != nil {
					t.Error(err)
					return
				}
				mark := fmt.Sprint(i, "-", n)
				if err := s.a.Group(group).Send(t.Context(), "M", mark); err != nil {
					t.Error(err)
					return
				}
				for { // others' marks come between
					var got string
					if err := c.Expect("M").Decode(&got); err != nil {
						t.Error(err)
						return
					}
					if got == mark {
						break
					}
				}
				if err := c.conn.Leave(t.Context(), group); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func testClientResults(t *testing.T, s *servers) {
	ask := signalr.NewQuery[string, string]("Ask")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, user := range []string{"", "x"} { // JSON, MessagePack
		b := s.connect(s.b, user)
		b.Answer("Ask", func(args []signalrtest.Value) (any, error) {
			var q string
			if err := args[0].Decode(&q); err != nil || q == "bad" {
				return nil, errors.New("nope")
			}
			return q + "!", nil
		})
		for _, h := range []*signalr.Hub{s.a, s.b} {
			if got, err := ask.Ask(ctx, h.Client(b.id), "what"); err != nil || got != "what!" {
				t.Errorf("answer %q, %v", got, err)
			}
			if _, err := ask.Ask(ctx, h.Client(b.id), "bad"); err == nil || err.Error() != "nope" {
				t.Errorf("error %v", err)
			}
			var n int
			if err := h.Invoke(ctx, b.id, "Ask", &n, "what"); err == nil {
				t.Errorf("a text became the number %d", n)
			}
		}
		b.Answer("Slow", func([]signalrtest.Value) (any, error) { <-ctx.Done(); return 1, nil })
		short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		if err := s.a.Invoke(short, b.id, "Slow", nil); err == nil || err.Error() != "Invocation canceled by the server." {
			t.Errorf("error %v", err)
		}
		stop()
	}
	if _, err := ask.Ask(ctx, s.a.Client("nobody"), "what"); !errors.Is(err, signalr.ErrNoConnection) || err.Error() != "Connection 'nobody' does not exist." {
		t.Errorf("error %v", err)
	}
	cancel() // lets the slow clients go
}

// testAskedClientLeaves: who waits for a client of the other server does not
// wait for ever when that client goes.
func testAskedClientLeaves(t *testing.T, s *servers) {
	b := s.connect(s.b, "")
	asked := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b.Answer("Slow", func([]signalrtest.Value) (any, error) { close(asked); <-ctx.Done(); return nil, nil })
	answer := make(chan error, 1)
	go func() { answer <- s.a.Invoke(ctx, b.id, "Slow", nil) }()
	<-asked
	b.conn.Abort()
	if err := <-answer; err == nil || ctx.Err() != nil {
		t.Errorf("error %v", err)
	}
	cancel() // lets the client go
}

// testOrder: what one goroutine sends to an audience arrives in that order.
func testOrder(t *testing.T, s *servers) {
	const n = 500
	a, b := s.connect(s.a, ""), s.connect(s.b, "x")
	check(t, a.conn.Join(t.Context(), "g"))
	check(t, b.conn.Join(t.Context(), "g"))
	var wg sync.WaitGroup
	for i, h := range []*signalr.Hub{s.a, s.b} {
		wg.Go(func() {
			for k := range n {
				if err := h.Group("g").Send(t.Context(), "N", i, k); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, c := range []client{a, b} {
		next := [2]int{}
		for range 2 * n {
			m := c.Expect("N")
			var from, k int
			check(t, errors.Join(m.Args[0].Decode(&from), m.Args[1].Decode(&k)))
			if k != next[from] {
				t.Fatalf("server %d: got %d, want %d", from, k, next[from])
			}
			next[from]++
		}
	}
	wg.Wait()
}

type step struct {
	Task string
	Seq  uint64
}

var stepEvent = signalr.NewEvent("Step", signalr.EventOptions[step]{
	Key: func(s step) string { return s.Task }, Position: func(s step) uint64 { return s.Seq },
})

// testPositionsTravel: an event's position counts on all servers.
func testPositionsTravel(t *testing.T, s *servers) {
	b := s.connect(s.b, "")
	check(t, b.conn.Join(t.Context(), "g"))
	for _, seq := range []uint64{1, 2, 2, 1, 5, 4, 6} {
		check(t, stepEvent.Send(t.Context(), s.a.Group("g"), step{"t", seq}))
	}
	check(t, stepEvent.Send(t.Context(), s.a.Group("g"), step{"other", 1}))
	check(t, stepEvent.Send(t.Context(), s.a.Group("g"), step{"t", 7}))
	for _, want := range []step{{"t", 1}, {"t", 2}, {"t", 5}, {"t", 6}, {"other", 1}, {"t", 7}} {
		var got step
		check(t, b.Expect("Step").Decode(&got))
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	s.settle(b)
}

var lastEvent = signalr.NewEvent("Last", signalr.EventOptions[step]{
	Key: func(s step) string { return s.Task }, Position: func(s step) uint64 { return s.Seq }, EndsMembership: true,
})

// testLastEventTravels: the last event of a group ends memberships on all
// servers.
func testLastEventTravels(t *testing.T, s *servers) {
	a, b := s.connect(s.a, ""), s.connect(s.b, "x")
	check(t, a.conn.Join(t.Context(), "g"))
	check(t, b.conn.Join(t.Context(), "g"))
	check(t, lastEvent.Send(t.Context(), s.a.Group("g"), step{"t", 1}))
	check(t, stepEvent.Send(t.Context(), s.a.Group("g"), step{"t", 2}))
	for _, c := range []client{a, b} {
		var got step
		check(t, c.Expect("Last").Decode(&got))
		if got != (step{"t", 1}) {
			t.Errorf("got %v", got)
		}
	}
	s.settle(a, b)
	if n := len(a.conn.Groups()) + len(b.conn.Groups()); n != 0 {
		t.Errorf("%d memberships are left", n)
	}
}

// testCatchUp: who catches up on one server while the other one publishes gets
// everything, once, in order.
func testCatchUp(t *testing.T, s *servers) {
	const last = 200
	var mu sync.Mutex
	var stored []step
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := range uint64(last) {
			e := step{"t", seq + 1}
			mu.Lock()
			stored = append(stored, e)
			mu.Unlock()
			if err := stepEvent.Send(t.Context(), s.a.Group("g"), e); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 4 {
		c := s.connect([]*signalr.Hub{s.a, s.b}[i%2], "")
		wg.Go(func() {
			for range 2 {
				_, err := c.conn.CatchUp(t.Context(), "g", func(ctx context.Context, j *signalr.Joining) error {
					mu.Lock()
					missed := stored[:len(stored):len(stored)]
					mu.Unlock()
					for _, e := range missed {
						if err := stepEvent.Send(ctx, j.Audience(), e); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for seq := range uint64(last) {
				var got step
				if err := c.Expect("Step").Decode(&got); err != nil || got.Seq != seq+1 {
					t.Errorf("got %v (%v), want %d", got, err, seq+1)
					return
				}
			}
		})
	}
	wg.Wait()
}

// testHubsAreApart: hubs of other names on the same backplane share nothing.
func testHubsAreApart(t *testing.T, s *servers) {
	other := s.hub("other", s.planes[1])
	a, o := s.connect(s.a, "ann"), s.connect(other, "ann")
	check(t, a.conn.Join(t.Context(), "g"))
	check(t, o.conn.Join(t.Context(), "g"))
	for _, to := range []signalr.Audience{other.All(), other.Group("g"), other.User("ann")} {
		check(t, to.Send(t.Context(), "M", 1))
		expect(t, "M", 1, o)
	}
	s.settle(a)
}

// testShutdown: when one server leaves, the other one goes on.
func testShutdown(t *testing.T, s *servers) {
	a, b := s.connect(s.a, ""), s.connect(s.b, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	check(t, s.b.Shutdown(ctx))
	if closed := b.WaitEnd(); closed == nil || !closed.AllowReconnect {
		t.Errorf("Close at shutdown: %+v", closed)
	}
	check(t, s.a.All().Send(ctx, "M", 1))
	expect(t, "M", 1, a)
	if err := s.a.Invoke(ctx, b.id, "Ask", nil); !errors.Is(err, signalr.ErrNoConnection) {
		t.Errorf("error %v", err)
	}
}
