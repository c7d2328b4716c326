package backplanetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/knnlabs/conduit/signalr"
	"github.com/knnlabs/conduit/signalr/backplane/backplanetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryBackplane(t *testing.T) {
	backplanetest.Run(t, func(*testing.T) (a, b signalr.Backplane) {
		plane := &signalr.MemoryBackplane{}
		return plane, plane
	})
}
