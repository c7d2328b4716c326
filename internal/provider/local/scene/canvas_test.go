package scene

import (
	"image"
	stdcolor "image/color"
	"math"
	"testing"
)

// covered is how much of a black canvas is white, pixels.
func covered(c *canvas) float64 {
	sum := 0
	for _, v := range c.pix {
		sum += int(v & 255)
	}
	return float64(sum) / 255
}

func TestShapes(t *testing.T) {
	at := func(x, y float64) point { return point{int(x * 256), int(y * 256)} }
	for _, s := range []struct {
		name string
		draw func(c *canvas)
		area float64
	}{
		{"square", func(c *canvas) { c.poly(white, 256, at(10, 10), at(20, 10), at(20, 20), at(10, 20)) }, 100},
		{"between pixels", func(c *canvas) { c.poly(white, 256, at(10.5, 10.5), at(20.25, 10.5), at(20.25, 20), at(10.5, 20)) }, 9.75 * 9.5},
		{"triangle", func(c *canvas) { c.poly(white, 256, at(5, 5), at(55, 20), at(12, 50)) }, (50*45 - 15*7) / 2.0},
		{"the other way round", func(c *canvas) { c.poly(white, 256, at(12, 50), at(55, 20), at(5, 5)) }, (50*45 - 15*7) / 2.0},
		{"half", func(c *canvas) { c.poly(white, 128, at(10, 10), at(20, 10), at(20, 20), at(10, 20)) }, 50},
		{"beyond the edges", func(c *canvas) { c.poly(white, 256, at(-100, -100), at(200, -100), at(200, 200), at(-100, 200)) }, 64 * 64},
		{"outside", func(c *canvas) { c.poly(white, 256, at(100, 10), at(120, 10), at(110, 30)) }, 0},
		{"rectangle", func(c *canvas) { c.rect(2570, 2600, 5000, 5100, white, 256) }, 2430 * 2500 / 65536.0},
		{"thin rectangle", func(c *canvas) { c.rect(2570, 2600, 2600, 5100, white, 256) }, 30 * 2500 / 65536.0},
		{"rectangle beyond the edges", func(c *canvas) { c.rect(-5000, -5000, 50000, 50000, white, 256) }, 64 * 64},
		{"line", func(c *canvas) { c.line(at(10, 10), at(50, 40), 512, white, 256) }, 50 * 2},
		{"no line", func(c *canvas) { c.line(at(10, 10), at(10, 10), 512, white, 256) }, 0},
		{"disc", func(c *canvas) { c.disc(32*256, 30*256+77, 20*256, white, 256) }, math.Pi * 400},
		{"small disc", func(c *canvas) { c.disc(32*256+90, 30*256+77, 3*256, white, 256) }, math.Pi * 9},
		{"disc at the edge", func(c *canvas) { c.disc(0, 0, 20*256, white, 256) }, math.Pi * 100},
		{"no disc", func(c *canvas) { c.disc(0, 0, 0, white, 256) }, 0},
		// (1-d²)³ over the disc is a quarter of it.
		{"glow", func(c *canvas) { c.glow(32*256, 32*256, 24*256, 256, white, 256) }, math.Pi * 576 / 4},
		{"flat glow", func(c *canvas) { c.glow(32*256, 32*256, 24*256, 128, white, 256) }, math.Pi * 576 / 8},
		{"mist", func(c *canvas) { c.mist(32*256, 32*256, 24*256, 256, white, 256) }, math.Pi * 576 / 4},
		{"glow outside", func(c *canvas) { c.glow(-3200, 200*256, 24*256, 256, white, 256) }, 0},
		{"tiny glow", func(c *canvas) { c.glow(32*256, 32*256, 1, 256, white, 256) }, 0},
	} {
		c := newCanvas(64, 64)
		s.draw(c)
		if got := covered(c); math.Abs(got-s.area) > 0.03*s.area+0.6 {
			t.Errorf("%s covers %.2f pixels, want %.2f", s.name, got, s.area)
		}
	}
}

