package media

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

func newLocal(t *testing.T) *Local {
	t.Helper()
	s, err := NewLocal(filepath.Join(t.TempDir(), "media"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t *testing.T, s Store, key, contentType, content string) Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, contentType, strings.NewReader(content))
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return info
}

func get(t *testing.T, s Store, key string) (string, Info) {
	t.Helper()
	f, info, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open %s: %v", key, err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), info
}

// files lists everything in the store's folder, its own files too.
func files(t *testing.T, s *Local) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(s.dir, p)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestPutOpen(t *testing.T) {
	s := newLocal(t)
	want := strings.Repeat("moving pictures ", 10_000)
	info := put(t, s, "task_0f/0.webm", "video/webm", want)
	if info.Key != "task_0f/0.webm" || info.ContentType != "video/webm" || info.Bytes != int64(len(want)) || info.SHA256 != hexSum(want) || info.ModTime.IsZero() {
		t.Errorf("Put: %+v", info)
	}
	got, opened := get(t, s, "task_0f/0.webm")
	if got != want {
		t.Error("the content differs")
	}
	if opened != info {
		t.Errorf("Open: %+v, Put: %+v", opened, info)
	}
}

func TestOpenSeeks(t *testing.T) {
	s := newLocal(t)
	put(t, s, "a", "text/plain", "0123456789")
	f, _, err := s.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(f); string(b) != "789" {
		t.Errorf("read %q", b)
	}
}

func TestPutReplaces(t *testing.T) {
	s := newLocal(t)
	put(t, s, "a/0.png", "image/png", "old")
	reader, _, err := s.Open(t.Context(), "a/0.png")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	put(t, s, "a/0.png", "image/x", "new!")
	if got, info := get(t, s, "a/0.png"); got != "new!" || info.ContentType != "image/x" || info.SHA256 != hexSum("new!") {
		t.Errorf("got %q %+v", got, info)
	}
	if b, _ := io.ReadAll(reader); string(b) != "old" {
		t.Errorf("who had it open reads %q", b)
	}
}

func TestDelete(t *testing.T) {
	s := newLocal(t)
	put(t, s, "a/b/0.png", "image/png", "x")
	put(t, s, "a/1.png", "image/png", "y")
	if err := s.Delete(t.Context(), "a/b/0.png"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(t.Context(), "a/b/0.png"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open after Delete: %v", err)
	}
	if err := s.Delete(t.Context(), "a/b/0.png"); err != nil {
		t.Errorf("the second Delete: %v", err)
	}
	if got, _ := get(t, s, "a/1.png"); got != "y" {
		t.Error("the neighbour is gone")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "a", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty folder remains: %v", err)
	}
}

func TestKeys(t *testing.T) {
	s := newLocal(t)
	outside := filepath.Join(filepath.Dir(s.dir), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"", "/", ".", "..", "../outside", "a/../../outside", "/etc/passwd", "a//b", "a/", "/a", "./a", "a/./b",
		".hidden", "a/.0.webm.json", ".incoming/x", "a b", "a%2fb", `a\b`, "a\x00b", "ä", "a\n", "a:b", "a?b", "a.", "a/..b/../c",
		strings.Repeat("a", 129), strings.Repeat("abc/", 64) + "d",
	} {
		if err := CheckKey(key); !errors.Is(err, ErrBadKey) {
			t.Errorf("CheckKey(%q): %v", key, err)
		}
		if _, err := s.Put(t.Context(), key, "", strings.NewReader("x")); !errors.Is(err, ErrBadKey) {
			t.Errorf("Put(%q): %v", key, err)
		}
		if _, _, err := s.Open(t.Context(), key); !errors.Is(err, ErrBadKey) {
			t.Errorf("Open(%q): %v", key, err)
		}
		if err := s.Delete(t.Context(), key); !errors.Is(err, ErrBadKey) {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	for _, key := range []string{"a", "task_0f3b/0.webm", "A-Z_0.9/x..y", strings.Repeat("a", 128)} {
		if err := CheckKey(key); err != nil {
			t.Errorf("CheckKey(%q): %v", key, err)
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "secret" {
		t.Error("a file outside the store has changed")
	}
}

func TestOpenNotAResult(t *testing.T) {
	s := newLocal(t)
	put(t, s, "a/b", "text/plain", "x")
	link := filepath.Join(s.dir, "link")
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.dir), "outside"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", link); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a/b/c", "nothing", "link"} {
		if _, _, err := s.Open(t.Context(), key); !errors.Is(err, ErrNotFound) {
			t.Errorf("Open(%q): %v, want ErrNotFound", key, err)
		}
	}
}

func TestPutLeavesNothingBehind(t *testing.T) {
	broken := errors.New("the line is cut")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		r    io.Reader
		wrap func(io.Writer) io.Writer
		want error
	}{
		{"reader fails half-way", t.Context(), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), nil, broken},
		{"context ended", cancelled, strings.NewReader("x"), nil, context.Canceled},
		{"disk full", t.Context(), bytes.NewReader(make([]byte, 1<<20)), fullAfter(100_000), ErrFull},
		{"disk full at once", t.Context(), strings.NewReader("x"), fullAfter(0), ErrFull},
		{"disk full for the sidecar", t.Context(), strings.NewReader("xyz"), fullAfter(4), ErrFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newLocal(t)
			put(t, s, "a/0.png", "image/png", "before")
			was := files(t, s)
			if c.wrap != nil {
				s.wrap = c.wrap
			}
			for _, key := range []string{"a/0.png", "b/1.png"} {
				if _, err := s.Put(c.ctx, key, "image/png", c.r); !errors.Is(err, c.want) {
					t.Fatalf("Put %s: %v, want %v", key, err, c.want)
				}
			}
			if now := files(t, s); strings.Join(now, " ") != strings.Join(was, " ") {
				t.Errorf("files: %v, before: %v", now, was)
			}
			if got, _ := get(t, s, "a/0.png"); got != "before" {
				t.Errorf("the old result reads %q", got)
			}
			s.wrap = func(w io.Writer) io.Writer { return w }
			put(t, s, "b/1.png", "image/png", "next") // the next one works
		})
	}
}

