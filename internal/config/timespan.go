package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// maxTimeSpan bounds what is read, in days; a Go duration ends at 292 years.
const maxTimeSpan = 100_000

// ParseTimeSpan reads a duration as .NET's TimeSpan.Parse does for every
// culture: "[-]d", "[-][d.]hh:mm", "[-][d.]hh:mm:ss[.fffffff]" and
// "[-]d:hh:mm:ss[.fffffff]". A lone number is days, as there.
func ParseTimeSpan(s string) (time.Duration, error) {
	in := s
	s = strings.TrimSpace(s)
	fail := func(why string) (time.Duration, error) {
		return 0, fmt.Errorf("%q is no TimeSpan: %s; write [days.]hours:minutes:seconds, such as 00:00:15", in, why)
	}
	negative := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")

	days, parts, fraction, wrong := cutTimeSpan(s)
	if wrong != "" {
		return fail(wrong)
	}
	d, err := addTimeSpan(days, parts, fraction)
	if err != nil {
		return fail(err.Error())
	}
	if negative {
		d = -d
	}
	return d, nil
}

// cutTimeSpan takes a TimeSpan without its sign apart: parts are hours, minutes
// and perhaps seconds. wrong says what there cannot be, "" when nothing.
func cutTimeSpan(s string) (days string, parts []string, fraction, wrong string) {
	// A dot before the first colon ends the days, a dot after the last one
	// begins the fraction of a second.
	rest := s
	first, last := strings.IndexByte(s, ':'), strings.LastIndexByte(s, ':')
	if dot := strings.IndexByte(s, '.'); first >= 0 && dot >= 0 && dot < first {
		days, rest = s[:dot], s[dot+1:]
	} else if first < 0 {
		days, rest = s, ""
	}
	if first >= 0 {
		if dot := strings.IndexByte(s[last:], '.'); dot >= 0 {
			fraction = s[last+dot+1:]
			rest = rest[:len(rest)-len(fraction)-1]
			if fraction == "" {
				return "", nil, "", "digits are missing after the dot"
			}
		}
	}
	if rest != "" {
		parts = strings.Split(rest, ":")
	}
	if len(parts) == 4 && days == "" {
		days, parts = parts[0], parts[1:]
	}
	switch {
	case len(parts) == 0 && first < 0 && days != "":
	case len(parts) != 2 && len(parts) != 3:
		wrong = "hours and minutes are needed"
	case fraction != "" && len(parts) != 3:
		wrong = "a fraction needs seconds before it"
	case first >= 0 && days == "" && strings.HasPrefix(s, "."):
		wrong = "the days are missing before the dot"
	}
	return days, parts, fraction, wrong
}

// addTimeSpan adds up what cutTimeSpan found.
func addTimeSpan(days string, parts []string, fraction string) (d time.Duration, err error) {
	if days != "" {
		n, err := digits(days, maxTimeSpan)
		if err != nil {
			return 0, fmt.Errorf("days: %w", err)
		}
		d = time.Duration(n) * day
	}
	units := [3]struct {
		unit time.Duration
		max  int
		name string
	}{{time.Hour, 23, "hours"}, {time.Minute, 59, "minutes"}, {time.Second, 59, "seconds"}}
	for i, p := range parts {
		n, err := digits(p, units[i].max)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", units[i].name, err)
		}
		d += time.Duration(n) * units[i].unit
	}
	if fraction == "" {
		return d, nil
	}
	if len(fraction) > 7 {
		return 0, fmt.Errorf("at most seven digits after the second")
	}
	n, err := digits(fraction, 9_999_999)
	if err != nil {
		return 0, fmt.Errorf("fraction: %w", err)
	}
	for range 7 - len(fraction) {
		n *= 10
	}
	return d + time.Duration(n)*100, nil
}

func digits(s string, limit int) (int, error) {
	if s == "" {
		return 0, fmt.Errorf("a number is missing")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, fmt.Errorf("%q is not a number", s)
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%s is above %d", s, limit)
	}
	return n, nil
}

// FormatTimeSpan writes d as .NET's TimeSpan.ToString("c") does, cut to
// 100 ns: "00:00:15", "1.02:03:04.5000000".
func FormatTimeSpan(d time.Duration) string {
	var b strings.Builder
	u := uint64(d)
	if d < 0 {
		b.WriteByte('-')
		u = -u
	}
	if days := u / uint64(day); days > 0 {
		fmt.Fprintf(&b, "%d.", days)
	}
	fmt.Fprintf(&b, "%02d:%02d:%02d", u/uint64(time.Hour)%24, u/uint64(time.Minute)%60, u/uint64(time.Second)%60)
	if f := u % uint64(time.Second) / 100; f > 0 {
		fmt.Fprintf(&b, ".%07d", f)
	}
	return b.String()
}
