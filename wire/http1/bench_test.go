package http1

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkServe is a signed POST of 1 KB that is answered with 700 bytes; beside it is net/http's server. The caller is
// a raw connection in the same process: its part, two system calls, is in every figure. BenchmarkServe/stream is
// one event of a stream, written and flushed.
func BenchmarkServe(b *testing.B) {
	answer := bytes.Repeat([]byte("x"), 700)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body [2048]byte
		for n := 0; ; {
			m, err := r.Body.Read(body[n:])
			if n += m; err == io.EOF {
				break
			} else if err != nil {
				b.Error(err)
				return
			}
		}
		h := w.Header()
		h["Content-Type"] = []string{"application/json"}
		h["X-Amzn-Requestid"] = []string{"9b2b7d5c-0000-7000-8000-000000000000"}
		h["Content-Length"] = []string{"700"}
		w.Write(answer)
	})
	request := []byte(benchHead + strings.Repeat("y", 1024))
	for _, f := range fronts {
		for _, parallel := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", f.name, parallel*runtime.GOMAXPROCS(0)), func(b *testing.B) {
				e := f.start(b, handler)
				b.ReportAllocs()
				b.SetParallelism(parallel)
				before := cpu()
				b.RunParallel(func(pb *testing.PB) {
					c, err := net.Dial("tcp", e.addr)
					if err != nil {
						b.Error(err)
						return
					}
					defer c.Close()
					var buf [4096]byte
					for pb.Next() {
						c.Write(request)
						for n := 0; !bytes.HasSuffix(buf[:n], answer); {
							m, err := c.Read(buf[n:])
							if err != nil {
								b.Error(err)
								return
							}
							n += m
						}
					}
				})
				b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
		b.Run(f.name+"/stream", func(b *testing.B) {
			event := bytes.Repeat([]byte("e"), 200)
			e := f.start(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{"application/vnd.amazon.eventstream"}
				for b.Loop() {
					w.Write(event)
					w.(http.Flusher).Flush()
				}
			}))
			b.ReportAllocs()
			before := cpu()
			c, err := net.Dial("tcp", e.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			io.Copy(io.Discard, c)
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

const benchHead = "POST /model/team-a-chat/converse HTTP/1.1\r\nHost: 127.0.0.1:4141\r\nUser-Agent: Boto3/1.40.0 md/Botocore#1.40.0 ua/2.1 os/linux\r\n" +
	"Accept-Encoding: identity\r\nContent-Type: application/json\r\nContent-Length: 1024\r\nX-Amz-Date: 20261123T120000Z\r\n" +
	"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n" +
	"amz-sdk-invocation-id: 1b4e28ba-2fa1-11d2-883f-0016d3cca427\r\namz-sdk-request: attempt=1\r\n\r\n"

// BenchmarkParse is the head of that request alone.
func BenchmarkParse(b *testing.B) {
	c := newConn(&Server{}, scripted{})
	head := []byte(benchHead)
	b.ReportAllocs()
	for b.Loop() {
		if c.parse(head) == nil {
			b.Fatal("not parsed")
		}
	}
}
