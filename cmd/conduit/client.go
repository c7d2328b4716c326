package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/server"
)

// remote are the flags of commands that talk to a server.
type remote struct {
	Server string `placeholder:"URL" help:"Address of the server (CONDUIT_URL); default: the one of this data folder."`
	Key    string `placeholder:"KEY" help:"Virtual key; better in CONDUIT_API_KEY, where others cannot see it. Default: the first key of this data folder."`
}

// client talks to a server over its public surface.
type client struct {
	base string // without a slash at its end
	key  string
	from string // where the key came from, for errors
	http *http.Client
}

// connect finds out which server and key are meant. A key of the data folder
// is given to the server of that folder alone.
func (p *program) connect(r remote) (*client, error) {
	c := &client{base: cmp.Or(r.Server, p.getenv("CONDUIT_URL")), http: &http.Client{}}
	switch {
	case r.Key != "":
		c.key, c.from = r.Key, "--key"
	case p.getenv("CONDUIT_API_KEY") != "":
		c.key, c.from = p.getenv("CONDUIT_API_KEY"), "CONDUIT_API_KEY"
	}
	if c.base == "" || c.key == "" {
		settings, err := p.load()
		if err != nil {
			return nil, err
		}
		local, err := server.FindLocal(settings)
		if err != nil {
			return nil, err
		}
		if c.base == "" {
			c.base = local.URL
		}
		if c.key == "" && sameServer(c.base, local.URL) {
			c.key, c.from = local.APIKey, local.APIKeyFile
		}
		if c.key == "" {
			return nil, fmt.Errorf("no virtual key for %s; give one with CONDUIT_API_KEY or --key (conduit keys create makes one)", c.base)
		}
	}
	u, err := url.Parse(c.base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of a server; write http://127.0.0.1:5000", c.base)
	}
	c.base = strings.TrimRight(c.base, "/")
	return c, nil
}

func sameServer(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Host, y.Host)
}

// apiError is an error that the server answered with.
type apiError struct {
	Status  int
	Code    string
	Message string
	hint    string
}

func (e *apiError) Error() string {
	text := e.Message
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	return text + e.hint
}

// call sends a request with a JSON body, or none, and reads the JSON answer.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, body, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or not needed
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(out); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", c.base, err)
	}
	return nil
}

// do sends a request; an answer that is no success is an error.
func (c *client) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // an error is reported already
	return nil, c.refused(resp)
}

func (c *client) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("no server answers at %s (%w); start one with: conduit serve", c.base, op.Err)
	}
	return fmt.Errorf("%s cannot be reached: %w", c.base, err)
}

func (c *client) refused(resp *http.Response) error {
	var body struct {
		Error struct{ Message, Code string }
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what came is shown
	e := &apiError{Status: resp.StatusCode}
	if json.Unmarshal(b, &body) == nil && body.Error.Message != "" {
		e.Message, e.Code = body.Error.Message, body.Error.Code
	} else {
		e.Message = fmt.Sprintf("%s answered %s; is that a Conduit?", c.base, resp.Status)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		e.hint = "; the key came from " + c.from
	}
	return e
}

// task is what commands read of a task's status.
type taskStatus struct {
	TaskID    string    `json:"task_id"`
	Kind      string    `json:"kind"`
	Model     string    `json:"model"`
	Status    string    `json:"status"`
	Progress  int       `json:"progress"`
	Prompt    string    `json:"prompt"`
	Error     string    `json:"error"`
	CreatedAt time.Time `json:"created_at"`
	Seed      int64     `json:"seed"`
	Result    *struct {
		Data []struct {
			URL      string `json:"url"`
			Metadata struct {
				Format        string `json:"format"`
				FileSizeBytes int64  `json:"file_size_bytes"`
			} `json:"metadata"`
		} `json:"data"`
	} `json:"result"`
}

func (c *client) status(ctx context.Context, id string) (taskStatus, error) {
	var t taskStatus
	err := c.call(ctx, http.MethodGet, "/v1/tasks/"+url.PathEscape(id), nil, &t)
	return t, err
}
