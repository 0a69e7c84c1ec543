//go:build unix && (!linux || race)

package http1

import "syscall"

// The race detector learns from package syscall's calls what happened before what, so it has them on Linux too.

func readSocket(fd int, b []byte) (int, error) { return syscall.Read(fd, b) }

func writeSocket(fd int, b []byte) (int, error) { return syscall.Write(fd, b) }
