package http1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	maxHead    = 64 << 10 // of an answer's head, with those of the interim answers before it
	maxFields  = 256
	lateAnswer = 100 * time.Millisecond // for the answer of a server that does not take the whole request
)

// answer is one exchange on a connection, its http.Response and its body.
type answer struct {
	resp http.Response
	t    *Transport
	c    *conn // nil once it is released
	ctx  context.Context
	stop func() bool // takes back the watch on ctx; false when it has gone off

	sent    bool // the whole request went out
	begun   bool // a byte of the answer came
	keep    bool // the connection may be used again when the body has ended
	timeout time.Duration
	timed   bool // timeout was set

	framing framing
	phase   phase
	left    int64 // of the body or of the chunk
	trailer int   // fields so far
	err     error // what every further Read returns
}

// exchange sends r and reads the head of its answer.
func (a *answer) exchange(r *http.Request, body io.Reader, now time.Time) error {
	c := a.c
	c.borrow()
	c.ctx = a.ctx
	if c.reused && !c.asks() && !c.quiet() {
		return errStale
	}
	var deadline time.Time
	if a.t.cfg.AnswerTimeout > 0 {
		deadline = now.Add(a.t.cfg.AnswerTimeout)
	}
	if err := c.within(deadline, now); err != nil {
		return err
	}
	// After any deadline that is set later ctx is asked once more: one of the two ends every wait.
	if w, ok := a.ctx.(afterFuncer); ok {
		a.stop = w.AfterFunc(c.cut)
	} else if a.ctx.Done() != nil {
		a.stop = context.AfterFunc(a.ctx, c.cut)
	}
	stuck, sent := c.send(r, body, deadline)
	if sent != nil {
		if !stuck || timedOut(sent) {
			return sent
		}
		// A server that refuses a request before it has all of it says why, if it can, and closes.
		if err := a.wait(lateAnswer); err != nil {
			return sent
		}
		if err := a.head(r); err != nil {
			return sent
		}
		if err := c.within(deadline, time.Now()); err != nil {
			return sent
		}
		if err := a.ctx.Err(); err != nil {
			return err
		}
	} else {
		a.sent = true
		if err := a.head(r); err != nil {
			return err
		}
	}
	a.keep = a.keep && sent == nil && !r.Close
	a.resp.Request, a.resp.Body = r, a
	if a.framing == byLength && a.left == 0 {
		a.err = io.EOF
		a.release(true)
	}
	return nil
}

// afterFuncer is a context that can be watched directly. context.AfterFunc would do it too, with a context of its own.
type afterFuncer interface {
	AfterFunc(f func()) (stop func() bool)
}

// wait lets reads wait for as long as d, 0 being for ever, unless ctx is done.
func (a *answer) wait(d time.Duration) error {
	now := time.Now()
	var limit time.Time
	if d > 0 {
		limit = now.Add(d)
	}
	if err := a.c.within(limit, now); err != nil {
		return err
	}
	return a.ctx.Err()
}

// release gives the connection back, or closes it when the answer did not end as it should have.
func (a *answer) release(ended bool) {
	c := a.c
	if c == nil {
		return
	}
	a.c = nil
	again := ended && a.keep && c.r == c.w && c.err == nil
	c.giveBack()
	if a.stop != nil && !a.stop() {
		again = false // what watched ctx may still be about to set a deadline
	}
	if again {
		a.t.put(c)
	} else {
		c.Close()
	}
}

// head reads the answer's head. Interim answers (1xx) before it are skipped.
func (a *answer) head(r *http.Request) error {
	for most := maxHead; ; {
		n, fields, err := a.scan(most)
		if err != nil {
			return err
		}
		s := string(a.c.buf[a.c.r : a.c.r+n])
		a.c.r += n
		most -= n
		if err := a.parse(s, fields); err != nil {
			return err
		}
		if a.resp.StatusCode >= 200 {
			return a.frame(r)
		}
		if a.resp.StatusCode == http.StatusSwitchingProtocols {
			return errors.New("http1: the server changes to a protocol that nobody asked for")
		}
	}
}

// scan waits for the end of a head and returns its length and how many fields it has. It reads line by line, so that
// what is no HTTP is refused at once and not when the time is over.
func (a *answer) scan(most int) (n, fields int, err error) {
	c := a.c
	fields = -1 // the first line is none
	for {
		b := c.unread()
		a.begun = a.begun || len(b) > 0
		if got, want := b[:min(len(b), 7)], "HTTP/1."; string(got) != want[:len(got)] {
			return 0, 0, errors.New("http1: the server does not answer with HTTP/1")
		}
		for {
			i := bytes.IndexByte(b[n:], '\n')
			if i < 0 {
				break
			}
			if i == 0 || b[n+i-1] != '\r' {
				return 0, 0, errors.New("http1: a line of the answer's head does not end with CRLF")
			}
			if n += i + 1; n > most {
				return 0, 0, errLongHead
			}
			if i == 1 {
				return n, fields, nil
			}
			if fields++; fields > maxFields {
				return 0, 0, errLongHead
			}
		}
		if err := c.fill(most); err == errFull {
			return 0, 0, errLongHead
		} else if err == io.EOF {
			return 0, 0, fmt.Errorf("http1: the server has closed the connection: %w", io.ErrUnexpectedEOF)
		} else if err != nil {
			return 0, 0, err
		}
	}
}

