package scene

// palette is the colors that a picture is made of.
type palette struct {
	name      string
	sky       [4]color // from the top down to the horizon
	sun       color    // or moon
	far, near color    // of what stands before the sky
	accent    color
	dark      bool // night: the sky has stars
}

var palettes = []palette{
	{"dawn", [4]color{0x2b2d6e, 0x7a4e9c, 0xf28f8b, 0xffd6a5}, 0xfff1c9, 0xa487b5, 0x1e1f4b, 0xffd6a5, false},
	{"day", [4]color{0x1f7fd1, 0x58b0ec, 0xa8dcf5, 0xeaf8f6}, 0xfffbe6, 0x86c8dc, 0x0b3c5d, 0xffe08a, false},
	{"sunset", [4]color{0x2a1b4a, 0x8e2f5c, 0xe8615a, 0xffb35c}, 0xffe9a8, 0xc4606a, 0x1d1233, 0xffb35c, false},
	{"midnight", [4]color{0x050818, 0x0d1b3d, 0x1c3a63, 0x3d6a8f}, 0xf4f1de, 0x376389, 0x050b1c, 0x9fd3ff, true},
	{"aurora", [4]color{0x04101f, 0x0a2a3a, 0x0f5a58, 0x3fb98f}, 0xe9fff4, 0x2a7d74, 0x03131a, 0x7dffc4, true},
	{"blossom", [4]color{0x5a4b8a, 0xa779b5, 0xf0a9c0, 0xffe3e0}, 0xfff5ee, 0xcf9dbd, 0x3a2a55, 0xffd1dc, false},
	{"desert", [4]color{0x31527a, 0x8fa7b3, 0xf0c48a, 0xfbe3b4}, 0xfff4d6, 0xd9a775, 0x4a2a22, 0xffdd99, false},
	{"forest", [4]color{0x1c3b3a, 0x3f7a6b, 0xa3c9a1, 0xf0ecc5}, 0xfffbe0, 0x8dbb9d, 0x0e2622, 0xe9f5b0, false},
	{"ember", [4]color{0x120a12, 0x3a1320, 0x8c2f1f, 0xef7d2a}, 0xffd27a, 0x8a3424, 0x12070b, 0xffb347, true},
	{"arctic", [4]color{0x3d5a80, 0x7fa6c9, 0xc5dff0, 0xf7fbff}, 0xffffff, 0xb1cfe4, 0x24405e, 0xe0fbfc, false},
	{"neon", [4]color{0x0b0221, 0x2a0a5e, 0x7a1fa2, 0xff4f9a}, 0xffd1f0, 0x6f239c, 0x0b0221, 0x00f0ff, true},
}

// skyRows is the sky's color for each of h rows, with the horizon at row
// horizon and its color from there down.
func (p *palette) skyRows(h, horizon int) []color {
	rows := ramp(max(horizon, 2), p.sky[:]...)
	for len(rows) < h {
		rows = append(rows, p.sky[3])
	}
	return rows[:h]
}
