package wire

import (
	"errors"
	"math"
	"strconv"
	"time"
)

// tick is the resolution of the reference's times; what is finer is cut off.
const tick = 100 * time.Nanosecond

// appendTime writes an instant as the reference does: ISO 8601 with as many
// digits of the second as it needs, seven at most.
func appendTime(dst []byte, t time.Time) ([]byte, error) {
	if y := t.Year(); y < 1 || y > 9999 {
		return dst, errors.New("wire: year " + strconv.Itoa(y) + " of a time is outside of 1 to 9999")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.9999999Z07:00"), nil
}

// parseTime reads the ISO 8601 forms that System.Text.Json reads: a date, or a
// date and a time to the minute or the second, with up to 16 digits behind it,
// with Z, an offset or nothing, which is taken for UTC.
func parseTime(b []byte) (time.Time, bool) {
	p := timeParser{b: b}
	year, month, day := p.number(4), p.after('-', 2), p.after('-', 2)
	var hour, minute, second, nanos int
	zone := time.UTC
	if len(p.b) > 0 {
		hour, minute = p.after('T', 2), p.after(':', 2)
		if p.is(':') {
			second = p.number(2)
			if p.is('.') {
				nanos = p.fraction()
			}
		}
		zone = p.zone()
	}
	if p.bad || len(p.b) > 0 || year < 1 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone)
	if t.Day() != day {
		return time.Time{}, false
	}
	return t, true
}

type timeParser struct {
	b   []byte
	bad bool
}

func (p *timeParser) is(c byte) bool {
	if len(p.b) == 0 || p.b[0] != c {
		return false
	}
	p.b = p.b[1:]
	return true
}

func (p *timeParser) number(digits int) int {
	if len(p.b) < digits {
		p.bad = true
		return 0
	}
	n := 0
	for _, c := range p.b[:digits] {
		if !isDigit(c) {
			p.bad = true
			return 0
		}
		n = n*10 + int(c-'0')
	}
	p.b = p.b[digits:]
	return n
}

func (p *timeParser) after(c byte, digits int) int {
	if !p.is(c) {
		p.bad = true
		return 0
	}
	return p.number(digits)
}

// fraction reads 1 to 16 digits and returns nanoseconds, whole ticks of them.
func (p *timeParser) fraction() int {
	n, digits := 0, 0
	for len(p.b) > 0 && isDigit(p.b[0]) {
		if digits < 7 {
			n = n*10 + int(p.b[0]-'0')
		}
		digits++
		p.b = p.b[1:]
	}
	if digits == 0 || digits > 16 {
		p.bad = true
	}
	for ; digits < 7; digits++ {
		n *= 10
	}
	return n * int(tick)
}

func (p *timeParser) zone() *time.Location {
	sign := 1
	switch {
	case p.is('Z'), len(p.b) == 0:
		return time.UTC
	case p.is('-'):
		sign = -1
	case !p.is('+'):
		p.bad = true
		return time.UTC
	}
	hours, minutes := p.number(2), 0
	if len(p.b) > 0 {
		minutes = p.after(':', 2)
	}
	if minutes > 59 || hours*60+minutes > 14*60 {
		p.bad = true
	}
	if hours == 0 && minutes == 0 {
		return time.UTC
	}
	return time.FixedZone("", sign*(hours*60+minutes)*60)
}

// appendTimeSpan writes a duration as a TimeSpan: [-][d.]hh:mm:ss[.fffffff].
func appendTimeSpan(dst []byte, d time.Duration) []byte {
	ticks := int64(d / tick)
	if ticks < 0 {
		dst = append(dst, '-')
		ticks = -ticks
	}
	seconds, fraction := ticks/1e7, ticks%1e7
	if days := seconds / 86400; days > 0 {
		dst = strconv.AppendInt(dst, days, 10)
		dst = append(dst, '.')
	}
	dst = appendPadded(dst, seconds/3600%24, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, seconds/60%60, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, seconds%60, 2)
	if fraction != 0 {
		dst = append(dst, '.')
		dst = appendPadded(dst, fraction, 7)
	}
	return dst
}

func appendPadded(dst []byte, n int64, width int) []byte {
	var buf [20]byte
	digits := strconv.AppendInt(buf[:0], n, 10)
	for i := len(digits); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// parseTimeSpan reads what appendTimeSpan writes, with 1 to 7 digits of a
// second. A TimeSpan longer than a Duration can be, 292 years, does not fit.
func parseTimeSpan(b []byte) (time.Duration, bool) {
	p := timeParser{b: b}
	negative := p.is('-')
	days := 0
	if width := countDigits(p.b); width > 0 && width <= 8 && width < len(p.b) && p.b[width] == '.' {
		days = p.number(width)
		p.is('.')
	}
	hours, minutes, seconds := p.number(2), p.after(':', 2), p.after(':', 2)
	nanos := 0
	if p.is('.') {
		if countDigits(p.b) > 7 {
			return 0, false
		}
		nanos = p.fraction()
	}
	if p.bad || len(p.b) > 0 || hours > 23 || minutes > 59 || seconds > 59 {
		return 0, false
	}
	whole := int64(days)*86400 + int64(hours)*3600 + int64(minutes)*60 + int64(seconds)
	if whole >= math.MaxInt64/int64(time.Second) {
		return 0, false
	}
	d := time.Duration(whole)*time.Second + time.Duration(nanos)
	if negative {
		d = -d
	}
	return d, true
}

func countDigits(b []byte) int {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return n
}
