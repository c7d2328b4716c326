package media

import (
	"bytes"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// split takes a link apart as the api does.
func split(t *testing.T, link, base string) (key, exp, sig string) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(u.Path, base+LinkPath)
	if !ok {
		t.Fatalf("path %s", u.Path)
	}
	q := u.Query()
	return path, q.Get("exp"), q.Get("sig")
}

func TestLink(t *testing.T) {
	s := NewSigner(secret, 0)
	link := s.URL("https://gw.example/", "task_0f/0.webm", noon)
	if want := "https://gw.example/v1/media/task_0f/0.webm?exp=" + strconv.FormatInt(noon.Unix()+3600, 10) + "&sig="; !strings.HasPrefix(link, want) {
		t.Errorf("link %s, want %s…", link, want)
	}
	key, exp, sig := split(t, link, "")
	for _, c := range []struct {
		name          string
		key, exp, sig string
		at            time.Time
		want          error
	}{
		{"right", key, exp, sig, noon, nil},
		{"in its last second", key, exp, sig, noon.Add(time.Hour - time.Second), nil},
		{"over", key, exp, sig, noon.Add(time.Hour), ErrExpired},
		{"long over", key, exp, sig, noon.AddDate(1, 0, 0), ErrExpired},
		{"another key", "task_0e/0.webm", exp, sig, noon, ErrBadLink},
		{"malformed key", "../" + key, exp, sig, noon, ErrBadLink},
		{"prolonged", key, "9" + exp[1:], sig, noon, ErrBadLink},
		{"tampered, and over", key, exp, "A" + sig[1:] + "x", noon.AddDate(1, 0, 0), ErrBadLink},
		{"tampered", key, exp, flip(sig), noon, ErrBadLink},
		{"cut", key, exp, sig[:len(sig)-1], noon, ErrBadLink},
		{"padded", key, exp, sig + "=", noon, ErrBadLink},
		{"no signature", key, exp, "", noon, ErrBadLink},
		{"no expiry", key, "", sig, noon, ErrBadLink},
		{"expiry with a sign", key, "+" + exp, sig, noon, ErrBadLink},
		{"negative expiry", key, "-1", sig, noon, ErrBadLink},
		{"expiry with a zero in front", key, "0" + exp, sig, noon, ErrBadLink},
		{"expiry with a blank", key, exp + " ", sig, noon, ErrBadLink},
		{"hexadecimal expiry", key, "0x7fffffff", sig, noon, ErrBadLink},
		{"huge expiry", key, strings.Repeat("9", 40), sig, noon, ErrBadLink},
	} {
		if err := s.Verify(c.key, c.exp, c.sig, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	other := NewSigner(bytes.Repeat([]byte("x"), 32), 0)
	if err := other.Verify(key, exp, sig, noon); !errors.Is(err, ErrBadLink) {
		t.Errorf("another secret: %v", err)
	}
}

func flip(sig string) string {
	b := []byte(sig)
	if b[3] == 'A' {
		b[3] = 'B'
	} else {
		b[3] = 'A'
	}
	return string(b)
}

func TestLinkTTL(t *testing.T) {
	s := NewSigner(secret, time.Minute)
	key, exp, sig := split(t, s.URL("http://127.0.0.1:5000/base", "a", noon), "/base")
	if err := s.Verify(key, exp, sig, noon.Add(59*time.Second)); err != nil {
		t.Error(err)
	}
	if err := s.Verify(key, exp, sig, noon.Add(time.Minute)); !errors.Is(err, ErrExpired) {
		t.Errorf("after its minute: %v", err)
	}
}

func TestSignerCopiesSecret(t *testing.T) {
	mine := bytes.Clone(secret)
	s := NewSigner(mine, 0)
	clear(mine)
	if s.URL("", "a", noon) != NewSigner(secret, 0).URL("", "a", noon) {
		t.Error("the signer shares its caller's slice")
	}
	defer func() {
		if recover() == nil {
			t.Error("a secret of four bytes is accepted")
		}
	}()
	NewSigner([]byte("four"), 0)
}

func FuzzVerify(f *testing.F) {
	s := NewSigner(secret, 0)
	key, exp, sig := "task_0f/0.webm", strconv.FormatInt(noon.Unix()+3600, 10), ""
	sig = s.sign(key, exp)
	f.Add(key, exp, sig)
	f.Add(key, exp, "")
	f.Add("../x", "1e9", sig)
	f.Add("", "", "")
	f.Add("a", "99999999999999999999", "\x00")
	f.Fuzz(func(t *testing.T, k, e, g string) {
		err := s.Verify(k, e, g, noon)
		if err == nil && (g != s.sign(k, e) || CheckKey(k) != nil) {
			t.Errorf("Verify(%q, %q, %q) lets a wrong link pass", k, e, g)
		}
		if err != nil && !errors.Is(err, ErrBadLink) && !errors.Is(err, ErrExpired) {
			t.Errorf("Verify: %v", err)
		}
		if n, err := parseExp(e); err == nil && strconv.FormatInt(n.Unix(), 10) != e {
			t.Errorf("parseExp takes %q, which is not how it is written", e)
		}
		if CheckKey(k) == nil {
			link := s.URL("http://h", k, noon)
			u, err := url.Parse(link)
			if err != nil || u.Path != LinkPath+k {
				t.Errorf("the link %s does not lead back to %q", link, k)
			}
			if err := s.Verify(k, u.Query().Get("exp"), u.Query().Get("sig"), noon); err != nil {
				t.Errorf("own link: %v", err)
			}
		}
	})
}

func TestLoadOrCreateSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data", "media.key")
	got := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = LoadOrCreateSecret(file); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, g := range got {
		if len(g) != 32 || !bytes.Equal(g, got[0]) {
			t.Fatalf("eight at once: %x and %x", got[0], g)
		}
	}
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("files left: %v", entries)
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateSecret(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a short secret: %v", err)
	}
}
