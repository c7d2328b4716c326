package signalr_test

import (
	"testing"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/signalrtest"
)

// BenchmarkClientInvocation is a call of a Client, its method and the answer,
// over a WebSocket in memory: both ends and all that is between them.
func BenchmarkClientInvocation(b *testing.B) {
	for _, protocol := range []string{"json", "messagepack"} {
		b.Run(protocol, func(b *testing.B) {
			hub := signalr.NewHub("bench", signalr.HubOptions{})
			signalr.Handle(hub, "Add", func(a, b int) int { return a + b })
			server := signalrtest.Serve(b, hub)
			client := signalr.NewClient(server.URL, signalr.ClientOptions{HTTPClient: server.HTTPClient, Protocol: protocol})
			if err := client.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				var sum int
				if err := client.Invoke(b.Context(), "Add", &sum, 2, 40); err != nil || sum != 42 {
					b.Fatal(sum, err)
				}
			}
			_ = client.Stop(b.Context())
		})
	}
}
