package local

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/knnlabs/conduit/internal/provider"
)

const (
	idPrefix    = "local_"
	idDigits    = 32 // hexadecimal
	requestFile = "request.json"
)

// idOf is the provider's id for an intent. It says nothing about the intent.
func idOf(intent string) string {
	sum := sha256.Sum256([]byte(intent))
	return idPrefix + hex.EncodeToString(sum[:idDigits/2])
}

// validID keeps foreign ids from becoming paths.
func validID(id string) bool {
	digits, ok := strings.CutPrefix(id, idPrefix)
	return ok && len(digits) == idDigits && strings.Trim(digits, "0123456789abcdef") == ""
}

// validRef is the same for the names of results.
func validRef(ref string) bool {
	number, ok := strings.CutSuffix(ref, ".webm")
	if !ok {
		number, ok = strings.CutSuffix(ref, ".png")
	}
	return ok && number != "" && len(number) < 4 && strings.Trim(number, "0123456789") == ""
}

func (r *Renderer) dirOf(id string) string { return filepath.Join(r.opts.Dir, id) }

// saveRequest makes a generation's folder and its request file, which is
// complete or not there.
func (r *Renderer) saveRequest(id string, q provider.Request) error {
	b, err := json.MarshalIndent(q, "", "\t")
	if err != nil {
		return err
	}
	_, statErr := os.Stat(r.dirOf(id))
	if err := os.MkdirAll(r.dirOf(id), 0o700); err != nil {
		return err
	}
	err = r.writeFile(filepath.Join(r.dirOf(id), requestFile), func(f file) error {
		_, err := f.Write(b)
		return err
	})
	if err != nil && statErr != nil {
		r.removeFiles(id) // the folder is ours
	}
	return err
}

// loadRequest reads a request file. Where there is none the task is unknown.
func (r *Renderer) loadRequest(id string) (q provider.Request, err error) {
	if !validID(id) {
		return q, provider.ErrUnknownTask
	}
	b, err := os.ReadFile(filepath.Join(r.dirOf(id), requestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return q, provider.ErrUnknownTask
	}
	if err != nil {
		return q, fmt.Errorf("local: %w", err)
	}
	if err := json.Unmarshal(b, &q); err != nil {
		return q, fmt.Errorf("local: the request file of %s: %w", id, err)
	}
	return q, nil
}

// file is what results are written to.
type file interface {
	io.Writer
	io.WriterAt
}

// writeFile makes a file that appears under its name all at once, when it is
// complete and on the disk. After an error, or a panic of write, nothing of it
// is left.
func (r *Renderer) writeFile(name string, write func(file) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.part")
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			_ = f.Close() // an earlier error says more
			_ = os.Remove(f.Name())
		}
	}()
	var w file = f
	if r.opts.wrap != nil {
		w = r.opts.wrap(f)
	}
	if err := write(w); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	done = true
	syncDir(filepath.Dir(name))
	return nil
}

// syncDir makes a rename last over a power failure, where the system can.
func syncDir(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		_ = f.Close()
	}
}

func (r *Renderer) removeFiles(id string) {
	if err := os.RemoveAll(r.dirOf(id)); err != nil {
		r.opts.Logger.Warn("Files of a generation remain.", "provider_task", id, "error", err)
	}
}

// oldIDs are the generations whose folder was last changed before a time.
func (r *Renderer) oldIDs(before time.Time) (ids []string) {
	entries, err := os.ReadDir(r.opts.Dir)
	if err != nil {
		r.opts.Logger.Warn("The renderer's folder cannot be read.", "error", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && validID(e.Name()) && info.ModTime().Before(before) {
			ids = append(ids, e.Name())
		}
	}
	return ids
}

// isFull reports whether an error means that a disk or a quota is used up.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
