package cohere

import (
	"crypto/rand"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// Decoder turns the answer to one request into converse's events: Append for each chunk of a stream, or once for a whole
// answer, then Finish. It tells a chat's answer from a Command model's by its members. The zero value is ready, but for
// Stop. It holds the state of one answer and is not safe for concurrent use.
//
// MessageStart comes with the first piece of content: a server that dies before has shown nothing yet, and another may be
// asked. BlockStop of the last block, MessageStop and Metadata come from Finish. Calls have no ids here; each gets one that
// no other has. Citations and search queries go into MessageStop's Fields, by the names that they have here.
type Decoder struct {
	Stop []string // the request's stop sequences

	blocks  outbound.Blocks
	wrote   bool     // text has come
	called  bool     // a call has come
	delta   int      // index of the call that tool-calls-chunk writes
	finish  string   // finish_reason, in capitals
	cited   [][]byte // elements of citations
	queries [][]byte // likewise of search_queries
	usage   outbound.Usage
}

// chunk is any event of a stream and any whole answer.
type chunk struct {
	Event    string `json:"event_type"`
	Index    int    `json:"index"`
	Delta    *delta `json:"tool_call_delta"`
	Response *struct {
		answer
	} `json:"response"` // of stream-end: the whole answer
	answer
	Metrics *outbound.Counts `json:"amazon-bedrock-invocationMetrics"`
}

type answer struct {
	Text         string           `json:"text"`
	FinishReason string           `json:"finish_reason"`
	ToolCalls    []decodedCall    `json:"tool_calls"`
	Citations    []jsontext.Value `json:"citations"`
	Queries      []jsontext.Value `json:"search_queries"`
	Generations  []struct {
		Text         string `json:"text"`
		FinishReason string `json:"finish_reason"`
	} `json:"generations"`
	Meta *struct {
		Billed *counts `json:"billed_units"`
		Tokens *counts `json:"tokens"`
	} `json:"meta"`
}

type decodedCall struct {
	Name       string         `json:"name"`
	Parameters jsontext.Value `json:"parameters"`
}

type delta struct {
	Index      int    `json:"index"`
	Name       string `json:"name"`
	Parameters string `json:"parameters"`
}

type counts struct {
	Input  outbound.Count `json:"input_tokens"`
	Output outbound.Count `json:"output_tokens"`
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.finish != "" }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.blocks.Started }

// endOfText is what Command models have written as their last piece before they said that it was.
const endOfText = "<EOS_TOKEN>"

// Append decodes data, one chunk of a stream or a whole answer, and appends its events to dst. It fails with an error that
// wraps ErrMalformed where data is neither, and with a fault.ModelError where the model's server gave the answer up. It
// keeps no reference to data.
func (d *Decoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	var c chunk
	if err := json.Unmarshal(data, &c, lenient, jsontext.AllowInvalidUTF8(true)); err != nil {
		return dst, malformed("%v", err)
	}
	switch c.Event {
	case "", "text-generation", "tool-calls-chunk":
		if c.Index != 0 || c.Event == "" && c.Text == endOfText { // another generation than the first; see AppendPrompt
			break
		}
		dst = d.text(dst, c.Text)
		if t := c.Delta; t != nil {
			dst = d.piece(dst, t)
		}
		dst = d.calls(dst, c.ToolCalls)
		if len(c.Generations) > 0 {
			dst = d.text(dst, c.Generations[0].Text)
			c.FinishReason = c.Generations[0].FinishReason
		}
	case "tool-calls-generation": // all calls, after their pieces where those were told, and what the model said before them
		if !d.wrote {
			dst = d.text(dst, c.Text)
		}
		if !d.called {
			dst = d.calls(dst, c.ToolCalls)
		}
	}
	if c.Response != nil {
		if !d.wrote && !d.called { // all there is
			a := &c.Response.answer
			dst = d.text(dst, a.Text)
			if len(a.Generations) > 0 {
				dst = d.text(dst, a.Generations[0].Text)
			}
			dst = d.calls(dst, a.ToolCalls)
		}
		if len(d.cited) == 0 && len(d.queries) == 0 { // not told in events of their own
			d.keep(&c.Response.answer)
		}
		d.readUsage(&c.Response.answer)
	}
	d.keep(&c.answer)
	d.readUsage(&c.answer)
	if c.Metrics != nil {
		d.usage.Tell(*c.Metrics)
	}
	switch reason := strings.ToUpper(c.FinishReason); reason {
	case "":
	case "ERROR", "USER_CANCEL", "TIMEOUT":
		return dst, fault.New(fault.ModelError, "The model's server gave the answer up (finish_reason %s).", reason)
	default:
		d.finish = reason
	}
	return dst, nil
}

