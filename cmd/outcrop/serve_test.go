package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"outcrop/ledger"
)

// TestStopWithHalfBodies stops a server to which requests are being sent that never end: it must not wait for them.
func TestStopWithHalfBodies(t *testing.T) {
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", "ROOTKEYFORTEST")
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", "a-secret-for-the-test")
	c := defaults()
	c.Listen = "127.0.0.1:0"
	c.Shutdown.Drain = time.Hour
	s, err := New(context.Background(), c, t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func(string) { close(ready) }) }()
	<-ready

	// The signature would be wrong, which does not show before the body has come.
	now := time.Now().UTC().Format("20060102T150405Z")
	known := "X-Amz-Date: " + now + "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=ROOTKEYFORTEST/" + now[:8] + "/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\n"
	var conns []net.Conn
	for _, head := range []string{
		"POST /model/a/invoke HTTP/1.1\r\nContent-Length: 24999999\r\nExpect: 100-continue\r\n" + known,
		"POST /model/a/invoke HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n" + known,
		"POST /healthz HTTP/1.1\r\nContent-Length: 1000\r\n",
	} {
		conn, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "%sHost: a\r\n\r\n", head)
		conns = append(conns, conn)
	}
	var readers []*bufio.Reader
	for i, conn := range conns {
		readers = append(readers, bufio.NewReader(conn))
		r, err := http.ReadResponse(readers[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{100, 100, 200}[i]; r.StatusCode != want { // 100: the server reads the body
			t.Fatalf("request %d: %d, want %d", i, r.StatusCode, want)
		}
	}
	stop()
	for i := range 2 {
		r, err := http.ReadResponse(readers[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("request %d: %d at the end", i, r.StatusCode)
		}
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		s.http.Close()
		t.Error("the server waits for a body")
	}
}

// TestNotReady: who asks whether a server can serve has shown no credentials, so what keeps it from serving (here a database
// that is gone) is not in the answer.
func TestNotReady(t *testing.T) {
	s, err := New(t.Context(), defaults(), t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.ready.Store(true)
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		s.route(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		return w.Code, w.Body.String()
	}
	if code, body := ask(); code != http.StatusOK {
		t.Fatalf("before: %d %s", code, body)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	call := ledger.Intent{ID: uuid.New(), Time: now, Account: "000000000000", Region: "us-east-1", Operation: "Converse", ModelID: "amazon.nova-lite-v1:0"}
	if err := s.ledger.Open(t.Context(), &call); err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Settle(t.Context(), &ledger.Settlement{ID: call.ID, Time: now, Status: ledger.Completed}); err != nil {
		t.Fatal(err)
	}
	for s.ledger.Healthy() == nil { // until the indexer has met the database
		time.Sleep(time.Millisecond)
	}
	if code, body := ask(); code != http.StatusServiceUnavailable || body != "the ledger records calls, but cannot index them\n" {
		t.Errorf("%d %q", code, body)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	s.ledger.Close(ended) // without waiting for the database
	s.Close()             // both say again that it is closed
}
