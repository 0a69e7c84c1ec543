// Package anthropic is the upstream.Provider for servers that speak Anthropic's Messages API over HTTP/1.1: Anthropic
// itself and what is compatible with it.
//
// A request that came as a Messages body (Native.Format "anthropic") goes out as it is, and its answer comes back as it is,
// in Chunk events.
package anthropic

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
	dialect "outcrop/dialect/anthropic"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
	"outcrop/upstream/http1"
	"outcrop/upstream/sse"
)

// Config describes one server. The zero value of everything but Name is a sensible default.
type Config struct {
	Name    string // the upstream's name in errors and logs
	BaseURL string // up to and without the version; empty is https://api.anthropic.com
	APIKey  string // sent as x-api-key; empty sends none
	Stored  bool   // requests in its own terms may name what is stored there: files, containers, custom skills

	Client client.Config // how the server is reached

	MaxAnswerBytes int64 // of one answer, framing included; 0 is 64 MiB
	Clock          func() time.Time
}

const (
	apiVersion   = "2023-06-01"
	maxErrorBody = 64 << 10
	drainTime    = 100 * time.Millisecond // for the end of a chunked body after message_stop
	maxBatch     = 64                     // events decoded before the first of them is handed on
)

// Provider is one server. It holds a pool of connections.
type Provider struct {
	cfg       Config
	client    *client.Client
	transport http.RoundTripper
	between   time.Duration // client.Config's BetweenTokens

	// Of what all requests have in common. They share it, and it is never changed.
	messages, count                                               *url.URL
	apiKey, version, contentType, acceptStream, acceptJSON, agent []string
	betas                                                         []string // that the configuration names
}

var (
	_ upstream.Provider     = (*Provider)(nil)
	_ upstream.TokenCounter = (*Provider)(nil)
	_ upstream.Bounded      = (*Provider)(nil)
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
	if c.BaseURL == "" {
		c.BaseURL = "https://api.anthropic.com"
	}
	u, err := client.BaseURL(c.BaseURL)
	switch {
	case err != nil:
		return nil, err
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1"):
		return nil, errors.New("base_url ends in /v1, which is added to it")
	case strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the API key has a space or another character that no key has")
	}
	if c.MaxAnswerBytes == 0 {
		c.MaxAnswerBytes = 64 << 20
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Client = c.Client.Secret(c.APIKey)
	p := &Provider{
		cfg:          c,
		messages:     u.JoinPath("v1/messages"),
		count:        u.JoinPath("v1/messages/count_tokens"),
		version:      []string{apiVersion},
		contentType:  []string{"application/json"},
		acceptStream: []string{"text/event-stream"},
		acceptJSON:   []string{"application/json"},
		agent:        []string{"outcrop"},
	}
	if c.APIKey != "" {
		p.apiKey = []string{c.APIKey}
	}
	// The request's own betas are not replaced by those of the configuration: both are sent.
	c.Client.Header = c.Client.Header.Clone()
	for name, values := range c.Client.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Anthropic-Beta":
			p.betas = values
			delete(c.Client.Header, name)
		case "X-Api-Key":
			return nil, fmt.Errorf("headers: %s: a key belongs into api_key_env or api_key_file", name)
		}
	}
	if p.client, err = client.New(c.Client); err != nil {
		return nil, err
	}
	if p.transport, err = p.client.Transport(u); err != nil {
		return nil, err
	}
	p.between = p.client.Config().BetweenTokens
	return p, nil
}

// Speaks implements upstream.Speaker.
func (p *Provider) Speaks(n *upstream.Native) bool { return n.Format == format && n.Service() == "" }

// Close closes the connections that wait for reuse.
func (p *Provider) Close() error { return p.client.Close() }

// Full implements upstream.Bounded.
func (p *Provider) Full() bool { return p.client.Full() }

// exchange is one request under way.
type exchange struct {
	p       *Provider
	ctx     context.Context
	body    http1.Body
	req     *upstream.Request
	native  bool   // the answer is passed on as it comes
	started bool   // something of the answer was handed on
	held    []byte // message_start, until the event behind it has come
	dec     dialect.Decoder
}

// format is the Native.Format of a Messages body.
const format = "anthropic"

func native(r *upstream.Request) bool {
	return r.Native != nil && r.Native.Format == format && r.Native.Service() == ""
}

// untranslated refuses a body that there is no translation of.
func (p *Provider) untranslated() error {
	return fault.New(fault.Validation, "The model doesn't support a request of this format: upstream %q speaks Anthropic's Messages.", p.cfg.Name)
}

