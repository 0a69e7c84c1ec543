package llama

import (
	"strconv"

	"outcrop/converse"
)

// AppendResponse appends r as the body of an InvokeModel answer. A call of a tool is the JSON that the model itself would
// write. Thinking has no place in the format and is left out.
func AppendResponse(dst []byte, _ *converse.AnswerInfo, r *converse.Response) []byte {
	var text []byte
	calls := 0
	for i := range r.Content {
		switch b := &r.Content[i]; {
		case b.Text != nil:
			text = append(text, *b.Text...)
		case b.ToolUse != nil:
			if calls > 0 {
				text = append(text, "; "...)
			}
			calls++
			text = appendCall(text, b.ToolUse.Name)
			if len(b.ToolUse.Input) == 0 {
				text = append(text, "{}"...)
			}
			text = append(append(text, b.ToolUse.Input...), '}')
		}
	}
	dst = append(dst, `{"generation":`...)
	dst = converse.AppendQuote(dst, string(text))
	dst = append(dst, `,"prompt_token_count":`...)
	dst = strconv.AppendInt(dst, r.Usage.InputTokens, 10)
	dst = append(dst, `,"generation_token_count":`...)
	dst = strconv.AppendInt(dst, r.Usage.OutputTokens, 10)
	dst = append(dst, `,"stop_reason":"`...)
	dst = append(dst, stopReason(r.StopReason)...)
	return append(dst, `"}`...)
}

// stopReason is the format's word for a stop reason: it has two.
func stopReason(reason string) string {
	switch reason {
	case converse.StopMaxTokens, converse.StopContextWindowExceeded:
		return "length"
	}
	return "stop"
}

// StreamEncoder turns the events of one answer into the chunks of InvokeModelWithResponseStream. The first chunk carries
// the input's tokens, AnswerInfo.InputTokens, and each carries the output's so far, as they are estimated. The last one,
// which waits for the usage, has the true figures in its metrics.
type StreamEncoder struct {
	converse.AnswerInfo

	buf    []byte
	begun  bool
	tokens int64
	calls  int
	call   bool // a call is open
	input  bool // and its input has begun
	reason string
}

// Encode calls emit with the JSON of the chunk that e makes, if it makes one. The bytes are valid until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	switch e.Kind {
	case converse.BlockStart:
		head := string(appendCall(nil, e.ToolName))
		if s.calls > 0 {
			head = "; " + head
		}
		s.calls++
		s.call, s.input = true, false
		s.chunk(head, emit)
	case converse.BlockDelta:
		switch e.Delta {
		case converse.ToolInputDelta:
			s.input = s.input || e.Text != ""
			s.chunk(e.Text, emit)
		case converse.TextDelta:
			s.chunk(e.Text, emit)
		}
	case converse.BlockStop:
		if !s.call {
			return
		}
		s.call = false
		if s.input {
			s.chunk("}", emit)
		} else {
			s.chunk("{}}", emit)
		}
	case converse.MessageStop:
		s.reason = e.StopReason
	case converse.Metadata:
		s.InputTokens, s.tokens = e.Usage.InputTokens, e.Usage.OutputTokens
		b := s.counts(append(s.buf[:0], `{"generation":""`...))
		b = append(b, `,"stop_reason":"`...)
		b = append(b, stopReason(s.reason)...)
		b = append(b, `",`...)
		b = converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage)
		s.buf = append(b, '}')
		emit(s.buf)
	}
}

func (s *StreamEncoder) chunk(text string, emit func([]byte)) {
	if text == "" {
		return
	}
	s.tokens += converse.EstimateTokens(text)
	b := append(s.buf[:0], `{"generation":`...)
	b = converse.AppendQuote(b, text)
	s.buf = append(s.counts(b), `,"stop_reason":null}`...)
	emit(s.buf)
}

// counts appends the members that count tokens.
func (s *StreamEncoder) counts(b []byte) []byte {
	b = append(b, `,"prompt_token_count":`...)
	if s.begun {
		b = append(b, `null`...)
	} else {
		b = strconv.AppendInt(b, s.InputTokens, 10)
	}
	s.begun = true
	b = append(b, `,"generation_token_count":`...)
	return strconv.AppendInt(b, s.tokens, 10)
}
