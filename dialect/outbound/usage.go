package outbound

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// maxTokens bounds the counts that are believed, so that no sum of them overflows.
const maxTokens = 1 << 32

// Count is a number of tokens as a server tells it: Told says that there is one which can be. What cannot be a number of
// tokens is none, and no error, for the answer that it counts has been given. A fraction is cut off: some numbers come with
// one (30.0) where a guardrail has written the answer anew.
type Count struct {
	N    int64
	Told bool
}

// UnmarshalJSONFrom reads any JSON value.
func (c *Count) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	*c = Count{}
	if n, bad := strconv.ParseFloat(string(v), 64); bad == nil && n >= 0 && n <= maxTokens {
		*c = Count{int64(n), true}
	}
	return err
}

// Counts is what a server tells at once, by the names of the amazon-bedrock-invocationMetrics of a stream's last chunk: what
// Bedrock itself has counted, whose word is the last. Input excludes what the cache has read and written, as Converse's
// does.
type Counts struct {
	Input      Count `json:"inputTokenCount"`
	Output     Count `json:"outputTokenCount"`
	CacheRead  Count `json:"cacheReadInputTokenCount"`
	CacheWrite Count `json:"cacheWriteInputTokenCount"`
}

// Usage is what is known of an answer's usage while the answer comes: what the server told, and an estimate of what the
// answer said. The zero value is of an answer that has not begun.
type Usage struct {
	told          converse.Usage
	input, output bool  // was told
	said          int64 // estimated tokens
}

// Tell takes over the server's counts, those of c that are told. A later count replaces an earlier one, but a zero of input
// or output does not: streams begin with zeros, or repeat them. An input of no tokens at all, cached ones included, is not
// told: there is none.
func (u *Usage) Tell(c Counts) {
	if c.CacheRead.Told {
		u.told.CacheReadInputTokens = c.CacheRead.N
	}
	if c.CacheWrite.Told {
		u.told.CacheWriteInputTokens = c.CacheWrite.N
	}
	if c.Input.N > 0 || c.Input.Told && !u.input && u.told.CacheReadInputTokens+u.told.CacheWriteInputTokens > 0 {
		u.input, u.told.InputTokens = true, c.Input.N
	}
	if c.Output.N > 0 || c.Output.Told && !u.output {
		u.output, u.told.OutputTokens = true, c.Output.N
	}
}

// Say counts a piece of what the model has written, for an estimate where the server does not tell. Once it has told of any
// output nobody asks for one.
func (u *Usage) Say(piece string) {
	if u.told.OutputTokens == 0 {
		u.said += converse.EstimateTokens(piece)
	}
}

// Metadata returns the event that ends an answer. Where the server has not told its usage, or told a part of it that cannot
// be, the usage is marked as estimated: input is called for the number of input tokens, and the output's are estimated from
// what was said.
func (u *Usage) Metadata(input func() int64) converse.Event {
	m := converse.Event{Kind: converse.Metadata, Usage: u.told}
	if !u.input {
		m.Estimated = true
		m.Usage = converse.Usage{InputTokens: input(), OutputTokens: u.told.OutputTokens} // of the whole prompt, so none cached
	}
	if !u.output || m.Usage.OutputTokens == 0 && u.said > 0 { // what was said was not for nothing
		m.Estimated = true
		m.Usage.OutputTokens = u.said
	}
	return m
}
