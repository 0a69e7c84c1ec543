package jamba

import (
	"crypto/rand"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// Decoder turns the answer to one request into converse's events: Append for each chunk of a stream, or once for a whole
// answer, then Finish. It tells Jamba's answers from Jurassic-2's by their members. The zero value is ready, but for Stop.
// It holds the state of one answer and is not safe for concurrent use.
//
// MessageStart comes with the first piece of content: a server that dies before has shown nothing yet, and another may be
// asked. BlockStop of the last block, MessageStop and Metadata come from Finish.
type Decoder struct {
	Stop []string // the request's stop sequences

	blocks  outbound.Blocks
	call    int    // index of the open call
	called  bool   // a call has come
	finish  string // finish_reason
	stopped string // the stop sequence that the server told
	usage   outbound.Usage
}

// chunk is any chunk of a stream and any whole answer.
type chunk struct {
	Choices []struct {
		Index        int    `json:"index"`
		Delta        said   `json:"delta"`
		Message      said   `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Completions []struct { // Jurassic-2's
		Data struct {
			Text string `json:"text"`
		} `json:"data"`
		FinishReason struct {
			Reason   string `json:"reason"`
			Sequence string `json:"sequence"`
		} `json:"finishReason"`
	} `json:"completions"`
	Usage *struct {
		Prompt     outbound.Count `json:"prompt_tokens"`
		Completion outbound.Count `json:"completion_tokens"`
	} `json:"usage"`
	Metrics *outbound.Counts `json:"amazon-bedrock-invocationMetrics"`
}

type said struct {
	Content string      `json:"content"`
	Calls   []callPiece `json:"tool_calls"`
}

type callPiece struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.finish != "" }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.blocks.Started }

// Append decodes data, one chunk of a stream or a whole answer, and appends its events to dst. It fails with an error that
// wraps ErrMalformed where data is neither, and with a fault.ModelError where the model's server gave the answer up. It
// keeps no reference to data.
func (d *Decoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	var c chunk
	if err := json.Unmarshal(data, &c, lenient, jsontext.AllowInvalidUTF8(true)); err != nil {
		return dst, malformed("%v", err)
	}
	if len(c.Choices) > 0 && c.Choices[0].Index == 0 { // of more answers than one, which nobody asks for, the first
		ch := &c.Choices[0]
		for _, s := range []*said{&ch.Delta, &ch.Message} {
			dst = d.write(dst, converse.TextDelta, s.Content)
			for i := range s.Calls {
				dst = d.piece(dst, i, &s.Calls[i])
			}
		}
		d.end(ch.FinishReason, "")
	}
	if len(c.Completions) > 0 {
		ch := &c.Completions[0]
		dst = d.write(dst, converse.TextDelta, ch.Data.Text)
		d.end(ch.FinishReason.Reason, ch.FinishReason.Sequence)
	}
	if u := c.Usage; u != nil {
		d.usage.Tell(outbound.Counts{Input: u.Prompt, Output: u.Completion})
	}
	if c.Metrics != nil {
		d.usage.Tell(*c.Metrics)
	}
	if d.finish == "error" || d.finish == "abort" {
		return dst, fault.New(fault.ModelError, "The model's server gave the answer up (finish_reason %s).", d.finish)
	}
	return dst, nil
}

func (d *Decoder) end(reason, sequence string) {
	if reason != "" {
		d.finish, d.stopped = strings.ToLower(reason), sequence
	}
}

func (d *Decoder) write(dst []converse.Event, kind converse.DeltaKind, s string) []converse.Event {
	d.usage.Say(s)
	return d.blocks.Delta(dst, kind, s)
}

// piece appends a piece of a call, or a whole one, which is the i-th of its list. A call begins with its name.
func (d *Decoder) piece(dst []converse.Event, i int, c *callPiece) []converse.Event {
	if c.Index != nil {
		i = *c.Index
	}
	if c.Function.Name != "" || d.blocks.Open != converse.ToolInputDelta || d.call != i {
		d.called, d.call = true, i
		d.usage.Say(c.Function.Name)
		if c.ID == "" {
			c.ID = "call_" + rand.Text() // a result must name its call
		}
		dst = d.blocks.Tool(dst, outbound.ToolUseID(c.ID), c.Function.Name)
	}
	return d.write(dst, converse.ToolInputDelta, c.Function.Arguments)
}

// Finish appends the events that end the answer, with the usage of outbound.Usage: input is called for an estimate of the
// input tokens where the server has not told them.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.blocks.Close(d.blocks.Start(dst))
	e := converse.Event{Kind: converse.MessageStop, StopReason: d.stopReason()}
	if e.StopReason == converse.StopStopSequence {
		e.StopSequence = d.stopped
	}
	dst = append(dst, e)
	return append(dst, d.usage.Metadata(input))
}

// stopReason: Jamba says "stop" both for a finished turn and for a stop sequence, Jurassic-2 names the sequence.
func (d *Decoder) stopReason() string {
	switch {
	case d.finish == "length":
		return converse.StopMaxTokens
	case d.finish == "content_filter":
		return converse.StopContentFiltered
	case d.called:
		return converse.StopToolUse
	case d.stopped != "" && slices.Contains(d.Stop, d.stopped):
		return converse.StopStopSequence
	}
	return converse.StopEndTurn
}
