package iam

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// workspace is the memory of one verification.
type workspace struct {
	buf      []byte // the canonical request
	query    []byte // encoded names and values
	params   []parameter
	segments []int // where the path's segments begin in buf
}

// parameter is a name and its value, both encoded, in workspace.query.
type parameter struct{ name, equals, end int }

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// release gives w back, unless a large request made it large.
func (w *workspace) release() {
	if cap(w.buf) <= 64<<10 && cap(w.query) <= 64<<10 {
		workspaces.Put(w)
	}
}

// canonicalRequest writes the canonical form of r into w.buf. It returns false when the list of signed headers is not
// in order: no good signature has such a list, and the order bounds how often one header can be written.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (w *workspace) canonicalRequest(r *http.Request, signedHeaders string, bodyHash []byte) bool {
	path, query := wireTarget(r)
	w.buf = append(w.buf[:0], r.Method...)
	w.buf = append(w.buf, '\n')
	w.canonicalPath(path)
	w.buf = append(w.buf, '\n')
	w.canonicalQuery(query)
	w.buf = append(w.buf, '\n')
	previous := ""
	for rest := signedHeaders; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		if name <= previous {
			return false
		}
		previous = name
		w.header(r, name)
	}
	w.buf = append(w.buf, '\n')
	w.buf = append(w.buf, signedHeaders...)
	w.buf = append(w.buf, '\n')
	w.buf = append(w.buf, bodyHash...)
	return true
}

// wireTarget returns the path and the query as they came. net/http keeps the request line's target in RequestURI; a
// request in absolute form (as to a proxy) has scheme and host in front of it.
func wireTarget(r *http.Request) (path, query string) {
	target := r.RequestURI
	if target == "" {
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	path, query, _ = strings.Cut(target, "?")
	if path != "" && path[0] != '/' {
		if _, rest, ok := strings.Cut(path, "://"); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				path = rest[i:]
			} else {
				path = ""
			}
		}
	}
	return path, query
}

// canonicalPath writes the path, normalised as RFC 3986 has it and encoded once more: every service but S3 signs what
// is on the wire encoded, its percent signs too.
func (w *workspace) canonicalPath(path string) {
	start := len(w.buf)
	w.segments = w.segments[:0]
	for rest, more := strings.TrimPrefix(path, "/"), true; more; {
		var s string
		s, rest, more = strings.Cut(rest, "/")
		switch s {
		case "", ".":
		case "..":
			if n := len(w.segments); n > 0 {
				w.buf = w.buf[:w.segments[n-1]]
				w.segments = w.segments[:n-1]
			}
		default:
			w.segments = append(w.segments, len(w.buf))
			w.buf = append(w.buf, '/')
			w.buf = appendEscaped(w.buf, s)
		}
	}
	if len(w.buf) == start || strings.HasSuffix(path, "/") {
		w.buf = append(w.buf, '/')
	}
}

// canonicalQuery writes the parameters sorted by name and value, each encoded in the one canonical way.
func (w *workspace) canonicalQuery(query string) {
	if query == "" {
		return
	}
	w.query, w.params = w.query[:0], w.params[:0]
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		p := parameter{name: len(w.query)}
		w.query = appendReescaped(w.query, name)
		p.equals = len(w.query)
		w.query = append(w.query, '=')
		w.query = appendReescaped(w.query, value)
		p.end = len(w.query)
		w.params = append(w.params, p)
	}
	q := w.query
	slices.SortFunc(w.params, func(a, b parameter) int {
		if c := bytes.Compare(q[a.name:a.equals], q[b.name:b.equals]); c != 0 {
			return c
		}
		return bytes.Compare(q[a.equals:a.end], q[b.equals:b.end])
	})
	for i, p := range w.params {
		if i > 0 {
			w.buf = append(w.buf, '&')
		}
		w.buf = append(w.buf, q[p.name:p.end]...)
	}
}

// header writes one signed header: its name in lower case, its values trimmed, with runs of spaces made one, joined by
// commas. What net/http keeps elsewhere than in Header is taken from there.
func (w *workspace) header(r *http.Request, name string) {
	var key [64]byte
	lower := appendLower(key[:0], name)
	w.buf = append(w.buf, lower...)
	w.buf = append(w.buf, ':')
	switch string(lower) {
	case "host", ":authority":
		w.buf = appendTrimmed(w.buf, r.Host)
	case "content-length":
		if r.ContentLength >= 0 {
			w.buf = strconv.AppendInt(w.buf, r.ContentLength, 10)
		}
	case "transfer-encoding":
		for i, v := range r.TransferEncoding {
			if i > 0 {
				w.buf = append(w.buf, ',')
			}
			w.buf = appendTrimmed(w.buf, v)
		}
	default:
		for i, v := range r.Header[string(canonicalKey(lower))] {
			if i > 0 {
				w.buf = append(w.buf, ',')
			}
			w.buf = appendTrimmed(w.buf, v)
		}
	}
	w.buf = append(w.buf, '\n')
}

// canonicalKey turns a lower-case name, in place, into the form that http.Header has it in.
func canonicalKey(name []byte) []byte {
	upper := true
	for i, c := range name {
		if upper && c >= 'a' && c <= 'z' {
			name[i] = c - ('a' - 'A')
		}
		upper = c == '-'
	}
	return name
}

func appendLower(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendTrimmed appends a header's value without the spaces around it, and with one where there are several.
func appendTrimmed(dst []byte, s string) []byte {
	s = strings.Trim(s, " \t")
	if !strings.Contains(s, "  ") {
		return append(dst, s...)
	}
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' && s[i-1] == ' ' {
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

const hexUpper = "0123456789ABCDEF"

// unreserved are the characters that stand for themselves: letters, digits and -._~
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

func appendEscapedByte(dst []byte, c byte) []byte {
	if unreserved[c] {
		return append(dst, c)
	}
	return append(dst, '%', hexUpper[c>>4], hexUpper[c&15])
}

func appendEscaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		dst = appendEscapedByte(dst, s[i])
	}
	return dst
}

// appendReescaped decodes s and encodes it again, so that all spellings of a parameter are one. A percent sign that
// begins no escape stands for itself.
func appendReescaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s):
			hi, ok1 := unhex(s[i+1])
			lo, ok2 := unhex(s[i+2])
			if ok1 && ok2 {
				c = hi<<4 | lo
				i += 2
			}
		}
		dst = appendEscapedByte(dst, c)
	}
	return dst
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
