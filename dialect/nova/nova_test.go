package nova

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

func ptr[T any](v T) *T { return &v }

// TestParseRequest: the forms of "Complete request schema" (Amazon Nova user guide), the cachePoint of "Prompt caching"
// and of aws-samples/amazon-bedrock-samples (prompt-caching/invoke_model_api/nova), max_new_tokens, top_p and top_k as the
// exchanges recorded for opentelemetry-instrumentation-botocore and those samples have them.
func TestParseRequest(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{
			"text",
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"max_new_tokens":10,"temperature":0.8,"topP":1,"stopSequences":["|"]},"schemaVersion":"messages-v1"}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"maxTokens":10,"temperature":0.8,"topP":1,"stopSequences":["|"]}}`,
		},
		{
			"cache points and topK",
			`{"system":[{"text":"S","cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"D","cachePoint":{"type":"default"}},{"text":"Q"}]}],"inferenceConfig":{"max_new_tokens":300,"top_p":0.9,"top_k":20}}`,
			`{"system":[{"text":"S"},{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"D"},{"cachePoint":{"type":"default"}},{"text":"Q"}]}],"inferenceConfig":{"maxTokens":300,"topP":0.9},"additionalModelRequestFields":{"inferenceConfig":{"top_k":20}}}`,
		},
		{
			"pictures, video, documents",
			`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAEC"}}},{"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://bucket/a.jpg","bucketOwner":"123456789012"}}}},
				{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://bucket/a.mp4"}}}},{"document":{"format":"pdf","name":"d","source":{"bytes":"AAEC"}}},{"text":"What?"}]},
				{"role":"assistant","content":[{"text":"It"}]}]}`,
			`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAEC"}}},{"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://bucket/a.jpg","bucketOwner":"123456789012"}}}},
				{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://bucket/a.mp4"}}}},{"document":{"format":"pdf","name":"d","source":{"bytes":"AAEC"}}},{"text":"What?"}]},
				{"role":"assistant","content":[{"text":"It"}]}]}`,
		},
		{
			"tools",
			`{"messages":[{"role":"user","content":[{"text":"W?"}]},{"content":[{"text":"<thinking>x</thinking>\n"},{"toolUse":{"name":"f","toolUseId":"t-1","input":{"a":1}}}],"role":"assistant"},{"role":"user","content":[{"toolResult":{"toolUseId":"t-1","content":[{"json":{"b":2}},{"text":"c"}],"status":"success"}}]}],
				"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"F","inputSchema":{"json":{"type":"object"}}}},{"systemTool":{"name":"nova_grounding"}}],"toolChoice":{"tool":{"name":"f"}}}}`,
			`{"messages":[{"role":"user","content":[{"text":"W?"}]},{"role":"assistant","content":[{"text":"<thinking>x</thinking>\n"},{"toolUse":{"toolUseId":"t-1","name":"f","input":{"a":1}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t-1","content":[{"json":{"b":2}},{"text":"c"}],"status":"success"}}]}],
				"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"F","inputSchema":{"json":{"type":"object"}}}},{"systemTool":{"name":"nova_grounding"}}],"toolChoice":{"tool":{"name":"f"}}}}`,
		},
		{ // "Request and response schema" of Nova 2 has reasoningConfig inside inferenceConfig, "Core inference" at the top level
			"reasoning",
			`{"messages":[{"role":"user","content":[{"text":"Q"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"[REDACTED]"}}},{"text":"A"}]},{"role":"user","content":[{"text":"R"}]}],"inferenceConfig":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}},"reasoningConfig":{"type":"disabled"}}`,
			`{"messages":[{"role":"user","content":[{"text":"Q"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"[REDACTED]"}}},{"text":"A"}]},{"role":"user","content":[{"text":"R"}]}],"additionalModelRequestFields":{"inferenceConfig":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}},"reasoningConfig":{"type":"disabled"}}}`,
		},
	} {
		r, err := ParseRequest([]byte(c.body))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		conversetest.Same(t, conversetest.Marshal(t, r), c.want)
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestParseRequestRefusals: the words are those of Bedrock's schema checker, as reports quote them for Nova ("#: required
// key [messages] not found", aws-samples/amazon-bedrock-client-for-mac issue 59) and for other models of the same form
// ("#/stopSequences: expected type: JSONArray, found: String", "expected minLength: 1, actual: 0").
func TestParseRequestRefusals(t *testing.T) {
	user := func(block string) string { return `{"messages":[{"role":"user","content":[` + block + `]}]}` }
	for body, want := range map[string]string{
		`{}`:                                   `#: required key [messages] not found`,
		`{"schemaVersion":"v2","messages":[]}`: `#/messages: expected minimum item count: 1, found: 0#/schemaVersion: v2 is not a valid enum value`,
		`{"messages":"x"}`:                     `#/messages: expected type: JSONArray, found: String`,
		`{"messages":[{"role":"system","content":[{"text":"x"}]}]}`:                      `#/messages/0/role: system is not a valid enum value`,
		`{"messages":[{"content":[{"text":"x"}]}]}`:                                      `#/messages/0: required key [role] not found`,
		`{"messages":[{"role":"user"}]}`:                                                 `#/messages/0: required key [content] not found`,
		`{"messages":[{"role":"user","content":"x"}]}`:                                   `#/messages/0/content: expected type: JSONArray, found: String`,
		`{"messages":[{"role":"user","content":[]}]}`:                                    `#/messages/0/content: expected minimum item count: 1, found: 0`,
		user(`{"text":"x"},{}`):                                                          `#/messages/0/content/1: 0 subschemas matched instead of one`,
		user(`null`):                                                                     `#/messages/0/content/0: 0 subschemas matched instead of one`,
		user(`{"type":"text","text":"x"}`):                                               `#/messages/0/content/0: extraneous key [type] is not permitted`,
		user(`{"text":"x","audio":{}}`):                                                  `#/messages/0/content/0: 2 subschemas matched instead of one`,
		user(`{"text":5}`):                                                               `#/messages/0/content/0/text: expected type: String, found: Number`,
		user(`{"image":{"source":{"bytes":"AAEC"}}}`):                                    `#/messages/0/content/0/image: required key [format] not found`,
		user(`{"image":{"format":"bmp","source":{"bytes":"AAEC"}}}`):                     `#/messages/0/content/0/image/format: bmp is not a valid enum value`,
		user(`{"image":{"format":"png","source":{"bytes":"?"}}}`):                        `#/messages/0/content/0/image/source/bytes: the value is not valid base64`,
		user(`{"image":{"format":"png","source":{}}}`):                                   `#/messages/0/content/0/image: required key [source] not found`,
		user(`{"toolUse":{"toolUseId":"a","name":"b"}}`):                                 `#/messages/0/content/0/toolUse: required key [input] not found`,
		user(`{"toolUse":{"name":"b","input":{}}}`):                                      `#/messages/0/content/0/toolUse: required key [toolUseId] not found`,
		user(`{"toolResult":{"content":[]}}`):                                            `#/messages/0/content/0/toolResult: required key [toolUseId] not found`,
		user(`{"toolResult":{"toolUseId":"a","content":[{}]}}`):                          `#/messages/0/content/0/toolResult/content/0: 0 subschemas matched instead of one`,
		user(`{"reasoningContent":{}}`):                                                  `#/messages/0/content/0/reasoningContent: 0 subschemas matched instead of one`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"system":"x"}`:           `#/system: expected type: JSONArray, found: String`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"system":[{"text":""}]}`: `#/system/0/text: expected minLength: 1, actual: 0`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":0,"temperature":2,"topP":-1}}`:                   `#/inferenceConfig/maxTokens: 0 is not greater or equal to 1#/inferenceConfig/temperature: 2 is not less or equal to 1#/inferenceConfig/topP: -1 is not greater or equal to 0`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"stopSequences":"x"}}`:                                       `#/inferenceConfig/stopSequences: expected type: JSONArray, found: String`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":"5"}}`:                                           `#/inferenceConfig/maxTokens: expected type: Integer, found: String`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"toolConfig":{"tools":[]}}`:                                                     `#/toolConfig/tools: expected minimum item count: 1, found: 0`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"a"}}]}}`:                            `#/toolConfig/tools/0/toolSpec: required key [inputSchema] not found`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":"x"}}}]}}`: `#/toolConfig/tools/0/toolSpec/inputSchema/json: expected type: JSONObject, found: String`,
		`{"messages":[{"role":"user","content":[{"text":"x"}]}],"toolConfig":{"tools":[{"systemTool":{"name":"a"}}],"toolChoice":{}}}`:          `#/toolConfig/toolChoice: 0 subschemas matched instead of one`,
		`{"messages":[{"role":"user"`: `Unexpected end of input`,
	} {
		_, err := ParseRequest([]byte(body))
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Validation || f.Message != "Malformed input request: "+want+", please reformat your input and try again." {
			t.Errorf("%s\n%v\nwant %s", body, err, want)
		}
	}
	if _, err := ParseRequest([]byte(`[`)); !fault.Is(err, fault.Validation) {
		t.Error(err)
	}
}

// roundTrips are requests that the format expresses in full.
var roundTrips = []string{
	`{"messages":[{"role":"user","content":[{"text":"Hi \"there\"\n"}]}]}`,
	`{"system":[{"text":"a"},{"cachePoint":{"type":"default"}},{"text":"b"}],"messages":[{"role":"user","content":[{"cachePoint":{"type":"default"}},{"text":"x"},{"cachePoint":{"type":"default","ttl":"5m"}},{"cachePoint":{"type":"default"}},{"image":{"format":"gif","source":{"bytes":"AAEC"}}},{"cachePoint":{"type":"default"}},{"text":"y"}]},{"role":"assistant","content":[{"text":"prefill"}]}],
		"inferenceConfig":{"maxTokens":5,"temperature":0,"topP":0.5,"stopSequences":["a","b"]},"additionalModelRequestFields":{"inferenceConfig":{"topK":20,"reasoningConfig":{"type":"enabled"}},"reasoningConfig":{"type":"enabled"}}}`,
	`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":"s3://bucket/x"}}}},{"video":{"format":"mp4","source":{"bytes":"AAEC"}}},{"audio":{"format":"mp3","source":{"bytes":"AAEC"}}},{"document":{"format":"txt","name":"d","source":{"bytes":"AAEC"}}}]}],"additionalModelRequestFields":{"inferenceConfig":{"topK":1}}}`,
	`{"messages":[{"role":"user","content":[{"text":"x"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},{"toolUse":{"toolUseId":"t","name":"f","input":{"a":[1,2]}}},{"toolUse":{"toolUseId":"u","name":"g","input":{},"type":"server_tool_use"}}]},
		{"role":"user","content":[{"toolResult":{"toolUseId":"t","content":[{"text":"r"},{"json":{"b":1}},{"image":{"format":"png","source":{"bytes":"AAEC"}}}],"status":"error"}},{"cachePoint":{"type":"default"}}]}],
		"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}},{"systemTool":{"name":"nova_code_interpreter"}}],"toolChoice":{"any":{}}},"additionalModelRequestFields":{"x":"y"}}`,
}

// TestRoundTrip: a request that is written and read again is the same.
func TestRoundTrip(t *testing.T) {
	for _, text := range roundTrips {
		var r converse.Request
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		body, err := AppendRequest([]byte("x"), &r, "amazon.nova-lite-v1:0", false, "u")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := ParseRequest(body[1:])
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		conversetest.Same(t, conversetest.Marshal(t, got), text)
	}
}

// TestAppendRequest: the body as the format has it, see TestParseRequest for where that is written.
func TestAppendRequest(t *testing.T) {
	r := converse.Request{
		System: []converse.SystemBlock{{Text: ptr("S")}, {CachePoint: &converse.CachePoint{Type: "default"}}},
		Messages: []converse.Message{{Role: "user", Content: []converse.ContentBlock{
			{Image: &converse.Image{Format: "png", Source: converse.ImageSource{Bytes: converse.EncodeBase64([]byte{0, 1, 2})}}},
			{CachePoint: &converse.CachePoint{Type: "default"}},
			{Text: ptr("x")},
		}}, {Role: "assistant", Content: []converse.ContentBlock{{ToolUse: &converse.ToolUse{ToolUseID: "t", Name: "f"}}}}},
		InferenceConfig: &converse.InferenceConfig{MaxTokens: ptr(9)},
		ToolConfig: &converse.ToolConfig{Tools: []converse.Tool{
			{ToolSpec: &converse.ToolSpec{Name: "f", Strict: ptr(false), InputSchema: converse.ToolInputSchema{JSON: jsontext.Value(`{}`)}}},
			{CachePoint: &converse.CachePoint{Type: "default"}},
		}},
		AdditionalModelRequestFields: jsontext.Value(`{"inferenceConfig":{"topK":20},"anthropic_beta":["x"],"reasoningConfig":{"type":"enabled"}}`),
		ServiceTier:                  &converse.ServiceTier{Type: "default"},
		PerformanceConfig:            &converse.Performance{Latency: "standard"},
		RequestMetadata:              map[string]string{"a": "b"},
	}
	got, err := AppendRequest(nil, &r, "m", true, "u")
	if err != nil {
		t.Fatal(err)
	}
	conversetest.Same(t, string(got), `{"schemaVersion":"messages-v1","system":[{"text":"S","cachePoint":{"type":"default"}}],
		"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAEC"}},"cachePoint":{"type":"default"}},{"text":"x"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"f","input":{}}}]}],
		"inferenceConfig":{"maxTokens":9,"topK":20},"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"reasoningConfig":{"type":"enabled"}}`)

	r = converse.Request{Messages: []converse.Message{{Role: "user", Content: []converse.ContentBlock{{Text: ptr("x")}}}}, ToolConfig: &converse.ToolConfig{Tools: []converse.Tool{{CachePoint: &converse.CachePoint{Type: "default"}}}}}
	if got, err = AppendRequest(nil, &r, "m", true, "u"); err != nil {
		t.Fatal(err)
	}
	conversetest.Same(t, string(got), `{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"x"}]}]}`)
}

func TestAppendRequestRefusals(t *testing.T) {
	user := func(b converse.ContentBlock) converse.Request {
		return converse.Request{Messages: []converse.Message{{Role: "user", Content: []converse.ContentBlock{{Text: ptr("x")}, b}}}}
	}
	obj := []byte(`{}`)
	for path, r := range map[string]converse.Request{
		"messages.0.content.1.guardContent":                      user(converse.ContentBlock{GuardContent: obj}),
		"messages.0.content.1.searchResult":                      user(converse.ContentBlock{SearchResult: obj}),
		"messages.0.content.1.reasoningContent.redactedContent":  user(converse.ContentBlock{ReasoningContent: &converse.Reasoning{RedactedContent: []byte("x")}}),
		"messages.0.content.1.toolResult.content.0.searchResult": user(converse.ContentBlock{ToolResult: &converse.ToolResult{ToolUseID: "a", Content: []converse.ToolResultContent{{SearchResult: obj}}}}),
		"system.0.guardContent":                                  {System: []converse.SystemBlock{{GuardContent: obj}}},
		"outputConfig.textFormat":                                {OutputConfig: &converse.OutputConfig{TextFormat: &converse.TextFormat{}}},
		"serviceTier.flex":                                       {ServiceTier: &converse.ServiceTier{Type: "flex"}},
		"performanceConfig.latency.optimized":                    {PerformanceConfig: &converse.Performance{Latency: "optimized"}},
		"guardrailConfig":                                        {GuardrailConfig: converse.Raw[converse.Guardrail](obj)},
		"promptVariables":                                        {PromptVariables: obj},
		"toolConfig.tools.0.toolSpec.strict":                     {ToolConfig: &converse.ToolConfig{Tools: []converse.Tool{{ToolSpec: &converse.ToolSpec{Strict: ptr(true)}}}}},
	} {
		_, err := AppendRequest(nil, &r, "m", false, "up")
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Validation || !strings.Contains(f.Message, "support "+path+":") || !strings.Contains(f.Message, `"up"`) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for extra, want := range map[string]string{
		`{"messages":[]}`: "additionalModelRequestFields.messages: ", `{"inferenceConfig":{"maxTokens":1}}`: "additionalModelRequestFields.inferenceConfig.maxTokens: ",
		`{"inferenceConfig":{"top_p":1}}`: "additionalModelRequestFields.inferenceConfig.top_p: ", `{"inferenceConfig":1}`: "additionalModelRequestFields.inferenceConfig is not a JSON object.",
		`[]`: "additionalModelRequestFields is not a JSON object.", `{"a":1`: "additionalModelRequestFields is not a JSON object.", `{}x`: "additionalModelRequestFields is not a JSON object.",
	} {
		r := converse.Request{InferenceConfig: &converse.InferenceConfig{MaxTokens: ptr(1), TopP: ptr(1.0)}, AdditionalModelRequestFields: jsontext.Value(extra)}
		if _, err := AppendRequest(nil, &r, "m", false, "up"); !fault.Is(err, fault.Validation) || !strings.HasPrefix(fault.From(err).Message, want) {
			t.Errorf("%s: %v", extra, err)
		}
	}
}

// TestAppendResponse: the answers recorded for opentelemetry-instrumentation-botocore (test_invoke_model_*[amazon.nova]),
// the reasoning of "Response structure highlights".
func TestAppendResponse(t *testing.T) {
	got := AppendResponse([]byte("x"), &converse.AnswerInfo{ID: "i", Model: "m"}, &converse.Response{
		Content: []converse.ContentBlock{
			{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: "hm"}}},
			{CitationsContent: []byte(`{}`)},
			{Text: ptr("It is \"so\"\n")},
			{ToolUse: &converse.ToolUse{Name: "f", ToolUseID: "4d8acf92", Input: jsontext.Value(`{"location":"Seattle"}`)}},
			{ToolUse: &converse.ToolUse{Name: "g", ToolUseID: "5"}},
		},
		StopReason: "tool_use",
		Usage:      converse.Usage{InputTokens: 5, OutputTokens: 10, CacheReadInputTokens: 2, CacheWriteInputTokens: 3},
	})
	const want = `x{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"It is \"so\"\n"},{"toolUse":{"name":"f","toolUseId":"4d8acf92","input":{"location":"Seattle"}}},{"toolUse":{"name":"g","toolUseId":"5","input":{}}}],"role":"assistant"}},"stopReason":"tool_use","usage":{"inputTokens":5,"outputTokens":10,"totalTokens":20,"cacheReadInputTokenCount":2,"cacheWriteInputTokenCount":3}}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	got = AppendResponse(nil, nil, &converse.Response{Content: []converse.ContentBlock{
		{ReasoningContent: &converse.Reasoning{RedactedContent: []byte{0, 1, 2}}}, {ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: "a", Signature: "s"}}}}, StopReason: "end_turn"})
	conversetest.Same(t, string(got), `{"output":{"message":{"content":[{"reasoningContent":{"redactedContent":"AAEC"}},{"reasoningContent":{"reasoningText":{"text":"a","signature":"s"}}}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":0}}`)
}

var wholeAnswer = []converse.Event{
	{Kind: converse.MessageStart, Role: converse.RoleAssistant},
	{Kind: converse.BlockDelta, Index: 0, Delta: converse.ReasoningDelta, Text: "hm"},
	{Kind: converse.BlockDelta, Index: 0, Delta: converse.SignatureDelta, Text: "s"},
	{Kind: converse.BlockStop, Index: 0},
	{Kind: converse.BlockDelta, Index: 1, Delta: converse.RedactedDelta, Text: "\x00\x01\x02"},
	{Kind: converse.BlockStop, Index: 1},
	{Kind: converse.BlockDelta, Index: 2, Delta: converse.TextDelta, Text: "It \"is\""},
	{Kind: converse.BlockStop, Index: 2},
	{Kind: converse.BlockStart, Index: 3, ToolUseID: "d899", ToolName: "f"},
	{Kind: converse.BlockDelta, Index: 3, Delta: converse.ToolInputDelta, Text: `{"a":1}`},
	{Kind: converse.BlockStop, Index: 3},
	{Kind: converse.MessageStop, StopReason: "tool_use"},
	{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 427, OutputTokens: 160, CacheReadInputTokens: 4}},
}

// TestStreamEncoder: the events recorded for opentelemetry-instrumentation-botocore
// (test_invoke_model_with_response_stream_*[amazon.nova]); the reasoning as ConverseStream has it, whose events these are.
func TestStreamEncoder(t *testing.T) {
	enc := StreamEncoder{AnswerInfo: converse.AnswerInfo{Latency: 442 * time.Millisecond, FirstByte: 58 * time.Millisecond}}
	var got []string
	for i := range wholeAnswer {
		enc.Encode(&wholeAnswer[i], func(b []byte) { got = append(got, string(b)) })
	}
	want := []string{
		`{"messageStart":{"role":"assistant"}}`,
		`{"contentBlockDelta":{"delta":{"reasoningContent":{"text":"hm"}},"contentBlockIndex":0}}`,
		`{"contentBlockDelta":{"delta":{"reasoningContent":{"signature":"s"}},"contentBlockIndex":0}}`,
		`{"contentBlockStop":{"contentBlockIndex":0}}`,
		`{"contentBlockDelta":{"delta":{"reasoningContent":{"redactedContent":"AAEC"}},"contentBlockIndex":1}}`,
		`{"contentBlockStop":{"contentBlockIndex":1}}`,
		`{"contentBlockDelta":{"delta":{"text":"It \"is\""},"contentBlockIndex":2}}`,
		`{"contentBlockStop":{"contentBlockIndex":2}}`,
		`{"contentBlockStart":{"start":{"toolUse":{"toolUseId":"d899","name":"f"}},"contentBlockIndex":3}}`,
		`{"contentBlockDelta":{"delta":{"toolUse":{"input":"{\"a\":1}"}},"contentBlockIndex":3}}`,
		`{"contentBlockStop":{"contentBlockIndex":3}}`,
		`{"messageStop":{"stopReason":"tool_use"}}`,
		`{"metadata":{"usage":{"inputTokens":427,"outputTokens":160,"cacheReadInputTokenCount":4,"cacheWriteInputTokenCount":0},"metrics":{},"trace":{}},"amazon-bedrock-invocationMetrics":{"inputTokenCount":427,"outputTokenCount":160,"invocationLatency":442,"firstByteLatency":58,"cacheReadInputTokenCount":4,"cacheWriteInputTokenCount":0}}`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// What is encoded decodes to the same events.
	var d Decoder
	if es := conversetest.Decode(t, &d, got...); !reflect.DeepEqual(es, wholeAnswer) {
		t.Errorf("%+v", es)
	}
}

const (
	start    = `{"messageStart":{"role":"assistant"}}`
	metadata = `{"metadata":{"usage":{"inputTokens":5,"outputTokens":10,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":0},"metrics":{},"trace":{}},"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":10,"invocationLatency":167,"firstByteLatency":58,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":0}}`
)

func text(index int, s string) string {
	return fmt.Sprintf(`{"contentBlockDelta":{"delta":{"text":%q},"contentBlockIndex":%d}}`, s, index)
}
func stop(index int) string {
	return fmt.Sprintf(`{"contentBlockStop":{"contentBlockIndex":%d}}`, index)
}
func tool(index int, id string) string {
	return fmt.Sprintf(`{"contentBlockStart":{"start":{"toolUse":{"toolUseId":%q,"name":"f"}},"contentBlockIndex":%d}}`, id, index)
}
func input(index int, s string) string {
	return fmt.Sprintf(`{"contentBlockDelta":{"delta":{"toolUse":{"input":%q}},"contentBlockIndex":%d}}`, s, index)
}
func reason(s string) string { return `{"messageStop":{"stopReason":"` + s + `"}}` }

// TestDecode: every ending. The chunks have the form of the streams and answers recorded for
// opentelemetry-instrumentation-botocore and openllmetry: a block for every piece of text, indexes that skip between tools, a
// guardrail's answer with a part of the usage and with fractions.
func TestDecode(t *testing.T) {
	told := converse.Usage{InputTokens: 5, OutputTokens: 10}
	for _, c := range []struct {
		name      string
		chunks    []string
		content   string
		stop      string
		usage     converse.Usage
		estimated bool
	}{
		{"text", []string{start, text(0, "It"), stop(0), text(1, " is"), stop(1), text(2, "."), stop(2), reason("max_tokens"), metadata}, `[{"text":"It is."}]`, "max_tokens", told, false},
		{"tools", []string{start, text(0, "I"), stop(0), text(1, " ask"), stop(1), tool(24, "a"), input(24, `{"x":`), input(24, `1}`), stop(24), tool(26, "b"), input(26, `{}`), stop(26), reason("tool_use"), metadata},
			`[{"text":"I ask"},{"toolUse":{"toolUseId":"a","name":"f","input":{"x":1}}},{"toolUse":{"toolUseId":"b","name":"f","input":{}}}]`, "tool_use", told, false},
		{"reasoning", []string{start, `{"contentBlockDelta":{"delta":{"reasoningContent":{"text":"h"}},"contentBlockIndex":0}}`, `{"contentBlockDelta":{"delta":{"reasoningContent":{"reasoningText":{"text":"m"}}},"contentBlockIndex":0}}`, stop(0), text(1, "A"), stop(1), reason("end_turn"), metadata},
			`[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"A"}]`, "end_turn", told, false},
		{"signed reasoning twice", []string{`{"contentBlockDelta":{"delta":{"reasoningContent":{"text":"a"}},"contentBlockIndex":0}}`, `{"contentBlockDelta":{"delta":{"reasoningContent":{"signature":"1"}},"contentBlockIndex":0}}`, stop(0), `{"contentBlockDelta":{"delta":{"reasoningContent":{"text":"b"}},"contentBlockIndex":1}}`, stop(1), reason("end_turn"), metadata},
			`[{"reasoningContent":{"reasoningText":{"text":"a","signature":"1"}}},{"reasoningContent":{"reasoningText":{"text":"b"}}}]`, "end_turn", told, false},
		{"content filter", []string{start, text(0, "x"), stop(0), reason("content_filtered"), metadata}, `[{"text":"x"}]`, "content_filtered", told, false},
		{"stop sequence", []string{start, text(0, "x"), stop(0), reason("stop_sequence"), metadata}, `[{"text":"x"}]`, "stop_sequence", told, false},
		{"a reason that is not known", []string{text(0, "x"), reason("stop"), metadata}, `[{"text":"x"}]`, "end_turn", told, false},
		{"nothing said", []string{start, reason("end_turn"), metadata}, `null`, "end_turn", told, false},
		{"no usage", []string{start, text(0, "one two three"), stop(0), reason("end_turn")}, `[{"text":"one two three"}]`, "end_turn", converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, true},
		{"usage without metrics", []string{text(0, "x"), reason("end_turn"), `{"metadata":{"usage":{"inputTokens":7,"outputTokens":1,"cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":20}}}`}, `[{"text":"x"}]`, "end_turn", converse.Usage{InputTokens: 7, OutputTokens: 1, CacheReadInputTokens: 100, CacheWriteInputTokens: 20}, false},
		{"usage that cannot be", []string{text(0, "x"), reason("end_turn"), `{"metadata":{"usage":{"inputTokens":-7,"outputTokens":1e300}}}`}, `[{"text":"x"}]`, "end_turn", converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 1}, true},
		{"all of the input cached", []string{text(0, "x"), reason("end_turn"), `{"metadata":{"usage":{"inputTokens":0,"outputTokens":1,"cacheReadInputTokenCount":9}}}`}, `[{"text":"x"}]`, "end_turn", converse.Usage{OutputTokens: 1, CacheReadInputTokens: 9}, false},
		{"events and blocks that are not known", []string{start, `{"somethingNew":{}}`, `{}`, `{"contentBlockStart":{"start":{},"contentBlockIndex":0}}`, `{"contentBlockDelta":{"delta":{"citation":{"location":{}}},"contentBlockIndex":0}}`, text(1, "x"), reason("end_turn"), metadata}, `[{"text":"x"}]`, "end_turn", told, false},
		{"whole", []string{`{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"a"},{"text":"b"},{"citationsContent":{}},{"toolUse":{"name":"f","toolUseId":"t","input":{"l":"S"}}},{"toolUse":{"name":"g","toolUseId":"u","input":null}}],"role":"assistant"}},"stopReason":"tool_use","usage":{"inputTokens":5,"outputTokens":10,"totalTokens":15,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":0}}`},
			`[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"a"},{"text":"b"},{"toolUse":{"toolUseId":"t","name":"f","input":{"l":"S"}}},{"toolUse":{"toolUseId":"u","name":"g","input":{}}}]`, "tool_use", told, false},
		{"whole, by a guardrail", []string{`{"output":{"message":{"role":"assistant","content":[{"text":"one two"}]}},"stopReason":"end_turn","usage":{"inputTokens":30.0},"amazon-bedrock-trace":{"guardrail":{}},"amazon-bedrock-guardrailAction":"INTERVENED"}`},
			`[{"text":"one two"}]`, "end_turn", converse.Usage{InputTokens: 30, OutputTokens: 2}, true},
	} {
		var d Decoder
		r := conversetest.Collect(t, conversetest.Decode(t, &d, c.chunks...))
		if got := conversetest.Marshal(t, r.Content); got != c.content && !(c.content == "null" && len(r.Content) == 0) || r.StopReason != c.stop || r.Usage != c.usage || r.Estimated != c.estimated {
			t.Errorf("%s: %s %s %+v estimated %t\nwant %s %s %+v", c.name, conversetest.Marshal(t, r.Content), r.StopReason, r.Usage, r.Estimated, c.content, c.stop, c.usage)
		}
		if !d.Finished() || !d.Started() {
			t.Errorf("%s: the answer's end was not seen", c.name)
		}
	}

	var cut Decoder
	es, err := cut.Append(nil, []byte(start))
	if err != nil || len(es) != 0 || cut.Started() {
		t.Errorf("a greeting shows %v %v", es, err)
	}
	if es, err = cut.Append(es, []byte(text(0, "x"))); err != nil || len(es) != 2 || !cut.Started() || cut.Finished() {
		t.Errorf("a cut stream: %v %v", es, err)
	}
}

func TestDecodeMalformed(t *testing.T) {
	for _, chunks := range [][]string{
		{`[]`}, {``}, {`{"messageStop":`}, {`{"messageStop":{"stopReason":5}}`}, {input(0, "{}")}, {tool(1, "a"), input(2, "{}")}, {tool(1, "a"), stop(1), input(1, "{}")}, {tool(0, "")},
		{`{"output":{"message":{"content":[{"toolUse":{"name":"f"}}]}}}`},
	} {
		var d Decoder
		var err error
		for _, c := range chunks {
			_, err = d.Append(nil, []byte(c))
		}
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", chunks, err)
		}
	}
}

// TestQuick: the quick path reads what the general one reads, and is taken where it should be.
func TestQuick(t *testing.T) {
	for _, s := range []string{`" a"`, `"é"`, `""`} {
		if got, ok := quick([]byte(`{"contentBlockDelta":{"delta":{"text":` + s + `},"contentBlockIndex":10}}`)); !ok || `"`+got+`"` != s {
			t.Errorf("%s is read as %q, %t", s, got, ok)
		}
	}
	for _, c := range []string{
		`{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":}}`, `{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":01}}`, `{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":-1}}`,
		`{"contentBlockDelta":{"delta":{"text":"a\n"},"contentBlockIndex":0}}`, "{\"contentBlockDelta\":{\"delta\":{\"text\":\"\xff\"},\"contentBlockIndex\":0}}", "{\"contentBlockDelta\":{\"delta\":{\"text\":\"\n\"},\"contentBlockIndex\":0}}",
		`{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":0},"amazon-bedrock-guardrailAction":"INTERVENED"}`, `{"contentBlockDelta":{"delta":{"text":"a`, `{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":0}`,
	} {
		if _, ok := quick([]byte(c)); ok {
			t.Errorf("%s is read quickly", c)
		}
	}
}

// FuzzParseRequest: whatever a caller sends, it is refused or becomes a request that is written and read again the same.
func FuzzParseRequest(f *testing.F) {
	for _, text := range roundTrips {
		var r converse.Request
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			f.Fatal(err)
		}
		body, err := AppendRequest(nil, &r, "m", false, "u")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"text":"a","cachePoint":{}}]}],"inferenceConfig":{"top_k":1},"x":1,"x":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Error(err)
			}
			return
		}
		if r.Check() != nil {
			return
		}
		out, err := AppendRequest(nil, r, "m", false, "u")
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Error(err)
			}
			return
		}
		again, err := ParseRequest(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		twice, err := AppendRequest(nil, again, "m", false, "u")
		if err != nil || string(twice) != string(out) {
			t.Errorf("%s\n%s\n%v", out, twice, err)
		}
	})
}

