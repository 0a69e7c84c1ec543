//go:build unix && (!linux || race)

package socket

import "syscall"

// Read is read(2) of a file descriptor that is not blocking, again when a signal came between. The error is a
// syscall.Errno. b is not empty.
func Read(fd uintptr, b []byte) (int, error) {
	return repeat(func() (int, error) { return syscall.Read(int(fd), b) })
}

// Write is write(2), as Read is read(2).
func Write(fd uintptr, b []byte) (int, error) {
	return repeat(func() (int, error) { return syscall.Write(int(fd), b) })
}

// Peek is recv(2) that leaves what it reads, as Read is read(2).
func Peek(fd uintptr, b []byte) (int, error) {
	return repeat(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	})
}

func repeat(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
