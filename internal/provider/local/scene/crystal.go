package scene

import "math"

// crystalScene is a faceted stone that turns in the light, among soft lights
// out of focus.
type crystalScene struct {
	stage
	still   *canvas // gradient and glow
	lights  []mote
	corners [][3]float64
	faces   [][3]int
	tints   []color // of each face
	spin    float64 // turns a second
	tilt    float64 // radians
	start   float64 // radians
}

func newCrystal(s stage) *crystalScene {
	r := s.random
	p := s.colors
	scene := &crystalScene{stage: s,
		spin: float64(r.span(70, 110)) / 1000, tilt: float64(r.span(15, 35)) / 100, start: float64(r.turn()) / fullTurn * 2 * math.Pi}
	if r.intn(2) == 0 {
		scene.spin = -scene.spin
	}
	scene.still = newCanvas(s.w, s.h)
	scene.still.rows(ramp(s.h, p.sky[0].mix(p.near, 110), p.sky[0], p.sky[1], p.sky[1].mix(p.sky[2], 120), p.sky[0]))
	scene.still.glow(s.w*128, s.h*46*256/100, s.unit*70, 256, p.sky[2], 110)
	for range 26 {
		scene.lights = append(scene.lights, mote{
			x: r.intn(s.w << 8), y: r.intn(s.h << 8), r: s.unit * r.span(20, 110) / 10,
			dx: s.unit * r.span(-14, 14) / 10, dy: -s.unit * r.span(4, 20) / 10,
			phase: r.turn(), speed: r.span(5000, 12000), alpha: r.span(14, 46),
			tint: []color{p.accent, p.sky[3], p.sun, p.sky[2]}[r.intn(4)],
		})
	}
	scene.cut()
	for range scene.faces {
		scene.tints = append(scene.tints, p.sky[2].mix(p.accent, r.intn(256)).mix(p.sky[3], r.intn(120)))
	}
	return scene
}

// cut makes the stone: an icosahedron, or a brilliant of a number of sides.
func (s *crystalScene) cut() {
	if s.random.intn(2) == 0 {
		const g = 1.618033988749895
		for _, v := range [][3]float64{{-1, g, 0}, {1, g, 0}, {-1, -g, 0}, {1, -g, 0}, {0, -1, g}, {0, 1, g}, {0, -1, -g}, {0, 1, -g}, {g, 0, -1}, {g, 0, 1}, {-g, 0, -1}, {-g, 0, 1}} {
			s.corners = append(s.corners, [3]float64{v[0] / 1.9021, v[1] / 1.9021, v[2] / 1.9021})
		}
		s.faces = [][3]int{{0, 11, 5}, {0, 5, 1}, {0, 1, 7}, {0, 7, 10}, {0, 10, 11}, {1, 5, 9}, {5, 11, 4}, {11, 10, 2}, {10, 7, 6}, {7, 1, 8},
			{3, 9, 4}, {3, 4, 2}, {3, 2, 6}, {3, 6, 8}, {3, 8, 9}, {4, 9, 5}, {2, 4, 11}, {6, 2, 10}, {8, 6, 7}, {9, 8, 1}}
		return
	}
	n := s.random.span(5, 8)
	ring := func(r, y, shift float64) (first int) {
		first = len(s.corners)
		for i := range n {
			a := (float64(i) + shift) * 2 * math.Pi / float64(n)
			s.corners = append(s.corners, [3]float64{r * math.Cos(a), y, r * math.Sin(a)})
		}
		return first
	}
	table, girdle := ring(0.5, -0.72, 0), ring(0.88, -0.3, 0.5)
	top, tip := len(s.corners), len(s.corners)+1
	s.corners = append(s.corners, [3]float64{0, -0.74, 0}, [3]float64{0, 1.05, 0})
	for i := range n {
		j := (i + 1) % n
		s.faces = append(s.faces, [3]int{top, table + i, table + j}, [3]int{table + i, girdle + i, table + j},
			[3]int{table + j, girdle + i, girdle + j}, [3]int{girdle + i, tip, girdle + j})
	}
}