// fullAfter gives each file n bytes of room, all files together.
func fullAfter(n int) func(io.Writer) io.Writer {
	return func(w io.Writer) io.Writer { return &fullDisk{w, &n} }
}

type fullDisk struct {
	w    io.Writer
	room *int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) <= *d.room {
		*d.room -= len(p)
		return d.w.Write(p)
	}
	n, err := d.w.Write(p[:*d.room])
	*d.room = 0
	if err == nil {
		err = &fs.PathError{Op: "write", Path: "full", Err: syscall.ENOSPC}
	}
	return n, err
}

func TestRealDeviceFull(t *testing.T) {
	if !isFull(writeTo("/dev/full")) {
		t.Errorf("writing to /dev/full: %v; the test needs this device of Linux", writeTo("/dev/full"))
	}
}

func writeTo(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("x")
	return errors.Join(err, f.Close())
}

func TestMissingSidecar(t *testing.T) {
	for _, damage := range []struct {
		name string
		do   func(file string) error
	}{
		{"gone", os.Remove},
		{"empty", func(f string) error { return os.Truncate(f, 0) }},
		{"of another file", func(f string) error {
			return os.WriteFile(f, []byte(`{"content_type":"text/html","bytes":999,"sha256":"00"}`), 0o600)
		}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			s := newLocal(t)
			put(t, s, "a/0.webm", "video/webm", "film")
			if err := damage.do(filepath.Join(s.dir, "a", ".0.webm.json")); err != nil {
				t.Fatal(err)
			}
			got, info := get(t, s, "a/0.webm")
			if got != "film" || info.ContentType != "video/webm" || info.SHA256 != hexSum("film") || info.Bytes != 4 {
				t.Errorf("got %q %+v", got, info)
			}
		})
	}
}

func TestSweepAtStart(t *testing.T) {
	s := newLocal(t)
	put(t, s, "a/0.png", "image/png", "kept")
	old, fresh := filepath.Join(s.dir, tempDir, "old"), filepath.Join(s.dir, tempDir, "fresh")
	for _, f := range []string{old, fresh} {
		if err := os.WriteFile(f, []byte("part"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * abandonedAfter)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	again, err := NewLocal(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	want := ".incoming/fresh a/.0.png.json a/0.png"
	if got := strings.Join(files(t, again), " "); got != want {
		t.Errorf("files: %s, want %s: another process may still write what is fresh", got, want)
	}
}

func TestConcurrentPutDelete(t *testing.T) {
	s := newLocal(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				key, want := fmt.Sprintf("dir/%d.txt", i), fmt.Sprint(i, j)
				if _, err := s.Put(t.Context(), key, "text/plain", strings.NewReader(want)); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				if f, info, err := s.Open(t.Context(), key); err != nil || info.SHA256 != hexSum(want) {
					t.Errorf("Open: %v %v", info, err)
				} else {
					_ = f.Close()
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := files(t, s); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestNewLocalSaysWhy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLocal(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as folder: %v", err)
	}
}
