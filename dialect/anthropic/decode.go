package anthropic

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/outbound"
)

// Error is what a server answered instead of a result: the error object of a body or of an event.
type Error struct {
	Type    string // "invalid_request_error", "overloaded_error", ...
	Message string
}

func (e *Error) Error() string {
	return "the model server answered: " + e.Message + " (type " + strconv.Quote(e.Type) + ")"
}

// ErrMalformed is wrapped by the error of a body that is not a Messages answer, or one that holds what Converse has no form
// for: a block of a tool that the server runs itself, or a citation of what such a tool has found.
var ErrMalformed = errors.New("not a Messages answer")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Decoder turns the answer to one request into converse's events: Append for each event of a stream, or once for a whole
// answer, then Finish. The zero value is ready, but for Fields. It holds the state of one answer and is not safe for
// concurrent use.
//
// MessageStart comes with the first piece of content, not with message_start: a server that is overloaded between the two
// has shown nothing yet, and another may be asked. BlockStop of a block that the server left open, MessageStop and
// Metadata come from Finish.
//
// A refusal ends as content_filtered. pause_turn, which ends a turn that the server would go on with, ends as end_turn.
//
// An answer that is passed on as it came is read by Meter, for Usage and StopReason.
type Decoder struct {
	// Fields has the request's additionalModelResponseFieldPaths. They lead into the whole answer or, of a stream, into its
	// message_delta: there Bedrock knows "/stop_sequence" as "/delta/stop_sequence" (github.com/vercel/ai pull 11410).
	Fields converse.Fields

	chunk chunk
	texts converse.Texts

	started bool
	ended   bool
	open    converse.DeltaKind // kind of the open block, 0 for none
	index   int                // of the open block, or of the next one
	theirs  int64              // the server's index of the block that it has open
	kind    string             // the type of that block
	stop    string
	stopped string // the stop sequence
	usage   usage
	tally   int64 // estimated tokens of what was appended
}

// chunk is an event of a stream, or a whole answer, which is what message_start has as its message.
type chunk struct {
	Type    string       `json:"type"`
	Message *answer      `json:"message"`
	Index   int64        `json:"index"`
	Block   *answerBlock `json:"content_block"`
	Delta   *struct {
		Type         string         `json:"type"`
		Text         string         `json:"text"`
		PartialJSON  string         `json:"partial_json"`
		Thinking     string         `json:"thinking"`
		Signature    string         `json:"signature"`
		Citation     jsontext.Value `json:"citation"`
		StopReason   string         `json:"stop_reason"`
		StopSequence string         `json:"stop_sequence"`
	} `json:"delta"`
	Error *struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	Metrics *struct {
		Input      *float64 `json:"inputTokenCount"`
		Output     *float64 `json:"outputTokenCount"`
		CacheRead  *float64 `json:"cacheReadInputTokenCount"`
		CacheWrite *float64 `json:"cacheWriteInputTokenCount"`
	} `json:"amazon-bedrock-invocationMetrics"`

	Content      []answerBlock `json:"content"`
	StopReason   string        `json:"stop_reason"`
	StopSequence string        `json:"stop_sequence"`
	Usage        *counts       `json:"usage"`
}

type answer struct {
	Content []answerBlock `json:"content"`
	Usage   *counts       `json:"usage"`
}

type answerBlock struct {
	Type      string           `json:"type"`
	Text      string           `json:"text"`
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Input     jsontext.Value   `json:"input"`
	Thinking  string           `json:"thinking"`
	Signature string           `json:"signature"`
	Data      string           `json:"data"`
	Citations []jsontext.Value `json:"citations"`
}

// citation has the members of all its types.
type citation struct {
	Type              string `json:"type"`
	CitedText         string `json:"cited_text"`
	DocumentIndex     *int   `json:"document_index"`
	DocumentTitle     string `json:"document_title"`
	SearchResultIndex *int   `json:"search_result_index"`
	Source            string `json:"source"`
	Title             string `json:"title"`
	StartChar         *int   `json:"start_char_index"`
	EndChar           *int   `json:"end_char_index"`
	StartPage         *int   `json:"start_page_number"`
	EndPage           *int   `json:"end_page_number"`
	StartBlock        *int   `json:"start_block_index"`
	EndBlock          *int   `json:"end_block_index"`
	URL               string `json:"url"`
	EncryptedIndex    string `json:"encrypted_index"`
}

