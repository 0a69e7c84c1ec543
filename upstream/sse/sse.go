// Package sse reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), the framing of
// vendors' streamed answers.
package sse

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// MaxEvent is the most bytes that one event may have: a token with its log probabilities is some KiB, sealed thinking some
// ten KiB.
const MaxEvent = 1 << 20

// ErrTooLong is the error of an event, or of a body, that is longer than allowed.
var ErrTooLong = errors.New("the answer is longer than allowed")

// Reader reads the events of a body: Next gives those that have arrived, Fill waits for more.
type Reader struct {
	src   io.Reader
	buf   []byte
	r, w  int   // what is between them is not read yet
	left  int64 // bytes that the body may still have
	ended bool
	own   *[]byte // the pooled buffer that buf began as
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// NewReader returns a Reader of src, of which it reads most bytes and no more. It is to be released.
func NewReader(src io.Reader, most int64) *Reader {
	own := buffers.Get().(*[]byte)
	return &Reader{src: src, buf: *own, own: own, left: most}
}

// Release gives the Reader's buffer back. Nothing of the Reader may be used after it.
func (l *Reader) Release() { buffers.Put(l.own) }

// Next returns the data of the next event that is there in full. It is valid until the next call of Fill. An event's
// name, its id and comments are passed over: vendors' data says what it is.
func (l *Reader) Next() (data []byte, ok bool) {
	pos, have, joined := l.r, false, false
	for {
		n := bytes.IndexByte(l.buf[pos:l.w], '\n')
		if n < 0 {
			return nil, false
		}
		line := l.buf[pos : pos+n]
		pos += n + 1
		if n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) == 0 {
			l.r = pos
			if have {
				return data, true
			}
			continue
		}
		v, isData := bytes.CutPrefix(line, []byte("data:"))
		if !isData {
			// llama.cpp before 2025 told errors under a field name of its own.
			if v, isData = bytes.CutPrefix(line, []byte("error:")); !isData {
				continue
			}
		}
		if len(v) > 0 && v[0] == ' ' {
			v = v[1:]
		}
		switch {
		case !have:
			data, have = v, true
		case !joined:
			data, joined = append(append(append(make([]byte, 0, len(data)+len(v)+1), data...), '\n'), v...), true
		default:
			data = append(append(data, '\n'), v...)
		}
	}
}

// Fill reads once. It returns io.EOF when the body has ended and what was left of it has been given by Next.
func (l *Reader) Fill() error {
	if l.ended {
		return io.EOF
	}
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
	if l.w == len(l.buf) {
		if l.w >= MaxEvent {
			return ErrTooLong
		}
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	n, err := l.src.Read(l.buf[l.w:])
	l.w += n
	if l.left -= int64(n); l.left < 0 {
		return ErrTooLong
	}
	if err == io.EOF {
		l.ended = true
		l.buf = append(l.buf[:l.w], "\n\n"...) // some servers leave out the last blank line
		l.w += 2
		return nil
	}
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// Drain reads and drops what is left of a body that should end now.
func (l *Reader) Drain() {
	for !l.ended && l.Fill() == nil {
		l.r = l.w
	}
}
