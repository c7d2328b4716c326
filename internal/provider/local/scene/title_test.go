package scene

import (
	"image"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ prompt, want string }{
		{"a paper boat", "a paper boat"},
		{"  a\n\tpaper   boat ", "a paper boat"},
		{"Zürich Ελλάδα Москва", "Zürich Ελλάδα Москва"},
		{"“quotes” & dashes — 100 %", "“quotes” & dashes — 100 %"},
		{"boat 🚢 sea", "boat sea"},
		{"🚢🎉", ""},
		{"纸船 in 東京 now", "纸船 in 東京 now"},
		{"白鹭 𠀀", "白· ·"}, // rare ones
		{"זה, ولكن", "זה, ولكن"},
		{"नाव in नदी now", "· in · now"}, // its letters would need to be joined
		{"เรือ", ""},
		{"", ""},
		{" \n ", ""},
		{"a\x00b\x1b[31mc", "ab[31mc"},
		{"a\xff\xfeb", "ab"},
		{"cafe\u0301", "café"},
		{"a\u202eb\u200bc\ufeff", "abc"},
		{"...", ""},
	} {
		if got := printable(c.prompt); got != c.want {
			t.Errorf("printable(%q) = %q, want %q", c.prompt, got, c.want)
		}
	}
	if got := printable(strings.Repeat("long ", 8000)); len(got) > 2010 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestWrap(t *testing.T) {
	face := newOutlines(20)
	for _, c := range []struct {
		text  string
		room  int
		lines int
		whole bool
	}{
		{"a paper boat", 400, 1, true},
		{"a paper boat", 80, 2, true},
		{"one two three four five six seven eight nine ten", 120, 3, false},
		{"Donaudampfschifffahrtsgesellschaft", 150, 3, true},
		{strings.Repeat("w", 500), 150, 3, false},
		{"ab", 1, 2, true}, // at least one letter a line
	} {
		lines, whole := wrap(face, c.text, c.room)
		if len(lines) != c.lines || whole != c.whole {
			t.Errorf("wrap(%q, %d): %q, %v", c.text, c.room, lines, whole)
		}
		for _, l := range lines {
			if w := face.width(l); w > c.room && c.room > 20 {
				t.Errorf("%q is %d pixels wide, there is room for %d", l, w, c.room)
			}
			if !utf8.ValidString(l) || l == "" {
				t.Errorf("line %q", l)
			}
		}
		if last := lines[len(lines)-1]; strings.HasSuffix(last, "…") == c.whole {
			t.Errorf("wrap(%q, %d) ends with %q", c.text, c.room, last)
		}
	}
}

// Han characters need no blanks and no hyphens to be broken.
func TestWrapHan(t *testing.T) {
	letters := newPixels(12)
	lines, whole := wrap(letters, "紙の船が川を下る夜", 48)
	if want := []string{"紙の船が", "川を下る", "夜"}; !slices.Equal(lines, want) || !whole {
		t.Errorf("%q, %v", lines, whole)
	}
	if lines, whole = wrap(letters, strings.Repeat("船", 40), 48); whole || !strings.HasSuffix(lines[2], "…") || letters.width(lines[2]) > 48 {
		t.Errorf("%q, %v", lines, whole)
	}
}

// A text that Go Bold has not whole is set in the bitmap font: whole, in the
// order in which it is read, and as large as the other.
func TestPixels(t *testing.T) {
	if _, ok := letter("a paper boat", 24).(outlines); !ok {
		t.Error("Go Bold is not taken where it would do")
	}
	set := func(text string) *image.Alpha {
		letters := letter(text, 24)
		if _, ok := letters.(pixels); !ok {
			t.Fatalf("%q is set in %T", text, letters)
		}
		m := image.NewAlpha(image.Rect(0, 0, letters.width(text), 40))
		letters.draw(m, 0, 30, text)
		return m
	}
	inked := func(m *image.Alpha, r image.Rectangle) (n int) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if m.AlphaAt(x, y).A > 128 {
					n++
				}
			}
		}
		return n
	}
	both := set("一船") // one stroke, and many
	if both.Rect.Dx() != 48 || inked(both, image.Rect(0, 0, 24, 40)) >= inked(both, image.Rect(24, 0, 48, 40)) {
		t.Errorf("%d pixels wide", both.Rect.Dx())
	}
	// Hebrew begins at the right: its yod is short, its shin is wide.
	word := set("יש")
	if half := word.Rect.Dx() / 2; inked(word, image.Rect(0, 0, half, 40)) <= inked(word, image.Rect(half, 0, 2*half, 40)) {
		t.Error("the first letter stands at the left")
	}
}

// The title is inside the picture, and there is none where it cannot be read.
func TestTitle(t *testing.T) {
	for _, c := range []struct {
		prompt string
		w, h   int
		shown  bool
	}{
		{"a paper boat", 640, 360, true},
		{strings.Repeat("a very long prompt ", 100), 640, 360, true},
		{"a paper boat", 90, 160, true},
		{"a paper boat", 1920, 1080, true},
		{"a paper boat", 1920, 64, true},
		{"a paper boat", 16, 16, false},
		{"a paper boat", 16, 1920, false},
		{"a paper boat", 1920, 16, false},
		{"紙の船が川を下る", 640, 360, true},
		{"小船", 90, 160, true},
		{strings.Repeat("很长的提示词", 100), 1280, 720, true},
		{"زورق من ورق", 320, 180, true},
		{"🚢", 640, 360, false},
		{"", 640, 360, false},
	} {
		p := New(c.prompt, 1, c.w, c.h)
		if shown := p.title.text != nil; shown != c.shown {
			t.Errorf("%.20q at %dx%d: title %v", c.prompt, c.w, c.h, shown)
			continue
		}
		if !c.shown {
			continue
		}
		p.canvas.rows(make([]color, c.h))
		p.title.draw(p.canvas, int(time.Second.Microseconds()))
		brightest := color(0)
		for _, v := range p.canvas.pix {
			brightest = max(brightest, color(v.luma()))
		}
		if brightest < 220 {
			t.Errorf("%.20q at %dx%d: nothing brighter than %d", c.prompt, c.w, c.h, brightest)
		}
		b := p.title.box
		for y := range b.Dy() {
			for x := range b.Dx() {
				if p.title.text[y*b.Dx()+x] > 0 && (b.Min.X+x < 0 || b.Min.X+x >= c.w || b.Min.Y+y < 0 || b.Min.Y+y >= c.h) {
					t.Fatalf("%.20q at %dx%d: letters outside, at %d, %d", c.prompt, c.w, c.h, b.Min.X+x, b.Min.Y+y)
				}
			}
		}
	}
}

func TestTitleFadesIn(t *testing.T) {
	p := New("silk", 1, 320, 180)
	drawn := func(at time.Duration) int {
		p.canvas.rows(make([]color, 180))
		p.title.draw(p.canvas, int(at.Microseconds()))
		return slices.Max(lumas(p.canvas.pix))
	}
	if a, b, c := drawn(0), drawn(200*time.Millisecond), drawn(time.Second); a < 40 || a >= b || b >= c {
		t.Errorf("letters at 0, 0.2 and 1 s: %d, %d, %d", a, b, c)
	}
}

func lumas(pix []color) []int {
	out := make([]int, len(pix))
	for i, v := range pix {
		out[i] = v.luma()
	}
	return out
}
