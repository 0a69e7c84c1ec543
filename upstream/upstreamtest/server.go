package upstreamtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
)

// Server is a provider whose model stands behind a server, and how that one answers.
type Server struct {
	Open        func(t *testing.T, baseURL string, c client.Config) upstream.Provider
	ContentType string // of a streamed answer
	Start       string // its events before the first text; may be empty
	Text        string // an event with a piece of text, which may come many times
	End         string // the events after the last text, of an answer that is whole
	Whole       string // an answer that is not streamed
	Refusal     string // the body of a refusal, which has status 400
}

// RunServer runs the suite of how a server is reached: every provider keeps the limits and sends the headers that it is
// configured with.
func RunServer(t *testing.T, s Server) {
	t.Run("Timeouts", s.timeouts)
	t.Run("Connections", s.connections)
	t.Run("Headers", s.headers)
	t.Run("Secrets", s.secrets)
	t.Run("More", s.more)
	t.Run("Leave", s.leave)
	t.Run("NobodyThere", s.nobodyThere)
	t.Run("Reuse", s.reuse)
}

func (s *Server) open(t *testing.T, h http.HandlerFunc, c client.Config) upstream.Provider {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p := s.Open(t, server.URL, c)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func (s *Server) begin(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", s.ContentType)
	io.WriteString(w, text)
	w.(http.Flusher).Flush()
}

// count sends r and returns how many pieces of text came before the answer's end or its error.
func count(ctx context.Context, p upstream.Provider, r *upstream.Request) (n int, err error) {
	answer, err := p.Send(ctx, r)
	if err != nil {
		return 0, err
	}
	for e, err := range answer {
		if err != nil {
			return n, err
		}
		if e.Kind == converse.BlockDelta {
			n++
		}
	}
	return n, nil
}

func (s *Server) timeouts(t *testing.T) {
	const short, long = 60 * time.Millisecond, time.Hour
	silent := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		cfg    client.Config
		whole  bool // also of an answer that is not streamed
		texts  bool // some text comes
	}{
		{"no answer", silent, client.Config{FirstToken: short, BetweenTokens: long}, true, false},
		{"no answer, in all", silent, client.Config{Total: short}, true, false},
		{"a head alone", func(w http.ResponseWriter, r *http.Request) {
			s.begin(w, "")
			silent(w, r)
		}, client.Config{FirstToken: short, BetweenTokens: long}, false, false},
		{"no token", func(w http.ResponseWriter, r *http.Request) {
			s.begin(w, s.Start)
			silent(w, r)
		}, client.Config{FirstToken: short, BetweenTokens: long}, false, false},
		{"no second token", func(w http.ResponseWriter, r *http.Request) {
			s.begin(w, s.Start+s.Text)
			silent(w, r)
		}, client.Config{FirstToken: long, BetweenTokens: short}, false, true},
		{"no end", func(w http.ResponseWriter, r *http.Request) {
			s.begin(w, s.Start)
			for r.Context().Err() == nil {
				s.begin(w, s.Text)
				time.Sleep(time.Millisecond)
			}
		}, client.Config{FirstToken: long, BetweenTokens: long, Total: 20 * short}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.open(t, c.answer, c.cfg)
			for _, stream := range []bool{true, false} {
				if !stream && !c.whole {
					continue
				}
				n, err := count(t.Context(), p, Request(stream, nil))
				if !fault.Is(err, fault.ModelTimeout) || !fault.From(err).Kind.Retryable() || (n > 0) != c.texts {
					t.Errorf("stream=%t: %d pieces of text, then %v; want a ModelTimeout", stream, n, err)
				}
			}
		})
	}
}

func (s *Server) connections(t *testing.T) {
	// The one connection that may be is in use.
	free := make(chan struct{})
	p := s.open(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.begin(w, s.Start+s.Text)
		select {
		case <-r.Context().Done():
		case <-free:
		}
	}, client.Config{MaxConns: 1, ConnectTimeout: 300 * time.Millisecond})
	answer, err := p.Send(t.Context(), Request(true, nil))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range answer {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != converse.BlockDelta {
			continue
		}
		if _, err := p.Send(t.Context(), Request(true, nil)); !fault.Is(err, fault.Throttled) || !errors.Is(err, upstream.ErrFull) {
			t.Errorf("one too many: %v, want Throttled because it is full", err)
		}
		if !p.(upstream.Bounded).Full() {
			t.Error("not full with one request under way of one")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Send(gone, Request(true, nil)); !errors.Is(err, context.Canceled) {
			t.Errorf("one too many, whose caller leaves: %v", err)
		}
		break
	}
	close(free)
	// It is free again, also after errors.
	for range 3 {
		if n, err := count(t.Context(), p, Request(true, nil)); n == 0 {
			t.Fatalf("the place was not given back: %v", err)
		}
		if p.(upstream.Bounded).Full() {
			t.Error("full with no request under way")
		}
	}

	// Many wait for their turn, and all get it.
	var now, most atomic.Int32
	p = s.open(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		w.WriteHeader(http.StatusTooManyRequests)
	}, client.Config{MaxConns: 2, ConnectTimeout: time.Minute})
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := p.Send(t.Context(), Request(false, nil)); !fault.Is(err, fault.Throttled) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() > 2 {
		t.Errorf("%d requests at once, want 2 at most", most.Load())
	}
}

