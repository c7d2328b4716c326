package main

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has many tests run beside each other, since most of what they do is
// wait, and looks for goroutines that they have left behind.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
