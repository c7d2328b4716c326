package config

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestParseTimeSpan(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	for in, want := range map[string]time.Duration{
		"00:00:15":         15 * s,
		"0:0:15":           15 * s,
		"00:15":            15 * m,
		"6":                6 * day,
		"-6":               -6 * day,
		"6:12":             6*h + 12*m,
		"6:12:14":          6*h + 12*m + 14*s,
		"6:12:14:45":       6*day + 12*h + 14*m + 45*s,
		"6.12:14":          6*day + 12*h + 14*m,
		"6.12:14:45":       6*day + 12*h + 14*m + 45*s,
		"6:12:14:45.3448":  6*day + 12*h + 14*m + 45*s + 344800*time.Microsecond,
		"1.00:00:00":       day,
		"00:00:00.1":       100 * time.Millisecond,
		"00:00:00.0000001": 100,
		"-1.02:03:04.5":    -(day + 2*h + 3*m + 4*s + 500*time.Millisecond),
		" 00:00:30 ":       30 * s,
		"23:59:59.9999999": day - 100,
		"100000":           100000 * day,
		"0":                0,
	} {
		if got, err := ParseTimeSpan(in); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", " ", "-", "15s", "1h", "24:00:00", "00:60:00", "00:00:60", "1:2:3:4:5", ":", "1:", ":1", "1.", ".5", ".1:2", "1.2", "1.2.3",
		"00:00:00.", "00:00:00.12345678", "00:00.5", "1.2:3:4:5", "--1", "+1", "00:00:1e1", "٣", "100001", "1,5", "00:-1:00", "00: 01:00"} {
		if got, err := ParseTimeSpan(in); err == nil {
			t.Errorf("%q is accepted as %v", in, got)
		}
	}
}

func TestFormatTimeSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"00:00:15": 15 * time.Second, "1.00:00:00": day, "-00:00:00.5000000": -500 * time.Millisecond,
		"1.02:03:04.0000001": day + 2*time.Hour + 3*time.Minute + 4*time.Second + 100,
	} {
		if got := FormatTimeSpan(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	for _, tt := range []struct {
		configured time.Duration
		query      string
		want       time.Duration
	}{
		{15 * time.Second, "", 15 * time.Second},
		{30 * time.Second, "", 20 * time.Second},                    // the guide's tuning block with a client of default settings
		{30 * time.Second, "serverTimeout=60000", 30 * time.Second}, // it bears more: the configured interval
		{50 * time.Second, "serverTimeout=60000", 40 * time.Second}, // two thirds
		{15 * time.Second, "serverTimeout=9000", 6 * time.Second},   // it bears less
		{15 * time.Second, "serverTimeout=3000", time.Second},       // a ping may come a second late
		{15 * time.Second, "serverTimeout=1500", time.Millisecond},  // at every look
		{30 * time.Second, "serverTimeout=30000", 20 * time.Second},
		{30 * time.Second, "id=x&serverTimeout=45000", 30 * time.Second},
		{30 * time.Second, "serverTimeout=", 20 * time.Second},
		{30 * time.Second, "serverTimeout=abc", 20 * time.Second},
		{30 * time.Second, "serverTimeout=-60000", 20 * time.Second},
		{30 * time.Second, "serverTimeout=1", 20 * time.Second},
		{30 * time.Second, "serverTimeout=99999999999999", 20 * time.Second},
		{time.Second, "serverTimeout=60000", time.Second},
	} {
		r := httptest.NewRequest("GET", "/hubs/video-generation?"+tt.query, nil)
		if got := KeepAlive(tt.configured, r); got != tt.want {
			t.Errorf("%v with %q: %v, want %v", tt.configured, tt.query, got, tt.want)
		}
	}
	if got := KeepAlive(time.Minute, nil); got != 20*time.Second {
		t.Errorf("without a request: %v", got)
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"localhost:6379":                      "localhost:6379",
		"h,password=x":                        "h,password=***",
		"h,Password = x ,ssl=true":            "h,Password =***,ssl=true",
		"h,password=x,y=z,ssl=true":           "h,password=***,ssl=true",
		"h,password=a=b":                      "h,password=***",
		"redis://u:p@h":                       "redis://***@h",
		"redis://:p@q@h/0":                    "redis://***@h/0",
		"p@h:1":                               "***@h:1",
		"Host=h;Username=u;Password=x":        "Host=h;Username=u;Password=***",
		"https://x.example/?access_token=abc": "https://x.example/?access_token=***",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzTimeSpan(f *testing.F) {
	for _, s := range []string{"00:00:15", "1.00:00:00", "6:12:14:45.3448", "-6", "1.", ":", "00:00:00.0000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseTimeSpan(s)
		if err != nil {
			return
		}
		if again, err := ParseTimeSpan(FormatTimeSpan(d)); err != nil || again != d {
			t.Errorf("%q is %v, written %q, read %v (%v)", s, d, FormatTimeSpan(d), again, err)
		}
	})
}

func FuzzSettingsFile(f *testing.F) {
	for _, s := range []string{guideSettings, guideTuning, `{}`, `{"a":[1,{"b":null}],}`, "\xef\xbb\xbf{} // x", `{"SignalR:KeepAliveInterval":"00:00:15"}`, `{"Cors":{"AllowedOrigins":[]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseFile("x.json", b)
		if err != nil {
			return
		}
		c := Default()
		if c.apply(fieldsOf(&c), s) == nil {
			_ = c.finish()
			_ = c.Print(&strings.Builder{})
		}
	})
}

func FuzzRedis(f *testing.F) {
	for _, s := range []string{"localhost:6379", "h", "h,ssl=true", "redis://h/0", "[::1]:6379,abc"} {
		f.Add(s, "s3cr3t")
	}
	f.Fuzz(func(t *testing.T, s, secret string) {
		const marker = "QZ7"
		secret = marker + strings.Map(func(r rune) rune {
			if r == '@' {
				return -1 // ends the user's part of an address
			}
			return r
		}, secret) + marker
		for _, text := range []string{s + ",password=" + secret, "redis://u:" + secret + "@" + s} {
			if strings.Contains(s, marker) || strings.Contains(s, "@") {
				return
			}
			shown := Redact(text)
			if strings.Contains(shown, secret) {
				t.Errorf("%q shows its secret: %q", text, shown)
			}
			if _, err := ParseRedis(text); err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error for %q tells its secret: %v", text, err)
			}
		}
	})
}
