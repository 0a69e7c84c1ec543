package cohere

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

const (
	hi     = `"messages":[{"role":"user","content":[{"text":"Hi"}]}]`
	sales  = `{"name":"query_daily_sales_report","description":"Connects to a database to retrieve overall sales volumes and sales information for a given day.","parameter_definitions":{"day":{"description":"Retrieves sales data for this day, formatted as YYYY-MM-DD.","type":"str","required":true}}}`
	salesC = `{"toolSpec":{"name":"query_daily_sales_report","description":"Connects to a database to retrieve overall sales volumes and sales information for a given day.","inputSchema":{"json":{"type":"object","properties":{"day":{"type":"string","description":"Retrieves sales data for this day, formatted as YYYY-MM-DD."}},"required":["day"]}}}}`
)

// TestParseRequest: the left sides are bodies in the form of "Cohere Command R and Command R+ models" in the Amazon Bedrock
// user guide and of Cohere's API reference v1 (the tool is the guide's example), the right sides the same in Converse.
func TestParseRequest(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"recorded by opentelemetry-python-contrib": {`{"message": "Say this is a test","max_tokens": 10,"temperature": 0.8,"p": 0.99,"stop_sequences": ["|"]}`,
			`{"messages":[{"role":"user","content":[{"text":"Say this is a test"}]}],"inferenceConfig":{"maxTokens":10,"temperature":0.8,"topP":0.99,"stopSequences":["|"]}}`},
		"history": {`{"message":"What year was he born?","preamble":"Be brief.","chat_history":[{"role":"USER","message":"Who discovered gravity?"},{"role":"CHATBOT","message":"The man who is widely credited with discovering gravity is Sir Isaac Newton"}]}`,
			`{"messages":[{"role":"user","content":[{"text":"Who discovered gravity?"}]},{"role":"assistant","content":[{"text":"The man who is widely credited with discovering gravity is Sir Isaac Newton"}]},{"role":"user","content":[{"text":"What year was he born?"}]}],"system":[{"text":"Be brief."}]}`},
		"turns of one role": {`{"message":"b","chat_history":[{"role":"SYSTEM","message":"s"},{"role":"USER","message":"a"}]}`,
			`{"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]}],"system":[{"text":"s"}]}`},
		"what Converse has no place for": {`{"message":"Hi","k":5,"seed":7,"force_single_step":true,"documents":[{"title":"T","snippet":"S","url":"u"}],"prompt_truncation":"OFF"}`,
			`{` + hi + `,"additionalModelRequestFields":{"k":5,"seed":7,"force_single_step":true,"prompt_truncation":"OFF","documents":[{"title":"T","snippet":"S","url":"u"}]}}`},
		"documents": {`{"message":"Hi","documents":[{"title":"Tall penguins","snippet":"Emperor penguins are the tallest."}]}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"},{"document":{"format":"txt","name":"Tall penguins","source":{"text":"Emperor penguins are the tallest."}}}]}]}`},
		"tools": {`{"message":"Hi","tools":[` + sales + `]}`, `{` + hi + `,"toolConfig":{"tools":[` + salesC + `]}}`},
		"a single step": {`{"message":"Hi","tools":[` + sales + `],"tool_results":[{"call":{"name":"query_daily_sales_report","parameters":{"day":"2023-09-29"}},"outputs":[{"text":"10"},{"n":1}]}]}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"tool_0","name":"query_daily_sales_report","input":{"day":"2023-09-29"}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"tool_0","content":[{"text":"10"},{"json":{"n":1}}]}}]}],"toolConfig":{"tools":[` + salesC + `]}}`},
		"several steps, results out of order": {`{"message":"","tools":[` + sales + `],"chat_history":[{"role":"USER","message":"Hi"},{"role":"CHATBOT","message":"I will look.","tool_calls":[{"name":"f","parameters":{"a":1,"b":2}},{"name":"f","parameters":{"a":2}}]},
			{"role":"TOOL","tool_results":[{"call":{"name":"f","parameters":{"a":2}},"outputs":[{"status":"error"},{"text":"no"}]},{"call":{"name":"f","parameters":{"b":2,"a":1}},"outputs":[]}]},{"role":"CHATBOT","tool_calls":[{"name":"g"}]}],
			"tool_results":[{"call":{"name":"g","parameters":{}},"outputs":[{"text":"x"}]}]}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"text":"I will look."},{"toolUse":{"toolUseId":"tool_0","name":"f","input":{"a":1,"b":2}}},{"toolUse":{"toolUseId":"tool_1","name":"f","input":{"a":2}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"tool_1","status":"error","content":[{"text":"no"}]}},{"toolResult":{"toolUseId":"tool_0","content":[]}}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"tool_2","name":"g","input":{}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"tool_2","content":[{"text":"x"}]}}]}],"toolConfig":{"tools":[` + salesC + `]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			conversetest.Same(t, conversetest.Marshal(t, r), c.want)
			if err := r.Check(); err != nil {
				t.Error(err)
			}
			// What was read is written so that it reads the same.
			b, err := AppendRequest(nil, r, "m", false, "u")
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseRequest(b)
			if err != nil {
				t.Fatalf("%s: %v", b, err)
			}
			// Texts of one turn are one message there.
			conversetest.Same(t, conversetest.Marshal(t, again), strings.ReplaceAll(conversetest.Marshal(t, r), `"},{"text":"`, `\n`))
		})
	}
}

// The words are Amazon Bedrock's, as they stand in github.com/langchain-ai/langchain-aws issue 43, promptfoo/promptfoo issue
// 914, langgenius/dify issue 4198, Portkey-AI/gateway issue 848 and langchain-ai/langchain issue 27871.
func TestParseRequestRefusals(t *testing.T) {
	malformed := func(s string) string {
		return "Malformed input request: " + s + ", please reformat your input and try again."
	}
	for _, c := range []struct{ body, want string }{
		{`{"prompt":"Hi"}`, malformed("#: required key [message] not found#: extraneous key [prompt] is not permitted")},
		{`{"stream":true,"prompt":"Hi"}`, malformed("#: required key [message] not found#: extraneous key [stream] is not permitted#: extraneous key [prompt] is not permitted")},
		{`{"message":"Hi","stream":true}`, malformed("#: extraneous key [stream] is not permitted")},
		{`{"message":"Hi","p":1}`, malformed("#/p: 1 is not less or equal to 0.99")},
		{`{"message":"Hi","truncate":"END","p":1}`, malformed("#: extraneous key [truncate] is not permitted#/p: 1 is not less or equal to 0.99")},
		{`{"message":"Hi","temperature":-1,"max_tokens":0}`, malformed("#/max_tokens: 0 is not greater or equal to 1#/temperature: -1 is not greater or equal to 0")},
		{`{"message":7}`, malformed("#/message: expected type: String, found: Number")},
		{`{"message":"Hi","chat_history":{}}`, malformed("#/chat_history: expected type: JSONArray, found: JSONObject")},
		{`{"message":"Hi","chat_history":[{}]}`, malformed("#/chat_history/0: required key [role] not found")},
		{`{"message":"Hi","chat_history":[{"role":"user","message":"a"}]}`, malformed("#/chat_history/0/role: user is not a valid enum value")},
		{`{"message":"Hi","chat_history":[{"role":"USER","message":"a"},{"role":"SYSTEM","message":"a"}]}`, malformed("#/chat_history/1/role: SYSTEM is not a valid enum value")},
		{`{"message":"Hi","chat_history":[{"role":"USER","content":"a"}]}`, malformed("#/chat_history/0: extraneous key [content] is not permitted")},
		{`{"message":"Hi","chat_history":[{"role":"USER","tool_calls":[{"name":"f"}]}]}`, malformed("#/chat_history/0: extraneous key [tool_calls] is not permitted")},
		{`{"message":"Hi","chat_history":[{"role":"CHATBOT","tool_results":[{"call":{"name":"f"}}]}]}`, malformed("#/chat_history/0: extraneous key [tool_results] is not permitted")},
		{`{"message":"Hi","chat_history":[{"role":"TOOL","tool_results":[{"call":{"name":"f"}}]}]}`, malformed("#/chat_history/0/tool_results/0/call: f was not called in the turn before")},
		{`{"message":"Hi","tool_results":[{"outputs":[]}]}`, malformed("#/tool_results/0: required key [call] not found")},
		{`{"message":"Hi","tool_results":[{"call":{"name":"f","parameters":[]}}]}`, malformed("#/tool_results/0/call/parameters: expected type: JSONObject, found: JSONArray")},
		{`{"message":"Hi","tool_results":[{"call":{"name":"f"},"outputs":["a"]}]}`, malformed("#/tool_results/0/outputs/0: expected type: JSONObject, found: String")},
		{`{"message":"Hi","tools":[{}]}`, malformed("#/tools/0: required key [name] not found")},
		{`{"message":"Hi","tools":[{"name":"f","parameter_definitions":[]}]}`, malformed("#/tools/0/parameter_definitions: expected type: JSONObject, found: JSONArray")},
		{`{"message":"Hi","tools":[{"name":"f","parameter_definitions":{"a":"str"}}]}`, malformed("#/tools/0/parameter_definitions/a: expected type: JSONObject, found: String")},
		{`{"message":"Hi","documents":["a"]}`, malformed("#/documents/0: expected type: JSONObject, found: String")},
		{`{"message":"Hi","tool_results":[` + strings.Repeat(`{"call":{"name":"f"}},`, maxCalls) + `{"call":{"name":"f"}}]}`, malformed("#/tool_results: expected maximum item count: 10000, found: 10001")},
		{`[]`, malformed("#: expected type: JSONObject, found: JSONArray")},
		{`{"message":"Hi"`, malformed("Unexpected end of input")},
		{``, malformed("Unexpected end of input")},
		{`{"message" "Hi"}`, "Malformed input request, please reformat your input and try again."},
	} {
		_, err := ParseRequest([]byte(c.body))
		if f := fault.From(err); f == nil || f.Kind != fault.Validation || f.Message != c.want {
			t.Errorf("%.80s: %v\nwant %s", c.body, err, c.want)
		}
	}
}

// TestAppendRequest: the right sides are in the forms of Cohere's guide "Tool use" for API v1, "Multi-step" and "Single-step".
func TestAppendRequest(t *testing.T) {
	tools := `"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{}}}}}]}`
	toolsC := `"tools":[{"name":"f","description":"","parameter_definitions":{}}]`
	calls := `"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"x","name":"f","input":{"a":1}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"x","content":[{"json":[1]}]}}`
	for name, c := range map[string]struct{ request, want string }{
		"system and parameters": {`{` + hi + `,"system":[{"text":"a"},{"cachePoint":{"type":"default"}},{"text":"b"}],"inferenceConfig":{"maxTokens":5,"temperature":0.5,"topP":0.9,"stopSequences":["x"]},"requestMetadata":{"a":"b"},"additionalModelRequestFields":{"k":3,"anthropic_beta":["b"]}}`,
			`{"message":"Hi","preamble":"a\nb","max_tokens":5,"temperature":0.5,"p":0.9,"stop_sequences":["x"],"k":3}`},
		"several steps": {`{` + calls + `]}],` + tools + `}`,
			`{"message":"","chat_history":[{"role":"USER","message":"Hi"},{"role":"CHATBOT","message":"","tool_calls":[{"name":"f","parameters":{"a":1}}]}],` + toolsC + `,"tool_results":[{"call":{"name":"f","parameters":{"a":1}},"outputs":[{"result":[1]}]}]}`},
		"a single step": {`{` + calls + `]}],` + tools + `,"additionalModelRequestFields":{"force_single_step":true}}`,
			`{"message":"Hi",` + toolsC + `,"tool_results":[{"call":{"name":"f","parameters":{"a":1}},"outputs":[{"result":[1]}]}],"force_single_step":true}`},
		"a result and words": {`{` + calls + `,{"text":"So?"}]}],` + tools + `}`,
			`{"message":"So?","chat_history":[{"role":"USER","message":"Hi"},{"role":"CHATBOT","message":"","tool_calls":[{"name":"f","parameters":{"a":1}}]},{"role":"TOOL","tool_results":[{"call":{"name":"f","parameters":{"a":1}},"outputs":[{"result":[1]}]}]}],` + toolsC + `}`},
		"a schema that Python's types cannot say": {`{` + hi + `,"toolConfig":{"toolChoice":{"auto":{}},"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"$schema":"s","type":"object","additionalProperties":false,"properties":{"unit":{"type":"string","enum":["C","F"]},"x":{"type":["integer","null"],"description":"X"},"l":{"type":"array"}},"required":["unit"]}}}},{"cachePoint":{"type":"default"}}]}}`,
			`{"message":"Hi","tools":[{"name":"f","description":"d\nJSON Schema: {\"additionalProperties\":false}","parameter_definitions":{"unit":{"description":"JSON Schema: {\"enum\":[\"C\",\"F\"]}","type":"str","required":true},"x":{"description":"X\nJSON Schema: {\"type\":[\"integer\",\"null\"]}","type":"Any","required":false},"l":{"description":"","type":"list","required":false}}}]}`},
		"documents": {`{"messages":[{"role":"user","content":[{"text":"Hi"},{"document":{"format":"md","name":"N","source":{"bytes":"IyBI"}}},{"document":{"format":"txt","name":"T","source":{"text":"t"}}}]}]}`,
			`{"message":"Hi","documents":[{"title":"N","snippet":"# H"},{"title":"T","snippet":"t"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := AppendRequest([]byte("x"), conversetest.Request(t, c.request), "m", true, "u")
			if err != nil {
				t.Fatal(err)
			}
			if b[0] != 'x' {
				t.Fatalf("%s", b)
			}
			conversetest.Same(t, b[1:], c.want)
		})
	}
	for _, c := range []struct{ request, want string }{
		{`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AA=="}}}]}]}`, "messages.0.content.0.image"},
		{`{"messages":[{"role":"user","content":[{"document":{"format":"pdf","name":"N","source":{"bytes":"AA=="}}}]}]}`, "messages.0.content.0.document.format pdf"},
		{`{"messages":[{"role":"user","content":[{"document":{"format":"txt","name":"N","source":{"text":"a"},"citations":{"enabled":true}}}]}]}`, "messages.0.content.0.document.citations"},
		{`{"messages":[{"role":"user","content":[{"document":{"format":"txt","name":"N","source":{"s3Location":{"uri":"s3://b/k"}}}}]}]}`, "messages.0.content.0.document.source.s3Location"},
		{`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]}]}`, "messages.1.role assistant at the end"},
		{`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"b"}}}]},{"role":"user","content":[{"text":"a"}]}]}`, "messages.1.content.0.reasoningContent"},
		{`{` + calls + `]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"x","name":"f","input":"no"}}]},{"role":"user","content":[{"text":"a"}]}]}`, "messages.3.content.0.toolUse.input that is no JSON object"},
		{`{` + hi + `,"system":[{"guardContent":{"text":{"text":"a"}}}]}`, "system.0.guardContent"},
		{`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}],"toolChoice":{"any":{}}}}`, "toolConfig.toolChoice.any"},
		{`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}],"toolChoice":{"tool":{"name":"f"}}}}`, "toolConfig.toolChoice.tool"},
		{`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","strict":true,"inputSchema":{"json":{"type":"object"}}}}]}}`, "toolConfig.tools.0.toolSpec.strict"},
		{`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"array"}}}}]}}`, "toolConfig.tools.0.toolSpec.inputSchema.json that is no schema of an object"},
		{`{` + hi + `,"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}}`, "toolConfig.tools.0.systemTool"},
		{`{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}}`, "outputConfig.textFormat"},
		{`{` + hi + `,"guardrailConfig":{}}`, "guardrailConfig"},
		{`{` + hi + `,"serviceTier":{"type":"flex"}}`, "serviceTier.flex"},
	} {
		_, err := AppendRequest(nil, conversetest.Request(t, c.request), "m", false, "R")
		want := "The model doesn't support " + c.want + `: upstream "R" speaks Cohere's chat, which has no equivalent. Remove it and try again.`
		if f := fault.From(err); f == nil || f.Kind != fault.Validation || f.Message != want {
			t.Errorf("%s: %v\nwant %s", c.request, err, want)
		}
	}
	for _, name := range []string{"message", "tools", "stream", "max_tokens", "documents", "num_generations"} {
		r := conversetest.Request(t, `{"messages":[{"role":"user","content":[{"text":"Hi"},{"document":{"format":"txt","name":"T","source":{"text":"t"}}}]}],"inferenceConfig":{"maxTokens":1}}`)
		r.AdditionalModelRequestFields = jsontext.Value(`{"` + name + `":1}`)
		if _, err := AppendRequest(nil, r, "m", false, "R"); !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "additionalModelRequestFields."+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRoundTrip: what Converse says and the format can say comes back as it was.
func TestRoundTrip(t *testing.T) {
	for _, s := range []string{
		`{` + hi + `,"system":[{"text":"a"}],"inferenceConfig":{"maxTokens":5,"temperature":0.5,"topP":0.9,"stopSequences":["x"]},"additionalModelRequestFields":{"k":3}}`,
		`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object","additionalProperties":false,"properties":{"unit":{"type":"string","description":"U","enum":["C","F"]},"o":{"type":"object","properties":{"a":{"type":"integer"}}},"x":{"type":["integer","null"]},"any":{}},"required":["unit","x"]}}}}]}}`,
		`{"messages":[{"role":"user","content":[{"text":"Hi"},{"document":{"format":"txt","name":"T","source":{"text":"t"}}}]}]}`,
		`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"},{"toolUse":{"toolUseId":"tool_0","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"tool_0","status":"error","content":[{"text":"t"},{"json":{"a":1}}]}},{"text":"c"}]},{"role":"assistant","content":[{"text":"d"}]},{"role":"user","content":[{"text":"e"}]}]}`,
	} {
		b, err := AppendRequest(nil, conversetest.Request(t, s), "m", false, "u")
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseRequest(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		conversetest.Same(t, conversetest.Marshal(t, r), s)
	}
}

var at1 = converse.AnswerInfo{ID: "379ed018", Latency: 196 * time.Millisecond, FirstByte: 100 * time.Millisecond}

// TestAppendResponse: the first answer is opentelemetry-python-contrib's recording of cohere.command-r-v1:0
// (test_invoke_model_with_content[cohere.command-r].yaml) but for its two ids, the second in the guide's form.
func TestAppendResponse(t *testing.T) {
	a := at1
	a.Request = conversetest.Request(t, `{"messages":[{"role":"user","content":[{"text":"Say this is a test"}]}]}`)
	text := "This is a test. How are you doing today"
	got := AppendResponse(nil, &a, &converse.Response{Content: []converse.ContentBlock{{Text: &text}}, StopReason: converse.StopMaxTokens})
	if want := `{"response_id":"379ed018","text":"This is a test. How are you doing today","generation_id":"379ed018","chat_history":[{"role":"USER","message":"Say this is a test"},{"role":"CHATBOT","message":"This is a test. How are you doing today"}],"finish_reason":"MAX_TOKENS"}`; string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	got = AppendResponse(nil, &at1, &converse.Response{StopReason: converse.StopToolUse, Fields: jsontext.Value(`{"citations":[{"start":0,"end":4,"text":"Test","document_ids":["doc_0"]}]}`), Content: []converse.ContentBlock{
		{ReasoningContent: &converse.Reasoning{}}, {ToolUse: &converse.ToolUse{ToolUseID: "x", Name: "f", Input: jsontext.Value(`{"a":1}`)}}, {ToolUse: &converse.ToolUse{Name: "g", Input: jsontext.Value(`"{"`)}}}})
	if want := `{"response_id":"379ed018","text":"","generation_id":"379ed018","finish_reason":"COMPLETE","citations":[{"start":0,"end":4,"text":"Test","document_ids":["doc_0"]}],"tool_calls":[{"name":"f","parameters":{"a":1}},{"name":"g","parameters":{"input":"{"}}]}`; string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for reason, want := range map[string]string{
		converse.StopEndTurn: "COMPLETE", converse.StopStopSequence: "COMPLETE", converse.StopContentFiltered: "ERROR_TOXIC",
		converse.StopGuardrailIntervened: "ERROR_TOXIC", converse.StopContextWindowExceeded: "ERROR_LIMIT",
	} {
		if got := AppendResponse(nil, &at1, &converse.Response{StopReason: reason}); !strings.Contains(string(got), `"finish_reason":"`+want+`"`) {
			t.Errorf("%s: %s", reason, got)
		}
	}
}

func encode(encoder interface {
	Encode(*converse.Event, func([]byte))
}, es []converse.Event) []string {
	var out []string
	for i := range es {
		encoder.Encode(&es[i], func(b []byte) { out = append(out, string(b)) })
	}
	return out
}

func lines(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const metricsEnd = `"amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":2,"invocationLatency":196,"firstByteLatency":100}}`

// TestStreamEncoder: the forms are those of Cohere's stream as discourse-ai recorded it
// in its tests, which Bedrock sends with its metrics on the last (lobehub/lobe-chat, bedrock/cohere.ts).
func TestStreamEncoder(t *testing.T) {
	es := []converse.Event{
		{Kind: converse.MessageStart, Role: "assistant"},
		{Kind: converse.BlockDelta, Delta: converse.ReasoningDelta, Text: "Hm."},
		{Kind: converse.BlockStop},
		{Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: "I "},
		{Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: "will\n"},
		{Kind: converse.BlockStop, Index: 1},
		{Kind: converse.BlockStart, Index: 2, ToolUseID: "x", ToolName: "weather"},
		{Kind: converse.BlockDelta, Index: 2, Delta: converse.ToolInputDelta, Text: `{"city":`},
		{Kind: converse.BlockDelta, Index: 2, Delta: converse.ToolInputDelta, Text: `"Sydney"}`},
		{Kind: converse.BlockStop, Index: 2},
		{Kind: converse.BlockStart, Index: 3, ToolUseID: "y", ToolName: "time"},
		{Kind: converse.BlockStop, Index: 3},
		{Kind: converse.MessageStop, StopReason: converse.StopToolUse, Fields: jsontext.Value(`{"citations":[{"start":0}]}`)},
		{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 2}},
	}
	calls := `"tool_calls":[{"name":"weather","parameters":{"city":"Sydney"}},{"name":"time","parameters":{}}]`
	got := encode(&StreamEncoder{AnswerInfo: at1}, es)
	lines(t, got, []string{
		`{"is_finished":false,"event_type":"stream-start","generation_id":"379ed018"}`,
		`{"is_finished":false,"event_type":"text-generation","text":"I "}`,
		`{"is_finished":false,"event_type":"text-generation","text":"will\n"}`,
		`{"is_finished":false,"event_type":"citation-generation","citations":[{"start":0}]}`,
		`{"is_finished":false,"event_type":"tool-calls-generation",` + calls + `}`,
		`{"is_finished":true,"event_type":"stream-end","response":{"response_id":"379ed018","text":"I will\n","generation_id":"379ed018","finish_reason":"COMPLETE","citations":[{"start":0}],` + calls + `},"finish_reason":"COMPLETE",` + metricsEnd,
	})
	// And back again: all but the thinking and the ids.
	var d Decoder
	r := conversetest.Collect(t, conversetest.Decode(t, &d, got...))
	if s := blocks(t, r); s != `[{"text":"I will\n"},{"toolUse":{"toolUseId":"","name":"weather","input":{"city":"Sydney"}}},{"toolUse":{"toolUseId":"","name":"time","input":{}}}]` {
		t.Error(s)
	}
	if r.StopReason != converse.StopToolUse || r.Usage != (converse.Usage{InputTokens: 3, OutputTokens: 2}) || r.Estimated || string(r.Fields) != `{"citations":[{"start":0}]}` {
		t.Errorf("%+v", r)
	}
	// An answer that is too long to repeat, and a call whose input is none.
	s := &StreamEncoder{AnswerInfo: at1}
	es = []converse.Event{{Kind: converse.MessageStart}}
	for range 300 {
		es = append(es, converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: strings.Repeat("a", 1000)})
	}
	es = append(es, converse.Event{Kind: converse.BlockStop}, converse.Event{Kind: converse.BlockStart, Index: 1, ToolName: "f"}, converse.Event{Kind: converse.BlockDelta, Index: 1, Delta: converse.ToolInputDelta, Text: `{"a`},
		converse.Event{Kind: converse.BlockStop, Index: 1}, converse.Event{Kind: converse.MessageStop, StopReason: converse.StopMaxTokens}, converse.Event{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 2}})
	got = encode(s, es)
	lines(t, got[len(got)-2:], []string{
		`{"is_finished":false,"event_type":"tool-calls-generation","tool_calls":[{"name":"f","parameters":{"input":"{\"a"}}]}`,
		`{"is_finished":true,"event_type":"stream-end","finish_reason":"MAX_TOKENS",` + metricsEnd,
	})
	if len(s.text) > maxEcho {
		t.Errorf("%d bytes are kept", len(s.text))
	}
}

// blocks writes blocks as Converse does, without the ids, which are by chance.
func blocks(t *testing.T, r *converse.Response) string {
	t.Helper()
	seen := map[string]bool{}
	for i := range r.Content {
		if u := r.Content[i].ToolUse; u != nil {
			if seen[u.ToolUseID] || len(u.ToolUseID) > 64 {
				t.Errorf("the id %q", u.ToolUseID)
			}
			seen[u.ToolUseID] = true
			u.ToolUseID = ""
		}
	}
	return conversetest.Marshal(t, r.Content)
}

// TestDecoder: recorded are the answers of opentelemetry-python-contrib and dd-trace-py (Amazon Bedrock), and of discourse-ai
// and vercel/ai (Cohere's own API, whose events Bedrock's are).
func TestDecoder(t *testing.T) {
	piece := func(s string) string {
		return `{"is_finished":false,"event_type":"text-generation","text":"` + s + `"}`
	}
	end := func(reason string) string {
		return `{"is_finished":true,"event_type":"stream-end","finish_reason":"` + reason + `",` + metricsEnd
	}
	three := converse.Usage{InputTokens: 3, OutputTokens: 2}
	for name, c := range map[string]struct {
		chunks    []string
		stop      []string
		content   string
		reason    string
		usage     converse.Usage
		estimated bool
		cut       bool
	}{
		"whole, recorded": {chunks: []string{`{"response_id":"379ed018/aa2df2bf","text":"This is a test. How are you doing today","generation_id":"2d74c447","chat_history":[{"role":"USER","message":"Say this is a test"}],"finish_reason":"MAX_TOKENS"}`},
			content: `[{"text":"This is a test. How are you doing today"}]`, reason: converse.StopMaxTokens, usage: converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 10}, estimated: true},
		"Command whole, recorded": {chunks: []string{`{"id":"a09c1c60","generations":[{"id":"8b38ce59","text":" Let it be a test of knowledge, skills,","finish_reason":"MAX_TOKENS"}],"prompt":"Say this is a test"}`},
			content: `[{"text":" Let it be a test of knowledge, skills,"}]`, reason: converse.StopMaxTokens, usage: converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 11}, estimated: true}, // the header said 10
		"Command streamed at once, recorded": {chunks: []string{`{"generations":[{"finish_reason":"MAX_TOKENS","id":"b63d3f03","text":" \"LLM\" stands for \"Large Language Model"}],"id":"55e7c2dc","prompt":"\n\nHuman: %s","amazon-bedrock-invocationMetrics":{"inputTokenCount":20,"outputTokenCount":10,"invocationLatency":362,"firstByteLatency":362}}`},
			content: `[{"text":" \"LLM\" stands for \"Large Language Model"}]`, reason: converse.StopMaxTokens, usage: converse.Usage{InputTokens: 20, OutputTokens: 10}},
		"Command in pieces": {chunks: []string{`{"text":" Hello","is_finished":false}`, `{"index":0,"text":",","is_finished":false}`, `{"index":1,"text":" other","is_finished":false}`, `{"text":"<EOS_TOKEN>","is_finished":false}`, `{"is_finished":true,"finish_reason":"COMPLETE",` + metricsEnd},
			content: `[{"text":" Hello,"}]`, reason: converse.StopEndTurn, usage: three},
		"a stream": {chunks: []string{`{"is_finished":false,"event_type":"stream-start","generation_id":"d8dd"}`, piece("Hello"), piece(" world"), end("COMPLETE")},
			content: `[{"text":"Hello world"}]`, reason: converse.StopEndTurn, usage: three},
		"calls streamed, recorded": {chunks: []string{`{"is_finished":false,"event_type":"stream-start","generation_id":"1648206e"}`,
			`{"is_finished":false,"event_type":"tool-calls-generation","text":"I will search for 'who is sam saffron'","tool_calls":[{"name":"google","parameters":{"query":"who is sam saffron"}}]}`,
			`{"is_finished":true,"event_type":"stream-end","response":{"response_id":"71d8","text":"I will search for 'who is sam saffron'","generation_id":"1648206e","chat_history":[],"finish_reason":"COMPLETE","meta":{"api_version":{"version":"1"},"billed_units":{"input_tokens":460,"output_tokens":27},"tokens":{"input_tokens":1227,"output_tokens":27}},"tool_calls":[{"name":"google","parameters":{"query":"who is sam saffron"}}]},"finish_reason":"COMPLETE"}`},
			content: `[{"text":"I will search for 'who is sam saffron'"},{"toolUse":{"toolUseId":"","name":"google","input":{"query":"who is sam saffron"}}}]`, reason: converse.StopToolUse, usage: converse.Usage{InputTokens: 460, OutputTokens: 27}},
		"calls in pieces": {chunks: []string{`{"event_type":"stream-start"}`, `{"event_type":"tool-calls-chunk","text":"I"}`, `{"event_type":"tool-calls-chunk","text":" will"}`,
			`{"event_type":"tool-calls-chunk","tool_call_delta":{"index":0,"name":"test-tool"}}`, `{"event_type":"tool-calls-chunk","tool_call_delta":{"index":0,"parameters":"{\n    \""}}`, `{"event_type":"tool-calls-chunk","tool_call_delta":{"index":0,"parameters":"a\": 1}"}}`,
			`{"event_type":"tool-calls-chunk","tool_call_delta":{"index":1,"name":"b"}}`,
			`{"event_type":"tool-calls-generation","text":"I will","tool_calls":[{"name":"test-tool","parameters":{"a":1}},{"name":"b","parameters":{}}]}`, end("COMPLETE")},
			content: `[{"text":"I will"},{"toolUse":{"toolUseId":"","name":"test-tool","input":{"a":1}}},{"toolUse":{"toolUseId":"","name":"b","input":{}}}]`, reason: converse.StopToolUse, usage: three},
		"calls whole":          {chunks: []string{`{"text":"","finish_reason":"COMPLETE","tool_calls":[{"name":"f","parameters":{"a": 1}},{"name":"g"}],"meta":{"billed_units":{"input_tokens":5,"output_tokens":6}}}`}, content: `[{"toolUse":{"toolUseId":"","name":"f","input":{"a":1}}},{"toolUse":{"toolUseId":"","name":"g","input":{}}}]`, reason: converse.StopToolUse, usage: converse.Usage{InputTokens: 5, OutputTokens: 6}},
		"all at the end":       {chunks: []string{`{"is_finished":true,"event_type":"stream-end","response":{"text":"Hi"},"finish_reason":"COMPLETE",` + metricsEnd}, content: `[{"text":"Hi"}]`, reason: converse.StopEndTurn, usage: three},
		"lower case":           {chunks: []string{piece("a"), end("max_tokens")}, content: `[{"text":"a"}]`, reason: converse.StopMaxTokens, usage: three},
		"content filter":       {chunks: []string{piece("a"), end("ERROR_TOXIC")}, content: `[{"text":"a"}]`, reason: converse.StopContentFiltered, usage: three},
		"context window":       {chunks: []string{piece("a"), end("ERROR_LIMIT")}, content: `[{"text":"a"}]`, reason: converse.StopContextWindowExceeded, usage: three},
		"the stop sequence":    {chunks: []string{piece("a"), end("STOP_SEQUENCE")}, stop: []string{"|"}, content: `[{"text":"a"}]`, reason: converse.StopStopSequence, usage: three},
		"no usage":             {chunks: []string{piece("one two three"), `{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE"}`}, content: `[{"text":"one two three"}]`, reason: converse.StopEndTurn, usage: converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, estimated: true},
		"usage that cannot be": {chunks: []string{piece("one"), `{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","amazon-bedrock-invocationMetrics":{"inputTokenCount":-1,"outputTokenCount":1e300}}`}, content: `[{"text":"one"}]`, reason: converse.StopEndTurn, usage: converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 1}, estimated: true},
		"nothing said":         {chunks: []string{`{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":0}}`}, content: `[]`, reason: converse.StopEndTurn, usage: converse.Usage{InputTokens: 3}},
		"said for nothing":     {chunks: []string{piece("one"), `{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":0}}`}, content: `[{"text":"one"}]`, reason: converse.StopEndTurn, usage: converse.Usage{InputTokens: 3, OutputTokens: 1}, estimated: true},
		"cut":                  {chunks: []string{piece("one"), piece(" two")}, content: `[{"text":"one two"}]`, reason: converse.StopEndTurn, usage: converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 2}, estimated: true, cut: true},
		"nothing":              {content: `[]`, reason: converse.StopEndTurn, usage: converse.Usage{InputTokens: conversetest.EstimatedInput}, estimated: true, cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decoder{Stop: c.stop}
			r := conversetest.Collect(t, conversetest.Decode(t, &d, c.chunks...))
			if r.Content == nil {
				r.Content = []converse.ContentBlock{}
			}
			if got := blocks(t, r); got != c.content || r.StopReason != c.reason || r.Usage != c.usage || r.Estimated != c.estimated || d.Finished() == c.cut {
				t.Errorf("%s %s %+v estimated %t finished %t\nwant %+v", got, r.StopReason, r.Usage, r.Estimated, d.Finished(), c)
			}
			if len(c.stop) == 1 && r.StopSequence != c.stop[0] {
				t.Errorf("stop sequence %q", r.StopSequence)
			}
		})
	}
}