func (s *crystalScene) draw(c *canvas, at int) {
	c.copyFrom(s.still)
	cx, cy := s.w*128, s.h*46*256/100
	for i := range s.lights {
		m := &s.lights[i]
		x := wrapAround(m.x+m.dx*(at/1000)/1000, s.w<<8+24*s.unit) - 12*s.unit
		y := wrapAround(m.y+m.dy*(at/1000)/1000, s.h<<8+24*s.unit) - 12*s.unit
		a := m.alpha * (24000 + 8000*sin(m.phase+m.speed*(at/1000)/1000)>>14) >> 15
		c.disc(x, y, m.r, m.tint, a)
		c.disc(x, y, m.r*7/8, m.tint, a/2)
	}
	bob := sin(at/70) * s.unit * 3 / 2 >> 14
	c.mist(cx, s.h*84*256/100, s.unit*26-bob, 34, s.colors.near, 130)
	s.drawStone(c, cx, cy+bob, at)
}

// drawStone draws the faces that look away first, which shine through, then
// those that look at us. Angles and corners are floating point; pixels begin
// where they are rounded to 1/256.
func (s *crystalScene) drawStone(c *canvas, cx, cy, at int) {
	turn := s.start + s.spin*2*math.Pi*float64(at)/1e6
	sinT, cosT := math.Sincos(turn)
	sinK, cosK := math.Sincos(s.tilt)
	radius := float64(s.unit) * 31
	turned := make([][3]float64, len(s.corners))
	flat := make([]point, len(s.corners))
	for i, v := range s.corners {
		x, z := v[0]*cosT+v[2]*sinT, v[2]*cosT-v[0]*sinT
		y, z := v[1]*cosK-z*sinK, v[1]*sinK+z*cosK
		turned[i] = [3]float64{x, y, z}
		near := 3.6 / (3.6 + z) // perspective; the eye is at z = -3.6
		flat[i] = point{cx + int(math.Round(x*near*radius)), cy + int(math.Round(y*near*radius))}
	}
	for _, front := range []bool{false, true} {
		for i, f := range s.faces {
			a, b, d := flat[f[0]], flat[f[1]], flat[f[2]]
			area := (b.x-a.x)*(d.y-a.y) - (b.y-a.y)*(d.x-a.x)
			out := outward(turned, f)
			if (out[2] < 0) != front || area == 0 {
				continue
			}
			s.drawFace(c, i, out, front, a, b, d)
		}
	}
}

// outward is the unit vector away from the stone's middle, square to a face.
func outward(v [][3]float64, f [3]int) [3]float64 {
	a, b, c := v[f[0]], v[f[1]], v[f[2]]
	u := [3]float64{b[0] - a[0], b[1] - a[1], b[2] - a[2]}
	w := [3]float64{c[0] - a[0], c[1] - a[1], c[2] - a[2]}
	n := [3]float64{u[1]*w[2] - u[2]*w[1], u[2]*w[0] - u[0]*w[2], u[0]*w[1] - u[1]*w[0]}
	length := math.Sqrt(n[0]*n[0] + n[1]*n[1] + n[2]*n[2])
	if n[0]*(a[0]+b[0]+c[0])+n[1]*(a[1]+b[1]+c[1])+n[2]*(a[2]+b[2]+c[2]) < 0 {
		length = -length
	}
	return [3]float64{n[0] / length, n[1] / length, n[2] / length}
}

func (s *crystalScene) drawFace(c *canvas, i int, out [3]float64, front bool, pts ...point) {
	// Light from the upper left, behind us; and what is mirrored in the face.
	light := int(math.Round(256 * (-0.55*out[0] - 0.62*out[1] - 0.56*out[2])))
	tint := s.tints[i]
	if !front {
		c.poly(tint.mix(s.colors.near, 90+max(light, -64)/2), 130, pts...)
		return
	}
	v := tint.mix(s.colors.near, 190-min(max(light+90, 0), 250)*190/256)
	if light > 150 {
		v = v.mix(white, (light-150)*230/106)
	}
	c.poly(v, 216, pts...)
	edge := v.mix(white, 120)
	for k := range pts {
		c.line(pts[k], pts[(k+1)%len(pts)], max(s.unit/5, 200), edge, 110)
	}
}
