package http1

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// BenchmarkCall is a POST of 1 KB with an answer of 700 bytes; beside it is net/http's Transport. The server is
// net/http's and in the same process: its part, some 10 us, is in every figure.
func BenchmarkCall(b *testing.B) {
	answer := []byte(strings.Repeat("x", 700))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Write(answer)
	}))
	defer s.Close()
	ours := New(Config{AnswerTimeout: time.Minute, IdleTimeout: time.Minute, MaxIdleConns: 64})
	defer ours.Close()
	theirs := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, DialContext: (&net.Dialer{}).DialContext}
	defer theirs.CloseIdleConnections()
	body := bytes.Repeat([]byte("y"), 1024)
	call := func(b *testing.B, tr http.RoundTripper) {
		r, err := http.NewRequestWithContext(b.Context(), "POST", s.URL, bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			b.Error(err)
			return
		}
		var buf [1024]byte
		if n, err := io.ReadFull(resp.Body, buf[:]); n != 700 || err != io.ErrUnexpectedEOF {
			b.Error(n, err)
		}
		resp.Body.Close()
	}
	for _, c := range []struct {
		name string
		tr   http.RoundTripper
	}{{"http1", ours}, {"nethttp", theirs}} {
		for _, parallel := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/%d", c.name, parallel), func(b *testing.B) {
				b.ReportAllocs()
				before := cpu()
				if parallel == 1 {
					for b.Loop() {
						call(b, c.tr)
					}
				} else {
					b.SetParallelism(parallel / 2)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							call(b, c.tr)
						}
					})
				}
				b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
