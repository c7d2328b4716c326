// Package signalr is SignalR for Go: hubs that the official SignalR clients of
// every language use unchanged, and a client for the hubs of any SignalR
// server. It speaks the protocol of ASP.NET Core 8, 9 and 10 to the byte and to
// the error sentence.
//
// # A hub
//
// A hub is an http.Handler. Methods that clients may call are registered,
// nothing else is reachable:
//
//	hub := signalr.NewHub("chat", signalr.HubOptions{})
//	signalr.Handle(hub, "Say", func(ctx context.Context, c *signalr.Conn, text string) error {
//		return message.Send(ctx, hub.All(), text)
//	})
//	mux.Handle("/chat", hub)
//	mux.Handle("/chat/", hub)
//
// Authentication, CORS and limits are ordinary middleware around it; what they
// put into the request's context is in the context of the connection's methods.
// HubOptions.UserID names the user by it.
//
// Credentials that end close their connections (HubOptions.AuthenticationExpires),
// and clients of .NET 11, or this package's, show a new one in time
// (HubOptions.AuthenticationRefresh).
//
// # Sending
//
// Messages are declared once, with their payload:
//
//	var message = signalr.NewEvent[string]("Message")
//
// and sent to an Audience: Hub.All, Hub.Client, Hub.Group, Hub.User and their
// kin, Conn.Caller, Conn.Others, Conn.OthersInGroup. A message is encoded once
// for each hub protocol, and put into the bounded queue of each receiver; what
// a goroutine sends to an audience arrives in that order. HubOptions.SlowClient
// says what happens to a client that does not keep up. An event may have a key
// and a position, so that duplicates and stragglers vanish, and may be
// LatestOnly, so that a client that lags gets the newest only; see
// EventOptions.
//
// Conn.CatchUp joins a group and sends the joiner what it has missed, as one
// operation.
//
// # Calls in other forms
//
// A method that returns iter.Seq2[T, error] streams to its caller; one that has
// such a parameter takes a stream from it. A Query asks a client and waits for
// its answer. Contexts end with the connection, and when the client cancels.
//
// # Errors
//
// Only an error made with Errorf crosses the wire; all others, and panics,
// become the protocol's own sentence and are logged. A panic of a method or a
// callback touches no other connection.
//
// # Several servers
//
// A Backplane joins the hubs of one name, so that groups, users and client
// results span servers. MemoryBackplane does so within a process; package
// backplane/backplanetest is what every other one must pass.
//
// # A client
//
// NewClient connects to the hub of any SignalR server, reconnects, calls,
// streams, and listens with the same events and queries.
//
// # Watching
//
// HubOptions.MeterProvider measures connections, and a TracerProvider, of hub or
// client, traces calls, by the conventions of OpenTelemetry; Logger and
// EnableMessageTracing tell what happens. Left out, they cost nothing.
//
// # Tests
//
// Package signalrtest connects clients to a hub in memory, and serves hubs to a
// Client without a network, with the fake time of testing/synctest where you
// like.
//
// # Limits
//
// Whatever a client can make grow is bounded, by default so:
//
//	32768 B    MaximumReceiveMessageSize            a message from a client
//	15 s       HandshakeTimeout                     to a complete handshake
//	30 s       ClientTimeoutInterval                silence of a client that has pinged
//	15 s       DisconnectTimeout                    without a transport
//	10 s       SendTimeout                          one write
//	90 s       PollTimeout                          a poll
//	5 s        CloseTimeout                         the answer to a close frame
//	4096       QueueMessages                        messages that wait to be written
//	1 MiB      QueueBytes                           their bytes
//	100000 B   StatefulReconnectBufferSize          unacknowledged, with stateful reconnect
//	1          MaximumParallelInvocationsPerClient  plain invocations at once
//	1024       Limits.PendingInvocations            plain invocations that wait
//	4 MiB      Limits.PendingBytes                  their bytes, and those of uploaded items
//	1024       Limits.Streams                       streams, down and up each
//	10         StreamBufferCapacity                 items of an upload that wait
//	10000      Limits.GroupsPerConnection           groups of a connection
//	1024 B     Limits.GroupNameBytes                name of a group
//	10000      Limits.HalfOpen                      connections without handshake
//
// docs/signalr/README.md says what happens beyond, and lists what is fixed.
package signalr
