// Package simulated is a model that is not there: a product feature for offline work, demonstrations and CI.
//
// Its answers are deterministic for a request and a seed, relate to the prompt, and honour what a real model would:
// maxTokens, stop sequences, tool choice (with inputs that satisfy the tool's JSON Schema) and JSON Schema output. Tokens
// are counted with the same estimate that stands in for real models when they do not tell. Latency and faults can be
// set; they are drawn anew for every call, so that a share of 0.1 is one call in ten also when all calls are alike.
package simulated

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
)

// Config is how a simulated upstream behaves. The zero value answers at once and never fails.
type Config struct {
	Name    string // the upstream's name in refusals
	Seed    int64
	Latency Latency
	Faults  Faults
	Cache   Cache
	Clock   func() time.Time // of the cache; nil is time.Now
}

// Latency is how long the model takes.
type Latency struct {
	FirstToken Distribution // from the request to the first token
	PerToken   Distribution // between two tokens
}

// Distribution is a distribution of waits; a draw below zero is no wait.
type Distribution struct {
	Kind   string        // "fixed" (the default), "normal" or "lognormal"
	Value  time.Duration // the mean; of a lognormal, the median
	StdDev time.Duration // of a normal
	Sigma  float64       // of a lognormal: the standard deviation of the logarithm
}

// Faults are the shares of calls, 0 to 1 each and in sum, that go wrong.
type Faults struct {
	Throttle float64 // refused: Throttled
	Error    float64 // refused: ModelError, as a server answers 500
	Timeout  float64 // not answered until the caller gives up
	Reset    float64 // the connection breaks before the first event: Unavailable
	Cut      float64 // the answer breaks after its first events: ModelStream
}

// Provider is a simulated upstream.
type Provider struct {
	cfg   Config
	calls atomic.Uint64 // numbers the calls: latency and faults are drawn from it
	cache *prefixes
}

// New makes a Provider.
func New(cfg Config) (*Provider, error) {
	f := cfg.Faults
	for _, share := range []float64{f.Throttle, f.Error, f.Timeout, f.Reset, f.Cut} {
		if !(share >= 0 && share <= 1) {
			return nil, fmt.Errorf("simulated: %v is not a share from 0 to 1", share)
		}
	}
	if sum := f.Throttle + f.Error + f.Timeout + f.Reset + f.Cut; sum > 1 {
		return nil, fmt.Errorf("simulated: the shares of faults add up to %v", sum)
	}
	for _, d := range []Distribution{cfg.Latency.FirstToken, cfg.Latency.PerToken} {
		switch d.Kind {
		case "", "fixed", "normal", "lognormal":
		default:
			return nil, fmt.Errorf("simulated: %q is no distribution", d.Kind)
		}
		if d.Value < 0 || d.StdDev < 0 || !(d.Sigma >= 0) {
			return nil, fmt.Errorf("simulated: a wait cannot be negative")
		}
	}
	if cfg.Cache.TTL < 0 || cfg.Cache.MinTokens < 0 {
		return nil, fmt.Errorf("simulated: a cache cannot have less than nothing")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Provider{cfg: cfg, cache: newPrefixes(cfg.Cache, cfg.Clock)}, nil
}

// Close does nothing: there is no connection.
func (p *Provider) Close() error { return nil }

// Send implements upstream.Provider.
func (p *Provider) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	if err := p.expressible(r.Body); err != nil {
		return nil, err
	}
	draw := rand.New(rand.NewPCG(uint64(p.cfg.Seed), p.calls.Add(1)))
	f, at := p.cfg.Faults, draw.Float64()
	within := func(share float64) bool {
		hit := at < share
		at -= share
		return hit
	}
	switch {
	case within(f.Throttle):
		return nil, fault.New(fault.Throttled, "Too many requests, please wait before trying again.")
	case within(f.Error):
		return nil, &fault.Error{Kind: fault.ModelError, Message: "The simulated model failed, as it was told to.", OriginalStatus: 500}
	case within(f.Timeout):
		<-ctx.Done()
		return nil, fault.Wrap(ctx.Err(), fault.ModelTimeout, "The simulated model did not answer, as it was told.")
	case within(f.Reset):
		return nil, &fault.Error{Kind: fault.Unavailable, Message: "The connection to the simulated model broke, as it was told to.", Unanswered: true}
	}
	cut := within(f.Cut)
	a := compose(r.Body, r.ModelID, p.seed(r))
	a.usage = p.cache.use(r.Body, r.ModelID)
	a.usage.OutputTokens = int64(a.tokens)
	return p.stream(ctx, r, a, cut, draw), nil
}

