package scene

// hillsScene is ridges in the haze, passing by, with trees on the near ones
// and birds.
type hillsScene struct {
	stage
	sky    sky
	ridges []ridge
	layers []*layer
	birds  []bird
}

// ridge is a sum of three noises that moves to the left.
type ridge struct {
	base   int // row, fine
	height int // fine
	freq   int // 1/65536 of a hump a pixel
	speed  int // fine a second
	rough  int // weight of the smaller noises, 0..256
	seed   int
	trees  int // their height, fine; 0: none
	color  color
}

// bird flies with the wind.
type bird struct {
	x, y, size, speed int // fine
	phase             int
}

const ridgeLayers = 6

func newHills(s stage) *hillsScene {
	r := s.random
	horizon := s.h * 74 / 100
	scene := &hillsScene{stage: s, sky: newSky(s, horizon)}
	wooded := mentions(s.prompt, "forest", "tree", "wood", "wolf", "deer", "fox", "bear", "jungle", "winter") || r.intn(2) == 0
	if mentions(s.prompt, "desert", "dune", "sand") {
		wooded = false
	}
	for i := range ridgeLayers {
		near := i * 256 / (ridgeLayers - 1)
		g := ridge{
			base:   (s.h*44/100 + s.h*52/100*i/(ridgeLayers-1)) << 8,
			height: s.unit * (34 - i*3),
			freq:   fullTurn * 256 / (s.unit * (90 - i*6)),
			speed:  s.unit * (3 + i*i*3) / 8,
			rough:  150 - i*14,
			seed:   int(r.next() >> 40),
		}
		if !wooded {
			g.rough = 60
		}
		if wooded && i >= ridgeLayers-3 {
			g.trees = s.unit * (5 + (i-ridgeLayers+4)*4)
		}
		g.color = s.colors.far.mix(s.colors.sky[3], 120-near*120/256).mix(s.colors.near, near*near>>8)
		haze := g.color.mix(s.colors.sky[3], 130-near*90/256)
		if i == ridgeLayers-1 {
			haze = g.color.mix(s.colors.near, 128)
		}
		scene.ridges = append(scene.ridges, g)
		scene.layers = append(scene.layers, newLayer(s.w, ramp(4*max(s.h*26/100, 2), g.color, haze)))
	}
	for range r.span(4, 7) {
		scene.birds = append(scene.birds, bird{
			x: s.w*r.span(10, 60)*256/100 + r.intn(s.unit*10), y: s.h * r.span(14, 34) * 256 / 100,
			size: s.unit * r.span(12, 22) / 10, speed: s.unit * r.span(30, 45) / 10, phase: r.turn(),
		})
	}
	return scene
}

// at is the ridge's height at a fine column of the world.
func (g *ridge) at(x int) int {
	p := x * g.freq >> 8
	y := noise(p, g.seed) - 32768
	y += (noise(p*27/10, g.seed+1) - 32768) * g.rough >> 9
	y += (noise(p*71/10, g.seed+2) - 32768) * g.rough >> 11
	return g.base - y*g.height>>16
}

func (s *hillsScene) draw(c *canvas, at int) {
	s.sky.draw(c, at)
	for i, l := range s.layers {
		moved := s.ridges[i].speed * (at / 1000) / 1000
		l.set(func(x int) int { return s.ridges[i].at(x<<8 + moved) })
	}
	s.drawBirds(c, at)
	for i, l := range s.layers {
		s.drawTrees(c, i, at)
		end := c.h
		if i+1 < len(s.layers) {
			end = s.layers[i+1].bottom>>8 + 2
		}
		l.draw(c, end)
	}
}

// drawTrees draws the firs of a ridge, whose feet the ridge then covers. Each
// stands at its place in the world, so it passes by with its ridge.
func (s *hillsScene) drawTrees(c *canvas, i, at int) {
	g := &s.ridges[i]
	if g.trees == 0 {
		return
	}
	step := g.trees * 36 / 100
	moved := g.speed * (at / 1000) / 1000
	for k := (moved-g.trees)/step - 1; k <= (moved+s.w<<8+g.trees)/step+1; k++ {
		chance := hash(k, g.seed)
		if chance&7 < 2 {
			continue // a clearing
		}
		x := k*step + int(chance>>8&255)*step/256
		tall := g.trees * (60 + int(chance>>16&127)) / 160
		y := g.at(x) + tall/8
		x -= moved
		sway := sin(int(chance>>24&65535)+at/40) * tall >> 20
		for part := range 3 {
			top := y - tall + tall*part*24/100
			wide := tall * (13 + part*6) / 100
			c.poly(g.color, 256, point{x + sway*(3-part), top}, point{x + wide, top + tall*44/100}, point{x - wide, top + tall*44/100})
		}
	}
}

func (s *hillsScene) drawBirds(c *canvas, at int) {
	ink := s.colors.near.mix(s.colors.far, 60)
	for _, b := range s.birds {
		x := (b.x+b.speed*(at/1000)/1000)%(s.w<<8+8*s.unit) - 4*s.unit
		y := b.y + sin(b.phase+at/60)*s.unit>>14
		flap := sin(b.phase+at*6/100) * b.size / 2 >> 14
		width := max(b.size/6, 160)
		middle := point{x, y}
		c.line(point{x - b.size, y - b.size/4 - flap}, middle, width, ink, 230)
		c.line(middle, point{x + b.size, y - b.size/4 - flap}, width, ink, 230)
	}
}
