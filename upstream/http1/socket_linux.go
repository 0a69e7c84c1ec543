//go:build linux && !race

package http1

import (
	"syscall"
	"unsafe"
)

// readSocket and writeSocket are read(2) and write(2) without telling the Go scheduler: a socket that is not blocking
// never waits in them, and telling it costs a wake-up of the runtime's monitor thread after every idle moment. b is not
// empty.

func readSocket(fd int, b []byte) (int, error) { return transfer(syscall.SYS_READ, fd, b) }

func writeSocket(fd int, b []byte) (int, error) { return transfer(syscall.SYS_WRITE, fd, b) }

func transfer(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
