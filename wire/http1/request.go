package http1

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// exchange is a request and its answer, made in one piece.
type exchange struct {
	req    http.Request
	url    url.URL
	body   body
	w      response
	values [16]string // behind the slices of the request's header, while they suffice
}

// phase is the one in which the handler begins.
func (x *exchange) phase() phase {
	if x.body.left > int64(x.w.c.w-x.w.c.r) {
		return receiving
	}
	return running
}

// parse makes a request of head, which ends in an empty line, exactly as net/http would, or returns nil if it is not of
// the common form. Nothing of the request refers to head.
func (c *conn) parse(head []byte) *exchange {
	s := string(head) // the one copy: all strings of the request are parts of it
	line, rest, _ := strings.Cut(s, "\r\n")
	method, target, ok := requestLine(line)
	if !ok {
		return nil
	}
	x := new(exchange)
	if !parseTarget(&x.url, target) {
		return nil
	}
	n := strings.Count(rest, "\n") - 1
	values := x.values[:]
	if n > len(values) {
		values = make([]string, n)
	}
	h := make(http.Header, n)
	host, hosts, length, lengths := "", 0, int64(0), 0
	closes := false
	for len(rest) > 2 {
		end := strings.IndexByte(rest, '\n') // there is one: head ends in it
		line := rest[:end]
		rest = rest[end+1:]
		colon := strings.IndexByte(line, ':')
		if colon < 1 || line[len(line)-1] != '\r' {
			return nil
		}
		name, meaning := fieldName(line[:colon])
		value, ok := fieldValue(line[colon+1 : len(line)-1])
		if name == "" || !ok {
			return nil
		}
		switch meaning {
		case plainField:
		case hostField:
			// net/http keeps it in the request alone.
			if host, hosts = value, hosts+1; !validHost(host) || hosts > 1 {
				return nil
			}
			continue
		case lengthField:
			if length, ok = parseLength(value); !ok || lengths > 0 {
				return nil
			}
			lengths++
		case connectionField:
			switch {
			case strings.EqualFold(value, "close"):
				closes = true
			case !strings.EqualFold(value, "keep-alive"):
				return nil
			}
		case strangeField:
			return nil
		}
		if old := h[name]; old != nil {
			h[name] = append(old, value)
			continue
		}
		values[0] = value
		h[name] = values[:1:1]
		values = values[1:]
	}
	if hosts != 1 {
		return nil
	}
	x.req = *c.base
	r := &x.req
	r.Method, r.URL, r.RequestURI, r.Header, r.Host, r.Close, r.ContentLength = method, &x.url, target, h, host, closes, length
	r.Body = http.NoBody
	if length > 0 {
		r.Body = &x.body
		x.body.c, x.body.left = c, length
	}
	x.w.c, x.w.x, x.w.length, x.w.closes = c, x, -1, closes
	return x
}

// requestLine splits a request line of a common method, an origin-form target and HTTP/1.1.
func requestLine(line string) (method, target string, ok bool) {
	method, rest, _ := strings.Cut(line, " ")
	switch method {
	case "GET":
		method = http.MethodGet
	case "POST":
		method = http.MethodPost
	case "PUT":
		method = http.MethodPut
	case "DELETE":
		method = http.MethodDelete
	case "PATCH":
		method = http.MethodPatch
	default:
		return "", "", false
	}
	target, version, _ := strings.Cut(rest, " ")
	return method, target, version == "HTTP/1.1" && target != "" && target[0] == '/'
}

// parseTarget fills in what url.ParseRequestURI makes of an origin-form target.
func parseTarget(u *url.URL, target string) bool {
	plain := true // the path is what encoding it again would give
	i := 0
	for ; i < len(target) && target[i] != '?'; i++ {
		c := target[i]
		if c <= ' ' || c >= 0x7f {
			return false
		}
		plain = plain && bytesOf[c]&pathByte != 0
	}
	for j := i; j < len(target); j++ {
		if c := target[j]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	if !plain || i == len(target)-1 { // "?" at the end is ForceQuery
		parsed, err := url.ParseRequestURI(target)
		if err != nil {
			return false
		}
		*u = *parsed
		return true
	}
	u.Path = target[:i]
	if i < len(target) {
		u.RawQuery = target[i+1:]
	}
	return true
}

// What a byte may be part of.
const (
	tokenByte = 1 << iota // of a field's name (RFC 9110, section 5.6.2)
	hostByte              // of a Host that is surely valid
	pathByte              // of a path that url.URL.EscapedPath does not change
	valueByte             // of a field's value: all but control characters, and the tab
)

var bytesOf = func() (t [256]uint8) {
	mark := func(kind uint8, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= kind
		}
	}
	const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark(tokenByte, alphanumeric+"!#$%&'*+-.^_`|~")
	mark(hostByte, alphanumeric+"-._:[]")
	mark(pathByte, alphanumeric+"-._~$&+,/:;=@")
	for c := range 256 {
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= valueByte
		}
	}
	return t
}()

