package invoke

import (
	"context"

	"outcrop/converse"
	"outcrop/upstream"
)

// embed asks p for embeddings, puts them into to, and gives the outcome the shape of a stream, so that it is settled like
// every other call. Whoever is no Embedder may still speak the caller's own format.
func embed(ctx context.Context, p upstream.Provider, req *upstream.Request, to **converse.Embeddings) (converse.Stream, error) {
	e, ok := p.(upstream.Embedder)
	if !ok || speaks(p, req.Native) {
		return p.Send(ctx, req)
	}
	vectors, err := e.Embed(ctx, req)
	if err != nil {
		return nil, err
	}
	if vectors.Estimated && vectors.Usage == (converse.Usage{}) {
		vectors.Usage.InputTokens = req.Embedding.EstimateInputTokens()
	}
	if req.Native != nil {
		vectors.Usage.Units = req.Native.Units
	}
	*to = vectors
	return func(yield func(converse.Event, error) bool) {
		_ = yield(converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant}, nil) &&
			yield(converse.Event{Kind: converse.Metadata, Usage: vectors.Usage, Estimated: vectors.Estimated}, nil)
	}, nil
}

// inputTokens is a quick estimate of the input, for the intent.
func (c *Call) inputTokens() int64 {
	if c.Body != nil {
		return c.Body.Size().InputTokens()
	}
	return c.estimateInputTokens()
}

// estimateInputTokens is what the input counts as when nobody tells.
func (c *Call) estimateInputTokens() int64 {
	switch {
	case c.Body != nil:
		return c.Body.EstimateInputTokens()
	case c.Embedding != nil:
		return c.Embedding.EstimateInputTokens()
	case c.Native != nil:
		return converse.EstimateBodyTokens(c.Native.Body)
	}
	return 0
}
