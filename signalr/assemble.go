package signalr

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/knnlabs/conduit/signalr/internal/wire"
)

// assembly is where a message is put together. Assemblies are used again; what
// is sent is a copy that has its exact size.
type assembly struct {
	wire.Message
	values []byte // encoded payloads
	ends   []int  // of each of them in values
	raws   []wire.Raw
	frame  []byte
}

var assemblies = sync.Pool{New: func() any { return new(assembly) }}

// keptAssembly limits the buffers that are used again, in bytes.
const keptAssembly = 64 << 10

func newAssembly() *assembly { return assemblies.Get().(*assembly) }

// release gives the assembly back, with what it was told.
func (a *assembly) release() {
	if cap(a.values) > keptAssembly || cap(a.frame) > keptAssembly || cap(a.raws) > 64 {
		return
	}
	clear(a.raws)
	a.Message = wire.Message{}
	a.values, a.ends, a.raws, a.frame = a.values[:0], a.ends[:0], a.raws[:0], a.frame[:0]
	assemblies.Put(a)
}

// encode encodes a payload behind those before. A panic of a marshaller is an
// error.
func (a *assembly) encode(h *Hub, protocol int, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while encoding %T: %v", v, p)
		}
	}()
	values, err := h.protocols[protocol].AppendValue(a.values, v, h.opts.casing(protocol))
	if err != nil {
		return err
	}
	a.values = values
	a.ends = append(a.ends, len(values))
	return nil
}

// encoded are the payloads, until release.
func (a *assembly) encoded() []wire.Raw {
	start := 0
	for _, end := range a.ends {
		a.raws = append(a.raws, a.values[start:end])
		start = end
	}
	return a.raws
}

// framed is the message as it travels.
func (a *assembly) framed(proto wire.Protocol) []byte {
	a.frame = proto.Append(a.frame, &a.Message)
	return bytes.Clone(a.frame)
}
