package bedrock

import (
	"context"
	"fmt"
	"net/http"

	"outcrop/converse"
	"outcrop/dialect/cohere"
	"outcrop/dialect/titan"
	"outcrop/fault"
	"outcrop/upstream"
)

// Embed implements upstream.Embedder, with InvokeModel in the format of Titan's or Cohere's embedding models. Other models
// are refused with fault.Validation.
func (p *Provider) Embed(ctx context.Context, r *upstream.Request) (*converse.Embeddings, error) {
	x := &exchange{p: p, ctx: ctx, req: r, region: r.Region}
	if err := x.address(); err != nil {
		return nil, err
	}
	model := x.ask.model
	if family(model) == "" {
		model = r.ModelID
	}
	var appendRequest func([]byte, *converse.EmbeddingRequest, string, string) ([]byte, error)
	var parse func([]byte) (*converse.Embeddings, error)
	switch family(model) {
	case "amazon.titan":
		appendRequest, parse = titan.AppendEmbeddingRequest, titan.ParseEmbeddings
	case "cohere.embed":
		appendRequest, parse = cohere.AppendEmbeddingRequest, cohere.ParseEmbeddings
	default:
		return nil, fault.New(fault.Validation, "The upstream %s makes embeddings with models of Amazon Titan and Cohere Embed only, not with %s.", p.cfg.Name, r.ModelID)
	}
	var err error
	if x.ask.body, err = appendRequest(nil, r.Embedding, model, p.cfg.Name); err != nil {
		return nil, err
	}
	x.ask.suffix, x.ask.contentType = "invoke", "application/json"
	resp, err := x.roundTrip()
	if err != nil {
		return nil, err
	}
	defer x.body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, x.refused(resp)
	}
	b, err := x.read()
	if err != nil {
		return nil, err
	}
	out, err := parse(b)
	if err != nil {
		if fault.From(err).Kind == fault.Internal {
			err = fmt.Errorf("%w: %w", errMalformed, err)
		}
		return nil, x.failed(err, false)
	}
	var t tally
	if t.header(resp.Header); t.told {
		out.Usage, out.Estimated = t.Usage, false
	}
	return out, nil
}
