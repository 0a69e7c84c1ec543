package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// describe says everything of a request that a handler can see.
func describe(r *http.Request) string {
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q proto %s %d.%d path %q raw %q query %q force %t host %q length %d te %q close %t tls %t remote %t\n",
		r.Method, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery,
		r.Host, r.ContentLength, r.TransferEncoding, r.Close, r.TLS != nil, strings.HasPrefix(r.RemoteAddr, "127.0.0.1:"))
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %q\n", name, r.Header[name])
	}
	return b.String()
}

// answers is a handler with an answer of every kind, by path.
func answers(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	flush := w.(http.Flusher).Flush
	switch r.URL.Path {
	case "/status":
		h.Set("X-A", "b")
		w.WriteHeader(n)
		if _, err := io.WriteString(w, "body"); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(err)
		}
	case "/nothing":
	case "/big": // of unknown length
		w.Write(bytes.Repeat([]byte("0123456789abcdef"), n/16))
	case "/told":
		h.Set("Content-Length", strconv.Itoa(n))
		w.Write(make([]byte, n))
	case "/chunks":
		for i := range n {
			fmt.Fprintf(w, "%d,", i)
		}
	case "/flushes":
		h.Set("Content-Type", "text/event-stream")
		flush()
		for i := range n {
			fmt.Fprintf(w, "%d,", i)
			flush()
		}
	case "/short":
		h.Set("Content-Length", "10")
		io.WriteString(w, "short")
	case "/over":
		h.Set("Content-Length", "4")
		if _, err := io.WriteString(w, "fourandmore"); !errors.Is(err, http.ErrContentLength) {
			panic(err)
		}
		io.WriteString(w, "four")
	case "/headers":
		h["x-lower"] = []string{"kept"}
		h["X-Split"] = []string{"a\r\nX-Injected: 1", "  spaces\t", "b\nc"}
		h["X-Bad Name"] = []string{"dropped"}
		h["X-None"] = nil
		h["Date"] = []string{"Mon, 01 Jan 2001 00:00:00 GMT"}
		io.WriteString(w, "body")
	case "/nodate":
		h["Date"] = nil
		h["Content-Type"] = nil
		io.WriteString(w, "<html>")
	case "/late": // what is set after WriteHeader is not sent
		h.Set("X-A", "b")
		w.WriteHeader(201)
		h.Set("X-B", "c")
		w.WriteHeader(202)
		io.WriteString(w, "body")
	case "/close":
		h.Set("Connection", "close")
		io.WriteString(w, "body")
	case "/option":
		h.Set("Connection", "x-option")
		io.WriteString(w, "body")
	case "/encoding":
		h.Set("Transfer-Encoding", r.URL.Query().Get("te"))
		if n > 0 {
			h.Set("Content-Length", strconv.Itoa(n))
		}
		io.WriteString(w, "body")
	case "/coded":
		h.Set("Content-Encoding", "gzip")
		io.WriteString(w, "body")
	case "/early":
		h.Set("Link", "</style.css>; rel=preload")
		h.Set("Content-Length", "4")
		w.WriteHeader(103)
		h.Del("Link")
		io.WriteString(w, "body")
	case "/panic":
		io.WriteString(w, "lost")
		panic("a test's")
	case "/latepanic":
		io.WriteString(w, "seen")
		flush()
		panic("a test's")
	case "/abort":
		io.WriteString(w, "seen")
		flush()
		panic(http.ErrAbortHandler)
	case "/unread":
		io.WriteString(w, "unread")
	case "/closebody":
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, err)
	case "/part":
		_, err := io.ReadFull(r.Body, make([]byte, n))
		fmt.Fprint(w, err)
	case "/after": // reading after the answer has begun
		io.WriteString(w, "body")
		flush()
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, err == io.EOF || errors.Is(err, http.ErrBodyReadAfterClose))
	default:
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%sbody %d bytes %.40q error %v context %v", describe(r), len(body), body, err, r.Context().Err())
	}
}

