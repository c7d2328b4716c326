package vp8

// boolWriter is the arithmetic coder of RFC 6386, section 7. The zero value
// must be reset before use.
type boolWriter struct {
	out   []byte
	low   uint32 // what is not yet in out, 24 bits and the carry above them
	rng   uint32 // 128..255
	count int    // bits that low still takes, below zero
}

func (w *boolWriter) reset(out []byte) {
	*w = boolWriter{out: out, rng: 255, count: -24}
}

// normShift is how far a range must be shifted to be 128 or more again.
var normShift = func() (t [256]uint8) {
	for i := 1; i < 128; i++ {
		for v := i; v < 128; v <<= 1 {
			t[i]++
		}
	}
	return t
}()

// put writes one bit that is 0 with a probability of prob/256.
func (w *boolWriter) put(bit uint32, prob uint8) {
	split := 1 + ((w.rng-1)*uint32(prob))>>8
	low, rng := w.low, split
	if bit != 0 {
		low += split
		rng = w.rng - split
	}
	shift := int(normShift[rng&255])
	w.rng = rng << shift
	w.count += shift
	if w.count >= 0 {
		offset := shift - w.count
		if (low<<(offset-1))&0x80000000 != 0 {
			w.carry()
		}
		w.out = append(w.out, byte(low>>(24-offset)))
		low = (low << offset) & 0xffffff
		shift = w.count
		w.count -= 8
	}
	w.low = low << shift
}

// carry adds one to what is already written.
func (w *boolWriter) carry() {
	i := len(w.out) - 1
	for ; i >= 0 && w.out[i] == 255; i-- {
		w.out[i] = 0
	}
	if i >= 0 {
		w.out[i]++
	}
}

// bits writes the n low bits of v, highest first, each as likely 0 as 1.
func (w *boolWriter) bits(v uint32, n int) {
	for n--; n >= 0; n-- {
		w.put(v>>n&1, 128)
	}
}

// optional writes a value that may be left out: a flag, n bits of magnitude,
// and the sign (section 9.3 and others).
func (w *boolWriter) optional(v int, n int) {
	if v == 0 {
		w.bits(0, 1)
		return
	}
	w.bits(1, 1)
	w.bits(uint32(max(v, -v)), n)
	if v < 0 {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
}

// finish writes what is pending and returns everything written.
func (w *boolWriter) finish() []byte {
	for range 32 {
		w.put(0, 128)
	}
	return w.out
}
