// Package webm writes VP8 key frames, one after the other, as a WebM file of
// one video track that can be sought in.
//
//	EBML header
//	Segment
//	  SeekHead   where Info, Tracks and Cues are
//	  Info       the duration, known beforehand
//	  Tracks     one: V_VP8, its size and colours
//	  Cluster    about a second: its time, and a SimpleBlock per frame
//	  …
//	  Cues       the time and place of each cluster
//
// Nothing is kept in memory but the cues. What is known only later (the sizes
// of the segment and the clusters, the place of the cues) is written with room
// for it and filled in then.
//
// Elements and their numbers are those of the Matroska specification, RFC 9559.
package webm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// File is where a Writer writes to: from the start to the end, and back to fill
// in what was not known. An *os.File is one.
type File interface {
	io.Writer
	io.WriterAt
}

// Options describe the track.
type Options struct {
	Width, Height int // pixels
	FPS           int // frames a second
	Frames        int // how many will be written; the header tells the duration
}

// Writer writes one file. Not safe for concurrent use.
type Writer struct {
	opts     Options
	file     File
	buf      *bufio.Writer
	pos      int64 // in the file, of what comes next
	frame    int   // number of the next
	cluster  int64 // where the size of the open cluster is; 0 when there is none
	started  int64 // time of the open cluster, ms
	cues     []cue
	segment  int64 // where the segment's content begins
	cuesSeek int64 // where the place of the cues is to be filled in
	scratch  []byte
}

type cue struct {
	at    int64 // ms
	place int64 // of the cluster, from the segment's content on
}

const clusterLength = 1000 // ms

// NewWriter writes the header. The file must be empty.
func NewWriter(file File, opts Options) (*Writer, error) {
	if opts.Width < 1 || opts.Height < 1 || opts.FPS < 1 || opts.Frames < 1 {
		return nil, fmt.Errorf("webm: no film of %dx%d, %d frames, %d a second", opts.Width, opts.Height, opts.Frames, opts.FPS)
	}
	w := &Writer{opts: opts, file: file, buf: bufio.NewWriterSize(file, 64<<10)}
	return w, w.header()
}

// time of a frame, ms. Rounded from the exact value, so that errors do not add
// up.
func (w *Writer) time(frame int) int64 {
	return (int64(frame)*2000/int64(w.opts.FPS) + 1) / 2
}

// WriteFrame adds the next frame, a VP8 key frame.
func (w *Writer) WriteFrame(data []byte) error {
	if w.frame == w.opts.Frames {
		return fmt.Errorf("webm: more than the %d frames that were announced", w.opts.Frames)
	}
	at := w.time(w.frame)
	if w.cluster == 0 || at-w.started >= clusterLength {
		if err := w.startCluster(at); err != nil {
			return err
		}
	}
	const flags = 0x80 // a key frame, no lacing
	offset := at - w.started
	b := appendHead(w.scratch[:0], idSimpleBlock, int64(len(data))+4)
	b = append(b, 0x80|trackNumber, byte(offset>>8), byte(offset), flags)
	w.scratch = b
	w.frame++
	if err := w.write(b); err != nil {
		return err
	}
	return w.write(data)
}

// Close writes the index and fills in the sizes. It does not close the file.
// Fewer frames than announced are an error, because the header would lie.
func (w *Writer) Close() error {
	if w.frame != w.opts.Frames {
		return fmt.Errorf("webm: %d of the %d frames that were announced", w.frame, w.opts.Frames)
	}
	if err := w.endCluster(); err != nil {
		return err
	}
	place := w.pos - w.segment
	var points []byte
	for _, c := range w.cues {
		position := appendUint(nil, idCueTrack, trackNumber)
		position = appendUint(position, idCueClusterPosition, uint64(c.place))
		point := appendUint(nil, idCueTime, uint64(c.at))
		points = appendElement(points, idCuePoint, appendElement(point, idCueTrackPositions, position))
	}
	if err := w.write(appendElement(nil, idCues, points)); err != nil {
		return err
	}
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if err := w.patch(w.segment-8, sizeVint(w.pos-w.segment)); err != nil {
		return err
	}
	return w.patch(w.cuesSeek, uint64(place))
}

func (w *Writer) startCluster(at int64) error {
	if err := w.endCluster(); err != nil {
		return err
	}
	w.cues = append(w.cues, cue{at: at, place: w.pos - w.segment})
	w.started = at
	b := appendID(nil, idCluster)
	w.cluster = w.pos + int64(len(b))
	b = appendUint64(b, sizeVint(0))
	return w.write(appendUint(b, idTimestamp, uint64(at)))
}

func (w *Writer) endCluster() error {
	if w.cluster == 0 {
		return nil
	}
	if err := w.buf.Flush(); err != nil {
		return err
	}
	at := w.cluster
	w.cluster = 0
	return w.patch(at, sizeVint(w.pos-at-8))
}

func (w *Writer) write(b []byte) error {
	n, err := w.buf.Write(b)
	w.pos += int64(n)
	return err
}

func (w *Writer) patch(at int64, v uint64) error {
	n, err := w.file.WriteAt(appendUint64(nil, v), at)
	if err == nil && n != 8 {
		err = errors.New("webm: short write")
	}
	return err
}
