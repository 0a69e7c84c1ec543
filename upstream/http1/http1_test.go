package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rawServer accepts connections and answers the i-th request on each with answers[i], which may be of any bytes. It
// closes a connection after the last one if then is "close", cuts it off if it is "reset", else leaves it open.
type rawServer struct {
	url      string
	mu       sync.Mutex
	accepted int
	requests []string // connection number, method, path, body
	conns    []net.Conn
}

func serveRaw(t *testing.T, then string, answers ...string) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: "http://" + l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.accepted++
			n := s.accepted
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			wg.Go(func() { s.serve(c, n, then, answers) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *rawServer) serve(c net.Conn, n int, then string, answers []string) {
	r := bufio.NewReader(c)
	for i := 0; ; i++ {
		req, err := http.ReadRequest(r)
		if err != nil {
			c.Close()
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			c.Close()
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, fmt.Sprintf("%d %s %s %s", n, req.Method, req.RequestURI, body))
		s.mu.Unlock()
		if i < len(answers) {
			io.WriteString(c, answers[i])
		}
		if i >= len(answers)-1 {
			switch then {
			case "reset":
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
				return
			case "close":
				c.Close()
				return
			}
		}
	}
}

func (s *rawServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func newTransport(t *testing.T, c Config) *Transport {
	t.Helper()
	if c.MaxIdleConns == 0 {
		c.MaxIdleConns = 8
	}
	tr := New(c)
	t.Cleanup(func() { tr.Close() })
	return tr
}

func post(t *testing.T, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// do returns what came of r: status and body, or the error.
func do(tr http.RoundTripper, r *http.Request) (*http.Response, string, error) {
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func (t *Transport) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, list := range t.idle {
		n += len(list)
	}
	if n != t.kept {
		panic("the count of idle connections is wrong")
	}
	return n
}

func TestFramings(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	many := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name, method, answer, then string
		status                     int
		body                       string
		reused                     bool
	}{
		{"length", "GET", head + "Content-Length: 5\r\n\r\nhello", "", 200, "hello", true},
		{"length 0", "GET", head + "Content-Length: 0\r\n\r\n", "", 200, "", true},
		{"length, long", "GET", head + "Content-Length: 100000\r\n\r\n" + many, "", 200, many, true},
		{"name in any case, spaces around the value", "GET", head + "content-LENGTH: \t 5 \t\r\n\r\nhello", "", 200, "hello", true},
		{"chunks", "GET", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "", 200, "hello!", true},
		{"chunks, upper case", "GET", head + "Transfer-Encoding: CHUNKED\r\n\r\nA\r\nhellohello\r\n0\r\n\r\n", "", 200, "hellohello", true},
		{"chunks with extensions and spaces", "GET", head + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n1  \r\n!\r\n000\r\n\r\n", "", 200, "hello!", true},
		{"chunks with trailers", "GET", head + "Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\n", "", 200, "hello", true},
		{"chunks, long", "GET", head + "Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + many + "\r\n0\r\n\r\n", "", 200, many, true},
		{"until it closes", "GET", head + "\r\nhello", "close", 200, "hello", false},
		{"until it closes, long", "GET", head + "\r\n" + many, "close", 200, many, false},
		{"Connection: close", "GET", head + "Connection: close\r\nContent-Length: 5\r\n\r\nhello", "", 200, "hello", false},
		{"Connection: close in a list", "GET", head + "Connection: x , CLOSE\r\nContent-Length: 5\r\n\r\nhello", "", 200, "hello", false},
		{"Connection: close in a second field", "GET", head + "Connection: keep-alive\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "", 200, "hello", false},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "", 200, "hello", false},
		{"HTTP/1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello", "", 200, "hello", true},
		{"HTTP/1.0 until it closes", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", "close", 200, "hello", false},
		{"HEAD", "HEAD", head + "Content-Length: 5\r\n\r\n", "", 200, "", true},
		{"HEAD with chunks", "HEAD", head + "Transfer-Encoding: chunked\r\n\r\n", "", 200, "", true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, "", true},
		{"204 that says it has a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "", 204, "", false},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", 304, "", true},
		{"interim answers", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + head + "Content-Length: 5\r\n\r\nhello", "", 200, "hello", true},
		{"no reason", "GET", "HTTP/1.1 429 \r\nContent-Length: 0\r\n\r\n", "", 429, "", true},
		{"no reason, no space", "GET", "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", "", 500, "", true},
		{"more than the body", "GET", head + "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", "", 200, "hello", false},
		{"more than the chunks", "GET", head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", "", 200, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serveRaw(t, c.then, c.answer, c.answer)
			if c.then == "close" {
				s = serveRaw(t, c.then, c.answer)
			}
			tr := newTransport(t, Config{})
			for range 2 {
				resp, body, err := do(tr, get(t, c.method, s.url+"/p?q=1"))
				if err != nil || resp.StatusCode != c.status || body != c.body {
					t.Fatalf("got %+v, %d bytes, %v; want %d, %d bytes", resp, len(body), err, c.status, len(c.body))
				}
				if resp.Close == c.reused && !strings.HasPrefix(c.name, "more") {
					t.Errorf("Close is %t", resp.Close)
				}
			}
			want := []string{"1 " + c.method + " /p?q=1 ", "2 " + c.method + " /p?q=1 "}
			if c.reused {
				want[1] = "1" + want[1][1:]
			}
			if got := s.seen(); !slices.Equal(got, want) {
				t.Errorf("the server has seen %q, want %q", got, want)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	s := serveRaw(t, "", "HTTP/1.1 200 Very Well\r\nserver:uvicorn\r\nX-a: 1\r\nx-A:  2 \r\nretry-after-ms: 5\r\nTransfer-Encoding: chunked\r\nempty:\r\nnot-ascii: \xc3\xa9\r\n\r\n0\r\n\r\n")
	resp, _, err := do(newTransport(t, Config{}), get(t, "GET", s.url))
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{"Server": {"uvicorn"}, "X-A": {"1", "2"}, "Retry-After-Ms": {"5"}, "Empty": {""}, "Not-Ascii": {"é"}}
	if fmt.Sprint(resp.Header) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", resp.Header, want)
	}
	if resp.Status != "200 Very Well" || resp.Proto != "HTTP/1.1" || resp.ContentLength != -1 || !slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
		t.Errorf("got %+v", resp)
	}
}

// An answer that is not to the letter is refused and its connection closed: it is never taken for another one.
func TestMalformed(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	const chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
	for name, answer := range map[string]string{
		"nothing":                         "",
		"another protocol":                "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2":                          "HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2":                        "HTTP/1.2 200 OK\r\n\r\n",
		"status too short":                "HTTP/1.1 20\r\n\r\n",
		"status too long":                 "HTTP/1.1 2000\r\n\r\n",
		"status no number":                "HTTP/1.1 2x0 OK\r\n\r\n",
		"status below 100":                "HTTP/1.1 099 OK\r\n\r\n",
		"control character in the reason": "HTTP/1.1 200 O\x00K\r\n\r\n",
		"switching protocols":             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"bare LF after the status line":   "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"bare LF after a field":           head + "Content-Length: 0\n\r\n",
		"bare LF for the empty line":      head + "Content-Length: 0\r\n\n",
		"bare CR in a value":              head + "A: b\rContent-Length: 5\r\n\r\n",
		"NUL in a value":                  head + "A: \x00\r\nContent-Length: 0\r\n\r\n",
		"no colon":                        head + "A b\r\nContent-Length: 0\r\n\r\n",
		"no name":                         head + ": b\r\nContent-Length: 0\r\n\r\n",
		"space before the colon":          head + "Content-Length : 0\r\n\r\n",
		"folded":                          head + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"folded first":                    head + " A: b\r\nContent-Length: 0\r\n\r\n",
		"two lengths":                     head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"two equal lengths":               head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"two lengths in one field":        head + "Content-Length: 5, 5\r\n\r\nhello",
		"length with a sign":              head + "Content-Length: +5\r\n\r\nhello",
		"negative length":                 head + "Content-Length: -5\r\n\r\nhello",
		"empty length":                    head + "Content-Length:\r\n\r\nhello",
		"length of 20 digits":             head + "Content-Length: 99999999999999999999\r\n\r\nhello",
		"length and chunks":               head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"another coding":                  head + "Transfer-Encoding: gzip\r\n\r\n",
		"another coding too":              head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":                   head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks in HTTP/1.0":              "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"head too long":                   head + "A: " + strings.Repeat("x", maxHead) + "\r\n\r\n",
		"head too long in sum":            strings.Repeat("HTTP/1.1 100 Continue\r\nA: "+strings.Repeat("x", 1000)+"\r\n\r\n", 70) + head + "Content-Length: 0\r\n\r\n",
		"too many fields":                 head + strings.Repeat("A: b\r\n", maxFields) + "Content-Length: 0\r\n\r\n",
		"head cut off":                    head + "Content-Le",
		"body cut off":                    head + "Content-Length: 6\r\n\r\nhello",
		"chunk cut off":                   chunked + "6\r\nhello",
		"chunks cut off":                  chunked + "5\r\nhello\r\n",
		"chunks cut off at the end":       chunked + "5\r\nhello\r\n0\r\n",
		"chunk size empty":                chunked + "\r\nhello\r\n0\r\n\r\n",
		"chunk size no number":            chunked + "x\r\nhello\r\n0\r\n\r\n",
		"chunk size with 0x":              chunked + "0x5\r\nhello\r\n0\r\n\r\n",
		"chunk size with a sign":          chunked + "+5\r\nhello\r\n0\r\n\r\n",
		"chunk size after a space":        chunked + " 5\r\nhello\r\n0\r\n\r\n",
		"chunk size of 16 digits":         chunked + "8000000000000005\r\nhello\r\n0\r\n\r\n",
		"chunk size with a bare LF":       chunked + "5\nhello\r\n0\r\n\r\n",
		"chunk size, space, bare LF":      chunked + "5 \nhello\r\n0\r\n\r\n",
		"chunk line too long":             chunked + "5;" + strings.Repeat("x", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n",
		"bare CR in an extension":         chunked + "5;\rx\r\nhello\r\n0\r\n\r\n",
		"chunk longer than it says":       chunked + "4\r\nhello\r\n0\r\n\r\n",
		"chunk without its CRLF":          chunked + "5\r\nhello0\r\n\r\n",
		"chunk with a bare LF":            chunked + "5\r\nhello\n0\r\n\r\n",
		"trailer malformed":               chunked + "0\r\nA b\r\n\r\n",
		"trailer too long":                chunked + "0\r\nA: " + strings.Repeat("x", maxTrailerLine) + "\r\n\r\n",
		"too many trailers":               chunked + "0\r\n" + strings.Repeat("A: b\r\n", maxTrailers+1) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serveRaw(t, "close", answer)
			tr := newTransport(t, Config{AnswerTimeout: 20 * time.Second})
			resp, body, err := do(tr, post(t, s.url, "x"))
			if err == nil {
				t.Errorf("accepted: %+v, %q", resp, body)
			}
			if timedOut(err) || tr.waiting() != 0 {
				t.Errorf("got %v, %d connections wait", err, tr.waiting())
			}
			if got := s.seen(); len(got) != 1 {
				t.Errorf("sent %d times", len(got))
			}
		})
	}
}

func TestRequestsThatCannotBeSent(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"no URL":                 func(r *http.Request) { r.URL = nil },
		"no host":                func(r *http.Request) { r.URL.Host = "" },
		"ftp":                    func(r *http.Request) { r.URL.Scheme = "ftp" },
		"method":                 func(r *http.Request) { r.Method = "A B" },
		"line break in a value":  func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
		"line break in a name":   func(r *http.Request) { r.Header["A\n"] = []string{"b"} },
		"line break in the host": func(r *http.Request) { r.Host = "a\r\nb" },
		"host not ASCII":         func(r *http.Request) { r.Host = "bücher.example" },
		"path without a slash":   func(r *http.Request) { r.URL.Path = "a" },
		"space in the query":     func(r *http.Request) { r.URL.RawQuery = "a b" },
		"length unknown":         func(r *http.Request) { r.ContentLength = -1 },
		"length missing":         func(r *http.Request) { r.ContentLength = 0 },
		"body missing":           func(r *http.Request) { r.Body = nil },
		"body too short":         func(r *http.Request) { r.ContentLength = 4 },
		"long body too short":    func(r *http.Request) { r.ContentLength = 2 * bufferSize },
		"long body too long": func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 3*bufferSize))), 2*bufferSize
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveRaw(t, "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			tr := newTransport(t, Config{})
			r := post(t, s.url, "abc")
			change(r)
			if _, _, err := do(tr, r); err == nil {
				t.Error("sent")
			}
			if got := s.seen(); len(got) > 0 || tr.waiting() > 0 {
				t.Errorf("the server has seen %q", got)
			}
		})
	}
}

func TestRequestHead(t *testing.T) {
	var got string
	tr := newTransport(t, Config{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return &scriptConn{answer: []byte("HTTP/1.1 204 No Content\r\n\r\n"), wrote: func(b []byte) { got += string(b) + "|" }}, nil
	}})
	r := post(t, "http://[fe80::1%25eth0]:8080/a%20b?c=d", "body")
	r.Header = http.Header{"Accept": {"*/*"}, "Connection": {"upgrade"}, "Transfer-Encoding": {"gzip"}, "X-Idempotency-Key": {}}
	r.Close = true
	if _, _, err := do(tr, r); err != nil {
		t.Fatal(err)
	}
	const want = "POST /a%20b?c=d HTTP/1.1\r\nHost: [fe80::1]:8080\r\nAccept: */*\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody|"
	if tr.waiting() != 0 {
		t.Error("the connection was kept")
	}
	if got != want {
		t.Errorf("in writes, each ended by |:\n%q, want\n%q", got, want)
	}
}

