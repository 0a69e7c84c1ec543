// Package openai is the upstream.Provider for servers that speak OpenAI's Chat Completions, or its Responses, and embeddings
// over HTTP/1.1: OpenAI itself, vLLM, SGLang, llama.cpp, Ollama and gateways to them.
//
// A request that came in the server's own format (Native.Format "openai-chat", or "openai-responses") goes out as it is, and its answer comes back
// as it is, in Chunk events. What is changed is the model's name, which is the caller's on his side, and in a stream the
// chunk with the usage, which is left out where he has not asked for it.
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
	API     API    // what it is asked by
	Stored  bool   // requests in its own terms may name what is stored there: files, vector stores, containers

	Client client.Config // how the server is reached

	MaxAnswerBytes int64 // of one answer, framing included; 0 is 64 MiB
	Clock          func() time.Time
}

// API is what a server is asked by.
type API uint8

// The APIs.
const (
	ChatCompletions API = iota
	Responses
)

// String returns what the API is called.
func (a API) String() string {
	if a == Responses {
		return "OpenAI's Responses"
	}
	return "OpenAI's Chat Completions"
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
	answers, embeddings                                             *url.URL
	authorization, contentType, acceptStream, acceptJSON, userAgent []string
}

var (
	_ upstream.Provider = (*Provider)(nil)
	_ upstream.Embedder = (*Provider)(nil)
	_ upstream.Speaker  = (*Provider)(nil)
	_ upstream.Bounded  = (*Provider)(nil)
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
	c.Client = c.Client.Secret(c.APIKey)
	p := &Provider{
		cfg:          c,
		answers:      u.JoinPath("chat/completions"),
		embeddings:   u.JoinPath("embeddings"),
		contentType:  []string{"application/json"},
		acceptStream: []string{"text/event-stream"},
		acceptJSON:   []string{"application/json"},
		userAgent:    []string{"outcrop"},
	}
	if c.API == Responses {
		p.answers = u.JoinPath("responses")
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

// Full implements upstream.Bounded.
func (p *Provider) Full() bool { return p.client.Full() }

// Speaks implements upstream.Speaker.
func (p *Provider) Speaks(n *upstream.Native) bool {
	format := "openai-chat"
	if p.cfg.API == Responses {
		format = "openai-responses"
	}
	return n.Format == format && n.Service() == ""
}

// decoder reads the answers of an API: it is one of the dialect's.
type decoder interface {
	Append(dst []converse.Event, data []byte) ([]converse.Event, error)
	Meter(data []byte) (dialect.Piece, error)
	Finish(dst []converse.Event, input func() int64) []converse.Event
	Usage(input func() int64) (u converse.Usage, estimated bool)
	Served() *converse.Served
	StopReason() string
	Started() bool
	Finished() bool
	Ended() bool
}

// exchange is one request under way.
type exchange struct {
	p       *Provider
	ctx     context.Context
	body    http1.Body
	req     *upstream.Request
	started bool // something of the answer was handed on
	dec     decoder

	// Of an answer that is passed on as it comes.
	native bool
	asked  bool    // the caller wants to see the usage of a stream
	begun  bool    // more than a greeting has come
	held   []chunk // that wait for what follows them
	chunks []byte  // the text of those of one batch
}

// chunk is an event of a stream as it is passed on, and its type where it has one.
type chunk struct {
	text []byte
	name string
}

// Send implements upstream.Provider. Without r.Stream the whole answer has arrived when it returns.
func (p *Provider) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	x := &exchange{p: p, ctx: ctx, req: r, native: r.Native != nil && p.Speaks(r.Native)}
	body, err := x.compose()
	if err != nil {
		return nil, err
	}
	resp, err := p.transport.RoundTrip(p.request(ctx, p.answers, r, body))
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
	x.native = x.native && !r.Stream // a whole answer is no chunk of a stream
	return x.whole(resp.Header.Get("Content-Type"))
}

// compose makes the body that is sent, and what reads the answer.
func (x *exchange) compose() (body []byte, err error) {
	p, r := x.p, x.req
	translated, native := dialect.AppendRequest, dialect.AppendNative
	tier := ""
	if r.Body == nil || r.Body.Tier() != "" {
		tier = "default" // a server that says nothing of tiers has passed the wish over, and is not paid as if it had not
	}
	if p.cfg.API == Responses {
		translated, native = dialect.AppendResponsesRequest, dialect.AppendNativeResponses
		d := new(dialect.ResponsesDecoder)
		d.Tier = tier
		if r.Body != nil {
			d.Fields.Paths = r.Body.AdditionalModelResponseFieldPaths
		}
		x.dec = d
	} else {
		d := &dialect.Decoder{Tier: tier}
		if r.Body != nil {
			if c := r.Body.InferenceConfig; c != nil {
				d.Stop = c.StopSequences
			}
			d.Fields.Paths = r.Body.AdditionalModelResponseFieldPaths
		}
		x.dec = d
	}
	if !p.cfg.Stored {
		if err := r.Stored(x.native, p.cfg.Name); err != nil {
			return nil, err
		}
	}
	switch {
	case x.native:
		body, x.asked, err = native(make([]byte, 0, len(r.Native.Body)+256), r.Native.Body, r.Model, r.Stream)
	case r.Body == nil:
		err = fault.New(fault.Validation, "The model doesn't support a request of this format: upstream %q speaks %v.", p.cfg.Name, p.cfg.API)
	default:
		body, err = translated(make([]byte, 0, dialect.EstimateSize(r.Body)), r.Body, r.Model, r.Stream, p.cfg.Name)
	}
	return body, err
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
	hide := p.cfg.Client.Hide
	return upstream.Classify(&upstream.Refusal{
		Upstream: p.cfg.Name, Status: e.Status, Type: hide(e.Type), Code: hide(e.Code), Message: hide(e.Message), RetryAfter: retryAfter,
	})
}

// failed returns the fault of an answer that broke off or that cannot be read.
func (x *exchange) failed(err error) error {
	name := x.p.cfg.Name
	var e *dialect.Error
	var f *fault.Error
	switch {
	case errors.As(err, &e):
		f = x.p.classify(e, 0)
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
func (x *exchange) whole(contentType string) (converse.Stream, error) {
	buf, err := x.read()
	if err != nil {
		return nil, err
	}
	defer recycle(buf)
	events := make([]converse.Event, 0, 6)
	var piece dialect.Piece
	if x.native {
		piece, err = x.dec.Meter(buf.Bytes())
	} else {
		events, err = x.dec.Append(events, buf.Bytes())
	}
	if err == nil && !x.dec.Started() && !x.dec.Finished() {
		err = errNothing
	}
	if err != nil {
		return nil, x.failed(err)
	}
	if x.native {
		last := x.req.Metadata(x.dec)
		events = append(events, converse.Event{
			Kind: converse.Chunk, Native: x.renamed(make([]byte, 0, buf.Len()+len(x.req.ModelID)), buf.Bytes(), piece), Name: contentType,
			StopReason: x.dec.StopReason(), Usage: last.Usage,
		}, last)
	} else {
		events = x.dec.Finish(events, x.req.EstimateInputTokens)
	}
	return converse.Sequence(events), nil
}

var errNothing = fmt.Errorf("%w: it holds no message", dialect.ErrMalformed)

// told is the event beside the error that ends a stream: the usage that the server had told by then, exact behind the answer's
// end. Some tell with every chunk what it has come to so far, or its input with the first: then that is known, and the rest
// estimated.
func (x *exchange) told() converse.Event {
	e := x.req.Metadata(x.dec)
	e.Estimated = e.Estimated || !x.dec.Finished()
	return e
}

// renamed appends data with the name of the model that the caller knows.
func (x *exchange) renamed(dst, data []byte, p dialect.Piece) []byte {
	if p.ModelEnd == 0 {
		return append(dst, data...)
	}
	dst = converse.AppendQuote(append(dst, data[:p.ModelAt]...), x.req.ModelID)
	return append(dst, data[p.ModelEnd:]...)
}

// translate appends what a chunk of the server's, or with nil the end of its stream, makes for the caller.
func (x *exchange) translate(events []converse.Event, data []byte) ([]converse.Event, error) {
	if data != nil {
		return x.dec.Append(events, data)
	}
	return x.dec.Finish(events, x.req.EstimateInputTokens), nil
}

// maxGreetings is how many chunks are held back until something of the answer comes.
const maxGreetings = 8

// forward is translate for an answer that is passed on as it comes. Chunks that only greet wait for the first piece: until
// then another server may be asked. A chunk behind the end of the text waits for the next, for the last one comes with the
// usage.
func (x *exchange) forward(events []converse.Event, data []byte) ([]converse.Event, error) {
	if data == nil {
		last := x.req.Metadata(x.dec)
		last.StopReason = x.dec.StopReason() // of which no chunk has told where the last one has waited
		if n := len(x.held); n > 0 {
			last.Native, last.Name = x.held[n-1].text, x.held[n-1].name
			x.held = x.held[:n-1]
		}
		return append(x.release(events), last), nil
	}
	piece, err := x.dec.Meter(data)
	if err != nil || piece.UsageAlone && !x.asked {
		return events, err
	}
	finished := x.dec.Finished()
	x.begun = x.begun || piece.Content || finished || len(x.held) == maxGreetings
	if x.begun {
		events = x.release(events)
	}
	if finished || !x.begun {
		x.held = append(x.held, chunk{x.renamed(nil, data, piece), piece.Type})
		return events, nil
	}
	start := len(x.chunks)
	x.chunks = x.renamed(x.chunks, data, piece)
	return append(events, x.chunk(x.chunks[start:len(x.chunks):len(x.chunks)], piece.Type)), nil
}

// chunk is the event of a chunk.
func (x *exchange) chunk(text []byte, name string) converse.Event {
	e := converse.Event{Kind: converse.Chunk, Native: text, Name: name, StopReason: x.dec.StopReason()}
	e.Usage, _ = x.dec.Usage(func() int64 { return 0 }) // not worth an estimate yet
	return e
}

// release appends the chunks that were held back.
func (x *exchange) release(events []converse.Event) []converse.Event {
	for _, c := range x.held {
		events = append(events, x.chunk(c.text, c.name))
	}
	x.held = x.held[:0]
	return events
}

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
	step := x.translate
	if x.native {
		step = x.forward
	}
	for {
		var err error
		done := false
		events, x.chunks = events[:0], x.chunks[:0]
		for len(events) < maxBatch && err == nil && !done {
			data, ok := in.Next()
			if !ok {
				break
			}
			if string(data) == "[DONE]" {
				done = true
				break
			}
			events, err = step(events, data)
			done = x.dec.Ended()
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
				events, err = step(events, nil)
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
