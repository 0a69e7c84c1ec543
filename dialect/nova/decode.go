package nova

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// ErrMalformed is wrapped by the error of a body that is not an answer in this format.
var ErrMalformed = errors.New("not an Amazon Nova answer")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Decoder turns the answer to one request into converse's events: Append for each event of a stream, or once for a whole
// answer, then Finish. The zero value is ready. It holds the state of one answer and is not safe for concurrent use.
//
// Nova's streams give every piece of text a content block of its own. Those that follow one another are one block here.
//
// MessageStart comes with the first piece of content, so that a server that dies before it has shown nothing yet.
// BlockStop of the last block, MessageStop and Metadata come from Finish.
type Decoder struct {
	chunk chunk

	blocks outbound.Blocks
	theirs float64 // the server's index of the open tool block
	stop   string
	usage  outbound.Usage
}

// chunk is an event of a stream, or a whole answer. Of a stream's event one of the first six members is set.
type chunk struct {
	BlockStart *struct {
		Start struct {
			ToolUse *toolUse `json:"toolUse"`
		} `json:"start"`
		Index float64 `json:"contentBlockIndex"`
	} `json:"contentBlockStart"`
	BlockDelta *struct {
		Delta struct {
			Text    *string `json:"text"`
			ToolUse *struct {
				Input string `json:"input"`
			} `json:"toolUse"`
			Reasoning *reasoning `json:"reasoningContent"`
		} `json:"delta"`
		Index float64 `json:"contentBlockIndex"`
	} `json:"contentBlockDelta"`
	BlockStop   *struct{} `json:"contentBlockStop"`
	MessageStop *struct {
		StopReason string `json:"stopReason"`
	} `json:"messageStop"`
	Metadata *struct {
		Usage *counts `json:"usage"`
	} `json:"metadata"`

	Output *struct {
		Message struct {
			Content []struct {
				Text      *string    `json:"text"`
				ToolUse   *toolUse   `json:"toolUse"`
				Reasoning *reasoning `json:"reasoningContent"`
			} `json:"content"`
		} `json:"message"`
	} `json:"output"`
	StopReason string  `json:"stopReason"`
	Usage      *counts `json:"usage"`

	Metrics *outbound.Counts `json:"amazon-bedrock-invocationMetrics"`
}

type toolUse struct {
	ID    string         `json:"toolUseId"`
	Name  string         `json:"name"`
	Input jsontext.Value `json:"input"`
}

// reasoning is a delta's, or inside reasoningText a block's.
type reasoning struct {
	Text      string     `json:"text"`
	Signature string     `json:"signature"`
	Redacted  []byte     `json:"redactedContent"`
	Block     *reasoning `json:"reasoningText"`
}

