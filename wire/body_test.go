package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"outcrop/fault"
	"outcrop/wire/http1"
)

type blob struct {
	Body []byte `json:"-" payload:"blob"`
}

// An endpoint is a server that a test runs.
type endpoint struct {
	URL   string
	addr  string
	Close func() // cuts what runs, and waits for it
}

// onFronts runs a test on net/http's server, which serves TLS, HTTP/2 and strange requests, and on the one for the others.
// Both serve HTTP/1 and HTTP/2 in clear text.
func onFronts(t *testing.T, test func(t *testing.T, start func(http.Handler) *endpoint)) {
	t.Run("net/http", func(t *testing.T) {
		test(t, func(h http.Handler) *endpoint {
			s := httptest.NewUnstartedServer(h)
			s.Config.Protocols = clearText()
			s.Start()
			t.Cleanup(s.Close)
			return &endpoint{s.URL, s.Listener.Addr().String(), s.Close}
		})
	})
	t.Run("http1", func(t *testing.T) {
		test(t, func(h http.Handler) *endpoint {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &http1.Server{Handler: h, Other: &http.Server{Handler: h, Protocols: clearText()}}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = s.Serve(l)
			}()
			stop := func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				<-done
			}
			t.Cleanup(stop)
			return &endpoint{"http://" + l.Addr().String(), l.Addr().String(), stop}
		})
	})
}

func clearText() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// blobService serves POST /blob, whose handler is fn.
func blobService(t *testing.T, fn func(context.Context, *blob) (*blob, error)) *Server {
	t.Helper()
	return newTestServer(t, nil, restService("bedrockruntime", "", Handle(Row{Name: "Blob", Method: "POST", Path: "/blob", Action: "x:Blob", MaxBody: 8 << 20}, nil,
		func(ctx context.Context, _ *Call, in *blob) (*blob, error) { return fn(ctx, in) })))
}

func clientOf(t *testing.T, two bool) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!two)
	tr.Protocols.SetUnencryptedHTTP2(two)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// begin sends the head of a request that says 1000 bytes, and one of them.
func begin(t *testing.T, h *endpoint, target, auth string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	if auth != "" {
		auth = "Authorization: " + auth + "\r\n"
	}
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: 1000\r\n\r\nx", target, auth)
	return c
}

// ended reads the one answer of a connection that the server closes.
func ended(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	br := bufio.NewReader(c)
	r, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := br.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is open after the answer: %v", err)
	}
	return r, string(body)
}

func nothing(context.Context, *blob) (*blob, error) { return nil, nil }

func TestStrangersBodyIsNotRead(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		s := blobService(t, func(context.Context, *blob) (*blob, error) {
			t.Error("the handler was called")
			return nil, nil
		})
		h := start(s)
		for _, auth := range []string{"", signedAs("UNKNOWN", "bedrock")} {
			r := httptest.NewRequest("POST", "/blob", unread{t})
			r.ContentLength = 1000
			r.Header.Set("Authorization", auth)
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != 403 {
				t.Errorf("%q: %d %s", auth, w.Code, w.Body)
			}
		}
		s.intake.drain = 10 * time.Millisecond
		for _, c := range []struct {
			target, auth string
			status       int
		}{{"/blob", "", 403}, {"/blob", signedAs("UNKNOWN", "bedrock"), 403}, {"/nowhere", "", 404}} {
			if r, body := ended(t, begin(t, h, c.target, c.auth)); r.StatusCode != c.status {
				t.Errorf("%s %q: %d %s", c.target, c.auth, r.StatusCode, body)
			}
		}
		idle(t, s)
	})
}

// idle checks that nothing is held when nothing is served any more. An answer can be read before its handler returns.
func idle(t *testing.T, s *Server) {
	t.Helper()
	var n int
	var held int64
	for range 3000 {
		s.intake.mu.Lock()
		n, held = len(s.intake.arriving), s.intake.held.Load()
		s.intake.mu.Unlock()
		if n == 0 && held == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d bodies are arriving still, %d bytes are held", n, held)
}

func TestBodyTooSlow(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		s := blobService(t, nothing)
		h := start(s)
		s.intake.patience = 10 * time.Millisecond
		r, body := ended(t, begin(t, h, "/blob", signed("bedrock")))
		if r.StatusCode != 400 || !strings.Contains(body, "did not arrive in time") {
			t.Errorf("%d %s", r.StatusCode, body)
		}
		idle(t, s)

		pr, pw := io.Pipe()
		defer pw.Close()
		req, _ := http.NewRequest("POST", h.URL+"/blob", pr)
		req.Header.Set("Authorization", signed("bedrock"))
		s.intake.patience -= 8 << 20 / bodyRate * time.Second // a length that is not told is taken for the most there may be
		r, err := clientOf(t, true).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode != 400 {
			t.Errorf("HTTP/2: %d", r.StatusCode)
		}
	})
}

// The time for the body is not the handler's, whose context ends when the server fails to read.
func TestBodyTimeEndsWithTheBody(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		const patience = 250 * time.Millisecond // in which a body of three bytes comes on any machine
		s := blobService(t, func(ctx context.Context, in *blob) (*blob, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(patience * 3 / 2):
				return in, nil
			}
		})
		h := start(s)
		s.intake.patience = patience
		for _, two := range []bool{false, true} {
			req, _ := http.NewRequest("POST", h.URL+"/blob", strings.NewReader("abc"))
			req.Header.Set("Authorization", signed("bedrock"))
			r, err := clientOf(t, two).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode != 200 || string(body) != "abc" {
				t.Errorf("HTTP/2 %v: %d %s", two, r.StatusCode, body)
			}
		}
	})
}

