//go:build !linux || race

package http1

import "net"

// socket is the connection itself: where the system has no calls that are safe without the scheduler, and for the race
// detector, which learns from package syscall's calls what happened before what.
type socket struct{ net.Conn }

func newSocket(c net.Conn) *socket { return &socket{c} }
