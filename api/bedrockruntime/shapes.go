package bedrockruntime

import (
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/invoke"
)

// maxBody is the service model's bound of InvokeModel's body; Converse is held to the same.
// Source: botocore bedrock-runtime 2023-09-30, shape Body.
const maxBody = 25_000_000

// ConverseInput is the input of Converse and ConverseStream. It is a wire.Reader: the body is all converse.Request's.
type ConverseInput struct {
	ModelID string `json:"-" uri:"modelId" required:"true" min:"1" max:"2048"`
	converse.Request
}

// ConverseOutput is the output of Converse.
type ConverseOutput struct {
	Output                        ConverseOutputUnion `json:"output"`
	StopReason                    string              `json:"stopReason"`
	Usage                         TokenUsage          `json:"usage"`
	Metrics                       Metrics             `json:"metrics"`
	AdditionalModelResponseFields jsontext.Value      `json:"additionalModelResponseFields,omitempty"`
	Serving

	native []byte // the whole output as Bedrock sent it, in place of the members
}

// Serving is how a call was served: of Converse's output, and of ConverseStream's last event.
type Serving struct {
	Trace             jsontext.Value        `json:"trace,omitempty"`
	PerformanceConfig *converse.Performance `json:"performanceConfig,omitempty"`
	ServiceTier       *converse.ServiceTier `json:"serviceTier,omitempty"`
}

// served is what the upstream told, and else what the caller asked for: an upstream that took it did as it was asked.
func served(told *converse.Served, asked *converse.Request) Serving {
	s := Serving{PerformanceConfig: asked.PerformanceConfig, ServiceTier: asked.ServiceTier}
	if told == nil {
		return s
	}
	s.Trace = told.Trace
	if told.Latency != "" {
		s.PerformanceConfig = &converse.Performance{Latency: told.Latency}
	}
	if told.Tier != "" {
		s.ServiceTier = &converse.ServiceTier{Type: told.Tier}
	}
	return s
}

// append appends the members as their tags say, each with a comma before it.
func (s *Serving) append(dst []byte) []byte {
	if len(s.Trace) > 0 {
		dst = append(append(dst, `,"trace":`...), s.Trace...)
	}
	if p := s.PerformanceConfig; p != nil {
		dst = append(dst, `,"performanceConfig":{`...)
		if p.Latency != "" {
			dst = converse.AppendQuote(append(dst, `"latency":`...), p.Latency)
		}
		dst = append(dst, '}')
	}
	if t := s.ServiceTier; t != nil {
		dst = append(converse.AppendQuote(append(dst, `,"serviceTier":{"type":`...), t.Type), '}')
	}
	return dst
}

// ConverseOutputUnion is a union with one member today.
type ConverseOutputUnion struct {
	Message converse.Message `json:"message"`
}

// TokenUsage is a call's tokens. The cache's figures are left out where no cache took part.
type TokenUsage struct {
	InputTokens           int64         `json:"inputTokens"`
	OutputTokens          int64         `json:"outputTokens"`
	TotalTokens           int64         `json:"totalTokens"`
	CacheReadInputTokens  int64         `json:"cacheReadInputTokens,omitzero"`
	CacheWriteInputTokens int64         `json:"cacheWriteInputTokens,omitzero"`
	CacheDetails          []CacheDetail `json:"cacheDetails,omitempty"`
}

// CacheDetail is the tokens written to the cache with one time to live.
type CacheDetail struct {
	TTL         string `json:"ttl"`
	InputTokens int64  `json:"inputTokens"`
}

// Metrics is how long a call took.
type Metrics struct {
	LatencyMs int64 `json:"latencyMs"`
}

// InvokeModelInput is the input of InvokeModel. The body is in the model's own format.
type InvokeModelInput struct {
	ModelID     string `json:"-" uri:"modelId" required:"true" min:"1" max:"2048"`
	ContentType string `json:"-" header:"Content-Type"`
	Accept      string `json:"-" header:"Accept"`
	invoke.Headers
	Body []byte `json:"-" payload:"blob" max:"25000000" sensitive:"true"`
}

