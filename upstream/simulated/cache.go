package simulated

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
)

// Cache is how the simulated model caches prompts. A prefix ends at a cachePoint; what it has in common with one that
// was sent before is read from the cache, the rest of it is written. Tools come first, then the system prompt, then the
// turns, as with the models of Anthropic and Amazon.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
type Cache struct {
	TTL       time.Duration // from when a prefix was used last; 0 is 5 minutes. A cachePoint that asks for an hour has one
	MinTokens int64         // of the shortest prefix that is cached; 0 is 1,024
	Automatic bool          // prefixes end at every turn, too, as with servers that cache unasked; that they are written costs nothing
}

const (
	cacheTTL    = 5 * time.Minute
	cacheTokens = 1024
	longTTL     = "1h"
	maxPrefixes = 1 << 16 // remembered; the one that was not used for longest goes first
)

// prefixes is the cache: which prefixes were sent, not what was in them.
type prefixes struct {
	cfg   Cache
	clock func() time.Time
	seed  maphash.Seed

	mu   sync.Mutex
	byID map[uint64]*list.Element // of prefix
	used list.List                // the latest first
}

type prefix struct {
	id      uint64
	ttl     time.Duration
	expires time.Time
}

func newPrefixes(c Cache, clock func() time.Time) *prefixes {
	if c.TTL == 0 {
		c.TTL = cacheTTL
	}
	if c.MinTokens == 0 {
		c.MinTokens = cacheTokens
	}
	return &prefixes{cfg: c, clock: clock, seed: maphash.MakeSeed(), byID: map[uint64]*list.Element{}}
}

// boundary is the end of a part of a prompt: what stands before it may be a prefix.
type boundary struct {
	id     uint64
	tokens int64         // before it
	ttl    time.Duration // of a prefix that ends here; else 0
	asked  bool          // by a cachePoint
}

// boundaries cuts the prompt of r, for the model of that id. There are none where nothing asks for the cache.
func (p *prefixes) boundaries(r *converse.Request, model string) []boundary {
	var h maphash.Hash
	h.SetSeed(p.seed)
	h.WriteString(model)
	var all []boundary
	var tokens int64
	marked := p.cfg.Automatic
	add := func(part any, point *converse.CachePoint, prompt *converse.Request) {
		if point == nil {
			_ = json.MarshalWrite(&h, part, json.Deterministic(true)) // it was decoded from JSON
			tokens += prompt.EstimateInputTokens()
			all = append(all, boundary{id: h.Sum64(), tokens: tokens})
			return
		}
		marked = true
		if len(all) > 0 {
			b := &all[len(all)-1]
			b.asked = true
			if b.ttl = max(b.ttl, p.cfg.TTL); point.TTL == longTTL {
				b.ttl = time.Hour
			}
		}
	}
	if c := r.ToolConfig; c != nil {
		for i := range c.Tools {
			add(&c.Tools[i], c.Tools[i].CachePoint, &converse.Request{ToolConfig: &converse.ToolConfig{Tools: c.Tools[i : i+1]}})
		}
	}
	for i := range r.System {
		add(&r.System[i], r.System[i].CachePoint, &converse.Request{System: r.System[i : i+1]})
	}
	frame := (&converse.Request{Messages: make([]converse.Message, 1)}).EstimateInputTokens()
	for i := range r.Messages {
		m := &r.Messages[i]
		h.WriteString(m.Role)
		for j := range m.Content {
			part := m.Content[j : j+1]
			add(&part[0], part[0].CachePoint, &converse.Request{Messages: []converse.Message{{Content: part}}})
			if j > 0 && part[0].CachePoint == nil { // the frame of a turn counts once
				tokens -= frame
				all[len(all)-1].tokens = tokens
			}
		}
		if p.cfg.Automatic && len(all) > 0 {
			all[len(all)-1].ttl = max(all[len(all)-1].ttl, p.cfg.TTL)
		}
	}
	if !marked {
		return nil
	}
	return all
}

// use takes a prompt's input tokens apart into those that the cache has, those that go into it and the others.
func (p *prefixes) use(r *converse.Request, model string) converse.Usage {
	u := converse.Usage{InputTokens: r.EstimateInputTokens()}
	all := p.boundaries(r, model)
	for len(all) > 0 && (all[len(all)-1].ttl == 0 || all[len(all)-1].tokens < p.cfg.MinTokens) {
		all = all[:len(all)-1]
	}
	if len(all) == 0 {
		return u
	}
	now := p.clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(all) - 1; i >= 0 && u.CacheReadInputTokens == 0; i-- {
		if e := p.byID[all[i].id]; e != nil && now.Before(e.Value.(*prefix).expires) {
			u.CacheReadInputTokens = all[i].tokens
			all[i].ttl = max(all[i].ttl, e.Value.(*prefix).ttl) // it was used: it stays as long again
		}
	}
	done := u.CacheReadInputTokens
	for _, b := range all {
		if b.ttl == 0 || b.tokens < p.cfg.MinTokens {
			continue
		}
		p.remember(b, now)
		if n := b.tokens - done; b.asked && n > 0 {
			u.CacheWriteInputTokens += n
			if b.ttl == time.Hour {
				u.CacheWrite1hInputTokens += n
			}
			done = b.tokens
		}
	}
	u.InputTokens = max(u.InputTokens-done, 0)
	return u
}

// remember puts a prefix into the cache, or keeps it there for longer. mu is held.
func (p *prefixes) remember(b boundary, now time.Time) {
	e := p.byID[b.id]
	if e == nil {
		if p.used.Len() >= maxPrefixes {
			oldest := p.used.Back()
			delete(p.byID, oldest.Value.(*prefix).id)
			p.used.Remove(oldest)
		}
		e = p.used.PushFront(&prefix{id: b.id})
		p.byID[b.id] = e
	}
	f := e.Value.(*prefix)
	f.ttl = b.ttl
	f.expires = now.Add(f.ttl)
	p.used.MoveToFront(e)
}
