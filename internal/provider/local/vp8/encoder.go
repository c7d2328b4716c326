// Package vp8 encodes pictures as VP8 key frames (RFC 6386), fast enough for
// video: YCbCr planes in, bytes out, memory reused from frame to frame.
//
// A key frame needs no other frame, so every one of them can be sought to. The
// encoder predicts each macroblock as a whole (the four 16x16 modes of luma,
// the four 8x8 modes of chroma) and fits the coefficient probabilities to each
// frame. It works with integers alone, so the same picture gives the same
// bytes everywhere.
package vp8

import (
	"encoding/binary"
	"fmt"
	"image"
)

// MaxSize is the largest width and height of the format, pixels.
const MaxSize = 1<<14 - 1

// DefaultQuantizer gives about 43 dB on drawn pictures.
const DefaultQuantizer = 20

// Encoder encodes pictures of one size. Not safe for concurrent use.
type Encoder struct {
	w, h, mbw, mbh int
	quantizer      int
	filter         int // strength of the loop filter, 0..63
	y1, y2, uv     steps

	frame  tokens
	blocks []macroblock // of the frame
	out    boolWriter   // its buffer is reused
	header boolWriter

	above            []context // one a column
	left             context
	topY, topU, topV []uint8 // last row of the macroblocks above
	mb               work
}

// macroblock is what the first partition tells of each.
type macroblock struct {
	lumaMode, chromaMode uint8
	skip                 bool // no coefficients
}

// context tells which neighbouring blocks had coefficients (0 or 1).
type context struct {
	y2 uint8
	y  [4]uint8
	u  [2]uint8
	v  [2]uint8
}

// NewEncoder makes an encoder for pictures of w x h pixels. The quantizer goes
// from 0 (finest) to 127; DefaultQuantizer is a good choice. It panics when a
// value is out of range.
func NewEncoder(w, h, quantizer int) *Encoder {
	if w < 1 || h < 1 || w > MaxSize || h > MaxSize || quantizer < 0 || quantizer > 127 {
		panic(fmt.Sprintf("vp8: no encoder for %dx%d at quantizer %d", w, h, quantizer))
	}
	e := &Encoder{w: w, h: h, mbw: (w + 15) / 16, mbh: (h + 15) / 16, quantizer: quantizer}
	at := func(delta, most int) int { return min(max(quantizer+delta, 0), most) }
	y2ac := max(acSteps[quantizer]*155/100, 8)
	e.y1 = newSteps(dcSteps[quantizer], acSteps[quantizer])
	e.y2 = newSteps(dcSteps[at(y2DCDelta, 127)]*2, y2ac)
	e.uv = newSteps(dcSteps[at(uvDCDelta, 117)], acSteps[at(uvACDelta, 127)])
	e.filter = min(quantizer*3/8, 40)
	e.blocks = make([]macroblock, e.mbw*e.mbh)
	e.above = make([]context, e.mbw)
	e.topY = make([]uint8, e.mbw*16)
	e.topU = make([]uint8, e.mbw*8)
	e.topV = make([]uint8, e.mbw*8)
	return e
}

// Finer steps where the eye sees bands: the mean of a macroblock, and colour.
const (
	y2DCDelta = -8
	uvDCDelta = -12
	uvACDelta = -6
)

// Encode appends m as one key frame to dst. m must be 4:2:0 and as large as the
// encoder was made for, else Encode panics.
func (e *Encoder) Encode(dst []byte, m *image.YCbCr) []byte {
	if m.SubsampleRatio != image.YCbCrSubsampleRatio420 || m.Rect.Dx() != e.w || m.Rect.Dy() != e.h {
		panic(fmt.Sprintf("vp8: a picture of %v %v for an encoder of %dx%d", m.Rect, m.SubsampleRatio, e.w, e.h))
	}
	e.frame.reset()
	clear(e.above)
	for mby := range e.mbh {
		e.left = context{}
		for mbx := range e.mbw {
			e.macroblock(m, mbx, mby)
		}
	}
	first := e.firstPartition()
	size := len(dst)
	dst = append(dst, 0, 0, 0, 0x9d, 0x01, 0x2a)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(e.w))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(e.h))
	// Frame tag, section 9.1: key frame, version 0, shown, size of the first
	// partition.
	tag := 1<<4 | uint32(len(first))<<5
	dst[size], dst[size+1], dst[size+2] = byte(tag), byte(tag>>8), byte(tag>>16)
	dst = append(dst, first...)
	return append(dst, e.out.out...)
}

// firstPartition writes the frame header and the modes, and, since the header
// decides on the probabilities, the coefficients into e.out.
func (e *Encoder) firstPartition() []byte {
	w := &e.header
	w.reset(w.out[:0])
	w.bits(0, 2) // colour space, clamping required
	w.bits(0, 1) // no segments
	w.bits(0, 1) // normal loop filter
	w.bits(uint32(e.filter), 6)
	w.bits(0, 3) // sharpness
	w.bits(0, 1) // no filter deltas
	w.bits(0, 2) // one partition of coefficients
	w.bits(uint32(e.quantizer), 7)
	w.optional(0, 4)         // luma DC
	w.optional(y2DCDelta, 4) // its DC
	w.optional(0, 4)
	w.optional(uvDCDelta, 4)
	w.optional(uvACDelta, 4)
	w.bits(0, 1) // the probabilities are for this frame alone
	e.frame.adapt(w)
	e.out.reset(e.out.out[:0])
	e.frame.write(&e.out)
	e.out.finish()

	skipped := 0
	for i := range e.blocks {
		if e.blocks[i].skip {
			skipped++
		}
	}
	total := len(e.blocks)
	noSkip := uint8(min(max(((total-skipped)*256+total/2)/total, 1), 255))
	w.bits(1, 1)
	w.bits(uint32(noSkip), 8)
	for i := range e.blocks {
		e.blocks[i].write(w, noSkip)
	}
	return w.finish()
}

// write is sections 11.2 and 11.3 for a key frame: whether coefficients
// follow, a luma mode for the whole macroblock, a chroma mode.
func (b *macroblock) write(w *boolWriter, noSkip uint8) {
	bit := uint32(0)
	if b.skip {
		bit = 1
	}
	w.put(bit, noSkip)
	w.put(1, 145)
	switch b.lumaMode {
	case modeDC:
		w.put(0, 156)
		w.put(0, 163)
	case modeV:
		w.put(0, 156)
		w.put(1, 163)
	case modeH:
		w.put(1, 156)
		w.put(0, 128)
	default:
		w.put(1, 156)
		w.put(1, 128)
	}
	switch b.chromaMode {
	case modeDC:
		w.put(0, 142)
	case modeV:
		w.put(1, 142)
		w.put(0, 114)
	case modeH:
		w.put(1, 142)
		w.put(1, 114)
		w.put(0, 183)
	default:
		w.put(1, 142)
		w.put(1, 114)
		w.put(1, 183)
	}
}
