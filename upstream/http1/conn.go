package http1

import (
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
	c.own, c.buf = nil, nil
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
		n, err := c.Read(c.buf[c.w:])
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

// past is a deadline that ends every wait.
var past = time.Unix(1, 0)

// quiet says that a connection that has waited is still as it was left. A server that has closed it, or that has sent
// what nobody asked for, which would be taken for the answer to the next request, is found out before it is used again.
// The socket is looked at without waiting. What TLS holds back, and a connection without a socket, can only be read.
func (c *conn) quiet() bool {
	deadline := past // TLS has read what it has from the socket already
	found := unknown
	if c.raw != nil {
		found = socketQuiet(c.raw)
	}
	switch {
	case found == no, found == yes && !c.layered:
		return found == yes
	case found == unknown:
		deadline = time.Now().Add(time.Millisecond)
	}
	if c.SetReadDeadline(deadline) != nil {
		return false
	}
	var b [1]byte
	n, err := c.Read(b[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

type finding int

const (
	unknown finding = iota
	yes
	no
)