// heard is what a caller reads: every answer, and how the connection went on.
func heard(t *testing.T, addr string, pieces []string, pause time.Duration) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i, p := range pieces {
			if i > 0 {
				time.Sleep(pause)
			}
			if p == "FIN" {
				c.(*net.TCPConn).CloseWrite()
			} else if _, err := io.WriteString(c, p); err != nil {
				return
			}
		}
	}()
	var b strings.Builder
	br := bufio.NewReader(c)
	for {
		if _, err := br.Peek(1); err != nil {
			<-written
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("no end: %q", b.String())
			}
			fmt.Fprint(&b, "end")
			return b.String()
		}
		r, err := http.ReadResponse(br, nil)
		if err != nil {
			fmt.Fprintf(&b, "malformed: %v", err)
			return b.String()
		}
		body, err := io.ReadAll(r.Body)
		var lines []string
		for name, values := range r.Header {
			for _, v := range values {
				if name == "Date" && v != "Mon, 01 Jan 2001 00:00:00 GMT" {
					if _, err := http.ParseTime(v); err != nil {
						t.Error(err)
					}
					v = "now"
				}
				lines = append(lines, name+": "+v)
			}
		}
		slices.Sort(lines)
		if errors.Is(err, syscall.ECONNRESET) {
			err = nil // net/http does not linger after it has refused a head
		}
		text := string(body)
		if len(text) > 2000 {
			text = fmt.Sprintf("%d bytes, %s...%s", len(text), text[:20], text[len(text)-20:])
		}
		fmt.Fprintf(&b, "%s\n%s\nlength %d te %v close %v\n%s %v\n", r.Status, strings.Join(lines, "\n"), r.ContentLength, r.TransferEncoding, r.Close, text, err)
	}
}

