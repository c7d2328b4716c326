package scene

import (
	"image"
	"sync"
	"unicode"

	"github.com/hajimehoshi/bitmapfont/v3"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/language"
)

// lettering sets lines of text at one size.
type lettering interface {
	width(line string) int
	// draw adds a line to a mask.
	draw(m *image.Alpha, x, baseline int, line string)
}

// letter makes the lettering of a text: Go Bold where that has all of it, else
// a bitmap font of many scripts.
func letter(text string, px int) lettering {
	for _, r := range text {
		if !inGoBold(r) {
			return newPixels(px)
		}
	}
	return newOutlines(px)
}

// canSet reports whether there is a font that has r.
func canSet(r rune) bool { return inGoBold(r) || inPixels(r) }

var goBold = sync.OnceValue(func() *opentype.Font {
	f, err := opentype.Parse(gobold.TTF)
	if err != nil {
		panic(err) // it is part of the program
	}
	return f
})

func inGoBold(r rune) bool {
	i, err := goBold().GlyphIndex(nil, r)
	return err == nil && i != 0
}

type outlines struct{ font.Face }

func newOutlines(px int) outlines {
	f, err := opentype.NewFace(goBold(), &opentype.FaceOptions{Size: float64(px), DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		panic(err) // never with these options
	}
	return outlines{f}
}

func (o outlines) width(line string) int { return font.MeasureString(o, line).Ceil() }

func (o outlines) draw(m *image.Alpha, x, baseline int, line string) {
	d := font.Drawer{Dst: m, Src: image.Opaque, Face: o, Dot: fixed.P(x, baseline)}
	d.DrawString(line)
}

// pixels is the bitmap font, enlarged by a whole number, with its corners
// rounded off.
type pixels struct{ scale int }

const (
	pixelHeight = 16 // of a line
	pixelAscent = 12
	pixelSize   = 12 // of a full-width letter
)

func newPixels(px int) pixels { return pixels{max((px+pixelSize/2)/pixelSize, 1)} }

// pixelScripts are those whose letters stand beside each other as they are, or
// have forms of their own for each place, as the bitmap font needs it.
var pixelScripts = []*unicode.RangeTable{
	unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Georgian, unicode.Hebrew, unicode.Arabic,
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Common,
}

func inPixels(r rune) bool {
	if r < ' ' || !unicode.In(r, pixelScripts...) || !unicode.IsGraphic(r) {
		return false
	}
	dr, mask, at, _, ok := bitmapfont.Face.Glyph(fixed.Point26_6{}, r)
	if !ok {
		return false
	}
	for y := range dr.Dy() { // it shows blanks for what it lacks
		for x := range dr.Dx() {
			if _, _, _, a := mask.At(at.X+x, at.Y+y).RGBA(); a > 0 {
				return true
			}
		}
	}
	return false
}

func (p pixels) width(line string) int {
	return font.MeasureString(bitmapfont.Face, line).Ceil() * p.scale
}

func (p pixels) draw(m *image.Alpha, x, baseline int, line string) {
	line = bitmapfont.PresentationForms(line, direction(line), language.Und)
	small := image.NewAlpha(image.Rect(0, 0, font.MeasureString(bitmapfont.Face, line).Ceil(), pixelHeight))
	d := font.Drawer{Dst: small, Src: image.Opaque, Face: bitmapfont.Face, Dot: fixed.P(0, pixelAscent)}
	d.DrawString(line)
	top := baseline - pixelAscent*p.scale
	for dy := range pixelHeight * p.scale {
		for dx := range small.Rect.Dx() * p.scale {
			if at := image.Pt(x+dx, top+dy); at.In(m.Rect) {
				m.Pix[m.PixOffset(at.X, at.Y)] = max(m.Pix[m.PixOffset(at.X, at.Y)], p.between(small, dx, dy))
			}
		}
	}
}

// between is the enlarged mask at a place: what lies between the nearest four
// of the small one, made steep.
func (p pixels) between(small *image.Alpha, dx, dy int) uint8 {
	if p.scale == 1 {
		return small.AlphaAt(dx, dy).A
	}
	unit := 2 * p.scale // of the distance between two neighbours
	fx, fy := 2*dx+1-p.scale, 2*dy+1-p.scale
	x, y := floorDiv(fx, unit), floorDiv(fy, unit)
	fx, fy = fx-x*unit, fy-y*unit
	at := func(x, y int) int { return int(small.AlphaAt(x, y).A) }
	v := (at(x, y)*(unit-fx)+at(x+1, y)*fx)*(unit-fy) + (at(x, y+1)*(unit-fx)+at(x+1, y+1)*fx)*fy
	v /= unit * unit
	return uint8(min(max((v-112)*p.scale+112, 0), 255))
}

func floorDiv(a, b int) int {
	if a < 0 {
		return -((b - 1 - a) / b)
	}
	return a / b
}

// direction is that of a line's first letter that has one.
func direction(line string) bitmapfont.Direction {
	for _, r := range line {
		switch {
		case unicode.In(r, unicode.Hebrew, unicode.Arabic):
			return bitmapfont.DirectionRightToLeft
		case unicode.IsLetter(r):
			return bitmapfont.DirectionLeftToRight
		}
	}
	return bitmapfont.DirectionLeftToRight
}

// breaksAnywhere reports whether a line may end after r within a word.
func breaksAnywhere(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo) || r >= 0x3000 && r <= 0x303f
}
