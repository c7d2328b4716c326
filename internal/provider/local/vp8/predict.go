package vp8

// The prediction modes of whole blocks (RFC 6386, section 12.2).
const (
	modeDC = iota
	modeV
	modeH
	modeTM
)

// border is what lies around a block of n x n pixels: n above, n to the left,
// and the corner. hasTop and hasLeft tell whether that is inside the picture.
type border struct {
	top, left       []uint8
	corner          uint8
	hasTop, hasLeft bool
}

// dc is the value that the DC mode predicts. shift is log2 of n.
func (b *border) dc(shift uint) uint8 {
	sum, parts := uint32(0), uint(0)
	if b.hasTop {
		for _, v := range b.top {
			sum += uint32(v)
		}
		parts++
	}
	if b.hasLeft {
		for _, v := range b.left {
			sum += uint32(v)
		}
		parts++
	}
	switch parts {
	case 0:
		return 128
	case 1:
		return uint8((sum + 1<<(shift-1)) >> shift)
	}
	return uint8((sum + 1<<shift) >> (shift + 1))
}

// misses are the sums of absolute differences that each mode would leave, over
// every second row. Modes that look beyond the picture's edge, where the format
// has constants of its own, are never chosen.
func (b *border) misses(src []uint8, stride int, dc uint8) (sums [4]uint32) {
	const never = 1 << 30
	if !b.hasTop {
		sums[modeV], sums[modeTM] = never, never
	}
	if !b.hasLeft {
		sums[modeH], sums[modeTM] = never, never
	}
	n := len(b.top)
	var sDC, sV, sH, sTM int32
	for y := 0; y < n; y += 2 {
		row, top := src[y*stride:y*stride+n], b.top[:n]
		left := int32(b.left[y])
		slope := left - int32(b.corner)
		for x, v := range row {
			p := int32(v)
			d := p - int32(dc)
			sDC += (d ^ d>>31) - d>>31
			d = p - int32(top[x])
			sV += (d ^ d>>31) - d>>31
			d -= slope
			sTM += (d ^ d>>31) - d>>31
			d = p - left
			sH += (d ^ d>>31) - d>>31
		}
	}
	sums[modeDC] += uint32(sDC)
	sums[modeV] += uint32(sV)
	sums[modeH] += uint32(sH)
	sums[modeTM] += uint32(sTM)
	return sums
}

// best is the mode of the fewest misses; an earlier one wins a tie.
func best(sums [4]uint32) int {
	mode := modeDC
	for m := modeV; m <= modeTM; m++ {
		if sums[m] < sums[mode] {
			mode = m
		}
	}
	return mode
}

// fill writes the prediction of a mode into dst, rows of n pixels a stride
// apart.
func (b *border) fill(dst []uint8, stride, mode int, dc uint8) {
	n := len(b.top)
	for y := range n {
		row := dst[y*stride : y*stride+n]
		switch mode {
		case modeDC:
			for x := range row {
				row[x] = dc
			}
		case modeV:
			copy(row, b.top)
		case modeH:
			v := b.left[y]
			for x := range row {
				row[x] = v
			}
		default:
			slope := int32(b.left[y]) - int32(b.corner)
			for x := range row {
				row[x] = clip(int32(b.top[x]) + slope)
			}
		}
	}
}
