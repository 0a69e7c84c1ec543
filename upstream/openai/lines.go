package openai

import (
	"bytes"
	"io"
	"sync"
)

// lines reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) from a body: next
// gives those that have arrived, fill waits for more.
type lines struct {
	src   io.Reader
	buf   []byte
	r, w  int   // what is between them is not read yet
	left  int64 // bytes that the answer may still have
	ended bool
	own   *[]byte // the pooled buffer that buf began as
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func newLines(src io.Reader, most int64) *lines {
	own := buffers.Get().(*[]byte)
	return &lines{src: src, buf: *own, own: own, left: most}
}

func (l *lines) release() { buffers.Put(l.own) }

// next returns the data of the next event that is there in full. It is valid until the next call of next or fill.
func (l *lines) next() (data []byte, ok bool) {
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
			// llama.cpp before 2025 told errors under a field name of its own. Everything else is a comment, an id, an
			// event's name, which repeats what the data says, or a time to reconnect.
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

// fill reads once. It returns io.EOF when the body has ended and what was left of it has been given by next.
func (l *lines) fill() error {
	if l.ended {
		return io.EOF
	}
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
	if l.w == len(l.buf) {
		if l.w >= maxLine {
			return errTooLong
		}
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	n, err := l.src.Read(l.buf[l.w:])
	l.w += n
	if l.left -= int64(n); l.left < 0 {
		return errTooLong
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

// drain reads and drops what is left of a body that should end now.
func (l *lines) drain() {
	for !l.ended && l.fill() == nil {
		l.r = l.w
	}
}
