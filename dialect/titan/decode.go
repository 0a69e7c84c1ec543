package titan

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
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
	blocks outbound.Blocks
	reason string
	usage  outbound.Usage
}

// chunk is a piece of a stream, or a whole answer. The numbers come with a fraction (28.0) where a guardrail has written the
// answer anew.
type chunk struct {
	InputTokens outbound.Count `json:"inputTextTokenCount"`

	OutputText   string           `json:"outputText"`
	OutputTokens outbound.Count   `json:"totalOutputTextTokenCount"`
	Reason       string           `json:"completionReason"`
	Metrics      *outbound.Counts `json:"amazon-bedrock-invocationMetrics"`

	Results []struct {
		OutputText string         `json:"outputText"`
		Tokens     outbound.Count `json:"tokenCount"`
		Reason     string         `json:"completionReason"`
	} `json:"results"`
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.reason != "" }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.blocks.Started }

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
	d.usage.Say(c.OutputText)
	dst = d.blocks.Delta(dst, converse.TextDelta, c.OutputText)
	if c.Reason != "" {
		d.reason = c.Reason
	}
	d.usage.Tell(outbound.Counts{Input: c.InputTokens, Output: c.OutputTokens})
	if c.Metrics != nil { // what Bedrock itself counted has the last word
		d.usage.Tell(*c.Metrics)
	}
	return dst, nil
}

// Finish appends the events that end the answer, with the usage of outbound.Usage: input is called for an estimate of the
// input tokens where the server has not told them.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.blocks.Close(d.blocks.Start(dst))
	dst = append(dst, converse.Event{Kind: converse.MessageStop, StopReason: stopReason(d.reason)})
	return append(dst, d.usage.Metadata(input))
}
