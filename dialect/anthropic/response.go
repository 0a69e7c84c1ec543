package anthropic

import (
	"encoding/base64"
	"strconv"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
)

// AppendResponse appends r as the body of an InvokeModel answer. a has the message's id ("msg_bdrk_...") and the model's
// name as Anthropic writes it.
func AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	dst = append(dst, `{"model":`...)
	dst = converse.AppendQuote(dst, a.Model)
	dst = append(dst, `,"id":`...)
	dst = converse.AppendQuote(dst, a.ID)
	dst = append(dst, `,"type":"message","role":"assistant","content":[`...)
	n := 0
	for i := range r.Content {
		if n > 0 {
			dst = append(dst, ',')
		}
		n++
		switch b := &r.Content[i]; {
		case b.Text != nil:
			dst = append(dst, `{"type":"text","text":`...)
			dst = converse.AppendQuote(dst, *b.Text)
		case b.ToolUse != nil:
			dst = append(dst, `{"type":"tool_use","id":`...)
			dst = converse.AppendQuote(dst, b.ToolUse.ToolUseID)
			dst = append(dst, `,"name":`...)
			dst = converse.AppendQuote(dst, b.ToolUse.Name)
			dst = append(dst, `,"input":`...)
			if len(b.ToolUse.Input) == 0 {
				dst = append(dst, `{}`...)
			}
			dst = append(dst, b.ToolUse.Input...)
		case b.ReasoningContent != nil && b.ReasoningContent.ReasoningText != nil:
			t := b.ReasoningContent.ReasoningText
			dst = append(dst, `{"type":"thinking","thinking":`...)
			dst = converse.AppendQuote(dst, t.Text)
			dst = append(dst, `,"signature":`...)
			dst = converse.AppendQuote(dst, t.Signature)
		case b.ReasoningContent != nil:
			dst = append(dst, `{"type":"redacted_thinking","data":"`...)
			dst = base64.StdEncoding.AppendEncode(dst, b.ReasoningContent.RedactedContent)
			dst = append(dst, '"')
		case b.CitationsContent != nil:
			dst = appendCited(dst, b.CitationsContent)
		default: // no provider makes another
			dst = append(dst, `{"type":"text","text":""`...)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `],`...)
	dst = appendStop(dst, r.StopReason, r.StopSequence)
	dst = append(dst, `,"usage":`...)
	dst = appendUsage(dst, &r.Usage)
	return append(dst, '}')
}

// appendCited appends a text and where it is from, up to its brace. A citation that has no location is left out: Messages has
// no form for it.
func appendCited(dst []byte, raw []byte) []byte {
	var c converse.Citations
	_ = json.Unmarshal(raw, &c, lenient) // a provider has made it
	dst = append(dst, `{"type":"text","text":`...)
	dst = append(converse.AppendQuote(dst, joined(c.Content)), `,"citations":[`...)
	n := 0
	for i := range c.Citations {
		before := len(dst)
		if n > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = appendCitation(dst, &c.Citations[i]); !ok {
			dst = dst[:before]
			continue
		}
		n++
	}
	return append(dst, ']')
}

// appendStop appends the members stop_reason and stop_sequence.
func appendStop(dst []byte, reason, sequence string) []byte {
	dst = append(dst, `"stop_reason":"`...)
	switch reason {
	case converse.StopToolUse, converse.StopMaxTokens, converse.StopStopSequence, converse.StopContextWindowExceeded:
		dst = append(dst, reason...)
	case converse.StopContentFiltered, converse.StopGuardrailIntervened:
		dst = append(dst, `refusal`...)
	default: // end_turn; the format has no word for malformed output
		dst = append(dst, converse.StopEndTurn...)
	}
	dst = append(dst, `","stop_sequence":`...)
	if reason != converse.StopStopSequence {
		return append(dst, `null`...)
	}
	return converse.AppendQuote(dst, sequence)
}

