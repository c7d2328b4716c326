package scene

import (
	"fmt"
	"image"
	"slices"
	"strings"
	"testing"
	"time"
)

// prompts that choose each family.
var prompts = map[family]string{sea: "a paper boat", hills: "a mountain", city: "tokyo", silk: "silk", stars: "space", crystal: "a gem"}

const frame30 = time.Second / 30

func TestSameEveryTime(t *testing.T) {
	for f, prompt := range prompts {
		a, b := New(prompt, 7, 160, 90), New(prompt, 7, 160, 90)
		if a.family != f {
			t.Errorf("%q is %s", prompt, a.family)
		}
		a.Draw(time.Second)
		want := slices.Clone(a.canvas.pix)
		// What is drawn depends on the time alone, not on what was drawn before.
		for _, at := range []time.Duration{0, 5 * time.Second, 20 * time.Millisecond, time.Second} {
			b.Draw(at)
		}
		if !slices.Equal(want, b.canvas.pix) {
			t.Errorf("%s differs the second time", f)
		}
		other := New(prompt, 8, 160, 90)
		other.Draw(time.Second)
		if slices.Equal(want, other.canvas.pix) {
			t.Errorf("%s is the same with another seed", f)
		}
	}
}

// difference is the mean of the differences of two pictures' channels.
func difference(a, b []color) float64 {
	sum := 0
	for i := range a {
		r0, g0, b0 := a[i].parts()
		r1, g1, b1 := b[i].parts()
		sum += abs(r0-r1) + abs(g0-g1) + abs(b0-b1)
	}
	return float64(sum) / float64(3*len(a))
}

// Pictures move, and they do not flicker: from one frame to the next they
// change a little, also late in a long film.
func TestMovesSmoothly(t *testing.T) {
	for f, prompt := range prompts {
		for seed := range int64(4) {
			p := New(prompt, seed, 160, 90)
			for _, start := range []time.Duration{0, 2 * time.Second, 58 * time.Second} {
				p.Draw(start)
				first := slices.Clone(p.canvas.pix)
				before := slices.Clone(first)
				for i := range 12 {
					p.Draw(start + time.Duration(i+1)*frame30)
					if d := difference(before, p.canvas.pix); d > 5 {
						t.Errorf("%s, seed %d: frame %d after %v differs by %.1f of 255", f, seed, i+1, start, d)
					}
					copy(before, p.canvas.pix)
				}
				if d := difference(first, p.canvas.pix); d < 0.05 {
					t.Errorf("%s, seed %d stands still at %v: %.3f", f, seed, start, d)
				}
			}
		}
	}
}

func TestAllSizes(t *testing.T) {
	for f, prompt := range prompts {
		for _, size := range []image.Point{{2, 2}, {16, 16}, {16, 1920}, {1920, 16}, {54, 96}, {320, 180}} {
			for seed := range int64(3) {
				p := New(prompt, seed, size.X, size.Y)
				for _, at := range []time.Duration{0, time.Second, time.Minute} {
					p.Draw(at)
				}
				m := image.NewYCbCr(image.Rect(0, 0, size.X, size.Y), image.YCbCrSubsampleRatio420)
				p.YCbCr(m)
				lo, hi := slices.Min(m.Y), slices.Max(m.Y)
				if lo < 16 || hi > 235 {
					t.Errorf("%s %v: luma %d to %d, the studio range is 16 to 235", f, size, lo, hi)
				}
				if size.X > 2 && hi-lo < 8 {
					t.Errorf("%s %v, seed %d is empty: luma %d to %d", f, size, seed, lo, hi)
				}
				if got := p.NRGBA(); got.Rect.Size() != size || !got.Opaque() {
					t.Errorf("%s %v: image %v", f, size, got.Rect)
				}
			}
		}
	}
}

func TestWordsAreUnambiguous(t *testing.T) {
	// A word in two lists would choose either, depending on the map's order.
	for name, lists := range map[string]map[string]string{"palettes": paletteWords, "families": stringKeys(familyWords)} {
		seen := make(map[string]string)
		for key, list := range lists {
			for w := range strings.FieldsSeq(list) {
				if other, ok := seen[w]; ok {
					t.Errorf("%s: %q is in %s and %s", name, w, other, key)
				}
				seen[w] = key
			}
		}
	}
	for name := range paletteWords {
		paletteNamed(name) // panics where there is none
	}
}

func stringKeys(m map[family]string) map[string]string {
	out := make(map[string]string)
	for k, v := range m {
		out[string(k)] = v
	}
	return out
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		prompt, palette string
		family          family
	}{
		{"a paper boat", "", sea},
		{"PAPER BOATS!", "", sea},
		{"two foxes at dawn", "dawn", hills},
		{"fireflies", "", stars},
		{"cities of the future", "neon", city},
		{"Blue oceans, red mountains", "day", sea}, // the first word counts
		{"the crystal/mountain", "", crystal},
	} {
		for seed := range uint64(5) {
			f, p := choose(c.prompt, &random{seed})
			if f != c.family || c.palette != "" && p.name != c.palette {
				t.Errorf("%q is %s in %s, want %s in %s", c.prompt, f, p.name, c.family, c.palette)
			}
		}
	}
	seen := make(map[any]bool)
	for i := range 400 {
		f, p := choose(fmt.Sprintf("qwxz %d", i), &random{uint64(i)})
		seen[f], seen[p.name] = true, true
	}
	if len(seen) != len(families)+len(palettes) {
		t.Errorf("400 prompts without known words give %d of %d families and palettes", len(seen), len(families)+len(palettes))
	}
}

func FuzzNew(f *testing.F) {
	f.Add("a paper boat", int64(1), uint8(64), uint8(48))
	f.Add("", int64(-1), uint8(0), uint8(255))
	f.Add("纸船 \xff\x00 🚢\u202e", int64(9), uint8(200), uint8(10))
	f.Fuzz(func(t *testing.T, prompt string, seed int64, w, h uint8) {
		p := New(prompt, seed, 2+int(w)&^1, 2+int(h)&^1)
		p.Draw(0)
		p.Draw(61 * time.Second)
	})
}
