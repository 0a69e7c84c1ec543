package http1

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"
)

// A front is a server that a test is run against: net/http's, which says what is right, and this one.
type front struct {
	name  string
	start func(testing.TB, http.Handler) *endpoint
}

var fronts = []front{{"nethttp", startTheirs}, {"http1", startOurs}}

type endpoint struct {
	addr string
	ours *Server // nil: net/http's
}

var silent = log.New(io.Discard, "", 0)

func startTheirs(t testing.TB, h http.Handler) *endpoint {
	l := listen(t)
	s := otherOf(h)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return &endpoint{addr: l.Addr().String()}
}

func otherOf(h http.Handler) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: h, Protocols: p, ErrorLog: silent}
}

func startOurs(t testing.TB, h http.Handler) *endpoint { return startServer(t, &Server{Handler: h}) }

// startServer serves s until the test ends, and checks then that it ended well.
func startServer(t testing.TB, s *Server) *endpoint {
	l := listen(t)
	if s.Other == nil {
		s.Other = otherOf(s.Handler)
	}
	if s.ErrorLog == nil {
		s.ErrorLog = silent
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return &endpoint{addr: l.Addr().String(), ours: s}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// scriptedReader is a connection that gives what it has, in pieces of a size unless that is 0, and ends.
type scriptedReader struct {
	scripted
	left  []byte
	piece int
}

func (c *scriptedReader) Read(p []byte) (int, error) {
	if c.piece > 0 && len(p) > c.piece {
		p = p[:c.piece]
	}
	n := copy(p, c.left)
	if c.left = c.left[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// scripted is a connection that nothing is read from.
type scripted struct{ net.Conn }

func (scripted) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