// Against net/http's server, plain and with TLS: bodies of all sizes in both directions, one connection for calls in turn.
func TestAgainstNetHTTP(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/stream" {
			for piece := range slices.Chunk(b, 1000) {
				w.Write(piece)
				w.(http.Flusher).Flush()
			}
			return
		}
		w.Write(b)
	})
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := httptest.NewUnstartedServer(echo)
			var mu sync.Mutex
			conns := 0
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				if state == http.StateNew {
					conns++
				}
			}
			cfg := Config{AnswerTimeout: time.Minute, IdleTimeout: time.Minute}
			if scheme == "https" {
				s.EnableHTTP2 = true // offered and not taken
				s.StartTLS()
				cfg.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
			} else {
				s.Start()
			}
			defer s.Close()
			tr := newTransport(t, cfg)
			for _, path := range []string{"/", "/stream"} {
				for _, size := range []int{0, 1, 700, bufferSize - 200, bufferSize, bufferSize + 1, 300_000, 5_000_000} {
					want := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
					resp, got, err := do(tr, post(t, s.URL+path, want))
					if err != nil || resp.StatusCode != 200 || got != want {
						t.Fatalf("%s with %d bytes: %d bytes, %v", path, size, len(got), err)
					}
				}
			}
			mu.Lock()
			if conns != 1 {
				t.Errorf("%d connections for calls in turn", conns)
			}
			mu.Unlock()

			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for j := range 20 {
						want := fmt.Sprint("call ", i, j)
						if _, got, err := do(tr, post(t, s.URL+"/stream", want)); err != nil || got != want {
							t.Errorf("got %q, %v; want %q", got, err, want)
						}
					}
				})
			}
			wg.Wait()
			if n := tr.waiting(); n < 1 || n > 8 {
				t.Errorf("%d connections wait", n)
			}
			tr.Close()
			if _, _, err := do(tr, post(t, s.URL, "x")); err != nil || tr.waiting() != 0 {
				t.Errorf("after Close: %v, %d connections wait", err, tr.waiting())
			}
		})
	}
}

