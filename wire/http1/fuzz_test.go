package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"testing"
)

// FuzzRequest reads any bytes as requests, in pieces of any size. Each is handed over, or is exactly what net/http makes of
// it, and ends where net/http sees its end.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		benchHead,
		"GET /a%2Fb?c=d HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
		"POST / HTTP/1.1\r\nhost: [::1]:80\r\nContent-Length: 3\r\na: 1\r\nA:\t2 \r\n\r\nabcPUT /?",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\nX : y\r\n\r\n",
		"GET http://b/ HTTP/1.1\nHost: a\n\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		conn := &scriptedReader{left: data, piece: int(piece)}
		c := newConn(&Server{}, conn)
		c.buf = make([]byte, firstBuffer)
		want := bufio.NewReader(bytes.NewReader(data))
		for {
			from := reading
			x, found := c.next(&from)
			if found != ours {
				return
			}
			theirs, err := http.ReadRequest(want)
			if err != nil {
				t.Fatalf("%q is taken, net/http: %v", data, err)
			}
			r := &x.req
			if hosts := theirs.Header["Host"]; len(hosts) != 0 {
				t.Fatalf("net/http keeps Host: %q", hosts) // http.ReadRequest removes it, as the server does
			}
			if r.Method != theirs.Method || r.RequestURI != theirs.RequestURI || r.Proto != theirs.Proto || r.ProtoMajor != 1 || r.ProtoMinor != 1 ||
				r.Host != theirs.Host || r.Host == "" || r.ContentLength != theirs.ContentLength || r.Close != theirs.Close || theirs.TransferEncoding != nil ||
				theirs.Trailer != nil || !reflect.DeepEqual(r.Header, theirs.Header) || !reflect.DeepEqual(r.URL, theirs.URL) {
				t.Fatalf("%q\nhere     %+v %+v\nnet/http %+v %+v", data, r, r.URL, theirs, theirs.URL)
			}
			if theirs.Method == "HEAD" || theirs.Header.Get("Expect") != "" || theirs.Header.Get("Upgrade") != "" {
				t.Fatalf("%q is not of the common form", data)
			}
			b1, err1 := io.ReadAll(io.LimitReader(r.Body, 1<<16))
			b2, err2 := io.ReadAll(io.LimitReader(theirs.Body, 1<<16))
			if !bytes.Equal(b1, b2) || (err1 == nil) != (err2 == nil) && r.ContentLength < 1<<16 {
				t.Fatalf("%q: body %q %v, net/http %q %v", data, b1, err1, b2, err2)
			}
			if err1 != nil || x.body.left > 0 {
				return
			}
			c.settleIn()
		}
	})
}
