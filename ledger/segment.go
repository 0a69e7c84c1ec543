package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment is one file of the journal, named by the position of its first record: "%016x.journal". It begins with a
// magic number and a header record; its size does not count towards positions. A segment ends where the next one
// begins: bytes after that are zeros for records that did not come, or what a failed write or a crash left, and are never
// read. The last segment ends where no whole record follows.
type segment struct {
	base Position
	path string
}

const (
	segmentMagic   = "outcropj"
	segmentVersion = 1
	segmentExt     = ".journal"

	// maxHeader bounds magic and header record; node names are shorter than any file name.
	maxHeader = len(segmentMagic) + frameSize + 1024
)

func segmentName(base Position) string { return fmt.Sprintf("%016x%s", int64(base), segmentExt) }

// listSegments returns the segments in dir in order.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []segment
	for _, e := range entries {
		hex, ok := strings.CutSuffix(e.Name(), segmentExt)
		if !ok {
			continue
		}
		base, err := strconv.ParseInt(hex, 16, 64)
		if err != nil || base < 0 || segmentName(Position(base)) != e.Name() {
			return nil, fmt.Errorf("journal: %s is not the name of a segment", filepath.Join(dir, e.Name()))
		}
		segs = append(segs, segment{Position(base), filepath.Join(dir, e.Name())})
	}
	slices.SortFunc(segs, func(a, b segment) int { return cmp.Compare(a.base, b.base) })
	return segs, nil
}

// header is the first record of a segment. Node and epoch tell where it was written; they are for whoever finds the
// file.
type header struct {
	node, epoch string
	base        Position
}

func appendHeader(b []byte, h header) []byte {
	b = append(b, segmentMagic...)
	start := len(b)
	b = append(beginFrame(b, typeHeader), segmentVersion)
	b = appendString(b, h.node)
	b = appendString(b, h.epoch)
	b = binary.AppendUvarint(b, uint64(h.base))
	endFrame(b, start)
	return b
}

// parseHeader reads the start of a segment. size is where its first record begins.
func parseHeader(b []byte) (h header, size int, err error) {
	if !bytes.HasPrefix(b, []byte(segmentMagic)) {
		return h, 0, errors.New("not a segment of a journal")
	}
	typ, payload, n, err := parseFrame(b[len(segmentMagic):])
	if err != nil {
		return h, 0, err
	}
	if typ != typeHeader {
		return h, 0, errors.New("segment does not begin with its header")
	}
	d := decoder{b: payload}
	if v := d.byte(); v != segmentVersion {
		return h, 0, fmt.Errorf("segment has version %d: it was written by a newer release", v)
	}
	h = header{node: d.own(), epoch: d.own(), base: Position(d.uvarint())}
	if err := d.end(); err != nil {
		return h, 0, fmt.Errorf("header: %w", err)
	}
	return h, len(segmentMagic) + n, nil
}

// markAfter returns whether a mark in f[offset:size], whatever is between, says that what was at pos is on disk.
func markAfter(f io.ReaderAt, offset, size int64, pos Position) (bool, error) {
	head := binary.LittleEndian.AppendUint32(nil, markSize-frameSize)
	buf := make([]byte, min(size-offset, 1<<20))
	for size-offset >= markSize {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-offset)], offset)
		if err != nil && err != io.EOF {
			return false, err
		}
		b := buf[:n]
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], head)
			if i < 0 {
				break
			}
			at += i
			typ, payload, _, err := parseFrame(b[at:])
			if err != nil || typ != typeMark {
				continue
			}
			if synced, err := decodeMark(payload, math.MaxInt64); err == nil && synced > pos {
				return true, nil
			}
		}
		if n < markSize {
			break
		}
		offset += int64(n) - markSize + 1 // one may have been cut in two
	}
	return false, nil
}

// zerosAfter returns whether f[offset:size] is nothing but zeros.
func zerosAfter(f io.ReaderAt, offset, size int64) (bool, error) {
	buf := make([]byte, min(size-offset, int64(len(zeros))))
	for offset < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-offset)], offset)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			return false, nil
		}
		if err == io.EOF {
			break // it was cut meanwhile
		}
		if err != nil {
			return false, err
		}
		offset += int64(n)
	}
	return true, nil
}

// corrupt is a place in a segment that cannot be read.
type corrupt struct {
	path   string
	offset int64
	err    error
}

func (e *corrupt) Error() string {
	return fmt.Sprintf("journal: %s is damaged at offset %d: %v", e.path, e.offset, e.err)
}
func (e *corrupt) Unwrap() error { return e.err }

// reader reads a segment's records in order.
type reader struct {
	path string
	f    io.ReaderAt
	buf  []byte
	r, w int   // buf[r:w] is read from the file and not yet returned
	off  int64 // of buf[w] in the file
	pos  Position
}

// newReader reads f's header and stands before its first record.
func newReader(s segment, f io.ReaderAt) (*reader, error) {
	head := make([]byte, maxHeader)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	h, size, err := parseHeader(head[:n])
	if err != nil {
		return nil, &corrupt{s.path, 0, err}
	}
	if h.base != s.base {
		return nil, &corrupt{s.path, 0, fmt.Errorf("its header says that it begins at %x", int64(h.base))}
	}
	return &reader{path: s.path, f: f, off: int64(size), pos: s.base}, nil
}

// seek goes to position pos, which must be the beginning of a record.
func (rd *reader) seek(pos Position) {
	rd.off += int64(pos-rd.pos) - int64(rd.w-rd.r)
	rd.r, rd.w, rd.pos = 0, 0, pos
}

// offset is where the next record begins in the file.
func (rd *reader) offset() int64 { return rd.off - int64(rd.w-rd.r) }

// next returns the next record if it ends at or before limit; payload is good until the following call. At limit it
// returns io.EOF; a record that is damaged, or goes on after limit, is a *corrupt.
func (rd *reader) next(limit Position) (typ byte, payload []byte, err error) {
	for {
		if rd.pos >= limit {
			return 0, nil, io.EOF
		}
		have := rd.buf[rd.r:rd.w]
		if left := int64(limit - rd.pos); int64(len(have)) > left {
			have = have[:left]
		}
		typ, payload, n, err := parseFrame(have)
		if err == nil {
			rd.r += n
			rd.pos += Position(n)
			return typ, payload, nil
		}
		if err != errShort || int64(len(have)) == int64(limit-rd.pos) {
			return 0, nil, &corrupt{rd.path, rd.offset(), err}
		}
		if err := rd.fill(max(n, frameSize), limit); err != nil {
			return 0, nil, err
		}
	}
}

// fill reads on until at least need bytes, or all before limit, are in the buffer.
func (rd *reader) fill(need int, limit Position) error {
	const chunk = 128 << 10
	if rd.buf == nil || need > len(rd.buf) {
		buf := make([]byte, max(chunk, need))
		rd.w = copy(buf, rd.buf[rd.r:rd.w])
		rd.buf, rd.r = buf, 0
	} else if rd.r > 0 {
		rd.w = copy(rd.buf, rd.buf[rd.r:rd.w])
		rd.r = 0
	}
	space := rd.buf[rd.w:]
	if left := int64(limit-rd.pos) - int64(rd.w); int64(len(space)) > left {
		space = space[:left]
	}
	n, err := rd.f.ReadAt(space, rd.off)
	rd.w += n
	rd.off += int64(n)
	if n > 0 {
		return nil // next asks again if it was too little
	}
	if err == io.EOF {
		return &corrupt{rd.path, rd.offset(), io.ErrUnexpectedEOF}
	}
	return err
}
