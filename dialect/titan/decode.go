package titan

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// ErrMalformed is wrapped by the error of a body that is not an answer in this format.
var ErrMalformed = errors.New("not an Amazon Titan answer")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Decoder turns the answer to one request into converse's events: Append for each chunk of a stream, or once for a whole
// answer, then Finish. The zero value is ready. It holds the state of one answer and is not safe for concurrent use.
//
// MessageStart comes with the first piece of text. BlockStop, MessageStop and Metadata come from Finish. Which stop
// sequence was met the format does not tell.
type Decoder struct {
	started       bool
	reason        string
	input, output *float64 // as told, nil where a count is not or cannot be
	tally         int64    // estimated tokens of what was appended
}

// chunk is a piece of a stream, or a whole answer. The numbers come with a fraction (28.0) where a guardrail has written the
// answer anew.
type chunk struct {
	InputTokens *float64 `json:"inputTextTokenCount"`

	OutputText   string   `json:"outputText"`
	OutputTokens *float64 `json:"totalOutputTextTokenCount"`
	Reason       string   `json:"completionReason"`
	Metrics      *struct {
		Input  *float64 `json:"inputTokenCount"`
		Output *float64 `json:"outputTokenCount"`
	} `json:"amazon-bedrock-invocationMetrics"`

	Results []struct {
		OutputText string   `json:"outputText"`
		Tokens     *float64 `json:"tokenCount"`
		Reason     string   `json:"completionReason"`
	} `json:"results"`
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.reason != "" }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.started }

// Append decodes data, one chunk of a stream or a whole answer, and appends its events to dst. It fails with an error that
// wraps ErrMalformed. It keeps no reference to data.
func (d *Decoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	if jsontext.Value(data).Kind() != '{' {
		return dst, malformed("it is no JSON object: %.60q", data)
	}
	var c chunk
	if err := json.Unmarshal(data, &c, lenient); err != nil {
		return dst, malformed("%v", err)
	}
	if len(c.Results) > 0 { // one, as the user guide has it
		c.OutputText, c.OutputTokens, c.Reason = c.Results[0].OutputText, c.Results[0].Tokens, c.Results[0].Reason
	}
	if c.OutputText != "" {
		dst = d.start(dst)
		d.tally += converse.EstimateTokens(c.OutputText)
		dst = append(dst, converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: c.OutputText})
	}
	if c.Reason != "" {
		d.reason = c.Reason
	}
	setTold(&d.input, c.InputTokens)
	setTold(&d.output, c.OutputTokens)
	if c.Metrics != nil { // what Bedrock itself counted has the last word
		setTold(&d.input, c.Metrics.Input)
		setTold(&d.output, c.Metrics.Output)
	}
	return dst, nil
}

// maxTokens bounds the counts that are believed, so that no sum of them overflows.
const maxTokens = 1 << 32

// setTold puts n into to where it can be a number of tokens.
func setTold(to **float64, n *float64) {
	if n != nil && *n >= 0 && *n <= maxTokens {
		*to = n
	}
}

// Finish appends the events that end the answer. Where the server has not told its usage, or told a part of it that
// cannot be, the usage is marked as estimated: input is called for the number of input tokens, and the output's are
// estimated from what came.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	if d.started {
		dst = append(dst, converse.Event{Kind: converse.BlockStop})
	} else {
		dst = d.start(dst)
	}
	dst = append(dst, converse.Event{Kind: converse.MessageStop, StopReason: stopReason(d.reason)})
	m := converse.Event{Kind: converse.Metadata}
	if d.input != nil && *d.input >= 1 { // no prompt is empty
		m.Usage.InputTokens = int64(*d.input)
	} else {
		m.Estimated = true
		m.Usage.InputTokens = input()
	}
	if d.output != nil && (*d.output >= 1 || d.tally == 0) { // what was said was not for nothing
		m.Usage.OutputTokens = int64(*d.output)
	} else {
		m.Estimated = true
		m.Usage.OutputTokens = d.tally
	}
	return append(dst, m)
}

func (d *Decoder) start(dst []converse.Event) []converse.Event {
	if d.started {
		return dst
	}
	d.started = true
	return append(dst, converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant})
}
