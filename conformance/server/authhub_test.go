package main

import (
	"testing"
	"time"
)

func TestParseToken(t *testing.T) {
	now := time.Unix(1000, 0)
	tests := []struct {
		token string
		user  string
		ends  int64 // unix seconds; 0: refused
	}{
		{"alice:3", "alice", 1003},
		{"a b:3600", "a b", 4600},
		{"", "", 0},
		{"alice", "", 0},
		{"alice:", "", 0},
		{":3", "", 0},
		{"alice:0", "", 0},
		{"alice:-1", "", 0},
		{"alice:1.5", "", 0},
		{"alice:x", "", 0},
		{"alice:3:4", "", 0},
		{"alice:99999999999", "", 0},
	}
	for _, test := range tests {
		c, ok := parseToken(test.token, now)
		if ok != (test.ends != 0) || c.user != test.user || ok && c.ends.Unix() != test.ends {
			t.Errorf("%q: %v %v", test.token, c, ok)
		}
	}
}
