package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/knnlabs/conduit/internal/config"
)

// presence is what a running server leaves in its data folder, so that the
// command line finds it and a second server can say who is there.
type presence struct {
	PID int    `json:"pid"`
	URL string `json:"url"` // under which this machine reaches it
}

func presencePath(folder string) string { return filepath.Join(folder, "server.json") }

func readPresence(folder string) (presence, error) {
	var p presence
	err := readJSON(presencePath(folder), &p)
	return p, err
}

// credentials is the file by which the command line on the same machine has a
// key at once: the first one. Who can read the data folder can make keys
// anyway.
type credentials struct {
	APIKey string `json:"apiKey"`
}

func credentialsPath(folder string) string { return filepath.Join(folder, "credentials.json") }

// Local is what the command line on this machine can find out by itself.
type Local struct {
	URL        string // of the server that runs, else where one would listen
	Running    bool   // a server has left its address in the data folder
	APIKey     string // of the first start; "" when there is none
	APIKeyFile string // where it stands
}

// FindLocal looks into the data folder of c. What is missing there is no
// error.
func FindLocal(c *config.Config) (Local, error) {
	folder, err := filepath.Abs(c.DataFolder)
	if err != nil {
		return Local{}, err
	}
	l := Local{URL: "http://127.0.0.1:5000", APIKeyFile: credentialsPath(folder)}
	if u, err := localOf(c); err == nil {
		l.URL = u
	}
	p, err := readPresence(folder)
	switch {
	case err == nil:
		l.URL, l.Running = p.URL, true
	case !errors.Is(err, fs.ErrNotExist):
		return l, err
	}
	var k credentials
	if err := readJSON(l.APIKeyFile, &k); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	l.APIKey = k.APIKey
	return l, nil
}

func readJSON(name string, into any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return nil
}

// writeJSON writes a file for this user alone, complete or not at all.
func writeJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error says more
	}
	return err
}
