package openai

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// Error is what a server answered instead of a result: the error object of a body or of a stream's chunk.
type Error struct {
	Status  int    // an HTTP status where the object holds one (llama.cpp, vLLM), else 0
	Type    string // "invalid_request_error", "server_error", ...
	Code    string // "context_length_exceeded", "rate_limit_exceeded", ...
	Message string
}

func (e *Error) Error() string {
	return "the model server answered: " + e.Message + " (type " + strconv.Quote(e.Type) + ", code " + strconv.Quote(e.Code) + ")"
}

// ErrMalformed is wrapped by the error of a body that is not a Chat Completions answer.
var ErrMalformed = errors.New("not a Chat Completions answer")

// Decoder turns the answer to one request into converse's events: Append for each chunk of a stream, or once for a
// whole answer, then Finish. The zero value is ready, but for Stop and Fields. It holds the state of one answer and is not
// safe for concurrent use.
//
// An answer that is passed on as it came is read by Meter, for Usage and StopReason.
//
// MessageStart comes with the first piece of content, not with the first chunk: a server that dies between its
// greeting and its first token has shown nothing yet, and another may be asked. BlockStop of the last block,
// MessageStop and Metadata come from Finish.
//
// Chat Completions says "stop" both for a finished turn and for a stop sequence. Where the server tells which (vLLM's
// stop_reason, SGLang's matched_stop) the answer ends with stop_sequence, else with end_turn.
type Decoder struct {
	Stop []string // the request's stop sequences

	// Fields has the request's additionalModelResponseFieldPaths. They lead into the whole answer or, of a stream, into the
	// chunk that ends it and those behind it.
	Fields converse.Fields

	Tier string // that the answer counts as served in where the server says none, as Converse names it

	in    scanner
	part  part // the chunk at hand
	texts converse.Texts

	started bool
	open    converse.DeltaKind // kind of the open block, 0 for none
	index   int                // of the open block, or of the next one
	call    callID             // of the open tool block
	closed  map[int]bool       // tool call indexes that are over
	tools   bool               // a tool was called
	finish  string             // finish_reason
	stopped string             // the stop sequence that the server told
	tier    string             // the service tier that the server told, as Converse names it
	usage   outbound.Told
	tally   int64 // estimated tokens of what was appended

	// The last chunk that held one piece of text and nothing else, for quick: all but its text repeats.
	before, after []byte

	all   bool  // every answer of several is read, which only Meter wants
	place Piece // of the latest chunk that Meter has read; the model's place is counted from the end where it is negative
}

// callID tells one tool call of an answer from another.
type callID struct {
	index int // -1 where the server gives none
	id    string
	named bool // BlockStart is out
	name  string
	held  joined // arguments that came before the name
}

// part is what one chunk, or one whole message, holds.
type part struct {
	text, thought   joined
	textAt, textEnd int // where the raw text stands in the chunk
	plain           bool
	calls           []toolPart
	finish, stopped string
	tier            string
	usage           outbound.Told
	choices         bool
	answers         int // how many choices there are
	modelAt         int // where the model's name stands, its quotes included
	modelEnd        int
	err             *Error
}

// joined is a text that comes in pieces, mostly in one. However many there are, each is copied once or twice.
type joined struct {
	first string
	all   []byte // from the second piece on
}

func (j *joined) add(s string) {
	switch {
	case s == "":
	case j.empty():
		j.first = s
	case j.all == nil:
		j.all = append(append(make([]byte, 0, 2*len(j.first)+len(s)), j.first...), s...)
	default:
		j.all = append(j.all, s...)
	}
}

func (j *joined) empty() bool { return j.first == "" }

func (j *joined) String() string {
	if j.all != nil {
		return string(j.all)
	}
	return j.first
}

type toolPart struct {
	index           int
	id, name, input string
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.finish != "" }

// Ended reports whether the last chunk of the stream has come, which Chat Completions does not say in one.
func (d *Decoder) Ended() bool { return false }

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.started }

