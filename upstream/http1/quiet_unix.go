//go:build unix

package http1

import "syscall"

// socketQuiet says whether a socket has nothing to read: neither data nor its end nor an error.
func socketQuiet(raw syscall.RawConn) finding {
	found := unknown
	if raw.Control(func(fd uintptr) {
		var b [1]byte
		found = no
		for {
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if err == syscall.EINTR {
				continue
			}
			if err == syscall.EAGAIN || err == syscall.EWOULDBLOCK {
				found = yes
			}
			return
		}
	}) != nil {
		return no
	}
	return found
}
