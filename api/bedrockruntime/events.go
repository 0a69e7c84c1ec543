package bedrockruntime

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
)

// streamEvent writes a converse.Event as ConverseStream's event of that kind. One value serves a whole stream.
type streamEvent struct {
	converse.Event
	latency func() time.Duration // known from the Metadata event on
	asked   *converse.Request
}

var eventTypes = [...]string{
	converse.MessageStart: "messageStart", converse.BlockStart: "contentBlockStart", converse.BlockDelta: "contentBlockDelta",
	converse.BlockStop: "contentBlockStop", converse.MessageStop: "messageStop", converse.Metadata: "metadata",
}

// EventType returns the member of the ConverseStreamOutput union.
func (e *streamEvent) EventType() string {
	if e.Native != nil {
		return e.Name
	}
	return eventTypes[e.Kind]
}

// More reports whether another event is ready.
func (e *streamEvent) More() bool { return e.Event.More }

// AppendJSON appends the event's payload: Bedrock's own, where it comes from there.
func (e *streamEvent) AppendJSON(dst []byte) []byte {
	if e.Native != nil {
		return append(dst, e.Native...)
	}
	switch e.Kind {
	case converse.MessageStart:
		dst = append(dst, `{"role":"`...)
		dst = append(dst, e.Role...)
		return append(dst, `"}`...)
	case converse.BlockStart:
		dst = append(dst, `{"start":{"toolUse":{"toolUseId":`...)
		dst = converse.AppendQuote(dst, e.ToolUseID)
		dst = append(dst, `,"name":`...)
		dst = converse.AppendQuote(dst, e.ToolName)
		dst = append(dst, `}},"contentBlockIndex":`...)
	case converse.BlockDelta:
		dst = append(dst, `{"delta":`...)
		switch e.Delta {
		case converse.TextDelta:
			dst = append(dst, `{"text":`...)
			dst = converse.AppendQuote(dst, e.Text)
			dst = append(dst, '}')
		case converse.ToolInputDelta:
			dst = append(dst, `{"toolUse":{"input":`...)
			dst = converse.AppendQuote(dst, e.Text)
			dst = append(dst, `}}`...)
		case converse.ReasoningDelta:
			dst = append(dst, `{"reasoningContent":{"text":`...)
			dst = converse.AppendQuote(dst, e.Text)
			dst = append(dst, `}}`...)
		case converse.SignatureDelta:
			dst = append(dst, `{"reasoningContent":{"signature":`...)
			dst = converse.AppendQuote(dst, e.Text)
			dst = append(dst, `}}`...)
		case converse.RedactedDelta:
			dst = append(dst, `{"reasoningContent":{"redactedContent":"`...)
			dst = base64.StdEncoding.AppendEncode(dst, []byte(e.Text))
			dst = append(dst, `"}}`...)
		case converse.CitationDelta:
			dst = append(dst, `{"citation":`...)
			dst = append(dst, e.Fields...)
			dst = append(dst, '}')
		}
		dst = append(dst, `,"contentBlockIndex":`...)
	case converse.BlockStop:
		dst = append(dst, `{"contentBlockIndex":`...)
	case converse.MessageStop:
		dst = append(dst, `{"stopReason":`...)
		dst = converse.AppendQuote(dst, e.StopReason)
		if e.Fields != nil {
			dst = append(dst, `,"additionalModelResponseFields":`...)
			dst = append(dst, e.Fields...)
		}
		return append(dst, '}')
	case converse.Metadata:
		dst = append(dst, `{"usage":`...)
		u := tokenUsage(e.Usage)
		dst = u.append(dst)
		dst = append(dst, `,"metrics":{"latencyMs":`...)
		dst = append(strconv.AppendInt(dst, e.latency().Milliseconds(), 10), '}')
		s := served(e.Served, e.asked)
		return append(s.append(dst), '}')
	}
	dst = strconv.AppendInt(dst, int64(e.Index), 10)
	return append(dst, '}')
}

// chunk is one event of InvokeModelWithResponseStream: an event of the model's own, in base64.
type chunk struct {
	json []byte
	more bool
}

// EventType returns the member of the ResponseStream union.
func (*chunk) EventType() string { return "chunk" }

// More reports whether another chunk is ready.
func (c *chunk) More() bool { return c.more }

// AppendJSON appends the PayloadPart.
func (c *chunk) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"bytes":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, c.json)
	return append(dst, `"}`...)
}

// append appends the usage as its tags say.
func (u *TokenUsage) append(dst []byte) []byte {
	member := func(name string, n int64) {
		dst = append(dst, name...)
		dst = strconv.AppendInt(dst, n, 10)
	}
	member(`{"inputTokens":`, u.InputTokens)
	member(`,"outputTokens":`, u.OutputTokens)
	member(`,"totalTokens":`, u.TotalTokens)
	if u.CacheReadInputTokens != 0 {
		member(`,"cacheReadInputTokens":`, u.CacheReadInputTokens)
	}
	if u.CacheWriteInputTokens != 0 {
		member(`,"cacheWriteInputTokens":`, u.CacheWriteInputTokens)
	}
	for i, d := range u.CacheDetails {
		if i == 0 {
			dst = append(dst, `,"cacheDetails":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"ttl":"`...), d.TTL...), `","inputTokens":`...)
		dst = append(strconv.AppendInt(dst, d.InputTokens, 10), '}')
		if i == len(u.CacheDetails)-1 {
			dst = append(dst, ']')
		}
	}
	return append(dst, '}')
}

// AppendJSON appends the output as its tags say: wire.Appender.
func (o *ConverseOutput) AppendJSON(dst []byte) []byte {
	if o.native != nil {
		return append(dst, o.native...)
	}
	dst = append(dst, `{"output":{"message":{"role":"assistant","content":[`...)
	for i := range o.Output.Message.Content {
		if i > 0 {
			dst = append(dst, ',')
		}
		b := &o.Output.Message.Content[i]
		if b.Text != nil {
			dst = append(converse.AppendQuote(append(dst, `{"text":`...), *b.Text), '}')
			continue
		}
		// The rest is rare, and its parts are the upstream's JSON: what cannot be written, a number too large for
		// JSON or bytes that are no UTF-8, is an empty block.
		if block, err := json.Marshal(b, jsontext.AllowInvalidUTF8(true)); err == nil {
			dst = append(dst, block...)
		} else {
			dst = append(dst, `{"text":""}`...)
		}
	}
	dst = append(dst, `]}},"stopReason":`...)
	dst = converse.AppendQuote(dst, o.StopReason)
	dst = o.Usage.append(append(dst, `,"usage":`...))
	dst = append(dst, `,"metrics":{"latencyMs":`...)
	dst = append(strconv.AppendInt(dst, o.Metrics.LatencyMs, 10), '}')
	if len(o.AdditionalModelResponseFields) > 0 {
		dst = append(append(dst, `,"additionalModelResponseFields":`...), o.AdditionalModelResponseFields...)
	}
	return append(o.Serving.append(dst), '}')
}
