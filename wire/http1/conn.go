package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/socket"
)

const (
	firstBuffer = 4 << 10   // holds nearly every head, and small bodies; what an idle connection keeps
	maxHead     = 16 << 10  // a longer head is handed over
	maxDrain    = 256 << 10 // of a body that nobody read; net/http's bound
	lingering   = 500 * time.Millisecond
)

// phase is what a connection is doing, as far as others must know.
type phase uint64

const (
	idle      phase = iota // between two requests: nothing of the next one has come
	reading                // a head is coming, or the connection is new
	receiving              // a handler runs and its body is still coming; or the connection is ending
	running                // a handler runs, and nothing is read from the connection
	watched                // running, and a watcher reads to see the caller leave
	gone                   // closed by another goroutine than the connection's own, or handed over
)

// state is a phase and the tick in which it began.
type state uint64

func (st state) phase() phase  { return phase(st & 7) }
func (st state) since() uint64 { return uint64(st >> 3) }

type atomicState struct{ v atomic.Uint64 }

func (a *atomicState) Load() state         { return state(a.v.Load()) }
func (a *atomicState) Store(st state)      { a.v.Store(uint64(st)) }
func (a *atomicState) Swap(st state) state { return state(a.v.Swap(uint64(st))) }
func (a *atomicState) CompareAndSwap(o, n state) bool {
	return a.v.CompareAndSwap(uint64(o), uint64(n))
}

// conn is one connection; one goroutine reads, runs the handler and writes.
type conn struct {
	s      *Server
	rwc    net.Conn
	socket net.Conn // rwc, cheaper to read and write
	remote string
	ctx    context.Context // of all its requests: a connection has one at a time
	cancel context.CancelFunc
	base   *http.Request // what every request begins as; carries ctx
	state  atomicState

	buf  []byte
	r, w int    // what is between them has come and is not consumed yet
	out  []byte // what is to be written; has a buffer only while a request is under way
	werr error  // the first failure to write

	writeBy atomic.Uint64 // the tick by which the write under way is to be taken; 0 when there is none

	forgive int // line breaks that old clients may send after a POST's body: four, as net/http has it

	watchDone chan struct{} // of the watcher; set before the state becomes watched
	watchByte [1]byte       // what the watcher read
	watchN    int
	watchErr  error

	// The handler's read deadline meets the socket only when a body is read from it.
	mu       sync.Mutex
	deadline time.Time
	applied  time.Time
	blocked  bool // in a read of a body
}

var (
	inBuffers  = sync.Pool{New: func() any { return new([firstBuffer]byte) }}
	outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}
)

const maxPooledOut = 64 << 10

// past is a deadline that ends every wait.
var past = time.Unix(1, 0)

func newConn(s *Server, rwc net.Conn) *conn {
	c := &conn{s: s, rwc: rwc, socket: socket.New(rwc)}
	if a := rwc.RemoteAddr(); a != nil {
		c.remote = a.String()
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.base = (&http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: c.remote}).WithContext(c.ctx)
	c.enter(reading) // as in net/http, a new connection has the time of a head, not that of an idle one
	return c
}

func (c *conn) enter(p phase) { c.state.Store(c.in(p)) }

func (c *conn) in(p phase) state { return state(c.s.ticks.Load()<<3 | uint64(p)) }

// leave goes from a phase in which others may close the connection to p. It reports whether nobody has.
func (c *conn) leave(from, p phase) bool {
	st := c.state.Load()
	return st.phase() == from && c.state.CompareAndSwap(st, c.in(p))
}

// closeIf closes the connection from another goroutine if it is in that phase still.
func (c *conn) closeIf(p phase) {
	if st := c.state.Load(); st.phase() == p && c.state.CompareAndSwap(st, c.in(gone)) {
		c.rwc.Close()
	}
}

func (c *conn) serve() {
	handed := false
	defer func() {
		c.cancel()
		if !handed {
			c.rwc.Close()
		}
		if c.state.Swap(c.in(gone)).phase() == watched {
			<-c.watchDone
		}
		c.releaseIn()
		c.s.remove(c)
	}()
	c.buf = inBuffers.Get().(*[firstBuffer]byte)[:]
	from := reading
	for {
		x, found := c.next(&from)
		switch found {
		case strange:
			if c.leave(from, gone) {
				handed = true
				c.s.handOver(c)
			}
			return
		case broken:
			return
		}
		if !c.leave(from, x.phase()) || !c.handle(x) {
			return
		}
		c.settleIn()
		from = idle
		c.enter(idle)
		// Whoever stops the server closes what is idle after it has said that it stops: one of the two sees the other.
		if c.s.stopping.Load() {
			return
		}
	}
}

type finding int

const (
	ours    finding = iota
	strange         // to be handed over
	broken          // closed, or cut
)

// next reads the head of a request. from is the phase that the connection is in.
func (c *conn) next(from *phase) (*exchange, finding) {
	searched := 0 // how much of the buffer holds no end of a head
	for {
		b := c.buf[c.r:c.w]
		for ; c.forgive > 0 && len(b) > 0 && (b[0] == '\r' || b[0] == '\n'); c.forgive-- {
			b = b[1:]
			c.r++
		}
		if len(b) > 0 {
			begin := max(searched-3, 0)
			if i := bytes.Index(b[begin:], []byte("\r\n\r\n")); i >= 0 {
				x := c.parse(b[:begin+i+4])
				if x == nil {
					return nil, strange
				}
				c.r += begin + i + 4
				return x, ours
			}
			if len(b) >= maxHead || !mayBecomeHead(b, searched) {
				return nil, strange
			}
			searched = len(b)
			if *from == idle {
				if !c.leave(idle, reading) {
					return nil, broken
				}
				*from = reading
			}
		}
		if err := c.fill(); err == io.EOF && c.r < c.w {
			return nil, strange // half a head: net/http says what is wrong
		} else if err != nil {
			return nil, broken
		}
	}
}