// loud waits until something has come on the connection that waits.
func loud(t *testing.T, tr *Transport) {
	t.Helper()
	for to := range tr.idle {
		c := tr.idle[to][0]
		for range 2000 {
			if socketQuiet(c.raw) != yes {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	t.Fatal("nothing came")
}

// What happens to a kept connection before and while the next request goes out on it. A POST without a key is never sent
// twice, so what goes well here was seen before.
func TestReuse(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	send := func(t *testing.T, tr *Transport, s *rawServer, key bool) error {
		r := post(t, s.url, "x")
		if key {
			r.Header["X-Idempotency-Key"] = []string{}
		}
		_, got, err := do(tr, r)
		if err == nil && got != "ok" {
			t.Errorf("got %q", got)
		}
		return err
	}
	first, second := "1 POST / x", "2 POST / x"

	for _, then := range []string{"close", "reset"} {
		t.Run("the server "+then+"s while it waits", func(t *testing.T) {
			s := serveRaw(t, "", ok, ok)
			tr := newTransport(t, Config{})
			if err := send(t, tr, s, false); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			if then == "reset" {
				s.conns[0].(*net.TCPConn).SetLinger(0)
			}
			s.conns[0].Close()
			s.mu.Unlock()
			loud(t, tr)
			if err := send(t, tr, s, false); err != nil || !slices.Equal(s.seen(), []string{first, second}) {
				t.Errorf("%v, %q", err, s.seen())
			}
		})
		t.Run("the server "+then+"s when the request comes", func(t *testing.T) {
			// The first connection gives one answer and ends at the second request. So do the others: of two requests
			// that may be repeated, the second goes out twice, and the third attempt of a request never happens.
			s := serveRaw(t, then, ok, "")
			tr := newTransport(t, Config{})
			if err := errors.Join(send(t, tr, s, true), send(t, tr, s, true)); err != nil || !slices.Equal(s.seen(), []string{first, first, second}) {
				t.Errorf("may be repeated: %v, %q", err, s.seen())
			}
			if err := send(t, tr, s, false); err == nil || len(s.seen()) != 4 || timedOut(err) {
				t.Errorf("may not be repeated: %v, %q", err, s.seen())
			}
			s = serveRaw(t, then, "")
			if err := send(t, newTransport(t, Config{}), s, true); err == nil || len(s.seen()) != 1 {
				t.Errorf("on a new connection: %v, %q", err, s.seen())
			}
			s = serveRaw(t, then, ok, "HTTP/1.1 ")
			tr = newTransport(t, Config{})
			if err := send(t, tr, s, true); err != nil {
				t.Fatal(err)
			}
			if err := send(t, tr, s, true); err == nil || len(s.seen()) != 2 {
				t.Errorf("after a part of the answer: %v, %q", err, s.seen())
			}
		})
	}
	t.Run("the server sends what nobody asked for", func(t *testing.T) {
		s := serveRaw(t, "", ok, ok)
		tr := newTransport(t, Config{})
		if err := send(t, tr, s, false); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		io.WriteString(s.conns[0], "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
		s.mu.Unlock()
		loud(t, tr)
		if err := send(t, tr, s, false); err != nil || !slices.Equal(s.seen(), []string{first, second}) {
			t.Errorf("%v, %q", err, s.seen())
		}
	})
	t.Run("not more than allowed are kept, the last is taken first", func(t *testing.T) {
		s := serveRaw(t, "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", ok)
		tr := newTransport(t, Config{MaxIdleConns: 2})
		var open []*http.Response
		for range 3 {
			resp, err := tr.RoundTrip(post(t, s.url, "x"))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, resp)
		}
		s.mu.Lock()
		for _, c := range s.conns {
			io.WriteString(c, "k")
		}
		s.mu.Unlock()
		for _, i := range []int{0, 2, 1} {
			if b, err := io.ReadAll(open[i].Body); err != nil || string(b) != "ok" {
				t.Fatalf("%q, %v", b, err)
			}
		}
		if tr.waiting() != 2 {
			t.Fatalf("%d connections wait", tr.waiting())
		}
		if err := send(t, tr, s, false); err != nil || s.seen()[3] != "3 POST / x" {
			t.Errorf("%v, %q", err, s.seen())
		}
		tr.CloseIdleConnections()
		if tr.waiting() != 0 {
			t.Errorf("%d connections wait", tr.waiting())
		}
	})
}

// TLS takes more from the socket than it gives. An answer that it holds back is found all the same.
func TestUnaskedAnswerInsideTLS(t *testing.T) {
	cert := httptest.NewTLSServer(nil)
	defer cert.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := range 2 {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			defer raw.Close()
			gathered := &gather{Conn: raw}
			c := tls.Server(gathered, &tls.Config{Certificates: cert.TLS.Certificates})
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				t.Error(err)
				return
			}
			gathered.on = true
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX")
			raw.Write(gathered.held) // two records, one segment
		}
	})
	tr := newTransport(t, Config{TLS: cert.Client().Transport.(*http.Transport).TLSClientConfig})
	for i := range 2 {
		if _, got, err := do(tr, get(t, "GET", "https://"+l.Addr().String())); err != nil || got != fmt.Sprint(i) {
			t.Fatalf("call %d: %q, %v", i, got, err)
		}
		if tr.waiting() != 1 {
			t.Fatal("the connection was not kept: the test says nothing")
		}
	}
}

