package scene

import (
	"image"
	"math/bits"
)

// canvas is what scenes draw on. Positions and lengths called fine are in
// 1/256 pixel, with pixel 0 from 0 to 256; alpha goes from 0 to 256.
type canvas struct {
	w, h int
	pix  []color
}

func newCanvas(w, h int) *canvas { return &canvas{w: w, h: h, pix: make([]color, w*h)} }

func (c *canvas) row(y int) []color { return c.pix[y*c.w : (y+1)*c.w] }

// rows paints the whole canvas, each row in the color of its number.
func (c *canvas) rows(colors []color) {
	for y := range c.h {
		fill(c.row(y), colors[y])
	}
}

// copyFrom makes c the same picture as d, which is as large.
func (c *canvas) copyFrom(d *canvas) { copy(c.pix, d.pix) }

func fill(row []color, v color) {
	for i := range row {
		row[i] = v
	}
}

// dim darkens n rows from y on, from nothing to alpha at the last.
func (c *canvas) dim(y, n, alpha int) {
	for i := range n {
		if y+i < 0 || y+i >= c.h {
			continue
		}
		a := alpha * (i + 1) / n
		row := c.row(y + i)
		for x, v := range row {
			row[x] = v.mix(black, a)
		}
	}
}

// disc is a filled circle with a smooth edge; fine.
func (c *canvas) disc(cx, cy, r int, v color, alpha int) {
	if r <= 0 || alpha <= 0 {
		return
	}
	// Pixels whose middle is half a pixel inside are covered, those half a
	// pixel outside are not.
	outer, inner := (r+128)*(r+128), max(r-128, 0)*max(r-128, 0)
	for y := max((cy-r)>>8-1, 0); y <= min((cy+r)>>8+1, c.h-1); y++ {
		dy := y<<8 + 128 - cy
		if dy*dy >= outer {
			continue
		}
		half := isqrt(outer - dy*dy)
		x0, x1 := max((cx-half)>>8, 0), min((cx+half)>>8, c.w-1)
		row := c.row(y)
		for x := x0; x <= x1; x++ {
			dx := x<<8 + 128 - cx
			d := dx*dx + dy*dy
			if d >= outer {
				continue
			}
			if d > inner {
				// Near the edge r*r - d is 2r times the distance to it.
				row[x] = row[x].mix(v, min(max((r*r-d)/(2*r)+128, 0), 256)*alpha>>8)
				continue
			}
			end := min((cx+isqrt(inner-dy*dy)-128)>>8, x1)
			for ; x <= end; x++ {
				row[x] = row[x].mix(v, alpha)
			}
			x--
		}
	}
}

// falloff is the strength of a glow, 0..256, at the square of the distance in
// 1/256 of the square of its radius: (1 - d²)³.
var falloff = func() (t [257]uint16) {
	for i := range t {
		k := 256 - i
		t[i] = uint16(k * k * k >> 16)
	}
	return t
}()

// glow adds light around a point: strongest there, none at r; fine. The light
// can be flattened: squash is its height in 1/256 of its width.
func (c *canvas) glow(cx, cy, r, squash int, v color, alpha int) {
	c.soft(cx, cy, r, squash, func(row []color, q, d, dd int) {
		for i := range row {
			row[i] = row[i].add(v, int(falloff[q>>32&255])*alpha>>8)
			q += d
			d += dd
		}
	}, alpha)
}

// mist is glow with a color that covers instead of adding.
func (c *canvas) mist(cx, cy, r, squash int, v color, alpha int) {
	c.soft(cx, cy, r, squash, func(row []color, q, d, dd int) {
		for i := range row {
			row[i] = row[i].mix(v, int(falloff[q>>32&255])*alpha>>8)
			q += d
			d += dd
		}
	}, alpha)
}

// soft calls paint for each row of an ellipse, with the pixels inside it, the
// square of the distance at the first of them (1<<40 is the ellipse's edge),
// how much it grows to the next, and how much that grows.
func (c *canvas) soft(cx, cy, r, squash int, paint func(row []color, q, d, dd int), alpha int) {
	ry := r * squash >> 8
	if r < 1 || ry < 1 || alpha <= 0 {
		return
	}
	perX, perY := (1<<40)/(r*r), (1<<40)/(ry*ry)
	for y := max((cy-ry)>>8, 0); y <= min((cy+ry)>>8, c.h-1); y++ {
		dy := y<<8 + 128 - cy
		qy := dy * dy * perY
		if qy >= 1<<40 {
			continue
		}
		half := isqrt((1<<40 - qy) / perX)
		x0, x1 := max((cx-half+127)>>8, 0), min((cx+half-128)>>8, c.w-1)
		if x0 > x1 {
			continue
		}
		dx := x0<<8 + 128 - cx
		paint(c.row(y)[x0:x1+1], qy+dx*dx*perX, (512*dx+65536)*perX, 131072*perX)
	}
}

// point is a place on the canvas, fine.
type point struct{ x, y int }