// mayBecomeHead says whether b, which is not a whole head, begins as one. What does not is handed over at once, because
// net/http answers it at once. It has been asked of the first searched bytes before.
func mayBecomeHead(b []byte, searched int) bool {
	if b[0] < 'A' || b[0] > 'Z' {
		return false
	}
	for i := searched; ; i++ {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return true
		}
		if i += j; b[i-1] != '\r' {
			return false
		}
		if bytes.IndexByte(b, '\n') == i {
			if _, _, ok := requestLine(string(b[:i-1])); !ok {
				return false
			}
		}
	}
}

// fill reads once into the buffer.
func (c *conn) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) {
		if c.r > 0 {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		} else {
			grown := make([]byte, maxHead)
			copy(grown, c.buf)
			c.releaseIn()
			c.buf = grown
		}
	}
	n, err := c.socket.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func (c *conn) releaseIn() {
	if len(c.buf) == firstBuffer {
		inBuffers.Put((*[firstBuffer]byte)(c.buf))
	}
	c.buf = nil
}

// settleIn moves what has come of the next request to the front, and gives a large buffer back.
func (c *conn) settleIn() {
	if n := c.w - c.r; len(c.buf) > firstBuffer && n <= firstBuffer {
		small := inBuffers.Get().(*[firstBuffer]byte)[:]
		copy(small, c.buf[c.r:c.w])
		c.buf, c.r, c.w = small, 0, n
	}
}

// handle runs the handler and ends its answer. It reports whether the connection can take another request.
func (c *conn) handle(x *exchange) bool {
	out := outBuffers.Get().(*[]byte)
	c.out = (*out)[:0]
	c.forgive = 0
	if x.req.Method == http.MethodPost {
		c.forgive = 4
	}
	served := c.run(x)
	if served {
		x.w.finish()
	}
	if cap(c.out) <= maxPooledOut {
		*out = c.out
		outBuffers.Put(out)
	}
	c.out = nil
	if !served {
		return false
	}
	unread := x.body.end()
	left := c.endWatch()
	c.mu.Lock()
	c.deadline = time.Time{}
	if !c.applied.IsZero() {
		c.applied = time.Time{}
		c.rwc.SetReadDeadline(time.Time{})
	}
	c.mu.Unlock()
	if x.w.writeLimited {
		c.rwc.SetWriteDeadline(time.Time{})
	}
	if c.werr != nil || left {
		return false
	}
	if x.w.closes && unread {
		c.linger()
	}
	return !x.w.closes
}

// run calls the handler. It reports false when that panicked.
func (c *conn) run(x *exchange) (served bool) {
	defer func() {
		if served {
			return
		}
		// The connection is cut without an end of the answer, so that none takes it for a whole one.
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			c.s.logf("http1: panic serving %s: %v\n%s", c.remote, p, debug.Stack())
		}
		x.w.done = true
	}()
	c.s.Handler.ServeHTTP(&x.w, &x.req)
	return true
}

// linger ends a connection whose caller is still sending: closing it at once would make the caller's system throw away
// the answer before it is read (RFC 9112, section 9.6).
func (c *conn) linger() {
	_ = closeWrite(c.rwc) // if it fails, nobody is left to linger for
	c.rwc.SetReadDeadline(time.Now().Add(lingering))
	for {
		if _, err := c.rwc.Read(c.buf); err != nil {
			return
		}
	}
}

// receive reads a part of the body from the socket, within the handler's deadline.
func (c *conn) receive(p []byte) (int, error) {
	c.mu.Lock()
	if c.applied != c.deadline {
		c.rwc.SetReadDeadline(c.deadline)
		c.applied = c.deadline
	}
	c.blocked = true
	c.mu.Unlock()
	n, err := c.socket.Read(p)
	c.mu.Lock()
	c.blocked = false
	c.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.cancel() // the caller has gone
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// received takes the body's deadline from the socket, which from now on is read from to see the caller leave.
func (c *conn) received() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.applied.IsZero() {
		c.applied = time.Time{}
		c.rwc.SetReadDeadline(time.Time{})
	}
}

// setReadDeadline may be called while another goroutine is in receive.
func (c *conn) setReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if !c.blocked {
		return nil
	}
	c.applied = t
	return c.rwc.SetReadDeadline(t)
}

// startWatch begins to watch for the caller's leaving, if the connection is still in the state st. Sweeper only.
func (c *conn) startWatch(st state) {
	done := make(chan struct{})
	c.watchDone = done
	if !c.state.CompareAndSwap(st, c.in(watched)) {
		return
	}
	go func() {
		defer close(done)
		c.watchN, c.watchErr = c.rwc.Read(c.watchByte[:])
		if c.watchErr != nil && !errors.Is(c.watchErr, os.ErrDeadlineExceeded) {
			c.cancel()
		}
	}()
}

// endWatch ends the watching, if there is any, and keeps what was read. It reports whether the caller has left.
func (c *conn) endWatch() bool {
	if c.state.Swap(c.in(receiving)).phase() != watched {
		return false
	}
	c.rwc.SetReadDeadline(past)
	<-c.watchDone
	c.rwc.SetReadDeadline(time.Time{})
	if c.watchN > 0 { // of the next request. There is room: the head of this one was in front of it
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
		c.w += copy(c.buf[c.w:], c.watchByte[:])
	}
	left := c.watchErr != nil && !errors.Is(c.watchErr, os.ErrDeadlineExceeded)
	c.watchN, c.watchErr = 0, nil
	return left
}