// Every conversation goes the same way with net/http's server and with this one.
func TestLikeNetHTTP(t *testing.T) {
	const last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	get := func(target string, headers ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	}
	post := func(target string, n int, headers ...string) string {
		return "POST " + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(n) + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	}
	type row struct {
		name   string
		pieces []string
	}
	whole := func(s ...string) []string { return []string{strings.Join(s, "") + last} }
	rows := []row{
		{"get", whole(get("/a"))},
		{"every method", whole("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
			"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n")},
		{"other methods", whole("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "PURGE /a HTTP/1.1\r\nHost: a\r\n\r\n")},
		{"headers", whole(get("/", "a: 1", "A: 2", "X-AMZ-DATE: 3", "x-amz-Security-token: \t 4 \t", "Empty:", "Accept: é", "host-x: y", "A: 5"))},
		{"twenty headers", whole(get("/", strings.Split(strings.Repeat("A: 1,B: 2,C: 3,D: 4,E: 5", 4)+strings.Repeat(",F: 6,G: 7,H: 8", 3), ",")...))},
		{"targets", whole(get("/a%2Fb"), get("/a%3Ab:c"), get("/a(b)!*'"), get("//a//b"), get("/?"), get("/a?b=c&d"), get("/a?"), get("/a??"), get("/?a?b"), get("/a;b=c,d@e+f$&~"),
			get("/%7Eb"), get("/a#b"), get("/a?x#y"), get("/a|b"), get("/a[b]^{c}\"<>`\\"), get("/:a"))},
		{"a target in another form", whole(get("http://b/c"))},
		{"a bad target", whole(get("/a%zz"))},
		{"a target with letters of no ASCII", whole(get("/ä?ö"))},
		{"post", whole(post("/", 3), "abc")},
		{"two lengths that agree", whole(post("/", 3, "Content-Length: 3"), "abc")},
		{"two lengths", whole(post("/", 3, "Content-Length: 4"), "abc")},
		{"two lengths in one", whole(post("/", 3, "Content-Length: 3, 3"), "abc")},
		{"a signed length", whole("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc")},
		{"an empty length", whole("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n")},
		{"a long length", []string{"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999\r\n\r\n", "FIN"}},
		{"length and chunks", whole(post("/", 3, "Transfer-Encoding: chunked"), "3\r\nabc\r\n0\r\n\r\n")},
		{"chunks", whole("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")},
		{"chunks, spelt strangely", whole("POST / HTTP/1.1\r\nHost: a\r\ntRANSFER-eNCODING: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")},
		{"chunks in another coding", whole("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")},
		{"a field with a space before its colon", whole(get("/", "Transfer-Encoding : chunked"))},
		{"a folded field", whole(get("/", "A: b", " c"))},
		{"a field that begins with a space", whole(get("/", " A: b"))},
		{"no colon", whole(get("/", "nothing"))},
		{"no name", whole(get("/", ": nothing"))},
		{"a control character", whole(get("/", "A: b\x00c"))},
		{"another", whole(get("/", "A: b\x7fc"))},
		{"a lone CR", whole(get("/", "A: b\rc"))},
		{"a tab", whole(get("/", "A: b\tc"))},
		{"lone LFs", whole("GET / HTTP/1.1\nHost: a\n\n")},
		{"a lone LF between fields", whole("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n")},
		{"no Host", whole("GET / HTTP/1.1\r\n\r\n")},
		{"two Hosts", whole(get("/", "Host: b"))},
		{"an empty Host", whole("GET / HTTP/1.1\r\nHost:\r\n\r\n")},
		{"a bad Host", whole("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")},
		{"Hosts", whole("GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", "GET / HTTP/1.1\r\nHOST: a$b\r\n\r\n")},
		{"HTTP/1.0", whole("GET / HTTP/1.0\r\nHost: a\r\n\r\n")},
		{"HTTP/1.0, kept", whole("GET /told?n=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")},
		{"HTTP/1.2", whole("GET / HTTP/1.2\r\nHost: a\r\n\r\n")},
		{"HTTP/2.0", whole("GET / HTTP/2.0\r\nHost: a\r\n\r\n")},
		{"no version", whole("GET /\r\n\r\n")},
		{"small letters", whole("get / http/1.1\r\nHost: a\r\n\r\n")},
		{"two spaces", whole("GET  / HTTP/1.1\r\nHost: a\r\n\r\n")},
		{"a space at the end", whole("GET / HTTP/1.1 \r\nHost: a\r\n\r\n")},
		{"not HTTP", []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "FIN"}},
		{"not HTTP, in letters", []string{"HELO example.org\r\n", "FIN"}},
		{"half a head", []string{"GET / HTTP/1.1\r\nHost:", "FIN"}},
		{"half a body", []string{post("/", 10) + "abc", "FIN"}},
		{"nothing", []string{"FIN"}},
		{"Connection", whole(get("/", "Connection: keep-alive"), get("/", "connection: Keep-Alive, x"), get("/", "Connection: Keep-Alive"))},
		{"Connection: Close", whole(get("/", "Connection: Close"))},
		{"close among others", whole(get("/", "Connection: x, close"))},
		{"Expect", whole(post("/", 3, "Expect: 100-continue"), "abc")},
		{"Expect, not read", whole(post("/unread", 3, "Expect: 100-continue"))},
		{"another Expect", whole(get("/", "Expect: the best"))},
		{"Upgrade", whole(get("/", "Connection: upgrade", "Upgrade: websocket"))},
		{"Pragma", whole(get("/", "Pragma: no-cache"))},
		{"Trailer", whole(get("/", "Trailer: X"))},
		{"h2c upgrade", whole(get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"))},
		{"line breaks after a POST", whole(post("/", 3), "abc\r\n\r\n", get("/"))},
		{"line breaks after a GET", whole(get("/"), "\r\n", get("/"))},
		{"too many line breaks", whole(post("/", 3), "abc\r\n\r\n\r\n", get("/"))},
		{"a line break at first", whole("\r\n", get("/"))},
		{"a head of 5,000", whole(get("/", "A: "+strings.Repeat("a", 5000)), post("/", 3, "A: "+strings.Repeat("a", 5000)), "abc")},
		{"a head of 20,000", whole(get("/", "A: "+strings.Repeat("a", 20000)), get("/"))},
		{"a head beyond all bounds", []string{get("/", "A: "+strings.Repeat("a", 1100000))}},
		{"a body beyond the buffer", whole(post("/", 100000), strings.Repeat("b", 100000), get("/"))},
		{"pieces", []string{"GE", "T / HT", "TP/1.1\r", "\nHost: ", "a\r\nCont", "ent-Length: 5\r\n\r", "\n12", "34", "5GET /2", " HTTP/1.1\r\nHost: b\r\n\r\n" + last}},
		{"pieces of what is handed over", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Enc", "oding: chunked\r\n\r\n3\r\nab", "c\r\n0\r\n\r", "\n" + last}},
		{"pieces of what is wrong", []string{"GET / HT", "TP/1.3\r\n", "FIN"}},
		{"handed over in the middle", whole(get("/1"), post("/2", 3), "abc", "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", get("/4"))},

		{"200", whole(get("/status?n=200"), get("/nothing"))},
		{"statuses", whole(get("/status?n=204"), get("/status?n=304"), get("/status?n=404"), get("/status?n=299"), get("/status?n=500"))},
		{"lengths", whole(get("/big?n=2032"), get("/big?n=2048"), get("/big?n=2064"), get("/big?n=32768"), get("/big?n=32784"), get("/big?n=1000000"))},
		{"told lengths", whole(get("/told?n=0"), get("/told?n=1"), get("/told?n=3000"), get("/told?n=40000"), get("/told?n=1000000"))},
		{"told after a body", whole(post("/told?n=3000", 3), "abc")},
		{"small chunks", whole(get("/chunks?n=10000"))},
		{"flushes", whole(get("/flushes?n=0"), get("/flushes?n=1000"))},
		{"too short", whole(get("/short"), get("/"))},
		{"too long", whole(get("/over"), get("/"))},
		{"answer's headers", whole(get("/headers"))},
		{"no date", whole(get("/nodate"))},
		{"late header", whole(get("/late"))},
		{"asks to close", whole(get("/close"), get("/"))},
		{"another option", whole(get("/option"))},
		{"identity", whole(get("/encoding?te=identity"))},
		{"told identity", whole(get("/encoding?te=identity&n=4"))},
		{"chunked said", whole(get("/encoding?te=chunked"))},
		{"chunked said, and a length", whole(get("/encoding?te=chunked&n=4"))},
		{"coded", whole(get("/coded"))},
		{"early hints", whole(get("/early"))},
		{"panic", whole(get("/panic"))},
		{"panic in a stream", whole(get("/latepanic"))},
		{"abort", whole(get("/abort"))},
		{"body not read", whole(post("/unread", 3), "abc", get("/"))},
		{"body not read, larger", whole(post("/unread", 200000), strings.Repeat("b", 200000), get("/"))},
		{"body not read, too large", []string{post("/unread", 1000000) + strings.Repeat("b", 10000)}},
		{"body not read, and closing", []string{post("/unread", 3, "Connection: close") + "abc"}},
		{"body closed", whole(post("/closebody", 3), "abc", get("/"))},
		{"body read in part", whole(post("/part?n=2", 3), "abc", get("/"))},
		{"body read too late", whole(post("/after", 3), "abc", get("/"))},
		{"body read too late, in pieces", []string{post("/after", 3), "ab", "c" + last}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			var said [2]string
			for i, f := range fronts {
				said[i] = heard(t, f.start(t, http.HandlerFunc(answers)).addr, r.pieces, 5*time.Millisecond)
			}
			if r.name == "half a body" { // net/http says only by closing that it does
				said[1] = strings.Replace(said[1], "close true", "close false", 1)
			}
			if said[0] != said[1] {
				t.Errorf("net/http:\n%s\n\nhere:\n%s", said[0], said[1])
			}
		})
	}
}

// What this server answers itself is of the common form, and what it hands over is not.
func TestHandedOver(t *testing.T) {
	var here, there atomic.Int32
	count := func(n *atomic.Int32) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.Add(1); io.Copy(io.Discard, r.Body) })
	}
	e := startServer(t, &Server{Handler: count(&here), Other: otherOf(count(&there))})
	const ending = "Host: a\r\nConnection: close\r\n"
	for _, c := range []struct {
		head string
		ours bool
	}{
		{"GET / HTTP/1.1\r\n" + ending, true},
		{"POST /a%2F?b HTTP/1.1\r\ncontent-length: 0\r\n" + ending, true},
		{"GET / HTTP/1.1\r\nA: " + strings.Repeat("b", maxHead-100) + "\r\n" + ending, true},
		{"GET / HTTP/1.1\r\nA: " + strings.Repeat("b", maxHead) + "\r\n" + ending, false},
		{"HEAD / HTTP/1.1\r\n" + ending, false},
		{"OPTIONS / HTTP/1.1\r\n" + ending, false},
		{"GET / HTTP/1.1\r\nExpect: 100-continue\r\n" + ending, false},
		{"GET / HTTP/1.1\r\nUpgrade: x\r\n" + ending, false},
		{"GET / HTTP/1.0\r\n" + ending, false},
	} {
		here.Store(0)
		there.Store(0)
		heard(t, e.addr, []string{c.head + "\r\n"}, 0)
		if got := here.Load() == 1 && there.Load() == 0; got != c.ours || here.Load()+there.Load() != 1 {
			t.Errorf("%.60q: %d here, %d there", c.head, here.Load(), there.Load())
		}
	}
}

