package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// FuzzResponse reads any bytes as an answer, in pieces of any size. Whatever is accepted is what net/http reads too, if
// that accepts it, and does not depend on the pieces; and a connection is kept only if nothing is left on it.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n5;a=b\r\nhello\r\nA \r\n0123456789\r\n0\r\nT: x\r\n\r\nHTTP/1.1 200",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
		"HTTP/1.0 404\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(0), false)
		f.Add([]byte(s), uint8(1), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		read := func(piece int) (resp *http.Response, body []byte, kept bool, err error) {
			conn := &scriptConn{answer: bytes.Clone(data), ends: true, piece: piece}
			tr := newTransport(t, Config{DialContext: conn.dial})
			resp, err = tr.RoundTrip(get(t, method, "http://h"))
			if err != nil {
				return nil, nil, false, err
			}
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			kept = tr.waiting() == 1
			if kept == conn.closed {
				t.Fatalf("kept %t, closed %t", kept, conn.closed)
			}
			if kept && len(conn.unread) > 0 && piece == 0 {
				t.Fatalf("kept with %q unread", conn.unread)
			}
			return resp, body, kept, err
		}
		resp, body, kept, err := read(0)
		resp2, body2, _, err2 := read(int(piece))
		if fmt.Sprint(err) != fmt.Sprint(err2) || !bytes.Equal(body, body2) && err == nil || resp != nil && fmt.Sprint(resp.Header) != fmt.Sprint(resp2.Header) {
			t.Fatalf("in one: %v %q %v\nin pieces of %d: %v %q %v", resp, body, err, piece, resp2, body2, err2)
		}
		if resp == nil {
			return
		}
		if len(body) > len(data) {
			t.Fatalf("%d bytes of body out of %d", len(body), len(data))
		}

		r := bufio.NewReader(bytes.NewReader(data))
		req := get(t, method, "http://h")
		for {
			want, werr := http.ReadResponse(r, req)
			if werr != nil {
				return // it is stricter here
			}
			if want.StatusCode < 200 {
				continue
			}
			wbody, werr := io.ReadAll(want.Body)
			if (werr == nil) && err == nil && !bytes.Equal(body, wbody) {
				t.Errorf("body %q, net/http %q", body, wbody)
			}
			if err == nil && werr != nil && !bytes.HasPrefix(body, wbody) {
				t.Errorf("body %q, net/http %q and %v", body, wbody, werr)
			}
			// net/http has its own manners with these.
			for _, h := range []http.Header{resp.Header, want.Header} {
				for _, name := range []string{"Connection", "Trailer", "Pragma", "Cache-Control"} {
					h.Del(name)
				}
			}
			if resp.StatusCode != want.StatusCode || fmt.Sprint(resp.Header) != fmt.Sprint(want.Header) {
				t.Errorf("%d %v, net/http %d %v", resp.StatusCode, resp.Header, want.StatusCode, want.Header)
			}
			if kept && want.Close {
				t.Error("kept where net/http closes")
			}
			return
		}
	})
}
