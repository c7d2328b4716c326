// Package wire turns hub messages into bytes and bytes into hub messages: the
// JSON and MessagePack hub protocols, their framing, the handshake, and the
// values inside. It does no I/O and reads no clock.
package wire
