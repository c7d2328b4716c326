package scene

// seaScene is water in layers of waves before a sky, perhaps with a paper
// boat.
type seaScene struct {
	stage
	sky     sky
	horizon int // row
	waves   []wave
	layers  []*layer
	boat    bool
	boatOn  int // the layer it swims on
	boatX   int // where it starts, fine
	glints  []glint
}

// wave is a sum of three sines that travel.
type wave struct {
	base  int // row, fine
	parts [3]struct {
		height int // fine
		freq   int // turns a pixel, 1/65536 of an angle's unit
		speed  int // angle a second
		phase  int
	}
}

// glint is a short reflection of the sun on the water.
type glint struct {
	x, y  int // x from the sun, fine
	width int
	speed int
	phase int
}

const waveLayers = 6

func newSea(s stage) *seaScene {
	r := s.random
	scene := &seaScene{stage: s, horizon: s.h * r.span(46, 56) / 100}
	scene.sky = newSky(s, scene.horizon)
	scene.boat = mentions(s.prompt, "boat", "ship", "sail", "sailboat", "paper", "raft", "canoe", "pirate") || r.intn(10) < 4
	scene.boatOn = 3
	scene.boatX = s.w * r.span(30, 45) * 256 / 100
	for i := range waveLayers {
		// Nearer waves are larger, further apart and faster.
		near := i * i
		depth := (i*40 + near*12) * 256 / ((waveLayers-1)*40 + (waveLayers-1)*(waveLayers-1)*12)
		w := wave{base: scene.horizon<<8 + (s.h-scene.horizon)*depth*78/100 + s.unit}
		for k := range w.parts {
			p := &w.parts[k]
			length := (s.unit*(22+near*3)/256 + 12) * r.span(80, 120) / 100 >> k * []int{4, 3, 3}[k] / 3
			p.freq = fullTurn << 16 / max(length, 6)
			p.height = s.unit * (6 + near*3) / []int{8, 18, 34}[k]
			p.speed = r.span(5200, 7600) * (k + 2) / 2
			if k == 1 {
				p.speed = -p.speed * 2 / 3
			}
			p.phase = r.turn()
		}
		scene.waves = append(scene.waves, w)
		far := i * 256 / (waveLayers - 1)
		body := s.colors.far.mix(s.colors.near, far*230/256+16)
		crest := body.mix(s.colors.sky[3], 110-far/4)
		deep := body.mix(s.colors.near, 120)
		depthRows := max(s.h*(20+i*6)/100, 4)
		colors := append(ramp(max(depthRows/6, 2), crest, body), ramp(depthRows, body, deep)...)
		scene.layers = append(scene.layers, newLayer(s.w, colors))
	}
	water := s.h - scene.horizon
	for range 70 {
		down := r.intn(1000)
		spread := s.unit * (5 + down*14/1000)
		scene.glints = append(scene.glints, glint{
			x:     (r.intn(2000) - 1000) * spread / 1000,
			y:     (scene.horizon + water*down*down/1000*60/100/1000) << 8,
			width: s.unit * (10 + down*30/1000) / 10,
			speed: r.span(30000, 60000),
			phase: r.turn(),
		})
	}
	return scene
}

func (w *wave) height(x, at int) int {
	y := w.base
	for k := range w.parts {
		p := &w.parts[k]
		y += p.height * sin(x*p.freq>>16+p.speed*(at/100)/10_000+p.phase) >> 14
	}
	return y
}

func (s *seaScene) draw(c *canvas, at int) {
	s.sky.draw(c, at)
	for i, l := range s.layers {
		l.set(func(x int) int { return s.waves[i].height(x, at) })
	}
	drawLayers(c, s.layers, func(i int) {
		if i == 0 || i == 2 {
			s.drawGlints(c, at, i)
		}
		if s.boat && i == s.boatOn-1 {
			s.drawBoat(c, at)
		}
	})
}

func (s *seaScene) drawGlints(c *canvas, at, part int) {
	for i, g := range s.glints {
		if i%3 == 0 != (part == 0) {
			continue
		}
		a := sin(g.phase + g.speed*(at/100)/10_000)
		if a <= 0 {
			continue
		}
		x := s.sky.sunX + g.x + sin(g.phase+at/100)*s.unit>>14
		c.glow(x, g.y+s.unit, g.width*2, 40, s.colors.sun, a>>7)
	}
}

// drawBoat draws a folded paper boat on its wave.
func (s *seaScene) drawBoat(c *canvas, at int) {
	l := s.layers[s.boatOn]
	u := s.unit
	x := s.boatX + u*(at/10_000)*3/100*1
	period := (s.w<<8 + 60*u)
	x = (x+30*u)%period - 30*u
	dy, dx := l.slope(x>>8, max(u*7>>8, 1))
	y := (l.at(x-4*u)+2*l.at(x)+l.at(x+4*u))/4 + u*2
	// A small rotation: the slope, and a little of its own.
	tilt := dy*160/dx + sin(at/60)*10>>14
	place := func(px, py int) point { // in tenths of units
		fx, fy := px*u/10, py*u/10
		return point{x + fx - fy*tilt>>16, y + fy + fx*tilt>>16}
	}
	paper := white.mix(s.colors.sky[2], 24)
	shade := paper.mix(s.colors.near, 70)
	dark := paper.mix(s.colors.near, 120)
	c.mist(x, y, 16*u, 50, s.colors.near, 90)
	c.poly(shade, 256, place(-42, 0), place(0, -82), place(42, 0)) // sail
	c.poly(paper, 256, place(-42, 0), place(0, -82), place(0, 0))
	c.poly(shade, 256, place(-105, -42), place(-36, 0), place(-40, 34), place(-66, 34)) // bow
	c.poly(paper, 256, place(-105, -42), place(0, 4), place(0, 34), place(-66, 34))
	c.poly(shade, 256, place(105, -42), place(0, 4), place(0, 34), place(66, 34))
	c.poly(dark, 256, place(-12, 34), place(0, -2), place(12, 34))
}
