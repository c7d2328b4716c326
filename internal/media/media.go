// Package media keeps results and gives out signed, expiring links to them.
package media

import (
	"context"
	"errors"
	"io"
	"time"
)

// Info describes a stored result.
type Info struct {
	Key         string // e.g. "task_0f3b…/0.webm"; url-path safe
	ContentType string
	Bytes       int64
	SHA256      string // hexadecimal
	ModTime     time.Time
}

// Store keeps results. Safe for concurrent use. A Put that fails or is cut
// short leaves nothing behind.
type Store interface {
	Put(ctx context.Context, key, contentType string, r io.Reader) (Info, error)
	Open(ctx context.Context, key string) (io.ReadSeekCloser, Info, error)
	Delete(ctx context.Context, key string) error
}

// Errors.
var (
	ErrNotFound = errors.New("media: no such result")
	ErrFull     = errors.New("media: the disk is full")
	ErrBadLink  = errors.New("media: the link is invalid")
	ErrExpired  = errors.New("media: the link has expired")
)
