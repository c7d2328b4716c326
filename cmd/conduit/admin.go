package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/internal/server"
)

// serverFlags are settings that have a flag of their own.
type serverFlags struct {
	Urls      string `placeholder:"URL" help:"Addresses to listen on (Urls), such as http://127.0.0.1:5000."`
	PublicUrl string `placeholder:"URL" help:"Address under which browsers reach the server (PublicUrl)."`
	LogLevel  string `placeholder:"LEVEL" help:"debug, info, warn or error (Log:Level)."`
}

func (f serverFlags) flags() []config.Flag {
	var out []config.Flag
	for _, x := range []config.Flag{{Name: "--urls", Path: "Urls", Value: f.Urls},
		{Name: "--public-url", Path: "PublicUrl", Value: f.PublicUrl}, {Name: "--log-level", Path: "Log:Level", Value: f.LogLevel}} {
		if x.Value != "" {
			out = append(out, x)
		}
	}
	return out
}

type serveCommand struct {
	serverFlags `embed:""`
}

func (c *serveCommand) Run(p *program) error {
	settings, err := p.load(c.flags()...)
	if err != nil {
		return err
	}
	s, err := server.New(p.ctx, server.Options{Config: settings, Logger: server.Logger(settings, p.err), Out: p.out})
	if err != nil {
		return err
	}
	return s.Run(p.ctx)
}

type settingsCommand struct {
	serverFlags `embed:""`
}

func (c *settingsCommand) Run(p *program) error {
	settings, err := p.load(c.flags()...)
	if err != nil {
		return err
	}
	return settings.Print(p.out)
}

type versionCommand struct{}

func (versionCommand) Run(p *program) error {
	version, revision := "unknown", ""
	if b, ok := debug.ReadBuildInfo(); ok {
		version = b.Main.Version
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				revision = " (" + s.Value[:min(12, len(s.Value))] + ")"
			}
		}
	}
	return p.say("conduit %s%s", version, revision)
}

type loginCommand struct {
	Key string `placeholder:"KEY" help:"Which key to sign in with: id or name; default: the oldest that counts."`
}

func (c *loginCommand) Run(p *program) error {
	return p.withKeys(func(k *server.Keys) error {
		link, err := k.Login(p.ctx, c.Key)
		if err != nil {
			return err
		}
		return p.say("%s", link)
	})
}

type keysCommand struct {
	Create keysCreate `cmd:"" help:"Make a key. It is shown once."`
	List   keysList   `cmd:"" help:"List all keys."`
	Show   keysShow   `cmd:"" help:"Show one key."`
	Revoke keysRevoke `cmd:"" help:"Take a key back, for good; a running server notices within a second."`
	Login  keysLogin  `cmd:"" help:"Print a link that opens the console signed in with a key."`
}

type keysCreate struct {
	Label   string   `arg:"" optional:"" name:"name" help:"What the key is for, up to 100 characters."`
	Name    string   `placeholder:"NAME" help:"The same, as a flag."`
	Scopes  []string `placeholder:"SCOPE" help:"What the key may do: video, image, navigation, admin. Default: all but admin."`
	Expires string   `placeholder:"WHEN" help:"A date (2027-01-31), a time (2027-01-31T12:00:00Z), or days from now (30d). Default: never."`
	JSON    bool     `help:"Print JSON."`
}

func (c *keysCreate) Run(p *program) error {
	name := c.Name
	if name == "" {
		name = c.Label
	} else if c.Label != "" && c.Label != name {
		return errors.New("the key is given two names")
	}
	expires, err := parseExpiry(c.Expires, time.Now())
	if err != nil {
		return err
	}
	return p.withKeys(func(k *server.Keys) error {
		info, secret, err := k.Create(p.ctx, name, c.Scopes, expires)
		if err != nil {
			return err
		}
		if c.JSON {
			return p.json(struct {
				server.KeyInfo
				Key string `json:"key"`
			}{info, secret})
		}
		p.note("Key %s (%s; %s). It is shown this once:", info.ID, info.Name, strings.Join(info.Scopes, ", "))
		return p.say("%s", secret)
	})
}

// parseExpiry reads when a key ends; "" is never. A date means its end in UTC.
func parseExpiry(s string, now time.Time) (time.Time, error) {
	if s == "" || s == "never" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	var n int
	if _, err := fmt.Sscanf(s, "%dd", &n); err == nil && fmt.Sprintf("%dd", n) == s && n > 0 && n < 100_000 {
		return now.AddDate(0, 0, n), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("--expires %q cannot be read; write 2027-01-31, 2027-01-31T12:00:00Z, 30d or 12h", s)
}

type keysList struct {
	JSON bool `help:"Print JSON."`
}

func (c *keysList) Run(p *program) error {
	return p.withKeys(func(k *server.Keys) error {
		all, err := k.List(p.ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return p.json(all)
		}
		t := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "ID\tNAME\tKEY\tSCOPES\tSTATE\tCREATED\tEXPIRES\tLAST USED") // Flush reports
		for _, x := range all {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s...\t%s\t%s\t%s\t%s\t%s\n", x.ID, x.Name, x.Prefix, strings.Join(x.Scopes, ","),
				x.State, date(&x.CreatedAt), date(x.ExpiresAt), date(x.LastUsedAt))
		}
		return t.Flush()
	})
}

type keysShow struct {
	Key  string `arg:"" help:"Id or name."`
	JSON bool   `help:"Print JSON."`
}

func (c *keysShow) Run(p *program) error {
	return p.withKeys(func(k *server.Keys) error {
		x, err := k.Show(p.ctx, c.Key)
		if err != nil {
			return err
		}
		if c.JSON {
			return p.json(x)
		}
		return p.say("id         %s\nname       %s\nkey        %s...\nscopes     %s\nstate      %s\ncreated    %s\nexpires    %s\nrevoked    %s\nlast used  %s",
			x.ID, x.Name, x.Prefix, strings.Join(x.Scopes, ", "), x.State, date(&x.CreatedAt), date(x.ExpiresAt), date(x.RevokedAt), date(x.LastUsedAt))
	})
}

type keysRevoke struct {
	Key string `arg:"" help:"Id or name."`
}

func (c *keysRevoke) Run(p *program) error {
	return p.withKeys(func(k *server.Keys) error {
		x, err := k.Revoke(p.ctx, c.Key)
		if err != nil {
			return err
		}
		return p.say("%s (%s) was revoked %s", x.ID, x.Name, date(x.RevokedAt))
	})
}

type keysLogin struct {
	Key string `arg:"" optional:"" help:"Id or name; default: the oldest key that counts."`
}

func (c *keysLogin) Run(p *program) error { return (&loginCommand{Key: c.Key}).Run(p) }

func (p *program) withKeys(do func(*server.Keys) error) error {
	settings, err := p.load()
	if err != nil {
		return err
	}
	k, err := server.OpenKeys(p.ctx, settings)
	if err != nil {
		return err
	}
	return errors.Join(do(k), k.Close())
}

func (p *program) json(v any) error {
	e := json.NewEncoder(p.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func date(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}
