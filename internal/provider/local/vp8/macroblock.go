package vp8

import "image"

// work is the space in which one macroblock is encoded.
type work struct {
	// What was decoded to the left of the macroblock, and the corners above it.
	leftY                     [16]uint8
	leftU, leftV              [8]uint8
	cornerY, cornerU, cornerV uint8

	edge [16*16 + 2*8*8]uint8 // the source, where it must be filled up at the picture's edge
	y    [16 * 16]uint8       // predicted, then decoded where the next ones look
	u, v [8 * 8]uint8

	coeff  [25][16]int32 // 16 luma, 4 + 4 chroma, 1 of the luma DCs
	levels [25][16]int16
	last   [25]int
}

const (
	firstU  = 16
	firstV  = 20
	dcBlock = 24
)

// plane is a part of a picture: pixels a stride apart.
type plane struct {
	pix    []uint8
	stride int
}

// macroblock predicts, transforms and quantizes one macroblock and adds it to
// the frame's tokens.
func (e *Encoder) macroblock(m *image.YCbCr, mbx, mby int) {
	w := &e.mb
	srcY, srcU, srcV := e.source(m, mbx, mby)
	b := &e.blocks[mby*e.mbw+mbx]

	luma := border{e.topY[mbx*16 : mbx*16+16], w.leftY[:], w.cornerY, mby > 0, mbx > 0}
	dc := luma.dc(4)
	mode := best(luma.misses(srcY.pix, srcY.stride, dc))
	b.lumaMode = uint8(mode)
	luma.fill(w.y[:], 16, mode, dc)

	chromaU := border{e.topU[mbx*8 : mbx*8+8], w.leftU[:], w.cornerU, mby > 0, mbx > 0}
	chromaV := border{e.topV[mbx*8 : mbx*8+8], w.leftV[:], w.cornerV, mby > 0, mbx > 0}
	dcU, dcV := chromaU.dc(3), chromaV.dc(3)
	sums := chromaU.misses(srcU.pix, srcU.stride, dcU)
	for i, s := range chromaV.misses(srcV.pix, srcV.stride, dcV) {
		sums[i] += s
	}
	mode = best(sums)
	b.chromaMode = uint8(mode)
	chromaU.fill(w.u[:], 8, mode, dcU)
	chromaV.fill(w.v[:], 8, mode, dcV)

	any := e.luma(srcY)
	any = e.chroma(srcU, w.u[:], firstU) || any
	any = e.chroma(srcV, w.v[:], firstV) || any
	b.skip = !any
	if any {
		e.addTokens(mbx)
	} else {
		e.above[mbx], e.left = context{}, context{}
	}
	e.remember(mbx)
}

// luma transforms and quantizes the luma of a macroblock, and decodes again
// what its neighbours will be predicted from: the lower and the right blocks.
func (e *Encoder) luma(src plane) (any bool) {
	w := &e.mb
	var dcs [16]int32
	for n := range 16 {
		at := n>>2*4*16 + n&3*4
		forwardDCT(src.pix[n>>2*4*src.stride+n&3*4:], src.stride, w.y[at:], 16, &w.coeff[n])
		dcs[n] = w.coeff[n][0]
		w.last[n] = e.y1.quantize(&w.coeff[n], 1, &w.levels[n])
		any = any || w.last[n] > 0
	}
	forwardWHT(&dcs, &w.coeff[dcBlock])
	w.last[dcBlock] = e.y2.quantize(&w.coeff[dcBlock], 0, &w.levels[dcBlock])
	any = any || w.last[dcBlock] > 0
	inverseWHT(&w.coeff[dcBlock], &dcs)
	for n := range 16 {
		if n&3 != 3 && n>>2 != 3 {
			continue
		}
		at := n>>2*4*16 + n&3*4
		if w.last[n] > 0 {
			w.coeff[n][0] = dcs[n]
			addInverseDCT(&w.coeff[n], w.y[at:], 16)
		} else {
			addDC(dcs[n], w.y[at:], 16)
		}
	}
	return any
}

