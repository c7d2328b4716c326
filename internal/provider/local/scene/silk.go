package scene

// silkScene is folds of light that flow into each other.
type silkScene struct {
	stage
	colors  []color // by the field's value
	waves   [5]fold
	field   []int // on a coarse grid; 65536 is one time through colors
	columns int
}

// fold is one sine of the field, bent by the one before it.
type fold struct {
	fx, fy int // angle a pixel, 1/256
	speed  int // angle a second
	phase  int
	bend   int // of the phase, 1/256
	weight int
}

// silkStep is the grid's width, pixels. The field is much smoother than that.
const silkStep = 4

func newSilk(s stage) *silkScene {
	r := s.random
	p := s.colors
	scene := &silkScene{stage: s, columns: s.w/silkStep + 2}
	scene.colors = ramp(2048, p.sky[0].mix(p.near, 90), p.sky[0], p.sky[1], p.sky[2], p.sky[3], p.sun, p.sky[3], p.sky[2].mix(p.accent, 70), p.sky[1], p.sky[0], p.sky[0].mix(p.near, 90))
	for i := range scene.waves {
		length := s.unit * []int{260, 170, 120, 84, 60}[i] * r.span(80, 125) / 100 >> 8
		angle := r.turn()
		freq := fullTurn * 256 / max(length, 8)
		scene.waves[i] = fold{
			fx: freq * cos(angle) >> 14, fy: freq * sin(angle) >> 14,
			speed: r.span(1400, 3600) * (1 - 2*(i&1)), phase: r.turn(),
			bend: []int{0, 260, 330, 260, 190}[i], weight: []int{40, 34, 26, 16, 7}[i],
		}
	}
	scene.field = make([]int, scene.columns*(s.h/silkStep+2))
	return scene
}

func (s *silkScene) draw(c *canvas, at int) {
	drift := at / 160
	for gy := range len(s.field) / s.columns {
		for gx := range s.columns {
			x, y := gx*silkStep, gy*silkStep
			sum, before := 0, 0
			for i := range s.waves {
				f := &s.waves[i]
				v := sin((x*f.fx+y*f.fy)>>8 + f.speed*(at/1000)/1000 + f.phase + before*f.bend>>8)
				before = v
				sum += v * f.weight
			}
			// sum is within ±123 * 16384; the palette is passed about one and
			// a half times.
			s.field[gy*s.columns+gx] = sum/22 + drift + 1<<20
		}
	}
	mask := len(s.colors) - 1
	for y := range c.h {
		gy, fy := y/silkStep, y%silkStep
		upper, lower := s.field[gy*s.columns:], s.field[(gy+1)*s.columns:]
		row := c.row(y)
		left := upper[0]*(silkStep-fy) + lower[0]*fy
		for gx := 0; gx*silkStep < c.w; gx++ {
			right := upper[gx+1]*(silkStep-fy) + lower[gx+1]*fy
			v, d := left*silkStep, right-left
			for x := gx * silkStep; x < min((gx+1)*silkStep, c.w); x++ {
				row[x] = s.colors[v>>(4+5)&mask]
				v += d
			}
			left = right
		}
	}
}