type gather struct {
	net.Conn
	on   bool
	held []byte
}

func (g *gather) Write(b []byte) (int, error) {
	if !g.on {
		return g.Conn.Write(b)
	}
	g.held = append(g.held, b...)
	return len(b), nil
}

func TestTLSRefusals(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	_, _, err := do(newTransport(t, Config{}), get(t, "GET", s.URL))
	var op *net.OpError
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &op) || op.Op != "dial" || !errors.As(err, &unknown) {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

// A server may answer before it has the whole request, and take no more of it. Its answer says why; the connection is lost.
func TestAnswerBeforeTheWholeRequest(t *testing.T) {
	broken := fmt.Errorf("write: %w", io.ErrClosedPipe)
	for _, answer := range []string{"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nlong", ""} {
		conn := &scriptConn{answer: []byte(answer), broken: broken}
		tr := newTransport(t, Config{DialContext: conn.dial})
		resp, got, err := do(tr, post(t, "http://h", strings.Repeat("x", 2*bufferSize)))
		if answer == "" {
			if !errors.Is(err, broken) {
				t.Errorf("no answer: %v", err)
			}
		} else if err != nil || resp.StatusCode != 413 || got != "long" {
			t.Errorf("got %+v %q, %v", resp, got, err)
		}
		if tr.waiting() != 0 || !conn.closed {
			t.Error("the connection was kept")
		}
	}
}

// Such an answer has to begin soon, but has as much time to end as any other.
func TestSlowAnswerBeforeTheWholeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			io.ReadFull(far, make([]byte, bufferSize))
			io.WriteString(far, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\n")
			time.Sleep(time.Second)
			io.WriteString(far, "long")
			io.Copy(io.Discard, far)
		})
		tr := newTransport(t, Config{AnswerTimeout: 5 * time.Second, DialContext: func(context.Context, string, string) (net.Conn, error) { return oneWrite{near, new(bool)}, nil }})
		resp, got, err := do(tr, post(t, "http://h", strings.Repeat("x", 2*bufferSize)))
		if err != nil || resp.StatusCode != 413 || got != "long" {
			t.Errorf("got %+v %q, %v", resp, got, err)
		}
		wg.Wait()
	})
}

