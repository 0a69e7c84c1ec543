package mistral

import (
	"strings"

	"outcrop/converse"
)

// AppendResponse appends r as the body of an InvokeModel answer of text completion. Thinking and tool calls have no place
// in the format, and no request in it asks for them: they are left out.
func AppendResponse(dst []byte, _ *converse.AnswerInfo, r *converse.Response) []byte {
	dst = append(dst, `{"outputs":[{"text":`...)
	dst = appendText(dst, r)
	dst = append(dst, `,"stop_reason":"`...)
	dst = append(dst, stopReason(r.StopReason)...)
	return append(dst, `"}]}`...)
}

// AppendChatResponse appends r as the body of an InvokeModel answer of chat completion. Thinking has no place in the format
// and is left out.
func AppendChatResponse(dst []byte, _ *converse.AnswerInfo, r *converse.Response) []byte {
	dst = append(dst, `{"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	dst = appendText(dst, r)
	calls := 0
	for i := range r.Content {
		if t := r.Content[i].ToolUse; t != nil {
			dst = appendCall(dst, calls, t.ToolUseID, t.Name, string(t.Input))
			calls++
		}
	}
	if calls > 0 {
		dst = append(dst, ']')
	}
	dst = append(dst, `},"stop_reason":"`...)
	dst = append(dst, stopReason(r.StopReason)...)
	return append(dst, `"}]}`...)
}

func appendText(dst []byte, r *converse.Response) []byte {
	var text strings.Builder
	for i := range r.Content {
		if t := r.Content[i].Text; t != nil {
			text.WriteString(*t)
		}
	}
	return converse.AppendQuote(dst, text.String())
}

// appendCall appends the nth tool call, without its list's end.
func appendCall(dst []byte, n int, id, name, input string) []byte {
	if n == 0 {
		dst = append(dst, `,"tool_calls":[{"id":`...)
	} else {
		dst = append(dst, `,{"id":`...)
	}
	dst = converse.AppendQuote(dst, id)
	dst = append(dst, `,"function":{"name":`...)
	dst = converse.AppendQuote(dst, name)
	dst = append(dst, `,"arguments":`...)
	if input == "" {
		input = "{}"
	}
	dst = converse.AppendQuote(dst, input)
	return append(dst, `}}`...)
}

// stopReason is the formats' word for a stop reason: they have three.
func stopReason(reason string) string {
	switch reason {
	case converse.StopMaxTokens, converse.StopContextWindowExceeded:
		return "length"
	case converse.StopToolUse:
		return "tool_calls"
	}
	return "stop"
}

// StreamEncoder turns the events of one answer into the chunks of InvokeModelWithResponseStream in text completion. The
// last one waits for the usage.
type StreamEncoder struct {
	converse.AnswerInfo

	buf    []byte
	reason string
}

// Encode calls emit with the JSON of the chunk that e makes, if it makes one. The bytes are valid until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	switch e.Kind {
	case converse.BlockDelta:
		if e.Delta != converse.TextDelta || e.Text == "" {
			return
		}
		b := append(s.buf[:0], `{"outputs":[{"text":`...)
		b = converse.AppendQuote(b, e.Text)
		s.buf = append(b, `,"stop_reason":null}]}`...)
		emit(s.buf)
	case converse.MessageStop:
		s.reason = e.StopReason
	case converse.Metadata:
		b := append(s.buf[:0], `{"outputs":[{"text":"","stop_reason":"`...)
		b = append(b, stopReason(s.reason)...)
		b = append(b, `"}],`...)
		b = converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage)
		s.buf = append(b, '}')
		emit(s.buf)
	}
}

// ChatStreamEncoder turns the events of one answer into the chunks of InvokeModelWithResponseStream in chat completion.
// Tool calls are never in pieces there: the last chunk, which waits for the usage, has them all.
type ChatStreamEncoder struct {
	converse.AnswerInfo

	buf    []byte
	reason string
	calls  []byte // as they stand in the last chunk
	n      int
	id     string
	name   string
	input  []byte
}

// Encode calls emit with the JSON of the chunk that e makes, if it makes one. The bytes are valid until emit returns.
func (s *ChatStreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	const head = `{"choices":[{"index":0,"message":{"role":"assistant","content":`
	switch e.Kind {
	case converse.BlockStart:
		s.id, s.name, s.input = e.ToolUseID, e.ToolName, s.input[:0]
	case converse.BlockDelta:
		switch {
		case e.Text == "":
		case e.Delta == converse.ToolInputDelta:
			s.input = append(s.input, e.Text...)
		case e.Delta == converse.TextDelta:
			b := append(s.buf[:0], head...)
			b = converse.AppendQuote(b, e.Text)
			s.buf = append(b, `},"stop_reason":null}]}`...)
			emit(s.buf)
		}
	case converse.BlockStop:
		if s.id != "" {
			s.calls = appendCall(s.calls, s.n, s.id, s.name, string(s.input))
			s.n++
			s.id = ""
		}
	case converse.MessageStop:
		s.reason = e.StopReason
	case converse.Metadata:
		b := append(s.buf[:0], head...)
		b = append(append(b, `""`...), s.calls...)
		if s.n > 0 {
			b = append(b, ']')
		}
		b = append(b, `},"stop_reason":"`...)
		b = append(b, stopReason(s.reason)...)
		b = append(b, `"}],`...)
		b = converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage)
		s.buf = append(b, '}')
		emit(s.buf)
	}
}