// Append decodes data, one chunk of a stream (the payload of one SSE event, other than [DONE]) or a whole answer, and
// appends its events to dst. It fails with *Error when data is an error object, or with an error that wraps
// ErrMalformed. It keeps no reference to data.
func (d *Decoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	if text, ok := d.quick(data); ok {
		if text == "" {
			return dst, nil
		}
		return d.piece(dst, d.open, text), nil
	}
	d.before, d.after = d.before[:0], d.after[:0]
	if err := d.parse(data); err != nil {
		return dst, err
	}
	p := &d.part
	if p.err != nil {
		return dst, p.err
	}
	d.takeUsage()
	if thought := p.thought.String(); thought != "" {
		dst = d.block(dst, converse.ReasoningDelta)
		dst = d.piece(dst, converse.ReasoningDelta, thought)
	}
	if text := p.text.String(); text != "" {
		dst = d.block(dst, converse.TextDelta)
		dst = d.piece(dst, converse.TextDelta, text)
		if p.plain {
			d.before = append(d.before, data[:p.textAt]...)
			d.after = append(d.after, data[p.textEnd:]...)
		}
	}
	for i := range p.calls {
		var err error
		if dst, err = d.toolCall(dst, &p.calls[i]); err != nil {
			return dst, err
		}
	}
	if err := d.takeFinish(); err != nil {
		return dst, err
	}
	if d.finish != "" {
		d.Fields.Look(data)
	}
	return dst, nil
}

// takeUsage takes over what the chunk at hand tells of the usage.
func (d *Decoder) takeUsage() {
	u := &d.part.usage
	if u.Input {
		tellInput(&d.usage, u.InputTokens+u.CacheReadInputTokens+u.CacheWriteInputTokens, u.CacheReadInputTokens, u.CacheWriteInputTokens)
	}
	if u.Output && (u.OutputTokens > 0 || d.usage.OutputTokens == 0) {
		d.usage.Output, d.usage.OutputTokens = true, u.OutputTokens
	}
}

// takeFinish takes over what the chunk at hand says of the end.
func (d *Decoder) takeFinish() error {
	switch p := &d.part; p.finish {
	case "":
	case "abort", "error": // vLLM, SGLang: the server gave the request up
		return &Error{Type: "aborted", Message: "the model server gave the answer up (finish_reason " + strconv.Quote(p.finish) + ")"}
	default:
		d.finish, d.stopped = p.finish, p.stopped
	}
	if d.part.tier != "" {
		d.tier = d.part.tier
	}
	return nil
}

// Finish appends the events that end the answer, with Usage.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.start(dst)
	if d.open == converse.ToolInputDelta && !d.call.named {
		dst = d.nameCall(dst) // a call without a name, so that the caller sees its arguments
	}
	dst = d.close(dst)
	e := converse.Event{Kind: converse.MessageStop, StopReason: d.stopReason(), Fields: d.Fields.Value()}
	if e.StopReason == converse.StopStopSequence {
		e.StopSequence = d.stopped
	}
	dst = append(dst, e)
	m := converse.Event{Kind: converse.Metadata, Served: d.Served()}
	m.Usage, m.Estimated = d.Usage(input)
	return append(dst, m)
}

// Served returns what the server has said of the service, nil where it has said nothing.
func (d *Decoder) Served() *converse.Served { return converse.ServedTier(cmp.Or(d.tier, d.Tier)) }

// Usage returns what is known of the usage. Where the server has not told it, or told a part of it that cannot be, it is
// estimated: input is called for the number of input tokens, and the output's are estimated from what came.
func (d *Decoder) Usage(input func() int64) (u converse.Usage, estimated bool) {
	return d.usage.Or(input, d.tally)
}

func (d *Decoder) stopReason() string {
	switch d.finish {
	case "length":
		return converse.StopMaxTokens
	case "content_filter":
		return converse.StopContentFiltered
	}
	if d.tools { // also where the server says "stop", as some do
		return converse.StopToolUse
	}
	if d.finish == "stop" && d.stopped != "" && slices.Contains(d.Stop, d.stopped) {
		return converse.StopStopSequence
	}
	return converse.StopEndTurn
}

func (d *Decoder) start(dst []converse.Event) []converse.Event {
	if d.started {
		return dst
	}
	d.started = true
	return append(dst, converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant})
}

// block makes the open block one of kind, which is not ToolInputDelta.
func (d *Decoder) block(dst []converse.Event, kind converse.DeltaKind) []converse.Event {
	dst = d.start(dst)
	if d.open == kind {
		return dst
	}
	dst = d.close(dst)
	d.open = kind
	return dst
}

