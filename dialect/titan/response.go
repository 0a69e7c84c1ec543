package titan

import (
	"strconv"
	"strings"

	"outcrop/converse"
)

// AppendResponse appends r as the body of an InvokeModel answer. The format holds text only and names neither the answer
// nor its model: nothing of a is read, and thinking is left out.
func AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	dst = append(dst, `{"inputTextTokenCount":`...)
	dst = strconv.AppendInt(dst, promptTokens(&r.Usage), 10)
	dst = append(dst, `,"results":[{"tokenCount":`...)
	dst = strconv.AppendInt(dst, r.Usage.OutputTokens, 10)
	dst = append(dst, `,"outputText":`...)
	var text strings.Builder
	for i := range r.Content {
		if t := r.Content[i].Text; t != nil {
			text.WriteString(*t)
		}
	}
	dst = converse.AppendQuote(dst, text.String())
	dst = append(dst, `,"completionReason":"`...)
	dst = append(dst, completionReason(r.StopReason)...)
	return append(dst, `"}]}`...)
}

// promptTokens counts the whole prompt, which is what inputTextTokenCount is.
func promptTokens(u *converse.Usage) int64 {
	return u.InputTokens + u.CacheReadInputTokens + u.CacheWriteInputTokens
}

// completionReason returns Titan's word for why an answer ended. The user guide has FINISHED for a complete answer; every
// recorded answer has FINISH.
func completionReason(stop string) string {
	switch stop {
	case converse.StopMaxTokens, converse.StopContextWindowExceeded:
		return "LENGTH"
	case converse.StopStopSequence:
		return "STOP_CRITERIA_MET"
	case converse.StopContentFiltered, converse.StopGuardrailIntervened:
		return "CONTENT_FILTERED"
	}
	return "FINISH"
}

// stopReason is the way back.
func stopReason(completion string) string {
	switch completion {
	case "LENGTH":
		return converse.StopMaxTokens
	case "STOP_CRITERIA_MET":
		return converse.StopStopSequence
	case "CONTENT_FILTERED":
		return converse.StopContentFiltered
	}
	return converse.StopEndTurn
}

// StreamEncoder turns the events of one answer into Titan's chunks, which InvokeModelWithResponseStream wraps one by one.
//
// The first chunk tells the prompt's tokens, here InputTokens where it is not 0: most upstreams tell them last. The last
// chunk has the true figures, and no text, since the figures come after it.
type StreamEncoder struct {
	converse.AnswerInfo

	buf    []byte
	begun  bool
	reason string
}

// Encode calls emit with the JSON of the chunk that e makes, if any. The bytes are valid until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	switch {
	case e.Kind == converse.BlockDelta && e.Delta == converse.TextDelta:
		b := append(s.buf[:0], `{"outputText":`...)
		b = converse.AppendQuote(b, e.Text)
		b = append(b, `,"index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":`...)
		if !s.begun && s.InputTokens > 0 {
			b = strconv.AppendInt(b, s.InputTokens, 10)
		} else {
			b = append(b, `null`...)
		}
		s.begun = true
		s.buf = append(b, '}')
		emit(s.buf)
	case e.Kind == converse.MessageStop:
		s.reason = completionReason(e.StopReason)
	case e.Kind == converse.Metadata:
		b := append(s.buf[:0], `{"outputText":"","index":0,"totalOutputTextTokenCount":`...)
		b = strconv.AppendInt(b, e.Usage.OutputTokens, 10)
		b = append(b, `,"completionReason":"`...)
		b = append(b, s.reason...)
		b = append(b, `","inputTextTokenCount":`...)
		b = strconv.AppendInt(b, promptTokens(&e.Usage), 10)
		b = append(b, ',')
		s.buf = append(converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage), '}')
		emit(s.buf)
	}
}