// FuzzDecoder: whatever a server sends, the events are in order and the usage cannot overflow.
func FuzzDecoder(f *testing.F) {
	f.Add(strings.Join([]string{start, text(0, "It"), stop(0), tool(1, "a"), input(1, "{}"), stop(1), reason("tool_use"), metadata}, "\n"))
	f.Add(`{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},{"text":"a"},{"toolUse":{"name":"f","toolUseId":"t","input":{}}}]}},"stopReason":"tool_use","usage":{"inputTokens":9e18}}`)
	f.Add(`{"contentBlockDelta":{"delta":{"reasoningContent":{"redactedContent":"AAEC"}},"contentBlockIndex":0}}`)
	f.Fuzz(func(t *testing.T, stream string) {
		var d Decoder
		var es []converse.Event
		for c := range strings.SplitSeq(stream, "\n") {
			var err error
			if es, err = d.Append(es, []byte(c)); err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Error(err)
				}
				return
			}
		}
		es = d.Finish(es, func() int64 { return 1 })
		if err := conversetest.CheckOrder(es); err != nil {
			t.Error(err)
		}
		u := es[len(es)-1].Usage
		if n := u.Total(); n < 0 || n > 1<<43 || u.InputTokens < 0 || u.OutputTokens < 0 {
			t.Errorf("usage %+v", u)
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"` + strings.Repeat("word ", 2000) + `"}]}],"inferenceConfig":{"maxTokens":10},"schemaVersion":"messages-v1"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeChunk(b *testing.B) {
	e := converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " hello"}
	var s StreamEncoder
	b.ReportAllocs()
	for b.Loop() {
		s.Encode(&e, func([]byte) {})
	}
}

func BenchmarkDecodeChunk(b *testing.B) {
	var d Decoder
	chunk := []byte(text(0, " hello"))
	es := make([]converse.Event, 0, 4)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if es, err = d.Append(es[:0], chunk); err != nil {
			b.Fatal(err)
		}
	}
}
