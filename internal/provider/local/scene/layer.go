package scene

// layer is a part of the canvas below a line that runs from left to right: a
// wave, a ridge. Its color depends on how far below the line a pixel is.
type layer struct {
	line   []int   // the line's height at each column, fine
	colors []color // by depth below the line, quarters of a pixel
	top    int     // least of line
	bottom int     // greatest of line
}

func newLayer(w int, colors []color) *layer {
	return &layer{line: make([]int, w), colors: colors}
}

// set computes the line. A pixel column is asked for at its middle.
func (l *layer) set(height func(x int) int) {
	l.top, l.bottom = 1<<40, -1<<40
	for x := range l.line {
		y := height(x)
		l.line[x] = y
		l.top, l.bottom = min(l.top, y), max(l.bottom, y)
	}
}

// draw paints the layer down to row end (exclusive).
func (l *layer) draw(c *canvas, end int) {
	last := len(l.colors) - 1
	for y := max(l.top>>8-1, 0); y < min(end, c.h); y++ {
		row, middle := c.row(y), y<<8+128
		for x, line := range l.line {
			d := middle - line
			if d >= 128 {
				row[x] = l.colors[min(d>>6, last)]
			} else if d > -128 {
				row[x] = row[x].mix(l.colors[0], d+128)
			}
		}
	}
}

// drawLayers paints layers from back to front, each only as far down as the
// next one leaves it to be seen.
func drawLayers(c *canvas, layers []*layer, between func(i int)) {
	for i, l := range layers {
		end := c.h
		if i+1 < len(layers) {
			end = layers[i+1].bottom>>8 + 2
		}
		l.draw(c, end)
		if between != nil {
			between(i)
		}
	}
}

// at is the height at a fine column, which may lie outside.
func (l *layer) at(x int) int {
	i := x>>8 - 1
	if i < 0 {
		return l.line[0]
	}
	if i >= len(l.line)-1 {
		return l.line[len(l.line)-1]
	}
	return l.line[i] + (l.line[i+1]-l.line[i])*(x&255)>>8
}
