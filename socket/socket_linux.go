//go:build linux && !race

package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
	"unsafe"
)

// conn is a connection with cheaper reads and writes.
type conn struct {
	net.Conn
	raw     syscall.RawConn
	in, out transfer
}

// transfer is one read or write under way. step is made once, so that a call allocates nothing.
type transfer struct {
	b    []byte
	n    int
	err  error
	step func(fd uintptr) (done bool)
}

// New returns c with cheaper reads and writes, or c itself when it is not its socket that is read and written. Deadlines,
// Close and errors are as before. One goroutine at a time may read, and one write.
func New(c net.Conn) net.Conn {
	var sc syscall.Conn
	switch c := c.(type) { // no other kind of connection is known to be just its socket
	case *net.TCPConn:
		sc = c
	case *net.UnixConn:
		sc = c
	default:
		return c
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return c
	}
	s := &conn{Conn: c, raw: raw}
	s.in.step, s.out.step = s.in.read, s.out.write
	return s
}

func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t := &c.in
	t.b, t.n, t.err = p, 0, nil
	err := c.raw.Read(t.step)
	t.b = nil
	switch {
	case err != nil:
		return 0, c.failure("read", err)
	case t.err != nil:
		return 0, c.failure("read", t.err)
	case t.n == 0:
		return 0, io.EOF
	}
	return t.n, nil
}

func (c *conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t := &c.out
	t.b, t.n, t.err = p, 0, nil
	err := c.raw.Write(t.step)
	t.b = nil
	if err == nil {
		err = t.err
	}
	if err != nil {
		err = c.failure("write", err)
	}
	return t.n, err
}

// failure gives an error the form that package net gives it.
func (c *conn) failure(op string, err error) error {
	if of, ok := errors.AsType[*net.OpError](err); ok { // of RawConn: a deadline, or the connection is closed
		of.Op = op
		return of
	}
	return Failure(c, op, err)
}

func (t *transfer) read(fd uintptr) (done bool) {
	t.n, t.err = Read(fd, t.b)
	return !again(&t.err)
}

func (t *transfer) write(fd uintptr) (done bool) {
	for t.n < len(t.b) && t.err == nil {
		var n int
		n, t.err = Write(fd, t.b[t.n:])
		t.n += n
	}
	return !again(&t.err)
}

// again says that err only tells to wait, and forgets it.
func again(err *error) bool {
	if !Again(*err) {
		return false
	}
	*err = nil
	return true
}

// Read is read(2) of a file descriptor that is not blocking, again when a signal came between. The error is a
// syscall.Errno. b is not empty.
func Read(fd uintptr, b []byte) (int, error) { return call(syscall.SYS_READ, fd, b, 0) }

// Write is write(2), as Read is read(2).
func Write(fd uintptr, b []byte) (int, error) { return call(syscall.SYS_WRITE, fd, b, 0) }

// Peek is recv(2) that leaves what it reads, as Read is read(2).
func Peek(fd uintptr, b []byte) (int, error) {
	return call(syscall.SYS_RECVFROM, fd, b, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

func call(number, fd uintptr, b []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
