package http1

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	beforeChunking = 2048     // an answer of unknown length that ends within so many bytes has a Content-Length; net/http's
	maxCopied      = 32 << 10 // larger pieces are written from where they are
	maxOut         = 64 << 10 // of what waits for a flush
)

// response is the http.ResponseWriter. The head is written to conn.out in two steps: at WriteHeader the status and the
// handler's header, at the commit what depends on the body.
type response struct {
	c       *conn
	x       *exchange
	header  http.Header
	pending []byte // the body before the commit

	status   int   // 0 before WriteHeader
	length   int64 // of the body, -1 when it is not known
	written  int64
	encoding string   // the handler's Transfer-Encoding
	options  []string // the handler's Connection

	committed    bool
	chunked      bool
	closes       bool // the connection closes after this answer
	hasDate      bool
	hasType      bool // or a Content-Encoding, so that the type is not guessed
	writeLimited bool
	done         bool
}

func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func (w *response) WriteHeader(status int) {
	if w.done {
		return
	}
	if w.status != 0 {
		w.c.s.logf("http1: superfluous WriteHeader(%d)", status)
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("http1: invalid WriteHeader code %d", status)) // net/http's manner
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.begin(status)
		w.c.out = append(w.c.out, "\r\n"...)
		w.c.flush()
		return
	}
	w.status = status
	if v := w.header["Content-Length"]; len(v) > 0 && v[0] != "" {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			w.length = n
		} else {
			w.c.s.logf("http1: invalid Content-Length of %q", v[0])
		}
	}
	w.begin(status)
	if w.length >= 0 && w.encoding != "" && w.encoding != "identity" {
		w.c.s.logf("http1: Transfer-Encoding %q and a Content-Length of %d", w.encoding, w.length)
		w.length = -1
	}
}

// begin writes the status line and the handler's header, but for what the server decides.
func (w *response) begin(status int) {
	out := w.c.out
	if status == http.StatusOK {
		out = append(out, "HTTP/1.1 200 OK\r\n"...)
	} else {
		text := http.StatusText(status)
		if text == "" {
			text = "status code " + strconv.Itoa(status)
		}
		out = fmt.Appendf(out, "HTTP/1.1 %03d %s\r\n", status, text)
	}
	var few [16]string
	names := few[:0]
	for name := range w.header {
		names = append(names, name)
	}
	slices.Sort(names) // for whoever compares two captures
	for _, name := range names {
		values := w.header[name]
		first := ""
		if len(values) > 0 {
			first = values[0]
		}
		switch name {
		case "Content-Length":
			continue
		case "Transfer-Encoding":
			if w.encoding = first; first == "" || first == "chunked" || first == "identity" || !bodyAllowed(status) {
				continue
			}
		case "Connection":
			w.closes = w.closes || first == "close"
			w.options = values
			continue
		case "Date":
			w.hasDate = true
		case "Content-Type":
			if w.hasType = true; status == http.StatusNotModified {
				continue
			}
		case "Content-Encoding":
			w.hasType = w.hasType || first != ""
		case "Trailer":
			continue
		}
		if isToken(name) { // a trailer's is not: "Trailer:Name"
			out = appendField(out, name, values)
		}
	}
	w.c.out = out
}

func isToken(s string) bool {
	for i := range len(s) {
		if bytesOf[s[i]]&tokenByte == 0 {
			return false
		}
	}
	return s != ""
}

var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ")

// appendField appends a line for each value. A line break in one is made a space, so that no value becomes a field.
func appendField(out []byte, name string, values []string) []byte {
	for _, v := range values {
		if strings.IndexByte(v, '\n') >= 0 || strings.IndexByte(v, '\r') >= 0 {
			v = lineBreaks.Replace(v)
		}
		out = append(append(out, name...), ": "...)
		out = append(append(out, strings.Trim(v, " \t")...), "\r\n"...)
	}
	return out
}

