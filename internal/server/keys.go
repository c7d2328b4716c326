package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/store"
)

// Keys works on the keys of a data folder, also while a server runs on it;
// that server notices within a second.
type Keys struct {
	config *config.Config
	store  *store.Store
	folder string
}

// KeyInfo is a key as it is shown to people.
type KeyInfo struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"` // first characters of the key
	Scopes     []string   `json:"scopes"`
	State      string     `json:"state"` // "active", "expired" or "revoked"
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"` // written about once a minute
}

// ErrNoKey is returned when nothing fits the key that was named.
var ErrNoKey = errors.New("there is no such key")

// OpenKeys opens the keys of c's data folder, which is made where there is
// none.
func OpenKeys(ctx context.Context, c *config.Config) (*Keys, error) {
	folder, err := filepath.Abs(c.DataFolder)
	if err != nil {
		return nil, fmt.Errorf("the data folder %s has no absolute path: %w", c.DataFolder, err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder cannot be made: %w", err)
	}
	st, err := store.Open(ctx, store.Options{Path: databasePath(folder), Readers: 1})
	if err != nil {
		return nil, fmt.Errorf("the database in %s cannot be opened: %w", folder, err)
	}
	return &Keys{config: c, store: st, folder: folder}, nil
}

// Close closes the database.
func (k *Keys) Close() error { return k.store.Close() }

// Create makes a key and returns its secret, which can never be shown again.
// expires zero means never; no scopes mean video, image and navigation.
func (k *Keys) Create(ctx context.Context, name string, scopes []string, expires time.Time) (KeyInfo, string, error) {
	list := key.DefaultScopes()
	if len(scopes) > 0 {
		list = nil
		for _, s := range scopes {
			list = append(list, key.Scope(s))
		}
	}
	made, secret, err := key.New(key.Options{Name: name, Scopes: list, ExpiresAt: expires})
	if err != nil {
		return KeyInfo{}, "", errors.New(strings.TrimPrefix(err.Error(), key.ErrInvalid.Error()+": ")) // for people
	}
	if err := k.store.CreateKey(ctx, made); err != nil {
		return KeyInfo{}, "", fmt.Errorf("the key cannot be stored: %w", err)
	}
	return info(made), secret, nil
}

// List returns all keys, oldest first.
func (k *Keys) List(ctx context.Context) ([]KeyInfo, error) {
	all, err := k.store.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("the keys cannot be read: %w", err)
	}
	out := make([]KeyInfo, len(all))
	for i, x := range all {
		out[i] = info(x)
	}
	return out, nil
}

// Show finds a key by its id, its name, its first characters, or itself.
func (k *Keys) Show(ctx context.Context, which string) (KeyInfo, error) {
	x, err := k.find(ctx, which)
	if err != nil {
		return KeyInfo{}, err
	}
	return info(x), nil
}

// Revoke takes a key back, for good. Revoking it again is no error.
func (k *Keys) Revoke(ctx context.Context, which string) (KeyInfo, error) {
	x, err := k.find(ctx, which)
	if err != nil {
		return KeyInfo{}, err
	}
	if err := k.store.RevokeKey(ctx, x.ID, time.Now().UTC()); err != nil {
		return KeyInfo{}, fmt.Errorf("the key cannot be revoked: %w", err)
	}
	return k.Show(ctx, x.ID)
}

// Login makes a link that opens the console signed in, once, within ten
// minutes. which "" takes the oldest key that counts.
func (k *Keys) Login(ctx context.Context, which string) (link string, err error) {
	var x key.Key
	if which != "" {
		if x, err = k.find(ctx, which); err != nil {
			return "", err
		}
		if !x.Usable(time.Now()) {
			return "", fmt.Errorf("the key %s (%s) is %s", x.ID, x.Name, info(x).State)
		}
	} else {
		all, err := k.store.ListKeys(ctx)
		if err != nil {
			return "", fmt.Errorf("the keys cannot be read: %w", err)
		}
		i := slices.IndexFunc(all, func(x key.Key) bool { return x.Usable(time.Now()) })
		if i < 0 {
			return "", fmt.Errorf("%w that counts in %s; make one: conduit keys create --name NAME", ErrNoKey, k.folder)
		}
		x = all[i]
	}
	code, _, err := key.NewLoginCode(ctx, k.store, x.ID)
	if err != nil {
		return "", fmt.Errorf("the link cannot be made: %w", err)
	}
	local, err := FindLocal(k.config)
	if err != nil {
		return "", err
	}
	return loginLink(base(k.config, local.URL), code), nil
}

func (k *Keys) find(ctx context.Context, which string) (key.Key, error) {
	all, err := k.store.ListKeys(ctx)
	if err != nil {
		return key.Key{}, fmt.Errorf("the keys cannot be read: %w", err)
	}
	hash := key.HashOf(which)
	var found []key.Key
	for _, x := range all {
		if x.ID == which || x.Hash == hash {
			return x, nil
		}
		if x.Name == which || len(which) > len(key.Prefix) && strings.HasPrefix(x.Display, which) {
			found = append(found, x)
		}
	}
	switch len(found) {
	case 0:
		return key.Key{}, fmt.Errorf("%w: %q; conduit keys list shows all", ErrNoKey, shown(which))
	case 1:
		return found[0], nil
	}
	return key.Key{}, fmt.Errorf("%q fits %d keys; name one by its id", which, len(found))
}

// shown hides a key that was typed where its id was meant.
func shown(which string) string {
	if strings.HasPrefix(which, key.Prefix) && len(which) > len(key.Prefix)+6 {
		return which[:len(key.Prefix)+6] + "..."
	}
	return which
}

func info(x key.Key) KeyInfo {
	out := KeyInfo{ID: x.ID, Name: x.Name, Prefix: x.Display, State: "active", CreatedAt: x.CreatedAt,
		ExpiresAt: when(x.ExpiresAt), RevokedAt: when(x.RevokedAt), LastUsedAt: when(x.LastUsedAt)}
	for _, s := range x.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	switch {
	case x.Revoked():
		out.State = "revoked"
	case x.Expired(time.Now()):
		out.State = "expired"
	}
	return out
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// localOf is where a server with these settings can be reached from here.
func localOf(c *config.Config) (string, error) {
	addresses := c.Listen()
	if len(addresses) == 0 {
		return "", fmt.Errorf("Urls names no address: %q", c.URLs) //nolint:staticcheck // the name of the setting
	}
	host, port, err := net.SplitHostPort(addresses[0].Address)
	if err != nil {
		return "", err
	}
	scheme := "http://"
	if addresses[0].TLS {
		scheme = "https://"
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port), nil
}
