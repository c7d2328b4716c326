package vp8

// forwardDCT transforms the difference of a 4x4 block of src and its
// prediction, both with a stride of their own, into 16 coefficients. It is the
// counterpart of the inverse transform of RFC 6386, section 14.3, whose
// constants are sqrt(2)*cos(pi/8) and sqrt(2)*sin(pi/8), here times 4096.
func forwardDCT(src []uint8, srcStride int, pred []uint8, predStride int, out *[16]int32) {
	const c, s = 5352, 2217
	var t [16]int32
	for i := range 4 {
		a := src[i*srcStride : i*srcStride+4 : i*srcStride+4]
		b := pred[i*predStride : i*predStride+4 : i*predStride+4]
		d0, d1 := int32(a[0])-int32(b[0]), int32(a[1])-int32(b[1])
		d2, d3 := int32(a[2])-int32(b[2]), int32(a[3])-int32(b[3])
		a0, a1, a2, a3 := d0+d3, d1+d2, d1-d2, d0-d3
		t[i*4+0] = (a0 + a1) * 8
		t[i*4+1] = (a2*s + a3*c + 1812) >> 9
		t[i*4+2] = (a0 - a1) * 8
		t[i*4+3] = (a3*s - a2*c + 937) >> 9
	}
	for i := range 4 {
		a0, a1 := t[i]+t[12+i], t[4+i]+t[8+i]
		a2, a3 := t[4+i]-t[8+i], t[i]-t[12+i]
		out[i] = (a0 + a1 + 7) >> 4
		out[4+i] = (a2*s + a3*c + 12000) >> 16
		if a3 != 0 {
			out[4+i]++
		}
		out[8+i] = (a0 - a1 + 7) >> 4
		out[12+i] = (a3*s - a2*c + 51000) >> 16
	}
}

// forwardWHT transforms the DCs of the 16 luma blocks, the counterpart of
// section 14.4's inverse.
func forwardWHT(in, out *[16]int32) {
	var t [16]int32
	for i := range 4 {
		r := in[i*4 : i*4+4 : i*4+4]
		a0, a1, a2, a3 := r[0]+r[2], r[1]+r[3], r[1]-r[3], r[0]-r[2]
		t[i*4+0], t[i*4+1], t[i*4+2], t[i*4+3] = a0+a1, a3+a2, a3-a2, a0-a1
	}
	for i := range 4 {
		a0, a1, a2, a3 := t[i]+t[8+i], t[4+i]+t[12+i], t[4+i]-t[12+i], t[i]-t[8+i]
		out[i], out[4+i], out[8+i], out[12+i] = (a0+a1)>>1, (a3+a2)>>1, (a3-a2)>>1, (a0-a1)>>1
	}
}

// inverseWHT is section 14.4.
func inverseWHT(in, out *[16]int32) {
	var t [16]int32
	for i := range 4 {
		a0, a1 := in[i]+in[12+i], in[4+i]+in[8+i]
		a2, a3 := in[4+i]-in[8+i], in[i]-in[12+i]
		t[i], t[8+i], t[4+i], t[12+i] = a0+a1, a0-a1, a3+a2, a3-a2
	}
	for i := range 4 {
		r := t[i*4 : i*4+4 : i*4+4]
		dc := r[0] + 3
		a0, a1, a2, a3 := dc+r[3], r[1]+r[2], r[1]-r[2], dc-r[3]
		out[i*4+0], out[i*4+1] = (a0+a1)>>3, (a3+a2)>>3
		out[i*4+2], out[i*4+3] = (a0-a1)>>3, (a3-a2)>>3
	}
}

// addInverseDCT adds the inverse transform of c to a 4x4 block (section 14.3).
func addInverseDCT(c *[16]int32, dst []uint8, stride int) {
	const c1, c2 = 85627, 35468 // sqrt(2)*cos(pi/8) and sqrt(2)*sin(pi/8), times 65536
	var t [16]int32
	for i := range 4 {
		a, b := c[i]+c[8+i], c[i]-c[8+i]
		e := (c[4+i]*c2)>>16 - (c[12+i]*c1)>>16
		d := (c[4+i]*c1)>>16 + (c[12+i]*c2)>>16
		t[i*4+0], t[i*4+1], t[i*4+2], t[i*4+3] = a+d, b+e, b-e, a-d
	}
	for j := range 4 {
		dc := t[j] + 4
		a, b := dc+t[8+j], dc-t[8+j]
		e := (t[4+j]*c2)>>16 - (t[12+j]*c1)>>16
		d := (t[4+j]*c1)>>16 + (t[12+j]*c2)>>16
		row := dst[j*stride : j*stride+4 : j*stride+4]
		row[0] = clip(int32(row[0]) + (a+d)>>3)
		row[1] = clip(int32(row[1]) + (b+e)>>3)
		row[2] = clip(int32(row[2]) + (b-e)>>3)
		row[3] = clip(int32(row[3]) + (a-d)>>3)
	}
}

// addDC is addInverseDCT for a block that has nothing but its DC.
func addDC(dc int32, dst []uint8, stride int) {
	d := (dc + 4) >> 3
	if d == 0 {
		return
	}
	for j := range 4 {
		row := dst[j*stride : j*stride+4 : j*stride+4]
		row[0], row[1] = clip(int32(row[0])+d), clip(int32(row[1])+d)
		row[2], row[3] = clip(int32(row[2])+d), clip(int32(row[3])+d)
	}
}

func clip(v int32) uint8 {
	if uint32(v) <= 255 {
		return uint8(v)
	}
	if v < 0 {
		return 0
	}
	return 255
}

// steps is how one plane is quantized: index 0 for the DC, 1 for the rest.
type steps struct {
	size  [2]int32  // of a step
	recip [2]uint32 // 1<<16 / size
	round [2]int32  // added before the division: below half a step, which favours zero
}

func newSteps(dc, ac uint16) steps {
	var s steps
	for i, v := range []uint16{dc, ac} {
		s.size[i] = int32(v)
		s.recip[i] = (1<<16 + uint32(v) - 1) / uint32(v)
	}
	s.round[0] = s.size[0] * 12 / 32
	s.round[1] = s.size[1] * 13 / 32
	return s
}

// quantize turns coefficients from first on into levels in zigzag order, and
// c into what the decoder will make of them. It returns the number of levels
// up to the last that is not zero, counted from 0.
func (s *steps) quantize(c *[16]int32, first int, levels *[16]int16) int {
	last := 0
	for n := first; n < 16; n++ {
		i := zigzag[n]
		k := 1
		if n == 0 {
			k = 0
		}
		v := c[i&15]
		sign := v >> 31
		v = (v ^ sign) - sign
		q := int32((uint32(v+s.round[k]) * s.recip[k]) >> 16)
		if q == 0 {
			levels[n], c[i&15] = 0, 0
			continue
		}
		q = min(q, 2047)
		c[i&15] = (q*s.size[k] ^ sign) - sign
		levels[n] = int16((q ^ sign) - sign)
		last = n + 1
	}
	return last
}
