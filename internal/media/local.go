package media

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
)

// Local is a Store in a folder. A result is a plain file under its key, so
// that people can look into the folder; beside it lies a small file
// ".<name>.json" with its content type and SHA-256. Several processes may use
// one folder. Safe for concurrent use.
type Local struct {
	root *os.Root
	dir  string

	// wrap stands between Put and its file; tests make it fail.
	wrap func(io.Writer) io.Writer
}

const (
	tempDir = ".incoming"
	// abandonedAfter is how long a file in tempDir must not have been written
	// to before it counts as left behind. Another process may be writing its
	// own there.
	abandonedAfter = time.Hour
	dirMode        = 0o700
	fileMode       = 0o600
)

// NewLocal opens the store in dir, which is made when it is not there, and
// removes what interrupted writes left in it more than an hour ago.
func NewLocal(dir string) (*Local, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	s := &Local{root: root, dir: dir, wrap: func(w io.Writer) io.Writer { return w }}
	if err := root.MkdirAll(tempDir, dirMode); err != nil {
		_ = root.Close() // the first error says more
		return nil, fmt.Errorf("media: %w", err)
	}
	s.sweep(time.Now().Add(-abandonedAfter))
	return s, nil
}

// Close lets go of the folder. Files opened before remain readable.
func (s *Local) Close() error { return s.root.Close() }

// sidecar is what a result's file cannot tell by itself.
type sidecar struct {
	ContentType string `json:"content_type"`
	Bytes       int64  `json:"bytes"`
	SHA256      string `json:"sha256"`
}

// Put stores what r gives until io.EOF under key, in the place of what may be
// there. It becomes visible all at once, after it is safely on the disk.
// Errors: ErrBadKey; ErrFull when the disk is; r's own; ctx's, looked at
// between reads. After any error the store is as before.
func (s *Local) Put(ctx context.Context, key, contentType string, r io.Reader) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	info, err := s.put(ctx, key, contentType, r)
	if isFull(err) {
		return Info{}, fmt.Errorf("%w: %w", ErrFull, err)
	}
	return info, err
}

