package scene

import "math"

// random is a sequence that a number determines (splitmix64).
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// intn is in 0..n-1.
func (r *random) intn(n int) int { return int(r.next() >> 33 % uint64(n)) }

// span is in lo..hi.
func (r *random) span(lo, hi int) int { return lo + r.intn(hi-lo+1) }

// turn is an angle, see sin.
func (r *random) turn() int { return r.intn(fullTurn) }

// fullTurn is a circle, the unit of angles: 65536 make one turn.
const fullTurn = 1 << 16

// sineSteps are the sines of 4096 angles, and the first again, in 1/16384.
var sineSteps = func() (t [4097]int32) {
	for i := range t {
		t[i] = int32(math.Round(16384 * math.Sin(float64(i)*math.Pi/2048)))
	}
	return t
}()

// sin is the sine of an angle of a/65536 turns, in 1/16384. Tables and whole
// numbers, so that it is the same on every machine.
func sin(a int) int {
	i, f := a>>4&4095, int32(a&15)
	return int((sineSteps[i]*(16-f) + sineSteps[i+1]*f) >> 4)
}

func cos(a int) int { return sin(a + fullTurn/4) }

// hash mixes two numbers into one, for noise that needs no memory.
func hash(a, b int) uint64 {
	r := random{uint64(a)*0x9e3779b97f4a7c15 ^ uint64(b)*0xc2b2ae3d27d4eb4f}
	return r.next()
}

// noise is smooth noise along a line: x in 1/65536, result in 0..65535.
func noise(x, seed int) int {
	i, f := x>>16, x&65535
	f = int(int64(f) * int64(f) >> 16 * int64(3*65536-2*f) >> 16)
	a, b := int(hash(i, seed)&65535), int(hash(i+1, seed)&65535)
	return a + (b-a)*f>>16
}
