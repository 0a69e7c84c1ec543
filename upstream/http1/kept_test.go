package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// listen accepts connections and serves each in a goroutine of its own. All are over when the test is.
func listen(t *testing.T, f func(*net.TCPConn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func(c net.Conn) { f(c.(*net.TCPConn)) })
	return "http://" + l.Addr().String()
}

func serve(t *testing.T, l net.Listener, f func(net.Conn)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { f(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// echo answers requests with their bodies until one cannot be read, and calls after when each is answered.
func echo(c net.Conn, after func()) {
	for r := bufio.NewReader(c); ; after() {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	}
}

func repeatablePost(t *testing.T, url, body string) *http.Request {
	r := post(t, url, body)
	r.Header["X-Idempotency-Key"] = []string{}
	return r
}

// A server ends kept connections in any way at any moment around the next request: before it, while it is looked at,
// written or waited for. Whatever the moment, the end is noticed: a call that overlooked it would wait for the time
// limit, and fail.
func TestEndsAtAnyMoment(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"closed":      func(c *net.TCPConn) { c.Close() },
		"reset":       func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"half closed": func(c *net.TCPConn) { c.CloseWrite() }, // and it goes on reading: no reset will follow
		"never ended": func(*net.TCPConn) {},
	} {
		t.Run(name, func(t *testing.T) {
			url := listen(t, func(c *net.TCPConn) {
				echo(c, func() {
					if rand.IntN(2) > 0 {
						return
					}
					for range rand.IntN(2000) { // up to some 100 us, in which the next request comes
						_ = rand.Int()
					}
					end(c)
				})
				io.Copy(io.Discard, c)
			})
			tr := newTransport(t, Config{AnswerTimeout: time.Minute})
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for j := range 500 {
						// The second attempt goes out on a new connection, which has answered nothing yet: it does not end.
						want := fmt.Sprint("call ", i, j)
						if _, got, err := do(tr, repeatablePost(t, url, want)); err != nil || got != want {
							t.Errorf("%q, %v; want %q", got, err, want)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// A request that a kept connection's socket takes in parts, or that is longer than the buffer, arrives whole. A Unix
// socket with a small buffer takes parts for certain, where TCP may take more than its buffer.
func TestSocketTakesAPart(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Skip(err)
	}
	serve(t, l, func(c net.Conn) {
		echo(c, func() { time.Sleep(5 * time.Millisecond) }) // the socket fills meanwhile
	})
	tr := newTransport(t, Config{AnswerTimeout: time.Minute, DialContext: func(context.Context, string, string) (net.Conn, error) {
		c, err := net.Dial("unix", l.Addr().String())
		if err == nil {
			c.(*net.UnixConn).SetWriteBuffer(1)
		}
		return c, err
	}})
	for _, size := range []int{0, 1, bufferSize - 1000, bufferSize, bufferSize + 1, 1 << 20} {
		want := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
		if _, got, err := do(tr, post(t, "http://h", want)); err != nil || got != want {
			t.Errorf("%d bytes: %d come back, %v", size, len(got), err)
		}
		if tr.waiting() != 1 {
			t.Fatal("the connection was not kept: the test says nothing")
		}
	}
}

// A kept connection has the deadline of an earlier wait. No later wait is cut short by it, and none is longer.
func TestEarlierDeadline(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			r := bufio.NewReader(far)
			for _, answer := range []string{ok, ok, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", ""} {
				if _, err := http.ReadRequest(r); err != nil {
					t.Error(err)
				}
				time.Sleep(4 * time.Second)
				io.WriteString(far, answer)
				if answer != "" && answer != ok {
					time.Sleep(9 * time.Second)
					io.WriteString(far, "o")
					time.Sleep(9 * time.Second)
					io.WriteString(far, "k")
				}
			}
		})
		tr := newTransport(t, Config{AnswerTimeout: 5 * time.Second, DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }})
		for range 3 {
			resp, err := tr.RoundTrip(get(t, "GET", "http://h"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.(Body).SetReadTimeout(10 * time.Second)
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "ok" {
				t.Fatalf("%q, %v", got, err)
			}
			time.Sleep(2 * time.Second)
		}
		start := time.Now()
		if _, _, err := do(tr, get(t, "GET", "http://h")); !timedOut(err) || time.Since(start) < 5*time.Second || time.Since(start) > 5*time.Second+2*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		far.Close()
		wg.Wait()
	})
	t.Run("on a socket", func(t *testing.T) {
		const limit = 400 * time.Millisecond
		url := listen(t, func(c *net.TCPConn) {
			r := bufio.NewReader(c)
			for range 2 {
				http.ReadRequest(r)
				io.WriteString(c, ok)
			}
			io.Copy(io.Discard, c)
		})
		tr := newTransport(t, Config{AnswerTimeout: limit})
		for range 2 {
			if _, got, err := do(tr, get(t, "GET", url)); err != nil || got != "ok" {
				t.Fatalf("%q, %v", got, err)
			}
		}
		time.Sleep(limit / 2)
		start := time.Now()
		if _, _, err := do(tr, get(t, "GET", url)); !timedOut(err) || time.Since(start) < limit {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// A kept connection that ends soon after the request was closed before the server saw it, as far as can be told, and the
// request goes out again. When it ends later the server has worked on it: that is told, and nothing is sent twice.
func TestClosedAtWork(t *testing.T) {
	for after, again := range map[time.Duration]bool{closeRace / 2: true, 2 * closeRace: false} {
		synctest.Test(t, func(t *testing.T) {
			var wg sync.WaitGroup
			dialled := 0
			tr := newTransport(t, Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				dialled++
				wg.Go(func() {
					defer far.Close()
					for r, n := bufio.NewReader(far), 0; ; n++ {
						if _, err := http.ReadRequest(r); err != nil {
							return
						}
						if n == 1 {
							time.Sleep(after)
							return
						}
						io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
				return near, nil
			}})
			for n := range 2 {
				r := get(t, "POST", "http://h")
				r.Header["X-Idempotency-Key"] = []string{}
				if _, got, err := do(tr, r); (err == nil && got == "ok") != (n == 0 || again) || timedOut(err) {
					t.Errorf("request %d, closed after %v: %q, %v", n, after, got, err)
				}
			}
			if again != (dialled == 2) {
				t.Errorf("closed after %v: %d connections", after, dialled)
			}
			tr.Close()
			wg.Wait()
		})
	}
}

// What ends the wait for an answer on a kept connection: the caller's context, at once, and nothing else.
func TestCancelledOnAKeptConnection(t *testing.T) {
	cause := errors.New("the caller has had enough")
	arrived := make(chan struct{})
	url := listen(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if _, err := http.ReadRequest(r); err == nil {
			close(arrived)
		}
		io.Copy(io.Discard, c)
	})
	tr := newTransport(t, Config{AnswerTimeout: time.Hour})
	if _, got, err := do(tr, get(t, "GET", url)); err != nil || got != "ok" {
		t.Fatalf("%q, %v", got, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(cause)
	}()
	if _, _, err := do(tr, get(t, "GET", url).WithContext(ctx)); err != cause || tr.waiting() != 0 {
		t.Errorf("%v, %d wait", err, tr.waiting())
	}
}
