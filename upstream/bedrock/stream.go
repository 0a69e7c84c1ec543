package bedrock

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/anthropic"
)

// stream is the converse.Stream of a streamed answer. The last event is held back until the body has ended, which comes
// at once: then its connection can be used again, also by who reads no further than Metadata.
func (x *exchange) stream(yield func(converse.Event, error) bool) {
	defer x.body.Close()
	in := newFrames(x.body, x.p.cfg.MaxAnswerBytes)
	defer in.release()
	d := decoder{x: x}
	if x.ask.native && x.req.Body == nil { // of a Body whose answer is cut the caller of Send makes the careful count
		d.tally.guess = textTokens(x.ask.body, true)
	}
	started := false
	for {
		f, ok, err := in.next()
		if err == nil && !ok {
			if d.ended {
				x.body.SetReadTimeout(drainTime)
			}
			if err = in.fill(); err == nil {
				continue
			}
			if d.ended || err == io.EOF && d.finish() {
				yield(d.last, nil)
				return
			}
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		var e converse.Event
		if err == nil {
			e, ok, err = d.decode(f)
		}
		if err != nil {
			if !d.ended {
				d.last = converse.Event{}
			}
			yield(d.last, x.failed(err, started))
			return
		}
		if !ok {
			continue
		}
		if e.Kind != converse.MessageStart {
			x.body.SetReadTimeout(x.p.between) // the first token is there
		}
		e.More = d.ended || in.ready(x.ask.native && x.ask.converse)
		if !started {
			e.Served = x.served
		}
		started = true
		if !yield(e, nil) {
			return
		}
	}
}

// decoder makes events of frames.
type decoder struct {
	x       *exchange
	texts   converse.Texts
	tally   tally
	stopped bool           // the message has ended: only its metadata may follow
	ended   bool           // last is what ends the answer
	last    converse.Event // Metadata
	native  []byte         // last's
	chunk   []byte         // the bytes of the latest chunk
}

// decode returns the event of one frame. ok is false for a frame that has none, or whose event is held back.
func (d *decoder) decode(f frame) (e converse.Event, ok bool, err error) {
	switch f.kind {
	case "event":
		if f.name == "" {
			return e, false, fmt.Errorf("%w: an event of no type", errFrame)
		}
	case "exception", "error":
		r := &refusal{Name: f.name, Status: 200, Message: f.message}
		if len(f.payload) > 0 && f.kind == "exception" {
			r.read(f.payload)
		}
		return e, false, r
	default:
		return e, false, fmt.Errorf("%w: a message of type %q", errFrame, f.kind)
	}
	if d.x.ask.converse {
		return d.event(f)
	}
	if f.name != "chunk" {
		return e, false, nil // a kind of event that is not known yet
	}
	if d.chunk, err = chunkBytes(d.chunk[:0], f.payload); err != nil {
		return e, false, err
	}
	if d.ended { // the metrics were in a chunk that is not the last one
		e = converse.Event{Kind: converse.Chunk, Native: d.native, Name: d.last.Name, Usage: d.tally.soFar()}
		d.native, d.ended = nil, false
		ok = true
	}
	if last := d.tally.chunk(d.chunk); last || ok {
		d.last, d.ended = d.x.metadata(&d.tally), true
		d.last.StopReason = d.tally.stop
		d.native = append(d.native, d.chunk...)
		d.last.Native, d.last.Name = d.native, d.name()
		return e, ok, nil
	}
	return converse.Event{Kind: converse.Chunk, Native: d.chunk, Name: d.name(), Usage: d.tally.soFar(), StopReason: d.tally.stop}, true, nil
}

// name is the type of the latest chunk's event: of InvokeModel's own there is one.
func (d *decoder) name() string {
	if d.x.ask.messages {
		return anthropic.EventType(d.chunk)
	}
	return "chunk"
}

// finish says that an answer may end without a last event of its own, and makes one.
func (d *decoder) finish() bool {
	if d.ended = d.stopped || !d.x.ask.converse && d.tally.said > 0; d.ended {
		d.last = d.x.metadata(&d.tally)
	}
	return d.ended
}

// chunkBytes appends what a chunk holds: {"bytes":"<base64>","p":"<padding>"}.
func chunkBytes(dst, payload []byte) ([]byte, error) {
	const begin = `{"bytes":"`
	if rest, ok := bytes.CutPrefix(payload, []byte(begin)); ok {
		if i := bytes.IndexByte(rest, '"'); i >= 0 {
			if b, err := base64.StdEncoding.AppendDecode(dst, rest[:i]); err == nil {
				return b, nil
			}
		}
	}
	var c struct {
		Bytes []byte `json:"bytes"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return dst, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return append(dst, c.Bytes...), nil
}

// event is ConverseStream's: one member of its output. The members of all of them are here.
type event struct {
	Index int `json:"contentBlockIndex"`
	Start struct {
		ToolUse *struct {
			ToolUseID string `json:"toolUseId"`
			Name      string `json:"name"`
			Type      string `json:"type"`
		} `json:"toolUse"`
		ToolResult jsontext.Value `json:"toolResult"`
		Image      jsontext.Value `json:"image"`
	} `json:"start"`
	Delta struct {
		Text    *string `json:"text"`
		ToolUse *struct {
			Input string `json:"input"`
		} `json:"toolUse"`
		ReasoningContent *struct {
			Text            *string `json:"text"`
			Signature       *string `json:"signature"`
			RedactedContent []byte  `json:"redactedContent"`
		} `json:"reasoningContent"`
		Citation jsontext.Value `json:"citation"`
	} `json:"delta"`
	StopReason string         `json:"stopReason"`
	Fields     jsontext.Value `json:"additionalModelResponseFields"`
	Usage      *tokenUsage    `json:"usage"`
	serving
}

// event decodes one event of ConverseStream.
func (d *decoder) event(f frame) (e converse.Event, ok bool, err error) {
	native := d.x.ask.native
	if native {
		// What it says is for its reader. Here it is counted, in case the answer is cut.
		d.tally.said += outputTokens(f.payload)
		e = converse.Event{Kind: converse.Chunk, Native: f.payload, Name: f.name, Usage: d.tally.soFar()}
		if f.name != "messageStop" && f.name != "metadata" {
			return e, true, nil
		}
	} else if index, text, ok := d.textDelta(f.payload); ok && f.name == "contentBlockDelta" {
		d.tally.said += converse.EstimateTokens(text)
		return converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Index: index, Text: text}, true, nil
	}
	if !converse.Plausible(f.payload) {
		return e, false, errParts
	}
	var in event
	if err := json.Unmarshal(f.payload, &in, jsontext.AllowInvalidUTF8(true)); err != nil {
		return e, false, fmt.Errorf("%w: %s: %w", errMalformed, f.name, err)
	}
	switch f.name {
	case "messageStart":
		return converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant}, true, nil
	case "contentBlockStart":
		switch t := in.Start.ToolUse; {
		case t != nil && t.Type == "":
			e = converse.Event{Kind: converse.BlockStart, Index: in.Index, ToolUseID: t.ToolUseID, ToolName: t.Name}
			d.tally.said += e.OutputTokens()
			return e, true, nil
		case t != nil, in.Start.ToolResult != nil, in.Start.Image != nil:
			return e, false, d.x.inexpressible("content block")
		}
		return e, false, nil // a text begins with its first delta
	case "contentBlockDelta":
		e = converse.Event{Kind: converse.BlockDelta, Index: in.Index}
		t, r := in.Delta.ToolUse, in.Delta.ReasoningContent
		switch {
		case in.Delta.Text != nil:
			e.Delta, e.Text = converse.TextDelta, *in.Delta.Text
		case t != nil:
			e.Delta, e.Text = converse.ToolInputDelta, t.Input
		case r != nil && r.Text != nil:
			e.Delta, e.Text = converse.ReasoningDelta, *r.Text
		case r != nil && r.Signature != nil:
			e.Delta, e.Text = converse.SignatureDelta, *r.Signature
		case r != nil && r.RedactedContent != nil:
			e.Delta, e.Text = converse.RedactedDelta, string(r.RedactedContent)
		case in.Delta.Citation != nil:
			e.Delta, e.Fields = converse.CitationDelta, in.Delta.Citation
		default:
			return e, false, d.x.inexpressible("piece of a content block")
		}
		d.tally.said += e.OutputTokens()
		return e, true, nil
	case "contentBlockStop":
		return converse.Event{Kind: converse.BlockStop, Index: in.Index}, true, nil
	case "messageStop":
		d.stopped = true
		if native {
			e.StopReason = in.StopReason
			return e, true, nil
		}
		return converse.Event{Kind: converse.MessageStop, StopReason: in.StopReason, Fields: in.Fields}, true, nil
	case "metadata":
		var told bool
		d.last, d.ended = converse.Event{Kind: converse.Metadata}, true
		if d.last.Usage, told = in.Usage.usage(); !told {
			d.last = d.x.metadata(&d.tally)
		}
		d.last.Served = in.served()
		if native {
			d.native = append(d.native[:0], f.payload...)
			d.last.Native, d.last.Name = d.native, f.name
		}
	}
	return e, false, nil // metadata is held back; what else there is is not known yet
}

// textDelta reads a contentBlockDelta of the form in which nearly every one comes, at a fifth of the cost of reflection:
// {"contentBlockIndex":0,"delta":{"text":"..."} and what else there may be.
func (d *decoder) textDelta(b []byte) (index int, text string, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte(`{"contentBlockIndex":`))
	i := 0
	for ; ok && i < len(b) && i < 9 && '0' <= b[i] && b[i] <= '9'; i++ {
		index = index*10 + int(b[i]-'0')
	}
	if ok = ok && i > 0; !ok {
		return 0, "", false
	}
	if b, ok = bytes.CutPrefix(b[i:], []byte(`,"delta":{"text":`)); !ok || len(b) == 0 || b[0] != '"' {
		return 0, "", false
	}
	inside, rest, ok := nextString(b)
	if !ok || len(rest) == 0 || rest[0] != '}' || !utf8.Valid(inside) {
		return 0, "", false
	}
	if bytes.IndexByte(inside, '\\') < 0 {
		return index, d.texts.Make(inside), true
	}
	var short [64]byte // a piece fits in
	decoded, err := jsontext.AppendUnquote(short[:0], b[:len(inside)+2])
	return index, d.texts.Make(decoded), err == nil
}
