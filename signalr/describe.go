package signalr

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
)

// Description is what a hub offers, for generators of client code.
type Description struct {
	Hub     string
	Methods []MethodDescription // by name
	Events  []EventDescription  // as HubOptions.Declares lists them
	Queries []QueryDescription
}

// MethodDescription is a method that clients can call.
type MethodDescription struct {
	Name      string
	Arguments []reflect.Type // that clients send, in order
	Uploads   []reflect.Type // of the items of streams that clients upload, in order
	Result    reflect.Type   // nil: none; of the items if Stream
	Stream    bool           // the result is a stream
}

// EventDescription is a message to clients.
type EventDescription struct {
	Name    string
	Payload reflect.Type
}

// QueryDescription is a method of clients that has a result.
type QueryDescription struct {
	Name    string
	In, Out reflect.Type
}

// Describe lists what the hub offers.
func (h *Hub) Describe() Description {
	d := Description{Hub: h.name}
	for _, m := range slices.SortedFunc(maps.Values(h.methods), func(a, b *method) int { return cmp.Compare(a.name, b.name) }) {
		md := MethodDescription{Name: m.name, Result: m.result, Stream: m.stream}
		for _, p := range m.params {
			switch p.kind {
			case paramArgument:
				md.Arguments = append(md.Arguments, p.typ)
			case paramUpload:
				md.Uploads = append(md.Uploads, p.item)
			}
		}
		d.Methods = append(d.Methods, md)
	}
	for _, declared := range h.opts.Declares {
		declared.declare(&d)
	}
	return d
}