// oneWrite is a connection whose other side takes one write.
type oneWrite struct {
	net.Conn
	done *bool
}

func (c oneWrite) Write(b []byte) (int, error) {
	if *c.done {
		return 0, io.ErrClosedPipe
	}
	*c.done = true
	return c.Conn.Write(b)
}

func TestCloseBeforeTheEnd(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, answer string
		kept         bool
	}{
		{"the rest has come", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true},
		{"the rest has not come", "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\nhello", false},
		{"all chunks have come", chunked + "5\r\nhello\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", true},
		{"the last chunk has not come", chunked + "5\r\nhello\r\n0\r\n", false},
		{"malformed", chunked + "5\r\nhello\r\nx\r\n", false},
		{"until it closes", "HTTP/1.1 200 OK\r\n\r\nhello", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := &scriptConn{answer: []byte(c.answer)}
			tr := newTransport(t, Config{DialContext: conn.dial})
			resp, err := tr.RoundTrip(get(t, "GET", "http://h"))
			if err != nil {
				t.Fatal(err)
			}
			var b [2]byte
			if _, err := io.ReadFull(resp.Body, b[:]); err != nil || string(b[:]) != "he" {
				t.Fatalf("%q, %v", b, err)
			}
			resp.Body.Close()
			resp.Body.Close()
			if n, err := resp.Body.Read(b[:]); n != 0 || err == nil {
				t.Errorf("a closed body gives %d bytes, %v", n, err)
			}
			if kept := tr.waiting() == 1; kept != c.kept || conn.closed == c.kept {
				t.Errorf("kept %t, closed %t", kept, conn.closed)
			}
		})
	}
}