// seed is what an answer depends on: the request and the configured seed, not the call.
func (p *Provider) seed(r *upstream.Request) uint64 {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(p.cfg.Seed))
	h.Write(b[:])
	h.Write([]byte(r.ModelID))
	// Marshalling sorts the keys of maps: the same request is the same bytes.
	if err := json.MarshalWrite(h, r.Body, json.Deterministic(true)); err != nil {
		return uint64(p.cfg.Seed) // half a request is still a seed
	}
	return h.Sum64()
}

// stream yields a in tokens, at the configured pace. Without r.Stream it waits as long and yields each block whole.
func (p *Provider) stream(ctx context.Context, r *upstream.Request, a *answer, cut bool, draw *rand.Rand) converse.Stream {
	return func(yield func(converse.Event, error) bool) {
		timer := time.NewTimer(time.Hour)
		defer timer.Stop()
		wait := func(d time.Duration) bool {
			if d <= 0 {
				return ctx.Err() == nil
			}
			timer.Reset(d)
			select {
			case <-timer.C:
				return true
			case <-ctx.Done():
				return false
			}
		}
		gone := func() {
			yield(converse.Event{}, fault.Wrap(ctx.Err(), fault.ModelTimeout, "The simulated model's answer was cut short by its caller."))
		}
		pace := p.cfg.Latency
		paced := pace.PerToken != Distribution{}
		if !wait(pace.FirstToken.draw(draw)) {
			gone()
			return
		}
		if !yield(converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant, More: !paced}, nil) {
			return
		}
		sent := 0
		for i := range a.blocks {
			b := &a.blocks[i]
			if b.tool != "" && !yield(converse.Event{Kind: converse.BlockStart, Index: i, ToolUseID: b.id, ToolName: b.tool, More: !paced}, nil) {
				return
			}
			kind := converse.TextDelta
			if b.tool != "" {
				kind = converse.ToolInputDelta
			}
			for rest := b.text; rest != ""; {
				n := converse.TokenLen(rest)
				if sent > 0 && !wait(pace.PerToken.draw(draw)) {
					gone()
					return
				}
				sent++
				if cut && sent > 1 && sent > a.tokens/2 {
					yield(converse.Event{}, &fault.Error{Kind: fault.ModelStream, Message: "The simulated model's answer was cut, as it was told to be.", OriginalMessage: "cut"})
					return
				}
				if !r.Stream {
					rest = rest[n:]
					continue
				}
				if !yield(converse.Event{Kind: converse.BlockDelta, Delta: kind, Index: i, Text: rest[:n], More: !paced}, nil) {
					return
				}
				rest = rest[n:]
			}
			if !r.Stream && b.text != "" && !yield(converse.Event{Kind: converse.BlockDelta, Delta: kind, Index: i, Text: b.text, More: true}, nil) {
				return
			}
			if !yield(converse.Event{Kind: converse.BlockStop, Index: i, More: true}, nil) {
				return
			}
		}
		if cut { // an answer too short to break in the middle breaks before its end
			yield(converse.Event{}, &fault.Error{Kind: fault.ModelStream, Message: "The simulated model's answer was cut, as it was told to be.", OriginalMessage: "cut"})
			return
		}
		if !yield(converse.Event{Kind: converse.MessageStop, StopReason: a.stop, StopSequence: a.sequence, More: true}, nil) {
			return
		}
		yield(converse.Event{Kind: converse.Metadata, Usage: a.usage, Served: served(r.Body)}, nil)
	}
}

