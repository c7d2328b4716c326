package scene

import (
	"image"
	"image/draw"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// title is the prompt, set in the lower left corner, as masks that are laid
// over each frame.
type title struct {
	stage
	box    image.Rectangle // on the canvas, of text and shadow
	text   []uint8         // coverage of each pixel of box, 0..255
	shadow []uint8
	bar    image.Rectangle
	scrim  int // row where the darkening for it begins
}

const (
	maxLines    = 3
	smallestPx  = 8 // smaller letters cannot be read
	fadeIn      = 450_000
	scrimAlpha  = 150
	shadowAlpha = 150
)

// newTitle sets the prompt. Where there is no room, or nothing in it that a
// font can show, the title is empty.
func newTitle(s stage) *title {
	t := &title{stage: s}
	text := printable(s.prompt)
	margin := max(min(s.w, s.h)*6/100, 2)
	room := s.w - 2*margin
	size := min(max(min(s.w, s.h)*8/100, s.w/26), s.h/6, 90)
	if size = max(size, smallestPx); text == "" || s.h < 5*smallestPx || room < 6*smallestPx {
		return t
	}
	var letters lettering
	var lines []string
	// Long prompts are set smaller, then cut.
	for _, percent := range []int{100, 80, 64} {
		px := max(size*percent/100, smallestPx)
		letters = letter(text, px)
		var whole bool
		if lines, whole = wrap(letters, text, room); whole {
			size = px
			break
		}
		size = px
	}
	t.set(letters, lines, margin, size)
	return t
}

// set draws the lines into the masks.
func (t *title) set(letters lettering, lines []string, margin, size int) {
	blur := max(size/7, 1)
	lineHeight := size * 118 / 100
	height := lineHeight*len(lines) + size/4
	width := 0
	for _, l := range lines {
		width = max(width, letters.width(l))
	}
	pad := 2*blur + 2
	top := t.h - margin - height
	t.box = image.Rect(margin-pad, top-pad, margin+width+pad, top+height+pad)
	mask := image.NewAlpha(image.Rect(0, 0, t.box.Dx(), t.box.Dy()))
	for i, l := range lines {
		letters.draw(mask, pad, pad+lineHeight*i+size, l)
	}
	t.text = mask.Pix
	blurred := image.NewAlpha(mask.Rect)
	draw.Draw(blurred, mask.Rect, mask, image.Pt(0, -max(size/18, 1)), draw.Src)
	for range 2 {
		boxBlur(blurred, blur)
	}
	t.shadow = blurred.Pix
	t.bar = image.Rect(margin, top-size/2, margin+size*2, top-size/2+max(size/9, 1))
	t.scrim = max(top-size*3, 0)
}

func (t *title) draw(c *canvas, at int) {
	if t.text == nil {
		return
	}
	// Ease out: fast first, then slow.
	rest := 256 - min(at*256/fadeIn, 256)
	shown := 256 - rest*rest>>8
	shown = 96 + shown*160/256 // never nothing: the first frame is often the poster
	c.dim(t.scrim, c.h-t.scrim, scrimAlpha*shown>>8)
	slide := t.unit * 3 * (256 - shown) >> 16
	bar := t.bar
	bar.Max.X = bar.Min.X + bar.Dx()*shown>>8
	for y := bar.Min.Y; y < bar.Max.Y; y++ {
		for x := max(bar.Min.X, 0); x < min(bar.Max.X, c.w); x++ {
			if y >= 0 && y < c.h {
				c.pix[y*c.w+x] = c.pix[y*c.w+x].mix(t.colors.accent, shown)
			}
		}
	}
	w := t.box.Dx()
	for y := range t.box.Dy() {
		cy := t.box.Min.Y + y + slide
		if cy < 0 || cy >= c.h {
			continue
		}
		row := c.row(cy)
		text, shadow := t.text[y*w:(y+1)*w], t.shadow[y*w:(y+1)*w]
		for x := max(-t.box.Min.X, 0); x < w && t.box.Min.X+x < c.w; x++ {
			p := &row[t.box.Min.X+x]
			if s := int(shadow[x]); s != 0 {
				*p = p.mix(black, s*shadowAlpha*shown>>16)
			}
			if v := int(text[x]); v != 0 {
				*p = p.mix(white, (v+v>>7)*shown>>8)
			}
		}
	}
}

// printable is the prompt as it can be set: blanks folded, what is no letter,
// digit or punctuation left out, and each run of letters that the fonts lack
// replaced by one "·". It is empty when nothing readable remains.
func printable(prompt string) string {
	var b strings.Builder
	readable, lacking, blank := false, false, false
	for _, r := range norm.NFC.String(prompt) {
		if unicode.IsSpace(r) {
			blank = b.Len() > 0
			lacking = false
			continue
		}
		has := canSet(r)
		if !has && !unicode.In(r, unicode.L, unicode.N) || !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			continue // emoji, marks, controls, and bytes that are no text
		}
		if !has && lacking {
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		lacking = !has
		if !has {
			b.WriteRune('·')
			continue
		}
		readable = readable || unicode.In(r, unicode.L, unicode.N)
		b.WriteRune(r)
		if b.Len() > 2000 { // more than fits at any size
			break
		}
	}
	if !readable {
		return ""
	}
	return b.String()
}

// wrap breaks text into at most maxLines lines no wider than room, pixels.
// Words that are too long are broken. What does not fit is cut, with an
// ellipsis, and whole is false.
func wrap(letters lettering, text string, room int) (lines []string, whole bool) {
	fits := func(s string) bool { return letters.width(s) <= room }
	line := ""
	words := strings.Fields(text)
	for len(words) > 0 {
		word := words[0]
		joined := word
		if line != "" {
			joined = line + " " + word
		}
		switch {
		case fits(joined):
			line, words = joined, words[1:]
			continue
		case line == "": // one word, too long
			n := longest(word, func(s string) bool { return fits(s + hyphen(s)) })
			if line = word[:n]; n < len(word) {
				line += hyphen(line)
			}
			if words[0] = word[n:]; words[0] == "" {
				words = words[1:]
			}
		}
		lines = append(lines, line)
		line = ""
		if len(lines) == maxLines && len(words) > 0 {
			return append(lines[:maxLines-1], cut(lines[maxLines-1], fits)), false
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines, true
}

// hyphen is what a word that is broken after s has there.
func hyphen(s string) string {
	if last, _ := utf8.DecodeLastRuneInString(s); breaksAnywhere(last) {
		return ""
	}
	return "-"
}

// cut ends a line with an ellipsis.
func cut(line string, fits func(string) bool) string {
	n := longest(line, func(s string) bool { return fits(s + "…") })
	return strings.TrimRight(line[:n], " ,.;:-·") + "…"
}

// longest is how many bytes of s, in whole characters and at least one, fit.
func longest(s string, fits func(string) bool) int {
	n := 0
	for i, r := range s {
		end := i + len(string(r))
		if n > 0 && !fits(s[:end]) {
			break
		}
		n = end
	}
	return n
}

// boxBlur replaces each pixel by the mean of the square around it.
func boxBlur(m *image.Alpha, r int) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	line := make([]uint8, max(w, h))
	pass := func(n, start, step int) {
		sum := 0
		for i := range n {
			line[i] = m.Pix[start+i*step]
		}
		for i := -r; i < n; i++ {
			if i+r < n {
				sum += int(line[i+r])
			}
			if i-r-1 >= 0 {
				sum -= int(line[i-r-1])
			}
			if i >= 0 {
				m.Pix[start+i*step] = uint8(sum / (2*r + 1))
			}
		}
	}
	for y := range h {
		pass(w, y*m.Stride, 1)
	}
	for x := range w {
		pass(h, x, m.Stride)
	}
}