type counts struct {
	Input      *float64 `json:"input_tokens"`
	Output     *float64 `json:"output_tokens"`
	CacheRead  *float64 `json:"cache_read_input_tokens"`
	CacheWrite *float64 `json:"cache_creation_input_tokens"`
	Created    *struct {
		FiveMinutes *float64 `json:"ephemeral_5m_input_tokens"`
		OneHour     *float64 `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	Tier string `json:"service_tier"`
}

// usage is what the server told.
type usage struct {
	outbound.Told
	tier string // as Converse names it
}

// Finished reports whether the server has said how the answer ended. A stream that ends before it was cut.
func (d *Decoder) Finished() bool { return d.stop != "" }

// StopReason returns how the answer ended in Converse's words, "" where the server has not said so yet.
func (d *Decoder) StopReason() string {
	if d.stop == "" {
		return ""
	}
	return stopReason(d.stop)
}

// Started reports whether any event was appended.
func (d *Decoder) Started() bool { return d.started }

// Ended reports whether the last event of the stream has come.
func (d *Decoder) Ended() bool { return d.ended }

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Append decodes data, one event of a stream or a whole answer, and appends its events to dst. It fails with *Error when
// data is an error object, or with an error that wraps ErrMalformed. It keeps no reference to data. Types of events that it
// does not know are passed over, as Anthropic's "Versioning" wants it.
func (d *Decoder) Append(dst []converse.Event, data []byte) ([]converse.Event, error) {
	if kind, text, ok := d.quick(data); ok {
		return d.piece(dst, kind, text), nil
	}
	if err := d.read(data); err != nil {
		return dst, err
	}
	c := &d.chunk
	var err error
	switch c.Type {
	case "message":
		return d.blocks(dst, c.Content)
	case "message_start":
		if c.Message != nil {
			return d.blocks(dst, c.Message.Content)
		}
	case "content_block_start":
		d.theirs, d.kind = c.Index, ""
		if c.Block == nil {
			return dst, malformed("content_block_start without its block")
		}
		d.kind = c.Block.Type
		dst, err = d.block(dst, c.Block)
	case "content_block_delta":
		dst, err = d.delta(dst)
	case "content_block_stop":
		d.kind = ""
		dst = d.close(dst)
	}
	return dst, err
}

// read reads data into d.chunk, and takes over what it says of the usage and the end.
func (d *Decoder) read(data []byte) error {
	c := &d.chunk
	*c = chunk{}
	if jsontext.Value(data).Kind() != '{' {
		return malformed("it is no JSON object: %.60q", data)
	}
	if !converse.Plausible(data) {
		return malformed("it has more parts than an answer has")
	}
	if err := json.Unmarshal(data, c, lenient); err != nil {
		return malformed("%v", err)
	}
	if c.Error != nil {
		return &Error{Type: c.Error.Type, Message: c.Error.Message}
	}
	if c.Type == "" {
		return malformed("it has no type: %.60q", data)
	}
	if c.Usage != nil {
		d.usage.add(c.Usage, true)
	}
	if c.Message != nil && c.Message.Usage != nil {
		d.usage.add(c.Message.Usage, false)
	}
	if m := c.Metrics; m != nil {
		d.usage.fill(&counts{Input: m.Input, Output: m.Output, CacheRead: m.CacheRead, CacheWrite: m.CacheWrite})
	}
	switch {
	case c.Type == "message":
		d.stop, d.stopped = c.StopReason, c.StopSequence
		d.Fields.Look(data)
	case c.Type == "message_delta" && c.Delta != nil && c.Delta.StopReason != "":
		d.stop, d.stopped = c.Delta.StopReason, c.Delta.StopSequence
		d.Fields.Look(data)
	case c.Type == "message_stop":
		d.ended = true
	}
	return nil
}

// Meter reads data, as Append does, for what it says of the usage and the end, and returns its type. What Converse has no
// form for is no error to it.
func (d *Decoder) Meter(data []byte) (typ string, err error) {
	if _, text, ok := d.quick(data); ok {
		d.tally += converse.EstimateTokens(text)
		return "content_block_delta", nil
	}
	c := &d.chunk
	if err := d.read(data); errors.Is(err, ErrMalformed) {
		// An event of another day may have members of other types.
		var t struct {
			Type string `json:"type"`
		}
		if json.Unmarshal(data, &t, lenient) != nil || t.Type == "" {
			return "", err
		}
		return t.Type, nil
	} else if err != nil {
		return "", err
	}
	list := c.Content
	if c.Block != nil {
		d.theirs, d.kind = c.Index, c.Block.Type
		list = []answerBlock{*c.Block}
	}
	for i := range list {
		b := &list[i]
		d.tally += converse.EstimateTokens(b.Text) + converse.EstimateTokens(b.Thinking) + converse.EstimateTokens(b.Name) + converse.EstimateTokens(string(b.Input))
	}
	if t := c.Delta; t != nil {
		d.tally += converse.EstimateTokens(t.Text) + converse.EstimateTokens(t.Thinking) + converse.EstimateTokens(t.PartialJSON)
	}
	return c.Type, nil
}

// EventType returns the type of an event of a stream, "" where it tells none.
func EventType(data []byte) string {
	const head = `{"type":"`
	if rest, ok := bytes.CutPrefix(data, []byte(head)); ok {
		if i := bytes.IndexByte(rest, '"'); i > 0 && bytes.IndexByte(rest[:i], '\\') < 0 {
			return internType(rest[:i])
		}
	}
	var t struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(data, &t, lenient)
	return t.Type
}

// internType is the type as a string, without a copy where it is a common one.
func internType(b []byte) string {
	switch string(b) {
	case "content_block_delta":
		return "content_block_delta"
	case "content_block_start":
		return "content_block_start"
	case "content_block_stop":
		return "content_block_stop"
	}
	return string(b)
}

// Usage returns what is known of the usage. Where the server has not told it, or told a part of it that cannot be, it is
// estimated: input is called for the number of input tokens, and the output's are estimated from what came.
func (d *Decoder) Usage(input func() int64) (u converse.Usage, estimated bool) {
	return d.usage.Or(input, d.tally)
}

// blocks appends whole blocks.
func (d *Decoder) blocks(dst []converse.Event, list []answerBlock) ([]converse.Event, error) {
	for i := range list {
		var err error
		if dst, err = d.block(dst, &list[i]); err != nil {
			return dst, err
		}
		dst = d.close(dst)
	}
	return dst, nil
}

// block begins a block and appends what it holds, which in a stream is nothing but of redacted thinking.
func (d *Decoder) block(dst []converse.Event, b *answerBlock) ([]converse.Event, error) {
	dst = d.close(dst)
	switch b.Type {
	case "text":
		dst = d.piece(dst, converse.TextDelta, b.Text)
		for _, c := range b.Citations {
			var err error
			if dst, err = d.cite(dst, c); err != nil {
				return dst, err
			}
		}
		return dst, nil
	case "thinking":
		dst = d.piece(dst, converse.ReasoningDelta, b.Thinking)
		return d.piece(dst, converse.SignatureDelta, b.Signature), nil
	case "redacted_thinking":
		sealed, err := base64.StdEncoding.DecodeString(b.Data)
		if err != nil {
			return dst, malformed("redacted thinking that is no base64")
		}
		return d.piece(dst, converse.RedactedDelta, string(sealed)), nil
	case "tool_use":
		if b.ID == "" || b.Name == "" {
			return dst, malformed("a tool use without its id or its name")
		}
		dst = d.start(dst)
		d.open = converse.ToolInputDelta
		d.tally += converse.EstimateTokens(b.Name)
		dst = append(dst, converse.Event{Kind: converse.BlockStart, Index: d.index, ToolUseID: b.ID, ToolName: b.Name})
		if b.Input.Kind() != 'n' && len(bytes.Trim(b.Input, "{} ")) > 0 { // the start of a stream's block has an empty object
			dst = d.piece(dst, converse.ToolInputDelta, string(b.Input))
		}
		return dst, nil
	}
	return dst, malformed("a block of type %.60q", b.Type)
}

// delta appends a piece of the block that the server has open.
func (d *Decoder) delta(dst []converse.Event) ([]converse.Event, error) {
	t := d.chunk.Delta
	if t == nil {
		return dst, malformed("content_block_delta without its delta")
	}
	var kind converse.DeltaKind
	var text string
	switch t.Type {
	case "text_delta":
		kind, text = converse.TextDelta, t.Text
	case "input_json_delta":
		kind, text = converse.ToolInputDelta, t.PartialJSON
	case "thinking_delta":
		kind, text = converse.ReasoningDelta, t.Thinking
	case "signature_delta":
		kind, text = converse.SignatureDelta, t.Signature
	case "citations_delta":
		kind = converse.CitationDelta
	default:
		return dst, malformed("a delta of type %.60q", t.Type)
	}
	if d.chunk.Index != d.theirs || d.kind != blockType[kind] {
		return dst, malformed("a %s of block %d, which is not open", t.Type, d.chunk.Index)
	}
	if kind == converse.CitationDelta {
		return d.cite(dst, t.Citation)
	}
	return d.piece(dst, kind, text), nil
}

// cite appends a citation of the open text. Its places are counted as Converse counts them.
func (d *Decoder) cite(dst []converse.Event, v jsontext.Value) ([]converse.Event, error) {
	var c citation
	if err := json.Unmarshal(v, &c, lenient); err != nil {
		return dst, malformed("%v", err)
	}
	out, ok := c.converse()
	if !ok {
		return dst, malformed("a citation of type %.60q", c.Type)
	}
	fields, err := json.Marshal(&out, lenient)
	if err != nil {
		return dst, malformed("%v", err)
	}
	dst = d.start(dst)
	d.open = converse.TextDelta
	return append(dst, converse.Event{Kind: converse.BlockDelta, Index: d.index, Delta: converse.CitationDelta, Fields: fields}), nil
}

// converse makes Converse's citation of c. ok is false for a type that it has no form for.
func (c *citation) converse() (out converse.Citation, ok bool) {
	out = converse.Citation{Title: c.DocumentTitle}
	if c.CitedText != "" {
		out.SourceContent = []converse.CitedText{{Text: &c.CitedText}}
	}
	switch c.Type {
	case "char_location":
		out.Location = &converse.CitationLocation{DocumentChar: &converse.DocumentLocation{DocumentIndex: c.DocumentIndex, Start: c.StartChar, End: c.EndChar}}
	case "page_location":
		out.Location = &converse.CitationLocation{DocumentPage: &converse.DocumentLocation{DocumentIndex: c.DocumentIndex, Start: c.StartPage, End: c.EndPage}}
	case "content_block_location":
		out.Location = &converse.CitationLocation{DocumentChunk: &converse.DocumentLocation{DocumentIndex: c.DocumentIndex, Start: c.StartBlock, End: c.EndBlock}}
	case "search_result_location":
		out.Title, out.Source = c.Title, c.Source
		out.Location = &converse.CitationLocation{SearchResultLocation: &converse.SearchLocation{SearchResultIndex: c.SearchResultIndex, Start: c.StartBlock, End: c.EndBlock}}
	case "web_search_result_location":
		if c.EncryptedIndex != "" { // which has to come back
			return out, false
		}
		out.Title = c.Title
		out.Location = &converse.CitationLocation{Web: &converse.WebLocation{URL: c.URL}}
	default:
		return out, false
	}
	return out, true
}

// blockType is the type of the blocks that a kind of delta belongs to.
var blockType = [...]string{
	converse.TextDelta: "text", converse.ToolInputDelta: "tool_use", converse.ReasoningDelta: "thinking", converse.SignatureDelta: "thinking",
	converse.CitationDelta: "text",
}

// quick reads the event that a stream is made of, a piece of the open block, at a tenth of the cost. What is not of exactly
// this form is not read. Anthropic pads its events with spaces before the last brace.
func (d *Decoder) quick(data []byte) (kind converse.DeltaKind, text string, ok bool) {
	data, ok = bytes.CutPrefix(data, []byte(`{"type":"content_block_delta","index":`))
	if !ok {
		return 0, "", false
	}
	var short [20]byte
	data, ok = bytes.CutPrefix(data, strconv.AppendInt(short[:0], d.theirs, 10))
	if !ok {
		return 0, "", false
	}
	var head string
	switch d.kind {
	case "text":
		kind, head = converse.TextDelta, `,"delta":{"type":"text_delta","text":`
	case "tool_use":
		kind, head = converse.ToolInputDelta, `,"delta":{"type":"input_json_delta","partial_json":`
	case "thinking":
		kind, head = converse.ReasoningDelta, `,"delta":{"type":"thinking_delta","thinking":`
	default:
		return 0, "", false
	}
	if len(data) < len(head) || string(data[:len(head)]) != head {
		return 0, "", false
	}
	data = data[len(head):]
	end, plain := 1, true
	for ; end < len(data) && data[end] != '"'; end++ {
		if c := data[end]; c == '\\' {
			end++
			plain = false
		} else if c < 0x20 || c >= 0x80 {
			plain = false
		}
	}
	if len(data) == 0 || data[0] != '"' || end >= len(data) {
		return 0, "", false
	}
	tail, ok := bytes.CutPrefix(data[end+1:], []byte(`}`))
	if !ok || string(bytes.TrimLeft(tail, " ")) != "}" {
		return 0, "", false
	}
	if plain {
		return kind, d.texts.Make(data[1:end]), true
	}
	var room [256]byte
	unquoted, err := jsontext.AppendUnquote(room[:0], data[:end+1])
	return kind, d.texts.Make(unquoted), err == nil
}

// add takes over what c tells. The counts of a stream grow from event to event, so a smaller one is none: some servers
// repeat the members of message_start as zeros. Only the end of an answer, which message_start is not, tells its output.
// The input excludes what was read from the cache and what was written to it.
func (u *usage) add(c *counts, end bool) {
	grow := func(to *int64, n *float64) {
		v, _ := outbound.Tokens(n)
		*to = max(*to, v)
	}
	grow(&u.InputTokens, c.Input)
	grow(&u.CacheReadInputTokens, c.CacheRead)
	grow(&u.CacheWriteInputTokens, c.CacheWrite)
	if t := c.Created; t != nil {
		short, _ := outbound.Tokens(t.FiveMinutes)
		long, _ := outbound.Tokens(t.OneHour)
		u.CacheWriteInputTokens = max(u.CacheWriteInputTokens, short+long)
		u.CacheWrite1hInputTokens = max(u.CacheWrite1hInputTokens, long)
	}
	switch c.Tier {
	case "standard":
		u.tier = "default"
	case "priority":
		u.tier = "priority"
	}
	// An input of no tokens at all is not told: there is none.
	u.Input = u.InputTokens+u.CacheReadInputTokens+u.CacheWriteInputTokens > 0
	if _, ok := outbound.Tokens(c.Output); ok && end {
		u.Output = true
		grow(&u.OutputTokens, c.Output)
	}
}

// fill takes over from c what the answer itself has not told.
func (u *usage) fill(c *counts) {
	if u.Input {
		c.Input, c.CacheRead, c.CacheWrite = nil, nil, nil
	}
	if u.Output {
		c.Output = nil
	}
	u.add(c, true)
}

// Finish appends the events that end the answer, with Usage.
func (d *Decoder) Finish(dst []converse.Event, input func() int64) []converse.Event {
	dst = d.close(d.start(dst))
	e := converse.Event{Kind: converse.MessageStop, StopReason: stopReason(d.stop), Fields: d.Fields.Value()}
	if e.StopReason == converse.StopStopSequence {
		e.StopSequence = d.stopped
	}
	dst = append(dst, e)
	m := converse.Event{Kind: converse.Metadata}
	m.Usage, m.Estimated = d.Usage(input)
	m.Served = d.Served()
	return append(dst, m)
}

// Served is what the server has told of how it serves, nil for nothing.
func (d *Decoder) Served() *converse.Served { return converse.ServedTier(d.usage.tier) }

func stopReason(s string) string {
	switch s {
	case converse.StopToolUse, converse.StopMaxTokens, converse.StopStopSequence, converse.StopContextWindowExceeded:
		return s
	case "refusal":
		return converse.StopContentFiltered
	}
	return converse.StopEndTurn
}

func (d *Decoder) start(dst []converse.Event) []converse.Event {
	if d.started {
		return dst
	}
	d.started = true
	return append(dst, converse.Event{Kind: converse.MessageStart, Role: converse.RoleAssistant, Usage: d.usage.Usage})
}

func (d *Decoder) close(dst []converse.Event) []converse.Event {
	if d.open == 0 {
		return dst
	}
	dst = append(dst, converse.Event{Kind: converse.BlockStop, Index: d.index})
	d.open = 0
	d.index++
	return dst
}

// piece appends a delta to the open block, or begins one with it. Empty text is none: a block without content is left out.
func (d *Decoder) piece(dst []converse.Event, kind converse.DeltaKind, text string) []converse.Event {
	if text == "" {
		return dst
	}
	if kind != converse.SignatureDelta && !d.usage.Output { // a whole answer tells its usage with its text
		d.tally += converse.EstimateTokens(text)
	}
	if d.open == 0 {
		dst = d.start(dst)
		if d.open = kind; kind == converse.SignatureDelta {
			d.open = converse.ReasoningDelta
		}
	}
	return append(dst, converse.Event{Kind: converse.BlockDelta, Index: d.index, Delta: kind, Text: text})
}

// ParseError reads the body of an answer whose status was not 200. Where its error has no message, or it holds none, its
// first 300 bytes are the message.
func ParseError(body []byte) *Error {
	var c struct {
		Error Error `json:"error"`
	}
	if json.Unmarshal(body, &c, lenient, json.MatchCaseInsensitiveNames(true)) != nil || c.Error.Message == "" {
		c.Error.Message = strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), 300)]), "\uFFFD"))
	}
	return &c.Error
}

// ParseCount reads the answer of /v1/messages/count_tokens.
func ParseCount(body []byte) (int64, error) {
	var c counts
	if err := json.Unmarshal(body, &c, lenient); err != nil {
		return 0, malformed("%v", err)
	}
	n, ok := outbound.Tokens(c.Input)
	if !ok {
		return 0, malformed("it tells no input_tokens: %.60q", body)
	}
	return n, nil
}
