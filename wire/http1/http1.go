// Package http1 serves HTTP/1.1 in clear text, made for many small requests and for streams of small events. It hands
// what is not of the common form to a net/http server, with the connection and every byte that was not consumed: HTTP/2
// with prior knowledge, HTTP/1.0, chunked bodies, Expect, Upgrade, the methods HEAD, OPTIONS and CONNECT, heads that are
// large, odd or malformed. It never answers a strange request itself, so that there is one strict parser to trust.
//
// What it saves against net/http: no goroutine that reads beside every handler, no context and no timers for each
// request, one write for an answer's head and body, and one for each flush of a stream. One sweeper looks at all
// connections ten times a second instead: it closes those that wait too long, and begins to watch for the caller's
// leaving where a handler has run for a while.
//
// What a handler meets is net/http's, but for this: the request's context is the connection's and does not end with the
// handler; it ends when the caller leaves, which is noticed some 200 ms after the request began at the soonest, or when
// an answer cannot be written. A read deadline is the body's alone: one that passes when the body has come does nothing.
// Hijacking and trailers are not to be had.
package http1

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves one listener. Handler and Other are required; nothing may be changed once Serve has been called.
type Server struct {
	Handler http.Handler

	// Other serves the connections that are handed over. It should have the same handler and time limits. It is
	// started, and shut down, by this server.
	Other *http.Server

	ReadHeaderTimeout time.Duration // for a request's head; 0 is none. It and IdleTimeout are kept to 0.1 s
	IdleTimeout       time.Duration // between two requests; 0 is none
	WriteTimeout      time.Duration // for one write to be taken, and a second more for each 64 KB of it; 0 is none. Kept to 0.1 s
	ErrorLog          *log.Logger   // of panics and failures to accept; nil is the standard logger

	sweepEvery time.Duration // 0 is sweepInterval
	ticks      atomic.Uint64 // sweeps so far: the clock of the connections' states
	date       atomic.Pointer[string]
	stopping   atomic.Bool

	mu         sync.Mutex
	listener   net.Listener // nil before Serve
	handover   *handover
	conns      map[*conn]struct{}
	handed     map[*handedConn]struct{}
	quiet      chan struct{} // closed when the server is stopping and has no connection any more
	stopSweep  chan struct{}
	background sync.WaitGroup // the sweeper and Other
}

const (
	sweepInterval = 100 * time.Millisecond
	newPatience   = 5 * time.Second // for a request that is arriving when the server stops
	closePatience = 5 * time.Second // for handlers whose connection Close has cut
)

// Serve accepts connections until Shutdown or Close, when it returns http.ErrServerClosed, or until accepting fails for
// good. It is called once.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if s.Handler == nil || s.Other == nil {
		return errors.New("http1: a Server needs a Handler and an Other")
	}
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	if s.listener != nil {
		s.mu.Unlock()
		return errors.New("http1: Serve is called once")
	}
	s.listener = l
	s.handover = &handover{conns: make(chan net.Conn), closed: make(chan struct{}), addr: l.Addr()}
	s.conns, s.handed = map[*conn]struct{}{}, map[*handedConn]struct{}{}
	s.quiet, s.stopSweep = make(chan struct{}), make(chan struct{})
	if s.sweepEvery == 0 {
		s.sweepEvery = sweepInterval
	}
	s.setDate(time.Now())
	s.background.Go(s.sweep)
	s.background.Go(func() {
		if err := s.Other.Serve(s.handover); !errors.Is(err, http.ErrServerClosed) {
			s.logf("http1: serving what was handed over: %v", err)
		}
	})
	s.mu.Unlock()

	var pause time.Duration
	for {
		rwc, err := l.Accept()
		if err != nil {
			if s.stopping.Load() {
				return http.ErrServerClosed
			}
			// Out of file descriptors, and the like, as net/http bears it.
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Temporary() { //nolint:staticcheck // there is no other way to tell
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				s.logf("http1: accept: %v; again in %v", err, pause)
				time.Sleep(pause)
				continue
			}
			return err
		}
		pause = 0
		c := newConn(s, rwc)
		if !s.add(c) {
			rwc.Close()
			return http.ErrServerClosed
		}
		go c.serve()
	}
}