// readUsage reads the counts of Cohere's own answers. What is billed excludes the template that the model adds.
func (d *Decoder) readUsage(a *answer) {
	if a.Meta == nil {
		return
	}
	for _, c := range []*counts{a.Meta.Tokens, a.Meta.Billed} {
		if c != nil {
			d.usage.Tell(outbound.Counts{Input: c.Input, Output: c.Output})
		}
	}
}

// keep collects what an answer says beside its content.
func (d *Decoder) keep(a *answer) {
	for _, v := range a.Citations {
		d.cited = append(d.cited, v.Clone())
	}
	for _, v := range a.Queries {
		d.queries = append(d.queries, v.Clone())
	}
}

func (d *Decoder) text(dst []converse.Event, s string) []converse.Event {
	d.wrote = d.wrote || s != ""
	return d.write(dst, converse.TextDelta, s)
}

func (d *Decoder) write(dst []converse.Event, kind converse.DeltaKind, s string) []converse.Event {
	d.usage.Say(s)
	return d.blocks.Delta(dst, kind, s)
}

// begin begins a call.
func (d *Decoder) begin(dst []converse.Event, name string) []converse.Event {
	d.called = true
	d.usage.Say(name)
	return d.blocks.Tool(dst, "tool_"+rand.Text(), name)
}

// piece appends a piece of a call, which begins with its name.
func (d *Decoder) piece(dst []converse.Event, t *delta) []converse.Event {
	if t.Name != "" || d.blocks.Open != converse.ToolInputDelta || t.Index != d.delta {
		dst = d.begin(dst, t.Name)
		d.delta = t.Index
	}
	return d.write(dst, converse.ToolInputDelta, t.Parameters)
}

// calls appends whole calls.
func (d *Decoder) calls(dst []converse.Event, calls []decodedCall) []converse.Event {
	for i := range calls {
		dst = d.begin(dst, calls[i].Name)
		if p := compact(calls[i].Parameters); len(p) > 0 && p.Kind() != 'n' {
			dst = d.write(dst, converse.ToolInputDelta, string(p))
		}
		dst = d.blocks.Close(dst)
	}
	return dst
}

// Finish appends the events that end the answer, with the usage of outbound.Usage: input is called for an estimate of the
// input tokens where the server has not told them.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.blocks.Close(d.blocks.Start(dst))
	e := converse.Event{Kind: converse.MessageStop, StopReason: d.stopReason(), Fields: d.fields()}
	if e.StopReason == converse.StopStopSequence && len(d.Stop) == 1 {
		e.StopSequence = d.Stop[0] // it can be no other
	}
	dst = append(dst, e)
	return append(dst, d.usage.Metadata(input))
}

func (d *Decoder) stopReason() string {
	switch d.finish {
	case "MAX_TOKENS":
		return converse.StopMaxTokens
	case "ERROR_TOXIC":
		return converse.StopContentFiltered
	case "ERROR_LIMIT":
		return converse.StopContextWindowExceeded
	}
	switch {
	case d.called:
		return converse.StopToolUse
	case d.finish == "STOP_SEQUENCE":
		return converse.StopStopSequence
	}
	return converse.StopEndTurn
}

func (d *Decoder) fields() jsontext.Value {
	var f converse.Object
	for _, m := range []struct {
		name     string
		elements [][]byte
	}{{"citations", d.cited}, {"search_queries", d.queries}} {
		if len(m.elements) > 0 {
			b := []byte{'['}
			for i, v := range m.elements {
				if i > 0 {
					b = append(b, ',')
				}
				b = append(b, v...)
			}
			f.Add(m.name, append(b, ']'))
		}
	}
	return f.Value()
}
