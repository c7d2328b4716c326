package key

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lost
		if l.Has("a") {
			t.Error("a key is lost before it was")
		}
		l.Add("a")
		time.Sleep(lostFor - time.Second)
		l.Add("b")
		if !l.Has("a") || !l.Has("b") || l.Has("c") {
			t.Error("not the keys that were lost")
		}
		time.Sleep(time.Second)
		if l.Has("a") || !l.Has("b") {
			t.Error("the older one should be forgotten, the younger not")
		}
		if l.Add("c"); len(l.at) != 2 {
			t.Errorf("%d keys are remembered", len(l.at))
		}
	})
}