// Shutdown closes the listener and the connections that wait for a request, and waits for the others: their answers say
// that the connection closes. It returns ctx's error when that ends first, and may be called again then.
func (s *Server) Shutdown(ctx context.Context) error {
	serving, err := s.stop()
	if !serving {
		return s.Other.Shutdown(ctx)
	}
	s.mu.Lock()
	for c := range s.conns {
		c.closeIf(idle)
	}
	s.mu.Unlock()
	// It closes the handover's listener at once, and then waits.
	if otherErr := s.Other.Shutdown(ctx); otherErr != nil {
		return otherErr
	}
	select {
	case <-s.quiet:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.endSweep()
	return err
}

// Close cuts every connection, which ends the contexts of their requests, and waits a bounded time for the handlers.
func (s *Server) Close() error {
	serving, err := s.stop()
	err = errors.Join(err, s.Other.Close())
	if !serving {
		return err
	}
	s.mu.Lock()
	for c := range s.conns {
		c.cancel()
		c.rwc.Close()
	}
	cut := make([]*handedConn, 0, len(s.handed))
	for c := range s.handed {
		cut = append(cut, c)
	}
	s.mu.Unlock()
	for _, c := range cut {
		_ = c.Close() // Other has closed most of them
	}
	late := time.NewTimer(closePatience)
	defer late.Stop()
	select {
	case <-s.quiet:
		s.endSweep()
	case <-late.C:
		err = errors.Join(err, errors.New("http1: handlers run on although their connections are closed"))
	}
	return err
}

// stop begins the end: no new connections, and no second request on those there are. serving says that Serve was called.
func (s *Server) stop() (serving bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Swap(true) || s.listener == nil {
		return s.listener != nil, nil
	}
	s.noteQuiet()
	if err = s.listener.Close(); errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return true, err
}

func (s *Server) endSweep() {
	s.mu.Lock()
	select {
	case <-s.stopSweep:
	default:
		close(s.stopSweep)
	}
	s.mu.Unlock()
	s.background.Wait()
}

// noteQuiet is called with mu held when a connection has gone, and when the server begins to stop.
func (s *Server) noteQuiet() {
	if !s.stopping.Load() || len(s.conns) > 0 || len(s.handed) > 0 {
		return
	}
	select {
	case <-s.quiet:
	default:
		close(s.quiet)
	}
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.noteQuiet()
}

// sweep is the sweeper. It is one goroutine for all connections, so that no request sets a timer.
func (s *Server) sweep() {
	tick := time.NewTicker(s.sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopSweep:
			return
		case now := <-tick.C:
			s.ticks.Add(1)
			s.setDate(now)
			s.look()
		}
	}
}

// look takes one look at every connection.
func (s *Server) look() {
	header := s.ReadHeaderTimeout
	if s.stopping.Load() && (header == 0 || header > newPatience) {
		header = newPatience
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.ticks.Load()
	for c := range s.conns {
		if by := c.writeBy.Load(); by != 0 && now > by {
			c.rwc.SetWriteDeadline(past) // its write fails, which is what its handler and its request hear of
		}
		st := c.state.Load()
		age := time.Duration(now-st.since()) * s.sweepEvery
		switch st.phase() {
		case idle:
			if s.IdleTimeout > 0 && age > s.IdleTimeout {
				c.closeIf(idle)
			}
		case reading:
			if header > 0 && age > header {
				c.closeIf(reading)
			}
		case running:
			if now-st.since() > 1 {
				c.startWatch(st)
			}
		}
	}
}

// setDate keeps the Date line of the second that now is in.
func (s *Server) setDate(now time.Time) {
	var b [len("Date: ") + len(http.TimeFormat) + 2]byte
	line := append(now.UTC().AppendFormat(append(b[:0], "Date: "...), http.TimeFormat), "\r\n"...)
	if old := s.date.Load(); old == nil || *old != string(line) {
		text := string(line)
		s.date.Store(&text)
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}

// handover is the listener through which connections reach Other.
type handover struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
	addr   net.Addr
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handover) Addr() net.Addr { return h.addr }

// handedConn is a connection that was handed over: it reads first what had been read already.
type handedConn struct {
	net.Conn
	s      *Server
	replay []byte
}

func (c *handedConn) Read(p []byte) (int, error) {
	if len(c.replay) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.replay)
	if c.replay = c.replay[n:]; len(c.replay) == 0 {
		c.replay = nil
	}
	return n, nil
}

func (c *handedConn) Close() error {
	c.s.mu.Lock()
	delete(c.s.handed, c)
	c.s.noteQuiet()
	c.s.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite is looked for by net/http, to end a connection so that the answer is read before it.
func (c *handedConn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// handOver gives the connection to Other, with what was read of it.
func (s *Server) handOver(c *conn) {
	h := &handedConn{Conn: c.rwc, s: s, replay: append([]byte(nil), c.buf[c.r:c.w]...)}
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		c.rwc.Close()
		return
	}
	s.handed[h] = struct{}{} // before c leaves s.conns: one of the two holds it always
	s.mu.Unlock()
	select {
	case s.handover.conns <- h:
	case <-s.handover.closed:
		_ = h.Close() // nobody waits for it
	}
}