// InvokeModelOutput is the output of InvokeModel. The token counts are headers that AWS sends although the service
// model does not name them.
type InvokeModelOutput struct {
	Body                      []byte `json:"-" payload:"blob"`
	ContentType               string `json:"-" header:"Content-Type"`
	InputTokenCount           string `json:"-" header:"X-Amzn-Bedrock-Input-Token-Count"`
	OutputTokenCount          string `json:"-" header:"X-Amzn-Bedrock-Output-Token-Count"`
	CacheReadInputTokenCount  string `json:"-" header:"X-Amzn-Bedrock-Cache-Read-Input-Token-Count"`
	CacheWriteInputTokenCount string `json:"-" header:"X-Amzn-Bedrock-Cache-Write-Input-Token-Count"`
	InvocationLatency         string `json:"-" header:"X-Amzn-Bedrock-Invocation-Latency"` // milliseconds
	PerformanceConfigLatency  string `json:"-" header:"X-Amzn-Bedrock-PerformanceConfig-Latency"`
	ServiceTier               string `json:"-" header:"X-Amzn-Bedrock-Service-Tier"`
}

// InvokeModelStreamInput is the input of InvokeModelWithResponseStream: InvokeModel's, but for the header that asks for
// the MIME type of the chunks.
type InvokeModelStreamInput struct {
	ModelID     string `json:"-" uri:"modelId" required:"true" min:"1" max:"2048"`
	ContentType string `json:"-" header:"Content-Type"`
	Accept      string `json:"-" header:"X-Amzn-Bedrock-Accept"`
	invoke.Headers
	Body []byte `json:"-" payload:"blob" max:"25000000" sensitive:"true"`
}

// CountTokensInput is the input of CountTokens. Unlike AWS's, the model may be named by a profile too.
type CountTokensInput struct {
	ModelID string      `json:"-" uri:"modelId" required:"true" min:"1" max:"2048"`
	Input   CountedForm `json:"input" required:"true"`
}

// CountedForm is a union: the body of InvokeModel, or of Converse.
type CountedForm struct {
	_ struct{} `union:"CountTokensInput"`

	InvokeModel *CountedInvokeModel `json:"invokeModel,omitzero"`
	Converse    *CountedConverse    `json:"converse,omitzero"`
}

// CountedInvokeModel is a body in the model's own format.
type CountedInvokeModel struct {
	Body []byte `json:"body" required:"true" max:"25000000" sensitive:"true"`
}

// CountedConverse is what of a Converse request counts.
type CountedConverse struct {
	Messages                     []converse.Message     `json:"messages,omitzero"`
	System                       []converse.SystemBlock `json:"system,omitzero"`
	ToolConfig                   *converse.ToolConfig   `json:"toolConfig,omitzero"`
	AdditionalModelRequestFields jsontext.Value         `json:"additionalModelRequestFields,omitzero"`
}

// CountTokensOutput is the output of CountTokens.
type CountTokensOutput struct {
	InputTokens int64 `json:"inputTokens"`

	// "exact" where an upstream has counted, else "estimate". AWS has no such header.
	Method string `json:"-" header:"X-Outcrop-Token-Count"`
}

func tokenUsage(u converse.Usage) TokenUsage {
	t := TokenUsage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, TotalTokens: u.Total(),
		CacheReadInputTokens: u.CacheReadInputTokens, CacheWriteInputTokens: u.CacheWriteInputTokens,
	}
	// "Sorted by TTL duration (1h before 5m)", says the service model.
	if u.CacheWrite1hInputTokens > 0 {
		t.CacheDetails = append(t.CacheDetails, CacheDetail{"1h", u.CacheWrite1hInputTokens})
	}
	if n := u.CacheWriteInputTokens - u.CacheWrite1hInputTokens; n > 0 {
		t.CacheDetails = append(t.CacheDetails, CacheDetail{"5m", n})
	}
	return t
}
