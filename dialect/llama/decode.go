package llama

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// ErrMalformed is wrapped by the error of a body that is not an answer in this format.
var ErrMalformed = errors.New("not an answer in the format of Meta's Llama")

// Decoder turns the answer to one request into converse's events: Append for each chunk of a stream, or once for a whole
// answer, then Finish. It holds the state of one answer and is not safe for concurrent use. The zero value reads an
// answer to a request without tools.
//
// An answer that is one call of a tool of the request, and nothing else, is that call. A text that begins as a call does
// is therefore held back until its end.
type Decoder struct {
	tools map[string]bool

	started bool
	open    bool   // the text's block
	held    []byte // what may become a call
	plain   bool   // it is no call
	finish  string
	usage   converse.Usage
	input   bool // usage was told
	output  bool
	tally   int64 // estimated tokens of what came
}

// NewDecoder returns the decoder of the answer to r.
func NewDecoder(r *converse.Request) *Decoder {
	d := &Decoder{}
	if r.ToolConfig != nil {
		d.tools = map[string]bool{}
		for i := range r.ToolConfig.Tools {
			if s := r.ToolConfig.Tools[i].ToolSpec; s != nil {
				d.tools[s.Name] = true
			}
		}
	}
	return d
}

// answer is a chunk or a whole answer: they have the same members.
type answer struct {
	Generation *string `json:"generation"`
	Input      count   `json:"prompt_token_count"`
	Output     count   `json:"generation_token_count"`
	StopReason *string `json:"stop_reason"`
	Metrics    *struct {
		Input  count `json:"inputTokenCount"`
		Output count `json:"outputTokenCount"`
	} `json:"amazon-bedrock-invocationMetrics"`
}

// count is a number of tokens, as far as it can be one. Bounded so that no sum of them overflows.
type count struct {
	n    int64
	told bool
}

const maxTokens = 1 << 32

func (c *count) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if n, bad := strconv.ParseFloat(string(v), 64); bad == nil && n >= 0 && n <= maxTokens {
		c.n, c.told = int64(n), true
	}
	return err
}

// maxHeld bounds the text that is held back for a call: no model of the family writes as much in one answer.
const maxHeld = 1 << 18

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.finish != "" }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.started }

// Append decodes data, one chunk of a stream or a whole answer, and appends its events to dst. It fails with an error
// that wraps ErrMalformed. It keeps no reference to data.
func (d *Decoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	var a answer
	if err := json.Unmarshal(data, &a, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if a.Generation == nil && a.StopReason == nil && a.Metrics == nil {
		return dst, fmt.Errorf("%w: %.60q", ErrMalformed, data)
	}
	if a.Generation != nil && *a.Generation != "" {
		dst = d.text(dst, *a.Generation)
	}
	if a.StopReason != nil {
		d.finish = *a.StopReason
	}
	d.count(a.Input, a.Output)
	if a.Metrics != nil { // the last word
		d.count(a.Metrics.Input, a.Metrics.Output)
	}
	return dst, nil
}

func (d *Decoder) count(input, output count) {
	if input.told && input.n > 0 { // there is no prompt of no tokens
		d.input, d.usage.InputTokens = true, input.n
	}
	if output.told {
		d.output, d.usage.OutputTokens = true, output.n
	}
}

// text appends a piece of the answer, or holds it back.
func (d *Decoder) text(dst []converse.Event, s string) []converse.Event {
	d.tally += converse.EstimateTokens(s)
	if d.tools == nil || d.plain {
		return d.piece(dst, s)
	}
	d.held = append(d.held, s...)
	if mayBeCall(d.held) && len(d.held) <= maxHeld {
		return dst
	}
	d.plain = true
	s = string(d.held)
	d.held = nil
	return d.piece(dst, s)
}

// mayBeCall reports whether a text that begins so may be a call.
func mayBeCall(b []byte) bool {
	s := strings.TrimLeft(string(b[:min(len(b), 100)]), " \t\r\n")
	if strings.HasPrefix(pythonMark, s) {
		return true
	}
	s = strings.TrimLeft(strings.TrimPrefix(s, pythonMark), " \t\r\n")
	return s == "" || s[0] == '{'
}

func (d *Decoder) start(dst []converse.Event) []converse.Event {
	if d.started {
		return dst
	}
	d.started = true
	return append(dst, converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant})
}

func (d *Decoder) piece(dst []converse.Event, s string) []converse.Event {
	d.open = true
	return append(d.start(dst), converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: s})
}

// Finish appends the events that end the answer. Where the server has not told its usage, or told a part of it that
// cannot be, the usage is marked as estimated: input is called for the number of input tokens, and the output's are
// estimated from what came.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	reason := converse.StopEndTurn
	if d.finish == "length" {
		reason = converse.StopMaxTokens
	}
	if len(d.held) > 0 {
		if name, in, ok := readCall(string(d.held), func(name string) bool { return d.tools[name] }); ok {
			dst = append(d.start(dst),
				converse.Event{Kind: converse.BlockStart, ToolUseID: "call_" + rand.Text(), ToolName: name},
				converse.Event{Kind: converse.BlockDelta, Delta: converse.ToolInputDelta, Text: string(in)},
				converse.Event{Kind: converse.BlockStop})
			if reason == converse.StopEndTurn {
				reason = converse.StopToolUse
			}
		} else {
			dst = d.piece(dst, string(d.held))
		}
		d.held = nil
	}
	dst = d.start(dst)
	if d.open {
		dst = append(dst, converse.Event{Kind: converse.BlockStop})
	}
	dst = append(dst, converse.Event{Kind: converse.MessageStop, StopReason: reason})
	m := converse.Event{Kind: converse.Metadata, Usage: d.usage}
	if !d.input {
		m.Estimated = true
		m.Usage.InputTokens = input()
	}
	if !d.output || m.Usage.OutputTokens == 0 && d.tally > 0 { // what was said was not for nothing
		m.Estimated = true
		m.Usage.OutputTokens = d.tally
	}
	return append(dst, m)
}
