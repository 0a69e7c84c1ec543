//go:build !unix

package http1

import (
	"io"
	"net/http"
	"syscall"
)

// What a socket has cannot be told here without reading: a connection that has waited is read from for a moment.

func socketQuiet(syscall.RawConn) finding { return unknown }

type asking struct{ step func(fd uintptr) (done bool) }

func (c *conn) step(uintptr) bool { return true }

func (c *conn) asks() bool { return false }

func (c *conn) ask(r *http.Request, body io.Reader) (unsent []byte, left int64, stuck bool, err error) {
	unsent, left, err = c.compose(r, body)
	return unsent, left, false, err
}
