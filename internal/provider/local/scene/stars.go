package scene

// starsScene is particles at several depths: stars with a planet, or snow or
// fireflies before wooded hills.
type starsScene struct {
	stage
	mode   string // "space", "snow", "fireflies"
	motes  []mote
	planet *planet
	still  *canvas // gradient and clouds, in space
	back   drawer  // behind snow and fireflies
	comet  int     // angle of its phase
}

// mote is one particle. It leaves on one side and comes back on the other.
type mote struct {
	x, y, r int // fine
	dx, dy  int // fine a second
	sway    int // fine
	phase   int
	speed   int // of sway and twinkling, angle a second
	alpha   int
	tint    color
}

func newStars(s stage) *starsScene {
	r := s.random
	scene := &starsScene{stage: s, mode: "space"}
	switch {
	case mentions(s.prompt, "snow", "snowflake", "winter", "christmas", "confetti"):
		scene.mode = "snow"
	case mentions(s.prompt, "firefly", "spark", "magic", "fairy", "dust", "fire"):
		scene.mode = "fireflies"
	case !mentions(s.prompt, "space", "star", "galaxy", "planet", "universe", "rocket", "astronaut", "cosmos", "nebula"):
		scene.mode = []string{"space", "snow", "fireflies"}[r.intn(3)]
	}
	if !s.colors.dark && scene.mode != "snow" {
		scene.colors = paletteNamed([]string{"midnight", "aurora", "neon", "ember"}[r.intn(4)])
	}
	scene.addMotes()
	scene.comet = r.turn()
	if scene.mode != "space" {
		back := scene.stage
		back.prompt = "forest"
		scene.back = newHills(back)
		return scene
	}
	scene.drawNebula()
	if mentions(s.prompt, "planet", "moon", "rocket", "astronaut") || r.intn(3) > 0 {
		scene.planet = newPlanet(scene.stage)
	}
	return scene
}

// drawNebula draws what stands still: the dark, and bright clouds across it.
func (s *starsScene) drawNebula() {
	p, r := s.colors, s.random
	s.still = newCanvas(s.w, s.h)
	s.still.rows(ramp(s.h, p.sky[0].mix(p.near, 60), p.sky[0], p.sky[1], p.sky[2].mix(p.sky[1], 90)))
	rise := r.span(-50, 50)
	for i := range 16 {
		x := i*s.w/15<<8 + r.intn(s.unit*24)
		y := s.h*(50+(i-8)*rise/16)/100<<8 + r.intn(s.unit*36) - s.unit*18
		tint := p.sky[3].mix([]color{p.sky[2], p.accent, p.sky[2], p.sky[1]}[i%4], r.span(60, 256))
		s.still.glow(x, y, s.unit*r.span(24, 50), r.span(110, 240), tint, r.span(30, 76))
	}
}

func (s *starsScene) addMotes() {
	r := s.random
	n := min(max(s.w*s.h/1100, 24), 320)
	if s.mode == "fireflies" {
		n = n * 2 / 5
	}
	for range n {
		depth := r.intn(100) // 99 is near
		depth = depth * depth / 100
		m := mote{x: r.intn(s.w << 8), y: r.intn(s.h << 8), phase: r.turn(), alpha: 256, tint: white}
		switch s.mode {
		case "snow":
			m.r = s.unit*(5+depth*12/100)/10 + 130
			m.dy = s.unit * (60 + depth*2) / 10
			m.dx = s.unit * (10 + depth/4) / 10
			m.sway, m.speed, m.alpha = s.unit*r.span(6, 20)/10, r.span(12000, 24000), 120+depth
		case "fireflies":
			m.r = s.unit*(3+depth*5/100)/10 + 90
			m.dy = -s.unit * (14 + depth*3/10) / 10
			m.dx = s.unit * r.span(-12, 12) / 10
			m.sway, m.speed = s.unit*r.span(20, 60)/10, r.span(6000, 16000)
			m.tint = s.colors.accent.mix(s.colors.sun, r.intn(256))
		default:
			m.r = 110 + s.unit*depth*depth/26000
			m.dx = -s.unit * (2 + depth*14/100) / 10
			m.speed = r.span(8000, 26000)
			m.tint = white.mix(s.colors.accent, r.intn(170))
		}
		s.motes = append(s.motes, m)
	}
}

func (s *starsScene) draw(c *canvas, at int) {
	if s.back != nil {
		s.back.draw(c, at)
		s.drawMotes(c, at)
		return
	}
	c.copyFrom(s.still)
	s.drawMotes(c, at)
	s.drawComet(c, at)
	if s.planet != nil {
		s.planet.draw(c, at)
	}
}