func TestColors(t *testing.T) {
	if got := color(0x102030).mix(0xf0e0d0, 0); got != 0x102030 {
		t.Errorf("mix 0: %06x", got)
	}
	if got := color(0x102030).mix(0xf0e0d0, 256); got != 0xf0e0d0 {
		t.Errorf("mix 256: %06x", got)
	}
	if got := color(0x000000).mix(0xffffff, 128); got != 0x7f7f7f {
		t.Errorf("mix 128: %06x", got)
	}
	for _, c := range []struct{ a, b, want color }{
		{0x102030, 0x010101, 0x112131},
		{0xff0000, 0xff0000, 0xff0000},
		{0x00ff00, 0x00ff00, 0x00ff00},
		{0x0000ff, 0x0000ff, 0x0000ff},
		{0xf0f0f0, 0x202020, 0xffffff},
		{0x80f010, 0x902010, 0xffff20},
	} {
		if got := c.a.add(c.b, 256); got != c.want {
			t.Errorf("%06x + %06x = %06x, want %06x", c.a, c.b, got, c.want)
		}
	}
	r := ramp(5, 0x000000, 0x808080, 0xffffff)
	if r[0] != 0 || r[2] != 0x808080 || r[4] != 0xffffff || r[1] != 0x404040 {
		t.Errorf("ramp %06x", r)
	}
	if one := ramp(1, 0x123456, 0); one[0] != 0x123456 {
		t.Errorf("ramp of one: %06x", one)
	}
}

func TestYCbCr(t *testing.T) {
	c := newCanvas(2, 2)
	m := image.NewYCbCr(image.Rect(0, 0, 2, 2), image.YCbCrSubsampleRatio420)
	for _, v := range []color{0, 0xffffff, 0xff0000, 0x00ff00, 0x0000ff, 0x808080, 0x123456, 0xfedcba} {
		for i := range c.pix {
			c.pix[i] = v
		}
		c.yCbCr(m)
		// package color knows the full range: scale it.
		r, g, b := v.parts()
		y, cb, cr := stdcolor.RGBToYCbCr(uint8(r), uint8(g), uint8(b))
		near := func(got uint8, want float64) bool { return math.Abs(float64(got)-want) <= 1.01 }
		if !near(m.Y[0], 16+float64(y)*219/255) || !near(m.Cb[0], 128+(float64(cb)-128)*224/255) || !near(m.Cr[0], 128+(float64(cr)-128)*224/255) {
			t.Errorf("%06x is %d %d %d, in the full range %d %d %d", v, m.Y[0], m.Cb[0], m.Cr[0], y, cb, cr)
		}
	}
	// Chroma is the mean of the block.
	c.pix = []color{0xff0000, 0xff0000, 0x0000ff, 0x0000ff}
	c.yCbCr(m)
	for i := range c.pix {
		c.pix[i] = 0x7f007f
	}
	n := image.NewYCbCr(m.Rect, m.SubsampleRatio)
	c.yCbCr(n)
	if abs(int(m.Cb[0])-int(n.Cb[0])) > 1 || abs(int(m.Cr[0])-int(n.Cr[0])) > 1 {
		t.Errorf("red and blue make %d %d, purple %d %d", m.Cb[0], m.Cr[0], n.Cb[0], n.Cr[0])
	}
}

func TestSine(t *testing.T) {
	for a := -2 * fullTurn; a < 2*fullTurn; a += 37 {
		want := 16384 * math.Sin(float64(a)*2*math.Pi/fullTurn)
		if math.Abs(float64(sin(a))-want) > 2 {
			t.Fatalf("sin %d: %d, want %.1f", a, sin(a), want)
		}
	}
}

func TestNoiseIsSmooth(t *testing.T) {
	lo, hi := 65535, 0
	for x := -200_000; x < 3_000_000; x += 64 {
		a, b := noise(x, 5), noise(x+64, 5)
		if abs(a-b) > 200 {
			t.Fatalf("noise jumps from %d to %d at %d", a, b, x)
		}
		lo, hi = min(lo, a), max(hi, a)
	}
	if lo < 0 || hi > 65535 || hi-lo < 40_000 {
		t.Errorf("noise from %d to %d", lo, hi)
	}
}

func TestSquareRoot(t *testing.T) {
	for _, v := range []int{-5, 0, 1, 2, 3, 4, 15, 16, 17, 1<<40 - 1, 1 << 40, 1<<62 - 1} {
		r := isqrt(v)
		if v <= 0 && r != 0 || v > 0 && (r*r > v || (r+1)*(r+1) <= v) {
			t.Errorf("isqrt %d: %d", v, r)
		}
	}
}
