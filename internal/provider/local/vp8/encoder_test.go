package vp8

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	xvp8 "golang.org/x/image/vp8"
)

// decode is another implementation's reading of a frame.
func decode(t testing.TB, frame []byte) *image.YCbCr {
	t.Helper()
	d := xvp8.NewDecoder()
	d.Init(bytes.NewReader(frame), len(frame))
	if _, err := d.DecodeFrameHeader(); err != nil {
		t.Fatalf("header: %v", err)
	}
	m, err := d.DecodeFrame()
	if err != nil {
		t.Fatalf("frame: %v", err)
	}
	return m
}

// psnr of each plane, dB.
func psnr(a, b *image.YCbCr) (y, cb, cr float64) {
	db := func(sum, n int) float64 {
		if sum == 0 {
			return 99
		}
		return 10 * math.Log10(255*255*float64(n)/float64(sum))
	}
	w, h := a.Rect.Dx(), a.Rect.Dy()
	sq := func(p, q uint8) int { d := int(p) - int(q); return d * d }
	var sy, sb, sr, n int
	for j := range h {
		for i := range w {
			sy += sq(a.Y[a.YOffset(i, j)], b.Y[b.YOffset(i, j)])
		}
	}
	for j := 0; j < h; j += 2 {
		for i := 0; i < w; i += 2 {
			sb += sq(a.Cb[a.COffset(i, j)], b.Cb[b.COffset(i, j)])
			sr += sq(a.Cr[a.COffset(i, j)], b.Cr[b.COffset(i, j)])
			n++
		}
	}
	return db(sy, w*h), db(sb, n), db(sr, n)
}

type pattern struct {
	name string
	at   func(x, y int) (yy, cb, cr int)
	db   float64 // least PSNR of each plane at the default quantizer
}

var patterns = []pattern{
	{"flat", func(int, int) (int, int, int) { return 90, 140, 100 }, 45},
	{"black", func(int, int) (int, int, int) { return 0, 0, 0 }, 45},
	{"white", func(int, int) (int, int, int) { return 255, 255, 255 }, 45},
	{"slope", func(x, y int) (int, int, int) { return (x + y) / 4 & 255, x / 4 & 255, y / 4 & 255 }, 42},
	{"waves", func(x, y int) (int, int, int) {
		return 128 + int(90*math.Sin(float64(x)/9)*math.Cos(float64(y)/13)), 128 + int(50*math.Sin(float64(x+y)/30)), 128
	}, 38},
	{"checks", func(x, y int) (int, int, int) { return (x/8 + y/8) % 2 * 255, 128, 128 }, 38},
	{"one pixel checks", func(x, y int) (int, int, int) { return (x + y) % 2 * 255, (x/2 + y/2) % 2 * 255, 30 }, 35},
	{"noise", func(x, y int) (int, int, int) {
		r := rand.New(rand.NewPCG(uint64(x/2), uint64(y/2))).Uint32()
		return int(r & 255), int(r >> 8 & 255), int(r >> 16 & 255)
	}, 32},
}

func (p pattern) picture(w, h int) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for y := range h {
		for x := range w {
			yy, cb, cr := p.at(x, y)
			m.Y[m.YOffset(x, y)] = uint8(min(max(yy, 0), 255))
			m.Cb[m.COffset(x, y)] = uint8(min(max(cb, 0), 255))
			m.Cr[m.COffset(x, y)] = uint8(min(max(cr, 0), 255))
		}
	}
	return m
}

func TestDecodesBack(t *testing.T) {
	for _, p := range patterns {
		for _, size := range []image.Point{{16, 16}, {320, 180}, {18, 34}, {1, 1}, {15, 47}, {202, 100}} {
			t.Run(fmt.Sprintf("%s %v", p.name, size), func(t *testing.T) {
				m := p.picture(size.X, size.Y)
				frame := NewEncoder(size.X, size.Y, DefaultQuantizer).Encode(nil, m)
				got := decode(t, frame)
				if got.Rect != m.Rect {
					t.Fatalf("decoded as %v", got.Rect)
				}
				y, cb, cr := psnr(m, got)
				if testing.Verbose() {
					t.Logf("%d bytes, %.1f %.1f %.1f dB", len(frame), y, cb, cr)
				}
				if min(y, cb, cr) < p.db {
					t.Errorf("PSNR %.1f %.1f %.1f dB, want %.0f", y, cb, cr, p.db)
				}
			})
		}
	}
}