func (d *Decoder) close(dst []converse.Event) []converse.Event {
	if d.open == 0 {
		return dst
	}
	if d.open == converse.ToolInputDelta && d.call.index >= 0 {
		if d.closed == nil {
			d.closed = map[int]bool{}
		}
		d.closed[d.call.index] = true
	}
	dst = append(dst, converse.Event{Kind: converse.BlockStop, Index: d.index})
	d.open = 0
	d.index++
	return dst
}

func (d *Decoder) piece(dst []converse.Event, kind converse.DeltaKind, text string) []converse.Event {
	d.count(text)
	return append(dst, converse.Event{Kind: converse.BlockDelta, Index: d.index, Delta: kind, Text: text})
}

// toolCall appends the events of one piece of a tool call. Calls come one after the other, each whole before the next:
// a new index, or where there is none a new id, begins the next call. Some servers (Ollama, Gemini's) give every call
// the index 0; a new id tells them apart.
func (d *Decoder) toolCall(dst []converse.Event, t *toolPart) ([]converse.Event, error) {
	if !d.continues(t) {
		if t.index >= 0 && t.name == "" && d.closed[t.index] {
			return dst, malformed("a piece of tool call %d came after the next call had begun", t.index)
		}
		dst = d.start(dst)
		if d.open == converse.ToolInputDelta && !d.call.named {
			dst = d.nameCall(dst)
		}
		dst = d.close(dst)
		d.open = converse.ToolInputDelta
		d.tools = true
		d.call = callID{index: t.index}
	}
	if d.call.id == "" {
		d.call.id = t.id
	}
	if !d.call.named {
		d.call.name += t.name
		d.call.held.add(t.input)
		if d.call.name != "" {
			dst = d.nameCall(dst)
		}
		return dst, nil
	}
	if t.input != "" {
		dst = d.piece(dst, converse.ToolInputDelta, t.input)
	}
	return dst, nil
}

// continues reports whether t is a piece of the open call.
func (d *Decoder) continues(t *toolPart) bool {
	c := &d.call
	switch {
	case d.open != converse.ToolInputDelta:
		return false
	case t.index >= 0 && c.index >= 0 && t.index != c.index:
		return false
	case t.id != "" && c.id != "" && t.id != c.id:
		return t.name == "" && t.index >= 0 // some vLLM releases made up a new id for every piece
	case t.id == "" && t.index < 0 && t.name != "" && c.named:
		return false
	}
	return true
}

// nameCall appends the BlockStart of the open call, and what of its arguments was held back for it.
func (d *Decoder) nameCall(dst []converse.Event) []converse.Event {
	d.call.named = true
	if d.call.id == "" {
		d.call.id = "call_" + rand.Text() // some servers give none, and a result must name its call
	}
	d.tally += converse.EstimateTokens(d.call.name)
	dst = append(dst, converse.Event{Kind: converse.BlockStart, Index: d.index, ToolUseID: outbound.ToolUseID(d.call.id), ToolName: d.call.name})
	if held := d.call.held.String(); held != "" {
		d.call.held = joined{}
		dst = d.piece(dst, converse.ToolInputDelta, held)
	}
	return dst
}

// quick decodes a chunk that repeats the last one in all but its text, as nearly all chunks of a stream do. What stands
// before and after the text was parsed with the chunk that it is compared with, so that only the string is read.
func (d *Decoder) quick(data []byte) (text string, ok bool) {
	n := len(data) - len(d.after)
	if len(d.before) == 0 || n < len(d.before)+2 || d.open != converse.TextDelta ||
		!bytes.Equal(data[:len(d.before)], d.before) || !bytes.Equal(data[n:], d.after) {
		return "", false
	}
	in := scanner{b: data[:n], i: len(d.before)}
	raw, plain, err := in.quoted()
	if err != nil || in.i < n {
		return "", false // two strings, or no JSON
	}
	return d.unquote(raw, plain), true
}

// unquote is the function of that name, for pieces of a stream.
func (d *Decoder) unquote(raw []byte, plain bool) string {
	var short [64]byte // a piece fits in
	return d.texts.Make(appendUnquoted(short[:0], raw, plain))
}
