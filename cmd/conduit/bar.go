package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
)

// bar shows a task's progress: a line that is written over on a terminal,
// else a line per change of state and every ten points.
type bar struct {
	w        io.Writer
	terminal bool
	drawn    bool
	tenth    int    // of the plain line written last
	text     string // of the line written last
}

func newBar(w io.Writer) *bar {
	f, ok := w.(*os.File)
	return &bar{w: w, terminal: ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb", tenth: -1}
}

func (b *bar) show(e event) {
	switch {
	case e.is("Progress"):
		b.progress(e)
	case e.is("Started"):
		b.line(0, "started")
	case e.is("Completed"):
		b.line(100, "done")
	case e.is("Failed"):
		b.line(-1, "failed")
	case e.is("Cancelled"):
		b.line(-1, "cancelled")
	}
}

func (b *bar) progress(e event) {
	text := oneLine(e.Message, 60)
	switch {
	case e.TotalFrames > 0:
		text = fmt.Sprintf("frame %d of %d", e.CurrentFrame, e.TotalFrames)
	case e.QueuePosition != nil:
		text = fmt.Sprintf("queued, %d before it", *e.QueuePosition)
	}
	if b.terminal {
		b.line(e.Progress, text)
		return
	}
	if tenth := e.Progress / 10; tenth != b.tenth {
		b.tenth = tenth
		b.line(e.Progress, text)
	}
}

const barWidth = 30

func (b *bar) line(percent int, text string) {
	if !b.terminal {
		if percent >= 0 {
			text = fmt.Sprintf("%3d %%  %s", percent, text)
		}
		if text != b.text {
			_, _ = fmt.Fprintln(b.w, text) // nowhere else to go
		}
		b.text = text
		return
	}
	full := barWidth * max(0, percent) / 100
	share := ""
	if percent >= 0 {
		share = fmt.Sprintf("%3d %%", percent)
	}
	_, _ = fmt.Fprintf(b.w, "\r\x1b[K[%s%s] %s  %s", strings.Repeat("█", full), strings.Repeat("·", barWidth-full), share, text)
	b.drawn = true
}

// done ends the line.
func (b *bar) done() {
	if b.drawn {
		_, _ = fmt.Fprintln(b.w)
	}
}