func TestQuantizers(t *testing.T) {
	m := patterns[4].picture(160, 90)
	last, size := 0.0, 0
	for q := 127; q >= 0; q -= 9 {
		frame := NewEncoder(160, 90, q).Encode(nil, m)
		y, _, _ := psnr(m, decode(t, frame))
		if y < last-0.5 || len(frame) < size-len(frame)/20 {
			t.Errorf("quantizer %d: %.1f dB in %d bytes, a coarser one: %.1f dB in %d", q, y, len(frame), last, size)
		}
		last, size = y, len(frame)
	}
	if last < 48 {
		t.Errorf("at its finest: %.1f dB", last)
	}
}

// An encoder's frames do not depend on what it encoded before.
func TestFramesAreIndependent(t *testing.T) {
	e := NewEncoder(100, 60, DefaultQuantizer)
	var again [][]byte
	for range 2 {
		for i, p := range patterns {
			frame := e.Encode(nil, p.picture(100, 60))
			if len(again) <= i {
				again = append(again, frame)
			} else if !bytes.Equal(frame, again[i]) {
				t.Errorf("%s differs the second time", p.name)
			}
		}
	}
	// Encode appends.
	got := e.Encode([]byte("before"), patterns[0].picture(100, 60))
	if !bytes.Equal(got, append([]byte("before"), again[0]...)) {
		t.Error("Encode does not append to what is there")
	}
}

// A picture that is part of a larger one is encoded alike.
func TestSubImage(t *testing.T) {
	m := patterns[4].picture(200, 200)
	sub := m.SubImage(image.Rect(32, 16, 32+70, 16+90)).(*image.YCbCr)
	want := image.NewYCbCr(image.Rect(0, 0, 70, 90), image.YCbCrSubsampleRatio420)
	for y := range 90 {
		for x := range 70 {
			want.Y[want.YOffset(x, y)] = sub.Y[sub.YOffset(x+32, y+16)]
			want.Cb[want.COffset(x, y)] = sub.Cb[sub.COffset(x+32, y+16)]
			want.Cr[want.COffset(x, y)] = sub.Cr[sub.COffset(x+32, y+16)]
		}
	}
	e := NewEncoder(70, 90, DefaultQuantizer)
	if !bytes.Equal(e.Encode(nil, sub), e.Encode(nil, want)) {
		t.Error("the sub-image encodes differently")
	}
}

func TestNoAllocations(t *testing.T) {
	m := patterns[4].picture(160, 90)
	e := NewEncoder(160, 90, DefaultQuantizer)
	dst := e.Encode(nil, m)
	if n := testing.AllocsPerRun(10, func() { dst = e.Encode(dst[:0], m) }); n > 0 {
		t.Errorf("%.0f allocations a frame", n)
	}
}

// Whatever the pixels are, the decoder reads the frame and finds the size.
func FuzzEncode(f *testing.F) {
	f.Add(uint8(16), uint8(16), uint8(20), []byte{0})
	f.Add(uint8(1), uint8(40), uint8(0), []byte{255, 0, 17})
	f.Add(uint8(33), uint8(17), uint8(127), []byte("any bytes make a picture"))
	f.Fuzz(func(t *testing.T, w, h, q uint8, pixels []byte) {
		if len(pixels) == 0 {
			return
		}
		width, height := int(w)%64+1, int(h)%64+1
		m := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
		i := 0
		for _, pix := range [][]uint8{m.Y, m.Cb, m.Cr} {
			for j := range pix {
				pix[j] = pixels[i%len(pixels)]
				i++
			}
		}
		got := decode(t, NewEncoder(width, height, int(q)&127).Encode(nil, m))
		if got.Rect != m.Rect {
			t.Errorf("decoded as %v, was %v", got.Rect, m.Rect)
		}
		if q&127 == 0 {
			if y, _, _ := psnr(m, got); y < 25 {
				t.Errorf("%.1f dB at the finest quantizer", y)
			}
		}
	})
}

func BenchmarkEncode640x360(b *testing.B) {
	for _, p := range []pattern{patterns[3], patterns[4], patterns[7]} {
		b.Run(p.name, func(b *testing.B) {
			m := p.picture(640, 360)
			e := NewEncoder(640, 360, DefaultQuantizer)
			var dst []byte
			for b.Loop() {
				dst = e.Encode(dst[:0], m)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(float64(len(dst)), "bytes/frame")
		})
	}
}
