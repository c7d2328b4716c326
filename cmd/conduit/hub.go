package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/knnlabs/conduit/signalr"
)

// followHub watches a task over the hub of its kind until its end. After a loss of
// the connection, a restart of the server included, it subscribes again from
// the newest event that it has. It gives up with an error when the hub cannot
// be reached; w then knows what has been seen.
func (c *client) followHub(ctx context.Context, kind string, w *watcher) (event, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // of w

	var hub *signalr.Client
	hub = signalr.NewClient(c.base+"/hubs/"+kind+"-generation", signalr.ClientOptions{
		Token:      func(context.Context) (string, error) { return c.key, nil },
		HTTPClient: c.http,
		Reconnect: func(r signalr.Retry) (time.Duration, bool) {
			return min(firstPause<<min(r.Previous, 5), longestPause), r.Elapsed < patience
		},
		OnReconnected: func(string) {
			mu.Lock()
			last := w.last
			mu.Unlock()
			if err := hub.Invoke(ctx, "SubscribeToTaskFrom", nil, w.id, last); err != nil && hub.State() == signalr.StateConnected {
				cancel(err) // lost again meanwhile: the next reconnect subscribes
			}
		},
		OnClosed: func(cause error) {
			if cause == nil {
				cause = errors.New("the server ended the connection")
			}
			cancel(cause)
		},
	})
	ended := make(chan struct{})
	for _, name := range []string{"Started", "Progress", "Completed", "Failed", "Cancelled"} {
		hub.On(name, func(e event) {
			mu.Lock()
			defer mu.Unlock()
			over := w.end != nil
			w.take(e)
			if !over && w.end != nil {
				close(ended)
			}
		})
	}
	if err := hub.Start(ctx); err != nil {
		return event{}, err
	}
	defer stopHub(ctx, hub)
	if err := hub.Invoke(ctx, "SubscribeToTask", nil, w.id); err != nil && hub.State() == signalr.StateConnected {
		return event{}, err
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	if w.end != nil {
		return *w.end, nil
	}
	return event{}, context.Cause(ctx)
}

// stopHub ends a connection, also when ctx has ended.
func stopHub(ctx context.Context, hub *signalr.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = hub.Stop(ctx) // the server notices either way
}
