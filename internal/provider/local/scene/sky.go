package scene

// sky is a gradient with a sun or moon, clouds by day and stars by night.
type sky struct {
	stage
	still      *canvas // what does not move: the gradient and the sun
	sunX, sunY int     // fine
	clouds     []cloud
	stars      []star
}

type cloud struct {
	x, y, r, squash int
	speed           int // fine a second
	alpha           int
}

type star struct {
	x, y, r int // fine
	phase   int
	speed   int
	tint    color
}

func newSky(s stage, horizon int) sky {
	r := s.random
	k := sky{stage: s, still: newCanvas(s.w, s.h)}
	k.sunX = s.w * r.span(58, 80) * 256 / 100
	k.sunY = horizon * r.span(40, 76) * 256 / 100
	sunR := s.unit * r.span(60, 90) / 10
	if s.colors.dark {
		sunR = sunR * 7 / 10
		k.sunY = horizon * r.span(28, 50) * 256 / 100
		for range min(max(s.w*horizon/2600, 8), 220) {
			k.stars = append(k.stars, newStar(s, s.w<<8, horizon<<8*9/10))
		}
	}
	k.still.rows(s.colors.skyRows(s.h, horizon))
	k.still.mist(k.sunX, k.sunY, sunR*8, 256, s.colors.sun.mix(s.colors.sky[3], 90), 110)
	k.still.mist(k.sunX, k.sunY, sunR*5/2, 256, s.colors.sun, 150)
	k.still.disc(k.sunX, k.sunY, sunR, s.colors.sun, 250)
	for range 5 {
		x, y := r.intn(s.w<<8), horizon*r.span(18, 88)*256/100
		speed := s.unit * r.span(6, 16) / 10
		puffs := r.span(3, 5)
		for j := range puffs {
			k.clouds = append(k.clouds, cloud{
				x: x + (j*2-puffs)*s.unit*4 + r.intn(s.unit*4), y: y + r.intn(s.unit*2),
				r: s.unit * r.span(10, 20), squash: r.span(26, 48), speed: speed, alpha: r.span(40, 90),
			})
		}
	}
	return k
}

func newStar(s stage, w, h int) star {
	r := s.random
	size := r.intn(100)
	return star{
		x: r.intn(max(w, 1)), y: r.intn(max(h, 1)), r: 130 + s.unit*size*size/24000,
		phase: r.turn(), speed: r.span(8000, 26000), tint: white.mix(s.colors.accent, r.intn(160)),
	}
}

func (k *sky) draw(c *canvas, at int) {
	c.copyFrom(k.still)
	for i := range k.stars {
		k.stars[i].draw(c, at, 220)
	}
	tint := k.colors.sky[3].mix(white, 120)
	if k.colors.dark {
		tint = k.colors.sky[3].mix(k.colors.sky[1], 128)
	}
	for _, cl := range k.clouds {
		span := k.w<<8 + 4*cl.r
		x := (cl.x+cl.speed*(at/1000)/1000+2*cl.r)%span - 2*cl.r
		c.mist(x, cl.y, cl.r, cl.squash, tint, cl.alpha)
	}
}

// draw draws a star that twinkles.
func (s *star) draw(c *canvas, at, alpha int) {
	a := alpha * (20000 + 12000*sin(s.phase+s.speed*(at/1000)/1000)>>14) >> 15
	if s.r < 200 {
		c.disc(s.x, s.y, s.r, s.tint, a)
		return
	}
	c.glow(s.x, s.y, s.r*4, 256, s.tint, a/2)
	c.disc(s.x, s.y, s.r, white, a)
}
