// Package openai is the upstream.Provider for servers that speak OpenAI's Chat Completions over HTTP/1.1: OpenAI
// itself, vLLM, SGLang, llama.cpp, Ollama and gateways to them.
package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"outcrop/converse"
	dialect "outcrop/dialect/openai"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/http1"
)

// Config describes one server. The zero value of everything but Name and BaseURL is a sensible default.
type Config struct {
	Name    string // the upstream's name in errors and logs
	BaseURL string // up to and with the version, such as http://127.0.0.1:8080/v1
	APIKey  string // sent as a bearer token; empty sends none

	ConnectTimeout time.Duration // for TCP and TLS together; 0 is 5 s
	AnswerTimeout  time.Duration // from the request until the answer begins, which without streaming is when it is done; 0 is 10 min
	IdleTimeout    time.Duration // between two pieces of an answer that has begun; 0 is 2 min
	MaxIdleConns   int           // connections kept for reuse; 0 is 512
	MaxAnswerBytes int64         // of one answer, framing included; 0 is 64 MiB
	Clock          func() time.Time
}

const (
	maxLine       = 1 << 20 // of one event in a stream: a token with its log probabilities is some KiB
	maxErrorBody  = 64 << 10
	maxRetryAfter = time.Hour
	keepIdle      = 90 * time.Second       // how long a connection waits for the next request; most servers close it sooner
	drainTime     = 100 * time.Millisecond // for the end of a chunked body after [DONE]
	maxBatch      = 64                     // events decoded before the first of them is handed on
)

// Provider is one server. It holds a pool of connections.
type Provider struct {
	cfg       Config
	transport transport

	// Of what all requests have in common. They share it, and it is never changed.
	common                                                          http.Request
	authorization, contentType, acceptStream, acceptJSON, userAgent []string
}

var _ upstream.Provider = (*Provider)(nil)

// transport is an http1.Transport, or net/http's where a proxy stands between. It keeps the time limits itself; its
// answers' bodies are http1.Bodies.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// New checks c and returns its provider. It connects to nothing.
func New(c Config) (*Provider, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("upstream %s: base_url: %w", c.Name, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("upstream %s: base_url %q is not of the form http://HOST[:PORT]/v1", c.Name, c.BaseURL)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("upstream %s: base_url has a user, a query or a fragment; a key belongs into api_key_env or api_key_file", c.Name)
	case strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, fmt.Errorf("upstream %s: the API key has a space or another character that no key has", c.Name)
	}
	defaults := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	defaults(&c.ConnectTimeout, 5*time.Second)
	defaults(&c.AnswerTimeout, 10*time.Minute)
	defaults(&c.IdleTimeout, 2*time.Minute)
	if c.MaxIdleConns == 0 {
		c.MaxIdleConns = 512
	}
	if c.MaxAnswerBytes == 0 {
		c.MaxAnswerBytes = 64 << 20
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	u = u.JoinPath("chat/completions")
	p := &Provider{
		cfg:          c,
		common:       http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
		contentType:  []string{"application/json"},
		acceptStream: []string{"text/event-stream"},
		acceptJSON:   []string{"application/json"},
		userAgent:    []string{"outcrop"},
	}
	proxied := false
	if !loopback(u.Hostname()) {
		proxy, err := http.ProxyFromEnvironment(&p.common)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: the proxy that the environment names: %w", c.Name, err)
		}
		proxied = proxy != nil
	}
	if proxied {
		p.transport = newProxied(&p.cfg)
	} else {
		p.transport = http1.New(http1.Config{
			ConnectTimeout: c.ConnectTimeout,
			HeaderTimeout:  c.AnswerTimeout,
			ReadTimeout:    c.IdleTimeout,
			IdleTimeout:    keepIdle,
			MaxIdleConns:   c.MaxIdleConns,
		})
	}
	if c.APIKey != "" {
		p.authorization = []string{"Bearer " + c.APIKey}
	}
	return p, nil
}

