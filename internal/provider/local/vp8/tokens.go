package vp8

import "math"

// tokens is the residual of a frame as a list of binary decisions, kept until
// the frame's statistics are known. A decision is either adaptive (an index
// into the coefficient probabilities) or fixed (a probability).
type tokens struct {
	list  []uint16
	count [numProbs][2]uint32 // how often each adaptive decision went 0 and 1
	probs [numProbs]uint8     // that hold for the frame, see adapt
}

const fixedToken = 1 << 15

func (t *tokens) reset() {
	t.list = t.list[:0]
	t.count = [numProbs][2]uint32{}
}

func (t *tokens) adaptive(index int, bit uint16) {
	t.count[index][bit&1]++
	t.list = append(t.list, uint16(index)<<1|bit)
}

func (t *tokens) fixed(prob uint8, bit uint16) {
	t.list = append(t.list, fixedToken|uint16(prob)<<1|bit)
}

// block adds the levels of a block from first up to last (exclusive; first or
// less: none) in a context of 0 to 2 (section 13.3). It returns 1 when there
// are any, as the neighbours' contexts want it.
func (t *tokens) block(plane, ctx, first, last int, levels *[16]int16) uint8 {
	p := plane + bandOffset[first] + ctx*ctxStride
	if last <= first {
		t.adaptive(p, 0)
		return 0
	}
	t.adaptive(p, 1)
	for n := first; n < last; n++ {
		v := uint32(levels[n&15])
		sign := uint16(0)
		if levels[n&15] < 0 {
			v, sign = uint32(-int32(levels[n&15])), 1
		}
		next := plane + bandOffset[n+1]
		if v == 0 {
			t.adaptive(p+1, 0)
			p = next
			continue // no "end" can follow a zero
		}
		t.adaptive(p+1, 1)
		if v == 1 {
			t.adaptive(p+2, 0)
			p = next + ctxStride
		} else {
			t.adaptive(p+2, 1)
			t.large(p, v)
			p = next + 2*ctxStride
		}
		t.fixed(128, sign)
		if n == 15 {
			return 1
		}
		if n+1 < last {
			t.adaptive(p, 1)
		} else {
			t.adaptive(p, 0)
		}
	}
	return 1
}

// large adds a magnitude of 2 or more.
func (t *tokens) large(p int, v uint32) {
	if v <= 4 {
		t.adaptive(p+3, 0)
		if v == 2 {
			t.adaptive(p+4, 0)
			return
		}
		t.adaptive(p+4, 1)
		t.adaptive(p+5, uint16(v-3))
		return
	}
	t.adaptive(p+3, 1)
	if v <= 10 {
		t.adaptive(p+6, 0)
		if v <= 6 {
			t.adaptive(p+7, 0)
			t.fixed(159, uint16(v-5))
			return
		}
		t.adaptive(p+7, 1)
		t.fixed(165, uint16(v-7)>>1)
		t.fixed(145, uint16(v-7)&1)
		return
	}
	t.adaptive(p+6, 1)
	base, extra := uint32(11), cat3
	switch {
	case v < 19:
		t.adaptive(p+8, 0)
		t.adaptive(p+9, 0)
	case v < 35:
		t.adaptive(p+8, 0)
		t.adaptive(p+9, 1)
		base, extra = 19, cat4
	case v < 67:
		t.adaptive(p+8, 1)
		t.adaptive(p+10, 0)
		base, extra = 35, cat5
	default:
		t.adaptive(p+8, 1)
		t.adaptive(p+10, 1)
		base, extra = 67, cat6
	}
	for i, prob := range extra {
		t.fixed(prob, uint16((v-base)>>(len(extra)-1-i)&1))
	}
}

// bitCost is the price of a bit of probability p/256, in 1/256 bit.
var bitCost = func() (c [257]uint32) {
	for p := 1; p <= 256; p++ {
		c[p] = uint32(math.Round(-256 * math.Log2(float64(p)/256)))
	}
	c[0] = c[1]
	return c
}()

func cost(n [2]uint32, p uint8) uint64 {
	return uint64(n[0])*uint64(bitCost[p]) + uint64(n[1])*uint64(bitCost[256-int(p)])
}

// adapt chooses the frame's probabilities and writes which of the default ones
// they replace (section 13.4).
func (t *tokens) adapt(w *boolWriter) {
	t.probs = defaultProbs
	probs := &t.probs
	for i := range probs {
		n := t.count[i]
		update := uint32(0)
		if total := n[0] + n[1]; total > 0 {
			p := uint8(min(max((uint64(n[0])*256+uint64(total)/2)/uint64(total), 1), 255))
			u := updateProbs[i]
			keep := cost(n, probs[i]) + uint64(bitCost[u])
			replace := cost(n, p) + uint64(bitCost[256-int(u)]) + 8*256
			if replace < keep {
				update, probs[i] = 1, p
			}
		}
		w.put(update, updateProbs[i])
		if update != 0 {
			w.bits(uint32(probs[i]), 8)
		}
	}
}

// write writes the decisions with the probabilities that adapt chose.
func (t *tokens) write(w *boolWriter) {
	for _, v := range t.list {
		if v&fixedToken != 0 {
			w.put(uint32(v&1), uint8(v>>1))
		} else {
			w.put(uint32(v&1), t.probs[v>>1])
		}
	}
}