func (s *starsScene) drawMotes(c *canvas, at int) {
	w, h := s.w<<8+16*s.unit, s.h<<8+16*s.unit
	for i := range s.motes {
		m := &s.motes[i]
		turn := m.phase + m.speed*(at/1000)/1000
		x := wrapAround(m.x+m.dx*(at/1000)/1000+sin(turn)*m.sway>>14, w) - 8*s.unit
		y := wrapAround(m.y+m.dy*(at/1000)/1000, h) - 8*s.unit
		switch s.mode {
		case "snow":
			c.mist(x, y, m.r*3/2, 256, m.tint, m.alpha)
		case "fireflies":
			a := max(sin(turn*2)+9000, 0) * 256 / 25384
			c.glow(x, y, m.r*9, 256, m.tint, a*100>>8)
			c.disc(x, y, m.r, m.tint.mix(white, 128), a)
		default:
			t := star{x: x, y: y, r: m.r, phase: m.phase, speed: m.speed, tint: m.tint}
			t.draw(c, at, 250)
		}
	}
}

func wrapAround(v, n int) int { return (v%n + n) % n }

// drawComet draws a shooting star about every four seconds.
func (s *starsScene) drawComet(c *canvas, at int) {
	const every, lasts = 4_000_000, 900_000
	at += s.comet * 40
	k, into := at/every, at%every
	if into > lasts {
		return
	}
	chance := hash(k, s.comet)
	x0 := int(chance&65535) * (s.w << 8) >> 16
	y0 := int(chance>>16&65535) * (s.h << 7) >> 16
	way := into * s.unit * 60 / lasts
	fade := min(into, lasts-into) * 512 / lasts
	head := point{x0 + way, y0 + way*2/5}
	for i := range 12 {
		back := i * s.unit * 13 / 12 * min(into*3, lasts) / lasts
		c.glow(head.x-back, head.y-back*2/5, s.unit*(14-i)/8, 256, white.mix(s.colors.accent, i*20), fade*(12-i)/18)
	}
}

// planet is a ball in the light of a sun outside the picture, with bands and
// perhaps a ring.
type planet struct {
	stage
	x, y, r int // fine
	bands   []color
	ring    bool
}

func newPlanet(s stage) *planet {
	r := s.random
	p := &planet{stage: s, x: s.w * r.span(62, 80) * 256 / 100, y: s.h * r.span(32, 50) * 256 / 100, r: s.unit * r.span(17, 25), ring: r.intn(5) < 3}
	base := s.colors.sky[3].mix(s.colors.accent, r.intn(160))
	for range 9 {
		p.bands = append(p.bands, base.mix(s.colors.sky[2], r.intn(220)).mix(s.colors.sun, r.intn(110)))
	}
	p.bands = ramp(256, p.bands...)
	return p
}

func (p *planet) draw(c *canvas, at int) {
	c.glow(p.x, p.y, p.r*2, 256, p.bands[128], 60)
	if p.ring {
		p.drawRing(c, at, false)
	}
	for y := max((p.y-p.r)>>8-1, 0); y <= min((p.y+p.r)>>8+1, c.h-1); y++ {
		row, dy := c.row(y), y<<8+128-p.y
		for x := max((p.x-p.r)>>8-1, 0); x <= min((p.x+p.r)>>8+1, c.w-1); x++ {
			dx := x<<8 + 128 - p.x
			inside := p.r*p.r - dx*dx - dy*dy
			cover := inside/(2*p.r) + 128
			if cover <= 0 {
				continue
			}
			dz := isqrt(max(inside, 0))
			// The light comes from the upper left and the front.
			light := (-dx*170 - dy*120 + dz*150) / p.r
			// The bands are tilted, a little wavy, and turn.
			lat := dy*230/256 + dx*60/256 + sin(dx*9000/p.r+at/50)*p.r>>19
			band := p.bands[min(max(128+lat*120/p.r, 0), 255)]
			v := band.mix(black, 236-min(max(light, 0)*236>>8, 236))
			v = v.add(p.colors.accent, max(0, 200-dz*256/p.r)*max(light, 0)>>10) // air at the rim
			row[x] = row[x].mix(v, min(cover, 256))
		}
	}
	if p.ring {
		p.drawRing(c, at, true)
	}
}

// drawRing draws the half of the ring before or behind the planet: motes on a
// flat tilted ellipse.
func (p *planet) drawRing(c *canvas, at int, front bool) {
	const n = 520
	for i := range n {
		chance := hash(i, 77)
		a := i*fullTurn/n + at*2/1000*(3+int(chance&1))/4
		r := p.r * (150 + int(chance>>8&63)) / 100
		ex, ey := cos(a)*r>>14, sin(a)*r*26/100>>14
		if (sin(a) > 0) != front {
			continue
		}
		x, y := p.x+ex+ey*40/256, p.y+ey-ex*70/256
		c.disc(x, y, max(p.r/44, 150), p.bands[int(chance>>16&255)].mix(white, 60), 60+int(chance>>24&63))
	}
}
