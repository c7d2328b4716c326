// Package signalr is SignalR for Go: hubs that the official SignalR clients of
// every language use unchanged, and a client for the hubs of any SignalR
// server.
package signalr
