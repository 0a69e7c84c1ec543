//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// fakeUpstream answers OpenAI chat completions from bytes made ahead, so that it costs little beside what is measured.
type fakeUpstream struct {
	answer  []byte
	head    []byte
	events  [2][][]byte // without and with the usage, each as an HTTP chunk
	latency atomic.Int64
	gap     atomic.Int64
	waits   chan wait
}

// wait is someone who wants to be woken.
type wait struct {
	at    time.Time
	awake chan struct{}
}

// serveUpstream is `bench upstream`. GET /control?latency=50ms&gap=10ms sets how it behaves.
func serveUpstream() error {
	u := &fakeUpstream{
		answer: httpAnswer("200 OK", "application/json", openAIAnswer(answerSize)),
		head:   []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"),
		waits:  make(chan wait, 1<<16),
	}
	for i := range u.events {
		for _, e := range openAIEvents(streamSize, i == 1) {
			u.events[i] = append(u.events[i], fmt.Appendf(nil, "%x\r\n%s\r\n", len(e), e))
		}
		last := len(u.events[i]) - 1
		u.events[i][last] = append(u.events[i][last], "0\r\n\r\n"...)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("upstream: listening on http://%s\n", l.Addr())
	oneMore()
	go u.clock()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go u.serve(c)
	}
}

// clock wakes those who wait. All of them wait equally long, so who came first is first; a thread that sleeps in the
// kernel is some hundred microseconds more exact than the timers of an idle Go program.
func (u *fakeUpstream) clock() {
	precise()
	for w := range u.waits {
		sleepUntil(w.at)
		w.awake <- struct{}{}
	}
}

func httpAnswer(status, contentType string, body []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", status, contentType, len(body), body)
}

func (u *fakeUpstream) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 16<<10)
	awake := make(chan struct{}, 1)
	var body []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		control := ""
		if !bytes.HasPrefix(line, []byte("POST ")) {
			control = string(line)
		}
		length, chunked, keep, err := readHead(in)
		if err != nil {
			return
		}
		if length < 0 && !chunked {
			length = 0
		}
		if body, err = readBody(in, body[:0], length, chunked, nil); err != nil {
			return
		}
		if control != "" {
			err = u.control(c, control)
		} else {
			err = u.reply(c, body, awake)
		}
		if err != nil || !keep {
			return
		}
	}
}

func (u *fakeUpstream) control(c net.Conn, line string) error {
	status := "400 Bad Request"
	if f := strings.Fields(line); len(f) > 1 {
		target, err := url.Parse(f[1])
		if err == nil && target.Path == "/control" {
			latency, err1 := time.ParseDuration(target.Query().Get("latency"))
			gap, err2 := time.ParseDuration(target.Query().Get("gap"))
			if err1 == nil && err2 == nil {
				u.latency.Store(int64(latency))
				u.gap.Store(int64(gap))
				status = "200 OK"
			}
		}
	}
	_, err := c.Write(httpAnswer(status, "text/plain", nil))
	return err
}

func (u *fakeUpstream) reply(c net.Conn, body []byte, awake chan struct{}) error {
	if d := time.Duration(u.latency.Load()); d > 0 {
		u.waits <- wait{time.Now().Add(d), awake}
		<-awake
	}
	if !bytes.Contains(body, []byte(`"stream":true`)) {
		_, err := c.Write(u.answer)
		return err
	}
	events := u.events[0]
	if bytes.Contains(body, []byte(`"include_usage":true`)) {
		events = u.events[1]
	}
	if _, err := c.Write(u.head); err != nil {
		return err
	}
	gap, start := time.Duration(u.gap.Load()), time.Now()
	for i, e := range events {
		// The last ones, after the tokens, follow at once, as with a real server.
		if gap > 0 && i > 0 && i < streamSize {
			u.waits <- wait{start.Add(time.Duration(i) * gap), awake}
			<-awake
		}
		if _, err := c.Write(e); err != nil {
			return err
		}
	}
	return nil
}
