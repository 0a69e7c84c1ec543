//go:build unix

package http1

import (
	"io"
	"net/http"
	"syscall"

	"outcrop/socket"
)

// socketQuiet says whether a socket has nothing to read: neither data nor its end nor an error.
func socketQuiet(raw syscall.RawConn) finding {
	found := no
	err := raw.Control(func(fd uintptr) { found = look(fd) })
	if err != nil {
		return no
	}
	return found
}

func look(fd uintptr) finding {
	var b [1]byte
	if _, err := socket.Peek(fd, b[:]); err != nil && socket.Again(err) {
		return yes
	}
	return no
}

// asking is the state of ask.
type asking struct {
	step func(fd uintptr) (done bool) // conn.step, made once for the connection

	r      *http.Request // until it has been looked at
	body   io.Reader
	unsent []byte
	left   int64
	stuck  bool
	err    error
}

// asks says that requests go out by ask: on a connection that has waited, where nothing lies between it and its socket.
func (c *conn) asks() bool { return c.reused && c.raw != nil && !c.layered }

// ask sends r on a connection that has waited: it makes sure that the connection is still as it was left, writes r,
// waits, and reads the beginning of the answer. That is one call of the system less than to write and then to read,
// which asks the socket before it waits, for an answer that cannot have come yet.
//
// All of it is one call of RawConn.Read. That forgets, when it begins, whether something has come, and remembers from
// then on. So a wait without a read before it misses nothing: what came before has been seen by the look, and what comes
// after the look is remembered.
//
// unsent is what the socket did not take at once, left what compose left. What has not been read of the answer when ask
// returns, for whatever reason, is read like the rest of it.
func (c *conn) ask(r *http.Request, body io.Reader) (unsent []byte, left int64, stuck bool, err error) {
	c.asking = asking{step: c.asking.step, r: r, body: body}
	a := &c.asking
	err = c.raw.Read(a.step)
	if a.r != nil && c.early(err) {
		err = c.raw.Read(a.step)
	}
	if a.r == nil { // then err concerns the wait, and is found again by who reads
		unsent, left, stuck, err = a.unsent, a.left, a.stuck, a.err
	}
	c.asking = asking{step: a.step}
	return unsent, left, stuck, err
}

// step is what RawConn.Read calls: to begin with, and after each wait.
func (c *conn) step(fd uintptr) (done bool) {
	a := &c.asking
	if r := a.r; r != nil {
		a.r = nil
		if look(fd) != yes {
			a.err = errStale
			return true
		}
		var b []byte
		if b, a.left, a.err = c.compose(r, a.body); a.err != nil {
			return true
		}
		n, err := socket.Write(fd, b)
		a.unsent = b[n:]
		if err != nil && !socket.Again(err) {
			a.stuck, a.err = true, socket.Failure(c, "write", err)
		}
		return a.err != nil || len(a.unsent) > 0 || a.left > 0
	}
	n, err := socket.Read(fd, c.buf)
	if err != nil && socket.Again(err) {
		return false
	}
	c.w = n
	if err != nil {
		c.err = socket.Failure(c, "read", err)
	} else if n == 0 {
		c.err = io.EOF
	}
	return true
}
