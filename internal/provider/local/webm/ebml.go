package webm

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The elements that are written, with their marker bits (RFC 9559, RFC 8794).
const (
	idEBML               = 0x1A45DFA3
	idEBMLVersion        = 0x4286
	idEBMLReadVersion    = 0x42F7
	idEBMLMaxIDLength    = 0x42F2
	idEBMLMaxSizeLength  = 0x42F3
	idDocType            = 0x4282
	idDocTypeVersion     = 0x4287
	idDocTypeReadVersion = 0x4285

	idSegment      = 0x18538067
	idSeekHead     = 0x114D9B74
	idSeek         = 0x4DBB
	idSeekID       = 0x53AB
	idSeekPosition = 0x53AC

	idInfo           = 0x1549A966
	idTimestampScale = 0x2AD7B1
	idDuration       = 0x4489
	idMuxingApp      = 0x4D80
	idWritingApp     = 0x5741

	idTracks          = 0x1654AE6B
	idTrackEntry      = 0xAE
	idTrackNumber     = 0xD7
	idTrackUID        = 0x73C5
	idTrackType       = 0x83
	idFlagLacing      = 0x9C
	idDefaultDuration = 0x23E383
	idCodecID         = 0x86
	idVideo           = 0xE0
	idFlagInterlaced  = 0x9A
	idPixelWidth      = 0xB0
	idPixelHeight     = 0xBA
	idColour          = 0x55B0
	idMatrix          = 0x55B1
	idRange           = 0x55B9
	idTransfer        = 0x55BA
	idPrimaries       = 0x55BB

	idCluster     = 0x1F43B675
	idTimestamp   = 0xE7
	idSimpleBlock = 0xA3

	idCues               = 0x1C53BB6B
	idCuePoint           = 0xBB
	idCueTime            = 0xB3
	idCueTrackPositions  = 0xB7
	idCueTrack           = 0xF7
	idCueClusterPosition = 0xF1
)

const trackNumber = 1

// header writes everything before the first cluster.
func (w *Writer) header() error {
	b := appendElement(nil, idEBML, ebmlHeader())
	b = appendID(b, idSegment)
	b = appendUint64(b, sizeVint(0)) // filled in by Close
	w.segment = int64(len(b))

	info, tracks := w.info(), w.tracks()
	// The seek head's own size does not depend on the places in it.
	size := int64(len(seekHead(0, 0)))
	b = append(b, seekHead(size, size+int64(len(info)))...)
	w.cuesSeek = w.segment + size - 8 // the last of its three
	b = append(b, info...)
	b = append(b, tracks...)
	return w.write(b)
}

func ebmlHeader() []byte {
	b := appendUint(nil, idEBMLVersion, 1)
	b = appendUint(b, idEBMLReadVersion, 1)
	b = appendUint(b, idEBMLMaxIDLength, 4)
	b = appendUint(b, idEBMLMaxSizeLength, 8)
	b = appendElement(b, idDocType, []byte("webm"))
	b = appendUint(b, idDocTypeVersion, 4)
	return appendUint(b, idDocTypeReadVersion, 2)
}

// seekHead tells the places from the segment's content on; that of the cues is
// filled in by Close.
func seekHead(info, tracks int64) []byte {
	var b []byte
	for _, s := range []struct {
		id    uint32
		place int64
	}{{idInfo, info}, {idTracks, tracks}, {idCues, 0}} {
		seek := appendElement(nil, idSeekID, appendID(nil, s.id))
		seek = appendElement(seek, idSeekPosition, appendUint64(nil, uint64(s.place)))
		b = appendElement(b, idSeek, seek)
	}
	return appendElement(nil, idSeekHead, b)
}

func (w *Writer) info() []byte {
	const millisecond = 1_000_000 // ns, the unit of all times
	b := appendUint(nil, idTimestampScale, millisecond)
	duration := float64(w.opts.Frames) * 1000 / float64(w.opts.FPS)
	b = appendElement(b, idDuration, appendUint64(nil, math.Float64bits(duration)))
	b = appendElement(b, idMuxingApp, []byte("conduit"))
	b = appendElement(b, idWritingApp, []byte("conduit"))
	return appendElement(nil, idInfo, b)
}

func (w *Writer) tracks() []byte {
	// BT.601 in the studio range, as VP8 decoders take it, with sRGB's curve
	// and primaries.
	colour := appendUint(nil, idMatrix, 6)
	colour = appendUint(colour, idRange, 1)
	colour = appendUint(colour, idTransfer, 13)
	colour = appendUint(colour, idPrimaries, 1)

	video := appendUint(nil, idFlagInterlaced, 2) // progressive
	video = appendUint(video, idPixelWidth, uint64(w.opts.Width))
	video = appendUint(video, idPixelHeight, uint64(w.opts.Height))
	video = appendElement(video, idColour, colour)

	b := appendUint(nil, idTrackNumber, trackNumber)
	b = appendUint(b, idTrackUID, 1)
	b = appendUint(b, idTrackType, 1) // video
	b = appendUint(b, idFlagLacing, 0)
	b = appendUint(b, idDefaultDuration, uint64((1_000_000_000+w.opts.FPS/2)/w.opts.FPS))
	b = appendElement(b, idCodecID, []byte("V_VP8"))
	b = appendElement(b, idVideo, video)
	return appendElement(nil, idTracks, appendElement(nil, idTrackEntry, b))
}

// appendID appends an element's id, whose length its marker tells.
func appendID(b []byte, id uint32) []byte {
	for shift := (bits.Len32(id) - 1) / 8 * 8; shift >= 0; shift -= 8 {
		b = append(b, byte(id>>shift))
	}
	return b
}

// appendHead appends an id and the size of what follows, in as few bytes as it
// takes.
func appendHead(b []byte, id uint32, size int64) []byte {
	b = appendID(b, id)
	n := 1
	for size >= 1<<(7*n)-1 { // all ones mean "unknown"
		n++
	}
	v := uint64(size) | 1<<(7*n)
	for n--; n >= 0; n-- {
		b = append(b, byte(v>>(8*n)))
	}
	return b
}

func appendElement(b []byte, id uint32, content []byte) []byte {
	return append(appendHead(b, id, int64(len(content))), content...)
}

func appendUint(b []byte, id uint32, v uint64) []byte {
	n := max((bits.Len64(v)+7)/8, 1)
	b = appendHead(b, id, int64(n))
	for n--; n >= 0; n-- {
		b = append(b, byte(v>>(8*n)))
	}
	return b
}

func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// sizeVint is a size in the form of eight bytes, so that it can be filled in.
func sizeVint(size int64) uint64 { return 1<<56 | uint64(size) }
