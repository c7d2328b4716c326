package signalr

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/signalr/internal/transport"
)

func TestShutdownClosesInWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disconnected atomic.Int32
		h := NewHub("test", HubOptions{ShutdownWindow: 5 * time.Second, KeepAliveInterval: time.Hour,
			OnDisconnected: func(context.Context, *Conn, error) { time.Sleep(time.Second); disconnected.Add(1) }})
		finished := false
		Handle(h, "Work", func(ctx context.Context) {
			<-ctx.Done()
			time.Sleep(time.Second) // cleans up
			finished = true
		})
		half := connectAs(t, h, "half", context.Background(), "") // no handshake yet
		peers := make([]*peer, 200)
		for i := range peers {
			peers[i] = connect(t, h, fmt.Sprint("c", i))
		}
		peers[0].send(`{"type":1,"invocationId":"1","target":"Work","arguments":[]}`)
		synctest.Wait()
		start := time.Now()
		done := make(chan error)
		go func() { done <- h.Shutdown(context.Background()) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		ended := 0
		for _, p := range peers {
			if p.hasEnded() {
				ended++
			}
		}
		if ended < 20 || ended > 180 {
			t.Errorf("%d of %d were closed after 2 s of 5", ended, len(peers))
		}
		err := transport.ConnectPipe("late", nil, 0, h.accept, nil)
		if !errors.Is(err, ErrHubClosed) {
			t.Errorf("a late connection: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 8*time.Second {
			t.Errorf("took %v", d)
		}
		for _, p := range peers {
			p.want(`{"type":7,"allowReconnect":true}`, "")
		}
		if !half.hasEnded() || !finished || disconnected.Load() != 200 {
			t.Errorf("half open ended %v, method returned %v, %d disconnects", half.hasEnded(), finished, disconnected.Load())
		}
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownCutsOffWhoIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("test", HubOptions{KeepAliveInterval: time.Hour})
		release := make(chan struct{})
		Handle(h, "Stubborn", func() { <-release })
		stuck, busy := connect(t, h, "stuck"), connect(t, h, "busy")
		goOn := stuck.stall()
		_ = h.Client("stuck").Send(t.Context(), "X")
		busy.send(`{"type":1,"target":"Stubborn","arguments":[]}`)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := h.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
		goOn()
		close(release)
		synctest.Wait()
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
