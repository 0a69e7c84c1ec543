//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// client is the load generator: a fixed number of kept connections, hand-written requests, every answer checked.
type client struct {
	gateway *gateway
	work    workload
	spread  time.Duration // of the first requests of the closed loop
	conns   []*conn
}

func newClient(g *gateway, w workload) *client {
	c := &client{gateway: g, work: w, conns: make([]*conn, w.Conns)}
	for i := range c.conns {
		c.conns[i] = &conn{client: c}
	}
	return c
}

func (c *client) close() {
	for _, k := range c.conns {
		k.drop()
	}
}

// result is what a load came to. Latencies are of good answers only.
type result struct {
	latency []time.Duration // sorted
	token   []time.Duration // sorted: of streams, from the request's write to the first token's text
	errors  int
	first   error
}

// quantile is that of sorted latencies, in microseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q * float64(len(sorted)))
	return float64(sorted[min(i, len(sorted)-1)]) / 1e3
}

// tooMany errors on a connection end its part of the load.
const tooMany = 20

// load sends requests for d and waits for every answer.
func (c *client) load(d time.Duration) *result {
	var due chan time.Time
	start := time.Now()
	end := start.Add(d)
	if c.work.Rate > 0 {
		due = make(chan time.Time, int(c.work.Rate*d.Seconds())+1)
		go schedule(due, start, end, c.work.Rate)
	}
	var wg sync.WaitGroup
	for i, k := range c.conns {
		k.latency, k.token, k.errors, k.first = k.latency[:0], k.token[:0], 0, nil
		wg.Go(func() {
			if k.Conn != nil {
				k.SetDeadline(end.Add(answerWithin))
			}
			if due != nil {
				for t := range due {
					k.once(t, end)
				}
				return
			}
			time.Sleep(c.spread * time.Duration(i) / time.Duration(len(c.conns)))
			for t := time.Now(); t.Before(end) && k.errors < tooMany; t = time.Now() {
				k.once(t, end)
			}
		})
	}
	wg.Wait()
	r := new(result)
	for _, k := range c.conns {
		r.latency = append(r.latency, k.latency...)
		r.token = append(r.token, k.token...)
		r.errors += k.errors
		if r.first == nil {
			r.first = k.first
		}
	}
	slices.Sort(r.latency)
	slices.Sort(r.token)
	return r
}

// schedule sends the intended times of a constant rate, each when it has come, and closes due at the end. Whoever is
// late to take one does not move the next. It sleeps in the kernel: the timers of an idle Go program are up to a
// millisecond late.
func schedule(due chan<- time.Time, start, end time.Time, rate float64) {
	defer close(due)
	precise()
	for i := 0; ; i++ {
		t := start.Add(time.Duration(float64(i) * 1e9 / rate))
		if !t.Before(end) {
			return
		}
		sleepUntil(t)
		due <- t // never blocks: it holds all there will be
	}
}

// oneMore gives the program a place in Go's scheduler more than it has processors. A thread that sleeps in the kernel
// keeps its place until the runtime notices, which takes up to 10 ms in a program that is otherwise still: on one
// processor everything else would wait for it.
func oneMore() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) }

// precise gives the calling goroutine a thread of its own, whose sleeps are not rounded up. The program has called oneMore.
func precise() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	const prSetTimerSlack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0)
}

func sleepUntil(t time.Time) {
	for {
		d := time.Until(t)
		if d <= 0 {
			return
		}
		ts := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&ts, nil)
	}
}

// answerWithin bounds the wait for answers after a load.
const answerWithin = 20 * time.Second

// conn is one connection, kept from request to request.
type conn struct {
	net.Conn
	client  *client
	in      *bufio.Reader
	request []byte
	second  int64 // when request was made
	body    []byte

	spoken time.Time // when the first token's text of the answer at hand was read; zero before

	latency []time.Duration
	token   []time.Duration
	errors  int
	first   error
}

func (k *conn) drop() {
	if k.Conn != nil {
		k.Conn.Close()
		k.Conn = nil
	}
}

