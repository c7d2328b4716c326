package wire

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// edgeLine is a line of testdata/http-edges*.jsonl that tells what was posted to
// a server and what the next two polls brought.
type edgeLine struct {
	Says  string
	Sent  string
	Polls []json.RawMessage
}

// answer is the body of the first poll, "" when nothing came.
func (e edgeLine) answer() string {
	var poll struct{ Body string }
	if len(e.Polls) > 0 && e.Polls[0][0] == '{' {
		if err := json.Unmarshal(e.Polls[0], &poll); err != nil {
			panic(err)
		}
	}
	return poll.Body
}

// edges returns the lines whose says begins with prefix.
func edges(tb testing.TB, file, prefix string) []edgeLine {
	tb.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	var lines []edgeLine
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		var e edgeLine
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			tb.Fatal(err)
		}
		if e.Sent != "" && strings.HasPrefix(e.Says, prefix) {
			lines = append(lines, e)
		}
	}
	if len(lines) == 0 {
		tb.Fatalf("no lines %q in %s", prefix, file)
	}
	return lines
}

// respond does with a handshake what a server does.
func respond(buf string, detailed bool) (response string, rest string) {
	req, n, err := ParseHandshakeRequest([]byte(buf), 32768)
	var failed *HandshakeError
	if errors.As(err, &failed) {
		return string(AppendHandshakeResponse(nil, failed.Sentence(detailed))), buf[n:]
	}
	p, ok := map[string]Protocol{"json": JSON, "messagepack": MessagePack}[strings.ToLower(req.Protocol)]
	switch {
	case n == 0:
		return "", buf
	case !ok:
		failed = UnsupportedProtocol(req.Protocol)
	case req.Version > MaxVersion:
		failed = UnsupportedVersion(req.Version, p.Name())
	default:
		return string(AppendHandshakeResponse(nil, "")), buf[n:]
	}
	return string(AppendHandshakeResponse(nil, failed.Sentence(detailed))), buf[n:]
}

// TestRecordedHandshakes answers what the reference was sent.
func TestRecordedHandshakes(t *testing.T) {
	for file, detailed := range map[string]bool{"http-edges.jsonl": true, "http-edges.without-details.jsonl": false} {
		for _, e := range edges(t, file, "handshake:") {
			t.Run(file+"/"+e.Says, func(t *testing.T) {
				got, rest := respond(e.Sent, detailed)
				want, _, _ := strings.Cut(e.answer(), "\x1e") // the answer to a call may follow
				if want += "\x1e"; got != want {
					t.Errorf("sent %q\ngot  %q\nwant %q", e.Sent, got, want)
				}
				if _, behind, _ := strings.Cut(e.Sent, "\x1e"); rest != behind {
					t.Errorf("%q is left, want %q", rest, behind)
				}
			})
		}
	}
}

// TestRecordedFaults reads messages that made the reference close a connection,
// and compares the reason.
func TestRecordedFaults(t *testing.T) {
	const before, behind = `{"type":7,"error":"Connection closed with an error. `, `","allowReconnect":true}` + "\x1e"
	closed := 0
	for _, e := range edges(t, "http-edges.jsonl", "message:") {
		t.Run(e.Says, func(t *testing.T) {
			want := ""
			if answer := e.answer(); strings.HasPrefix(answer, before) {
				want = strings.TrimSuffix(strings.TrimPrefix(answer, before), behind)
				closed++
			}
			var m Message
			got := ""
			for buf := []byte(e.Sent); len(buf) > 0; {
				frame, n, err := JSON.Split(buf, 32768)
				if err == nil && n == 0 {
					break
				}
				if err == nil {
					err = JSON.Parse(frame, &m)
				}
				if err != nil && !errors.Is(err, ErrUnknownType) {
					got = err.Error()
					break
				}
				buf = buf[n:]
			}
			if got != want {
				t.Errorf("sent %q\ngot  %q\nwant %q", e.Sent, got, want)
			}
		})
	}
	if closed < 10 {
		t.Errorf("only %d recordings of a closed connection", closed)
	}
}