// commit completes the head. first is the beginning of the body; whole says that the handler is done.
func (w *response) commit(first []byte, whole bool) {
	w.committed = true
	allowed := bodyAllowed(w.status)
	if whole && w.length < 0 && allowed && w.encoding == "" {
		w.length = int64(len(first))
	}
	if w.c.s.stopping.Load() {
		w.closes = true
	}
	// Callers that send their whole request before they read would wait for us for ever, and we for them.
	if !w.closes && !w.x.body.drain() {
		w.closes = true
	}
	out := w.c.out
	if !w.hasDate {
		out = append(out, *w.c.s.date.Load()...)
	}
	switch {
	case !allowed:
	case w.length >= 0:
		out = append(out, "Content-Length: "...)
		out = append(strconv.AppendInt(out, w.length, 10), "\r\n"...)
	case w.encoding == "identity":
		w.closes = true
	default:
		w.chunked = true
	}
	if allowed && !w.hasType && w.encoding == "" && len(first) > 0 {
		out = append(append(append(out, "Content-Type: "...), http.DetectContentType(first)...), "\r\n"...)
	}
	if w.closes {
		out = append(out, "Connection: close\r\n"...)
	} else {
		out = appendField(out, "Connection", w.options)
	}
	if w.chunked {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	w.c.out = append(out, "\r\n"...)
}

func (w *response) Write(p []byte) (int, error) {
	if w.done {
		return 0, net.ErrClosed
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if !w.committed {
		// Small answers wait for their length to be known, and for the handler to read its body, which a commit ends.
		settled := w.length >= 0 && w.x.body.consumed()
		if !settled && len(w.pending)+len(p) <= beforeChunking {
			w.pending = append(w.pending, p...)
			return len(p), nil
		}
		w.commitPending(p)
	}
	w.add(p)
	return len(p), w.c.werr
}

// commitPending commits, and sends what waited for it; p follows.
func (w *response) commitPending(p []byte) {
	first := w.pending
	if len(first) < 512 && len(p) > 0 { // so much is looked at to guess the type
		first = append(first, p[:min(len(p), 512)]...)
	}
	w.commit(first, false)
	if len(w.pending) > 0 {
		w.add(w.pending)
	}
	w.pending = nil
}

// add sends a piece of the body, as one chunk if there are chunks, or keeps it for the next flush.
func (w *response) add(p []byte) {
	c := w.c
	if c.werr != nil {
		return
	}
	end := ""
	if w.chunked {
		c.out = append(strconv.AppendInt(c.out, int64(len(p)), 16), "\r\n"...)
		end = "\r\n"
	}
	if len(p) > maxCopied {
		c.writeAll(net.Buffers{c.out, p, []byte(end)})
		return
	}
	c.out = append(append(c.out, p...), end...)
	if len(c.out) > maxOut-maxCopied {
		c.flush()
	}
}

func (w *response) Flush() { _ = w.FlushError() }

// FlushError writes everything that waits, in one write.
func (w *response) FlushError() error {
	if w.done {
		return net.ErrClosed
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.commitPending(nil)
	}
	w.c.flush()
	return w.c.werr
}

// SetReadDeadline limits the reading of the body. It may be called from any goroutine while the handler runs.
func (w *response) SetReadDeadline(t time.Time) error { return w.c.setReadDeadline(t) }

// SetWriteDeadline limits writing until the handler returns.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.writeLimited = true
	return w.c.rwc.SetWriteDeadline(t)
}

// finish ends the answer when the handler has returned.
func (w *response) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.commit(w.pending, true)
		if len(w.pending) > 0 {
			w.add(w.pending)
		}
	}
	if w.chunked {
		w.c.out = append(w.c.out, "0\r\n\r\n"...)
	}
	w.c.flush()
	if w.length >= 0 && w.written != w.length && bodyAllowed(w.status) {
		w.closes = true // or the caller would take the next answer for the rest of this one
	}
	w.done = true
}

// flush writes what waits.
func (c *conn) flush() {
	if len(c.out) > 0 && c.werr == nil {
		c.writing(len(c.out))
		_, err := c.socket.Write(c.out)
		c.wrote(err)
	}
	c.out = c.out[:0]
}

func (c *conn) writeAll(b net.Buffers) {
	n := 0
	for _, p := range b {
		n += len(p)
	}
	c.writing(n)
	_, err := b.WriteTo(c.rwc)
	c.wrote(err)
	c.out = c.out[:0]
}

// writing tells the sweeper how long the write of n bytes may take. Whoever reads nothing must not hold an upstream.
func (c *conn) writing(n int) {
	if s := c.s; s.WriteTimeout > 0 {
		c.writeBy.Store(s.ticks.Load() + 1 + uint64((s.WriteTimeout+time.Duration(n>>16)*time.Second)/s.sweepEvery))
	}
}

func (c *conn) wrote(err error) {
	c.writeBy.Store(0)
	if err != nil {
		c.werr = err
		c.cancel() // the caller has gone
	}
}
