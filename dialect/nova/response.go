package nova

import (
	"encoding/base64"
	"strconv"

	"outcrop/converse"
)

// AppendResponse appends r as the body of an InvokeModel answer. The format names neither the answer nor its model, so
// nothing of a is read. Blocks that no provider makes are left out.
func AppendResponse(dst []byte, a *converse.AnswerInfo, r *converse.Response) []byte {
	dst = append(dst, `{"output":{"message":{"content":[`...)
	n := 0
	for i := range r.Content {
		b := &r.Content[i]
		start := len(dst)
		if n > 0 {
			dst = append(dst, ',')
		}
		switch {
		case b.Text != nil:
			dst = append(dst, `{"text":`...)
			dst = converse.AppendQuote(dst, *b.Text)
			dst = append(dst, '}')
		case b.ToolUse != nil:
			dst = append(dst, `{"toolUse":{"name":`...)
			dst = converse.AppendQuote(dst, b.ToolUse.Name)
			dst = append(dst, `,"toolUseId":`...)
			dst = converse.AppendQuote(dst, b.ToolUse.ToolUseID)
			dst = append(dst, `,"input":`...)
			if len(b.ToolUse.Input) == 0 {
				dst = append(dst, `{}`...)
			}
			dst = append(dst, b.ToolUse.Input...)
			dst = append(dst, `}}`...)
		case b.ReasoningContent != nil && b.ReasoningContent.ReasoningText != nil:
			t := b.ReasoningContent.ReasoningText
			dst = append(dst, `{"reasoningContent":{"reasoningText":{"text":`...)
			dst = converse.AppendQuote(dst, t.Text)
			if t.Signature != "" {
				dst = append(dst, `,"signature":`...)
				dst = converse.AppendQuote(dst, t.Signature)
			}
			dst = append(dst, `}}}`...)
		case b.ReasoningContent != nil:
			dst = append(dst, `{"reasoningContent":{"redactedContent":"`...)
			dst = base64.StdEncoding.AppendEncode(dst, b.ReasoningContent.RedactedContent)
			dst = append(dst, `"}}`...)
		default:
			dst = dst[:start]
			continue
		}
		n++
	}
	dst = append(dst, `],"role":"assistant"}},"stopReason":`...)
	dst = converse.AppendQuote(dst, r.StopReason)
	u := &r.Usage
	dst = append(dst, `,"usage":{"inputTokens":`...)
	dst = strconv.AppendInt(dst, u.InputTokens, 10)
	dst = append(dst, `,"outputTokens":`...)
	dst = strconv.AppendInt(dst, u.OutputTokens, 10)
	dst = append(dst, `,"totalTokens":`...)
	dst = strconv.AppendInt(dst, u.Total(), 10)
	return append(appendCache(dst, u), `}}`...)
}

// appendCache appends the cache's counts, which are always there.
func appendCache(dst []byte, u *converse.Usage) []byte {
	dst = append(dst, `,"cacheReadInputTokenCount":`...)
	dst = strconv.AppendInt(dst, u.CacheReadInputTokens, 10)
	dst = append(dst, `,"cacheWriteInputTokenCount":`...)
	return strconv.AppendInt(dst, u.CacheWriteInputTokens, 10)
}

// StreamEncoder turns the events of one answer into Nova's, which InvokeModelWithResponseStream wraps one by one. They
// are ConverseStream's, each inside its name.
type StreamEncoder struct {
	converse.AnswerInfo

	buf []byte
}

// Encode calls emit with the JSON of the event that e makes. The bytes are valid until emit returns.
func (s *StreamEncoder) Encode(e *converse.Event, emit func(event []byte)) {
	b := s.buf[:0]
	index := func() {
		b = append(b, `},"contentBlockIndex":`...)
		b = strconv.AppendInt(b, int64(e.Index), 10)
		b = append(b, `}}`...)
	}
	switch e.Kind {
	case converse.MessageStart:
		b = append(b, `{"messageStart":{"role":"assistant"}}`...)
	case converse.BlockStart:
		b = append(b, `{"contentBlockStart":{"start":{"toolUse":{"toolUseId":`...)
		b = converse.AppendQuote(b, e.ToolUseID)
		b = append(b, `,"name":`...)
		b = converse.AppendQuote(b, e.ToolName)
		b = append(b, '}')
		index()
	case converse.BlockDelta:
		b = append(b, `{"contentBlockDelta":{"delta":{`...)
		switch e.Delta {
		case converse.TextDelta:
			b = append(b, `"text":`...)
			b = converse.AppendQuote(b, e.Text)
		case converse.ToolInputDelta:
			b = append(b, `"toolUse":{"input":`...)
			b = append(converse.AppendQuote(b, e.Text), '}')
		case converse.ReasoningDelta:
			b = append(b, `"reasoningContent":{"text":`...)
			b = append(converse.AppendQuote(b, e.Text), '}')
		case converse.SignatureDelta:
			b = append(b, `"reasoningContent":{"signature":`...)
			b = append(converse.AppendQuote(b, e.Text), '}')
		case converse.RedactedDelta:
			b = append(b, `"reasoningContent":{"redactedContent":"`...)
			b = base64.StdEncoding.AppendEncode(b, []byte(e.Text))
			b = append(b, `"}`...)
		}
		index()
	case converse.BlockStop:
		b = append(b, `{"contentBlockStop":{"contentBlockIndex":`...)
		b = strconv.AppendInt(b, int64(e.Index), 10)
		b = append(b, `}}`...)
	case converse.MessageStop:
		b = append(b, `{"messageStop":{"stopReason":`...)
		b = append(converse.AppendQuote(b, e.StopReason), `}}`...)
	case converse.Metadata:
		b = append(b, `{"metadata":{"usage":{"inputTokens":`...)
		b = strconv.AppendInt(b, e.Usage.InputTokens, 10)
		b = append(b, `,"outputTokens":`...)
		b = strconv.AppendInt(b, e.Usage.OutputTokens, 10)
		b = append(appendCache(b, &e.Usage), `},"metrics":{},"trace":{}},`...)
		b = append(converse.AppendInvocationMetrics(b, &s.AnswerInfo, &e.Usage), '}')
	}
	s.buf = b
	emit(b)
}
