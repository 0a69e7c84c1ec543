//go:build unix

package socket

import (
	"net"
	"os"
	"syscall"
)

// Again says that err, of Read, Write or Peek, only tells to wait.
func Again(err error) bool { return err == syscall.EAGAIN || err == syscall.EWOULDBLOCK }

// Failure gives err, which Read or Write has for c's socket, the form that package net gives it. op is "read" or "write".
func Failure(c net.Conn, op string, err error) error {
	return &net.OpError{Op: op, Net: c.RemoteAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}
