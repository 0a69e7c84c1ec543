package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// Body is what the body of every answer of a Transport is. A Read returns all that has come, over the bounds of chunks,
// as far as it fits, and waits only when there is nothing: pieces that a server wrote together stay together.
//
// Close before the end keeps the connection only if the rest of the body has come already; it never waits.
type Body interface {
	io.ReadCloser

	// SetReadTimeout limits how long each Read from now on waits; 0 is no limit. Until it is called, Reads share the
	// AnswerTimeout with the head: the answer has begun when its reader says so.
	SetReadTimeout(d time.Duration)
}

var _ Body = (*answer)(nil)

const (
	maxChunkLine   = 256 // of a chunk's size with its extensions
	maxTrailerLine = 4 << 10
	maxTrailers    = 64
)

// framing is how the end of a body is found.
type framing int

const (
	byLength framing = iota
	byChunks
	byClose
)

// phase is what comes next in a chunked body.
type phase int

const (
	chunkSize phase = iota
	chunkData
	chunkEnd
	chunkTrailer
)

var (
	errChunk  = errors.New("http1: the answer's chunks are malformed")
	errWait   = errors.New("http1: no more has come yet")
	errClosed = errors.New("http1: read of a closed body")
)

func (a *answer) SetReadTimeout(d time.Duration) { a.timeout, a.timed = d, true }

func (a *answer) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := a.read(p, true)
	if err != nil {
		if err != io.EOF && a.ctx.Err() != nil {
			err = context.Cause(a.ctx)
		}
		a.err = err
		a.release(err == io.EOF)
	}
	return n, err
}

func (a *answer) Close() error {
	if a.err != nil {
		return nil //nolint:nilerr // the answer is over already, well or badly: its reader has been told
	}
	var scrap [512]byte
	var err error
	for a.keep && err == nil {
		_, err = a.read(scrap[:], false)
	}
	a.err = errClosed
	a.release(err == io.EOF)
	return nil
}

// read returns what has come. When that is nothing it waits, or, if it shall not, returns errWait.
func (a *answer) read(p []byte, wait bool) (int, error) {
	if a.framing == byChunks {
		return a.readChunks(p, wait)
	}
	c := a.c
	if c.r == c.w {
		if !wait {
			return 0, errWait
		}
		if err := a.fill(); err == io.EOF && a.framing == byLength {
			return 0, io.ErrUnexpectedEOF
		} else if err != nil {
			return 0, err
		}
	}
	b := c.unread()
	if a.framing == byLength && int64(len(b)) > a.left {
		b = b[:a.left]
	}
	n := copy(p, b)
	c.r += n
	if a.framing == byLength {
		if a.left -= int64(n); a.left == 0 {
			return n, io.EOF
		}
	}
	return n, nil
}

func (a *answer) readChunks(p []byte, wait bool) (n int, err error) {
	c := a.c
	for {
		if a.phase == chunkData {
			switch {
			case n == len(p):
				return n, nil
			case c.r < c.w:
				m := copy(p[n:], c.buf[c.r:c.r+int(min(int64(c.w-c.r), a.left))])
				n += m
				c.r += m
				if a.left -= int64(m); a.left == 0 {
					a.phase = chunkEnd
				}
			case n > 0:
				return n, nil
			case !wait:
				return 0, errWait
			default:
				if err := a.fill(); err != nil {
					return 0, unexpected(err)
				}
			}
			continue
		}
		most := maxChunkLine
		if a.phase == chunkTrailer {
			most = maxTrailerLine
		}
		line, err := a.line(most, wait && n == 0)
		if err == errWait && n > 0 {
			return n, nil
		} else if err != nil {
			return n, err
		}
		switch a.phase {
		case chunkEnd:
			if len(line) > 0 {
				return n, errChunk
			}
			a.phase = chunkSize
		case chunkSize:
			var ok bool
			if a.left, ok = parseChunkSize(line); !ok {
				return n, errChunk
			}
			if a.phase = chunkData; a.left == 0 {
				a.phase = chunkTrailer
			}
		case chunkTrailer:
			if len(line) == 0 {
				return n, io.EOF
			}
			name, v, found := bytes.Cut(line, []byte(":"))
			if a.trailer++; a.trailer > maxTrailers || !found || !isToken(name) || !isFieldValue(v) {
				return n, errChunk
			}
		}
	}
}

// line returns the next line without its CRLF, valid until the next fill.
func (a *answer) line(most int, wait bool) ([]byte, error) {
	c := a.c
	for {
		b := c.unread()
		switch i := bytes.IndexByte(b, '\n'); {
		case i == 0, i > most, i > 0 && b[i-1] != '\r', i < 0 && len(b) > most:
			return nil, errChunk
		case i > 0:
			c.r += i + 1
			return b[:i-1], nil
		case !wait:
			return nil, errWait
		}
		if err := a.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// parseChunkSize reads a chunk's size. Extensions say nothing that anybody knows (RFC 9112, section 7.1.1).
func parseChunkSize(line []byte) (int64, bool) {
	digits := line
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		digits = line[:i]
		if !isFieldValue(line[i:]) {
			return 0, false
		}
	}
	for n := len(digits); n > 0 && (digits[n-1] == ' ' || digits[n-1] == '\t'); n-- {
		digits = digits[:n-1] // some servers fill the size up with spaces
	}
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	var n int64
	for _, d := range digits {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | int64(d)
	}
	return n, true
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill waits for more of the body.
func (a *answer) fill() error {
	if a.timed { // else the limit is still the head's
		if err := a.wait(a.timeout); err != nil {
			return err
		}
	}
	return a.c.fill(bufferSize)
}
