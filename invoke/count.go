package invoke

import (
	"context"
	"slices"

	"outcrop/fault"
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

// CountTokens counts the input tokens of c, which is not sent to a model, costs nothing and leaves no entry. The first
// upstream that serves the model and counts for it is asked; where none does, or its count fails, the answer is an
// estimate.
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
	if c.Body == nil {
		if c.Unread != nil {
			return Count{}, c.Unread
		}
		return Count{}, uncounted
	}
	w := v.way(route, c.Start)
	for i := range w.candidates {
		k := &w.candidates[i]
		p, err := v.provider(route, k, c.ID.String())
		if err != nil {
			return Count{}, err
		}
		counter, ok := p.(upstream.TokenCounter)
		if !ok {
			continue
		}
		n, err := counter.CountTokens(ctx, &upstream.Request{
			ID: c.ID.String(), Model: k.model, ModelID: route.Model.ID, Region: k.region, Body: c.Body, Native: c.Native,
		})
		if err == nil {
			return Count{n, true}, nil
		}
		if ctx.Err() != nil {
			return Count{}, err
		}
		v.Logger.Warn("an upstream could not count tokens", "request_id", c.ID.String(), "upstream", k.Name, "region", k.region, "error", err)
	}
	return Count{InputTokens: c.Body.EstimateInputTokens()}, nil
}
