package deepseek

import (
	"strings"

	"outcrop/converse"
)

// between is what stands between the thinking and the answer.
const between = "\n" + thinkEnd + "\n\n"

// AppendResponse appends r as the body of an InvokeModel answer. The text begins with the thinking, whose opening mark is
// the prompt's last word in AWS's own examples, and holds its end also where there was none. Tool calls have no place in
// the format, and no request in it asks for them: they are left out.
func AppendResponse(dst []byte, _ *converse.AnswerInfo, r *converse.Response) []byte {
	var text strings.Builder
	answered := false
	for i := range r.Content {
		switch b := &r.Content[i]; {
		case b.ReasoningContent != nil && b.ReasoningContent.ReasoningText != nil && !answered:
			text.WriteString(b.ReasoningContent.ReasoningText.Text)
		case b.Text != nil:
			if !answered {
				text.WriteString(between)
			}
			answered = true
			text.WriteString(*b.Text)
		}
	}
	dst = append(dst, `{"choices":[{"text":`...)
	dst = converse.AppendQuote(dst, text.String())
	dst = append(dst, `,"stop_reason":"`...)
	dst = append(dst, stopReason(r.StopReason)...)
	return append(dst, `"}]}`...)
}

// stopReason is the format's word for a stop reason: it has two.
func stopReason(reason string) string {
	switch reason {
	case converse.StopMaxTokens, converse.StopContextWindowExceeded:
		return "length"
	}
	return "stop"
}

// StreamEncoder turns the events of one answer into the chunks of InvokeModelWithResponseStream. The last one waits for
// the usage.
type StreamEncoder struct {
	converse.AnswerInfo

	buf      []byte
	answered bool // the thinking is over
	reason   string
}

// Encode calls emit with the JSON of the chunk that e makes, if it makes one. The bytes are valid until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	switch e.Kind {
	case converse.BlockDelta:
		if e.Text == "" || e.Delta != converse.TextDelta && (e.Delta != converse.ReasoningDelta || s.answered) {
			return
		}
		text := e.Text
		if e.Delta == converse.TextDelta && !s.answered {
			s.answered = true
			text = between + text
		}
		b := append(s.buf[:0], `{"choices":[{"text":`...)
		b = converse.AppendQuote(b, text)
		s.buf = append(b, `,"stop_reason":null}]}`...)
		emit(s.buf)
	case converse.MessageStop:
		s.reason = e.StopReason
	case converse.Metadata:
		b := append(s.buf[:0], `{"choices":[{"text":"","stop_reason":"`...)
		b = append(b, stopReason(s.reason)...)
		b = append(b, `"}],`...)
		b = converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage)
		s.buf = append(b, '}')
		emit(s.buf)
	}
}
