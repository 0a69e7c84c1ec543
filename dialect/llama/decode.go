package llama

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
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

	blocks outbound.Blocks
	held   []byte // what may become a call
	plain  bool   // it is no call
	finish string
	usage  outbound.Usage
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
	Generation *string          `json:"generation"`
	Input      outbound.Count   `json:"prompt_token_count"`
	Output     outbound.Count   `json:"generation_token_count"`
	StopReason *string          `json:"stop_reason"`
	Metrics    *outbound.Counts `json:"amazon-bedrock-invocationMetrics"`
}

// maxHeld bounds the text that is held back for a call: no model of the family writes as much in one answer.
const maxHeld = 1 << 18

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
	if a.Generation == nil && a.StopReason == nil && a.Metrics == nil {
		return dst, fmt.Errorf("%w: %.60q", ErrMalformed, data)
	}
	if a.Generation != nil && *a.Generation != "" {
		dst = d.text(dst, *a.Generation)
	}
	if a.StopReason != nil {
		d.finish = *a.StopReason
	}
	d.usage.Tell(outbound.Counts{Input: a.Input, Output: a.Output})
	if a.Metrics != nil { // the last word
		d.usage.Tell(*a.Metrics)
	}
	return dst, nil
}

// text appends a piece of the answer, or holds it back.
func (d *Decoder) text(dst []converse.Event, s string) []converse.Event {
	d.usage.Say(s)
	if d.tools == nil || d.plain {
		return d.blocks.Delta(dst, converse.TextDelta, s)
	}
	d.held = append(d.held, s...)
	if mayBeCall(d.held) && len(d.held) <= maxHeld {
		return dst
	}
	d.plain = true
	s = string(d.held)
	d.held = nil
	return d.blocks.Delta(dst, converse.TextDelta, s)
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

// Finish appends the events that end the answer, with the usage of outbound.Usage: input is called for an estimate of the
// input tokens where the server has not told them.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	reason := converse.StopEndTurn
	if d.finish == "length" {
		reason = converse.StopMaxTokens
	}
	if len(d.held) > 0 {
		if name, in, ok := readCall(string(d.held), func(name string) bool { return d.tools[name] }); ok {
			dst = d.blocks.Tool(dst, "call_"+rand.Text(), name)
			dst = d.blocks.Delta(dst, converse.ToolInputDelta, string(in))
			if reason == converse.StopEndTurn {
				reason = converse.StopToolUse
			}
		} else {
			dst = d.blocks.Delta(dst, converse.TextDelta, string(d.held))
		}
		d.held = nil
	}
	dst = d.blocks.Close(d.blocks.Start(dst))
	dst = append(dst, converse.Event{Kind: converse.MessageStop, StopReason: reason})
	return append(dst, d.usage.Metadata(input))
}
