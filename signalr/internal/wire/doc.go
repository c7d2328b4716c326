// Package wire turns hub messages into bytes and bytes into hub messages: the
// JSON and MessagePack hub protocols of ASP.NET Core SignalR, their framing, the
// handshake before them, and the values inside them. It does no I/O, reads no
// clock and starts no goroutine; what it is given it returns changed.
//
// # The protocol, from above
//
// Two sides, client and server, exchange bytes over a transport that keeps their
// order. Where one chunk of a transport ends and the next begins means nothing.
//
// The client speaks first, in JSON whatever comes after:
//
//	{"protocol":"json","version":1}␞       or "messagepack"; 2 asks for stateful reconnect
//
// ␞ is the byte 0x1E (Separator). The server answers {}␞, or {"error":"…"}␞ and
// ends. Hub messages may follow in the same chunk, both ways, so both parsers
// say how many bytes they took. From then on either side sends messages:
//
//	 1  Invocation        both      call a method; with an id an answer is wanted
//	 2  StreamItem        both      one item of a stream, under the call's or the stream's id
//	 3  Completion        both      the end of a call or stream: result, error, or neither
//	 4  StreamInvocation  client    call a method that answers with a stream
//	 5  CancelInvocation  client    no more items, please; a Completion still comes
//	 6  Ping              both      I am here; never answered
//	 7  Close             both      I end; perhaps why, perhaps whether to come back
//	 8  Ack               both      stateful reconnect: I have everything up to this number
//	 9  Sequence          both      stateful reconnect: my next counted message has this number
//
//	client  1 id=7 Add(2,40)      ->           server
//	client                        <- 3 id=7 42 server
//	client  4 id=8 Count(2)       ->           server
//	client                        <- 2 id=8 0, 2 id=8 1, 3 id=8
//	client  1 id=9 Sum, streams s ->           server
//	client  2 id=s 5, 3 id=s      ->           server
//	client                        <- 3 id=9 5  server
//	client                        <- 1 Progress({…})      no id: no answer
//	client                        <- 1 id=s1 Ask("sure?") a client result
//	client  3 id=s1 true          ->           server
//
// Ids belong to the side that calls, and to nobody else. Types 1 to 5 are
// numbered without carrying their number (Type.Counted): both sides count, and
// after a reconnect Sequence says where the sender begins again.
//
// In JSON a message is one object with ␞ behind it, its properties in any order:
//
//	{"type":1,"invocationId":"7","target":"Add","arguments":[2,40]}␞
//
// In MessagePack it is one array of fixed order, with its length in 7-bit groups
// before it:
//
//	0D 96 01 80 A1 37 A3 Add 92 02 28 90      [1, headers, id, target, [arguments], [streamIds]]
//
// # The code
//
// A Protocol cuts the input into frames (Split), reads a frame into a Message
// (Parse), and writes one with its framing (Append). Parse finds the bounds of
// the values and leaves them encoded, as Raw: only who knows the method knows
// into what to decode them (DecodeValue). AppendValue encodes a value once; the
// bytes can then go into the messages of any number of receivers.
//
// What is written is written byte for byte as ASP.NET Core writes it, and what
// is read is taken or refused as ASP.NET Core does, with its sentences, since
// users meet them: testdata/hub-messages.jsonl has 355 recordings, all of them
// tested. Three kinds of faults are kept apart:
//
//   - *ProtocolError ends the connection;
//   - *BindError is a value that does not fit: the call fails, the connection
//     lives;
//   - ErrUnknownType is a message of the future: it is skipped.
//
// Bytes from the network are never trusted: depth is bounded (64 levels in JSON,
// 500 in a MessagePack value), a length or a count is believed only as far as
// there are bytes, and what is allocated is in proportion to the input.
//
// One file per concern: message.go and protocol.go are the surface, framing.go
// and handshake.go surround the messages, jsonread.go, jsonwrite.go, packread.go
// and packwrite.go are the envelopes, jsonencode.go, jsondecode.go, packencode.go
// and packdecode.go the values, fields.go says what a struct looks like.
package wire
