package signalr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func invocation1(name, args string) string {
	return `{"type":1,"target":"` + name + `","arguments":[` + args + `]}`
}

func TestAudiences(t *testing.T) {
	type user struct{}
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{UserID: func(ctx context.Context) string { s, _ := ctx.Value(user{}).(string); return s }})
		peers := map[string]*peer{}
		for id, name := range map[string]string{"a1": "ann", "a2": "ann", "b1": "bob", "n1": ""} {
			peers[id] = connectAs(t, h, id, context.WithValue(context.Background(), user{}, name), `{"protocol":"json","version":1}`)
		}
		ctx := t.Context()
		for id, groups := range map[string][]string{"a1": {"g", "h"}, "b1": {"g"}, "n1": {"h"}, "nobody": {"g"}} {
			for _, g := range groups {
				if err := h.AddToGroup(ctx, id, g); err != nil {
					t.Fatal(err)
				}
			}
		}
		c := h.Connection("a1")
		tests := []struct {
			name string
			to   Audience
			want string // ids, sorted
		}{
			{"All", h.All(), "a1 a2 b1 n1"}, {"AllExcept", h.AllExcept("a1", "zz"), "a2 b1 n1"}, {"Client", h.Client("b1"), "b1"},
			{"Client unknown", h.Client("zz"), ""}, {"Clients", h.Clients("a1", "n1"), "a1 n1"}, {"Group", h.Group("g"), "a1 b1"},
			{"Group unknown", h.Group("zz"), ""}, {"no name", h.Group(""), ""},
			{"Groups", h.Groups("g", "h"), "a1 a1 b1 n1"}, {"GroupExcept", h.GroupExcept("g", "a1"), "b1"}, {"User", h.User("ann"), "a1 a2"},
			{"Users", h.Users("ann", "bob", "eve"), "a1 a2 b1"}, {"Caller", c.Caller(), "a1"}, {"Others", c.Others(), "a2 b1 n1"},
			{"OthersInGroup", c.OthersInGroup("h"), "n1"}, {"LocalGroup", h.LocalGroup("g"), "a1 b1"},
		}
		for i, test := range tests {
			if err := test.to.Send(ctx, "M", i); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			synctest.Wait()
			var got []string
			for _, id := range []string{"a1", "a2", "b1", "n1"} {
				for peers[id].waits() {
					peers[id].want(invocation1("M", fmt.Sprint(i)))
					got = append(got, id)
				}
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("%s reached %q, want %q", test.name, s, test.want)
			}
		}
		if err := (Audience{}).Send(ctx, "M"); err == nil {
			t.Error("the zero Audience was sent to")
		}
		if err := h.RemoveFromGroup(ctx, "a1", "h"); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(c.Groups()); got != "[g]" {
			t.Errorf("groups %s", got)
		}
		shutdown(t, h)
		for g := range h.LocalGroups() {
			t.Errorf("group %s is left", g)
		}
	})
}

// waits reports whether a whole record has come.
func (p *peer) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(string(p.got), "\x1e")
}

func TestTenThousandInOrderToEachOfHundred(t *testing.T) {
	h := NewHub("test", HubOptions{SlowClient: Wait(time.Minute)})
	const conns, n = 100, 10000
	peers := make([]*peer, conns)
	for i := range peers {
		peers[i] = connect(t, h, fmt.Sprint("c", i))
		if err := h.Connection(fmt.Sprint("c", i)).Join(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() {
			for i := 0; i < n; {
				r := p.next()
				if r == `{"type":6}` {
					continue
				}
				if r != invocation1("N", fmt.Sprint(i)) {
					t.Errorf("got %s, want %d", r, i)
					return
				}
				i++
			}
		})
	}
	for i := range n {
		if err := h.Group("g").Send(t.Context(), "N", i); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	shutdown(t, h)
}

// Among many clients one stops reading: memory stays bounded, that client alone
// is closed, and nobody else misses anything.
func TestSlowClientIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queueBytes, others, n = 20000, 50, 3000
		causes := make(chan error, 1)
		h := NewHub("test", HubOptions{QueueBytes: queueBytes, OnDisconnected: func(_ context.Context, c *Conn, err error) {
			if c.ID() == "stuck" {
				causes <- err
			}
		}})
		stuck := connect(t, h, "stuck")
		goOn := stuck.stall()
		peers := make([]*peer, others)
		for i := range peers {
			peers[i] = connect(t, h, fmt.Sprint("c", i))
		}
		c := h.Connection("stuck")
		payload := strings.Repeat("x", 90)
		start := time.Now()
		for i := range n {
			if err := h.All().Send(t.Context(), "N", i, payload); err != nil {
				t.Fatal(err)
			}
			if i%10 == 0 {
				synctest.Wait()
			}
			c.mu.Lock()
			if c.out.bytes > queueBytes {
				t.Fatalf("%d bytes wait", c.out.bytes)
			}
			c.mu.Unlock()
		}
		if time.Since(start) != 0 {
			t.Error("the sender was held up")
		}
		for _, p := range peers {
			for i := range n {
				p.want(invocation1("N", fmt.Sprintf(`%d,"%s"`, i, payload)))
			}
		}
		goOn()
		last := ""
		for r := stuck.next(); r != ""; r = stuck.next() {
			last = r
		}
		if last != `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}` {
			t.Errorf("the last record is %s", last)
		}
		if err := <-causes; !errors.Is(err, ErrSlowClient) {
			t.Errorf("cause %v", err)
		}
		shutdown(t, h)
	})
}

func TestSlowClientIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{QueueMessages: 100, SlowClient: Wait(10 * time.Second), KeepAliveInterval: time.Hour})
		slow, quick := connect(t, h, "slow"), connect(t, h, "quick")
		goOn := slow.stall()
		sent := make(chan int, 1)
		go func() {
			for i := range 1000 {
				if err := h.All().Send(t.Context(), "N", i); err != nil {
					t.Error(err)
				}
			}
			sent <- 1
		}()
		synctest.Wait()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		select {
		case <-sent:
			t.Fatal("the sender did not wait")
		default:
		}
		goOn()
		<-sent
		for i := range 1000 {
			slow.want(invocation1("N", fmt.Sprint(i)))
			quick.want(invocation1("N", fmt.Sprint(i)))
		}

		// The time is over: two clients that are stuck alike cost one wait.
		second, third := connect(t, h, "second"), connect(t, h, "third")
		release2, release3 := second.stall(), third.stall()
		send := func(ctx context.Context, i int) error {
			defer synctest.Wait()
			return h.All().Send(ctx, "N", i)
		}
		start := time.Now()
		for i := range 500 {
			if err := send(t.Context(), i); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("waited %v", d)
		}
		for i := range 500 {
			quick.want(invocation1("N", fmt.Sprint(i)))
			slow.want(invocation1("N", fmt.Sprint(i)))
		}
		release2()
		release3()

		// The sender's context ends first: others have the message.
		fourth := connect(t, h, "fourth")
		_ = fourth.stall()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		n := 0
		for ; err == nil; n++ {
			err = send(ctx, n)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		for i := range n {
			quick.want(invocation1("N", fmt.Sprint(i)))
		}
		if h.Connection("fourth") == nil {
			t.Error("the slow client was closed although the sender gave up")
		}
		h.Connection("fourth").session.Abort(nil)
		shutdown(t, h)
	})
}

func TestLargeMessageIsTakenByAnEmptyQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{QueueBytes: 1000})
		p := connect(t, h, "c1")
		large := strings.Repeat("x", 5000)
		for range 3 {
			if err := h.All().Send(t.Context(), "L", large); err != nil {
				t.Fatal(err)
			}
			p.want(invocation1("L", `"`+large+`"`))
		}
		shutdown(t, h)
	})
}

// progress is an event with key, position and latest-only.
type progress struct {
	Task string `json:"task"`
	Seq  uint64 `json:"seq"`
}

func (p progress) invocation(name string) string {
	return invocation1(name, fmt.Sprintf(`{"task":"%s","seq":%d}`, p.Task, p.Seq))
}

var (
	progressEvent = NewEvent("Progress", EventOptions[progress]{Key: func(p progress) string { return p.Task },
		Position: func(p progress) uint64 { return p.Seq }, LatestOnly: true})
	endEvent = NewEvent("End", EventOptions[progress]{Key: func(p progress) string { return p.Task },
		Position: func(p progress) uint64 { return p.Seq }})
)

func TestPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{})
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		ctx := t.Context()
		send := func(e *Event[progress], to Audience, task string, seq uint64) {
			t.Helper()
			if err := e.Send(ctx, to, progress{task, seq}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // no lag
		}
		g := h.Group("g")
		send(progressEvent, g, "t", 1) // not a member yet
		if err := c.Join(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		send(progressEvent, g, "t", 2)
		send(progressEvent, g, "t", 2)
		send(progressEvent, g, "t", 1)
		send(progressEvent, g, "u", 1)
		send(endEvent, g, "t", 5)
		send(progressEvent, g, "t", 4) // a straggler
		if err := c.Join(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		send(endEvent, g, "t", 5)
		send(endEvent, h.All(), "t", 5) // no group, no positions
		p.want(progress{"t", 2}.invocation("Progress"), progress{"u", 1}.invocation("Progress"),
			progress{"t", 5}.invocation("End"), progress{"t", 5}.invocation("End"))
		if err := c.Leave(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		send(endEvent, g, "t", 9)
		if err := c.Join(ctx, "g"); err != nil {
			t.Fatal(err)
		}
		send(progressEvent, g, "t", 1) // leaving forgets
		p.want(progress{"t", 1}.invocation("Progress"))
		if p.waits() {
			t.Error("more came")
		}
		shutdown(t, h)
	})
}

// While a client lags, of the waiting latest-only events of a key the newest
// stays, at the queue's end; other messages and keys are not touched.
func TestLatestOnlyUnderLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{KeepAliveInterval: time.Hour})
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		ctx := t.Context()
		for _, g := range []string{"g", "h"} {
			if err := c.Join(ctx, g); err != nil {
				t.Fatal(err)
			}
		}
		goOn := p.stall()
		_ = h.Client("c1").Send(ctx, "First") // fills the pipe
		synctest.Wait()
		_ = h.Client("c1").Send(ctx, "Second") // may be taken by the pump
		synctest.Wait()
		for seq := range uint64(1000) {
			_ = progressEvent.Send(ctx, h.Group("g"), progress{"t", seq + 1})
			_ = progressEvent.Send(ctx, h.Group("h"), progress{"t", seq + 1})
			_ = progressEvent.Send(ctx, h.Group("g"), progress{"u", seq + 1})
			if seq == 500 {
				_ = h.Client("c1").Send(ctx, "Between")
			}
		}
		_ = endEvent.Send(ctx, h.Group("g"), progress{"t", 2000})
		_ = progressEvent.Send(ctx, h.Group("g"), progress{"t", 1500})
		c.mu.Lock()
		if c.out.count > 8 || len(c.out.entries) > 100 {
			t.Errorf("%d messages wait in %d entries", c.out.count, len(c.out.entries))
		}
		c.mu.Unlock()
		goOn()
		p.want(invocation1("First", ""), invocation1("Second", ""), invocation1("Between", ""),
			progress{"t", 1000}.invocation("Progress"), progress{"t", 1000}.invocation("Progress"),
			progress{"u", 1000}.invocation("Progress"), progress{"t", 2000}.invocation("End"))
		shutdown(t, h)
	})
}

func TestGroupLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{Limits: Limits{GroupsPerConnection: 3, GroupNameBytes: 10}})
		p := connect(t, h, "c1")
		c := h.Connection("c1")
		ctx := t.Context()
		for i := range 3 {
			if err := c.Join(ctx, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Join(ctx, "4"); !errors.Is(err, ErrTooManyGroups) {
			t.Errorf("error %v", err)
		}
		if err := c.Join(ctx, strings.Repeat("x", 11)); !errors.Is(err, ErrGroupName) {
			t.Errorf("error %v", err)
		}
		if err := c.Join(ctx, "2"); err != nil {
			t.Error(err)
		}
		p.session.Abort(nil)
		synctest.Wait()
		if err := c.Join(ctx, "2"); !errors.Is(err, ErrConnectionClosed) {
			t.Errorf("error %v", err)
		}
	})
}

// Joins, leaves, sends and ends of connections at once; for the race detector.
func TestConcurrentJoinLeaveSend(t *testing.T) {
	h := NewHub("test", HubOptions{SlowClient: Wait(time.Minute)})
	Handle(h, "Echo", func(s string) string { return s })
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 8 {
		id := fmt.Sprint("c", i)
		p := connect(t, h, id)
		c := h.Connection(id)
		wg.Go(func() {
			for n := range 200 {
				g := fmt.Sprint("g", n%5)
				_ = c.Join(ctx, g)
				_, _ = c.CatchUp(ctx, g, func(ctx context.Context, j *Joining) error {
					if n%7 == 0 {
						return errors.New("no")
					}
					return progressEvent.Send(ctx, j.Audience(), progress{g, uint64(n)})
				})
				p.send(`{"type":1,"invocationId":"x","target":"Echo","arguments":["y"]}`)
				if n%3 == 0 {
					_ = c.Leave(ctx, g)
				}
			}
			if i%2 == 0 {
				c.Abort()
			} else {
				p.session.Abort(nil)
			}
		})
		wg.Go(func() {
			for p.next() != "" {
			}
		})
	}
	for s := range 4 {
		wg.Go(func() {
			for n := range 400 {
				g := fmt.Sprint("g", n%5)
				switch s {
				case 0:
					_ = h.Group(g).Send(ctx, "X", n)
				case 1:
					_ = progressEvent.Send(ctx, h.Group(g), progress{g, uint64(n)})
				case 2:
					_ = h.AllExcept("c1").Send(ctx, "X", n)
				default:
					_ = h.AddToGroup(ctx, fmt.Sprint("c", n%8), g)
					for range h.LocalGroups() {
					}
					for range h.Connections() {
					}
				}
			}
		})
	}
	wg.Wait()
	shutdown(t, h)
	if h.Count() != 0 || len(h.groups) != 0 || len(h.users) != 0 || len(h.sessions) != 0 {
		t.Errorf("left over: %d connections, %d groups, %d sessions", h.Count(), len(h.groups), len(h.sessions))
	}
}