var errLongHead = errors.New("http1: the answer's head is too long")

// parse reads a head: a status line, fields, an empty line, each with its CRLF. One string holds all of it, one array
// all values.
func (a *answer) parse(s string, fields int) error {
	first, s, _ := strings.Cut(s, "\r\n")
	// "HTTP/1.1 200 OK": the reason may be empty, and some servers leave the space before it out too.
	if len(first) < 12 || first[7] != '0' && first[7] != '1' || first[8] != ' ' || len(first) > 12 && first[12] != ' ' || !isFieldValue(first) {
		return errStatusLine
	}
	status := 0
	for _, d := range []byte(first[9:12]) {
		if d < '0' || d > '9' {
			return errStatusLine
		}
		status = status*10 + int(d-'0')
	}
	if status < 100 {
		return errStatusLine
	}
	h := make(http.Header, fields)
	values := make([]string, fields)
	for i := range values {
		var line string
		line, s, _ = strings.Cut(s, "\r\n")
		name, v, found := strings.Cut(line, ":")
		// A name that begins with or ends in a space is none, which refuses folded lines too (RFC 9112, section 5).
		if !found || !isToken(name) || !isFieldValue(v) {
			return errors.New("http1: a field of the answer's head is malformed")
		}
		name = http.CanonicalHeaderKey(name)
		values[i] = strings.Trim(v, " \t")
		if before, ok := h[name]; ok {
			h[name] = append(before, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
	a.resp.Status, a.resp.StatusCode, a.resp.Header = first[9:], status, h
	a.resp.Proto, a.resp.ProtoMajor, a.resp.ProtoMinor = first[:8], 1, int(first[7]-'0')
	return nil
}

var errStatusLine = errors.New("http1: the answer's status line is malformed")

// frame finds out where the body ends (RFC 9112, section 6.3). Of what the section lets a recipient repair, nothing is:
// two lengths, even equal ones, a length beside a transfer coding, and a coding other than chunked are refused.
func (a *answer) frame(r *http.Request) error {
	h := a.resp.Header
	a.keep = a.resp.ProtoMinor == 1
	for _, v := range h["Connection"] {
		for option := range strings.SplitSeq(v, ",") {
			switch option = strings.Trim(option, " \t"); {
			case strings.EqualFold(option, "close"):
				a.resp.Close = true
			case strings.EqualFold(option, "keep-alive"):
				a.keep = true
			}
		}
	}
	codings, lengths := h["Transfer-Encoding"], h["Content-Length"]
	length := int64(-1)
	switch {
	case len(codings) > 1, len(lengths) > 1, len(codings) > 0 && len(lengths) > 0:
		return errors.New("http1: the answer tells the length of its body more than once")
	case len(codings) > 0:
		if a.resp.ProtoMinor == 0 || !strings.EqualFold(codings[0], "chunked") {
			return errors.New("http1: the answer has a transfer coding that it may not have")
		}
		delete(h, "Transfer-Encoding")
		a.resp.TransferEncoding = []string{"chunked"}
	case len(lengths) > 0:
		var ok bool
		if length, ok = parseLength(lengths[0]); !ok {
			return errors.New("http1: the answer's Content-Length is malformed")
		}
	}
	switch {
	case r.Method == http.MethodHead, a.resp.StatusCode == http.StatusNotModified:
		a.resp.ContentLength = length // of the body that another request would get
	case a.resp.StatusCode == http.StatusNoContent:
		a.keep = a.keep && length <= 0 && codings == nil // it may have no body and says that it has
	case codings != nil:
		a.framing, a.resp.ContentLength = byChunks, -1
	case length >= 0:
		a.left, a.resp.ContentLength = length, length
	default:
		a.framing, a.resp.ContentLength = byClose, -1
		a.keep = false
	}
	a.resp.Close = a.resp.Close || !a.keep
	a.keep = !a.resp.Close
	return nil
}

func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

// isToken is RFC 9110's, section 5.6.2.
func isToken[S string | []byte](s S) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

var tokenBytes = func() (t [256]bool) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		t[b] = true
	}
	return t
}()

// isFieldValue is false for control characters other than the tab.
func isFieldValue[S string | []byte](s S) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// isVisible is true for ASCII without spaces and control characters.
func isVisible(s string) bool {
	for i := range len(s) {
		if b := s[i]; b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return true
}