// served is as r asks for it: every tier and latency is simulated alike, at the configured pace.
func served(r *converse.Request) *converse.Served {
	if r.ServiceTier == nil && r.PerformanceConfig == nil {
		return nil
	}
	s := &converse.Served{}
	if r.ServiceTier != nil {
		s.Tier = r.ServiceTier.Type
	}
	if r.PerformanceConfig != nil {
		s.Latency = r.PerformanceConfig.Latency
	}
	return s
}

// draw draws one wait.
func (d Distribution) draw(r *rand.Rand) time.Duration {
	if d == (Distribution{}) {
		return 0
	}
	v := float64(d.Value)
	switch d.Kind {
	case "normal":
		v += r.NormFloat64() * float64(d.StdDev)
	case "lognormal":
		v *= math.Exp(r.NormFloat64() * d.Sigma)
	}
	return time.Duration(min(v, float64(time.Hour))) // a wait beyond an hour is a timeout by another name
}

// expressible refuses what the simulation does not read: nothing is dropped in silence.
func (p *Provider) expressible(r *converse.Request) error {
	refuse := func(format string, args ...any) error {
		return fault.New(fault.Validation, "The model doesn't support %s: upstream %q is a simulation, which does not read it. Remove it and try again.", fmt.Sprintf(format, args...), p.cfg.Name)
	}
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			b := &r.Messages[i].Content[j]
			field := ""
			switch {
			case b.Document != nil:
				field = "document"
			case b.Video != nil:
				field = "video"
			case b.Audio != nil:
				field = "audio"
			case b.GuardContent != nil:
				field = "guardContent"
			case b.CitationsContent != nil:
				field = "citationsContent"
			case b.SearchResult != nil:
				field = "searchResult"
			case b.Image != nil && b.Image.Source.S3Location != nil:
				field = "image.source.s3Location"
			case b.Image != nil && b.Image.Error != nil:
				field = "image.error"
			case b.ToolResult != nil:
				for k := range b.ToolResult.Content {
					switch c := &b.ToolResult.Content[k]; {
					case c.Document != nil:
						field = "document"
					case c.Video != nil:
						field = "video"
					case c.SearchResult != nil:
						field = "searchResult"
					case c.Image != nil && c.Image.Source.S3Location != nil:
						field = "image.source.s3Location"
					case c.Image != nil && c.Image.Error != nil:
						field = "image.error"
					}
					if field != "" {
						return refuse("messages.%d.content.%d.toolResult.content.%d.%s", i, j, k, field)
					}
				}
			}
			if field != "" {
				return refuse("messages.%d.content.%d.%s", i, j, field)
			}
		}
	}
	for i := range r.System {
		if r.System[i].GuardContent != nil {
			return refuse("system.%d.guardContent", i)
		}
	}
	if r.GuardrailConfig != nil {
		return refuse("guardrailConfig")
	}
	if r.PromptVariables != nil {
		return refuse("promptVariables")
	}
	if o := r.OutputConfig; o != nil && o.TextFormat != nil && o.TextFormat.Structure.JSONSchema != nil {
		if _, err := o.TextFormat.Structure.JSONSchema.Object(); err != nil {
			return err
		}
	}
	if len(r.AdditionalModelRequestFields) > 0 {
		// Sampling parameters and the like change nothing here; tools that a vendor defines, and answers beyond the first,
		// would be missed.
		field := ""
		err := converse.EachMember(r.AdditionalModelRequestFields, func(name string, v jsontext.Value) error {
			switch name {
			case "tools":
				field = name
			case "n", "num_generations", "numResults":
				if string(v) != "1" && v.Kind() != 'n' {
					field = name
				}
			}
			return nil
		})
		if err != nil {
			return fault.New(fault.Validation, "additionalModelRequestFields is not a JSON object.")
		}
		if field != "" {
			return refuse("additionalModelRequestFields.%s", field)
		}
	}
	if r.ToolConfig != nil {
		for i := range r.ToolConfig.Tools {
			if r.ToolConfig.Tools[i].SystemTool != nil {
				return refuse("toolConfig.tools.%d.systemTool", i)
			}
		}
	}
	return nil
}