// counts is a usage. Its input excludes what the cache has read and written.
type counts struct {
	Input      outbound.Count `json:"inputTokens"`
	Output     outbound.Count `json:"outputTokens"`
	CacheRead  outbound.Count `json:"cacheReadInputTokenCount"`
	CacheWrite outbound.Count `json:"cacheWriteInputTokenCount"`
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.stop != "" }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.blocks.Started }

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Append decodes data, one event of a stream or a whole answer, and appends its events to dst. It fails with an error that
// wraps ErrMalformed. It keeps no reference to data. Blocks that converse has no event for (the citations of
// nova_grounding) are left out.
func (d *Decoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	if text, ok := quick(data); ok {
		return d.piece(dst, converse.TextDelta, text), nil
	}
	d.chunk = chunk{}
	c := &d.chunk
	if k := jsontext.Value(data).Kind(); k != '{' {
		return dst, malformed("it is no JSON object: %.60q", data)
	}
	if err := json.Unmarshal(data, c, lenient); err != nil {
		return dst, malformed("%v", err)
	}
	switch {
	case c.BlockStart != nil:
		if t := c.BlockStart.Start.ToolUse; t != nil {
			var err error
			if dst, err = d.tool(dst, t); err != nil {
				return dst, err
			}
			d.theirs = c.BlockStart.Index
		}
	case c.BlockDelta != nil:
		t := &c.BlockDelta.Delta
		switch {
		case t.Text != nil:
			dst = d.piece(dst, converse.TextDelta, *t.Text)
		case t.ToolUse != nil:
			if d.blocks.Open != converse.ToolInputDelta || d.theirs != c.BlockDelta.Index {
				return dst, malformed("a piece of tool block %g, which is not open", c.BlockDelta.Index)
			}
			dst = d.piece(dst, converse.ToolInputDelta, t.ToolUse.Input)
		case t.Reasoning != nil:
			dst = d.reasoning(dst, t.Reasoning)
		}
	case c.BlockStop != nil:
		if d.blocks.Open == converse.ToolInputDelta || d.blocks.Open == converse.RedactedDelta || d.blocks.Signed {
			dst = d.blocks.Close(dst)
		}
	case c.MessageStop != nil:
		d.stop = c.MessageStop.StopReason
	case c.Output != nil:
		blocks := c.Output.Message.Content
		for i := range blocks {
			switch b := &blocks[i]; {
			case b.Text != nil:
				dst = d.piece(d.blocks.Close(dst), converse.TextDelta, *b.Text)
			case b.ToolUse != nil:
				var err error
				if dst, err = d.tool(dst, b.ToolUse); err != nil {
					return dst, err
				}
				if k := b.ToolUse.Input.Kind(); k != 'n' {
					dst = d.piece(dst, converse.ToolInputDelta, string(b.ToolUse.Input))
				}
			case b.Reasoning != nil:
				dst = d.reasoning(d.blocks.Close(dst), b.Reasoning)
			}
		}
	}
	if c.StopReason != "" {
		d.stop = c.StopReason
	}
	if c.Usage != nil {
		d.usage.Tell(outbound.Counts(*c.Usage))
	}
	if c.Metadata != nil && c.Metadata.Usage != nil {
		d.usage.Tell(outbound.Counts(*c.Metadata.Usage))
	}
	if c.Metrics != nil { // what Bedrock itself counted has the last word
		d.usage.Tell(*c.Metrics)
	}
	return dst, nil
}

// quick reads the event that a stream is made of, a piece of text, at a tenth of the cost. What is not of exactly this form
// is not read.
func quick(data []byte) (text string, ok bool) {
	data, ok = bytes.CutPrefix(data, []byte(`{"contentBlockDelta":{"delta":{"text":"`))
	if !ok {
		return "", false
	}
	end := 0
	for ; end < len(data) && data[end] != '"'; end++ {
		if data[end] == '\\' || data[end] < 0x20 {
			return "", false
		}
	}
	index, ok := bytes.CutPrefix(data[end:], []byte(`"},"contentBlockIndex":`))
	if !ok || len(index) < 3 || string(index[len(index)-2:]) != "}}" || index[0] == '0' && len(index) > 3 || !utf8.Valid(data[:end]) {
		return "", false
	}
	for _, c := range index[:len(index)-2] {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return string(data[:end]), true
}

// Finish appends the events that end the answer, with the usage of outbound.Usage: input is called for an estimate of the
// input tokens where the server has not told them.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.blocks.Close(d.blocks.Start(dst))
	dst = append(dst, converse.Event{Kind: converse.MessageStop, StopReason: stopReason(d.stop)})
	return append(dst, d.usage.Metadata(input))
}

// stopReason returns s where Converse knows it: the words are the same.
func stopReason(s string) string {
	switch s {
	case converse.StopToolUse, converse.StopMaxTokens, converse.StopStopSequence, converse.StopGuardrailIntervened, converse.StopContentFiltered,
		converse.StopMalformedModelOutput, converse.StopMalformedToolUse, converse.StopContextWindowExceeded:
		return s
	}
	return converse.StopEndTurn
}

func (d *Decoder) piece(dst []converse.Event, kind converse.DeltaKind, text string) []converse.Event {
	if kind != converse.SignatureDelta {
		d.usage.Say(text)
	}
	return d.blocks.Delta(dst, kind, text)
}

func (d *Decoder) reasoning(dst []converse.Event, r *reasoning) []converse.Event {
	if r.Block != nil {
		r = r.Block
	}
	dst = d.piece(dst, converse.ReasoningDelta, r.Text)
	dst = d.piece(dst, converse.SignatureDelta, r.Signature)
	return d.piece(dst, converse.RedactedDelta, string(r.Redacted))
}

// tool opens the block of one tool use.
func (d *Decoder) tool(dst []converse.Event, t *toolUse) ([]converse.Event, error) {
	if t.ID == "" || t.Name == "" {
		return dst, malformed("a tool use without its id or its name")
	}
	d.usage.Say(t.Name)
	return d.blocks.Tool(dst, t.ID, t.Name), nil
}
