package openai

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"outcrop/upstream/http1"
)

// Behind a proxy the time limits are the same as without one.
func TestProxied(t *testing.T) {
	gone := make(chan struct{}, 4)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "http://models.invalid"+r.URL.Path {
			t.Errorf("the proxy was asked for %s", r.RequestURI)
		}
		if r.URL.Path == "/answer" {
			io.WriteString(w, "all of it")
			return
		}
		if r.URL.Path == "/break" {
			io.WriteString(w, "a part")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, body   string
		answer, idle time.Duration
		timeout      bool
	}{
		{"/answer", "all of it", time.Minute, time.Minute, false},
		{"/silent", "", 20 * time.Millisecond, time.Minute, true},
		{"/break", "a part", time.Minute, 20 * time.Millisecond, true},
	} {
		p := newProxied(&Config{ConnectTimeout: time.Minute, AnswerTimeout: c.answer, IdleTimeout: c.idle, MaxIdleConns: 1})
		p.Proxy = http.ProxyURL(u)
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://models.invalid"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b []byte
		resp, err := p.RoundTrip(r)
		if err == nil {
			b, err = io.ReadAll(resp.Body.(http1.Body))
			resp.Body.Close()
		}
		var ne net.Error
		if string(b) != c.body || (err != nil) != c.timeout || c.timeout && !(errors.As(err, &ne) && ne.Timeout()) {
			t.Errorf("%s: %q, %v", c.path, b, err)
		}
		if c.timeout {
			<-gone // the request has ended too
		}
		p.CloseIdleConnections()
	}
}
