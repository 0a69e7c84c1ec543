// Package converse is Outcrop's canonical model of one inference: Amazon Bedrock's own Converse.
//
// Front ends translate into Request, upstreams out of it, and answers come back as a Stream of Events in
// ConverseStream's order, also when nobody streams (Collect makes the one answer). The types carry the JSON names and
// constraints of the bedrock-runtime service model (2023-09-30), because here the domain and the wire are the same by
// design; nothing in this package reads or writes HTTP.
//
// The constraint tags (required, min, max, pattern, enum, sensitive, union) are those of package wire.
package converse

import (
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// Request is what Converse and ConverseStream take, without the model's identifier.
type Request struct {
	Messages                          []Message         `json:"messages,omitzero"`
	System                            []SystemBlock     `json:"system,omitzero"`
	InferenceConfig                   *InferenceConfig  `json:"inferenceConfig,omitzero"`
	ToolConfig                        *ToolConfig       `json:"toolConfig,omitzero"`
	GuardrailConfig                   Raw[Guardrail]    `json:"guardrailConfig,omitzero"`
	AdditionalModelRequestFields      jsontext.Value    `json:"additionalModelRequestFields,omitzero"`
	AdditionalModelResponseFieldPaths []string          `json:"additionalModelResponseFieldPaths,omitzero" max:"10" each.min:"1" each.max:"256"`
	PromptVariables                   jsontext.Value    `json:"promptVariables,omitzero"`
	RequestMetadata                   map[string]string `json:"requestMetadata,omitzero" max:"16" sensitive:"true"`
	PerformanceConfig                 *Performance      `json:"performanceConfig,omitzero"`
	ServiceTier                       *ServiceTier      `json:"serviceTier,omitzero"`
	OutputConfig                      *OutputConfig     `json:"outputConfig,omitzero"`
}

// Roles of a Message.
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is one turn.
type Message struct {
	Role    string         `json:"role" required:"true" enum:"user,assistant"`
	Content []ContentBlock `json:"content" required:"true"`
}

// ContentBlock is a union: exactly one member is set. The members are in the order in which Bedrock's messages list them.
type ContentBlock struct {
	_ struct{} `union:"ContentBlock"`

	Text             *string           `json:"text,omitzero"`
	Image            *Image            `json:"image,omitzero"`
	ToolUse          *ToolUse          `json:"toolUse,omitzero"`
	ToolResult       *ToolResult       `json:"toolResult,omitzero"`
	Document         Raw[Document]     `json:"document,omitzero"`
	Video            Raw[Video]        `json:"video,omitzero"`
	CachePoint       *CachePoint       `json:"cachePoint,omitzero"`
	ReasoningContent *Reasoning        `json:"reasoningContent,omitzero"`
	CitationsContent Raw[Citations]    `json:"citationsContent,omitzero"`
	SearchResult     Raw[SearchResult] `json:"searchResult,omitzero"`
	Audio            Raw[Audio]        `json:"audio,omitzero" sensitive:"true"`
	GuardContent     Raw[GuardContent] `json:"guardContent,omitzero"`

	Other *jsontext.Value `json:",embed"` // a member that is newer than this program: see Unknown
}

// Member names the member that is set, for messages.
func (b *ContentBlock) Member() string {
	switch {
	case b.Text != nil:
		return "text"
	case b.Image != nil:
		return "image"
	case b.ToolUse != nil:
		return "toolUse"
	case b.ToolResult != nil:
		return "toolResult"
	case b.ReasoningContent != nil:
		return "reasoningContent"
	case b.CachePoint != nil:
		return "cachePoint"
	case len(b.Document) > 0:
		return "document"
	case len(b.Video) > 0:
		return "video"
	case len(b.Audio) > 0:
		return "audio"
	case len(b.GuardContent) > 0:
		return "guardContent"
	case len(b.CitationsContent) > 0:
		return "citationsContent"
	case len(b.SearchResult) > 0:
		return "searchResult"
	}
	return "an empty content block"
}

// SystemBlock is a union: exactly one member is set.
type SystemBlock struct {
	_ struct{} `union:"SystemContentBlock"`

	Text         *string           `json:"text,omitzero" min:"1"`
	CachePoint   *CachePoint       `json:"cachePoint,omitzero"`
	GuardContent Raw[GuardContent] `json:"guardContent,omitzero"`

	Other *jsontext.Value `json:",embed"` // a member that is newer than this program: see Unknown
}

// Image is a picture in the conversation.
type Image struct {
	Format string      `json:"format" required:"true" enum:"png,jpeg,gif,webp"`
	Source ImageSource `json:"source" required:"true"`
	Error  *MediaError `json:"error,omitzero" sensitive:"true"`
}

// ImageSource is a union: the bytes themselves (base64 in JSON) or an object in S3.
type ImageSource struct {
	_ struct{} `union:"ImageSource"`

	Bytes      Base64      `json:"bytes,omitzero" min:"1"`
	S3Location *S3Location `json:"s3Location,omitzero"`
}

// S3Location names an object.
type S3Location struct {
	URI         string `json:"uri" required:"true" min:"1" max:"1024" pattern:"^s3://[a-z0-9][\\.\\-a-z0-9]{1,61}[a-z0-9](/.*)?$"`
	BucketOwner string `json:"bucketOwner,omitzero" pattern:"^[0-9]{12}$"`
}

// CachePoint marks the end of a prefix worth caching.
type CachePoint struct {
	Type string `json:"type" required:"true" enum:"default"`
	TTL  string `json:"ttl,omitzero" enum:"5m,1h"`
}

// ToolUse is the model's wish to call a tool. Input is any JSON value, in general an object.
type ToolUse struct {
	ToolUseID string         `json:"toolUseId" required:"true" min:"1" max:"64" pattern:"^[a-zA-Z0-9_.:-]+$"`
	Name      string         `json:"name" required:"true" min:"1" max:"64" pattern:"^[a-zA-Z0-9_-]+$"`
	Input     jsontext.Value `json:"input" required:"true"`
	Type      string         `json:"type,omitzero" enum:"server_tool_use"`
}

// ToolResult is the caller's answer to a ToolUse.
type ToolResult struct {
	ToolUseID string              `json:"toolUseId" required:"true" min:"1" max:"64" pattern:"^[a-zA-Z0-9_.:-]+$"`
	Content   []ToolResultContent `json:"content" required:"true"`
	Status    string              `json:"status,omitzero" enum:"success,error"`
	Type      string              `json:"type,omitzero"`
}

// ToolResultContent is a union: exactly one member is set.
type ToolResultContent struct {
	_ struct{} `union:"ToolResultContentBlock"`

	JSON         jsontext.Value    `json:"json,omitzero"`
	Text         *string           `json:"text,omitzero"`
	Image        *Image            `json:"image,omitzero"`
	Document     Raw[Document]     `json:"document,omitzero"`
	Video        Raw[Video]        `json:"video,omitzero"`
	SearchResult Raw[SearchResult] `json:"searchResult,omitzero"`

	Other *jsontext.Value `json:",embed"` // a member that is newer than this program: see Unknown
}

// Member names the member that is set, for messages.
func (c *ToolResultContent) Member() string {
	switch {
	case len(c.JSON) > 0:
		return "json"
	case c.Text != nil:
		return "text"
	case c.Image != nil:
		return "image"
	case len(c.Document) > 0:
		return "document"
	case len(c.Video) > 0:
		return "video"
	case len(c.SearchResult) > 0:
		return "searchResult"
	}
	return "an empty content block"
}

// Reasoning is a union: a model's thinking, readable or sealed by its provider.
type Reasoning struct {
	_ struct{} `union:"ReasoningContentBlock"`

	ReasoningText   *ReasoningText `json:"reasoningText,omitzero"`
	RedactedContent []byte         `json:"redactedContent,omitzero"`
}

// ReasoningText is readable thinking with the provider's signature over it.
type ReasoningText struct {
	Text      string `json:"text"`
	Signature string `json:"signature,omitzero"`
}

// InferenceConfig holds the parameters that all models share. A nil pointer means the model's default.
type InferenceConfig struct {
	MaxTokens     *int     `json:"maxTokens,omitzero" min:"1" max:"2147483647"`
	Temperature   *float64 `json:"temperature,omitzero" min:"0" max:"1"`
	TopP          *float64 `json:"topP,omitzero" min:"0" max:"1"`
	StopSequences []string `json:"stopSequences,omitzero" max:"2500" each.min:"1"`
}

// ToolConfig is the tools that the model may call.
type ToolConfig struct {
	Tools      []Tool      `json:"tools" required:"true" min:"1"`
	ToolChoice *ToolChoice `json:"toolChoice,omitzero"`
}

// Tool is a union: exactly one member is set.
type Tool struct {
	_ struct{} `union:"Tool"`

	ToolSpec   *ToolSpec       `json:"toolSpec,omitzero"`
	SystemTool Raw[SystemTool] `json:"systemTool,omitzero"`
	CachePoint *CachePoint     `json:"cachePoint,omitzero"`

	Other *jsontext.Value `json:",embed"` // a member that is newer than this program: see Unknown
}

// ToolSpec describes one function.
type ToolSpec struct {
	Name        string          `json:"name" required:"true" min:"1" max:"64" pattern:"^[a-zA-Z0-9_-]+$"`
	Description string          `json:"description,omitzero" min:"1"`
	InputSchema ToolInputSchema `json:"inputSchema" required:"true"`
	Strict      *bool           `json:"strict,omitzero"`
}

// ToolInputSchema is a union with one member today: a JSON Schema.
type ToolInputSchema struct {
	_ struct{} `union:"ToolInputSchema"`

	JSON jsontext.Value `json:"json,omitzero"`
}

// ToolChoice is a union: let the model choose, make it call some tool, or this one.
type ToolChoice struct {
	_ struct{} `union:"ToolChoice"`

	Auto *struct{}     `json:"auto,omitzero"`
	Any  *struct{}     `json:"any,omitzero"`
	Tool *SpecificTool `json:"tool,omitzero"`

	Other *jsontext.Value `json:",embed"` // a member that is newer than this program: see Unknown
}

// SpecificTool names the tool that must be called.
type SpecificTool struct {
	Name string `json:"name" required:"true" min:"1" max:"64" pattern:"^[a-zA-Z0-9_-]+$"`
}

// Guardrail names the guardrail that looks at the request and the answer.
type Guardrail struct {
	Identifier string `json:"guardrailIdentifier,omitzero" max:"2048" pattern:"^(|([a-z0-9]+)|(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+))$"`
	Version    string `json:"guardrailVersion,omitzero" pattern:"^(|([1-9][0-9]{0,7})|(DRAFT))$"`
	Trace      string `json:"trace,omitzero" enum:"enabled,disabled,enabled_full"`
	Mode       string `json:"streamProcessingMode,omitzero" enum:"sync,async"` // of ConverseStream
}

// Raw is g as a request has it, nil where g names no guardrail.
func (g *Guardrail) Raw() Raw[Guardrail] {
	if g.Identifier == "" && g.Version == "" {
		return nil
	}
	var b []byte
	for _, m := range [...]struct{ name, value string }{
		{`"guardrailIdentifier":`, g.Identifier}, {`"guardrailVersion":`, g.Version}, {`"trace":`, g.Trace},
	} {
		if m.value != "" { // what the caller has not said is Bedrock's to miss
			b = AppendQuote(append(append(b, ','), m.name...), m.value)
		}
	}
	b[0] = '{'
	return append(b, '}')
}

// Performance asks for a latency class.
type Performance struct {
	Latency string `json:"latency,omitzero" enum:"standard,optimized"`
}

// ServiceTier asks for a service tier.
type ServiceTier struct {
	Type string `json:"type" required:"true" enum:"priority,default,flex,reserved"`
}

// Tier is the service tier that r asks for, "" where it asks for none: by serviceTier, or by the additional field of that
// name which servers of OpenAI's formats have, as far as it is one that is known.
func (r *Request) Tier() string {
	if r.ServiceTier != nil {
		return r.ServiceTier.Type
	}
	tier := ""
	_ = EachMember(r.AdditionalModelRequestFields, func(name string, v jsontext.Value) error {
		if name != "service_tier" || v.Kind() != '"' {
			return nil
		}
		word, err := jsontext.AppendUnquote(nil, v)
		switch string(word) {
		case "priority", "flex", "reserved", "scale":
			tier = string(word)
		}
		return err
	}) // what is no object has no tier; who sends it on says so
	return tier
}

// OutputConfig asks for structured output.
type OutputConfig struct {
	TextFormat *TextFormat `json:"textFormat,omitzero"`
}

// TextFormat is the form of the text that the model writes.
type TextFormat struct {
	Type      string              `json:"type" required:"true" enum:"json_schema"`
	Structure TextFormatStructure `json:"structure" required:"true"`
}

// TextFormatStructure is a union with one member today.
type TextFormatStructure struct {
	_ struct{} `union:"OutputFormatStructure"`

	JSONSchema *JSONSchema `json:"jsonSchema,omitzero"`
}

// JSONSchema is a schema as a JSON text inside a string.
type JSONSchema struct {
	Schema      string `json:"schema" required:"true"`
	Name        string `json:"name,omitzero"`
	Description string `json:"description,omitzero"`
}

// Object returns the schema as it stands, or a fault.Validation where it is no JSON object.
func (s *JSONSchema) Object() (jsontext.Value, error) {
	object := jsontext.Value(s.Schema)
	if !object.IsValid(jsontext.AllowDuplicateNames(true)) || object.Kind() != '{' {
		return nil, fault.New(fault.Validation, "outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object.")
	}
	return object, nil
}

// Stop reasons, as the service model has them.
const (
	StopEndTurn               = "end_turn"
	StopToolUse               = "tool_use"
	StopMaxTokens             = "max_tokens"
	StopStopSequence          = "stop_sequence"
	StopGuardrailIntervened   = "guardrail_intervened"
	StopContentFiltered       = "content_filtered"
	StopMalformedModelOutput  = "malformed_model_output"
	StopMalformedToolUse      = "malformed_tool_use"
	StopContextWindowExceeded = "model_context_window_exceeded"
)

// Units is what one inference uses that is not paid by the token. ImageType is what the usage types of Images end in, which
// AWS tells by task, size and quality for some models: "T2I-1024-Standard"; "" where there are none.
type Units struct {
	Images      int64 // pictures made
	ImageType   string
	InputImages int64 // pictures embedded
	SearchUnits int64 // rerankings: queries over up to 100 documents
}

// OutputImage is the ImageType of models whose pictures have one price.
const OutputImage = "output-image"

// Usage is what one inference uses: tokens, and with some models Units. InputTokens excludes cached tokens, read or written; a provider whose count
// includes them normalises it before it yields. CacheWrite1hInputTokens is the part of CacheWriteInputTokens that was
// written with a time to live of one hour.
type Usage struct {
	InputTokens             int64
	OutputTokens            int64
	CacheReadInputTokens    int64
	CacheWriteInputTokens   int64
	CacheWrite1hInputTokens int64
	Units
}

// Total is what Converse reports as totalTokens: every token of the inference, cached ones too.
func (u Usage) Total() int64 {
	return u.InputTokens + u.OutputTokens + u.CacheReadInputTokens + u.CacheWriteInputTokens
}

// EventKind tells an Event's kind; the order below is the order of a stream.
type EventKind uint8

// The kinds of Event. BlockStart comes for tool use only, as in ConverseStream; text and reasoning begin with their
// first delta.
const (
	MessageStart EventKind = iota + 1 // Role, Usage
	BlockStart                        // Index, ToolUseID, ToolName
	BlockDelta                        // Index, Delta, Text
	BlockStop                         // Index
	MessageStop                       // StopReason, StopSequence, Fields
	Metadata                          // Usage, and StopReason where no event before it had one; the last event
	Chunk                             // Native, Name, Usage: a piece of an answer in its upstream's own format
)

// DeltaKind tells what a BlockDelta's Text is.
type DeltaKind uint8

// The kinds of delta.
const (
	TextDelta      DeltaKind = iota + 1 // a piece of the answer
	ToolInputDelta                      // a piece of a tool's input, JSON text
	ReasoningDelta                      // a piece of readable thinking
	SignatureDelta                      // the signature over the thinking
	RedactedDelta                       // sealed thinking: raw bytes, not base64
	CitationDelta                       // a source of the block's text: Fields holds a Citation
)

// Event is one event of an answer: a flat struct so that a stream allocates nothing a event but its text.
type Event struct {
	Kind         EventKind
	Delta        DeltaKind
	Estimated    bool // Metadata: the usage is an estimate, the upstream reported none
	More         bool // another event, or the stream's end, has already arrived: a writer may hold its flush back for it
	Index        int
	Role         string
	ToolUseID    string
	ToolName     string
	Text         string
	StopReason   string
	StopSequence string         // MessageStop: the sequence that ended the answer, where the upstream told
	Fields       jsontext.Value // MessageStop: additionalModelResponseFields; of a CitationDelta the Citation
	Usage        Usage          // Metadata; of a MessageStart and of a Chunk, what is known by then of the answer so far, should it be cut
	Served       *Served        // Metadata, and the first Chunk where it is known by then; nil where the upstream tells nothing

	// What the upstream sent, for a front door that speaks its format, valid until the next event: of a Chunk, and of a
	// Metadata whose own event is to be forwarded as well. Name is that event's type, or the media type of a whole answer.
	Native []byte
	Name   string
}

// Served is what an upstream tells of how it has served a request, besides the answer. Each member may be missing.
type Served struct {
	Tier    string         // the ServiceTier that it was served in: "reserved", for one, overflows to "default"
	Latency string         // the latency of Performance
	Trace   jsontext.Value // Converse's trace, of a guardrail or a prompt router
}

// ServedTier is a Served that tells of the tier alone, nil for "". It is shared, and never changed.
func ServedTier(tier string) *Served {
	switch tier {
	case "":
		return nil
	case "default":
		return &servedDefault
	}
	return &Served{Tier: tier}
}

var servedDefault = Served{Tier: "default"} // of nearly every answer

// Stream is an answer in events. It yields MessageStart first, or Chunks alone, and Metadata last, or an error, after
// which it ends. The event beside an error is the zero one, or the Metadata that the upstream had told before it failed.
// A consumer that stops early makes the producer release what it holds before the range loop returns. A Stream may be
// ranged over once.
type Stream = iter.Seq2[Event, error]

// Response is a whole answer.
type Response struct {
	Content      []ContentBlock
	StopReason   string
	StopSequence string
	Fields       jsontext.Value
	Usage        Usage
	Estimated    bool
	Served       *Served

	// The whole answer as an upstream that speaks the caller's format sent it, in place of Content and Fields, and its
	// media type.
	Native     []byte
	NativeType string
}
