package bedrockruntime

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/wire"
)

// TestExceptions holds the table against the runtime's service model: every code in it is one of the model's exceptions
// with the model's status, and every kind that the data plane can return has one.
func TestExceptions(t *testing.T) {
	// Source: botocore bedrock-runtime 2023-09-30, httpStatusCode of each exception.
	model := map[string]int{
		"AccessDeniedException": 403, "ConflictException": 400, "InternalServerException": 500, "ModelErrorException": 424,
		"ModelNotReadyException": 429, "ModelStreamErrorException": 424, "ModelTimeoutException": 408, "ResourceNotFoundException": 404,
		"ServiceQuotaExceededException": 400, "ServiceUnavailableException": 503, "ThrottlingException": 429, "ValidationException": 400,
	}
	protocol := map[fault.Kind]bool{
		fault.Serialization: true, fault.UnknownOperation: true, fault.MissingToken: true, fault.IncompleteSignature: true,
		fault.InvalidSignature: true, fault.UnrecognizedClient: true, fault.ExpiredToken: true, fault.InvalidAPIKey: true, fault.TooManyFailures: true,
	}
	elsewhere := map[fault.Kind]bool{ // of the control plane, of Cost Explorer and of IAM
		fault.TooManyTags: true, fault.InvalidNextToken: true, fault.LimitExceeded: true, fault.DataUnavailable: true,
		fault.InUse: true, fault.Stale: true, fault.MalformedPolicy: true, fault.InvalidInput: true,
		fault.PackedPolicy: true, fault.InvalidIdentityToken: true, fault.ExpiredIdentityToken: true, fault.RejectedClaim: true, fault.ProviderUnreachable: true,
	}
	for _, k := range fault.Kinds() {
		e, ok := exceptions.Of(k)
		if ok == (protocol[k] || elsewhere[k]) {
			t.Errorf("%v: has an exception: %t", k, ok)
		}
		if ok && k != fault.TooLarge && model[e.Code] != e.Status {
			t.Errorf("%v: %s %d, the service model says %d", k, e.Code, e.Status, model[e.Code])
		}
	}
}

