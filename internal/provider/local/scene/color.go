package scene

// color is a pixel, 0x00RRGGBB, in sRGB.
type color uint32

const (
	black color = 0x000000
	white color = 0xffffff
)

// mix goes from c (at 0) to d (at 256).
func (c color) mix(d color, at int) color {
	a := uint32(min(max(at, 0), 256))
	rb := (uint32(c)&0xff00ff*(256-a) + uint32(d)&0xff00ff*a) >> 8 & 0xff00ff
	g := (uint32(c)&0x00ff00*(256-a) + uint32(d)&0x00ff00*a) >> 8 & 0x00ff00
	return color(rb | g)
}

// add is light on top of light: c plus d times at/256, up to white.
func (c color) add(d color, at int) color {
	a := uint32(min(max(at, 0), 256))
	rb := uint32(c)&0xff00ff + (uint32(d)&0xff00ff*a)>>8&0xff00ff
	g := uint32(c)&0x00ff00 + (uint32(d)&0x00ff00*a)>>8&0x00ff00
	// A carry out of a channel fills that channel.
	over := rb & 0x1000100
	rb |= over - over>>8
	over = g & 0x10000
	g |= over - over>>8
	return color(rb&0xff00ff | g&0x00ff00)
}

func (c color) parts() (r, g, b int) {
	return int(c >> 16 & 255), int(c >> 8 & 255), int(c & 255)
}

// luma is how light c is, 0..255.
func (c color) luma() int {
	r, g, b := c.parts()
	return (r*77 + g*150 + b*29) >> 8
}

// ramp is n colors from the first stop to the last, the stops evenly spaced.
func ramp(n int, stops ...color) []color {
	out := make([]color, n)
	last := len(stops) - 1
	for i := range out {
		if n == 1 || last == 0 {
			out[i] = stops[0]
			continue
		}
		// In 1/256 of the way between two stops, with 8 more bits to round.
		at := i * last * 256 / (n - 1)
		k := min(at>>8, last-1)
		out[i] = mixFine(stops[k], stops[k+1], i*last*65536/(n-1)-k*65536)
	}
	return out
}

// mixFine is mix with 65536 steps, each channel rounded.
func mixFine(c, d color, at int) color {
	r0, g0, b0 := c.parts()
	r1, g1, b1 := d.parts()
	m := func(p, q int) color { return color((p*(65536-at) + q*at + 32768) >> 16) }
	return m(r0, r1)<<16 | m(g0, g1)<<8 | m(b0, b1)
}
