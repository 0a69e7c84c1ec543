package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/ledger"
	"outcrop/upstream"
)

// gateway is the whole program, listening on a port of its own, with a caller who may do what clients do.
type gateway struct {
	*server
	key    string // an API key of that caller
	client *http.Client
}

const gatewayAccount = "000000000000"

func startGateway(t testing.TB, change func(*Config)) *gateway {
	return startGatewayLogging(t, t.Output(), change)
}

func startGatewayLogging(t testing.TB, log io.Writer, change func(*Config)) *gateway {
	t.Helper()
	c := defaults()
	c.Listen = "127.0.0.1:0"
	c.Log.Level = "error"
	if change != nil {
		change(&c)
	}
	for i := range c.Upstreams {
		if err := c.Upstreams[i].check(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(t.Context(), c, t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func(string) { close(ready) }) }()
	g := &gateway{server: s, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-ready
	if _, err = s.people.CreateUser(t.Context(), gatewayAccount, "alice"); err == nil {
		err = s.people.PutUserPolicy(t.Context(), gatewayAccount, "alice", "all", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}]}`))
	}
	if err == nil {
		_, g.key, err = s.people.CreateBearerKey(t.Context(), gatewayAccount, "alice", 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// send posts body. The caller closes the answer's body.
func (g *gateway) send(ctx context.Context, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+g.key)
	return g.client.Do(req)
}

// post posts body and reads the whole answer.
func (g *gateway) post(t testing.TB, path, body string) (status int, h http.Header, answer []byte) {
	t.Helper()
	resp, err := g.send(t.Context(), path, body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%v after %q", err, answer)
	}
	return resp.StatusCode, resp.Header, answer
}

// vendor is the server of one vendor's API. It keeps what it was asked last and answers what a test says.
type vendor struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []byte // the body of the last request
	path   string
	calls  int
	answer http.HandlerFunc
}

func startVendor(t testing.TB) *vendor {
	v := &vendor{}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	v.mu.Lock()
	v.asked, v.path = body, r.URL.Path
	v.calls++
	answer := v.answer
	v.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer(w, r)
}

func (v *vendor) answers(f http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer, v.asked, v.path = f, nil, ""
}

func (v *vendor) last() (path string, body []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.path, v.asked
}

// to is the configuration of an upstream of provider, or of openai with its API responses, that v stands behind. models is UpstreamConfig's.
func (v *vendor) to(t testing.TB, provider string, models map[string]string) UpstreamConfig {
	t.Helper()
	u := UpstreamConfig{Name: provider, Provider: provider, Models: models, BaseURL: v.URL}
	switch provider {
	case "bedrock":
		u.BaseURL, u.APIKeyFile = "", filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(u.APIKeyFile, []byte("bedrock-api-key-of-a-test"), 0o600); err != nil {
			t.Fatal(err)
		}
		u.Bedrock = &BedrockConfig{Endpoint: v.URL}
	case "responses":
		u.Provider, u.API = "openai", "responses"
		u.BaseURL += "/v1"
	case "openai":
		u.BaseURL += "/v1"
	}
	return u
}

// recorder is a provider that keeps what it was asked and passes it on to the one that is really there.
type recorder struct {
	upstream.Provider
	mu    sync.Mutex
	asked []byte // the request as JSON: it refers to its body, whose buffer serves others when the call is over
}

func (r *recorder) Send(ctx context.Context, q *upstream.Request) (converse.Stream, error) {
	stream, err := r.Provider.Send(ctx, q)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.asked, err = json.Marshal(q.Body, json.Deterministic(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			return nil, err
		}
	}
	return stream, err
}

// entries returns what the ledger has of all calls, the oldest first, once everything is in its index.
func (g *gateway) entries(t testing.TB) []*ledger.Entry {
	t.Helper()
	if err := g.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []*ledger.Entry
	for e, err := range g.store.Calls(t.Context(), gatewayAccount, time.Time{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		one := *e
		all = append(all, &one)
	}
	return all
}
