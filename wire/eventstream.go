package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"outcrop/fault"
)

// The event stream encoding, application/vnd.amazon.eventstream:
//
//	total length (4) | headers length (4) | CRC-32 of these (4) | headers | payload | CRC-32 of all before (4)
//
// Source: https://smithy.io/2.0/aws/amazon-eventstream.html
const (
	frameOverhead = 16
	preludeLength = 12

	// MaxHeaders and MaxPayload bound one message: 128 KiB of headers, 24 MiB of payload.
	MaxHeaders = 128 << 10
	MaxPayload = 24 << 20
)

// stringHeader is the type of the only headers that are written here; the others are read (see Header).
const stringHeader = 7

// beginFrame appends the prelude and the headers of a frame with a JSON payload, which the caller appends next.
// kind is ":event-type" or ":exception-type", name its value, message the message type that goes with it. The order of
// the headers is that of AWS's frames.
func beginFrame(dst []byte, kind, name, message string) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, preludeLength)...)
	dst = appendStringHeader(dst, kind, name)
	dst = append(dst, jsonContentHeader...)
	dst = appendStringHeader(dst, ":message-type", message)
	binary.BigEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-preludeLength))
	return dst
}

var jsonContentHeader = string(appendStringHeader(nil, ":content-type", "application/json"))

func appendStringHeader(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = append(dst, stringHeader, byte(len(value)>>8), byte(len(value)))
	return append(dst, value...)
}

// endFrame completes the frame that began at dst[start]: lengths and checksums.
func endFrame(dst []byte, start int) []byte {
	frame := dst[start:]
	binary.BigEndian.PutUint32(frame, uint32(len(frame)+4))
	binary.BigEndian.PutUint32(frame[8:], crc32.ChecksumIEEE(frame[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(frame))
}

var streamType = []string{"application/vnd.amazon.eventstream"}

// streamPace is how often a stream that comes fast is written. An event that comes alone leaves at once; one that comes
// within streamPace of the write before it, or beside others, leaves with whatever else has come by then. A model's tokens
// are ten times as far apart, while a burst costs a third of the processor's time that one write for each event would.
const streamPace = time.Millisecond

// A stream's frames are gathered up to this size before they are written although another is announced.
const maxGathered = 32 << 10

type frameBuffer struct{ b []byte }

var frames = sync.Pool{New: func() any { return &frameBuffer{make([]byte, 0, 4<<10)} }}

// serveStream writes seq. The error it returns has not been written: it came before the first event. The last frames are
// not flushed: they leave with the end of the answer, which follows.
func serveStream[E Event](x *exchange, seq iter.Seq2[E, error]) error {
	flusher := http.NewResponseController(x.w)
	foreign := x.service.Protocol == ForeignJSON
	buf := frames.Get().(*frameBuffer)
	b := buf.b[:0]
	defer func() {
		if cap(b) <= 2*maxGathered {
			buf.b = b
			frames.Put(buf)
		}
	}()
	send := func() error {
		if x.status == 0 {
			x.Header["Content-Type"] = streamType
			if foreign {
				x.Header["Content-Type"], x.Header["Cache-Control"] = sseType, noCache
			}
			x.status = http.StatusOK
			x.w.WriteHeader(http.StatusOK)
		}
		_, err := x.w.Write(b)
		b = b[:0]
		return err
	}
	first := true
	var last E
	var written time.Time // when the last write was made
	events := 0           // since then
	for e, err := range seq {
		if err != nil {
			if first {
				return err
			}
			if foreign {
				failing := any(last).(FailingEvent) // newTable has made sure of it
				failing.Fail(x.failure(err))
				b = appendSSE(b, failing)
			} else {
				b = x.exceptionFrame(b, err)
			}
			break
		}
		first, last = false, e
		if foreign {
			b = appendSSE(b, e)
		} else {
			start := len(b)
			b = beginFrame(b, ":event-type", e.EventType(), "event")
			b = e.AppendJSON(b)
			b = endFrame(b, start)
		}
		if events++; e.More() && len(b) < maxGathered {
			continue
		}
		err = send()
		if err == nil {
			err = flusher.Flush()
		}
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			x.fault = fault.Wrap(x.request.Context().Err(), fault.Internal, "the caller left the stream")
			return nil
		}
		now := time.Now()
		if !e.More() && (events > 1 || now.Sub(written) < streamPace) {
			time.Sleep(streamPace)
		}
		written, events = now, 0
	}
	if len(b) > 0 || first {
		_ = send() // an error means that the caller has gone: there is nobody to tell
	}
	return nil
}

// Message is one decoded frame of an event stream. Headers and Payload refer to the bytes that it was decoded from.
type Message struct {
	Headers []Header
	Payload []byte
}

// Header is one header of a Message. Value is a bool, int8, int16, int32, int64, []byte, string, time.Time
// (milliseconds, UTC) or [16]byte (a UUID).
type Header struct {
	Name  string
	Value any
}

// Text returns the string header of that name, "" when there is none.
func (m *Message) Text(name string) string {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			s, _ := m.Headers[i].Value.(string)
			return s
		}
	}
	return ""
}