func TestStopReading(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		started, finish := make(chan struct{}), make(chan struct{})
		s := blobService(t, func(ctx context.Context, in *blob) (*blob, error) {
			close(started)
			<-finish
			return in, ctx.Err()
		})
		h := start(s)
		type answer struct {
			status int
			retry  string
			err    error
		}
		do := func(two bool, body io.Reader) <-chan answer {
			req, _ := http.NewRequest("POST", h.URL+"/blob", body)
			req.Header.Set("Authorization", signed("bedrock"))
			c, got := clientOf(t, two), make(chan answer, 1)
			go func() {
				r, err := c.Do(req)
				if err != nil {
					got <- answer{err: err}
					return
				}
				r.Body.Close()
				got <- answer{r.StatusCode, r.Header.Get("Retry-After"), nil}
			}()
			return got
		}
		running := do(false, strings.NewReader("whole"))
		<-started
		refused := begin(t, h, "/blob", "") // its rest is waited for
		slow := begin(t, h, "/blob", signed("bedrock"))
		pr, pw := io.Pipe()
		defer pw.Close()
		slow2 := do(true, pr)
		for n := 0; n < 3; { // until all have come
			s.intake.mu.Lock()
			n = len(s.intake.arriving)
			s.intake.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		s.StopReading()
		if r, body := ended(t, slow); r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" || !strings.Contains(body, "stopping") {
			t.Errorf("a body half sent: %d %s", r.StatusCode, body)
		}
		if r, _ := ended(t, refused); r.StatusCode != 403 {
			t.Errorf("refused: %d", r.StatusCode)
		}
		if got := <-slow2; got != (answer{503, "1", nil}) {
			t.Errorf("HTTP/2: %+v", got)
		}
		if r, _ := ended(t, begin(t, h, "/blob", signed("bedrock"))); r.StatusCode != 503 {
			t.Errorf("one that comes later: %d", r.StatusCode)
		}
		close(finish)
		if got := <-running; got != (answer{200, "", nil}) {
			t.Errorf("one that was running: %+v", got)
		}
		idle(t, s)
	})
}

func TestBodyBudget(t *testing.T) {
	onFronts(t, func(t *testing.T, start func(http.Handler) *endpoint) {
		started, finish := make(chan struct{}, 1), make(chan struct{})
		s := blobService(t, func(_ context.Context, in *blob) (*blob, error) {
			if len(in.Body) > largeBody {
				started <- struct{}{}
				<-finish
			}
			return nil, nil
		})
		h := start(s)
		s.intake.budget = 3 << 20
		post := func(n int) *http.Response {
			req, _ := http.NewRequest("POST", h.URL+"/blob", bytes.NewReader(make([]byte, n)))
			req.Header.Set("Authorization", signed("bedrock"))
			r, err := clientOf(t, true).Do(req)
			if err != nil {
				t.Error(err)
				return &http.Response{}
			}
			r.Body.Close()
			return r
		}
		first := make(chan int)
		go func() { first <- post(2 << 20).StatusCode }()
		<-started
		if held := s.intake.held.Load(); held != 2<<20+1 {
			t.Errorf("%d bytes are held", held)
		}
		if r := post(2 << 20); r.StatusCode != 503 || r.Header.Get("Retry-After") != "1" {
			t.Errorf("beyond the budget: %d", r.StatusCode)
		}
		if r := post(1 << 20); r.StatusCode != 200 {
			t.Errorf("a small one beside: %d", r.StatusCode)
		}
		close(finish)
		if got := <-first; got != 200 {
			t.Errorf("the first: %d", got)
		}
		if r := post(2 << 20); r.StatusCode != 200 {
			t.Errorf("after it: %d", r.StatusCode)
		}
		h.Close() // which waits
		idle(t, s)
	})
}

// measured notes when it is offered more room than twice what it has sent.
type measured struct {
	t          *testing.T
	sent, left int
}

func (m *measured) Read(p []byte) (int, error) {
	if room := m.sent + len(p); room > max(64<<10, 2*m.sent, largeBody) || m.sent >= largeBody && room > 2*m.sent {
		m.t.Errorf("room for %d bytes after %d", room, m.sent)
	}
	n := min(len(p), m.left, 10000)
	m.sent, m.left = m.sent+n, m.left-n
	if m.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func TestBodyGrowth(t *testing.T) {
	for _, told := range []int64{-1, 5 << 20} {
		s := blobService(t, func(_ context.Context, in *blob) (*blob, error) {
			if len(in.Body) != 5<<20 || told > 0 && cap(in.Body) > len(in.Body)+1 || cap(in.Body) > 8<<20+1 {
				t.Errorf("told %d: %d bytes in %d", told, len(in.Body), cap(in.Body))
			}
			return nil, fault.New(fault.NotFound, "seen")
		})
		r := httptest.NewRequest("POST", "/blob", &measured{t: t, left: 5 << 20})
		r.ContentLength = told
		r.Header.Set("Authorization", signed("bedrock"))
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 404 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