// What came together is read together, whatever the chunks.
func TestChunksThatCameTogether(t *testing.T) {
	var all, want strings.Builder
	for i := range 200 {
		event := fmt.Sprintf("data: {\"n\":%d}\n\n", i)
		fmt.Fprintf(&all, "%x\r\n%s\r\n", len(event), event)
		want.WriteString(event)
	}
	for _, end := range []string{"", "0\r\n\r\n"} {
		conn := &scriptConn{answer: []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + all.String() + end)}
		resp, err := newTransport(t, Config{DialContext: conn.dial}).RoundTrip(get(t, "GET", "http://h"))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 16<<10)
		n, err := resp.Body.Read(b)
		wantErr := error(nil)
		if end != "" {
			wantErr = io.EOF
		}
		if string(b[:n]) != want.String() || err != wantErr || conn.reads != 1 {
			t.Errorf("one read gives %d of %d bytes, %v, after %d reads of the connection", n, want.Len(), err, conn.reads)
		}
		resp.Body.Close()
	}
}

// Time limits and cancellation, on connections without a socket, in time that passes by itself. No goroutine may be left.
func TestWaiting(t *testing.T) {
	cause := errors.New("the caller has had enough")
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name string
		cfg  Config
		// answer plays the server's side after the request; nil never takes the request.
		answer  func(net.Conn)
		endBy   time.Duration // when the context ends
		timeout time.Duration // for SetReadTimeout, -1 for one of 0; 0 does not call it
		after   time.Duration // when the call fails
		want    error         // nil is any that is a timeout
		body    string        // that came before
	}{
		{name: "cancelled before", endBy: -1, want: cause},
		{name: "cancelled while the request is written", endBy: time.Second, after: time.Second, want: cause},
		{name: "cancelled before the answer", answer: func(net.Conn) {}, endBy: time.Second, after: time.Second, want: cause},
		{name: "cancelled within the head", answer: func(c net.Conn) { io.WriteString(c, head[:20]) }, endBy: time.Second, after: time.Second, want: cause},
		{name: "cancelled within the body", answer: func(c net.Conn) { io.WriteString(c, head+"5\r\nhel") }, endBy: time.Second, after: time.Second, want: cause, body: "hel"},
		{name: "cancelled, with limits", cfg: Config{AnswerTimeout: 5 * time.Second}, timeout: 5 * time.Second, answer: func(c net.Conn) { io.WriteString(c, head+"5\r\nhel") }, endBy: time.Second, after: time.Second, want: cause, body: "hel"},
		{name: "nobody takes the request", cfg: Config{AnswerTimeout: 3 * time.Second}, after: 3 * time.Second},
		{name: "no answer", cfg: Config{AnswerTimeout: 3 * time.Second}, answer: func(net.Conn) {}, after: 3 * time.Second},
		{name: "an answer a byte a second", cfg: Config{AnswerTimeout: 3 * time.Second}, answer: func(c net.Conn) {
			for _, b := range []byte(head) {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		}, after: 3 * time.Second},
		{name: "no body", cfg: Config{AnswerTimeout: 3 * time.Second}, timeout: 2 * time.Second, answer: func(c net.Conn) { io.WriteString(c, head) }, after: 2 * time.Second},
		{name: "an answer that its reader does not say has begun", cfg: Config{AnswerTimeout: 3 * time.Second}, answer: func(c net.Conn) {
			io.WriteString(c, head)
			for range 5 {
				time.Sleep(800 * time.Millisecond)
				io.WriteString(c, "1\r\nx\r\n")
			}
		}, after: 3 * time.Second, body: "xxx"},
		{name: "a body with a break", cfg: Config{AnswerTimeout: 3 * time.Second}, timeout: 2 * time.Second, answer: func(c net.Conn) {
			io.WriteString(c, head)
			for range 5 {
				time.Sleep(time.Second)
				io.WriteString(c, "1\r\nx\r\n")
			}
		}, after: 7 * time.Second, body: "xxxxx"},
		{name: "a limit for the body alone", answer: func(c net.Conn) { io.WriteString(c, head) }, timeout: 4 * time.Second, after: 4 * time.Second},
		{name: "a limit for the head alone", cfg: Config{AnswerTimeout: time.Second}, timeout: -1, answer: func(c net.Conn) {
			io.WriteString(c, head)
			time.Sleep(time.Hour)
			c.Close()
		}, after: time.Hour, want: io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var wg sync.WaitGroup
				var far net.Conn
				c.cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
					var near net.Conn
					near, far = net.Pipe()
					if c.answer != nil {
						wg.Go(func() {
							http.ReadRequest(bufio.NewReader(far))
							c.answer(far)
							io.Copy(io.Discard, far)
						})
					}
					return near, nil
				}
				tr := newTransport(t, c.cfg)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if c.endBy < 0 {
					cancel(cause)
				} else if c.endBy > 0 {
					defer time.AfterFunc(c.endBy, func() { cancel(cause) }).Stop()
				}
				start := time.Now()
				resp, err := tr.RoundTrip(get(t, "GET", "http://h").WithContext(ctx))
				if err == nil {
					if c.timeout != 0 {
						resp.Body.(Body).SetReadTimeout(max(c.timeout, 0))
					}
					var b []byte
					b, err = io.ReadAll(resp.Body)
					if string(b) != c.body {
						t.Errorf("the body is %q", b)
					}
					if _, again := resp.Body.Read(make([]byte, 1)); again != err {
						t.Errorf("then %v", again)
					}
					resp.Body.Close()
				}
				if took := time.Since(start); took != c.after || c.want != nil && !errors.Is(err, c.want) || c.want == nil && !timedOut(err) {
					t.Errorf("after %v: %v; want %v, %v", took, err, c.after, c.want)
				}
				if tr.waiting() != 0 {
					t.Error("the connection was kept")
				}
				if far != nil {
					if _, err := far.Read(make([]byte, 1)); err == nil {
						t.Error("the connection was not closed")
					}
				}
				wg.Wait()
			})
		})
	}
}