// once sends a request and records its answer, whose latency counts from the intended time.
func (k *conn) once(intended, end time.Time) {
	err := k.exchange(end)
	if err == nil {
		k.latency = append(k.latency, time.Since(intended))
		return
	}
	k.drop()
	k.errors++
	if k.first == nil {
		k.first = err
	}
}

func (k *conn) exchange(end time.Time) error {
	g := k.client.gateway
	if k.Conn == nil {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", g.addr)
		if err != nil {
			return err
		}
		k.Conn = c
		if k.in == nil {
			k.in = bufio.NewReaderSize(c, 64<<10)
		} else {
			k.in.Reset(c)
		}
		k.SetDeadline(end.Add(answerWithin))
	}
	// Body and date are the same for a second, and so is the signature.
	if now := time.Now(); k.request == nil || now.Unix() != k.second {
		k.request, k.second = g.request(g, k.client.work.Stream, now), now.Unix()
	}
	asked := time.Now()
	k.spoken = time.Time{}
	if _, err := k.Write(k.request); err != nil {
		return err
	}
	status, keep, err := k.read()
	if err != nil {
		return err
	}
	if status != 200 && status != 201 {
		return fmt.Errorf("status %d: %.300s", status, k.body)
	}
	if err := g.verify(k.body, k.client.work.Stream); err != nil {
		return err
	}
	if k.client.work.Stream {
		if k.spoken.IsZero() {
			return errors.New("the stream does not begin with its first token")
		}
		k.token = append(k.token, k.spoken.Sub(asked))
	}
	if !keep {
		k.drop()
	}
	return nil
}

// read reads an answer into k.body.
func (k *conn) read() (status int, keep bool, err error) {
	line, err := k.in.ReadSlice('\n')
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, false, fmt.Errorf("not HTTP/1.1: %.60q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	length, chunked, keep, err := readHead(k.in)
	if err != nil {
		return 0, false, err
	}
	k.body, err = readBody(k.in, k.body[:0], length, chunked, func(body []byte) {
		if k.spoken.IsZero() && bytes.Contains(body, firstToken) {
			k.spoken = time.Now()
		}
	})
	return status, keep, err
}

// firstToken is how the first token's text stands in a stream, whatever its format.
var firstToken = []byte(":" + quote(word(0)))

// maxBody bounds what is read of a message.
const maxBody = 1 << 20

// readHead reads header fields up to the empty line. length is -1 when there is none.
func readHead(in *bufio.Reader) (length int, chunked, keep bool, err error) {
	length, keep = -1, true
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, false, false, err
		}
		if len(line) <= 2 {
			return length, chunked, keep, nil
		}
		switch line[0] | 0x20 { // of the few fields that matter, most begin otherwise
		case 'c', 't':
		default:
			continue
		}
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(value); err != nil || length < 0 || length > maxBody {
				return 0, false, false, fmt.Errorf("content length %q", value)
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			chunked = strings.EqualFold(value, "chunked")
		case strings.EqualFold(name, "Connection"):
			keep = !strings.EqualFold(value, "close")
		}
	}
}

// readBody appends a body to dst. seen, where it is not nil, is called with what there is of it after each chunk.
func readBody(in *bufio.Reader, dst []byte, length int, chunked bool, seen func([]byte)) ([]byte, error) {
	if !chunked {
		if length < 0 {
			return dst, errors.New("neither a content length nor chunks")
		}
		return readMore(in, dst, length)
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return dst, err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 20)
		if err != nil {
			return dst, err
		}
		if len(dst)+int(n) > maxBody {
			return dst, errors.New("the body is too long")
		}
		if dst, err = readMore(in, dst, int(n)); err != nil {
			return dst, err
		}
		if seen != nil {
			seen(dst)
		}
		if _, err := in.Discard(2); err != nil {
			return dst, err
		}
		if n == 0 {
			return dst, nil
		}
	}
}

func readMore(in io.Reader, dst []byte, n int) ([]byte, error) {
	dst = slices.Grow(dst, n)
	m, err := io.ReadFull(in, dst[len(dst):len(dst)+n])
	return dst[:len(dst)+m], err
}