// TestStreamEvents holds each event against ConverseStream's shapes in the service model.
func TestStreamEvents(t *testing.T) {
	for _, c := range []struct {
		event converse.Event
		kind  string
		json  string
	}{
		{converse.Event{Kind: converse.MessageStart, Role: "assistant"}, "messageStart", `{"role":"assistant"}`},
		{converse.Event{Kind: converse.BlockStart, Index: 1, ToolUseID: "tooluse_1", ToolName: "get_weather"}, "contentBlockStart",
			`{"start":{"toolUse":{"toolUseId":"tooluse_1","name":"get_weather"}},"contentBlockIndex":1}`},
		{converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "a \"b\"\n"}, "contentBlockDelta",
			`{"delta":{"text":"a \"b\"\n"},"contentBlockIndex":0}`},
		{converse.Event{Kind: converse.BlockDelta, Index: 1, Delta: converse.ToolInputDelta, Text: `{"city":`}, "contentBlockDelta",
			`{"delta":{"toolUse":{"input":"{\"city\":"}},"contentBlockIndex":1}`},
		{converse.Event{Kind: converse.BlockDelta, Delta: converse.ReasoningDelta, Text: "hm"}, "contentBlockDelta",
			`{"delta":{"reasoningContent":{"text":"hm"}},"contentBlockIndex":0}`},
		{converse.Event{Kind: converse.BlockDelta, Delta: converse.SignatureDelta, Text: "c2ln"}, "contentBlockDelta",
			`{"delta":{"reasoningContent":{"signature":"c2ln"}},"contentBlockIndex":0}`},
		{converse.Event{Kind: converse.BlockDelta, Delta: converse.RedactedDelta, Text: "\x00\xff"}, "contentBlockDelta",
			`{"delta":{"reasoningContent":{"redactedContent":"AP8="}},"contentBlockIndex":0}`},
		{converse.Event{Kind: converse.BlockStop, Index: 2}, "contentBlockStop", `{"contentBlockIndex":2}`},
		{converse.Event{Kind: converse.MessageStop, StopReason: "end_turn"}, "messageStop", `{"stopReason":"end_turn"}`},
		{converse.Event{Kind: converse.MessageStop, StopReason: "stop_sequence", Fields: jsontext.Value(`{"stop_sequence":"X"}`)}, "messageStop",
			`{"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"X"}}`},
		{converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 4}}, "metadata",
			`{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7},"metrics":{"latencyMs":1500}}`},
		{converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 4, CacheReadInputTokens: 5, CacheWriteInputTokens: 7, CacheWrite1hInputTokens: 6}}, "metadata",
			`{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":19,"cacheReadInputTokens":5,"cacheWriteInputTokens":7,"cacheDetails":[{"ttl":"1h","inputTokens":6},{"ttl":"5m","inputTokens":1}]},"metrics":{"latencyMs":1500}}`},
		{converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 4}, Served: &converse.Served{Tier: "flex", Latency: "optimized", Trace: jsontext.Value(`{"promptRouter":{}}`)}}, "metadata",
			`{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7},"metrics":{"latencyMs":1500},"trace":{"promptRouter":{}},"performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"flex"}}`},
		{converse.Event{Kind: converse.Metadata, Native: []byte(`{"usage":{},"p":"ab"}`), Name: "metadata"}, "metadata", `{"usage":{},"p":"ab"}`},
		{converse.Event{Kind: converse.Chunk, Native: []byte(`{"new":1}`), Name: "somethingNew"}, "somethingNew", `{"new":1}`},
	} {
		asked := converse.Request{}
		e := &streamEvent{Event: c.event, latency: func() time.Duration { return 1500 * time.Millisecond }, asked: &asked}
		if got := e.EventType(); got != c.kind {
			t.Errorf("event type %q, want %q", got, c.kind)
		}
		if got := string(e.AppendJSON([]byte("x"))); got != "x"+c.json {
			t.Errorf("%s: %s\nwant %s", c.kind, got[1:], c.json)
		}
	}
}

// ConverseInput reads its own body. Package converse holds what it reads against reflection.
var _ wire.Reader = (*ConverseInput)(nil)

