// Package http1 is an http.RoundTripper for HTTP/1.1 alone, made for many small calls to few servers. The goroutine that
// calls writes the request and reads the answer itself: there is none for a connection, so nothing is handed from one
// to another. It is strict: an answer whose end could be read in two ways is refused (RFC 9112, section 6.3), and a
// connection is used again only when the answer before ended as it said it would and nothing came after it.
//
// What net/http's Transport has beyond this is left out: proxies, HTTP/2, compression, redirect helpers, protocol
// upgrades, Expect: 100-continue, bodies of unknown length, httptrace, and Response.TLS.
package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"outcrop/socket"
)

// Config says how connections are made and kept. A time limit that is 0 is none.
type Config struct {
	DialContext    func(ctx context.Context, network, address string) (net.Conn, error) // nil is a net.Dialer's
	TLS            *tls.Config                                                          // for https; nil is the default one
	ConnectTimeout time.Duration                                                        // for TCP and TLS together
	AnswerTimeout  time.Duration                                                        // from the call of RoundTrip until Body.SetReadTimeout is called
	IdleTimeout    time.Duration                                                        // a connection that has waited longer is not used again
	MaxIdleConns   int                                                                  // connections kept for reuse, of all servers together
}

// Transport sends requests and keeps connections. It starts no goroutine that outlives a call.
type Transport struct {
	cfg Config

	mu     sync.Mutex
	idle   map[server][]*conn // in the order in which they came to wait; the last is taken first
	kept   int
	closed bool
}

// server is what a connection leads to.
type server struct{ scheme, host string }

// New returns a Transport. It connects to nothing.
func New(c Config) *Transport {
	if c.DialContext == nil {
		c.DialContext = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{}
	}
	c.TLS = c.TLS.Clone()
	c.TLS.NextProtos = []string{"http/1.1"}
	return &Transport{cfg: c, idle: map[server][]*conn{}}
}

// Close closes the connections that wait. Those in use are closed when their answers end.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.CloseIdleConnections()
	return nil
}

// CloseIdleConnections closes the connections that wait for reuse.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	idle := t.idle
	t.idle, t.kept = map[server][]*conn{}, 0
	t.mu.Unlock()
	for _, list := range idle {
		for _, c := range list {
			c.Close()
		}
	}
}

// take returns a connection that has waited, or nil. Those found to have waited for too long on the way are closed.
func (t *Transport) take(to server, now time.Time) *conn {
	for {
		t.mu.Lock()
		list := t.idle[to]
		n := len(list) - 1
		if n < 0 {
			t.mu.Unlock()
			return nil
		}
		c := list[n]
		list[n] = nil
		if t.idle[to] = list[:n]; n == 0 && len(t.idle) > 1 {
			delete(t.idle, to) // the list of the one server that there usually is stays
		}
		t.kept--
		t.mu.Unlock()
		if !t.stale(c, now) {
			c.reused = true
			return c
		}
		c.Close()
	}
}

func (t *Transport) stale(c *conn, now time.Time) bool {
	return t.cfg.IdleTimeout > 0 && now.Sub(c.since) >= t.cfg.IdleTimeout
}

// put keeps c for the next request. It closes up to two connections that have waited for too long: more than it adds,
// so that those of a burst are gone after as many calls.
func (t *Transport) put(c *conn) {
	c.since = time.Now()
	var stale [2]*conn
	full := false
	t.mu.Lock()
	list := t.idle[c.to]
	for i := range stale {
		if len(list) == 0 || !t.stale(list[0], c.since) {
			break
		}
		stale[i], list[0] = list[0], nil
		list = list[1:]
		t.kept--
	}
	if t.kept < t.cfg.MaxIdleConns && !t.closed {
		list = append(list, c)
		t.kept++
	} else {
		full = true
	}
	if len(list) > 0 {
		t.idle[c.to] = list
	} else {
		delete(t.idle, c.to)
	}
	t.mu.Unlock()
	for _, old := range stale {
		if old != nil {
			old.Close()
		}
	}
	if full {
		c.Close()
	}
}

