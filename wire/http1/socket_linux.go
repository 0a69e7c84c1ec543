//go:build linux && !race

package http1

import (
	"io"
	"net"
	"syscall"
	"unsafe"
)

// socket reads and writes a connection by system calls that the Go scheduler is not told of. A socket that is not
// blocking never waits in them. Package net tells it of each, and the first of them after an idle moment wakes the
// runtime's monitor thread, which then looks every 20 us whether a thread is stuck: at one call at a time that costs a
// tenth of the call.
//
// One goroutine at a time may read, and one write.
type socket struct {
	raw     syscall.RawConn // nil: what the connection is read and written by is not its socket
	conn    net.Conn
	in, out transfer
}

// transfer is one read or write under way. step is made once, so that a call allocates nothing.
type transfer struct {
	b    []byte
	n    int
	err  error
	step func(fd uintptr) (done bool)
}

func newSocket(c net.Conn) *socket {
	s := &socket{conn: c}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return s
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return s
	}
	s.raw, s.in.step, s.out.step = raw, s.in.read, s.out.write
	return s
}

func (s *socket) Read(p []byte) (int, error) {
	if s.raw == nil || len(p) == 0 {
		return s.conn.Read(p)
	}
	t := &s.in
	t.b, t.n, t.err = p, 0, nil
	err := s.raw.Read(t.step)
	t.b = nil
	if err != nil {
		return 0, err
	}
	if t.n == 0 && t.err == nil {
		return 0, io.EOF
	}
	return t.n, t.err
}

func (s *socket) Write(p []byte) (int, error) {
	if s.raw == nil || len(p) == 0 {
		return s.conn.Write(p)
	}
	t := &s.out
	t.b, t.n, t.err = p, 0, nil
	err := s.raw.Write(t.step)
	t.b = nil
	if err != nil {
		return t.n, err
	}
	return t.n, t.err
}

func (t *transfer) read(fd uintptr) (done bool) {
	n, errno := transferOnce(syscall.SYS_READ, fd, t.b)
	if errno == syscall.EAGAIN {
		return false
	}
	if t.n = n; errno != 0 {
		t.err = errno
	}
	return true
}

func (t *transfer) write(fd uintptr) (done bool) {
	for t.n < len(t.b) {
		n, errno := transferOnce(syscall.SYS_WRITE, fd, t.b[t.n:])
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			t.err = errno
			return true
		}
		t.n += n
	}
	return true
}

// transferOnce calls read(2) or write(2), again when a signal came between. b is not empty.
func transferOnce(call, fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
