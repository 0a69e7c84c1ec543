package openai

import (
	"context"
	"fmt"
	"net/http"

	"outcrop/converse"
	dialect "outcrop/dialect/openai"
	"outcrop/upstream"
	"outcrop/upstream/http1"
)

// Embed implements upstream.Embedder, with POST /embeddings.
func (p *Provider) Embed(ctx context.Context, r *upstream.Request) (*converse.Embeddings, error) {
	body, err := dialect.AppendEmbeddingRequest(nil, r.Embedding, r.Model, p.cfg.Name)
	if err != nil {
		return nil, err
	}
	resp, err := p.transport.RoundTrip(p.request(ctx, p.embeddings, r, body))
	if err != nil {
		return nil, upstream.Unreachable(ctx, p.cfg.Name, err)
	}
	x := &exchange{p: p, ctx: ctx, req: r, body: resp.Body.(http1.Body)}
	defer x.body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, p.refused(resp)
	}
	buf, err := x.read()
	if err != nil {
		return nil, err
	}
	defer recycle(buf)
	out, err := dialect.ParseEmbeddings(buf.Bytes())
	if err == nil && len(out.Float) != len(r.Embedding.Inputs) {
		err = fmt.Errorf("%w: %d embeddings of %d inputs", dialect.ErrMalformed, len(out.Float), len(r.Embedding.Inputs))
	}
	if err != nil {
		return nil, x.failed(err)
	}
	return out, nil
}
