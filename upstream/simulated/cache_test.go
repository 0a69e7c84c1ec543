package simulated

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outcrop/converse"
	"outcrop/upstream"
)

// prompt is a conversation of turns of about the same length, with a cachePoint after each turn in points.
func prompt(turns int, points map[int]string) *converse.Request {
	r := &converse.Request{}
	for i := range turns {
		text := fmt.Sprintf("Turn %d. %s", i, strings.Repeat("word ", 600))
		m := converse.Message{Role: []string{converse.RoleUser, converse.RoleAssistant}[i%2], Content: []converse.ContentBlock{{Text: &text}}}
		if ttl, ok := points[i]; ok {
			m.Content = append(m.Content, converse.ContentBlock{CachePoint: &converse.CachePoint{Type: "default", TTL: ttl}})
		}
		r.Messages = append(r.Messages, m)
	}
	return r
}

// tokens of the first turns of a prompt.
func tokensOf(turns int) int64 { return prompt(turns, nil).EstimateInputTokens() }

// TestCache: what is read, what is written and what is neither add up to the prompt, as Bedrock reports them.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
func TestCache(t *testing.T) {
	now := time.Unix(1e9, 0)
	open := func(c Cache) func(model string, r *converse.Request) converse.Usage {
		p := open(t, Config{Cache: c, Clock: func() time.Time { return now }})
		return func(model string, r *converse.Request) converse.Usage {
			t.Helper()
			u := answer1(t, p, &upstream.Request{ModelID: model, Body: r}).Usage
			if sum, want := u.InputTokens+u.CacheReadInputTokens+u.CacheWriteInputTokens, r.EstimateInputTokens(); sum != want {
				t.Errorf("the parts are %d tokens, the prompt %d: %+v", sum, want, u)
			}
			return u
		}
	}
	expect := func(what string, u converse.Usage, read, write, hour int64) {
		t.Helper()
		if u.CacheReadInputTokens != read || u.CacheWriteInputTokens != write || u.CacheWrite1hInputTokens != hour {
			t.Errorf("%s: read %d, written %d, %d of it for an hour; want %d, %d, %d", what, u.CacheReadInputTokens, u.CacheWriteInputTokens, u.CacheWrite1hInputTokens, read, write, hour)
		}
	}
	use := open(Cache{})
	expect("without a cachePoint", use("m", prompt(5, nil)), 0, 0, 0)
	expect("a short prefix", use("m", prompt(3, map[int]string{0: ""})), 0, 0, 0)
	expect("the first time", use("m", prompt(3, map[int]string{2: ""})), 0, tokensOf(3), 0)
	expect("again", use("m", prompt(3, map[int]string{2: ""})), tokensOf(3), 0, 0)
	expect("another model", use("other", prompt(3, map[int]string{2: ""})), 0, tokensOf(3), 0)
	expect("two turns on", use("m", prompt(5, map[int]string{4: ""})), tokensOf(3), tokensOf(5)-tokensOf(3), 0)
	expect("with more after the cachePoint", use("m", prompt(7, map[int]string{4: ""})), tokensOf(5), 0, 0)
	other := prompt(5, map[int]string{4: ""})
	other.Messages[2].Content[0].Text = other.Messages[0].Content[0].Text
	expect("another third turn", use("m", other), 0, other.EstimateInputTokens(), 0)

	now = now.Add(4 * time.Minute)
	expect("in time", use("m", prompt(3, map[int]string{2: ""})), tokensOf(3), 0, 0)
	now = now.Add(4 * time.Minute)
	expect("used since", use("m", prompt(3, map[int]string{2: ""})), tokensOf(3), 0, 0)
	now = now.Add(5 * time.Minute)
	expect("too late", use("m", prompt(3, map[int]string{2: ""})), 0, tokensOf(3), 0)

	expect("an hour, then the default", use("h", prompt(5, map[int]string{2: "1h", 4: "5m"})), 0, tokensOf(5), tokensOf(3))
	now = now.Add(59 * time.Minute)
	expect("within the hour", use("h", prompt(5, map[int]string{2: "1h", 4: "5m"})), tokensOf(3), tokensOf(5)-tokensOf(3), 0)

	system, tool := strings.Repeat("rule ", 1200), "weather"
	with := prompt(1, nil)
	with.System = []converse.SystemBlock{{Text: &system}, {CachePoint: &converse.CachePoint{Type: "default"}}}
	with.ToolConfig = &converse.ToolConfig{Tools: []converse.Tool{{ToolSpec: &converse.ToolSpec{Name: tool, InputSchema: converse.ToolInputSchema{JSON: []byte(`{}`)}}}}}
	n := with.EstimateInputTokens() - tokensOf(1)
	expect("tools and system", use("m", with), 0, n, 0)
	with.Messages = prompt(3, nil).Messages[2:]
	expect("tools and system before another turn", use("m", with), n, 0, 0)

	use = open(Cache{Automatic: true, MinTokens: 100, TTL: time.Minute})
	expect("unasked", use("m", prompt(1, nil)), 0, 0, 0)
	expect("unasked, the next turn", use("m", prompt(3, nil)), tokensOf(1), 0, 0)
	now = now.Add(time.Minute)
	expect("unasked, too late", use("m", prompt(5, nil)), 0, 0, 0)
}

// TestCacheIsBounded: whatever is sent, no more than maxPrefixes are remembered, and those are the latest.
func TestCacheIsBounded(t *testing.T) {
	p := newPrefixes(Cache{}, time.Now)
	now := time.Now()
	for i := range uint64(maxPrefixes + 10) {
		p.remember(boundary{id: i, ttl: time.Minute}, now)
		p.remember(boundary{id: 0, ttl: time.Minute}, now)
	}
	if len(p.byID) != maxPrefixes || p.used.Len() != maxPrefixes {
		t.Errorf("%d prefixes, %d in use", len(p.byID), p.used.Len())
	}
	for id, want := range map[uint64]bool{0: true, 1: false, 10: false, 11: true, maxPrefixes + 9: true} {
		if _, ok := p.byID[id]; ok != want {
			t.Errorf("prefix %d is there: %t", id, ok)
		}
	}
}