func validHost(s string) bool {
	for i := range len(s) {
		if bytesOf[s[i]]&hostByte == 0 {
			return false
		}
	}
	return s != ""
}

// meaning is what a field is to the server itself.
type meaning uint8

const (
	plainField meaning = iota
	hostField
	lengthField
	connectionField
	strangeField // it changes how the message is read, or what net/http makes of it
)

type field struct {
	name string
	meaning
}

// fields are the names that clients send, as they spell them, so that most need neither checking nor a new string.
var fields = func() map[string]field {
	m := map[string]field{}
	add := func(meaning meaning, names ...string) {
		for _, n := range names {
			f := field{http.CanonicalHeaderKey(n), meaning}
			m[n], m[f.name], m[strings.ToLower(n)] = f, f, f
		}
	}
	add(plainField, "Accept", "Accept-Encoding", "Amz-Sdk-Invocation-Id", "amz-sdk-invocation-id", "Amz-Sdk-Request", "Authorization",
		"Cache-Control", "Content-Type", "User-Agent", "X-Amz-Content-Sha256", "X-Amz-Content-SHA256", "X-Amz-Date", "X-Amz-Security-Token",
		"X-Amz-Target", "X-Amz-User-Agent", "X-Amzn-Bedrock-Accept", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Proto")
	add(hostField, "Host")
	add(lengthField, "Content-Length")
	add(connectionField, "Connection")
	add(strangeField, "Transfer-Encoding", "Expect", "Upgrade", "Trailer", "Pragma")
	return m
}()

// fieldName returns the canonical form of a field's name, "" if it is not a token.
func fieldName(s string) (string, meaning) {
	if f, ok := fields[s]; ok {
		return f.name, f.meaning
	}
	for i := range len(s) {
		if bytesOf[s[i]]&tokenByte == 0 {
			return "", 0
		}
	}
	s = http.CanonicalHeaderKey(s)
	return s, fields[s].meaning
}

// fieldValue trims a field's value.
func fieldValue(s string) (string, bool) {
	for i := range len(s) {
		if bytesOf[s[i]]&valueByte == 0 {
			return "", false
		}
	}
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s, true
}

// parseLength reads a Content-Length, up to 2^53 or so.
func parseLength(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 16 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, true
}

// body is the body of a request. It may be read by another goroutine than the handler's, which may outlive the handler.
type body struct {
	mu     sync.Mutex
	c      *conn
	left   int64 // not read yet
	err    error // what broke
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case b.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	return b.read(p)
}

// Close ends the reading. What is left of the body is drained, or ends the connection, when the answer is written.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

func (b *body) read(p []byte) (n int, err error) {
	c := b.c
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if c.r < c.w {
		n = copy(p, c.buf[c.r:c.w])
		c.r += n
	} else if n, err = c.receive(p); err != nil {
		b.err = err
		return 0, err
	}
	if b.left -= int64(n); b.left > 0 {
		return n, nil
	}
	c.received()
	c.leave(receiving, running) // false if it had all come with the head
	return n, io.EOF
}

// drain reads what is left, and ends the reading. It reports whether the connection can be used on.
func (b *body) drain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.left >= maxDrain {
		return false
	}
	for b.left > 0 && b.err == nil {
		c := b.c
		if n := int64(c.w - c.r); n > 0 {
			n = min(n, b.left)
			c.r += int(n)
			b.left -= n
			continue
		}
		_, _ = b.read(c.buf) // which is empty
	}
	return b.err == nil
}

// consumed reports whether all has been read. While another goroutine reads, it has not.
func (b *body) consumed() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return b.left == 0
}

// end is called when the handler has returned. It reports whether a part of the body was not read.
func (b *body) end() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.left > 0
}
