//go:build !unix

package transport

// rawIO: every write is left to a goroutine, every reader has a buffer.
const rawIO = false

func rawRead(uintptr, []byte) (n int, again bool, err error) { panic("transport: no raw reads here") }
func rawWrite(uintptr, []byte) (n int, err error)            { panic("transport: no raw writes here") }