// DecodeMessage decodes the first frame in b and returns what follows it. It checks both checksums, all lengths and
// that the headers are well formed. io.ErrUnexpectedEOF means that b holds less than a whole frame.
func DecodeMessage(b []byte) (m Message, rest []byte, err error) {
	if len(b) < preludeLength {
		return m, b, io.ErrUnexpectedEOF
	}
	total, headers, err := decodePrelude(b)
	if err != nil {
		return m, b, err
	}
	if len(b) < total {
		return m, b, io.ErrUnexpectedEOF
	}
	if sum := binary.BigEndian.Uint32(b[total-4:]); sum != crc32.ChecksumIEEE(b[:total-4]) {
		return m, b, errors.New("event stream: the message's checksum does not match")
	}
	if m.Headers, err = decodeHeaders(b[preludeLength : preludeLength+headers]); err != nil {
		return Message{}, b, err
	}
	m.Payload = b[preludeLength+headers : total-4]
	return m, b[total:], nil
}

// ReadMessage reads one frame from r. It returns io.EOF when r ends before a frame, io.ErrUnexpectedEOF when it ends
// inside one.
func ReadMessage(r io.Reader) (Message, error) {
	var prelude [preludeLength]byte
	if _, err := io.ReadFull(r, prelude[:]); err != nil {
		return Message{}, err
	}
	total, _, err := decodePrelude(prelude[:])
	if err != nil {
		return Message{}, err
	}
	b := make([]byte, total)
	copy(b, prelude[:])
	if _, err := io.ReadFull(r, b[preludeLength:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	m, _, err := DecodeMessage(b)
	return m, err
}

func decodePrelude(b []byte) (total, headers int, err error) {
	if binary.BigEndian.Uint32(b[8:]) != crc32.ChecksumIEEE(b[:8]) {
		return 0, 0, errors.New("event stream: the prelude's checksum does not match")
	}
	t, h := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	switch {
	case h > MaxHeaders:
		return 0, 0, fmt.Errorf("event stream: %d bytes of headers, at most %d are allowed", h, MaxHeaders)
	case t < frameOverhead+h:
		return 0, 0, fmt.Errorf("event stream: a length of %d is too short for %d bytes of headers", t, h)
	case t-h-frameOverhead > MaxPayload:
		return 0, 0, fmt.Errorf("event stream: %d bytes of payload, at most %d are allowed", t-h-frameOverhead, MaxPayload)
	}
	return int(t), int(h), nil
}

var errHeader = errors.New("event stream: malformed headers")

func decodeHeaders(b []byte) ([]Header, error) {
	var hs []Header
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || len(b) < 1+n+1 || !utf8.Valid(b[1:1+n]) {
			return nil, errHeader
		}
		h := Header{Name: string(b[1 : 1+n])}
		kind := b[1+n]
		b = b[1+n+1:]
		size := 0
		switch kind {
		case 0, 1: // true, false
		case 2:
			size = 1
		case 3:
			size = 2
		case 4:
			size = 4
		case 5, 8:
			size = 8
		case 6, stringHeader:
			if len(b) < 2 {
				return nil, errHeader
			}
			size, b = int(binary.BigEndian.Uint16(b)), b[2:]
		case 9:
			size = 16
		default:
			return nil, errHeader
		}
		if len(b) < size {
			return nil, errHeader
		}
		v := b[:size:size]
		b = b[size:]
		switch kind {
		case 0, 1:
			h.Value = kind == 0
		case 2:
			h.Value = int8(v[0])
		case 3:
			h.Value = int16(binary.BigEndian.Uint16(v))
		case 4:
			h.Value = int32(binary.BigEndian.Uint32(v))
		case 5:
			h.Value = int64(binary.BigEndian.Uint64(v))
		case 6:
			h.Value = v
		case stringHeader:
			if !utf8.Valid(v) {
				return nil, errHeader
			}
			h.Value = string(v)
		case 8:
			h.Value = time.UnixMilli(int64(binary.BigEndian.Uint64(v))).UTC()
		case 9:
			h.Value = [16]byte(v)
		}
		hs = append(hs, h)
	}
	return hs, nil
}
