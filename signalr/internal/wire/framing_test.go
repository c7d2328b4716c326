package wire

import (
	"bytes"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	const large = "InvalidDataException: The maximum message size of 10B was exceeded. The message size can be configured in AddHubOptions."
	const huge = "FormatException: Messages over 2GB in size are not supported."
	for _, tt := range []struct {
		name  string
		p     Protocol
		in    string
		limit int64
		frame string
		n     int
		err   string
	}{
		{"nothing", JSON, "", 10, "", 0, ""},
		{"empty record", JSON, "\x1e", 10, "", 1, ""},
		{"one", JSON, "abc\x1e", 10, "abc", 4, ""},
		{"two", JSON, "abc\x1ed\x1e", 10, "abc", 4, ""},
		{"at the limit", JSON, "123456789\x1e", 10, "123456789", 10, ""},
		{"over the limit", JSON, "1234567890\x1e", 10, "", 0, large},
		{"cut, at the limit", JSON, "1234567890", 10, "", 0, ""},
		{"cut, over the limit", JSON, "12345678901", 10, "", 0, large},
		{"small, much behind it", JSON, "abc\x1e" + strings.Repeat("x", 100), 10, "abc", 4, ""},
		{"no limit", JSON, strings.Repeat("x", 100) + "\x1e", 0, strings.Repeat("x", 100), 101, ""},
		{"negative limit is none", JSON, strings.Repeat("x", 100), -1, "", 0, ""},

		{"nothing", MessagePack, "", 10, "", 0, ""},
		{"length 0", MessagePack, "\x00rest", 10, "", 1, ""},
		{"one", MessagePack, "\x03abc", 10, "abc", 4, ""},
		{"cut", MessagePack, "\x03ab", 10, "", 0, ""},
		{"prefix cut", MessagePack, "\x80\x80", 10, "", 0, ""},
		{"prefix longer than it needs", MessagePack, "\x83\x80\x00abc", 10, "abc", 6, ""},
		{"at the limit", MessagePack, "\x09123456789", 10, "123456789", 10, ""},
		{"over the limit, told by the prefix", MessagePack, "\x0a", 10, "", 0, large},
		{"over the limit because of the prefix", MessagePack, "\x89\x00123456789", 10, "", 0, large},
		{"largest", MessagePack, "\xff\xff\xff\xff\x07", 0, "", 0, ""},
		{"over 2 GB", MessagePack, "\xff\xff\xff\xff\x08", 0, "", 0, huge},
		{"over 2 GB, longer", MessagePack, "\x80\x80\x80\x80\x80", 0, "", 0, huge},
	} {
		t.Run(tt.p.Name()+"/"+tt.name, func(t *testing.T) {
			frame, n, err := tt.p.Split([]byte(tt.in), tt.limit)
			if string(frame) != tt.frame || n != tt.n || errorText(err) != tt.err {
				t.Errorf("got %q, %d, %q; want %q, %d, %q", frame, n, errorText(err), tt.frame, tt.n, tt.err)
			}
		})
	}
}

func TestLengthPrefix(t *testing.T) {
	for size, want := range map[int]string{
		0: "\x00", 127: "\x7f", 128: "\x80\x01", 300: "\xac\x02", 2097152: "\x80\x80\x80\x01", 2147483647: "\xff\xff\xff\xff\x07",
	} {
		got := appendLength(nil, size)
		if string(got) != want || lengthWidth(size) != len(want) {
			t.Errorf("%d: got %x in %d bytes, want %x", size, got, lengthWidth(size), want)
		}
		if back, width, err := readLength(got); back != int64(size) || width != len(want) || err != nil {
			t.Errorf("%d: read back as %d, %d, %v", size, back, width, err)
		}
	}
}

// TestPrefixGuess writes messages around the sizes at which the prefix grows,
// with headers that the guess leaves out, and reads them back.
func TestPrefixGuess(t *testing.T) {
	for _, size := range []int{0, 1, 100, 110, 115, 118, 119, 120, 121, 122, 127, 128, 129, 300, 16360, 16370, 16375, 16380, 16384, 16390, 70000} {
		for _, header := range []int{0, 1, 200, 20000} {
			m := Message{Type: Completion, InvocationID: "1", HasError: true, Error: strings.Repeat("e", size)}
			if header > 0 {
				m.Headers = map[string]string{"h": strings.Repeat("v", header)}
			}
			buf := MessagePack.Append([]byte("before"), &m)
			rest, ok := bytes.CutPrefix(buf, []byte("before"))
			if !ok {
				t.Fatalf("%d, %d: what was there is gone", size, header)
			}
			frame, n, err := MessagePack.Split(rest, 0)
			if err != nil || n != len(rest) {
				t.Fatalf("%d, %d: cut %d of %d, %v", size, header, n, len(rest), err)
			}
			if want := lengthWidth(len(frame)); n-len(frame) != want {
				t.Errorf("%d, %d: prefix of %d bytes, want %d", size, header, n-len(frame), want)
			}
			var back Message
			if err := MessagePack.Parse(frame, &back); err != nil || back.Error != m.Error || back.Headers["h"] != m.Headers["h"] {
				t.Errorf("%d, %d: read back wrongly, %v", size, header, err)
			}
		}
	}
}
