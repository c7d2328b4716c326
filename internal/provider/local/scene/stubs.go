package scene

func newHills(s stage) drawer   { return newSea(s) }
func newCity(s stage) drawer    { return newSea(s) }
func newSilk(s stage) drawer    { return newSea(s) }
func newStars(s stage) drawer   { return newSea(s) }
func newCrystal(s stage) drawer { return newSea(s) }
