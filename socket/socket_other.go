//go:build !linux || race

package socket

import "net"

// New returns c with cheaper reads and writes, or c itself when it is not its socket that is read and written. Deadlines,
// Close and errors are as before. One goroutine at a time may read, and one write.
func New(c net.Conn) net.Conn { return c }