// HTTP/2 with prior knowledge, beside HTTP/1.1 and beyond the idle time of a head.
func TestHTTP2(t *testing.T) {
	e := startOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Proto, body)
	}))
	for _, two := range []bool{true, false} {
		p := new(http.Protocols)
		p.SetHTTP1(!two)
		p.SetUnencryptedHTTP2(two)
		tr := &http.Transport{Protocols: p}
		defer tr.CloseIdleConnections()
		for range 3 {
			r, err := (&http.Client{Transport: tr}).Post("http://"+e.addr, "text/plain", strings.NewReader("abc"))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if want := map[bool]string{true: "HTTP/2.0 abc", false: "HTTP/1.1 abc"}[two]; string(body) != want || err != nil {
				t.Errorf("%q %v, want %q", body, err, want)
			}
		}
	}
}

// counted counts the writes to its connections.
type counted struct {
	net.Listener
	writes *atomic.Int32
}

type countedConn struct {
	net.Conn
	writes *atomic.Int32
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, l.writes}, err
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// One write is what an answer costs, and one each flush of a stream with the end in the last.
func TestWrites(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		writes  int32
	}{
		{"small", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "small") }, 1},
		{"20 KB of told length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "20000")
			w.Write(make([]byte, 20000))
		}, 1},
		{"20 KB of unknown length", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 20000)) }, 1},
		{"a stream", func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				w.Write(make([]byte, 10000))
				w.(http.Flusher).Flush()
			}
			w.Write(make([]byte, 10000))
		}, 11},
		{"10,000 small pieces", func(w http.ResponseWriter, _ *http.Request) {
			for range 10000 {
				io.WriteString(w, "x")
			}
		}, 3},
	} {
		var writes atomic.Int32
		s := &Server{Handler: c.handler, Other: otherOf(c.handler), ErrorLog: silent}
		l := counted{listen(t), &writes}
		go s.Serve(l)
		said := heard(t, l.Addr().String(), []string{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}, 0)
		if got := writes.Load(); got > c.writes || !strings.HasPrefix(said, "200 OK") {
			t.Errorf("%s: %d writes, want %d\n%s", c.name, got, c.writes, said)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// dial opens a connection for which the test has a minute.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

// The context ends when the caller leaves: by closing, by resetting, or by not sending the rest of a body.
func TestCallerLeaves(t *testing.T) {
	for _, leave := range []struct {
		name string
		do   func(*net.TCPConn)
	}{
		{"close", func(c *net.TCPConn) { c.Close() }},
		{"reset", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }},
		{"half close", func(c *net.TCPConn) { c.CloseWrite() }},
	} {
		for _, when := range []string{"at once", "when it is watched", "in the body"} {
			t.Run(leave.name+" "+when, func(t *testing.T) {
				started, ended := make(chan *http.Request, 1), make(chan error, 1)
				s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if when == "in the body" {
						started <- r
						_, err := io.ReadAll(r.Body)
						if err == nil {
							t.Error("a whole body")
						}
					} else {
						io.ReadAll(r.Body)
						started <- r
					}
					<-r.Context().Done()
					ended <- r.Context().Err()
				}), sweepEvery: time.Millisecond}
				e := startServer(t, s)
				c := dial(t, e.addr)
				body := "abc"
				if when == "in the body" {
					body = "a"
				}
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"+body)
				<-started
				if when == "when it is watched" {
					waitFor(t, s, watched)
				}
				leave.do(c)
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
	}
}

// waitFor waits until the server's one connection is in that phase.
func waitFor(t *testing.T, s *Server, p phase) {
	t.Helper()
	for range 20000 {
		s.mu.Lock()
		for c := range s.conns {
			if c.state.Load().phase() == p {
				s.mu.Unlock()
				return
			}
		}
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("no connection comes to phase %d", p)
}

// A caller that sends its next request while the one before is watched loses nothing of it, however it is cut.
func TestPipelinedWhileWatched(t *testing.T) {
	release := make(chan struct{})
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.URL.Path == "/slow" {
			<-release
		}
		fmt.Fprintf(w, "%s %s %v %v;", r.URL.Path, body, err, r.Context().Err())
	}), sweepEvery: time.Millisecond}
	e := startServer(t, s)
	const next = "POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnext"
	for _, early := range []int{0, 1, 2, len(next)} { // that much comes in the same piece as the first request
		for _, pad := range []int{0, 100, firstBuffer - 80, firstBuffer} {
			c := dial(t, e.addr)
			first := "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nA: " + strings.Repeat("a", pad) + "\r\n\r\nfirst"
			io.WriteString(c, first+next[:early])
			waitFor(t, s, watched)
			io.WriteString(c, next[early:])
			time.Sleep(2 * time.Millisecond) // so that it is read by the watcher, mostly
			release <- struct{}{}
			br := bufio.NewReader(c)
			for _, want := range []string{"/slow first <nil> <nil>;", "/next next <nil> <nil>;"} {
				r, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(r.Body); string(body) != want || err != nil {
					t.Errorf("early %d, pad %d: %q %v, want %q", early, pad, body, err, want)
				}
			}
			c.Close()
			for range 20000 { // its goroutine goes, so that waitFor finds the next one
				s.mu.Lock()
				n := len(s.conns)
				s.mu.Unlock()
				if n == 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// closed reports how the server ended the connection: it must, and without a word.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 100)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestTimeLimits(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(answers), sweepEvery: time.Millisecond, ReadHeaderTimeout: 100 * time.Millisecond, IdleTimeout: 100 * time.Millisecond}
	e := startServer(t, s)
	for name, sent := range map[string]string{"a new connection": "", "half a head": "GET / HT"} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, e.addr)
			io.WriteString(c, sent)
			closed(t, c)
		})
	}
	after := func(sent string) net.Conn {
		c := dial(t, e.addr)
		io.WriteString(c, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"+sent)
		if _, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, 75)), nil); err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Run("an idle one", func(t *testing.T) { closed(t, after("")) })
	t.Run("half a second head", func(t *testing.T) { closed(t, after("GET / HT")) })

	// A handler, and the body that it waits for, have the time they want.
	s = &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
		time.Sleep(150 * time.Millisecond)
		fmt.Fprint(w, r.Context().Err())
	}), sweepEvery: time.Millisecond, ReadHeaderTimeout: 100 * time.Millisecond, IdleTimeout: time.Minute}
	said := heard(t, startServer(t, s).addr, []string{"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", "a", "b"}, 150*time.Millisecond)
	if !strings.Contains(said, "ab<nil>") {
		t.Error(said)
	}
}

