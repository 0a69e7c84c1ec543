// Package upstream is the seam to what answers: Provider, implemented by upstream/openai, upstream/simulated and, in
// time, every vendor. A provider translates with a dialect, speaks its vendor's protocol and nothing else: which
// upstream is called, how often and at what price is decided in invoke.
package upstream

import (
	"context"
	"errors"
	"net/http"
	"time"

	"outcrop/converse"
)

// Request is one attempt at one upstream.
type Request struct {
	ID      string            // the call's request id, for the upstream's logs
	Model   string            // the upstream's own name of the model
	ModelID string            // the Bedrock id of the model
	Region  string            // the Region that this attempt counts as served in
	Stream  bool              // the caller wants events as they are made; else one whole answer is cheaper
	Body    *converse.Request // never changed by a provider: a later attempt sends it again; nil where only Native says what is asked

	Profile     string // ARN of the application profile that the call came through, "" where it named none
	ProfileName string // its name

	// Embedding is what an Embedder is asked for.
	Embedding *converse.EmbeddingRequest

	// Unread says why Native has no Body beside it: what of it could not be read, or has no place in Converse.
	Unread error

	Native *Native // the caller's own body, nil where it has no format with a name; never changed either
}

// EstimateInputTokens returns about how many tokens the input is, for a server that does not tell it. There is Body or
// Native.
func (r *Request) EstimateInputTokens() int64 {
	if r.Body != nil {
		return r.Body.EstimateInputTokens()
	}
	return converse.EstimateBodyTokens(r.Native.Body)
}

// Native is a request in the caller's own format. A provider whose upstream speaks that format sends it as it is and
// yields the answer in converse.Chunk events; any other translates Request.Body, and refuses with fault.Validation where
// there is none.
type Native struct {
	Format      string            // "converse", "anthropic", "openai-chat", "nova", ...; "" is one that nobody here reads
	Operation   string            // the operation of its API: "Converse", "InvokeModelWithResponseStream", ...
	Body        []byte            // as it came
	ContentType string            // of Body, "" where the caller told none
	Accept      string            // what the caller wants the answer to be, likewise
	Header      map[string]string // what else the caller told in headers, by canonical name

	// Units is what Body asks for beyond tokens, where it can be told without translating it; a guess where UnitsGuessed.
	Units        converse.Units
	UnitsGuessed bool
}

// Service names a header by which the caller asks for a class of service or a guardrail, "" where none does. The body does
// not say it: a provider that sends the body alone would lose it, and takes Request.Body instead.
func (n *Native) Service() string {
	for _, h := range [...]struct{ name, nothing string }{
		{"X-Amzn-Bedrock-Service-Tier", "default"}, {"X-Amzn-Bedrock-Performanceconfig-Latency", "standard"},
		{"X-Amzn-Bedrock-Guardrailidentifier", ""}, {"X-Amzn-Bedrock-Guardrailversion", ""},
	} {
		if v := n.Header[h.name]; v != "" && v != h.nothing {
			return h.name
		}
	}
	return ""
}

// Provider sends requests to one upstream. It is safe for concurrent use.
type Provider interface {
	// Send sends r and returns once the upstream has accepted it (its HTTP status is known), or with an error of a
	// fault.Kind that says whether another target may do better (Kind.Retryable).
	//
	// The stream's usage is normalised (see converse.Usage). When the upstream ends without telling it, the provider
	// yields its best estimate with Event.Estimated set: usage is never left out. A stream that breaks yields a
	// ModelStream error, or a more exact kind, and ends. The body, the connection and every goroutine belong to the
	// stream and are released when it ends or its consumer stops; ctx ends it too.
	//
	// An error names what an upstream cannot express (fault.Validation, with the field and the upstream's name):
	// nothing is dropped in silence.
	Send(ctx context.Context, r *Request) (converse.Stream, error)

	// Close releases idle connections. It is called once, after the last Send has ended.
	Close() error
}

// Speaker is implemented by a Provider that passes bodies of some formats on as they are.
type Speaker interface {
	// Speaks reports whether Send passes n on as it is, so that its Request needs no Body.
	Speaks(n *Native) bool
}

// Embedder is implemented by a Provider whose upstream makes embeddings.
type Embedder interface {
	// Embed answers r.Embedding, or refuses as Send does. Usage that the upstream did not tell is 0 and Estimated.
	Embed(ctx context.Context, r *Request) (*converse.Embeddings, error)
}

// Bounded is implemented by a Provider that has only so many requests under way at once.
type Bounded interface {
	// Full reports whether a request that is sent now waits until another has ended. One that waits in vain fails with
	// ErrFull.
	Full() bool
}

// TokenCounter is implemented by a Provider whose upstream counts tokens without charge.
type TokenCounter interface {
	// CountTokens returns how many input tokens r.Body, or r.Native, has, by the upstream's own count. Where the upstream
	// has no count but an estimate, which another Outcrop says, the error is ErrEstimate.
	CountTokens(ctx context.Context, r *Request) (int64, error)
}

// ErrEstimate is a TokenCounter's error where its upstream estimates: whoever asks can do that himself.
var ErrEstimate = errors.New("the upstream has an estimate, and no count")

// EstimatedCount reports whether the headers of an answer say that the tokens in it were estimated. They are another
// Outcrop's.
func EstimatedCount(h http.Header) bool { return h.Get("X-Outcrop-Token-Count") == "estimate" }

// Upstream is a configured provider: where it counts as being and what it serves.
type Upstream struct {
	Name     string
	Provider Provider
	Regions  map[string]bool   // the Regions it serves; nil is all
	Drain    *time.Duration    // how long it is read on for its usage after its caller has gone; 0 cuts it at once, nil is the Invoker's
	Regional bool              // it is a server of its own in every Region; else one server, whatever Region it stands for
	Weight   float64           // its share among its like where routing is by weights; 0 is 1
	Standby  bool              // it is asked only when no other answers
	Models   map[string]string // Bedrock model id -> the upstream's own name; key "*" serves every model, value "*" keeps the id; nil serves every model under its id
}

// Serves returns the upstream's own name of modelID when it serves that model in region.
func (u *Upstream) Serves(region, modelID string) (name string, ok bool) {
	if u.Regions != nil && !u.Regions[region] {
		return "", false
	}
	if u.Models == nil {
		return modelID, true
	}
	name, ok = u.Models[modelID]
	if !ok {
		name, ok = u.Models["*"]
	}
	if name == "*" {
		name = modelID
	}
	return name, ok
}
