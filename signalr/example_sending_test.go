package signalr_test

import (
	"context"
	"fmt"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// Whom a message goes to: some audiences are of the hub, those with a Caller of
// a connection. This message has no declaration; see Event.
func ExampleAudience() {
	ctx := context.Background()
	hub := signalr.NewHub("chat", signalr.HubOptions{})
	signalr.Handle(hub, "Knock", func(c *signalr.Conn) error {
		for _, to := range []signalr.Audience{
			c.Caller(), c.Others(), c.OthersInGroup("kitchen"),
			hub.All(), hub.AllExcept(c.ID()), hub.Client(c.ID()), hub.Clients(c.ID(), "nobody"),
			hub.Group("kitchen"), hub.Groups("kitchen", "cellar"), hub.GroupExcept("kitchen", c.ID()),
			hub.User("alice"), hub.Users("alice", "bob"),
		} {
			if err := to.Send(ctx, "Knocked", c.ID(), 3); err != nil {
				return err
			}
		}
		return nil
	})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	if _, err := client.Call("Knock"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(len(client.Received())) // Caller, All, Client, Clients
	// Output: 4
}

// The hub itself sends from anywhere: a timer, a queue's worker, an HTTP handler.
// So does it change groups of connections that it knows by id.
func ExampleHub() {
	ctx := context.Background()
	hub := signalr.NewHub("news", signalr.HubOptions{})
	signalr.Handle(hub, "WhoAmI", func(c *signalr.Conn) string { return c.ID() })
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	id := signalrtest.Invoke[string](client, "WhoAmI")

	publish := func(text string) { // by whatever goroutine
		if err := said.Send(ctx, hub.Group("readers"), text); err != nil {
			fmt.Println(err)
		}
	}
	if err := hub.AddToGroup(ctx, id, "readers"); err != nil {
		fmt.Println(err)
	}
	publish("it rains")
	if err := hub.RemoveFromGroup(ctx, id, "readers"); err != nil {
		fmt.Println(err)
	}
	publish("it snows")
	fmt.Println(hub.Count(), client.Expect("Said").Args, len(client.Received()))
	// Output: 1 ["it rains"] 0
}

// While a client lags, a newer event that is LatestOnly takes the place of the
// older one of its key, so that whoever is slow sees what is, not what was.
func ExampleEventOptions() {
	percent := signalr.NewEvent("Percent", signalr.EventOptions[frame]{
		Key:        func(f frame) string { return f.Film },
		LatestOnly: true,
	})
	hub := signalr.NewHub("films", signalr.HubOptions{})
	client := signalrtest.Connect(t, hub)
	defer client.Cut()
	goOn := client.Pause() // its network is stuck
	const last = 100_000
	for n := range uint64(last) {
		if err := percent.Send(context.Background(), hub.All(), frame{"boat", n + 1}); err != nil {
			fmt.Println(err)
		}
	}
	goOn()
	got := 0
	for f := (frame{}); f.Number < last; got++ {
		if err := client.Expect("Percent").Decode(&f); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("came to the last one:", got < last)
	// Output: came to the last one: true
}
