package scene

// cityScene is a skyline at the water: buildings in three depths that pass by,
// their windows lit, and all of it mirrored.
type cityScene struct {
	stage
	sky   sky
	shore int // row
	rows  []block
}

// block is a row of buildings at one depth.
type block struct {
	width  int // of a building's lot, fine
	height int // of the highest, fine
	speed  int // fine a second
	seed   int
	color  color
	window int // side of a window, fine; 0: none
	lit    color
}

func newCity(s stage) *cityScene {
	r := s.random
	scene := &cityScene{stage: s, shore: s.h * 76 / 100}
	scene.sky = newSky(s, scene.shore)
	for i := range 3 {
		near := []int{40, 130, 226}[i]
		b := block{
			width:  s.unit * []int{9, 12, 16}[i],
			height: (s.h * []int{52, 46, 34}[i] / 100) << 8,
			speed:  s.unit * []int{4, 9, 18}[i] / 10,
			seed:   int(r.next() >> 40),
			color:  s.colors.far.mix(s.colors.sky[3], 100-near*100/256).mix(s.colors.near, near),
			lit:    s.colors.sun.mix(s.colors.accent, 60*i),
		}
		if i > 0 {
			b.window = max(s.unit*[]int{0, 8, 11}[i]/10, 300)
		}
		scene.rows = append(scene.rows, b)
	}
	return scene
}

func (s *cityScene) draw(c *canvas, at int) {
	s.sky.draw(c, at)
	for i := range s.rows {
		s.drawBlock(c, &s.rows[i], at)
	}
	s.mirror(c, at)
}

func (s *cityScene) drawBlock(c *canvas, b *block, at int) {
	moved := b.speed * (at / 1000) / 1000
	ground := s.shore << 8
	for k := moved/b.width - 2; k <= (moved+s.w<<8)/b.width+1; k++ {
		chance := hash(k, b.seed)
		wide := b.width * (70 + int(chance&63)) / 100
		tall := b.height * (34 + int(chance>>8&127)*66/127) / 100
		x := k*b.width - moved
		top := ground - tall
		c.rect(x, top, x+wide, ground, b.color, 256)
		switch chance >> 16 & 7 {
		case 0: // a mast with a light that blinks
			mid := x + wide/2
			c.rect(mid-s.unit/8, top-tall/5, mid+s.unit/8, top, b.color, 256)
			c.glow(mid, top-tall/5, s.unit*2, 256, s.colors.accent, 130+126*sin(int(chance>>20&65535)+at*3/100)>>14)
		case 1, 2: // a step
			c.rect(x+wide/5, top-tall/9, x+wide*4/5, top, b.color, 256)
		case 3: // a gable
			c.poly(b.color, 256, point{x, top}, point{x + wide/2, top - tall/7}, point{x + wide, top})
		}
		if b.window > 0 {
			s.drawWindows(c, b, k, x, top, wide, ground, at)
		}
	}
}

// drawWindows lights some of a building's windows. Now and then one goes on or
// off, softly.
func (s *cityScene) drawWindows(c *canvas, b *block, k, x, top, wide, ground, at int) {
	pitch := b.window * 2
	columns := (wide - b.window) / pitch
	left := x + (wide-columns*pitch+b.window)/2
	for j := 0; top+b.window+(j+1)*pitch < ground; j++ {
		for i := range columns {
			chance := hash(k*64+i, b.seed*1024+j)
			if chance&255 < 130 {
				continue
			}
			a := 90 + int(chance>>8&127)
			if chance>>16&15 == 0 {
				a = a * max(min(128+3*sin(int(chance>>20&65535)+at*int(1+chance>>40&3)/80)>>7, 256), 0) >> 8
			}
			wx, wy := left+i*pitch, top+b.window+j*pitch
			c.rect(wx, wy, wx+b.window, wy+b.window*5/4, b.lit, a)
		}
	}
}

// mirror makes water below the shore: the picture above it, darker, upside
// down, moved from side to side in waves.
func (s *cityScene) mirror(c *canvas, at int) {
	for y := s.shore; y < c.h; y++ {
		depth := y - s.shore
		from := max(s.shore-1-depth*2-sin(depth*2600*360/s.h+at/20)*(1+depth/12)>>14, 0)
		shift := sin(depth*5200*360/s.h-at/12) * (s.unit/4 + depth*s.unit/(s.h/8+1)/2) >> 22
		src, dst := c.row(min(from, s.shore-1)), c.row(y)
		dark := 70 + depth*90/(c.h-s.shore)
		for x := range dst {
			dst[x] = src[min(max(x+shift, 0), c.w-1)].mix(s.colors.near, dark)
		}
	}
	c.rect(0, s.shore<<8-s.unit/4, c.w<<8, s.shore<<8+s.unit/4, s.colors.near, 200)
}