// TestStreamOrder: an answer's events come in ConverseStream's order, each with its chunk.
func TestStreamOrder(t *testing.T) {
	var d Decoder
	for _, c := range []struct {
		chunk string
		want  []converse.Event
	}{
		{`{"is_finished":false,"event_type":"stream-start","generation_id":"g"}`, nil},
		{`{"is_finished":false,"event_type":"text-generation","text":"a"}`, []converse.Event{{Kind: converse.MessageStart, Role: "assistant"}, {Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "a"}}},
		{`{"is_finished":false,"event_type":"text-generation","text":""}`, nil},
		{`{"is_finished":false,"event_type":"text-generation","text":"b"}`, []converse.Event{{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "b"}}},
		{`{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE",` + metricsEnd, nil},
	} {
		if got, err := d.Append(nil, []byte(c.chunk)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", c.chunk, got, err, c.want)
		}
	}
	want := []converse.Event{{Kind: converse.BlockStop}, {Kind: converse.MessageStop, StopReason: "end_turn"}, {Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 2}}}
	if got := d.Finish(nil, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestDecoderErrors(t *testing.T) {
	for _, s := range []string{``, `[]`, `"x"`, `{"text":`, `{"text":7}`, `{"text":"a"} x`} {
		if _, err := new(Decoder).Append(nil, []byte(s)); err == nil || !strings.HasPrefix(err.Error(), ErrMalformed.Error()) {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"ERROR", "error", "USER_CANCEL"} {
		if _, err := new(Decoder).Append(nil, []byte(`{"event_type":"stream-end","finish_reason":"`+s+`"}`)); !fault.Is(err, fault.ModelError) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"message":"","tools":[` + sales + `],"chat_history":[{"role":"USER","message":"Hi"},{"role":"CHATBOT","message":"I will look.","tool_calls":[{"name":"f","parameters":{"a":1,"b":2}}]}],"tool_results":[{"call":{"name":"f"},"outputs":[{"text":"x"},{"a":[1]}]}],"documents":[{"title":"a","snippet":"b"}],"p":0.5}`))
	f.Add([]byte(`{"prompt":"Hi","num_generations":2,"k":0,"stream":true}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, format := range []struct {
			parse  func([]byte) (*converse.Request, error)
			append func([]byte, *converse.Request, string, bool, string) ([]byte, error)
		}{{ParseRequest, AppendRequest}, {ParsePrompt, AppendPrompt}} {
			r, err := format.parse(body)
			if err != nil {
				if !fault.Is(err, fault.Validation) {
					t.Errorf("%s: %v", body, err)
				}
				continue
			}
			if r.Check() != nil {
				continue
			}
			b, err := format.append(nil, r, "m", true, "u")
			if err != nil {
				if !fault.Is(err, fault.Validation) {
					t.Errorf("%s: %v", body, err)
				}
				continue
			}
			if !jsontext.Value(b).IsValid(lenient, jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("%s gives %s", body, b)
			}
			again, err := format.parse(b)
			if err != nil {
				t.Fatalf("%s gives %s: %v", body, b, err)
			}
			if len(again.Messages) != len(r.Messages) {
				t.Errorf("%s gives %s: %d turns of %d", body, b, len(again.Messages), len(r.Messages))
			}
		}
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(`{"event_type":"text-generation","text":"a"}` + "\n" + `{"event_type":"stream-end","response":{"text":"a","tool_calls":[{"name":"f"}]},"finish_reason":"COMPLETE"}`))
	f.Add([]byte(`{"event_type":"tool-calls-chunk","tool_call_delta":{"index":1,"parameters":"{"}}` + "\n" + `{"generations":[{"text":"b"}],"citations":[1]}`))
	f.Add([]byte(`{"embeddings":{"uint8":[[1]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decoder
		var es []converse.Event
		for line := range strings.SplitSeq(string(data), "\n") {
			if more, err := d.Append(es, []byte(line)); err == nil {
				es = more
			} else if len(more) != len(es) && !fault.Is(err, fault.ModelError) {
				t.Fatalf("%q: events beside an error", line)
			} else {
				es = more
			}
		}
		es = d.Finish(es, func() int64 { return 1 })
		if err := conversetest.CheckOrder(es); err != nil {
			t.Error(err)
		}
		r := conversetest.Collect(t, es)
		for _, b := range [][]byte{AppendResponse(nil, &at1, r), AppendGenerations(nil, &at1, r)} {
			if !jsontext.Value(b).IsValid(lenient) {
				t.Errorf("%q gives %s", data, b)
			}
		}
		if out, err := ParseEmbeddings(data); err == nil {
			if b := AppendEmbeddings(nil, &converse.EmbeddingRequest{Types: types}, out); !jsontext.Value(b).IsValid() {
				t.Errorf("%q gives %s", data, b)
			}
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	chunk := []byte(`{"is_finished":false,"event_type":"text-generation","text":" hello"}`)
	es := make([]converse.Event, 0, 8)
	var d Decoder
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if es, err = d.Append(es[:0], chunk); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStreamEncoder(b *testing.B) {
	s := StreamEncoder{AnswerInfo: at1}
	e := converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " hello"}
	b.ReportAllocs()
	for b.Loop() {
		s.Encode(&e, func([]byte) {})
	}
}
