package bedrock

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"
)

// The event stream encoding, application/vnd.amazon.eventstream:
//
//	total length (4) | headers length (4) | CRC-32 of these (4) | headers | payload | CRC-32 of all before (4)
//
// Source: https://smithy.io/2.0/aws/amazon-eventstream.html
const (
	preludeLength = 12
	frameOverhead = preludeLength + 4
	maxHeaders    = 128 << 10
	maxPayload    = 24 << 20
)

// A frame is one message of an event stream. payload refers to the buffer that it was read into.
type frame struct {
	kind    string // its :message-type: "event", "exception" or "error"
	name    string // its :event-type, :exception-type or :error-code
	message string // its :error-message
	payload []byte
}

// frames reads an event stream from a body: next gives the frames that have arrived, fill waits for more. Nothing is
// allocated for a frame of a known name.
type frames struct {
	src  io.Reader
	buf  []byte
	r, w int     // what is between them is not read yet
	left int64   // bytes that the answer may still have
	own  *[]byte // the pooled buffer that buf began as
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

var (
	errFrame   = errors.New("the event stream is malformed")
	errTooLong = errors.New("the answer is longer than allowed")
)

func newFrames(src io.Reader, most int64) *frames {
	own := buffers.Get().(*[]byte)
	return &frames{src: src, buf: *own, own: own, left: most}
}

func (f *frames) release() { buffers.Put(f.own) }

// length returns the length of the next frame and of its headers, 0 while that is not known.
func (f *frames) length() (total, headers int, err error) {
	b := f.buf[f.r:f.w]
	if len(b) < preludeLength {
		return 0, 0, nil
	}
	t, h := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if binary.BigEndian.Uint32(b[8:]) != crc32.ChecksumIEEE(b[:8]) || h > maxHeaders || t < frameOverhead+h || t-h-frameOverhead > maxPayload {
		return 0, 0, errFrame
	}
	return int(t), int(h), nil
}

// ready says that another frame has arrived in full that tells: one of the messages that are an event of the answer, or
// its end, for sure. native says that every message is.
func (f *frames) ready(native bool) bool {
	total, headers, err := f.length()
	if err != nil || total == 0 || f.w-f.r < total {
		return false
	}
	var m frame
	if !m.readHeaders(f.buf[f.r+preludeLength : f.r+preludeLength+headers]) {
		return true // which ends the answer
	}
	switch m.name {
	case "chunk", "contentBlockDelta", "contentBlockStop", "messageStart", "messageStop", "metadata":
		return true
	}
	return native || m.kind != "event"
}

// next returns the next frame that is there in full. It is valid until the next call of fill.
func (f *frames) next() (m frame, ok bool, err error) {
	total, headers, err := f.length()
	if err != nil || total == 0 || f.w-f.r < total {
		return m, false, err
	}
	b := f.buf[f.r : f.r+total]
	if binary.BigEndian.Uint32(b[total-4:]) != crc32.ChecksumIEEE(b[:total-4]) || !m.readHeaders(b[preludeLength:preludeLength+headers]) {
		return m, false, errFrame
	}
	m.payload = b[preludeLength+headers : total-4]
	f.r += total
	return m, true, nil
}

// valueSizes are the sizes of a header's value by its type; -1 is told by the two bytes before it.
var valueSizes = [...]int{0, 0, 1, 2, 4, 8, -1, -1, 8, 16}

const stringHeader = 7

func (m *frame) readHeaders(b []byte) bool {
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || len(b) < 1+n+1 || int(b[1+n]) >= len(valueSizes) {
			return false
		}
		name, kind := b[1:1+n], b[1+n]
		b = b[1+n+1:]
		size := valueSizes[kind]
		if size < 0 {
			if len(b) < 2 {
				return false
			}
			size, b = int(binary.BigEndian.Uint16(b)), b[2:]
		}
		if len(b) < size {
			return false
		}
		value := b[:size]
		b = b[size:]
		if kind != stringHeader {
			continue
		}
		switch string(name) {
		case ":message-type":
			m.kind = known(value)
		case ":event-type", ":exception-type", ":error-code":
			m.name = known(value)
		case ":error-message":
			m.message = string(value)
		}
	}
	return true
}

// known returns b as a string, which costs nothing for the values of every frame of an answer.
func known(b []byte) string {
	for _, s := range [...]string{"event", "chunk", "contentBlockDelta", "contentBlockStart", "contentBlockStop", "messageStart", "messageStop", "metadata"} {
		if string(b) == s {
			return s
		}
	}
	return string(b)
}

// fill reads once. It returns io.EOF at the end of the body, io.ErrUnexpectedEOF when that is inside a frame.
func (f *frames) fill() error {
	if f.r > 0 {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	if f.w == len(f.buf) {
		f.buf = append(f.buf, make([]byte, len(f.buf))...) // length has bounded what a frame may need
	}
	n, err := f.src.Read(f.buf[f.w:])
	f.w += n
	if f.left -= int64(n); f.left < 0 {
		return errTooLong
	}
	if n > 0 {
		return nil // an error comes again
	}
	if err == io.EOF && f.w > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
