package webm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/at-wat/ebml-go"
	ebmlwebm "github.com/at-wat/ebml-go/webm"
)

// memory is a File. After room bytes every write fails.
type memory struct {
	b    []byte
	room int
}

var errFull = errors.New("full")

func (m *memory) Write(p []byte) (int, error) {
	if len(m.b)+len(p) > m.room {
		return 0, errFull
	}
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m.b)) {
		return 0, fmt.Errorf("WriteAt %d of %d", off, len(m.b))
	}
	return copy(m.b[off:], p), nil
}

// data of frame i, of very different lengths.
func data(i int) []byte {
	return bytes.Repeat([]byte{byte(i)}, 1+i*i*37%20_000)
}

func film(t *testing.T, m *memory, o Options) error {
	t.Helper()
	w, err := NewWriter(m, o)
	if err != nil {
		return err
	}
	for i := range o.Frames {
		if err := w.WriteFrame(data(i)); err != nil {
			return err
		}
	}
	return w.Close()
}

func TestFilm(t *testing.T) {
	for _, c := range []struct {
		o        Options
		duration float64 // ms
		clusters int
		last     int64 // time of the last frame, ms
	}{
		{Options{640, 360, 30, 120}, 4000, 4, 3967},
		{Options{16, 16, 1, 1}, 1000, 1, 0},
		{Options{1920, 1080, 60, 600}, 10_000, 10, 9983},
		{Options{1080, 1920, 24, 30}, 1250, 2, 1208},
		{Options{128, 128, 1, 60}, 60_000, 60, 59_000},
		{Options{100, 100, 7, 49}, 7000, 7, 6857},
	} {
		t.Run(fmt.Sprintf("%+v", c.o), func(t *testing.T) {
			m := &memory{room: 1 << 30}
			if err := film(t, m, c.o); err != nil {
				t.Fatal(err)
			}
			var doc struct {
				Header  ebmlwebm.EBMLHeader `ebml:"EBML"`
				Segment ebmlwebm.Segment    `ebml:"Segment"`
			}
			if err := ebml.Unmarshal(bytes.NewReader(m.b), &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Header.DocType != "webm" {
				t.Errorf("document type %q", doc.Header.DocType)
			}
			s := doc.Segment
			if s.Info.TimecodeScale != 1e6 || s.Info.Duration != c.duration {
				t.Errorf("duration %v of %d ns, want %v of 1000000", s.Info.Duration, s.Info.TimecodeScale, c.duration)
			}
			if len(s.Tracks.TrackEntry) != 1 {
				t.Fatalf("%d tracks", len(s.Tracks.TrackEntry))
			}
			track := s.Tracks.TrackEntry[0]
			if track.CodecID != "V_VP8" || track.TrackType != 1 || track.Video.PixelWidth != uint64(c.o.Width) || track.Video.PixelHeight != uint64(c.o.Height) ||
				math.Abs(float64(track.DefaultDuration)*float64(c.o.FPS)-1e9) > float64(c.o.FPS) {
				t.Errorf("track %+v %+v", track, track.Video)
			}
			checkFrames(t, s.Cluster, c.o, c.last)
			if len(s.Cluster) != c.clusters {
				t.Errorf("%d clusters, want %d", len(s.Cluster), c.clusters)
			}
			checkIndex(t, m.b, s)
		})
	}
}

func checkFrames(t *testing.T, clusters []ebmlwebm.Cluster, o Options, last int64) {
	t.Helper()
	n, before := 0, int64(-1)
	for _, c := range clusters {
		for _, b := range c.SimpleBlock {
			at := int64(c.Timecode) + int64(b.Timecode)
			if want := math.Round(float64(n) * 1000 / float64(o.FPS)); float64(at) != want {
				t.Errorf("frame %d at %d ms, want %v", n, at, want)
			}
			if at <= before || !b.Keyframe || b.TrackNumber != 1 || len(b.Data) != 1 || !bytes.Equal(b.Data[0], data(n)) {
				t.Errorf("frame %d: at %d ms after %d, key frame %v, track %d", n, at, before, b.Keyframe, b.TrackNumber)
			}
			before = at
			n++
		}
	}
	if n != o.Frames || before != last {
		t.Errorf("%d frames, the last at %d ms; want %d, %d", n, before, o.Frames, last)
	}
}

// checkIndex follows every place that the seek head and the cues tell.
func checkIndex(t *testing.T, file []byte, s ebmlwebm.Segment) {
	t.Helper()
	at := bytes.Index(file, []byte{0x18, 0x53, 0x80, 0x67}) + 4
	size := binary.BigEndian.Uint64(file[at:]) &^ (1 << 56)
	content := file[at+8:]
	if size != uint64(len(content)) {
		t.Errorf("the segment says %d bytes and has %d", size, len(content))
	}
	if s.SeekHead == nil || len(s.SeekHead.Seek) != 3 {
		t.Fatalf("seek head %+v", s.SeekHead)
	}
	for _, seek := range s.SeekHead.Seek {
		if !bytes.HasPrefix(content[seek.SeekPosition:], seek.SeekID) {
			t.Errorf("no %x at %d", seek.SeekID, seek.SeekPosition)
		}
	}
	if s.Cues == nil || len(s.Cues.CuePoint) != len(s.Cluster) {
		t.Fatalf("cues %+v for %d clusters", s.Cues, len(s.Cluster))
	}
	for i, p := range s.Cues.CuePoint {
		pos := p.CueTrackPositions[0]
		if p.CueTime != s.Cluster[i].Timecode || pos.CueTrack != 1 {
			t.Errorf("cue %d: %+v, cluster at %d ms", i, p, s.Cluster[i].Timecode)
		}
		if !bytes.HasPrefix(content[pos.CueClusterPosition:], []byte{0x1F, 0x43, 0xB6, 0x75}) {
			t.Errorf("cue %d: no cluster at %d", i, pos.CueClusterPosition)
		}
	}
}

func TestFrameCountIsHeld(t *testing.T) {
	o := Options{64, 64, 10, 3}
	w, err := NewWriter(&memory{room: 1 << 20}, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := w.Close(); err == nil {
			t.Errorf("Close after %d of 3 frames succeeds", i)
		}
		if err := w.WriteFrame(data(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteFrame(data(3)); err == nil {
		t.Error("a fourth frame is taken")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// Wherever the disk is full, it is said.
func TestErrorsArrive(t *testing.T) {
	whole := &memory{room: 1 << 30}
	o := Options{64, 64, 5, 20}
	if err := film(t, whole, o); err != nil {
		t.Fatal(err)
	}
	for room := 0; room < len(whole.b); room += 997 {
		if err := film(t, &memory{room: room}, o); !errors.Is(err, errFull) {
			t.Fatalf("room for %d of %d bytes: %v", room, len(whole.b), err)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{}, {0, 1, 1, 1}, {1, 1, 0, 1}, {1, 1, 1, 0}, {-1, 1, 1, 1}} {
		if _, err := NewWriter(&memory{room: 1 << 20}, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		size int64
		want []byte
	}{
		{0, []byte{0x80}},
		{126, []byte{0xfe}},
		{127, []byte{0x40, 0x7f}}, // 0xff would mean "unknown"
		{16382, []byte{0x7f, 0xfe}},
		{16383, []byte{0x20, 0x3f, 0xff}},
		{1 << 21, []byte{0x10, 0x20, 0, 0}},
	} {
		if got := appendHead(nil, 0xA3, c.size)[1:]; !bytes.Equal(got, c.want) {
			t.Errorf("%d: %x, want %x", c.size, got, c.want)
		}
	}
}