// chroma does the same for one chroma plane, whose blocks begin at first.
func (e *Encoder) chroma(src plane, dst []uint8, first int) (any bool) {
	w := &e.mb
	for n := range 4 {
		at := n>>1*4*8 + n&1*4
		c := &w.coeff[first+n]
		forwardDCT(src.pix[n>>1*4*src.stride+n&1*4:], src.stride, dst[at:], 8, c)
		last := e.uv.quantize(c, 0, &w.levels[first+n])
		w.last[first+n] = last
		any = any || last > 0
		if n == 0 {
			continue
		}
		if last > 1 {
			addInverseDCT(c, dst[at:], 8)
		} else {
			addDC(c[0], dst[at:], 8)
		}
	}
	return any
}

// addTokens adds a macroblock's levels in the order of section 13: the DCs,
// luma, chroma.
func (e *Encoder) addTokens(mbx int) {
	w, t := &e.mb, &e.frame
	up, left := &e.above[mbx], &e.left
	nz := t.block(planeY2, int(up.y2+left.y2), 0, w.last[dcBlock], &w.levels[dcBlock])
	up.y2, left.y2 = nz, nz
	for n := range 16 {
		x, y := n&3, n>>2
		nz := t.block(planeY, int(up.y[x]+left.y[y]), 1, w.last[n], &w.levels[n])
		up.y[x], left.y[y] = nz, nz
	}
	for n := range 4 {
		x, y := n&1, n>>1
		nz := t.block(planeUV, int(up.u[x]+left.u[y]), 0, w.last[firstU+n], &w.levels[firstU+n])
		up.u[x], left.u[y] = nz, nz
	}
	for n := range 4 {
		x, y := n&1, n>>1
		nz := t.block(planeUV, int(up.v[x]+left.v[y]), 0, w.last[firstV+n], &w.levels[firstV+n])
		up.v[x], left.v[y] = nz, nz
	}
}

// remember keeps what the macroblocks to the right and below are predicted
// from.
func (e *Encoder) remember(mbx int) {
	w := &e.mb
	w.cornerY, w.cornerU, w.cornerV = e.topY[mbx*16+15], e.topU[mbx*8+7], e.topV[mbx*8+7]
	for y := range 16 {
		w.leftY[y] = w.y[y*16+15]
	}
	for y := range 8 {
		w.leftU[y], w.leftV[y] = w.u[y*8+7], w.v[y*8+7]
	}
	copy(e.topY[mbx*16:mbx*16+16], w.y[15*16:])
	copy(e.topU[mbx*8:mbx*8+8], w.u[7*8:])
	copy(e.topV[mbx*8:mbx*8+8], w.v[7*8:])
}

// source is a macroblock's part of the picture. Where it reaches beyond the
// edge, the last row and column are repeated.
func (e *Encoder) source(m *image.YCbCr, mbx, mby int) (y, u, v plane) {
	x0, y0 := mbx*16, mby*16
	yAt := m.YOffset(m.Rect.Min.X+x0, m.Rect.Min.Y+y0)
	cAt := m.COffset(m.Rect.Min.X+x0, m.Rect.Min.Y+y0)
	if x0+16 <= e.w && y0+16 <= e.h {
		return plane{m.Y[yAt:], m.YStride}, plane{m.Cb[cAt:], m.CStride}, plane{m.Cr[cAt:], m.CStride}
	}
	edge := e.mb.edge[:]
	y = plane{edge[:256], 16}
	u, v = plane{edge[256:320], 8}, plane{edge[320:], 8}
	repeat(y, plane{m.Y[yAt:], m.YStride}, 16, e.w-x0, e.h-y0)
	cw, ch := (e.w+1)/2-x0/2, (e.h+1)/2-y0/2
	repeat(u, plane{m.Cb[cAt:], m.CStride}, 8, cw, ch)
	repeat(v, plane{m.Cr[cAt:], m.CStride}, 8, cw, ch)
	return y, u, v
}

// repeat copies the w x h pixels that there are into a square of n.
func repeat(dst, src plane, n, w, h int) {
	w, h = min(w, n), min(h, n)
	for y := range n {
		from := src.pix[min(y, h-1)*src.stride:]
		row := dst.pix[y*dst.stride : y*dst.stride+n]
		copy(row, from[:w])
		for x := w; x < n; x++ {
			row[x] = from[w-1]
		}
	}
}
