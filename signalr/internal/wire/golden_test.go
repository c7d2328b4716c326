package wire

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// goldenLine is a line of testdata/hub-messages.jsonl: what ASP.NET Core 10
// wrote, or what it made of bytes that it was given.
type goldenLine struct {
	line     int
	Name     string
	Says     string
	Protocol string
	Hex      string
	Parsed   string
	Left     int
	bytes    []byte
}

func (g goldenLine) parse() bool { return strings.HasPrefix(g.Name, "parse/") }

// codec is the protocol as the recorder had it set up: in MessagePack the
// reference finds members by their exact name.
func (g goldenLine) codec() Protocol {
	if g.Protocol == "json" {
		return JSON
	}
	return MessagePackProtocol{ExactNames: true}
}

// title is a test name that is short and the same for each run.
func (g goldenLine) title() string { return fmt.Sprintf("%s/line%d", g.Protocol, g.line) }

func golden(tb testing.TB) []goldenLine {
	tb.Helper()
	f, err := os.Open("testdata/hub-messages.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	var lines []goldenLine
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for n := 1; scan.Scan(); n++ {
		g := goldenLine{line: n}
		if err := json.Unmarshal(scan.Bytes(), &g); err != nil {
			tb.Fatalf("line %d: %v", n, err)
		}
		if g.bytes, err = hex.DecodeString(g.Hex); err != nil {
			tb.Fatalf("line %d: %v", n, err)
		}
		lines = append(lines, g)
	}
	if err := scan.Err(); err != nil {
		tb.Fatal(err)
	}
	if len(lines) != 355 {
		tb.Fatalf("%d golden lines, want 355", len(lines))
	}
	return lines
}

// TestGoldenRewrite reads what the reference wrote and writes it again.
func TestGoldenRewrite(t *testing.T) {
	for _, g := range golden(t) {
		if g.parse() {
			continue
		}
		t.Run(g.title(), func(t *testing.T) {
			p := g.codec()
			frame, n, err := p.Split(g.bytes, 0)
			if err != nil || n != len(g.bytes) {
				t.Fatalf("Split took %d of %d bytes, error %v", n, len(g.bytes), err)
			}
			var m Message
			if err := p.Parse(frame, &m); err != nil {
				t.Fatal(err)
			}
			if got := p.Append(nil, &m); string(got) != string(g.bytes) {
				t.Errorf("%s\ngot  %q\nwant %q", g.Says, got, g.bytes)
			}
		})
	}
}

// TestGoldenParse gives our parser what the reference's parser was given, binds
// as the recorder did, and compares what came of it, word for word.
func TestGoldenParse(t *testing.T) {
	for _, g := range golden(t) {
		if !g.parse() {
			continue
		}
		t.Run(g.title(), func(t *testing.T) {
			got, left := recordParse(g.codec(), g.bytes)
			if !sameParsed(got, g.Parsed) {
				t.Errorf("%s\nbytes %q\ngot   %s\nwant  %s", g.Name, g.bytes, got, g.Parsed)
			}
			if left != g.Left && !strings.HasPrefix(g.Parsed, "refused") {
				t.Errorf("%s: %d bytes left, want %d", g.Name, left, g.Left)
			}
		})
	}
}

// recordParse does what the recorder of the golden lines did.
func recordParse(p Protocol, in []byte) (parsed string, left int) {
	frame, n, err := p.Split(in, 0)
	var fault *ProtocolError
	switch {
	case errors.As(err, &fault):
		return "refused: " + fault.Error(), len(in)
	case n == 0:
		return "incomplete: more bytes are needed", len(in)
	}
	left = len(in) - n
	var m Message
	switch err := p.Parse(frame, &m); {
	case errors.Is(err, ErrUnknownType):
		return "nothing: passed over", left
	case errors.As(err, &fault):
		return "refused: " + fault.Error(), left
	case err != nil:
		return "error: " + err.Error(), left
	}
	return recordMessage(p, &m), left
}
