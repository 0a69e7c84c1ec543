package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outcrop/upstream"
	"outcrop/upstream/http1"
)

// post sends "hello" to u through a new client of c and returns the answer's status and body.
func post(t *testing.T, c Config, u string) (status int, body string, err error) {
	t.Helper()
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	to, err := BaseURL(u)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := k.Transport(to)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(k.Post(t.Context(), to, http.Header{}, []byte("hello")))
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(resp.Body.(http1.Body))
	resp.Body.Close()
	return resp.StatusCode, string(b), err
}

func echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(w, r.Body)
}

// quiet serves h over TLS, and keeps what it says about handshakes that fail to itself.
func quiet(t *testing.T, h http.HandlerFunc, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if change != nil {
		s.TLS = &tls.Config{}
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// authority is the pool of the certificate that every httptest server has. It is for 127.0.0.1, ::1 and example.com.
func authority(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func dialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestTLS(t *testing.T) {
	open := quiet(t, echo, nil)
	pool, key := authority(open), open.TLS.Certificates
	closed := quiet(t, func(w http.ResponseWriter, r *http.Request) {
		if !r.TLS.PeerCertificates[0].Equal(open.Certificate()) {
			w.WriteHeader(http.StatusForbidden)
		}
		echo(w, r)
	}, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	named := strings.Replace(open.URL, "127.0.0.1", "localhost", 1) // which the certificate is not for
	for _, c := range []struct {
		name, url string
		tls       *tls.Config
		ok        bool
	}{
		{"unknown authority", open.URL, nil, false},
		{"known authority", open.URL, &tls.Config{RootCAs: pool}, true},
		{"another name", named, &tls.Config{RootCAs: pool}, false},
		{"another name that is told", named, &tls.Config{RootCAs: pool, ServerName: "example.com"}, true},
		{"a wrong name that is told", open.URL, &tls.Config{RootCAs: pool, ServerName: "example.org"}, false},
		{"unverified", open.URL, &tls.Config{InsecureSkipVerify: true}, true},
		{"no certificate", closed.URL, &tls.Config{RootCAs: pool}, false},
		{"certificate", closed.URL, &tls.Config{RootCAs: pool, Certificates: key}, true},
	} {
		if status, got, err := post(t, Config{TLS: c.tls}, c.url); c.ok != (err == nil) || c.ok && (got != "hello" || status != http.StatusOK) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// proxy is an HTTP proxy that leads everything to the server at to. It counts what it was asked for.
type proxy struct {
	to              string // host and port
	credentials     string // USER:PASSWORD that it asks for
	tunnels, direct atomic.Int32
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	if user, password, _ := q.BasicAuth(); p.credentials != "" && user+":"+password != p.credentials {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		p.direct.Add(1)
		_, _ = io.Copy(w, r.Body)
		return
	}
	p.tunnels.Add(1)
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(far, near)
		far.Close()
	}()
	_, _ = io.Copy(near, far)
	near.Close()
	<-done
}

func TestProxy(t *testing.T) {
	server := quiet(t, echo, nil)
	to := strings.TrimPrefix(server.URL, "https://")
	trusted := &tls.Config{RootCAs: authority(server)}
	for _, c := range []struct {
		name, url       string
		credentials     string
		login           string // in the proxy's URL
		overTLS         bool   // to the proxy
		tunnels, direct int32
		ok              bool
	}{
		{name: "https", url: "https://example.com", tunnels: 1, ok: true},
		{name: "http", url: "http://models.invalid/v1", direct: 1, ok: true},
		{name: "with a password", url: "https://example.com", credentials: "me:pa ss", login: "me:pa%20ss@", tunnels: 1, ok: true},
		{name: "with a wrong password", url: "https://example.com", credentials: "me:x", login: "me:secret@"},
		{name: "by TLS", url: "https://example.com", overTLS: true, tunnels: 1, ok: true},
		{name: "to this machine, as configured", url: server.URL, tunnels: 1, ok: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &proxy{to: to, credentials: c.credentials}
			s := httptest.NewUnstartedServer(p)
			if c.overTLS {
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			_, got, err := post(t, Config{TLS: trusted, Proxy: strings.Replace(s.URL, "://", "://"+c.login, 1)}, c.url)
			if c.ok != (err == nil) || c.ok && got != "hello" {
				t.Errorf("%q, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v tells the password", err)
			}
			if p.tunnels.Load() != c.tunnels || p.direct.Load() != c.direct {
				t.Errorf("%d tunnels, %d requests", p.tunnels.Load(), p.direct.Load())
			}
		})
	}
}

// A proxy that is not there, or that does not connect in time, is a connection that cannot be made. Behind a proxy the
// other time limits are the same as without one.
func TestProxyTimeouts(t *testing.T) {
	gone := make(chan struct{}, 8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/answer":
			_, _ = io.WriteString(w, "all of it")
			return
		case "/late":
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "late")
			return
		case "/break":
			_, _ = io.WriteString(w, "a part")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	l.Close()
	const short = 30 * time.Millisecond
	for _, c := range []struct {
		name, proxy, url string
		cfg              Config
		between          time.Duration // that the reader allows, once it has the head
		body             string
		dial, timeout    bool
	}{
		{name: "an answer", url: "http://models.invalid/answer", body: "all of it"},
		{name: "an answer after the time to connect", url: "http://models.invalid/late", cfg: Config{ConnectTimeout: 700 * time.Millisecond}, body: "late"},
		{name: "no answer", url: "http://models.invalid/silent", cfg: Config{FirstToken: short}, timeout: true},
		{name: "no more of it", url: "http://models.invalid/break", cfg: Config{FirstToken: time.Minute}, between: 10 * short, body: "a part", timeout: true},
		{name: "not all of it", url: "http://models.invalid/break", cfg: Config{FirstToken: 20 * short}, body: "a part", timeout: true},
		{name: "no end", url: "http://models.invalid/break", cfg: Config{Total: 20 * short}, between: time.Minute, body: "a part", timeout: true},
		{name: "no tunnel", url: "https://models.invalid/answer", cfg: Config{ConnectTimeout: short}, dial: true},
		{name: "no proxy", proxy: nobody, url: "http://models.invalid/answer", dial: true},
		{name: "no proxy for a tunnel", proxy: nobody, url: "https://models.invalid/answer", dial: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cfg.Proxy = s.URL; c.proxy != "" {
				c.cfg.Proxy = c.proxy
			}
			k, err := New(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			u, _ := url.Parse(c.url)
			transport, err := k.Transport(u)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(k.Post(t.Context(), u, http.Header{}, nil))
			var b []byte
			if err == nil {
				if c.between > 0 {
					resp.Body.(http1.Body).SetReadTimeout(c.between)
				}
				b, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if string(b) != c.body || (err == nil) != (!c.dial && !c.timeout) || c.dial && !dialError(err) || c.timeout && (!timedOut(err) || dialError(err)) {
				t.Errorf("%q, %v", b, err)
			}
			if c.timeout {
				<-gone // the request has ended too
			}
		})
	}
}

// The environment names a proxy, in a process of its own: net/http reads it once.
func TestEnvironment(t *testing.T) {
	if here := os.Getenv("CLIENT_TEST_SERVER"); here != "" {
		if os.Getenv("REQUEST_METHOD") != "" { // as under CGI, where HTTP_PROXY is a header of the client's
			k, _ := New(Config{})
			u, _ := url.Parse("http://models.invalid")
			if _, err := k.Transport(u); err == nil || !strings.Contains(err.Error(), "the proxy that the environment names") {
				t.Error(err)
			}
			return
		}
		for _, c := range []struct{ name, proxy, url, want string }{
			{"asked", "", "http://models.invalid", "by the proxy"},
			{"excluded", "", "http://excluded.invalid", ""},
			{"none", "none", "http://models.invalid", ""},
			{"this machine", "", here, "here"},
			{"this machine by its name", "", strings.Replace(here, "127.0.0.1", "localhost", 1), "here"},
		} {
			_, got, err := post(t, Config{Proxy: c.proxy}, c.url)
			if got != c.want || (c.want == "") != dialError(err) {
				t.Errorf("%s: %q, %v", c.name, got, err)
			}
		}
		return
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Host {
		case "":
			_, _ = io.WriteString(w, "here")
		case "models.invalid":
			_, _ = io.WriteString(w, "by the proxy")
		default:
			t.Errorf("the proxy was asked for %s", r.URL)
		}
	}))
	defer s.Close()
	for _, method := range []string{"", "GET"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEnvironment$", "-test.v")
		cmd.Env = append(os.Environ(), "CLIENT_TEST_SERVER="+s.URL, "REQUEST_METHOD="+method,
			"HTTP_PROXY="+s.URL, "http_proxy="+s.URL, "NO_PROXY=excluded.invalid", "no_proxy=excluded.invalid")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestEnvironment") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// A caller who leaves while he waits for a connection is told his own reason.
func TestLeaveWhileFull(t *testing.T) {
	cause := errors.New("the caller has had enough")
	s := httptest.NewServer(http.HandlerFunc(echo))
	defer s.Close()
	k, err := New(Config{MaxConns: 1, ConnectTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	u, _ := url.Parse(s.URL)
	transport, _ := k.Transport(u)
	resp, err := transport.RoundTrip(k.Post(t.Context(), u, http.Header{}, []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
	if _, err := transport.RoundTrip(k.Post(ctx, u, http.Header{}, []byte("x"))); err != cause {
		t.Errorf("got %v", err)
	}
	resp.Body.Close()
	resp.Body.Close()
	for range 2 { // closed twice, the place is given back once
		resp, err := transport.RoundTrip(k.Post(t.Context(), u, http.Header{}, []byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(transport.(*bounded).places); n != 1 {
			t.Errorf("%d places are taken", n)
		}
		resp.Body.Close()
	}
}

// A request that fails gives its place back, whatever it failed of.
func TestFailuresGiveBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse("http://" + l.Addr().String())
	l.Close()
	for _, c := range []Config{{MaxConns: 1}, {MaxConns: 1, Total: time.Hour}, {MaxConns: 1, Proxy: u.String()}} {
		k, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		transport, err := k.Transport(u)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := transport.RoundTrip(k.Post(t.Context(), u, http.Header{}, nil)); !dialError(err) || errors.Is(err, upstream.ErrFull) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		k.Close()
	}
}

// TestHide: what repeats a secret, whole or cut as messages are, does not show it; what keys of a vendor have in common may stay.
func TestHide(t *testing.T) {
	c := Config{}.Secret("sk-proj-AbCdEfGhIjKl").Secret("short")
	for text, want := range map[string]string{
		"Incorrect API key: sk-proj-AbCdEfGhIjKl.":           "Incorrect API key: ***.",
		`it is no JSON object: "<p>Bearer sk-proj-AbCdEfG"`:  `it is no JSON object: "<p>Bearer ***"`,
		"sk-proj-AbCdEfGhIjKlsk-proj-AbCdsk-proj-X sk-proj-": "*********X ***",
		"sk-proj and a short one":                            "sk-proj and a *** one",
		"nothing":                                            "nothing",
		"":                                                   "",
	} {
		if got := c.Hide(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	err := fmt.Errorf("malformed: %.60q", strings.Repeat("x", 45)+" sk-proj-AbCdEfGhIjKl")
	if got := c.HideIn(err).Error(); strings.Contains(got, "AbCd") {
		t.Errorf("%s", got)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string // in the error; "" is none
	}{
		{"nothing", Config{}, ""},
		{"all", Config{Header: http.Header{"X-Team": {"a b"}, "api-key": {"k"}}, Proxy: "socks5://me:x@p:1080", ConnectTimeout: 1, FirstToken: 1, BetweenTokens: 1, Total: 1, MaxConns: 1, MaxIdleConns: 1}, ""},
		{"header of the key", Config{Header: http.Header{"authorization": {"Bearer x"}}}, "api_key_env"},
		{"header of the proxy", Config{Header: http.Header{"Proxy-Authorization": {"x"}}}, "URL"},
		{"header of the message", Config{Header: http.Header{"content-length": {"3"}}}, "content-length is set for each request"},
		{"header of the host", Config{Header: http.Header{"HOST": {"x"}}}, "HOST is set"},
		{"header of the signature", Config{Header: http.Header{"X-Amz-Date": {"x"}}}, "signature"},
		{"header of one request", Config{Header: http.Header{"idempotency-key": {"x"}}}, "same for every request"},
		{"no header", Config{Header: http.Header{"X Team": {"x"}}}, "not the name of a header"},
		{"no name", Config{Header: http.Header{"": {"x"}}}, "not the name of a header"},
		{"line break", Config{Header: http.Header{"X-Team": {"secret\r\nHost: x"}}}, "X-Team: the value has a line break"},
		{"newline at the end", Config{Header: http.Header{"X-Team": {"secret\n"}}}, "X-Team"},
		{"proxy without a scheme", Config{Proxy: "proxy:3128"}, "proxy"},
		{"proxy of ftp", Config{Proxy: "ftp://me:secret@proxy"}, "http://HOST:PORT"},
		{"proxy with a path", Config{Proxy: "http://me:secret@proxy/x"}, "path"},
		{"proxy that is no URL", Config{Proxy: "http://me:secret@pro xy"}, "proxy"},
		{"proxy that looks for the server's name", Config{Proxy: "https://p", TLS: &tls.Config{ServerName: "x"}}, "tls.server_name"},
		{"connect", Config{ConnectTimeout: -1}, "timeouts.connect"},
		{"first token", Config{FirstToken: -1}, "timeouts.first_token"},
		{"between tokens", Config{BetweenTokens: -1}, "timeouts.between_tokens"},
		{"total", Config{Total: -1}, "timeouts.total"},
		{"connections", Config{MaxConns: -1}, "max_connections"},
		{"idle connections", Config{MaxIdleConns: -1}, "max_idle_connections"},
	} {
		k, err := New(c.cfg)
		if err == nil {
			k.Close()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestBaseURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:8080": "http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080/": "http://127.0.0.1:8080/a/b",
		"https://h/v1": "https://h/v1/a/b", "https://h/v1/": "https://h/v1/a/b", "http://[::1]:81": "http://[::1]:81/a/b",
		"": "", "h/v1": "", "ftp://h": "", "http://": "", "http://:80": "", "http://k@h": "", "http://h?k=x": "", "http://h#x": "", "http://h h": "",
	} {
		u, err := BaseURL(in)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		if j := u.JoinPath("a/b"); j.String() != want || j.RequestURI()[0] != '/' {
			t.Errorf("%s: %s by the request line %s, want %q", in, j, j.RequestURI(), want)
		}
	}
}
