package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"outcrop/socket"
)

// pairs are both ends of a connection, of each kind that has a socket and of one that has none.
func pairs(t *testing.T, test func(t *testing.T, near, far net.Conn)) {
	listen := func(t *testing.T, network, address string) (net.Conn, net.Conn) {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		far, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		near, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return near, far
	}
	for name, open := range map[string]func(t *testing.T) (net.Conn, net.Conn){
		"tcp":  func(t *testing.T) (net.Conn, net.Conn) { return listen(t, "tcp", "127.0.0.1:0") },
		"unix": func(t *testing.T) (net.Conn, net.Conn) { return listen(t, "unix", filepath.Join(t.TempDir(), "s")) },
		"pipe": func(*testing.T) (net.Conn, net.Conn) { return net.Pipe() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := open(t)
			defer near.Close()
			defer far.Close()
			test(t, socket.New(near), far)
		})
	}
}

// What does not fit into the socket's buffers waits for its reader, and all of it comes through.
func TestTransfer(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
		sent := make(chan error, 1)
		go func() {
			n, err := near.Write(want)
			if err == nil && n != len(want) {
				err = io.ErrShortWrite
			}
			sent <- errors.Join(err, near.Close())
		}()
		got, err := io.ReadAll(far)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came of %d", len(got), len(want))
		}
	})
}

func TestRead(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		go func() {
			for _, s := range []string{"one", "two", "three"} {
				time.Sleep(time.Millisecond) // so that near waits
				_, _ = far.Write([]byte(s))
			}
			far.Close()
		}()
		got, err := io.ReadAll(near)
		if err != nil || string(got) != "onetwothree" {
			t.Fatalf("%q, %v", got, err)
		}
		if n, err := near.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("after the end: %d, %v", n, err)
		}
	})
}

// A deadline ends a read and a write that wait, and later ones work when it is taken away.
func TestDeadline(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		var ne net.Error
		_ = near.SetDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("read: %v", err)
		}
		b := make([]byte, 64<<20)
		n, err := near.Write(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == len(b) {
			t.Errorf("write: %d, %v", n, err)
		}
		_ = near.SetDeadline(time.Time{})
		rest := make(chan error, 1)
		go func() {
			_, err := io.CopyN(io.Discard, far, int64(n)+1)
			rest <- err
		}()
		if _, err := near.Write(b[:1]); err != nil {
			t.Error(err)
		}
		if err := <-rest; err != nil {
			t.Error(err)
		}
	})
}

func TestClosed(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		read := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			read <- err
		}()
		time.Sleep(time.Millisecond) // so that it waits, mostly
		near.Close()
		for what, err := range map[string]error{"a read that waited": <-read, "a write": second(near.Write([]byte("x")))} {
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// Errors of the system have package net's form.
func TestReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	c := socket.New(near)
	_ = far.(*net.TCPConn).SetLinger(0)
	far.Close()
	_, err = c.Read(make([]byte, 1))
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" || op.Addr.String() != l.Addr().String() && op.Source.String() != l.Addr().String() {
		t.Errorf("%v", err)
	}
	_, err = c.Write([]byte("x"))
	if !errors.Is(err, syscall.EPIPE) || !errors.As(err, &op) || op.Op != "write" {
		t.Errorf("%v", err)
	}
}

func second(_ int, err error) error { return err }