// A context that ends between two reads is not forgotten over the deadline of the second.
func TestCancelledBetweenReads(t *testing.T) {
	cause := errors.New("the caller has had enough")
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			http.ReadRequest(bufio.NewReader(far))
			io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		}()
		tr := newTransport(t, Config{DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }})
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, err := tr.RoundTrip(get(t, "GET", "http://h").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.(Body).SetReadTimeout(time.Minute)
		cancel(cause)
		synctest.Wait()
		start := time.Now()
		if _, err := resp.Body.Read(make([]byte, 1)); err != cause || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// The end of a connection that comes with the last of an answer is not overlooked.
func TestEndTogetherWithTheAnswer(t *testing.T) {
	conn := &scriptConn{answer: []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), ends: true, atOnce: true}
	tr := newTransport(t, Config{DialContext: conn.dial})
	if _, got, err := do(tr, get(t, "GET", "http://h")); err != nil || got != "ok" || tr.waiting() != 0 || !conn.closed {
		t.Errorf("%q, %v, closed %t", got, err, conn.closed)
	}
}

func TestDialing(t *testing.T) {
	cause := errors.New("the caller has had enough")
	synctest.Test(t, func(t *testing.T) {
		addresses := []string{}
		tr := newTransport(t, Config{ConnectTimeout: 5 * time.Second, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			addresses = append(addresses, network+" "+address)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		for _, url := range []string{"http://h", "https://h", "http://[::1]:81"} {
			var op *net.OpError
			if _, _, err := do(tr, get(t, "GET", url)); !errors.As(err, &op) || op.Op != "dial" || !op.Timeout() {
				t.Errorf("nobody answers: %v", err)
			}
		}
		if want := []string{"tcp h:80", "tcp h:443", "tcp [::1]:81"}; !slices.Equal(addresses, want) {
			t.Errorf("dialled %q, want %q", addresses, want)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, _, err := do(tr, get(t, "GET", "http://h").WithContext(ctx)); err != cause {
			t.Errorf("the caller leaves: %v", err)
		}
	})
	// TLS counts as a part of it.
	synctest.Test(t, func(t *testing.T) {
		tr := newTransport(t, Config{ConnectTimeout: 5 * time.Second, DialContext: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go io.Copy(io.Discard, far)
			return near, nil
		}})
		start := time.Now()
		var op *net.OpError
		if _, _, err := do(tr, get(t, "GET", "https://h")); !errors.As(err, &op) || op.Op != "dial" || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// Connections that have waited for too long are closed by later calls, not used.
func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns []*scriptConn
		tr := newTransport(t, Config{IdleTimeout: time.Minute, DialContext: func(context.Context, string, string) (net.Conn, error) {
			c := &scriptConn{answer: []byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), again: true}
			conns = append(conns, c)
			return c, nil
		}})
		open := func(host string) *http.Response {
			resp, err := tr.RoundTrip(get(t, "GET", "http://"+host))
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		burst := []*http.Response{open("a"), open("a"), open("a"), open("a")}
		for _, resp := range burst {
			resp.Body.Close()
		}
		time.Sleep(59 * time.Second)
		open("a").Body.Close() // on the last of the four
		if len(conns) != 4 {
			t.Fatalf("%d connections", len(conns))
		}
		time.Sleep(time.Second)
		open("b").Body.Close()
		r := open("a")
		if len(conns) != 5 || tr.waiting() != 4 {
			t.Fatalf("%d connections, %d wait", len(conns), tr.waiting())
		}
		r.Body.Close()
		closed := 0
		for _, c := range conns {
			if c.closed {
				closed++
			}
		}
		if closed != 2 || tr.waiting() != 3 {
			t.Errorf("%d closed, %d wait", closed, tr.waiting())
		}
		time.Sleep(time.Hour)
		open("a").Body.Close()
		if len(conns) != 6 || tr.waiting() != 2 {
			t.Errorf("%d connections, %d wait", len(conns), tr.waiting())
		}
	})
}

// scriptConn is a connection without a network: what is written is the request, and then the answer can be read, as far
// as each read has room. When it has been read a read times out, as if the other side were silent.
type scriptConn struct {
	answer []byte
	again  bool // the answer comes for every request
	piece  int  // what one read gives at most; 0 is all
	ends   bool // the other side closes after the answer
	atOnce bool // and its end comes with the last of it
	wrote  func([]byte)
	broken error // of every write but those of heads
	closed bool
	reads  int
	unread []byte
}

func (c *scriptConn) dial(context.Context, string, string) (net.Conn, error) { return c, nil }

func (c *scriptConn) Write(b []byte) (int, error) {
	if c.wrote != nil {
		c.wrote(b)
	}
	if !bytes.Contains(b, []byte(" HTTP/1.1\r\n")) && c.broken != nil {
		return 0, c.broken
	}
	if c.answer != nil && bytes.Contains(b, []byte(" HTTP/1.1\r\n")) {
		c.unread = c.answer
		if !c.again {
			c.answer = nil
		}
	}
	return len(b), nil
}

func (c *scriptConn) Read(b []byte) (int, error) {
	if len(c.unread) == 0 {
		if c.ends {
			return 0, io.EOF
		}
		return 0, errSilent
	}
	c.reads++
	n := len(c.unread)
	if c.piece > 0 {
		n = min(n, c.piece)
	}
	n = copy(b, c.unread[:n])
	c.unread = c.unread[n:]
	if c.atOnce && len(c.unread) == 0 {
		return n, io.EOF
	}
	return n, nil
}

var errSilent = func() error {
	near, _ := net.Pipe()
	near.SetReadDeadline(time.Unix(1, 0))
	_, err := near.Read(make([]byte, 1))
	return err
}()

func (c *scriptConn) Close() error                     { c.closed = true; return nil }
func (c *scriptConn) LocalAddr() net.Addr              { return nil }
func (c *scriptConn) RemoteAddr() net.Addr             { return nil }
func (c *scriptConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }
