package bedrockruntime

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
)

// streamEvent writes a converse.Event as ConverseStream's event of that kind. One value serves a whole stream.
type streamEvent struct {
	converse.Event
	latency func() time.Duration // known from the Metadata event on
}

var eventTypes = [...]string{
	converse.MessageStart: "messageStart", converse.BlockStart: "contentBlockStart", converse.BlockDelta: "contentBlockDelta",
	converse.BlockStop: "contentBlockStop", converse.MessageStop: "messageStop", converse.Metadata: "metadata",
}

// EventType returns the member of the ConverseStreamOutput union.
func (e *streamEvent) EventType() string { return eventTypes[e.Kind] }

// More reports whether another event is ready.
func (e *streamEvent) More() bool { return e.Event.More }

// AppendJSON appends the event's payload.
func (e *streamEvent) AppendJSON(dst []byte) []byte {
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
		if u, err := json.Marshal(tokenUsage(e.Usage)); err == nil { // it cannot fail: integers and two strings
			dst = append(dst, u...)
		}
		dst = append(dst, `,"metrics":{"latencyMs":`...)
		dst = strconv.AppendInt(dst, e.latency().Milliseconds(), 10)
		return append(dst, `}}`...)
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
