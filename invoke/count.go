package invoke

import (
	"context"
	"errors"
	"slices"
	"time"

	"outcrop/fault"
	"outcrop/routing"
	"outcrop/upstream"
)

// Count is how many input tokens a request has.
type Count struct {
	InputTokens int64
	Exact       bool // an upstream has counted; else it is converse's estimate
}

// Method says how it was counted: exact or estimate.
func (n Count) Method() string {
	if n.Exact {
		return "exact"
	}
	return "estimate"
}

// How many upstreams are asked to count, and for how long each, before an estimate is the better answer. What a call's first
// token may take says nothing of a count, for which no model runs.
const (
	mostCounts = 3
	countTime  = 10 * time.Second
)

// CountTokens counts the input tokens of c, which is not sent to a model, costs nothing and leaves no entry. The first
// upstream that is well, serves the model and counts for it is asked, and when its count fails another. Where none counts,
// the answer is an estimate.
func (v *Invoker) CountTokens(ctx context.Context, c *Call) (Count, error) {
	c.Caller.Locate(c.ModelID)
	route, err := v.Profiles.Resolve(c.Caller.Account, c.Caller.Region, c.ModelID)
	if err != nil {
		return Count{}, v.unresolved(ctx, c, err)
	}
	if err := v.authorize(ctx, c, c.ID.String(), route, c.Tier); err != nil {
		return Count{}, err
	}
	uncounted := fault.New(fault.Validation, "The provided model doesn't support counting tokens.")
	if !slices.Contains(route.Model.OutputModalities, "TEXT") {
		return Count{}, uncounted
	}
	if c.Read != nil {
		if err := c.Read(route.Model); err != nil {
			return Count{}, err
		}
	}
	switch {
	case c.Body != nil:
	case c.Unread == nil, c.Native != nil && c.Native.Format == "": // a body that nobody here reads, such as a reranking's
		return Count{}, uncounted
	default:
		return Count{}, c.Unread
	}
	w, asked := v.way(route, c.Start), 0
	var refused *upstream.Upstream // has said that it cannot, and says so in every Region
	for _, s := range w.set.Plan(nil, v.Clock(), 0, false) {
		k := &w.candidates[s.Index]
		if s.Standing >= routing.IsDown || k.Upstream == refused || asked == mostCounts {
			continue
		}
		p, err := v.provider(route, k, c.ID.String())
		if err != nil {
			return Count{}, err
		}
		counter, ok := p.(upstream.TokenCounter)
		if !ok {
			continue
		}
		asked++
		bounded, cancel := context.WithTimeout(ctx, countTime)
		n, err := counter.CountTokens(bounded, &upstream.Request{
			ID: c.ID.String(), Model: k.model, ModelID: route.Model.ID, Region: k.region, Body: c.Body, Native: c.Native,
		})
		cancel()
		if err == nil {
			return Count{n, true}, nil
		}
		if ctx.Err() != nil {
			return Count{}, err
		}
		if errors.Is(err, upstream.ErrEstimate) {
			refused = k.Upstream
			continue
		}
		if !fault.From(err).Kind.Retryable() {
			refused = k.Upstream
		}
		v.Logger.Warn("an upstream could not count tokens", "request_id", c.ID.String(), "upstream", k.Name, "region", k.region, "error", err)
	}
	return Count{InputTokens: c.Body.EstimateInputTokens()}, nil
}
