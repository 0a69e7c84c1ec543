package mistral

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// ErrMalformed is wrapped by the error of a body that is not an answer in one of the two formats.
var ErrMalformed = errors.New("not an answer in Mistral AI's formats")

// Decoder turns the answer to one request, in either format, into converse's events: Append for each chunk of a stream,
// or once for a whole answer, then Finish. The zero value is ready. It holds the state of one answer and is not safe for
// concurrent use.
//
// A whole answer tells no usage in its body; Bedrock puts it into headers. Without them it is estimated.
type Decoder struct {
	started bool
	open    bool // the text's block
	index   int  // of the open block, or of the next one
	tools   bool // a tool was called
	finish  string
	usage   converse.Usage
	input   bool // usage was told
	output  bool
	tally   int64 // estimated tokens of what came
}

// answer is a chunk or a whole answer: they have the same members. finish_reason and usage are what Mistral's own API says
// where Bedrock says stop_reason and nothing.
type answer struct {
	Outputs []struct {
		Text       string `json:"text"`
		StopReason string `json:"stop_reason"`
	} `json:"outputs"`
	Choices []struct {
		Message struct {
			Content string       `json:"content"`
			Calls   []calledTool `json:"tool_calls"`
		} `json:"message"`
		StopReason   string `json:"stop_reason"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		Input  count `json:"prompt_tokens"`
		Output count `json:"completion_tokens"`
	} `json:"usage"`
	Metrics *struct {
		Input  count `json:"inputTokenCount"`
		Output count `json:"outputTokenCount"`
	} `json:"amazon-bedrock-invocationMetrics"`
}

type calledTool struct {
	ID       string `json:"id"`
	Function struct {
		Name      string         `json:"name"`
		Arguments jsontext.Value `json:"arguments"`
	} `json:"function"`
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
	if a.Outputs == nil && a.Choices == nil && a.Metrics == nil {
		return dst, fmt.Errorf("%w: %.60q", ErrMalformed, data)
	}
	finish := ""
	if len(a.Outputs) > 0 {
		dst = d.text(dst, a.Outputs[0].Text)
		finish = a.Outputs[0].StopReason
	}
	if len(a.Choices) > 0 {
		c := &a.Choices[0]
		dst = d.text(dst, c.Message.Content)
		for i := range c.Message.Calls {
			dst = d.call(dst, &c.Message.Calls[i])
		}
		finish = c.StopReason
		if finish == "" {
			finish = c.FinishReason
		}
	}
	if finish != "" {
		d.finish = finish
	}
	d.count(a.Usage.Input, a.Usage.Output)
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

func (d *Decoder) start(dst []converse.Event) []converse.Event {
	if d.started {
		return dst
	}
	d.started = true
	return append(dst, converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant})
}

func (d *Decoder) close(dst []converse.Event) []converse.Event {
	if d.open {
		dst = append(dst, converse.Event{Kind: converse.BlockStop, Index: d.index})
		d.open = false
		d.index++
	}
	return dst
}

func (d *Decoder) text(dst []converse.Event, s string) []converse.Event {
	if s == "" {
		return dst
	}
	d.tally += converse.EstimateTokens(s)
	d.open = true
	return append(d.start(dst), converse.Event{Kind: converse.BlockDelta, Index: d.index, Delta: converse.TextDelta, Text: s})
}

// call appends a tool call, which is always whole.
func (d *Decoder) call(dst []converse.Event, c *calledTool) []converse.Event {
	dst = d.close(d.start(dst))
	d.tools = true
	input := ""
	switch c.Function.Arguments.Kind() {
	case 'n':
	case '"':
		b, _ := jsontext.AppendUnquote(nil, c.Function.Arguments) // an error here is invalid UTF-8, which has become U+FFFD
		input = string(b)
	default:
		input = string(c.Function.Arguments)
	}
	d.tally += converse.EstimateTokens(c.Function.Name) + converse.EstimateTokens(input)
	dst = append(dst, converse.Event{Kind: converse.BlockStart, Index: d.index, ToolUseID: toolUseID(c.ID), ToolName: c.Function.Name})
	if input != "" {
		dst = append(dst, converse.Event{Kind: converse.BlockDelta, Index: d.index, Delta: converse.ToolInputDelta, Text: input})
	}
	dst = append(dst, converse.Event{Kind: converse.BlockStop, Index: d.index})
	d.index++
	return dst
}

// toolUseID brings id into the form that Converse accepts back, [a-zA-Z0-9_.:-]{1,64}. The server sees the changed id in
// both the call and its result, so they still match.
func toolUseID(id string) string {
	if id == "" {
		return "call_" + rand.Text() // a result must name its call
	}
	b := []byte(id)
	b = b[max(0, len(b)-64):] // ids differ at their ends
	for i, c := range b {
		if c != '_' && c != '-' && c != '.' && c != ':' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			b[i] = '_'
		}
	}
	return string(b)
}

// Finish appends the events that end the answer. Where the server has not told its usage, or told a part of it that
// cannot be, the usage is marked as estimated: input is called for the number of input tokens, and the output's are
// estimated from what came.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.close(d.start(dst))
	dst = append(dst, converse.Event{Kind: converse.MessageStop, StopReason: d.stopReason()})
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

func (d *Decoder) stopReason() string {
	switch d.finish {
	case "length":
		return converse.StopMaxTokens
	case "model_length": // the context's end, in Mistral's own API
		return converse.StopContextWindowExceeded
	case "content_filter":
		return converse.StopContentFiltered
	}
	if d.tools { // also where the server says "stop"
		return converse.StopToolUse
	}
	return converse.StopEndTurn
}