func appendUsage(dst []byte, u *converse.Usage) []byte {
	dst = append(dst, `{"input_tokens":`...)
	dst = strconv.AppendInt(dst, u.InputTokens, 10)
	dst = append(dst, `,"cache_creation_input_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheWriteInputTokens, 10)
	dst = append(dst, `,"cache_read_input_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheReadInputTokens, 10)
	dst = append(dst, `,"cache_creation":{"ephemeral_5m_input_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheWriteInputTokens-u.CacheWrite1hInputTokens, 10)
	dst = append(dst, `,"ephemeral_1h_input_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheWrite1hInputTokens, 10)
	dst = append(dst, `},"output_tokens":`...)
	dst = strconv.AppendInt(dst, u.OutputTokens, 10)
	return append(dst, '}')
}

// StreamEncoder turns the events of one answer into the events of Anthropic's stream, which
// InvokeModelWithResponseStream wraps one by one.
//
// message_start carries the input tokens although most upstreams tell them last; InputTokens is what it says, an
// estimate or 0. message_delta, which waits for the usage, has the true figures, and a client reads those last.
type StreamEncoder struct {
	converse.AnswerInfo

	API bool // the stream is that of Anthropic's own API: without the metrics that Bedrock adds to its end

	buf    []byte
	open   bool               // a content block is open
	kind   converse.DeltaKind // of the open block
	index  int
	sealed []byte // a redacted block's data, which goes out whole
	reason string
	stop   string
}

// Encode calls emit with the JSON of each of the stream's events that e makes: none, one or two. The bytes are valid
// until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	switch e.Kind {
	case converse.MessageStart:
		b := append(s.buf[:0], `{"type":"message_start","message":{"model":`...)
		b = converse.AppendQuote(b, s.Model)
		b = append(b, `,"id":`...)
		b = converse.AppendQuote(b, s.ID)
		b = append(b, `,"type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":`...)
		b = appendUsage(b, &converse.Usage{InputTokens: s.InputTokens})
		s.emit(append(b, `}}`...), emit)
	case converse.BlockStart:
		s.begin(e.Index, converse.ToolInputDelta)
		b := s.blockEvent(`{"type":"content_block_start","index":`)
		b = append(b, `,"content_block":{"type":"tool_use","id":`...)
		b = converse.AppendQuote(b, e.ToolUseID)
		b = append(b, `,"name":`...)
		b = converse.AppendQuote(b, e.ToolName)
		s.emit(append(b, `,"input":{}}}`...), emit)
	case converse.BlockDelta:
		s.delta(e, emit)
	case converse.BlockStop:
		if !s.open {
			return
		}
		if s.kind == converse.RedactedDelta {
			b := s.blockEvent(`{"type":"content_block_start","index":`)
			b = append(b, `,"content_block":{"type":"redacted_thinking","data":"`...)
			b = base64.StdEncoding.AppendEncode(b, s.sealed)
			s.emit(append(b, `"}}`...), emit)
		}
		s.open = false
		s.emit(append(s.blockEvent(`{"type":"content_block_stop","index":`), '}'), emit)
	case converse.MessageStop:
		s.reason, s.stop = e.StopReason, e.StopSequence
	case converse.Metadata:
		b := append(s.buf[:0], `{"type":"message_delta","delta":{`...)
		b = appendStop(b, s.reason, s.stop)
		b = append(b, `},"usage":`...)
		b = appendUsage(b, &e.Usage)
		s.emit(append(b, '}'), emit)
		if s.API {
			s.emit(append(s.buf[:0], `{"type":"message_stop"}`...), emit)
			return
		}
		b = append(s.buf[:0], `{"type":"message_stop",`...)
		s.emit(append(converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage), '}'), emit)
	}
}

func (s *StreamEncoder) emit(b []byte, emit func([]byte)) {
	s.buf = b
	emit(b)
}

func (s *StreamEncoder) begin(index int, kind converse.DeltaKind) {
	s.open, s.kind, s.index, s.sealed = true, kind, index, s.sealed[:0]
}

// blockEvent begins an event of the open block, up to its index.
func (s *StreamEncoder) blockEvent(head string) []byte {
	return strconv.AppendInt(append(s.buf[:0], head...), int64(s.index), 10)
}

func (s *StreamEncoder) delta(e *converse.Event, emit func([]byte)) {
	if !s.open { // text and thinking have no start event in ConverseStream
		kind := e.Delta
		switch kind {
		case converse.SignatureDelta:
			kind = converse.ReasoningDelta
		case converse.CitationDelta:
			kind = converse.TextDelta
		}
		s.begin(e.Index, kind)
		switch kind {
		case converse.TextDelta:
			s.emit(append(s.blockEvent(`{"type":"content_block_start","index":`), `,"content_block":{"type":"text","text":""}}`...), emit)
		case converse.ReasoningDelta:
			s.emit(append(s.blockEvent(`{"type":"content_block_start","index":`), `,"content_block":{"type":"thinking","thinking":"","signature":""}}`...), emit)
		}
	}
	var head string
	switch e.Delta {
	case converse.CitationDelta:
		var c converse.Citation
		_ = json.Unmarshal(e.Fields, &c, lenient) // a provider has made it
		b := append(s.blockEvent(`{"type":"content_block_delta","index":`), `,"delta":{"type":"citations_delta","citation":`...)
		if b, ok := appendCitation(b, &c); ok {
			s.emit(append(b, `}}`...), emit)
		}
		return
	case converse.TextDelta:
		head = `,"delta":{"type":"text_delta","text":`
	case converse.ToolInputDelta:
		head = `,"delta":{"type":"input_json_delta","partial_json":`
	case converse.ReasoningDelta:
		head = `,"delta":{"type":"thinking_delta","thinking":`
	case converse.SignatureDelta:
		head = `,"delta":{"type":"signature_delta","signature":`
	default:
		s.sealed = append(s.sealed, e.Text...)
		return
	}
	b := append(s.blockEvent(`{"type":"content_block_delta","index":`), head...)
	b = converse.AppendQuote(b, e.Text)
	s.emit(append(b, `}}`...), emit)
}
