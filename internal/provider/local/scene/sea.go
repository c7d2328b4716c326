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
		length := s.unit * (52 + near*5) * r.span(85, 115) / 100
		height := s.unit * (70 + near*14) / 100
		for k := range w.parts {
			p := &w.parts[k]
			p.freq = fullTurn << 16 / max(length*[]int{100, 43, 21}[k]/100>>8, 8)
			p.height = height * []int{100, 42, 14}[k] / 100
			p.speed = r.span(5600, 7600) * (2*k + 3) / 3
			if k == 1 {
				p.speed = -p.speed
			}
			p.phase = r.turn()
		}
		scene.waves = append(scene.waves, w)
		far := i * 256 / (waveLayers - 1)
		body := s.colors.far.mix(s.colors.near, far*230/256+16)
		crest := body.mix(s.colors.sky[3], 120-far/4)
		deep := body.mix(s.colors.near, 120)
		crestRows := max(s.unit*(60+i*30)/100>>8, 2)
		colors := append(ramp(4*crestRows, crest, body), ramp(4*max(s.h*(12+i*5)/100, 2), body, deep)...)
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
		if i == 0 || i == 1 {
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
	way := s.w<<8 + 60*u
	x := (s.boatX+u*(at/1000)*3/1000+30*u)%way - 30*u
	y := (l.at(x-5*u)+2*l.at(x)+l.at(x+5*u))/4 - u/2
	dy, dx := l.at(x+5*u)-l.at(x-5*u), 10*u
	// Turned by a small angle: that of the wave, and a little of its own.
	tilt := min(max(dy<<16*3/4/dx, -16000), 16000) + sin(at/90)*3000>>14
	place := func(px, py int) point { // in eighths of units
		fx, fy := px*u/8, py*u/8
		return point{x + fx - fy*tilt>>16, y + fy + fx*tilt>>16}
	}
	paper := white.mix(s.colors.sky[2], 24)
	shade := paper.mix(s.colors.near, 60)
	dark := paper.mix(s.colors.near, 110)
	c.mist(x, y+3*u, 17*u, 44, s.colors.near, 100) // its shadow on the water
	c.poly(paper, 256, place(-46, 2), place(0, -88), place(2, 2))
	c.poly(shade, 256, place(-2, 2), place(0, -88), place(46, 2))
	c.poly(paper, 256, place(-112, -40), place(-70, 38), place(4, 38), place(2, 4))
	c.poly(shade, 256, place(112, -40), place(70, 38), place(0, 38), place(-2, 4))
	c.poly(dark, 256, place(-14, 38), place(0, 2), place(14, 38))
}
