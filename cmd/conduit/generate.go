package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"unicode"
)

type generateCommand struct {
	Video generateVideo `cmd:"" help:"Generate a video."`
	Image generateImage `cmd:"" help:"Generate an image."`
}

// generation are the flags that both kinds share.
type generation struct {
	remote  `embed:""`
	Prompt  string `arg:"" help:"What to show."`
	Watch   bool   `short:"w" help:"Watch until the task ends."`
	Output  string `short:"o" placeholder:"FILE" type:"path" help:"Save the result here (and watch until it is there)."`
	Model   string `placeholder:"ID" help:"Model; default: the server's default of the kind."`
	Size    string `placeholder:"WxH" help:"Width and height in pixels, such as 640x360."`
	Seed    *int64 `placeholder:"N" help:"The same prompt and seed give the same result."`
	Timeout int    `placeholder:"SECONDS" help:"The task ends as timed out after this."`
}

type generateVideo struct {
	generation `embed:""`
	Duration   int `placeholder:"SECONDS" help:"Length of the video."`
	FPS        int `name:"fps" placeholder:"N" help:"Frames a second."`
}

type generateImage struct {
	generation `embed:""`
}

func (c *generateVideo) Run(p *program) error {
	body := c.body()
	if c.Duration != 0 {
		body["duration"] = c.Duration
	}
	if c.FPS != 0 {
		body["fps"] = c.FPS
	}
	return c.submit(p, "/v1/videos/generations/async", body)
}

func (c *generateImage) Run(p *program) error {
	return c.submit(p, "/v1/images/generations/async", c.body())
}

// body holds what was said; all else is the server's default.
func (g *generation) body() map[string]any {
	body := map[string]any{"prompt": g.Prompt}
	if g.Model != "" {
		body["model"] = g.Model
	}
	if g.Size != "" {
		body["size"] = g.Size
	}
	if g.Seed != nil {
		body["seed"] = *g.Seed
	}
	if g.Timeout != 0 {
		body["timeout_seconds"] = g.Timeout
	}
	return body
}

func (g *generation) submit(p *program, path string, body map[string]any) error {
	c, err := p.connect(g.remote)
	if err != nil {
		return err
	}
	var accepted struct {
		TaskID string `json:"task_id"`
	}
	if err := c.call(p.ctx, http.MethodPost, path, body, &accepted); err != nil {
		return err
	}
	if !g.Watch && g.Output == "" {
		if err := p.say("%s", accepted.TaskID); err != nil {
			return err
		}
		p.note("Watch it: conduit watch %s", accepted.TaskID)
		return nil
	}
	p.note("%s", accepted.TaskID)
	return p.watch(c, accepted.TaskID, g.Output)
}

type watchCommand struct {
	remote `embed:""`
	Task   string `arg:"" help:"Id of the task."`
	Output string `short:"o" placeholder:"FILE" type:"path" help:"Save the result here."`
}

func (w *watchCommand) Run(p *program) error {
	c, err := p.connect(w.remote)
	if err != nil {
		return err
	}
	return p.watch(c, w.Task, w.Output)
}

// watch shows a task's progress until it ends, and prints or saves its
// result. A signal ends the watching, not the task.
func (p *program) watch(c *client, id, output string) error {
	t, err := c.status(p.ctx, id)
	if err != nil {
		return err
	}
	bar := newBar(p.err)
	end, err := c.follow(p.ctx, t, bar.show)
	bar.done()
	switch {
	case errors.Is(err, context.Canceled):
		p.note("The task runs on. Watch it again: conduit watch %s", id)
		return &exitCode{code: exitInterrupted}
	case err != nil:
		return err
	case end.failed():
		return &exitCode{code: exitTaskFailed, err: errors.New(end.outcome())}
	}
	if t, err = c.status(p.ctx, id); err != nil {
		return err
	}
	if t.Result == nil || len(t.Result.Data) == 0 {
		return errors.New("the task is done, but its answer holds no result")
	}
	if output == "" {
		for _, d := range t.Result.Data {
			if err := p.say("%s", d.URL); err != nil {
				return err
			}
		}
		return nil
	}
	for i, d := range t.Result.Data {
		name := output
		if i > 0 {
			ext := filepath.Ext(output)
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(output, ext), i+1, ext)
		}
		if err := c.download(p.ctx, d.URL, name); err != nil {
			p.note("The result is there: %s", d.URL)
			return err
		}
		if err := p.say("%s", name); err != nil {
			return err
		}
	}
	return nil
}

// download saves what a signed link leads to, complete or not at all.
func (c *client) download(ctx context.Context, link, name string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil) // the link is its own permission
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".conduit-*")
	if err != nil {
		return fmt.Errorf("%s cannot be saved: %w", name, errors.Unwrap(err))
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error says more
		}
	}()
	_, err = io.Copy(f, resp.Body)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("%s cannot be saved: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

type tasksCommand struct {
	remote `embed:""`
	Limit  int    `default:"20" help:"How many, 1 to 100."`
	After  string `placeholder:"TASK" help:"Only tasks older than this one."`
	Status string `placeholder:"STATE" help:"Only pending, running, completed, failed, cancelled or timed_out; commas between several."`
	Kind   string `placeholder:"KIND" help:"Only video or image."`
	JSON   bool   `help:"Print the server's JSON."`
}

func (c *tasksCommand) Run(p *program) error {
	conn, err := p.connect(c.remote)
	if err != nil {
		return err
	}
	q := url.Values{"limit": {fmt.Sprint(c.Limit)}}
	for name, v := range map[string]string{"after": c.After, "status": c.Status, "kind": c.Kind} {
		if v != "" {
			q.Set(name, v)
		}
	}
	path := "/v1/tasks?" + q.Encode()
	if c.JSON {
		var raw any
		if err := conn.call(p.ctx, http.MethodGet, path, nil, &raw); err != nil {
			return err
		}
		return p.json(raw)
	}
	var page struct {
		Data    []taskStatus `json:"data"`
		HasMore bool         `json:"has_more"`
	}
	if err := conn.call(p.ctx, http.MethodGet, path, nil, &page); err != nil {
		return err
	}
	t := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "TASK\tKIND\tSTATE\t%\tCREATED\tPROMPT") // Flush reports
	for _, x := range page.Data {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", x.TaskID, x.Kind, x.Status, x.Progress, date(&x.CreatedAt), oneLine(x.Prompt, 50))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if page.HasMore && len(page.Data) > 0 {
		p.note("More: conduit tasks --after %s", page.Data[len(page.Data)-1].TaskID)
	}
	return nil
}

// oneLine cuts s to n characters that a terminal can show.
func oneLine(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
