package converse

import (
	"strconv"
	"time"
)

// AnswerInfo is what a vendor's format says about an answer besides its content and its usage.
type AnswerInfo struct {
	ID          string    // the answer's id in the vendor's own form
	Model       string    // the model as its vendor names it
	Created     time.Time // when the request arrived
	InputTokens int64     // of a stream: what is known of the input before its usage is, an estimate or 0
	Request     *Request  // what is answered, for formats that repeat it (Cohere, Jurassic-2); nil leaves it out

	// From the request's arrival, to the settlement and to the first event. A stream's are known when its Metadata
	// event is encoded.
	Latency, FirstByte time.Duration
}

// Info returns a itself: an encoder that holds an AnswerInfo lets it be completed by this.
func (a *AnswerInfo) Info() *AnswerInfo { return a }

// AppendInvocationMetrics appends the member "amazon-bedrock-invocationMetrics" with which Bedrock ends the last event of
// InvokeModelWithResponseStream, without a comma before it. The cache's figures are left out where no cache took part.
// Source: recorded answers in dd-trace-js and openllmetry.
func AppendInvocationMetrics(dst []byte, a *AnswerInfo, u *Usage) []byte {
	dst = append(dst, `"amazon-bedrock-invocationMetrics":{"inputTokenCount":`...)
	dst = strconv.AppendInt(dst, u.InputTokens, 10)
	dst = append(dst, `,"outputTokenCount":`...)
	dst = strconv.AppendInt(dst, u.OutputTokens, 10)
	dst = append(dst, `,"invocationLatency":`...)
	dst = strconv.AppendInt(dst, a.Latency.Milliseconds(), 10)
	dst = append(dst, `,"firstByteLatency":`...)
	dst = strconv.AppendInt(dst, a.FirstByte.Milliseconds(), 10)
	if u.CacheReadInputTokens > 0 || u.CacheWriteInputTokens > 0 {
		dst = append(dst, `,"cacheReadInputTokenCount":`...)
		dst = strconv.AppendInt(dst, u.CacheReadInputTokens, 10)
		dst = append(dst, `,"cacheWriteInputTokenCount":`...)
		dst = strconv.AppendInt(dst, u.CacheWriteInputTokens, 10)
	}
	return append(dst, '}')
}
