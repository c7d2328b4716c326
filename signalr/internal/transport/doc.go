// Package transport moves the bytes of SignalR connections and never looks
// inside them: negotiation, WebSockets, server-sent events, long polling and a
// pipe in memory, for the server (Endpoint) and for the client (Dial).
//
// Who sends what, on the server side, where P is the path of the hub:
//
//	POST   P/negotiate      a new connection: public id, secret token
//	GET    P?id=TOKEN       attaches a transport, or continues it (a poll, a
//	                        second socket of a stateful connection)
//	GET    P  (Upgrade)     a WebSocket without negotiation
//	POST   P?id=TOKEN       bytes from the client (events, long polling)
//	DELETE P?id=TOKEN       the end of a long-polling connection
//
// What a connection is for is told by its Application: bytes that arrive go to
// Receive, bytes to be written are asked of Next. The other direction is the
// Session: Flush says that Next has something. So a transport keeps no queue
// of its own, and an idle WebSocket holds one goroutine and no buffer.
//
// Statuses, texts and header fields are those of ASP.NET Core.
package transport
