// Command conduit is the gateway: `conduit` or `conduit serve` runs it, the
// other commands administer it or use it over its public surface.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/knnlabs/conduit/internal/config"
)

// Exit codes, also for scripts.
const (
	exitOK          = 0
	exitError       = 1   // something went wrong; standard error says what
	exitUsage       = 2   // the command line cannot be read
	exitTaskFailed  = 3   // the task ended without a result
	exitInterrupted = 130 // stopped by a signal while watching; the task runs on
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second one finds the
	// default action again.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commandLine is the grammar, for kong.
type commandLine struct {
	globals

	Serve    serveCommand    `cmd:"" default:"withargs" help:"Run the server (the default)."`
	Keys     keysCommand     `cmd:"" help:"Make, list and revoke virtual keys, also beside a running server."`
	Login    loginCommand    `cmd:"" help:"Print a link that opens the console signed in, once, within ten minutes."`
	Settings settingsCommand `cmd:"" name:"config" help:"Print the settings in force and where each came from."`
	Generate generateCommand `cmd:"" help:"Generate a video or an image on a running server."`
	Watch    watchCommand    `cmd:"" help:"Watch a task until it ends."`
	Tasks    tasksCommand    `cmd:"" help:"List your tasks, newest first."`
	Doctor   doctorCommand   `cmd:"" help:"Find out why clients cannot connect, miss events or are slow, and what to do."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

// globals are the flags of every command.
type globals struct {
	ConfigFile string            `name:"config" placeholder:"FILE" help:"Settings file; default: appsettings.json in this folder, where there is one."`
	Data       string            `placeholder:"FOLDER" help:"Data folder (DataFolder); default: conduit-data."`
	Set        map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A setting, such as SignalR:KeepAliveInterval=00:00:30. May be repeated."`
}

// program is what commands need of the process.
type program struct {
	globals
	ctx     context.Context
	environ []string
	out     io.Writer
	err     io.Writer
}

// run is main without the process: it parses args, runs the command and
// returns the exit code.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) int {
	var line commandLine
	p := &program{ctx: ctx, environ: environ, out: out, err: errOut}
	exited := -1
	parser, err := kong.New(&line,
		kong.Name("conduit"),
		kong.Description("A gateway for generated media: prompts become tasks, and everyone who may watch sees them move."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code; panic(exitPanic{}) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		p.complain(err)
		return exitError
	}
	parsed, err := parse(parser, args)
	switch {
	case exited >= 0:
		return exited // --help
	case err != nil:
		p.complain(err)
		_, _ = fmt.Fprintln(errOut, "conduit --help shows what there is.")
		return exitUsage
	}
	p.globals = line.globals
	return p.finish(parsed.Run(p))
}

// exitPanic unwinds kong when it wants to exit.
type exitPanic struct{}

func parse(parser *kong.Kong, args []string) (parsed *kong.Context, err error) {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(exitPanic); !ok {
				panic(v)
			}
		}
	}()
	return parser.Parse(args)
}

// exitCode is an error that says its exit code, and perhaps nothing else.
type exitCode struct {
	code int
	err  error
}

func (e *exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitCode) Unwrap() error { return e.err }

func (p *program) finish(err error) int {
	var code *exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		if code.err != nil {
			p.complain(code.err)
		}
		return code.code
	case p.ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	p.complain(err)
	return exitError
}

// complain writes an error for people: every line says whose it is.
func (p *program) complain(err error) {
	for l := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		_, _ = fmt.Fprintln(p.err, "conduit: "+l) // nowhere else to go
	}
}

// say writes a line of result.
func (p *program) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.out, format+"\n", args...)
	return err
}

// note writes a line beside the result.
func (p *program) note(format string, args ...any) {
	_, _ = fmt.Fprintf(p.err, format+"\n", args...) // nowhere else to go
}

// load reads the settings, with the flags above them.
func (p *program) load(more ...config.Flag) (*config.Config, error) {
	var flags []config.Flag
	for name, value := range p.Set {
		flags = append(flags, config.Flag{Name: "--set", Path: name, Value: value})
	}
	if p.Data != "" {
		flags = append(flags, config.Flag{Name: "--data", Path: "DataFolder", Value: p.Data})
	}
	return config.Load(config.LoadOptions{File: p.ConfigFile, Environ: p.environ, Flags: append(flags, more...)})
}

// getenv is the value of a variable; "" when it is not set.
func (p *program) getenv(name string) string {
	for _, kv := range p.environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}
