// Package scene draws moving pictures from a prompt and a seed. The same
// prompt, seed and size give the same pixels at the same time, on every
// machine: what decides on pixels is whole numbers and tables. The numbers need
// an int of 64 bits; elsewhere the package does not compile.
package scene

import (
	"crypto/sha256"
	"encoding/binary"
	"image"
	"time"
)

// Picture is a moving picture. Not safe for concurrent use: Draw reuses one
// canvas.
type Picture struct {
	canvas *canvas
	scene  drawer
	title  *title
	family family
	colors *palette
}

// drawer draws the whole canvas as it is at a time, in microseconds.
type drawer interface {
	draw(c *canvas, at int)
}

// stage is what a scene is made for.
type stage struct {
	w, h   int
	unit   int // a hundredth of the shorter side, fine
	prompt string
	colors *palette
	random *random
}

// New prepares a picture of w x h pixels, both at least 2 and even.
func New(prompt string, seed int64, w, h int) *Picture {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(prompt), uint64(seed)))
	r := &random{binary.BigEndian.Uint64(sum[:])}
	f, colors := choose(prompt, r)
	s := stage{w: w, h: h, unit: max(min(w, h)*256/100, 1), prompt: prompt, colors: colors, random: r}
	p := &Picture{canvas: newCanvas(w, h), family: f, colors: colors}
	switch f {
	case sea:
		p.scene = newSea(s)
	case hills:
		p.scene = newHills(s)
	case city:
		p.scene = newCity(s)
	case silk:
		p.scene = newSilk(s)
	case stars:
		p.scene = newStars(s)
	default:
		p.scene = newCrystal(s)
	}
	p.title = newTitle(s)
	return p
}

// Draw draws the picture as it is at a time from its start.
func (p *Picture) Draw(at time.Duration) {
	p.scene.draw(p.canvas, int(at.Microseconds()))
	p.title.draw(p.canvas, int(at.Microseconds()))
}

// YCbCr gives what was drawn, for video: BT.601, studio range, 4:2:0. m must
// be as large as the picture.
func (p *Picture) YCbCr(m *image.YCbCr) { p.canvas.yCbCr(m) }

// NRGBA gives what was drawn, as an image of its own.
func (p *Picture) NRGBA() *image.NRGBA { return p.canvas.nrgba() }
