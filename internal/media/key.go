package media

import (
	"errors"
	"path/filepath"
	"strings"
)

// ErrBadKey is returned for a key that CheckKey does not allow.
var ErrBadKey = errors.New("media: the key is malformed")

const (
	maxKey     = 255
	maxSegment = 128
)

// CheckKey reports whether key can name a result: segments of letters, digits,
// "-", "_" and ".", separated by single slashes, none of them beginning with a
// dot; at most 255 bytes, 128 a segment. So a key is a relative path on every
// system, needs no escaping in a URL, and cannot climb out of a folder or
// collide with a store's own files, whose names begin with a dot.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > maxKey || !filepath.IsLocal(filepath.FromSlash(key)) {
		return ErrBadKey
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "" || len(seg) > maxSegment || seg[0] == '.' || seg[len(seg)-1] == '.' {
			return ErrBadKey
		}
		for i := range len(seg) {
			switch c := seg[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			default:
				return ErrBadKey
			}
		}
	}
	return nil
}