// A handler's read deadline is the body's: it ends a read that waits, whoever sets it, and nothing else.
func TestReadDeadline(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			waiting := make(chan http.ResponseWriter, 1)
			e := f.start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				switch r.URL.Path {
				case "/own":
					rc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				case "/others":
					rc.SetReadDeadline(time.Now().Add(time.Hour))
					waiting <- w
				case "/whole":
					rc.SetReadDeadline(time.Now().Add(time.Hour))
				}
				_, err := io.ReadAll(r.Body)
				if err == nil { // net/http would wait for the rest without it
					rc.SetReadDeadline(time.Time{})
				}
				fmt.Fprint(w, errors.Is(err, os.ErrDeadlineExceeded), r.Context().Err() == nil || err != nil)
			}))
			go func() { http.NewResponseController(<-waiting).SetReadDeadline(past) }()
			const last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
			for path, want := range map[string]string{"/own": "true true", "/others": "true true", "/whole": "false true"} {
				body := "a"
				if path == "/whole" {
					body = "ab" + last
				}
				said := heard(t, e.addr, []string{"POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n" + body}, 0)
				if !strings.Contains(said, want) || (path == "/whole") != (strings.Count(said, "200 OK") == 2) {
					t.Errorf("%s: %s", path, said)
				}
			}
		})
	}
}