// poly is a filled convex polygon with smooth edges.
func (c *canvas) poly(v color, alpha int, pts ...point) {
	top, bottom := pts[0].y, pts[0].y
	for _, p := range pts {
		top, bottom = min(top, p.y), max(bottom, p.y)
	}
	for y := max(top>>8, 0); y <= min(bottom>>8, c.h-1); y++ {
		var from, to [4]int // of four lines through the row
		left, right := c.w<<8, 0
		inLeft, inRight := 0, c.w<<8
		for k := range 4 {
			from[k], to[k] = cross(pts, y<<8+32+64*k)
			left, right = min(left, from[k]), max(right, to[k])
			inLeft, inRight = max(inLeft, from[k]), min(inRight, to[k])
		}
		row := c.row(y)
		inLeft, inRight = (inLeft+255)>>8, inRight>>8 // wholly covered pixels
		for x := max(left>>8, 0); x <= min(right>>8, c.w-1); x++ {
			if inLeft <= x && x < inRight {
				if alpha >= 256 {
					fill(row[x:inRight], v)
					x = inRight - 1
				} else {
					row[x] = row[x].mix(v, alpha)
				}
				continue
			}
			cover := 0
			for k := range 4 {
				cover += max(min(to[k], (x+1)<<8)-max(from[k], x<<8), 0)
			}
			if cover > 0 {
				row[x] = row[x].mix(v, cover>>2*alpha>>8)
			}
		}
	}
}

// rect is a rectangle with upright sides, fine.
func (c *canvas) rect(x0, y0, x1, y1 int, v color, alpha int) {
	x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, c.w<<8), min(y1, c.h<<8)
	if x0 >= x1 || y0 >= y1 {
		return
	}
	for y := y0 >> 8; y <= (y1-1)>>8; y++ {
		tall := (min(y1, (y+1)<<8) - max(y0, y<<8)) * alpha >> 8
		row := c.row(y)
		for x := x0 >> 8; x <= (x1-1)>>8; x++ {
			wide := min(x1, (x+1)<<8) - max(x0, x<<8)
			if a := wide * tall >> 8; a >= 256 {
				row[x] = v
			} else {
				row[x] = row[x].mix(v, a)
			}
		}
	}
}

// cross is where a horizontal line enters and leaves a convex polygon; where
// it does not, the one is beyond the other.
func cross(pts []point, y int) (from, to int) {
	from, to = 1<<40, -1<<40
	p := pts[len(pts)-1]
	for _, q := range pts {
		if (p.y <= y) != (q.y <= y) {
			x := p.x + (q.x-p.x)*(y-p.y)/(q.y-p.y)
			from, to = min(from, x), max(to, x)
		}
		p = q
	}
	return from, to
}

// line is a straight line of a width, fine.
func (c *canvas) line(a, b point, width int, v color, alpha int) {
	dx, dy := b.x-a.x, b.y-a.y
	length := isqrt(dx*dx + dy*dy)
	if length == 0 {
		return
	}
	nx, ny := -dy*width/2/length, dx*width/2/length
	c.poly(v, alpha, point{a.x + nx, a.y + ny}, point{b.x + nx, b.y + ny}, point{b.x - nx, b.y - ny}, point{a.x - nx, a.y - ny})
}

func abs(v int) int { return max(v, -v) }

// isqrt is the square root, rounded down.
func isqrt(v int) int {
	if v <= 0 {
		return 0
	}
	x := 1 << ((bits.Len64(uint64(v)) + 1) / 2)
	for {
		y := (x + v/x) / 2
		if y >= x {
			return x
		}
		x = y
	}
}

// yCbCr converts to BT.601 in the studio range, which VP8 is shown in. The
// color of a 2x2 block is that of its mean. Width and height are even.
func (c *canvas) yCbCr(m *image.YCbCr) {
	for y := 0; y+1 < c.h; y += 2 {
		r0, r1 := c.row(y), c.row(y+1)
		y0 := m.Y[y*m.YStride : y*m.YStride+c.w]
		y1 := m.Y[(y+1)*m.YStride : (y+1)*m.YStride+c.w]
		cb := m.Cb[y/2*m.CStride : y/2*m.CStride+c.w/2]
		cr := m.Cr[y/2*m.CStride : y/2*m.CStride+c.w/2]
		for i := range cb {
			x := 2 * i
			a, b, d, e := uint32(r0[x]), uint32(r0[x+1]), uint32(r1[x]), uint32(r1[x+1])
			y0[x], y0[x+1] = luma601(a), luma601(b)
			y1[x], y1[x+1] = luma601(d), luma601(e)
			rb := a&0xff00ff + b&0xff00ff + d&0xff00ff + e&0xff00ff
			g := int32(a>>8&255 + b>>8&255 + d>>8&255 + e>>8&255)
			r, bl := int32(rb>>16), int32(rb&0xffff)
			cb[i] = uint8((-9699*r - 19071*g + 28770*bl + 128<<18 + 1<<17) >> 18)
			cr[i] = uint8((28770*r - 24117*g - 4653*bl + 128<<18 + 1<<17) >> 18)
		}
	}
}

func luma601(v uint32) uint8 {
	return uint8((16829*(v>>16&255) + 33039*(v>>8&255) + 6416*(v&255) + 16<<16 + 1<<15) >> 16)
}

// nrgba converts to what package image knows.
func (c *canvas) nrgba() *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, c.w, c.h))
	for i, v := range c.pix {
		p := m.Pix[4*i : 4*i+4 : 4*i+4]
		p[0], p[1], p[2], p[3] = uint8(v>>16), uint8(v>>8), uint8(v), 255
	}
	return m
}
