package mistral

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// ErrMalformed is wrapped by the error of a body that is not an answer in one of the two formats.
var ErrMalformed = errors.New("not an answer in Mistral AI's formats")

// Decoder turns the answer to one request, in either format, into converse's events: Append for each chunk of a stream,
// or once for a whole answer, then Finish. The zero value is ready. It holds the state of one answer and is not safe for
// concurrent use.
//
// A whole answer tells no usage in its body; Bedrock puts it into headers. Without them it is estimated.
type Decoder struct {
	blocks outbound.Blocks
	tools  bool // a tool was called
	finish string
	usage  outbound.Usage
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
		Input  outbound.Count `json:"prompt_tokens"`
		Output outbound.Count `json:"completion_tokens"`
	} `json:"usage"`
	Metrics *outbound.Counts `json:"amazon-bedrock-invocationMetrics"`
}

type calledTool struct {
	ID       string `json:"id"`
	Function struct {
		Name      string         `json:"name"`
		Arguments jsontext.Value `json:"arguments"`
	} `json:"function"`
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.finish != "" }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.blocks.Started }

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
	d.usage.Tell(outbound.Counts{Input: a.Usage.Input, Output: a.Usage.Output})
	if a.Metrics != nil { // the last word
		d.usage.Tell(*a.Metrics)
	}
	return dst, nil
}

func (d *Decoder) text(dst []converse.Event, s string) []converse.Event {
	d.usage.Say(s)
	return d.blocks.Delta(dst, converse.TextDelta, s)
}

// call appends a tool call, which is always whole.
func (d *Decoder) call(dst []converse.Event, c *calledTool) []converse.Event {
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
	d.usage.Say(c.Function.Name)
	d.usage.Say(input)
	if c.ID == "" {
		c.ID = "call_" + rand.Text() // a result must name its call
	}
	dst = d.blocks.Tool(dst, outbound.ToolUseID(c.ID), c.Function.Name)
	return d.blocks.Close(d.blocks.Delta(dst, converse.ToolInputDelta, input))
}

// Finish appends the events that end the answer, with the usage of outbound.Usage: input is called for an estimate of the
// input tokens where the server has not told them.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.blocks.Close(d.blocks.Start(dst))
	dst = append(dst, converse.Event{Kind: converse.MessageStop, StopReason: d.stopReason()})
	return append(dst, d.usage.Metadata(input))
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