// Send implements upstream.Provider. Without r.Stream the whole answer has arrived when it returns.
func (p *Provider) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	x := &exchange{p: p, ctx: ctx, req: r, native: native(r)}
	var body []byte
	var betas []string
	var err error
	if !p.cfg.Stored {
		err = r.Stored(x.native, p.cfg.Name)
	}
	switch {
	case err != nil:
	case x.native:
		body, betas, err = dialect.AppendNative(make([]byte, 0, len(r.Native.Body)+128), r.Native.Body, r.Model, r.Stream)
	case r.Body == nil:
		err = p.untranslated()
	default:
		x.dec.Fields.Paths = r.Body.AdditionalModelResponseFieldPaths
		body, betas, err = dialect.AppendMessages(make([]byte, 0, dialect.EstimateSize(r.Body)), r.Body, r.Model, r.Stream, p.cfg.Name)
	}
	if err != nil {
		return nil, err
	}
	resp, err := p.transport.RoundTrip(p.request(ctx, p.messages, r, body, betas, r.Stream))
	if err != nil {
		return nil, upstream.Unreachable(ctx, p.cfg.Name, err)
	}
	x.body = resp.Body.(http1.Body)
	contentType := resp.Header.Get("Content-Type")
	if resp.StatusCode == http.StatusOK && r.Stream && strings.HasPrefix(contentType, "text/event-stream") {
		return x.stream, nil
	}
	defer x.body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, p.refused(resp)
	}
	x.native = x.native && !r.Stream // a whole answer is no event of a stream
	return x.whole(contentType)
}

