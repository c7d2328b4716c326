package key

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNew(t *testing.T) {
	k, secret, err := New(Options{Name: "  a name ", Scopes: []Scope{"VIDEO", "image", "video"}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(secret, Prefix))
	if err != nil || len(raw) != 32 || !strings.HasPrefix(secret, Prefix) {
		t.Errorf("the secret %q is not condt_ and 32 bytes of base64url", secret)
	}
	if k.Hash != HashOf(secret) || !strings.HasPrefix(secret, k.Display) || len(k.Display) > 12 {
		t.Errorf("hash or display do not fit: %+v", k)
	}
	if k.Name != "a name" || !cmp.Equal(k.Scopes, []Scope{ScopeVideo, ScopeImage}) || !k.ExpiresAt.IsZero() {
		t.Errorf("got %+v", k)
	}
	other, otherSecret, err := New(Options{Name: "x", Scopes: DefaultScopes()})
	if err != nil || other.ID == k.ID || otherSecret == secret {
		t.Errorf("two keys are alike: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no name":         {Scopes: DefaultScopes()},
		"blank name":      {Name: " \t ", Scopes: DefaultScopes()},
		"long name":       {Name: strings.Repeat("ä", MaxName+1), Scopes: DefaultScopes()},
		"control":         {Name: "a\x1b[31m", Scopes: DefaultScopes()},
		"not utf-8":       {Name: "a\xff", Scopes: DefaultScopes()},
		"no scope":        {Name: "a"},
		"unknown scope":   {Name: "a", Scopes: []Scope{"root"}},
		"expired already": {Name: "a", Scopes: DefaultScopes(), ExpiresAt: time.Now().Add(-time.Second)},
	} {
		if _, _, err := New(o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := New(Options{Name: strings.Repeat("ä", MaxName), Scopes: AllScopes()}); err != nil {
		t.Errorf("a name of 100 characters: %v", err)
	}
}
