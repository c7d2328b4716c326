package media

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// LinkPath is where links point to on a server, before the key.
const LinkPath = "/v1/media/"

// DefaultLinkTTL is how long a link is valid when nothing else is asked for.
const DefaultLinkTTL = time.Hour

// Signer mints links to results and checks them. A link names the key and the
// second from which on it is invalid, and carries an HMAC-SHA256 over both.
// Whoever has the link may read the result until then. Safe for concurrent
// use.
type Signer struct {
	secret []byte
	ttl    time.Duration
}

// NewSigner makes a Signer. The secret should be 32 random bytes
// (LoadOrCreateSecret); one shorter than 16 panics, because it would make every
// link worthless. A ttl of 0 means DefaultLinkTTL.
func NewSigner(secret []byte, ttl time.Duration) *Signer {
	if len(secret) < 16 {
		panic("media: the secret of a signer must have at least 16 bytes")
	}
	if ttl == 0 {
		ttl = DefaultLinkTTL
	}
	return &Signer{secret: append([]byte(nil), secret...), ttl: ttl}
}

// URL is a link to key under baseURL (scheme and host, perhaps a path; a slash
// at its end does not matter), valid from now for the signer's time to live.
func (s *Signer) URL(baseURL, key string, now time.Time) string {
	exp := strconv.FormatInt(now.Add(s.ttl).Unix(), 10)
	return strings.TrimSuffix(baseURL, "/") + LinkPath + key + "?exp=" + exp + "&sig=" + s.sign(key, exp)
}

// Verify checks what a request for key carried. It returns ErrBadLink when
// anything about it is not as URL wrote it, and ErrExpired when it was once
// right. It takes the same time whatever is wrong with the signature.
func (s *Signer) Verify(key, exp, sig string, now time.Time) error {
	until, err := parseExp(exp)
	if err != nil || CheckKey(key) != nil {
		return ErrBadLink
	}
	if !hmac.Equal([]byte(sig), []byte(s.sign(key, exp))) {
		return ErrBadLink
	}
	if !now.Before(until) {
		return ErrExpired
	}
	return nil
}

// parseExp reads unix seconds in the one form that URL writes: decimal digits
// without sign, zeros in front, or more than the year 9999 needs.
func parseExp(exp string) (time.Time, error) {
	if len(exp) == 0 || len(exp) > 12 || exp[0] == '0' {
		return time.Time{}, ErrBadLink
	}
	for i := range len(exp) {
		if exp[i] < '0' || exp[i] > '9' {
			return time.Time{}, ErrBadLink
		}
	}
	n, err := strconv.ParseInt(exp, 10, 64)
	if err != nil {
		return time.Time{}, ErrBadLink
	}
	return time.Unix(n, 0), nil
}

// sign is over "exp\nkey": exp has no line break, so no two pairs read alike.
func (s *Signer) sign(key, exp string) string {
	mac := hmac.New(sha256.New, s.secret)
	_, _ = mac.Write([]byte("conduit media link\n" + exp + "\n" + key)) // hashes do not fail
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// secretSize is the length of a created secret, bytes.
const secretSize = 32

// LoadOrCreateSecret reads the secret in file, or makes one of 32 random
// bytes, readable by the owner only, when there is none. Of several processes
// that start at once all get the same. A file of another length is an error
// that names it, because replacing it would make every link invalid.
func LoadOrCreateSecret(file string) ([]byte, error) {
	for range 2 {
		secret, err := os.ReadFile(file)
		if err == nil {
			if len(secret) != secretSize {
				return nil, fmt.Errorf("media: %s has %d bytes, not %d; remove it to have a new one made, which ends all links", file, len(secret), secretSize)
			}
			return secret, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("media: %w", err)
		}
		if err := createSecret(file); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("media: %w", err)
		}
	}
	return nil, fmt.Errorf("media: %s cannot be read after it was made", file)
}

// createSecret makes the file complete or not at all: fs.ErrExist when another
// process was first.
func createSecret(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), dirMode); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // after Link it has a second name
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	_, err = f.Write(secret)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	err = os.Link(f.Name(), file) // unlike Rename it does not replace
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without links. Look again, since then the last one wins.
	if _, err := os.Stat(file); err == nil {
		return fs.ErrExist
	}
	return os.Rename(f.Name(), file)
}