// RoundTrip implements http.RoundTripper. Once r's context is done it returns the context's cause, as do Reads of the
// answer's body; a time limit that passes is a net.Error whose Timeout is true; a connection that cannot be made is a
// *net.OpError with Op "dial", whatever the reason. Read and Close of the body belong to one goroutine at a time: to end
// a Read from another one, end the context.
//
// A server may close a connection that waits at the very moment when a request is sent on it. Whether the server has
// acted on the request cannot be told then, so the rule is net/http's: it goes out once more, on a new connection, when
// the failed one was a kept one, not a byte of an answer came, the body can be had again (GetBody), and the request may
// be repeated: by its method (RFC 9110, section 9.2.2) or because it has an Idempotency-Key or X-Idempotency-Key, which
// present but empty is not sent. One bound is added: such a close shows within a round trip. A server that had the whole
// request for longer than closeRace has worked on it, as far as anybody knows, and its failure is the caller's to see.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now()
	body := r.Body
	defer func() {
		if body != nil {
			body.Close()
		}
	}()
	if err := check(r); err != nil {
		return nil, err
	}
	ctx := r.Context()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	to := server{r.URL.Scheme, r.URL.Host}
	for c := t.take(to, now); ; {
		if c == nil {
			var err error
			if c, err = t.dial(ctx, to, r.URL); err != nil {
				return nil, err
			}
		}
		a := &answer{t: t, c: c, ctx: ctx}
		err := a.exchange(r, body, now)
		if err == nil {
			return &a.resp, nil
		}
		if err == errStale {
			a.release(false)
			c = t.take(to, now)
			continue
		}
		again := c.reused && !a.begun && !timedOut(err) && ctx.Err() == nil && repeatable(r) && (!a.sent || time.Since(now) < closeRace)
		a.release(false)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !again {
			return nil, err
		}
		if body != nil {
			body.Close()
			if body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		c = nil
	}
}

// closeRace is how long the news takes at most that a server closed a connection before it saw the request.
const closeRace = 2 * time.Second

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func repeatable(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	_, one := r.Header["Idempotency-Key"]
	_, other := r.Header["X-Idempotency-Key"]
	return one || other
}

// dial connects. ctx and ConnectTimeout bound it, TLS included.
func (t *Transport) dial(ctx context.Context, to server, u *url.URL) (*conn, error) {
	limited := ctx
	if t.cfg.ConnectTimeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, t.cfg.ConnectTimeout)
		defer cancel()
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[to.scheme]
	}
	failed := func(err error) (*conn, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			err = &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
		return nil, err
	}
	nc, err := t.cfg.DialContext(limited, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return failed(err)
	}
	c := &conn{Conn: socket.New(nc), to: to}
	c.cut = func() { c.SetDeadline(past) }
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
		c.asking.step = c.step
	}
	if to.scheme == "https" {
		cfg := t.cfg.TLS
		if cfg.ServerName == "" {
			cfg = cfg.Clone()
			cfg.ServerName = u.Hostname()
		}
		tc := tls.Client(c.Conn, cfg)
		if err := tc.HandshakeContext(limited); err != nil {
			nc.Close()
			return failed(fmt.Errorf("TLS handshake: %w", err))
		}
		c.Conn, c.layered = tc, true
	}
	return c, nil
}

// check refuses a request that cannot be written as one.
func check(r *http.Request) error {
	host := r.Host
	if host == "" && r.URL != nil {
		host = r.URL.Host
	}
	switch {
	case r.URL == nil, r.URL.Host == "", r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return errors.New("http1: the request has no URL of the form http://HOST or https://HOST")
	case r.ContentLength < 0, r.ContentLength == 0 && r.Body != nil && r.Body != http.NoBody:
		return errors.New("http1: the request's body has no known length")
	case r.ContentLength > 0 && (r.Body == nil || r.Body == http.NoBody):
		return errors.New("http1: the request has a length and no body")
	case r.Method != "" && !isToken(r.Method):
		return errors.New("http1: the request's method is malformed")
	case !isVisible(host):
		return errors.New("http1: the request's host is not plain ASCII")
	}
	for name, values := range r.Header {
		if !isToken(name) {
			return errors.New("http1: the name of a request header is malformed")
		}
		for _, v := range values {
			if !isFieldValue(v) {
				return fmt.Errorf("http1: the request header %s is malformed", name)
			}
		}
	}
	return nil
}