func (s *Server) headers(t *testing.T) {
	seen := make(chan http.Header, 1)
	p := s.open(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.WriteHeader(http.StatusTooManyRequests)
	}, client.Config{Header: http.Header{"x-team": {"research"}, "User-Agent": {"a gateway's name"}}})
	for _, stream := range []bool{true, false} {
		if _, err := p.Send(t.Context(), Request(stream, nil)); !fault.Is(err, fault.Throttled) {
			t.Fatal(err)
		}
		h := <-seen
		if got := fmt.Sprint(h["X-Team"], h["User-Agent"]); got != "[research] [a gateway's name]" {
			t.Errorf("sent %s", got)
		}
		if h.Get("X-Request-Id") == "" && h.Get("Authorization") == "" && h.Get("X-Api-Key") == "" {
			t.Errorf("the provider's own headers are missing: %v", h)
		}
	}
}

// secrets: what is secret is in no error, which the log has whole, also where a server that is none of the kind repeats it.
func (s *Server) secrets(t *testing.T) {
	const secret = "k-0123456789"
	for _, contentType := range []string{"application/json", "text/event-stream", s.ContentType, secret} {
		for _, body := range []string{secret, `{"type":"` + secret + `"}`, `{"choices":"` + secret + `"}`, "data: " + secret + "\n\n", `data: {"type":"` + secret + `"}` + "\n\n"} {
			for _, status := range []int{200, 400, 401, 500} {
				p := s.open(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", contentType)
					w.WriteHeader(status)
					io.WriteString(w, body)
				}, client.Config{Header: http.Header{"X-Gateway-Key": {secret}}}.Secret(secret))
				for _, stream := range []bool{true, false} {
					if _, err := count(t.Context(), p, Request(stream, nil)); err == nil || strings.Contains(err.Error(), secret) {
						t.Errorf("%q, %q, status %d, streamed %t: %v", contentType, body, status, stream, err)
					}
				}
			}
		}
	}
}

// more: an event that has more behind it says so, and only such a one: a writer that waits for the next may wait for ever
// else.
func (s *Server) more(t *testing.T) {
	release := make(chan struct{})
	p := s.open(t, func(w http.ResponseWriter, r *http.Request) {
		s.begin(w, s.Start+s.Text)
		<-release
		io.WriteString(w, s.Text+s.Text+s.End)
	}, client.Config{})
	answer, err := p.Send(t.Context(), Request(true, nil))
	if err != nil {
		t.Fatal(err)
	}
	var all []converse.Event
	for e, err := range answer {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
		if len(all) == 2 { // MessageStart and the first text: all that has been sent
			if !all[0].More || all[1].More {
				t.Errorf("More is %t and %t, want true and false", all[0].More, all[1].More)
			}
			close(release)
		}
	}
	if all[len(all)-1].More {
		t.Error("More behind the last event")
	}
}

// leave: a consumer who leaves, or whose context ends, makes the server's work end too.
func (s *Server) leave(t *testing.T) {
	for _, how := range []string{"break", "cancel"} {
		t.Run(how, func(t *testing.T) {
			ended := make(chan struct{})
			p := s.open(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				s.begin(w, s.Start+s.Text)
				<-r.Context().Done()
				close(ended)
			}, client.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			answer, err := p.Send(ctx, Request(true, nil))
			if err != nil {
				t.Fatal(err)
			}
			for e, err := range answer {
				if err != nil {
					if how == "break" || !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				} else if e.Kind == converse.BlockDelta {
					if how == "break" {
						break
					}
					cancel()
				}
			}
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the server still works")
			}
		})
	}
}

// nobodyThere: a server that cannot be reached is another target's chance.
func (s *Server) nobodyThere(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	p := s.Open(t, "http://"+at, client.Config{})
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, err = p.Send(t.Context(), Request(true, nil))
	if f := fault.From(err); f == nil || f.Kind != fault.Unavailable || strings.Contains(f.Message, at) || !strings.Contains(f.Error(), at) {
		t.Errorf("%v, want Unavailable with the address in the log alone", err)
	}
	if c, ok := p.(upstream.TokenCounter); ok {
		if _, err := c.CountTokens(t.Context(), Request(false, nil)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a count: %v, want Unavailable", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Send(ctx, Request(true, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v for a caller who has left", err)
	}
}

// reuse: one connection serves one call after the other, whole or streamed, with or without an error's body; and one that
// the server has closed meanwhile costs no call.
func (s *Server) reuse(t *testing.T) {
	var conns atomic.Int32
	turn := 0
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch turn++; turn % 3 {
		case 0:
			s.begin(w, s.Start+s.Text+s.Text+s.End)
			time.Sleep(2 * time.Millisecond) // the body's end comes on its own, after the last event
		case 1:
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, s.Whole)
		case 2:
			w.WriteHeader(400)
			io.WriteString(w, s.Refusal)
		}
	})
	server := httptest.NewUnstartedServer(h)
	server.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	p := s.Open(t, server.URL, client.Config{})
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := range 30 {
		if n, err := count(t.Context(), p, Request((i+1)%3 == 0, nil)); n == 0 && !fault.Is(err, fault.Validation) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if n := conns.Load(); n > 5 { // one, but for a body's end that comes too late to wait for
		t.Errorf("%d connections for 30 calls, one after the other", n)
	}
}
