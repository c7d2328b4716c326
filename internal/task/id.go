package task

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

const idDigits = 32 // hexadecimal digits of an id's random core

// newID makes an id that cannot be guessed: "task_" and 128 random bits.
func newID() string {
	var b [idDigits / 2]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return "task_" + hex.EncodeToString(b[:])
}

// ParseID gives the stored form of an id as clients write it: task_<core>, or
// video_<core> as the OpenAI view shows it (rest-api C.1). It reports false
// for anything that cannot be an id.
func ParseID(s string) (string, bool) {
	core, ok := strings.CutPrefix(s, "task_")
	if !ok {
		core, ok = strings.CutPrefix(s, "video_")
	}
	if !ok || len(core) != idDigits {
		return "", false
	}
	for _, c := range []byte(core) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return "task_" + core, true
}