// loopback hosts are never reached through a proxy, and the environment is not even asked.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Close closes the connections that wait for reuse.
func (p *Provider) Close() error {
	p.transport.CloseIdleConnections()
	return nil
}

// exchange is one request under way.
type exchange struct {
	p    *Provider
	ctx  context.Context
	body http1.Body
	req  *converse.Request
	dec  dialect.Decoder
}

// Send implements upstream.Provider. Without r.Stream the whole answer has arrived when it returns.
func (p *Provider) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	body, err := dialect.AppendRequest(make([]byte, 0, dialect.EstimateSize(r.Body)), r.Body, r.Model, r.Stream, p.cfg.Name)
	if err != nil {
		return nil, err
	}
	x := &exchange{p: p, ctx: ctx, req: r.Body}
	if c := r.Body.InferenceConfig; c != nil {
		x.dec.Stop = c.StopSequences
	}
	resp, err := p.transport.RoundTrip(p.request(ctx, r, body))
	if err != nil {
		return nil, upstream.Unreachable(ctx, p.cfg.Name, err)
	}
	x.body = resp.Body.(http1.Body)
	if resp.StatusCode == http.StatusOK && r.Stream && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return x.stream, nil
	}
	defer x.body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, p.refused(x, resp)
	}
	return x.whole()
}

// request makes the HTTP request. X-Idempotency-Key, present but empty, is not sent: it tells the transport that
// the request may go out again when a kept connection turns out to be closed before any of the answer came.
func (p *Provider) request(ctx context.Context, r *upstream.Request, body []byte) *http.Request {
	h := make(http.Header, 6)
	h["Content-Type"] = p.contentType
	h["User-Agent"] = p.userAgent
	h["X-Idempotency-Key"] = []string{}
	if r.Stream {
		h["Accept"] = p.acceptStream
	} else {
		h["Accept"] = p.acceptJSON
	}
	if p.authorization != nil {
		h["Authorization"] = p.authorization
	}
	if r.ID != "" {
		h["X-Request-Id"] = []string{r.ID}
	}
	request := p.common.WithContext(ctx)
	request.Header = h
	request.Body, request.ContentLength = newBody(body), int64(len(body))
	request.GetBody = func() (io.ReadCloser, error) { return newBody(body), nil }
	return request
}

// requestBody is a request's body, which can be read but need not be closed.
type requestBody struct{ bytes.Reader }

func newBody(b []byte) io.ReadCloser {
	r := new(requestBody)
	r.Reset(b)
	return r
}

func (*requestBody) Close() error { return nil }

// refused turns an answer that is not 200 into its fault.
func (p *Provider) refused(x *exchange, resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(x.body, maxErrorBody)) // what came of it is enough
	e := dialect.ParseError(b)
	e.Status = resp.StatusCode
	return p.classify(e, p.retryAfter(resp.Header))
}

func (p *Provider) classify(e *dialect.Error, retryAfter time.Duration) *fault.Error {
	message := e.Message
	if p.cfg.APIKey != "" {
		message = strings.ReplaceAll(message, p.cfg.APIKey, "***")
	}
	return upstream.Classify(&upstream.Refusal{
		Upstream: p.cfg.Name, Status: e.Status, Type: e.Type, Code: e.Code, Message: message, RetryAfter: retryAfter,
	})
}

// retryAfter reads Retry-After, in seconds or as a date, or OpenAI's finer retry-after-ms.
func (p *Provider) retryAfter(h http.Header) time.Duration {
	var d time.Duration
	v := h.Get("Retry-After")
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		d = time.Duration(min(max(ms, 0), 1e9) * float64(time.Millisecond))
	} else if s, err := strconv.ParseFloat(v, 64); err == nil {
		d = time.Duration(min(max(s, 0), 1e6) * float64(time.Second))
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(p.cfg.Clock())
	}
	return min(max(d, 0), maxRetryAfter)
}

