package deepseek

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// ErrMalformed is wrapped by the error of a body that is not an answer in this format.
var ErrMalformed = errors.New("not an answer in the format of DeepSeek-R1")

// Decoder turns the answer to one request into converse's events: Append for each chunk of a stream, or once for a whole
// answer, then Finish. It holds the state of one answer and is not safe for concurrent use. The zero value reads an answer
// that begins with thinking, as one to AppendRequest's prompt does.
//
// A whole answer tells no usage in its body; Bedrock puts it into headers. Without them it is estimated.
type Decoder struct {
	state  state
	held   string // the end of the text so far, which may belong to what stands between the thinking and the answer
	blocks outbound.Blocks
	finish string
	usage  outbound.Usage
}

type state uint8

const (
	opening   state = iota // before the thinking: its opening mark, where the model repeats it
	thinking               // up to its end
	breaks                 // the line breaks between it and the answer
	answering              // the answer
)

// NewDecoder returns the decoder of the answer to r. An answer that r begins is gone on with, without thinking.
func NewDecoder(r *converse.Request) *Decoder {
	if begun(r) {
		return &Decoder{state: answering}
	}
	return &Decoder{}
}

// answer is a chunk or a whole answer: they have the same members.
type answer struct {
	Choices []struct {
		Text       string `json:"text"`
		StopReason string `json:"stop_reason"`
	} `json:"choices"`
	Metrics *outbound.Counts `json:"amazon-bedrock-invocationMetrics"`
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
	if a.Choices == nil && a.Metrics == nil {
		return dst, fmt.Errorf("%w: %.60q", ErrMalformed, data)
	}
	if len(a.Choices) > 0 {
		c := &a.Choices[0]
		if c.Text != "" {
			d.usage.Say(c.Text)
			dst = d.text(dst, c.Text, false)
		}
		if c.StopReason != "" {
			d.finish = c.StopReason
		}
	}
	if a.Metrics != nil {
		d.usage.Tell(*a.Metrics)
	}
	return dst, nil
}

// text appends a piece of the model's text, or holds its end back where the next piece may make a mark of it. last says
// that no other piece comes.
func (d *Decoder) text(dst []converse.Event, s string, last bool) []converse.Event {
	s = d.held + s
	d.held = ""
	hold := func(s string) []converse.Event {
		d.held = s
		return dst
	}
	if d.state == opening {
		rest := strings.TrimLeft(s, "\n")
		if len(rest) < len(think) && strings.HasPrefix(think, rest) && !last && len(s) < 100 {
			return hold(s)
		}
		if after, ok := strings.CutPrefix(rest, think); ok {
			if after == "" && !last {
				return hold(s)
			}
			s = strings.TrimPrefix(after, "\n")
		}
		d.state = thinking
	}
	if d.state == thinking {
		thought, after, over := strings.Cut(s, thinkEnd)
		if !over {
			n := 0
			if !last {
				n = pending(s)
			}
			dst = d.blocks.Delta(dst, converse.ReasoningDelta, s[:len(s)-n])
			return hold(s[len(s)-n:])
		}
		dst = d.blocks.Delta(dst, converse.ReasoningDelta, strings.TrimSuffix(thought, "\n"))
		s = after
		d.state = breaks
	}
	if d.state == breaks {
		if !last && len(s) < 2 && trimBreaks(s) == "" {
			return hold(s)
		}
		s = trimBreaks(s)
		d.state = answering
	}
	return d.blocks.Delta(dst, converse.TextDelta, s)
}

// pending returns how many bytes at the end of s may be the begin of a line break and the thinking's end.
func pending(s string) int {
	const mark = "\n" + thinkEnd
	for n := min(len(mark)-1, len(s)); n > 0; n-- {
		tail := s[len(s)-n:]
		if strings.HasPrefix(mark, tail) || strings.HasPrefix(thinkEnd, tail) {
			return n
		}
	}
	return 0
}

// Finish appends the events that end the answer, with the usage of outbound.Usage: input is called for an estimate of the
// input tokens where the server has not told them.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.text(dst, "", true)
	dst = d.blocks.Close(d.blocks.Start(dst))
	stop := converse.Event{Kind: converse.MessageStop, StopReason: converse.StopEndTurn}
	switch d.finish {
	case "length":
		stop.StopReason = converse.StopMaxTokens
	case "content_filter":
		stop.StopReason = converse.StopContentFiltered
	}
	dst = append(dst, stop)
	return append(dst, d.usage.Metadata(input))
}