func TestHandshakeRequest(t *testing.T) {
	unexpected := "An unexpected error occurred during connection handshake. "
	for _, tt := range []struct {
		name, in string
		limit    int64
		want     HandshakeRequest
		n        int
		err      string
	}{
		{name: "nothing yet"},
		{name: "half", in: `{"protocol":"js`},
		{name: "half, at the limit", in: `{"protocol"`, limit: 11},
		{name: "half, over the limit", in: `{"protocol":`, limit: 11, err: "Handshake was canceled."},
		{name: "whole, at the limit", in: "{\"protocol\":\"json\",\"version\":1}\x1e", limit: 32, want: HandshakeRequest{"json", 1}, n: 32},
		{name: "whole, over the limit", in: "{\"protocol\":\"json\",\"version\":1}\x1e", limit: 31, err: "Handshake was canceled."},
		{name: "small, with much behind it", in: "{\"protocol\":\"json\",\"version\":1}\x1e" + strings.Repeat("x", 100), limit: 32, want: HandshakeRequest{"json", 1}, n: 32},
		{name: "escaped names, text behind", in: "{\"protoc\\u006fl\":\"x\",\"version\":-1} ]\x1e", want: HandshakeRequest{"x", -1}, n: 37},
		{name: "twice", in: "{\"version\":1,\"version\":2,\"protocol\":\"x\"}\x1e", want: HandshakeRequest{"x", 2}, n: 41},
		{name: "empty", in: "\x1e", n: 1, err: unexpected + "JsonReaderException: The input does not contain any JSON tokens. Expected the input to start with a valid JSON token, when isFinalBlock is true. LineNumber: 0 | BytePositionInLine: 0."},
		{name: "array", in: "[]\x1e", n: 3, err: unexpected + "InvalidDataException: Unexpected JSON Token Type 'Array'. Expected a JSON Object."},
		{name: "version is a string", in: "{\"protocol\":\"x\",\"version\":\"1\"}\x1e", n: 31, err: unexpected + "InvalidDataException: Expected 'version' to be of type Number."},
		{name: "version is a fraction", in: "{\"version\":1.5}\x1e", n: 16, err: unexpected + "FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int32."},
		{name: "protocol null", in: "{\"protocol\":null}\x1e", n: 18, err: unexpected + "InvalidDataException: Expected 'protocol' to be of type String."},
		{name: "second line", in: "{\n  ?\x1e", n: 6, err: unexpected + "JsonReaderException: '?' is an invalid start of a property name. Expected a '\"'. LineNumber: 1 | BytePositionInLine: 2."},
		{name: "comma", in: "{\"version\":1,}\x1e", n: 15, err: unexpected + "JsonReaderException: The JSON object contains a trailing comma at the end which is not supported in this mode. Change the reader options. LineNumber: 0 | BytePositionInLine: 13."},
		{name: "literal", in: "test\x1e", n: 5, err: unexpected + "JsonReaderException: 'test' is an invalid JSON literal. Expected the literal 'true'. LineNumber: 0 | BytePositionInLine: 1."},
		{name: "literal cut", in: "{\"x\":nul\x1e", n: 9, err: unexpected + "JsonReaderException: 'nul' is an invalid JSON literal. Expected the literal 'null'. LineNumber: 0 | BytePositionInLine: 8."},
		{name: "unprintable", in: "\x7f\x1e", n: 2, err: unexpected + "JsonReaderException: '0x7F' is an invalid start of a value. LineNumber: 0 | BytePositionInLine: 0."},
		{name: "lone surrogate", in: "{\"protocol\":\"\\ud800\"}\x1e", n: 22, err: unexpected + "InvalidOperationException: Cannot read incomplete UTF-16 JSON text as string with missing low surrogate."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, n, err := ParseHandshakeRequest([]byte(tt.in), tt.limit)
			if text := errorText(err); text != tt.err {
				t.Errorf("error %q, want %q", text, tt.err)
			}
			if got != tt.want || n != tt.n {
				t.Errorf("got %+v and %d bytes, want %+v and %d", got, n, tt.want, tt.n)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestHandshakeResponse(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		text     string
		n        int
		err      string
	}{
		{name: "nothing yet"},
		{name: "success", in: "{}\x1e", n: 3},
		{name: "success and a message", in: "{}\x1e{\"type\":6}\x1e", n: 3},
		{name: "refused", in: "{\"error\":\"no \\\"x\\\"\"}\x1e", text: `no "x"`, n: 21},
		{name: "a message", in: "{\"type\":6}\x1e", n: 11, err: "Expected a handshake response from the server."},
		{name: "error is a number", in: "{\"error\":1}\x1e", n: 12, err: "InvalidDataException: Expected 'error' to be of type String."},
		{name: "unknown members", in: "{\"minorVersion\":0,\"x\":{\"error\":1}}\x1e", n: 35},
		{name: "too large", in: strings.Repeat("x", 101), err: "InvalidDataException: The maximum message size of 100B was exceeded. The message size can be configured in AddHubOptions."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, n, err := ParseHandshakeResponse([]byte(tt.in), 100)
			if text != tt.text || n != tt.n || errorText(err) != tt.err {
				t.Errorf("got %q, %d, %q; want %q, %d, %q", text, n, errorText(err), tt.text, tt.n, tt.err)
			}
		})
	}
}

func TestHandshakeRoundTrip(t *testing.T) {
	want := HandshakeRequest{"messagepack", 2}
	buf := AppendHandshakeRequest(nil, want)
	if string(buf) != "{\"protocol\":\"messagepack\",\"version\":2}\x1e" {
		t.Errorf("wrote %q", buf)
	}
	got, n, err := ParseHandshakeRequest(append(buf, "rest"...), 0)
	if got != want || n != len(buf) || err != nil {
		t.Errorf("read %+v, %d, %v", got, n, err)
	}
	for _, failed := range []*HandshakeError{UnsupportedTransport("messagepack"), UnsupportedVersion(3, "json"), HandshakeCanceled()} {
		text, _, err := ParseHandshakeResponse(AppendHandshakeResponse(nil, failed.Sentence(false)), 0)
		if text != failed.Text || err != nil {
			t.Errorf("read %q, %v; want %q", text, err, failed.Text)
		}
	}
}

// TestJSONFaultWords has one bad text for each way in which a text can be bad.
func TestJSONFaultWords(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":`:                           "Expected depth to be zero at the end of the JSON payload. There is an open JSON object or array that should be closed. LineNumber: 0 | BytePositionInLine: 5.",
		`{"a`:                             "Expected end of string, but instead reached end of data. LineNumber: 0 | BytePositionInLine: 3.",
		`{"a":-`:                          "Expected a digit ('0'-'9'), but instead reached end of data. LineNumber: 0 | BytePositionInLine: 6.",
		`{a`:                              "'a' is an invalid start of a property name. Expected a '\"'. LineNumber: 0 | BytePositionInLine: 1.",
		`{"a";`:                           "';' is invalid after a property name. Expected a ':'. LineNumber: 0 | BytePositionInLine: 4.",
		`{"a":1 2`:                        "'2' is invalid after a value. Expected either ',', '}', or ']'. LineNumber: 0 | BytePositionInLine: 7.",
		"{\"a\x01":                        "'0x01' is invalid within a JSON string. The string should be correctly escaped. LineNumber: 0 | BytePositionInLine: 3.",
		`{"\a`:                            "'a' is an invalid escapable character within a JSON string. The string should be correctly escaped. LineNumber: 0 | BytePositionInLine: 3.",
		`{"\u12g`:                         "'g' is not a hex digit following '\\u' within a JSON string. The string should be correctly escaped. LineNumber: 0 | BytePositionInLine: 6.",
		`{"a":01}`:                        "Invalid leading zero before '1'. LineNumber: 0 | BytePositionInLine: 6.",
		`{"a":-x}`:                        "'x' is invalid within a number, immediately after a sign character ('+' or '-'). Expected a digit ('0'-'9'). LineNumber: 0 | BytePositionInLine: 6.",
		`{"a":1.x}`:                       "'x' is invalid within a number, immediately after a decimal point ('.'). Expected a digit ('0'-'9'). LineNumber: 0 | BytePositionInLine: 7.",
		`{"a":1ex}`:                       "'x' is an invalid end of a number. Expected a delimiter. LineNumber: 0 | BytePositionInLine: 7.",
		`{"a":1x}`:                        "'x' is an invalid end of a number. Expected a delimiter. LineNumber: 0 | BytePositionInLine: 6.",
		`{"a":fals3}`:                     "'fals3}' is an invalid JSON literal. Expected the literal 'false'. LineNumber: 0 | BytePositionInLine: 9.",
		"\xef\xbb\xbf{}":                  "'0xEF' is an invalid start of a value. LineNumber: 0 | BytePositionInLine: 0.",
		`{"a":` + strings.Repeat("[", 64): "The maximum configured depth of 64 has been exceeded. Cannot read next JSON object or array. LineNumber: 0 | BytePositionInLine: 68.",
	} {
		_, _, err := ParseHandshakeRequest([]byte(in+"\x1e"), 0)
		if want := "An unexpected error occurred during connection handshake. JsonReaderException: " + want; errorText(err) != want {
			t.Errorf("%s\ngot  %v\nwant %s", in, err, want)
		}
	}
}
