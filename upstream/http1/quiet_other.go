//go:build !unix

package http1

import "syscall"

// socketQuiet cannot tell here without reading.
func socketQuiet(syscall.RawConn) finding { return unknown }