func TestIdentifiers(t *testing.T) {
	for id, want := range map[string]string{
		"anthropic.claude-3-haiku-20240307-v1:0":      "claude-3-haiku-20240307",
		"anthropic.claude-sonnet-4-5-20250929-v1:0":   "claude-sonnet-4-5-20250929",
		"anthropic.claude-3-haiku-20240307-v1:0:200k": "claude-3-haiku-20240307",
		"anthropic.claude-opus-4-6-v1":                "claude-opus-4-6",
		"meta.llama3-1-8b-instruct-v1:0":              "llama3-1-8b-instruct",
	} {
		if got := modelName(id); got != want {
			t.Errorf("modelName(%q) = %q, want %q", id, got, want)
		}
	}
	invalid := fault.New(fault.Validation, "The provided model identifier is invalid.")
	for id, constraint := range map[string]bool{"nonsense-model": false, "my profile": false, "a/b": true, "ünicode": true, "{x}": true} {
		err := identifier(invalid, id)
		if got := strings.Contains(err.Error(), "failed to satisfy constraint: Member must satisfy regular expression pattern"); got != constraint {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestCheck holds requests against what the constraints of single members cannot say.
func TestCheck(t *testing.T) {
	user := `"messages":[{"role":"user","content":[{"text":"hi"}]}]`
	for body, want := range map[string]string{
		`{` + user + `}`: "",
		`{` + user + `,"serviceTier":{"type":"default"},"performanceConfig":{"latency":"standard"}}`: "",
		`{` + user + `,"requestMetadata":{"team":"a b"}}`:                                            "",
		`{` + user + `,"requestMetadata":{"team":"{}"}}`:                                             "requestMetadata",
		`{` + user + `,"requestMetadata":{}}`:                                                        "greater than or equal to 1",
		`{` + user + `,"requestMetadata":{"":"x"}}`:                                                  "requestMetadata",
		`{` + user + `,"guardrailConfig":{"guardrailIdentifier":"x"}}`:                               "",
		`{` + user + `,"serviceTier":{"type":"flex"},"performanceConfig":{"latency":"optimized"}}`:   "",
		`{` + user + `,"promptVariables":{"a":{"text":""}}}`:                                         "",
		`{` + user + `,"promptVariables":{"a":{"text":""},"b":{}}}`:                                  "promptVariables",
		`{` + user + `,"promptVariables":{"a":"b"}}`:                                                 "promptVariables",
		`{` + user + `,"additionalModelResponseFieldPaths":["/a","/a~1b/~0"]}`:                       "",
		`{` + user + `,"additionalModelResponseFieldPaths":["/a","b"]}`:                              "The value at additionalModelResponseFieldPaths.1 is not a valid JSON Pointer.",
		`{` + user + `,"additionalModelResponseFieldPaths":[""]}`:                                    "The value at additionalModelResponseFieldPaths.0 is not a valid JSON Pointer.",
		`{` + user + `,"additionalModelResponseFieldPaths":["/a~2"]}`:                                "The value at additionalModelResponseFieldPaths.0 is not a valid JSON Pointer.",
		`{` + user + `,"additionalModelResponseFieldPaths":["/a~"]}`:                                 "The value at additionalModelResponseFieldPaths.0 is not a valid JSON Pointer.",
		`{}`: "A conversation must start with a user message.",
		`{"messages":[{"role":"assistant","content":[{"text":"hi"}]}]}`:                                    "A conversation must start with a user message.",
		`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`: "A conversation must alternate between user and assistant roles.",
		`{"messages":[{"role":"user","content":[]}]}`:                                                      "The content field in the Message object at messages.0 is empty.",
		`{"messages":[{"role":"user","content":[{"text":" "}]}]}`:                                          "The text field in the ContentBlock object at messages.0.content.0 is blank.",
		`{"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"x","content":[]}}]}]}`:         "The number of toolResult blocks at messages.0.content exceeds the number of toolUse blocks of previous turn.",
		`{` + `"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"n","input":{}}}]},{"role":"user","content":[{"text":"b"}]}]}`:                                          "Expected toolResult blocks at messages.2.content for the following Ids: t1",
		`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"n","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"text":"r"}]}}]}]}`: "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
	} {
		var in ConverseInput
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		err := check(&in)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Validation)) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// TestConverseOutput: what the output writes by itself is what its tags say.
func TestConverseOutput(t *testing.T) {
	text, empty := "a \"b\"\n\u2028 ü", ""
	for _, out := range []ConverseOutput{
		{Output: ConverseOutputUnion{Message: converse.Message{Role: "assistant", Content: []converse.ContentBlock{{Text: &text}}}},
			StopReason: "end_turn", Usage: tokenUsage(converse.Usage{InputTokens: 3, OutputTokens: 4}), Metrics: Metrics{LatencyMs: 12}},
		{Output: ConverseOutputUnion{Message: converse.Message{Role: "assistant", Content: []converse.ContentBlock{
			{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: "hm", Signature: "s"}}}, {Text: &empty},
			{ToolUse: &converse.ToolUse{ToolUseID: "t", Name: "n", Input: jsontext.Value(`{"a":[1,2]}`)}}}}},
			StopReason: "tool_use", Usage: tokenUsage(converse.Usage{InputTokens: 1, OutputTokens: 2, CacheReadInputTokens: 3, CacheWriteInputTokens: 9, CacheWrite1hInputTokens: 4}),
			AdditionalModelResponseFields: jsontext.Value(`{"stop_sequence":null}`),
			Serving:                       Serving{Trace: jsontext.Value(`{"guardrail":{}}`), PerformanceConfig: &converse.Performance{Latency: "standard"}, ServiceTier: &converse.ServiceTier{Type: "flex"}}},
		{Output: ConverseOutputUnion{Message: converse.Message{Role: "assistant", Content: []converse.ContentBlock{}}}, StopReason: "max_tokens"},
	} {
		want, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		got := out.AppendJSON(nil)
		if err := json.Unmarshal(got, &a); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if err := json.Unmarshal(want, &b); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
