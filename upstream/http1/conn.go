package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// conn is one connection. While a request is under way it has a buffer, in which the request is made and from which the
// answer is read; one that waits has none.
type conn struct {
	net.Conn
	to      server
	raw     syscall.RawConn // the socket below, nil when there is none
	layered bool            // TLS lies between
	reused  bool
	since   time.Time // when it began to wait
	cut     func()    // ends every wait; made once, as is asking's step

	ctx    context.Context // of the request under way
	limit  time.Time       // when reads have waited long enough; zero is never
	armed  time.Time       // the deadline that the socket has for reads: see within
	asking asking

	own  *[]byte // the pooled buffer that buf began as
	buf  []byte
	r, w int   // what is between them has come and is not read yet
	err  error // came with the last of it
}

const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

func (c *conn) borrow() {
	c.own = buffers.Get().(*[]byte)
	c.buf, c.r, c.w = *c.own, 0, 0
}

func (c *conn) giveBack() {
	buffers.Put(c.own)
	c.own, c.buf, c.ctx = nil, nil, nil
}

func (c *conn) unread() []byte { return c.buf[c.r:c.w] }

// fill reads once from the connection. It returns errFull when what is not read yet already has most bytes.
func (c *conn) fill(most int) error {
	if c.err != nil {
		return c.err
	}
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w >= most {
		return errFull
	}
	if c.w == len(c.buf) {
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	for range 10 {
		n, err := c.read(c.buf[c.w:])
		c.w += n
		if n > 0 {
			c.err = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

var errFull = errors.New("http1: too long")

// within lets reads wait until limit. A deadline that the socket has already, and that is earlier but not over, is left
// as it is: to set one costs as much as a short read, and most waits end long before. When it passes, read sets the
// right one.
func (c *conn) within(limit, now time.Time) error {
	c.limit = limit
	if c.armed.IsZero() {
		if limit.IsZero() {
			return nil
		}
	} else if c.armed.After(now) && (limit.IsZero() || !c.armed.After(limit)) {
		return nil
	}
	return c.arm(limit)
}

func (c *conn) arm(deadline time.Time) error {
	c.armed = deadline
	return c.SetReadDeadline(deadline)
}

// read reads once, within the limit.
func (c *conn) read(b []byte) (n int, err error) {
	n, err = c.Read(b)
	if n == 0 && c.early(err) {
		return c.Read(b)
	}
	return n, err
}

// early says that err is the deadline of an earlier wait, and has set the right one.
func (c *conn) early(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || c.armed.Equal(c.limit) || c.ctx.Err() != nil {
		return false
	}
	// ctx ends waits by a deadline too, which may be overwritten here.
	return c.arm(c.limit) == nil && c.ctx.Err() == nil
}

// past is a deadline that ends every wait.
var past = time.Unix(1, 0)

// quiet says that a connection that has waited is still as it was left. A server that has closed it, or that has sent
// what nobody asked for, which would be taken for the answer to the next request, is found out before it is used again.
// The socket is looked at without waiting. What TLS holds back, and a connection without a socket, can only be read.
// Where requests go out by ask, that looks itself.
func (c *conn) quiet() bool {
	deadline := past // TLS has read what it has from the socket already
	found := unknown
	if c.raw != nil {
		found = socketQuiet(c.raw)
	}
	switch found {
	case no:
		return false
	case unknown:
		deadline = time.Now().Add(time.Millisecond)
	}
	if c.arm(deadline) != nil {
		return false
	}
	var b [1]byte
	n, err := c.Read(b[:])
	c.armed = past
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

type finding int

const (
	unknown finding = iota
	yes
	no
)
