// Package openai is the upstream.Provider for servers that speak OpenAI's Chat Completions and embeddings over HTTP/1.1: OpenAI
// itself, vLLM, SGLang, llama.cpp, Ollama and gateways to them.
package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"outcrop/converse"
	dialect "outcrop/dialect/openai"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
	"outcrop/upstream/http1"
	"outcrop/upstream/sse"
)

// Config describes one server. The zero value of everything but Name and BaseURL is a sensible default.
type Config struct {
	Name    string // the upstream's name in errors and logs
	BaseURL string // up to and with the version, such as http://127.0.0.1:8080/v1
	APIKey  string // sent as a bearer token; empty sends none

	Client client.Config // how the server is reached

	MaxAnswerBytes int64 // of one answer, framing included; 0 is 64 MiB
	Clock          func() time.Time
}

const (
	maxErrorBody = 64 << 10
	drainTime    = 100 * time.Millisecond // for the end of a chunked body after [DONE]
	maxBatch     = 64                     // events decoded before the first of them is handed on
)

// Provider is one server. It holds a pool of connections.
type Provider struct {
	cfg       Config
	client    *client.Client
	transport http.RoundTripper
	between   time.Duration // client.Config's BetweenTokens

	// Of what all requests have in common. They share it, and it is never changed.
	chat, embeddings                                                *url.URL
	authorization, contentType, acceptStream, acceptJSON, userAgent []string
}

var (
	_ upstream.Provider = (*Provider)(nil)
	_ upstream.Embedder = (*Provider)(nil)
)

// New checks c and returns its provider. It connects to nothing.
func New(c Config) (*Provider, error) {
	p, err := newProvider(c)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", c.Name, err)
	}
	return p, nil
}

func newProvider(c Config) (*Provider, error) {
	u, err := client.BaseURL(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the API key has a space or another character that no key has")
	}
	if c.MaxAnswerBytes == 0 {
		c.MaxAnswerBytes = 64 << 20
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	p := &Provider{
		cfg:          c,
		chat:         u.JoinPath("chat/completions"),
		embeddings:   u.JoinPath("embeddings"),
		contentType:  []string{"application/json"},
		acceptStream: []string{"text/event-stream"},
		acceptJSON:   []string{"application/json"},
		userAgent:    []string{"outcrop"},
	}
	if p.client, err = client.New(c.Client); err != nil {
		return nil, err
	}
	if p.transport, err = p.client.Transport(u); err != nil {
		return nil, err
	}
	p.between = p.client.Config().BetweenTokens
	if c.APIKey != "" {
		p.authorization = []string{"Bearer " + c.APIKey}
	}
	return p, nil
}

// Close closes the connections that wait for reuse.
func (p *Provider) Close() error { return p.client.Close() }

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
	if r.Body == nil {
		return nil, fault.New(fault.Validation, "The model doesn't support a request of this format: upstream %q speaks OpenAI's Chat Completions.", p.cfg.Name)
	}
	body, err := dialect.AppendRequest(make([]byte, 0, dialect.EstimateSize(r.Body)), r.Body, r.Model, r.Stream, p.cfg.Name)
	if err != nil {
		return nil, err
	}
	x := &exchange{p: p, ctx: ctx, req: r.Body}
	if c := r.Body.InferenceConfig; c != nil {
		x.dec.Stop = c.StopSequences
	}
	x.dec.Fields.Paths = r.Body.AdditionalModelResponseFieldPaths
	resp, err := p.transport.RoundTrip(p.request(ctx, p.chat, r, body))
	if err != nil {
		return nil, upstream.Unreachable(ctx, p.cfg.Name, err)
	}
	x.body = resp.Body.(http1.Body)
	if resp.StatusCode == http.StatusOK && r.Stream && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return x.stream, nil
	}
	defer x.body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, p.refused(resp)
	}
	return x.whole()
}

// request makes the HTTP request to u.
func (p *Provider) request(ctx context.Context, u *url.URL, r *upstream.Request, body []byte) *http.Request {
	h := make(http.Header, 6)
	h["Content-Type"] = p.contentType
	h["User-Agent"] = p.userAgent
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
	return p.client.Post(ctx, u, h, body)
}

// refused turns an answer that is not 200 into its fault.
func (p *Provider) refused(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came of it is enough
	e := dialect.ParseError(b)
	e.Status = resp.StatusCode
	return p.classify(e, upstream.RetryAfter(resp.Header, p.cfg.Clock()))
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

// failed returns the fault of an answer that broke off or that cannot be read.
func (x *exchange) failed(err error) error {
	name, started := x.p.cfg.Name, x.dec.Started()
	var e *dialect.Error
	var f *fault.Error
	switch {
	case errors.As(err, &e):
		f = x.p.classify(e, 0)
	case errors.Is(err, dialect.ErrMalformed), errors.Is(err, sse.ErrTooLong):
		f = upstream.Unreadable(name, err)
	default:
		return upstream.Broken(x.ctx, name, started, err)
	}
	if started {
		return upstream.InStream(f)
	}
	return f
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// batches are the events of one read of a stream, decoded together.
var batches = sync.Pool{New: func() any { b := make([]converse.Event, 0, maxBatch+8); return &b }}

// read reads the body of a whole answer. The buffer goes back to bodies by recycle.
func (x *exchange) read() (*bytes.Buffer, error) {
	buf := bodies.Get().(*bytes.Buffer)
	limited := io.LimitedReader{R: x.body, N: x.p.cfg.MaxAnswerBytes + 1}
	_, err := buf.ReadFrom(&limited)
	if err == nil && limited.N == 0 {
		err = sse.ErrTooLong
	}
	if err != nil {
		recycle(buf)
		return nil, x.failed(err)
	}
	return buf, nil
}

func recycle(buf *bytes.Buffer) {
	if buf.Cap() <= 1<<20 {
		buf.Reset()
		bodies.Put(buf)
	}
}

// whole reads an answer that is not streamed.
func (x *exchange) whole() (converse.Stream, error) {
	buf, err := x.read()
	if err != nil {
		return nil, err
	}
	defer recycle(buf)
	events, err := x.dec.Append(make([]converse.Event, 0, 6), buf.Bytes())
	if err == nil && !x.dec.Started() && !x.dec.Finished() {
		err = errNothing
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

var errNothing = fmt.Errorf("%w: it holds no message", dialect.ErrMalformed)

// stream is the converse.Stream of a streamed answer. What one read brings is decoded as a whole before its first event
// is handed on, so that More is exact: a writer that holds its flush back for another event never waits for the server.
func (x *exchange) stream(yield func(converse.Event, error) bool) {
	defer x.body.Close()
	in := sse.NewReader(x.body, x.p.cfg.MaxAnswerBytes)
	defer in.Release()
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
			data, ok := in.Next()
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
			if err = in.Fill(); err == io.EOF && x.dec.Finished() {
				err, done = nil, true // some servers say no [DONE]
			} else if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if done && err == nil {
			if !x.dec.Started() && !x.dec.Finished() {
				err = errNothing
			} else {
				events = x.dec.Finish(events, x.req.EstimateInputTokens)
			}
		}
		if len(events) > 0 {
			x.body.SetReadTimeout(x.p.between) // the first token is there
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
			in.Drain() // to the end of the body, so that its connection can be used again
			return
		}
	}
}