// failed returns the fault of an answer that broke off or that cannot be read.
func (x *exchange) failed(err error) error {
	started := x.dec.Started()
	var e *dialect.Error
	var timeout net.Error
	switch {
	case errors.As(err, &e):
		f := x.p.classify(e, 0)
		if started {
			return upstream.InStream(f)
		}
		return f
	case errors.Is(err, dialect.ErrMalformed), errors.Is(err, errTooLong):
		f := fault.Wrap(fmt.Errorf("upstream %s: %w", x.p.cfg.Name, err), fault.ModelError, "The model returned an answer that could not be read.")
		f.OriginalStatus = http.StatusOK
		if started {
			return upstream.InStream(f)
		}
		return f
	case x.ctx.Err() != nil:
		return upstream.Unreachable(x.ctx, x.p.cfg.Name, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return upstream.Timeout(x.p.cfg.Name, "silent for too long")
	}
	return upstream.Broken(x.p.cfg.Name, started, err)
}

var errTooLong = errors.New("the answer is longer than allowed")

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// batches are the events of one read of a stream, decoded together.
var batches = sync.Pool{New: func() any { b := make([]converse.Event, 0, maxBatch+8); return &b }}

// whole reads an answer that is not streamed.
func (x *exchange) whole() (converse.Stream, error) {
	buf := bodies.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= 1<<20 {
			buf.Reset()
			bodies.Put(buf)
		}
	}()
	limited := io.LimitedReader{R: x.body, N: x.p.cfg.MaxAnswerBytes + 1}
	if _, err := buf.ReadFrom(&limited); err != nil {
		return nil, x.failed(err)
	}
	if limited.N == 0 {
		return nil, x.failed(errTooLong)
	}
	events, err := x.dec.Append(make([]converse.Event, 0, 6), buf.Bytes())
	if err == nil && !x.dec.Started() && !x.dec.Finished() {
		err = fmt.Errorf("%w: it holds no message", dialect.ErrMalformed)
	}
	if err != nil {
		x.dec = dialect.Decoder{} // nothing of it was handed on
		return nil, x.failed(err)
	}
	events = x.dec.Finish(events, x.req.EstimateInputTokens)
	return func(yield func(converse.Event, error) bool) {
		for i := range events {
			events[i].More = i+1 < len(events)
			if !yield(events[i], nil) {
				return
			}
		}
	}, nil
}

// stream is the converse.Stream of a streamed answer. What one read brings is decoded as a whole before its first event
// is handed on, so that More is exact: a writer that holds its flush back for another event never waits for the server.
func (x *exchange) stream(yield func(converse.Event, error) bool) {
	defer x.body.Close()
	in := newLines(x.body, x.p.cfg.MaxAnswerBytes)
	defer in.release()
	batch := batches.Get().(*[]converse.Event)
	events := *batch
	defer func() {
		if cap(events) <= 2*maxBatch {
			clear(events[:cap(events)]) // their texts are nobody's any more
			*batch = events[:0]
			batches.Put(batch)
		}
	}()
	for {
		var err error
		done := false
		events = events[:0]
		for len(events) < maxBatch && err == nil {
			data, ok := in.next()
			if !ok {
				break
			}
			if string(data) == "[DONE]" {
				done = true
				break
			}
			events, err = x.dec.Append(events, data)
		}
		idle := len(events) == 0
		if err == nil && !done && idle {
			if err = in.fill(); err == io.EOF && x.dec.Finished() {
				err, done = nil, true // some servers say no [DONE]
			} else if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if done && err == nil {
			if !x.dec.Started() && !x.dec.Finished() {
				err = fmt.Errorf("%w: it holds no message", dialect.ErrMalformed)
			} else {
				events = x.dec.Finish(events, x.req.EstimateInputTokens)
			}
		}
		for i := range events {
			events[i].More = i+1 < len(events)
			if !yield(events[i], nil) {
				return
			}
		}
		if err != nil {
			yield(converse.Event{}, x.failed(err))
			return
		}
		if done {
			x.body.SetReadTimeout(drainTime)
			in.drain() // to the end of the body, so that its connection can be used again
			return
		}
	}
}