// appendHead appends r's head. Fields that frame the message or concern the connection are the transport's to set.
func appendHead(b []byte, r *http.Request) ([]byte, error) {
	method, uri, host := r.Method, r.URL.RequestURI(), r.Host
	if method == "" {
		method = http.MethodGet
	}
	if host == "" {
		host = r.URL.Host
	}
	if !isVisible(uri) || uri[0] != '/' {
		return nil, errors.New("http1: the request's URL has a character that has to be escaped, or a path without its slash")
	}
	b = append(append(append(append(b, method...), ' '), uri...), " HTTP/1.1\r\nHost: "...)
	if i := strings.IndexByte(host, '%'); i >= 0 && host[0] == '[' { // an IPv6 zone means nothing to the server (RFC 6874, section 4)
		if j := strings.IndexByte(host[i:], ']'); j >= 0 {
			host = host[:i] + host[i+j:]
		}
	}
	b = append(append(b, host...), "\r\n"...)
	for name, values := range r.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Keep-Alive", "Upgrade", "Expect":
			continue
		}
		for _, v := range values {
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	if r.ContentLength > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), r.ContentLength, 10), "\r\n"...)
	}
	if r.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// send writes r: a request that fits into the buffer in one write. stuck says that the connection is why it failed.
// writeBy is when that has to be done. errStale means that nothing was sent: the connection is no longer as it was left.
func (c *conn) send(r *http.Request, body io.Reader, writeBy time.Time) (stuck bool, err error) {
	var b []byte
	var left int64
	if c.asks() {
		b, left, stuck, err = c.ask(r, body)
	} else {
		b, left, err = c.compose(r, body)
	}
	if err != nil || len(b) == 0 && left == 0 {
		return stuck, err
	}
	if !writeBy.IsZero() {
		if err := c.SetWriteDeadline(writeBy); err != nil {
			return true, err
		}
		if err := c.ctx.Err(); err != nil { // it ends waits by a deadline too
			return true, err
		}
	}
	if len(b) > 0 {
		if _, err := c.Write(b); err != nil {
			return true, err
		}
	}
	if left == 0 {
		return false, nil
	}
	w := bodyWriter{conn: c.Conn, left: left}
	if _, err := io.Copy(&w, body); err != nil {
		return w.stuck, err
	}
	if w.left > 0 {
		return false, errShortBody
	}
	return false, nil
}

// compose puts r into the buffer: its head, and of its body what fits. left is how much of that does not.
func (c *conn) compose(r *http.Request, body io.Reader) (b []byte, left int64, err error) {
	b, err = appendHead(c.buf[:0], r)
	if err != nil {
		return nil, 0, err
	}
	left = r.ContentLength
	for left > 0 && len(b) < cap(b) {
		n, err := body.Read(b[len(b):min(int64(cap(b)), int64(len(b))+left)])
		b = b[:len(b)+n]
		left -= int64(n)
		if err == io.EOF && left > 0 {
			return nil, 0, errShortBody
		} else if err != nil && err != io.EOF {
			return nil, 0, err
		}
	}
	return b, left, nil
}

var (
	errStale     = errors.New("http1: the connection has changed while it waited")
	errShortBody = errors.New("http1: the request's body is shorter than its length")
	errLongBody  = errors.New("http1: the request's body is longer than its length")
)

// bodyWriter lets through no more than the length that the head has told.
type bodyWriter struct {
	conn  net.Conn
	left  int64
	stuck bool
}

func (w *bodyWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > w.left {
		return 0, errLongBody
	}
	n, err := w.conn.Write(b)
	w.left -= int64(n)
	w.stuck = err != nil
	return n, err
}
