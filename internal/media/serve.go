package media

import (
	"errors"
	"net/http"
	"path"
	"strings"
)

// Serve answers a GET or HEAD for the result under key, with Range and
// conditional requests as net/http does them. It checks no link and no key of
// a caller. The ETag is the content's SHA-256; the answer may be kept by the
// browser for as long as it likes, but by nobody in between, because results
// never change and links are personal.
//
// When there is nothing to serve it writes nothing and returns ErrNotFound
// (also for a malformed key) or another error, so that the caller answers in
// its own form.
func Serve(w http.ResponseWriter, r *http.Request, store Store, key string) error {
	f, info, err := store.Open(r.Context(), key)
	if err != nil {
		if errors.Is(err, ErrBadKey) {
			return ErrNotFound
		}
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	h := w.Header()
	h.Set("Content-Type", info.ContentType)
	h.Set("ETag", `"`+info.SHA256+`"`)
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", `inline; filename="`+fileName(key)+`"`)
	http.ServeContent(w, r, "", info.ModTime, f)
	return nil
}

// fileName is what a browser that saves the result should call it: the whole
// key, since its last part alone ("0.webm") says nothing. Keys need no
// escaping in a header.
func fileName(key string) string {
	return strings.ReplaceAll(path.Clean(key), "/", "-")
}