// A write deadline ends with its request.
func TestWriteDeadline(t *testing.T) {
	e := startOurs(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/limited" {
			io.WriteString(w, "free")
			return
		}
		rc := http.NewResponseController(w)
		if err := rc.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		io.WriteString(w, "limited")
		if err := rc.Flush(); err != nil {
			t.Error(err)
		}
		rc.SetWriteDeadline(past)
		if r.URL.RawQuery != "" {
			io.WriteString(w, "lost")
			if err := rc.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("flushed beyond the deadline: %v", err)
			}
			if _, err := io.WriteString(w, "lost"); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("written beyond the deadline: %v", err)
			}
			if r.Context().Err() == nil {
				t.Error("the context goes on")
			}
		}
		rc.SetWriteDeadline(time.Time{})
	}))
	const tail = " HTTP/1.1\r\nHost: a\r\n\r\n"
	if said := heard(t, e.addr, []string{"GET /limited" + tail + "GET /free" + tail + "GET /limited?x" + tail}, 0); !strings.Contains(said, "free") || strings.Contains(said, "lost") {
		t.Error(said)
	}
}

// A stream's caller who leaves is seen by the write that fails.
func TestWriteToNobody(t *testing.T) {
	ended := make(chan error, 1)
	e := startServer(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 100000)); err != nil {
				ended <- r.Context().Err()
				return
			}
		}
	}), sweepEvery: time.Hour})
	c := dial(t, e.addr)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	io.ReadFull(c, make([]byte, 1000))
	c.SetLinger(0)
	c.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	for _, way := range []string{"", "over"} { // "over": what runs was handed over
		t.Run("active "+way, func(t *testing.T) {
			started, release := make(chan struct{}), make(chan struct{})
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					close(started)
					<-release
				}
				fmt.Fprint(w, "done ", r.Context().Err())
			})
			s := &Server{Handler: h}
			e := startServer(t, s)
			idle := dial(t, e.addr)
			io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			idleReader := bufio.NewReader(idle)
			if r, err := http.ReadResponse(idleReader, nil); err != nil {
				t.Fatal(err)
			} else {
				io.ReadAll(r.Body)
			}
			active := dial(t, e.addr)
			head := "GET /slow HTTP/1.1\r\nHost: a\r\n"
			if way == "over" {
				head += "Upgrade: nothing\r\n"
			}
			io.WriteString(active, head+"\r\n")
			<-started

			soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if err := s.Shutdown(soon); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with a call that runs: %v", err)
			}
			if _, err := idleReader.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("an idle connection: %v", err)
			}
			if c, err := net.Dial("tcp", e.addr); err == nil {
				c.Close()
				t.Error("a new connection")
			}
			done := make(chan error)
			go func() { done <- s.Shutdown(t.Context()) }()
			close(release)
			r, err := http.ReadResponse(bufio.NewReader(active), nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(r.Body); string(body) != "done <nil>" || err != nil || !r.Close {
				t.Errorf("%q %v, close %t", body, err, r.Close)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := s.Serve(listen(t)); !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	s := &Server{Handler: http.NotFoundHandler(), Other: otherOf(http.NotFoundHandler())}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(listen(t)); !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Close cuts what runs, and waits for it.
func TestClose(t *testing.T) {
	for _, head := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n"} {
		started, ended := make(chan struct{}), make(chan struct{})
		s := &Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(started)
			io.ReadAll(r.Body)
			<-r.Context().Done()
			close(ended)
		})}
		e := startServer(t, s)
		c := dial(t, e.addr)
		io.WriteString(c, head)
		<-started
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(head, "Upgrade") {
			<-ended // net/http's Close does not wait
		}
		select {
		case <-ended:
		default:
			t.Error("Close has not waited")
		}
	}
}