// CountTokens implements upstream.TokenCounter. It costs nothing, and runs no model.
func (p *Provider) CountTokens(ctx context.Context, r *upstream.Request) (int64, error) {
	var body []byte
	var betas []string
	var err error
	if !p.cfg.Stored {
		err = r.Stored(native(r), p.cfg.Name)
	}
	switch {
	case err != nil:
	case native(r):
		body, betas, err = dialect.AppendNativeCount(make([]byte, 0, len(r.Native.Body)+128), r.Native.Body, r.Model)
	case r.Body == nil:
		err = p.untranslated()
	default:
		body, betas, err = dialect.AppendCountTokens(make([]byte, 0, dialect.EstimateSize(r.Body)), r.Body, r.Model, p.cfg.Name)
	}
	if err != nil {
		return 0, err
	}
	x := &exchange{p: p, ctx: ctx, req: r}
	resp, err := p.transport.RoundTrip(p.request(ctx, p.count, r, body, betas, false))
	if err != nil {
		return 0, upstream.Unreachable(ctx, p.cfg.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, p.refused(resp)
	}
	if upstream.EstimatedCount(resp.Header) {
		return 0, upstream.ErrEstimate
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return 0, x.failed(err)
	}
	n, err := dialect.ParseCount(b)
	if err != nil {
		return 0, x.failed(err)
	}
	return n, nil
}

// request makes the HTTP request to u.
func (p *Provider) request(ctx context.Context, u *url.URL, r *upstream.Request, body []byte, betas []string, stream bool) *http.Request {
	h := make(http.Header, 8)
	h["Content-Type"] = p.contentType
	h["User-Agent"] = p.agent
	h["Anthropic-Version"] = p.version
	if stream {
		h["Accept"] = p.acceptStream
	} else {
		h["Accept"] = p.acceptJSON
	}
	if p.apiKey != nil {
		h["X-Api-Key"] = p.apiKey
	}
	if native(r) {
		if v := r.Native.Header["Anthropic-Beta"]; v != "" {
			betas = append(betas, v) // a list too
		}
	}
	betas = append(betas, p.betas...)
	if len(betas) > 0 {
		h["Anthropic-Beta"] = []string{strings.Join(betas, ",")}
	}
	if r.ID != "" {
		h["X-Request-Id"] = []string{r.ID}
	}
	return p.client.Post(ctx, u, h, body)
}

// refused turns an answer that is not 200 into its fault.
func (p *Provider) refused(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came of it is enough
	return p.classify(dialect.ParseError(b), resp.StatusCode, upstream.RetryAfter(resp.Header, p.cfg.Clock()))
}

func (p *Provider) classify(e *dialect.Error, status int, retryAfter time.Duration) *fault.Error {
	hide := p.cfg.Client.Hide
	return upstream.Classify(&upstream.Refusal{Upstream: p.cfg.Name, Status: status, Type: hide(e.Type), Message: hide(e.Message), RetryAfter: retryAfter})
}

// failed returns the fault of an answer that broke off or that cannot be read.
func (x *exchange) failed(err error) error {
	name := x.p.cfg.Name
	var e *dialect.Error
	var f *fault.Error
	switch {
	case errors.As(err, &e):
		f = x.p.classify(e, 0, 0)
	case errors.Is(err, dialect.ErrMalformed), errors.Is(err, sse.ErrTooLong):
		f = upstream.Unreadable(name, x.p.cfg.Client.HideIn(err))
	default:
		return upstream.Broken(x.ctx, name, x.started, err)
	}
	if x.started {
		return upstream.InStream(f)
	}
	return f
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// whole reads an answer that is not streamed.
func (x *exchange) whole(contentType string) (converse.Stream, error) {
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
		return nil, x.failed(sse.ErrTooLong)
	}
	if x.native {
		return x.wholeNative(bytes.Clone(buf.Bytes()), contentType)
	}
	events, err := x.dec.Append(make([]converse.Event, 0, 6), buf.Bytes())
	if err == nil && !x.dec.Started() && !x.dec.Finished() {
		err = errNothing
	}
	if err != nil {
		return nil, x.failed(err)
	}
	return converse.Sequence(x.dec.Finish(events, x.req.EstimateInputTokens)), nil
}

// wholeNative is the stream of an answer that is passed on in one piece.
func (x *exchange) wholeNative(body []byte, contentType string) (converse.Stream, error) {
	typ, err := x.dec.Meter(body)
	if err == nil && typ != "message" {
		err = errNothing
	}
	if err != nil {
		return nil, x.failed(err)
	}
	last := x.req.Metadata(&x.dec)
	return converse.Sequence([]converse.Event{
		{Kind: converse.Chunk, Native: body, Name: contentType, StopReason: x.dec.StopReason(), Usage: last.Usage}, last,
	}), nil
}

// told is the event beside the error that ends a stream: the usage, if the server had told it by then.
func (x *exchange) told() converse.Event {
	if x.dec.Finished() {
		if e := x.req.Metadata(&x.dec); !e.Estimated {
			return e
		}
	}
	return converse.Event{}
}

var errNothing = fmt.Errorf("%w: it holds no message", dialect.ErrMalformed)

// stream is the converse.Stream of a streamed answer. What one read brings is decoded as a whole before its first event
// is handed on, so that More is exact: a writer that holds its flush back for another event never waits for the server.
func (x *exchange) stream(yield func(converse.Event, error) bool) {
	defer x.body.Close()
	in := sse.NewReader(x.body, x.p.cfg.MaxAnswerBytes)
	defer in.Release()
	step := x.translate
	if x.native {
		step = x.forward
	}
	events := make([]converse.Event, 0, 16)
	for {
		var err error
		events = events[:0]
		for len(events) < maxBatch && err == nil && !x.dec.Ended() {
			data, ok := in.Next()
			if !ok {
				break
			}
			events, err = step(events, data)
		}
		done := x.dec.Ended()
		if err == nil && !done && len(events) == 0 {
			if err = in.Fill(); err == io.EOF && x.dec.Finished() {
				done = true // a server that says no message_stop
				events, err = step(events, nil)
			} else if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if len(events) > 0 {
			x.body.SetReadTimeout(x.p.between) // the first token is there
		}
		for i := range events {
			events[i].More = i+1 < len(events)
			x.started = true
			if !yield(events[i], nil) {
				return
			}
		}
		if err != nil {
			yield(x.told(), x.failed(err))
			return
		}
		if done {
			x.body.SetReadTimeout(drainTime)
			in.Drain() // to the end of the body, so that its connection can be used again
			return
		}
	}
}

// translate appends what an event of the server's, or with nil the end of its stream, makes for the caller.
func (x *exchange) translate(events []converse.Event, data []byte) ([]converse.Event, error) {
	if data != nil {
		var err error
		if events, err = x.dec.Append(events, data); err != nil || !x.dec.Ended() {
			return events, err
		}
	}
	if !x.dec.Started() && !x.dec.Finished() {
		return events, errNothing
	}
	return x.dec.Finish(events, x.req.EstimateInputTokens), nil
}

// forward is translate for an answer that is passed on as it comes. message_start waits for the event behind it: Anthropic
// tells that it is overloaded after it too, and then another server may be asked.
func (x *exchange) forward(events []converse.Event, data []byte) ([]converse.Event, error) {
	var e converse.Event
	if data != nil {
		typ, err := x.dec.Meter(data)
		if err != nil {
			return events, err
		}
		if typ == "message_start" {
			x.held = bytes.Clone(data)
			return events, nil
		}
		e.Native, e.Name = data, typ
	}
	if x.held != nil {
		events = append(events, converse.Event{Kind: converse.Chunk, Native: x.held, Name: "message_start"})
		x.held = nil
	}
	switch {
	case data != nil && !x.dec.Ended():
		e.Kind = converse.Chunk
		e.StopReason = x.dec.StopReason()
		e.Usage, _ = x.dec.Usage(func() int64 { return 0 }) // not worth an estimate yet
	case !x.dec.Finished() && !x.started && len(events) == 0:
		return events, errNothing
	default:
		last := x.req.Metadata(&x.dec)
		last.Native, last.Name = e.Native, e.Name
		e = last
	}
	return append(events, e), nil
}