func (s *Local) put(ctx context.Context, key, contentType string, r io.Reader) (Info, error) {
	sum := sha256.New()
	var size int64
	temp, err := s.writeTemp(func(w io.Writer) (err error) {
		size, err = copyAll(ctx, w, r, sum)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	defer s.discard(temp)
	side := sidecar{ContentType: contentType, Bytes: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
	sideTemp, err := s.writeSidecar(side)
	if err != nil {
		return Info{}, err
	}
	defer s.discard(sideTemp)

	// A crash between any two of these steps leaves a result without a
	// sidecar, which Open can live with, and never one with a wrong sidecar.
	if err := s.removeFile(sidecarName(key)); err != nil {
		return Info{}, err
	}
	if err := s.moveTo(temp, key); err != nil {
		return Info{}, err
	}
	if err := s.moveTo(sideTemp, sidecarName(key)); err != nil {
		return Info{}, err
	}
	s.syncDir(path.Dir(key))
	st, err := s.root.Stat(key)
	if err != nil {
		return Info{}, fmt.Errorf("media: %w", err)
	}
	return side.info(key, st.ModTime()), nil
}

// Open gives a result for reading. Errors: ErrBadKey, ErrNotFound. The caller
// closes what it gets; deleting the result meanwhile does not disturb it.
func (s *Local) Open(_ context.Context, key string) (io.ReadSeekCloser, Info, error) {
	if err := CheckKey(key); err != nil {
		return nil, Info{}, err
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, Info{}, notFound(err)
	}
	info, err := s.info(f, key)
	if err != nil {
		_ = f.Close() // only read from
		return nil, Info{}, err
	}
	return f, info, nil
}

// Delete removes a result. That it is not there is no error.
func (s *Local) Delete(_ context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := s.removeFile(key); err != nil {
		return err
	}
	if err := s.removeFile(sidecarName(key)); err != nil {
		return err
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if s.root.Remove(dir) != nil { // not empty, or gone
			break
		}
	}
	return nil
}

// info describes an open result: from its sidecar, or, where that is missing
// or does not fit, from the content itself.
func (s *Local) info(f *os.File, key string) (Info, error) {
	st, err := f.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("media: %w", err)
	}
	if !st.Mode().IsRegular() {
		return Info{}, ErrNotFound
	}
	var side sidecar
	if b, err := s.root.ReadFile(sidecarName(key)); err == nil && json.Unmarshal(b, &side) == nil &&
		side.Bytes == st.Size() && len(side.SHA256) == 2*sha256.Size {
		return side.info(key, st.ModTime()), nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return Info{}, fmt.Errorf("media: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Info{}, fmt.Errorf("media: %w", err)
	}
	side = sidecar{ContentType: typeOf(key), Bytes: st.Size(), SHA256: hex.EncodeToString(sum.Sum(nil))}
	return side.info(key, st.ModTime()), nil
}

func (c sidecar) info(key string, mod time.Time) Info {
	return Info{Key: key, ContentType: c.ContentType, Bytes: c.Bytes, SHA256: c.SHA256, ModTime: mod}
}

// typeOf is the content type that a key's ending tells.
func typeOf(key string) string {
	switch ext := path.Ext(key); ext {
	case ".webm":
		return "video/webm"
	case ".png":
		return "image/png"
	default:
		if t := mime.TypeByExtension(ext); t != "" {
			return t
		}
		return "application/octet-stream"
	}
}

func sidecarName(key string) string {
	dir, name := path.Split(key)
	return dir + "." + name + ".json"
}

func (s *Local) writeSidecar(c sidecar) (temp string, err error) {
	return s.writeTemp(func(w io.Writer) error { return json.NewEncoder(w).Encode(c) })
}

// writeTemp writes a file of its own into tempDir and syncs it to the disk.
// On an error nothing remains.
func (s *Local) writeTemp(write func(io.Writer) error) (name string, err error) {
	name = tempDir + "/" + rand.Text()
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return "", fmt.Errorf("media: %w", err)
	}
	if err = write(s.wrap(f)); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		s.discard(name)
		return "", err
	}
	return name, nil
}

// discard removes a temporary file, where it has not been moved to its place.
func (s *Local) discard(name string) { _ = s.root.Remove(name) } // sweep gets what remains

func (s *Local) moveTo(temp, name string) error {
	// A Delete may remove the empty folder at any moment: while it is made
	// ("exists", but not any more) and before the rename. Hence again.
	var err error
	for range 100 {
		if dir := path.Dir(name); dir != "." {
			err = s.root.MkdirAll(dir, dirMode)
		}
		if err == nil {
			if err = s.root.Rename(temp, name); err == nil {
				return nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return fmt.Errorf("media: %w", err)
}

func (s *Local) removeFile(name string) error {
	err := s.root.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return fmt.Errorf("media: %w", err)
}

// syncDir makes renames into a folder, and the folder itself, last over a power
// failure, on systems that can sync folders.
func (s *Local) syncDir(dir string) {
	for {
		if f, err := s.root.Open(dir); err == nil {
			_ = f.Sync() // not every system can
			_ = f.Close()
		}
		if dir == "." {
			return
		}
		dir = path.Dir(dir)
	}
}

// sweep removes temporary files last written to before a time.
func (s *Local) sweep(before time.Time) {
	entries, err := fs.ReadDir(s.root.FS(), tempDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().Before(before) {
			s.discard(tempDir + "/" + e.Name())
		}
	}
}

// copyAll is io.Copy that stops when ctx ends and hashes as it goes.
func copyAll(ctx context.Context, w io.Writer, r io.Reader, sum hash.Hash) (n int64, err error) {
	buf := make([]byte, 64<<10)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		k, rerr := r.Read(buf)
		if k > 0 {
			_, _ = sum.Write(buf[:k]) // hashes do not fail
			if _, err := w.Write(buf[:k]); err != nil {
				return n, fmt.Errorf("media: %w", err)
			}
			n += int64(k)
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

func notFound(err error) error {
	// A component of the path may be a file: then there is no such result.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || strings.Contains(err.Error(), "path escapes") {
		return ErrNotFound
	}
	return fmt.Errorf("media: %w", err)
}

// isFull reports whether an error means that a disk or a quota is used up.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

var _ Store = (*Local)(nil)