// A panic is told to the log, but for the one that says that it is none.
func TestPanicLog(t *testing.T) {
	var mu sync.Mutex
	var told bytes.Buffer
	e := startServer(t, &Server{Handler: http.HandlerFunc(answers), ErrorLog: log.New(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return told.Write(p)
	}), "", 0)})
	for _, path := range []string{"/abort", "/panic"} {
		mu.Lock()
		told.Reset()
		mu.Unlock()
		heard(t, e.addr, []string{"GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"}, 0)
		mu.Lock()
		if got := strings.Contains(told.String(), "panic serving 127.0.0.1:") && strings.Contains(told.String(), "a test's"); got != (path == "/panic") {
			t.Errorf("%s: %q", path, told.String())
		}
		mu.Unlock()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// descriptors counts what this process has open, where that can be seen.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

// Many callers of every manner leave nothing behind: no goroutine, no connection, no descriptor.
func TestNothingIsLeft(t *testing.T) {
	before, open := runtime.NumGoroutine(), descriptors()
	s := &Server{Handler: http.HandlerFunc(answers), Other: otherOf(http.HandlerFunc(answers)), ErrorLog: silent, sweepEvery: time.Millisecond}
	l := listen(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for j := range 50 {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(time.Minute))
				switch (i + j) % 6 {
				case 0: // leaves at once
				case 1:
					io.WriteString(c, "GET /flushes?n=1000 HTTP/1.1\r\nHost: a\r\n\r\n")
				case 2:
					io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
				case 3:
					io.WriteString(c, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
					io.Copy(io.Discard, c)
				case 4:
					io.WriteString(c, strings.Repeat("GET /told?n=100 HTTP/1.1\r\nHost: a\r\n\r\n", 10))
					c.Read(make([]byte, 1000))
				case 5:
					io.WriteString(c, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
					c.Read(make([]byte, 1000))
				}
				c.Close()
			}
		})
	}
	callers.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
	if len(s.conns) != 0 || len(s.handed) != 0 {
		t.Errorf("%d connections, %d handed over", len(s.conns), len(s.handed))
	}
	for n := 0; runtime.NumGoroutine() > before || descriptors() > open; n++ { // those of net/http end a little later
		if n == 5000 {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before; %d descriptors, %d before\n%s", runtime.NumGoroutine(), before, descriptors(), open, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond)
	}
}
