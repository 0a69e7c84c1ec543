package http1

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestLeaveAfterDeadline: the body's deadline passes after the body has come, in pieces or not, and the caller leaves
// after that. The request's context ends.
func TestLeaveAfterDeadline(t *testing.T) {
	for _, pause := range []time.Duration{0, 50 * time.Millisecond} {
		began, ended := make(chan struct{}), make(chan bool, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			io.ReadAll(r.Body)
			c.SetReadDeadline(time.Time{})
			close(began)
			select {
			case <-r.Context().Done():
				ended <- true
			case <-time.After(20 * time.Second):
				ended <- false
			}
		})
		l := listen(t)
		s := &Server{Handler: h, Other: otherOf(h), ErrorLog: silent, sweepEvery: 5 * time.Millisecond}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		time.Sleep(pause)
		fmt.Fprint(c, "hello")
		<-began
		time.Sleep(300 * time.Millisecond)
		c.Close()
		if !<-ended {
			t.Errorf("pause %v: the context had not ended 20 s after the caller left", pause)
		}
		s.Close()
		<-served
	}
}

// TestStalledReader: a caller who reads nothing does not hold its handler for longer than WriteTimeout.
func TestStalledReader(t *testing.T) {
	ended := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 100<<10)
		for {
			if _, err := w.Write(piece); err != nil {
				<-r.Context().Done()
				ended <- err
				return
			}
		}
	})
	l := listen(t)
	s := &Server{Handler: h, Other: otherOf(h), ErrorLog: silent, sweepEvery: 5 * time.Millisecond, WriteTimeout: 300 * time.Millisecond}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(20 * time.Second):
		t.Error("still blocked after 20 s")
	}
	s.Close()
	<-served
}
