package outbound

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// MaxTokens bounds the counts that are believed, so that no sum of them overflows.
const MaxTokens = 1 << 32

// Tokens is n as a number of tokens. What cannot be one is not told: less than none, more than MaxTokens, or nil. A fraction is
// cut off: some numbers come with one (30.0) where a guardrail has written the answer anew.
func Tokens(n *float64) (tokens int64, told bool) {
	if n == nil || !(*n >= 0 && *n <= MaxTokens) {
		return 0, false
	}
	return int64(*n), true
}

// Count is a number of tokens as a server tells it: Told says that there is one which can be. What cannot be a number of
// tokens is none, and no error, for the answer that it counts has been given.
type Count struct {
	N    int64
	Told bool
}

// UnmarshalJSONFrom reads any JSON value.
func (c *Count) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	*c = Count{}
	if n, bad := strconv.ParseFloat(string(v), 64); bad == nil {
		c.N, c.Told = Tokens(&n)
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

// Told is the usage of an answer as far as its server has told it. Input, cached tokens included, and Output say of what
// there are counts that can be. What is not told is 0.
type Told struct {
	converse.Usage
	Input, Output bool
}

// Or returns the usage that was told. What was not told, or cannot be, is estimated: input is called for the number of
// input tokens, and the output's are said, an estimate of what the answer said.
func (t *Told) Or(input func() int64, said int64) (u converse.Usage, estimated bool) {
	u = t.Usage
	if !t.Input {
		estimated = true
		u = converse.Usage{InputTokens: input(), OutputTokens: u.OutputTokens} // of the whole prompt, so none cached
	}
	if !t.Output || u.OutputTokens == 0 && said > 0 { // what was said was not for nothing
		estimated = true
		u.OutputTokens = said
	}
	return u, estimated
}

// Usage is what is known of an answer's usage while the answer comes: what the server told, and an estimate of what the
// answer said. The zero value is of an answer that has not begun.
type Usage struct {
	told Told
	said int64 // estimated tokens
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
	if c.Input.N > 0 || c.Input.Told && !u.told.Input && u.told.CacheReadInputTokens+u.told.CacheWriteInputTokens > 0 {
		u.told.Input, u.told.InputTokens = true, c.Input.N
	}
	if c.Output.N > 0 || c.Output.Told && !u.told.Output {
		u.told.Output, u.told.OutputTokens = true, c.Output.N
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
	m := converse.Event{Kind: converse.Metadata}
	m.Usage, m.Estimated = u.told.Or(input, u.said)
	return m
}
