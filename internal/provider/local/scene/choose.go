package scene

import (
	"slices"
	"strings"
	"unicode"
)

// family is a kind of picture.
type family string

const (
	sea     family = "sea"
	hills   family = "hills"
	city    family = "city"
	silk    family = "silk"
	stars   family = "stars"
	crystal family = "crystal"
)

var families = []family{sea, hills, city, silk, stars, crystal}

// words that choose a family, in the singular.
var familyWords = map[family]string{
	sea: `sea ocean boat ship wave water river lake sail sailboat beach island harbor harbour coast shore fish
		whale dolphin surf surfer paper raft canoe lighthouse bay tide pirate swim`,
	hills: `mountain hill forest tree desert valley landscape field meadow road train horse bird fog mist canyon
		dune alp sunrise sunset wolf deer fox nature autumn spring summer grass garden farm bear cat dog`,
	city: `city town street tokyo london paris york berlin building skyline neon skyscraper car traffic taxi bridge
		downtown cyberpunk club rain metropolis tower`,
	silk: `silk dream gradient abstract music color colour love flow smoke fabric liquid paint calm meditation
		emotion song voice fluid ink cloud wind aurora dance dancer portrait`,
	stars: `star space galaxy snow snowflake firefly spark particle universe cosmos planet rocket astronaut dust confetti
		nebula comet moon winter christmas magic fairy firework constellation night sky`,
	crystal: `crystal cube gem diamond robot machine geometry geometric tech technology clock code computer logo
		glass ice polygon future data ai product phone ring jewel sculpture metal sphere`,
}

// words that choose a palette.
var paletteWords = map[string]string{
	"dawn":     `dawn sunrise morning violet purple early`,
	"day":      `day noon blue summer bright clear water beach`,
	"sunset":   `sunset dusk evening orange red romantic`,
	"midnight": `midnight night dark moon space universe deep star`,
	"aurora":   `aurora northern green magic teal fairy`,
	"blossom":  `blossom cherry pink spring flower sakura love rose petal`,
	"desert":   `desert sand dune gold golden yellow autumn wheat`,
	"forest":   `forest tree jungle leaf grass meadow garden nature`,
	"ember":    `ember fire volcano lava flame dragon hell rust`,
	"arctic":   `arctic ice snow winter frozen cold polar glacier white`,
	"neon":     `neon cyberpunk robot future synthwave electric tokyo arcade`,
}

var (
	wordFamily  = index(familyWords)
	wordPalette = index(paletteWords)
)

func index[K comparable](lists map[K]string) map[string]K {
	byWord := make(map[string]K)
	for k, list := range lists {
		for w := range strings.FieldsSeq(list) {
			byWord[w] = k
		}
	}
	return byWord
}

// choose finds a family and a palette: by the first word of the prompt that
// tells one, else by chance.
func choose(prompt string, r *random) (f family, p *palette) {
	f = families[r.intn(len(families))]
	p = &palettes[r.intn(len(palettes))]
	var familyKnown, paletteKnown bool
	for w := range strings.FieldsFuncSeq(strings.ToLower(prompt), func(r rune) bool { return !unicode.IsLetter(r) }) {
		if !familyKnown {
			f, familyKnown = lookUp(wordFamily, f, w)
		}
		if !paletteKnown {
			var name string
			if name, paletteKnown = lookUp(wordPalette, "", w); paletteKnown {
				p = paletteNamed(name)
			}
		}
	}
	return f, p
}

func lookUp[K any](words map[string]K, otherwise K, word string) (K, bool) {
	for _, form := range forms(word) {
		if k, ok := words[form]; ok {
			return k, true
		}
	}
	return otherwise, false
}

// forms are a word and what it may be the plural of.
func forms(word string) []string {
	f := []string{word}
	if stem, ok := strings.CutSuffix(word, "ies"); ok {
		f = append(f, stem+"y")
	}
	if stem, ok := strings.CutSuffix(word, "es"); ok {
		f = append(f, stem)
	}
	if stem, ok := strings.CutSuffix(word, "s"); ok {
		f = append(f, stem)
	}
	return f
}

func paletteNamed(name string) *palette {
	for i := range palettes {
		if palettes[i].name == name {
			return &palettes[i]
		}
	}
	panic("scene: no palette " + name)
}

// mentions reports whether the prompt has one of the words, given in the
// singular.
func mentions(prompt string, words ...string) bool {
	for w := range strings.FieldsFuncSeq(strings.ToLower(prompt), func(r rune) bool { return !unicode.IsLetter(r) }) {
		for _, form := range forms(w) {
			if slices.Contains(words, form) {
				return true
			}
		}
	}
	return false
}
