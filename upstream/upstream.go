// Package upstream is the seam to what answers: Provider, implemented by upstream/openai, upstream/simulated and, in
// time, every vendor. A provider translates with a dialect, speaks its vendor's protocol and nothing else: which
// upstream is called, how often and at what price is decided in invoke.
package upstream

import (
	"context"

	"outcrop/converse"
)

// Request is one attempt at one upstream.
type Request struct {
	ID      string            // the call's request id, for the upstream's logs
	Model   string            // the upstream's own name of the model
	ModelID string            // the Bedrock id of the model
	Region  string            // the Region that this attempt counts as served in
	Stream  bool              // the caller wants events as they are made; else one whole answer is cheaper
	Body    *converse.Request // never changed by a provider: a later attempt sends it again
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

// Upstream is a configured provider: where it counts as being and what it serves.
type Upstream struct {
	Name     string
	Provider Provider
	Regions  map[string]bool   // the Regions it serves; nil is all
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
