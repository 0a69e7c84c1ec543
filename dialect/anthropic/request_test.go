package anthropic

import (
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

const (
	head = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,`
	hi   = `"messages":[{"role":"user","content":"Hi"}]`
)

// TestParseRequest: the left sides are bodies as Anthropic's "Create a Message" and Amazon Bedrock's "Anthropic Claude
// Messages API" have them, the right sides what the same call is in Converse.
func TestParseRequest(t *testing.T) {
	const hiThere = `"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"maxTokens":100}`
	block := func(b string) string {
		return head + `"messages":[{"role":"user","content":[` + b + `]}]}`
	}
	blocks := func(b string) string {
		return `{"messages":[{"role":"user","content":[` + b + `]}],"inferenceConfig":{"maxTokens":100}}`
	}
	for name, c := range map[string]struct{ body, want string }{
		"a string":          {head + hi + `}`, `{` + hiThere + `}`},
		"a date as version": {`{"anthropic_version":"2023-06-01","max_tokens":100,` + hi + `}`, `{` + hiThere + `}`},
		"blocks":            {block(`{"type":"text","text":"a"},{"type":"text","text":"b","citations":null}`), blocks(`{"text":"a"},{"text":"b"}`)},
		"parameters": {head + `"temperature":0.5,"top_p":0.9,"stop_sequences":["a","b"],` + hi + `}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"maxTokens":100,"temperature":0.5,"topP":0.9,"stopSequences":["a","b"]}}`},
		"system": {head + `"system":"Be brief.",` + hi + `}`, `{"system":[{"text":"Be brief."}],` + hiThere + `}`},
		"system blocks": {head + `"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":""}],` + hi + `}`,
			`{"system":[{"text":"a"},{"cachePoint":{"type":"default","ttl":"1h"}}],` + hiThere + `}`},
		"image": {block(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="},"cache_control":{"type":"ephemeral"}}`),
			blocks(`{"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}},{"cachePoint":{"type":"default"}}`)},
		"pdf": {block(`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="},"title":"T","context":"C","citations":{"enabled":true}}`),
			blocks(`{"document":{"format":"pdf","name":"T","source":{"bytes":"JVBERi0="},"context":"C","citations":{"enabled":true}}}`)},
		"text document": {block(`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a"}}`), blocks(`{"document":{"format":"txt","name":"document","source":{"text":"a"}}}`)},
		"turns with tools": {head + `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm.","signature":"s"},{"type":"redacted_thinking","data":"AAEC"},{"type":"tool_use","id":"t1","name":"f","input":{"x":1}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"r"},{"type":"tool_result","tool_use_id":"t2","is_error":true,"content":[{"type":"text","text":"no","cache_control":{"type":"ephemeral"}},{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"R0lG"}}]},{"type":"tool_result","tool_use_id":"t3"}]}],
			"tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}},{"type":"custom","name":"g","input_schema":{},"strict":true}],"tool_choice":{"type":"any"}}`,
			`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"s"}}},{"reasoningContent":{"redactedContent":"AAEC"}},{"toolUse":{"toolUseId":"t1","name":"f","input":{"x":1}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"text":"r"}]}},{"toolResult":{"toolUseId":"t2","status":"error","content":[{"text":"no"},{"image":{"format":"gif","source":{"bytes":"R0lG"}}}]}},{"cachePoint":{"type":"default"}},{"toolResult":{"toolUseId":"t3","content":[]}}]}],"inferenceConfig":{"maxTokens":100},
			"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}},{"toolSpec":{"name":"g","inputSchema":{"json":{}},"strict":true}}],"toolChoice":{"any":{}}}}`},
		"tool choice tool": {head + hi + `,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}}`,
			`{` + hiThere + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"tool":{"name":"f"}}},"additionalModelRequestFields":{"tool_choice":{"type":"tool","disable_parallel_tool_use":true}}}`},
		"tool choice auto": {head + hi + `,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"auto"}}`,
			`{` + hiThere + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"auto":{}}}}`},
		"tool choice none": {head + hi + `,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"none"}}`, `{` + hiThere + `}`},
		"Anthropic's own tools": {head + hi + `,"tools":[{"type":"bash_20250124","name":"bash"},{"name":"f","input_schema":{}},{"type":"web_search_20250305","name":"web_search","max_uses":5}]}`,
			`{` + hiThere + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tools":[{"type":"bash_20250124","name":"bash"},{"type":"web_search_20250305","name":"web_search","max_uses":5}]}}`},
		"a choice of Anthropic's own tools": {head + hi + `,"tools":[{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"any"}}`,
			`{` + hiThere + `,"additionalModelRequestFields":{"tool_choice":{"type":"any"},"tools":[{"type":"bash_20250124","name":"bash"}]}}`},
		"a choice of one of Anthropic's own tools": {head + hi + `,"tools":[{"type":"bash_20250124","name":"bash"},{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"bash","disable_parallel_tool_use":true}}`,
			`{` + hiThere + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tool_choice":{"type":"tool","name":"bash","disable_parallel_tool_use":true},"tools":[{"type":"bash_20250124","name":"bash"}]}}`},
		"all else": {head + hi + ` , "top_k":5, "thinking":{"type":"enabled","budget_tokens":1024},"metadata":{"user_id":"u"},"anthropic_beta":["b"],"output_config":{"effort":"low"}}`,
			`{` + hiThere + `,"additionalModelRequestFields":{"top_k":5,"thinking":{"type":"enabled","budget_tokens":1024},"metadata":{"user_id":"u"},"anthropic_beta":["b"],"output_config":{"effort":"low"}}}`},
		"output": {head + hi + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}`,
			`{` + hiThere + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}"}}}}}`},
		"output of the beta": {head + hi + `,"output_format":{"type":"json_schema","schema":{}}}`, `{` + hiThere + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}}`},
		"an empty last turn": {head + `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":[]}]}`, `{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[]}],"inferenceConfig":{"maxTokens":100}}`},
		// Source: https://docs.claude.com/en/api/messages (messages: "consecutive user or assistant turns in your request will be combined into a single turn")
		"the same role twice": {head + `"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"assistant","content":"d"}]}`,
			`{"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]},{"role":"assistant","content":[{"text":"c"},{"text":"d"}]}],"inferenceConfig":{"maxTokens":100}}`},
		"tool choice none after a call": {head + `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"r"}]}],"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"none"}}`,
			`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"text":"r"}]}}]}],"inferenceConfig":{"maxTokens":100},
			"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tool_choice":{"type":"none"}}}`},
		"a name twice": {head + `"messages":[{"role":"user","content":"a","content":"b"}],"max_tokens":100}`, `{"messages":[{"role":"user","content":[{"text":"b"}]}],"inferenceConfig":{"maxTokens":100}}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			var want converse.Request
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(r, &want) {
				a, _ := json.Marshal(r)
				b, _ := json.Marshal(want)
				t.Errorf("%+v %s\nwant %+v %s", r, a, want, b)
			}
		})
	}
}

// TestMalformed: the texts with # are those of Bedrock's schema checker, in the form that users have reported:
// github.com/fumito-ito/AnthropicSwiftSDK issue 19, github.com/BerriAI/litellm issue 7416, github.com/aws/aws-sdk-net
// issue 3384. The others are the model's own, as Anthropic's API gives them.
func TestMalformed(t *testing.T) {
	malformed := func(s string) string {
		return "Malformed input request: " + s + ", please reformat your input and try again."
	}
	block := func(b string) string { return head + `"messages":[{"role":"user","content":[` + b + `]}]}` }
	tool := func(s string) string { return head + hi + `,"tools":[{"name":"f","input_schema":{}}]` + s + `}` }
	for _, c := range []struct{ body, want string }{
		{`{}`, malformed("#: required key [messages] not found#: required key [max_tokens] not found#: required key [anthropic_version] not found")},
		{`{"anthropic_version":"bedrock-2023-05-31",` + hi + `}`, malformed("#: required key [max_tokens] not found")},
		{`{"max_tokens":1,` + hi + `}`, malformed("#: required key [anthropic_version] not found")},
		{`{"anthropic_version":"bedrock-1","max_tokens":1,` + hi + `}`, malformed("#/anthropic_version: bedrock-1 is not a valid enum value")},
		{head + hi + `,"model":"claude-3","stream":true}`, malformed("#: extraneous key [stream] is not permitted#: extraneous key [model] is not permitted")},
		{head + hi + `,"stop_sequences":"x"}`, malformed("#/stop_sequences: expected type: JSONArray, found: String")},
		{head + `"messages":"x"}`, malformed("#/messages: expected type: JSONArray, found: String")},
		{head + `"messages":[{"role":"user","content":7}]}`, malformed("#/messages/0/content: expected type: JSONArray, found: Number")},
		{`[]`, malformed("#: expected type: JSONObject, found: JSONArray")},
		{`{"max_tokens":"a"}`, malformed("#/max_tokens: expected type: Integer, found: String")},
		{`{"max_tokens":1`, malformed("Unexpected end of input")},
		{``, malformed("Unexpected end of input")},
		{`{"max_tokens" 1}`, "Malformed input request, please reformat your input and try again."},
		{"{\"max_tokens\":1,\"system\":\"\xff\"}", "Malformed input request, please reformat your input and try again."},

		{strings.Replace(head, "100", "0", 1) + hi + `}`, "max_tokens: Input should be greater than or equal to 1"},
		{head + hi + `,"temperature":1.5}`, "temperature: range: 0..1"},
		{head + hi + `,"top_p":-1}`, "top_p: range: 0..1"},
		{head + `"messages":[]}`, "messages: at least one message is required"},
		{head + `"messages":[{"role":"system","content":"a"}]}`, "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role."},
		{head + `"messages":[{"role":"tool","content":"a"}]}`, "messages.0.role: Input should be 'user' or 'assistant'"},
		{head + `"messages":[{"role":"user"}]}`, "messages.0.content: Field required"},
		{head + `"messages":[{"role":"user","content":[]},{"role":"user","content":"a"}]}`, "messages.0: all messages must have non-empty content except for the optional final assistant message"},
		{block(`{"text":"a"}`), "messages.0.content.0.type: Field required"},
		{block(`{"type":"text","text":"a"},{}`), "messages.0.content.1.type: Field required"},
		{block(`{"type":"text"}`), "messages.0.content.0.text.text: Field required"},
		{block(`{"type":"text","text":""}`), "messages: text content blocks must be non-empty"},
		{block(`{"type":"text","text":"a","bold":true}`), "messages.0.content.0.text.bold: Extra inputs are not permitted"},
		{head + `"messages":[{"role":"user","content":"a","name":"b"}]}`, "messages.0.name: Extra inputs are not permitted"},
		{head + `"system":[{"type":"text","text":"a","bold":true}],` + hi + `}`, "system.0.bold: Extra inputs are not permitted"},
		{block(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA","alt":"b"}}`), "messages.0.content.0.image.source.base64.alt: Extra inputs are not permitted"},
		{block(`{"type":"text","text":"a","citations":[{"type":"char_location"}]}`), "This server does not support the field messages.0.content.0.text.citations."},
		{block(`{"type":"video"}`), "messages.0.content.0: Input tag 'video' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'text', 'thinking', 'tool_result', 'tool_use'"},
		{block(`{"type":"image"}`), "messages.0.content.0.image.source: Field required"},
		{block(`{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`), "messages.0.content.0.image.source: Input tag 'url' found using 'type' does not match any of the expected tags: 'base64'"},
		{block(`{"type":"image","source":{"type":"base64","media_type":"image/bmp","data":"AAAA"}}`), "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"},
		{block(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"?"}}`), "messages.0.content.0.image.source.base64.data: The image was specified using base64, but the data is not valid base64"},
		{block(`{"type":"document"}`), "messages.0.content.0.document.source: Field required"},
		{block(`{"type":"tool_use","id":"t","name":"f"}`), "messages.0.content.0.tool_use.input: Field required"},
		{block(`{"type":"tool_use","id":"t","name":"f","input":"x"}`), "messages.0.content.0.tool_use.input: Input should be a valid dictionary"},
		{block(`{"type":"tool_use","input":{}}`), "messages.0.content.0.tool_use.id: Field required"},
		{block(`{"type":"tool_result","content":"a"}`), "messages.0.content.0.tool_result.tool_use_id: Field required"},
		{block(`{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_result","tool_use_id":"u"}]}`), "messages.0.content.0.tool_result.content.0: Input tag 'tool_result' found using 'type' does not match any of the expected tags: 'document', 'image', 'text'"},
		{block(`{"type":"redacted_thinking","data":"?"}`), "messages.0.content.0.redacted_thinking.data: Invalid data"},
		{head + `"system":[{"type":"image"}],` + hi + `}`, "system.0.type: Input should be 'text'"},
		{head + hi + `,"tools":[{"input_schema":{}}]}`, "tools.0.custom.name: Field required"},
		{head + hi + `,"tools":[{"name":"f"}]}`, "tools.0.custom.input_schema: Field required"},
		{head + hi + `,"tools":[{"name":"f","input_schema":"x"}]}`, "tools.0.custom.input_schema: Input should be a valid dictionary"},
		{head + hi + `,"tools":[{"name":"f","input_schema":{},"parameters":{}}]}`, "tools.0.custom.parameters: Extra inputs are not permitted"},
		{tool(`,"tool_choice":{"type":"tool"}`), "tool_choice.tool.name: Field required"},
		{tool(`,"tool_choice":{"type":"required"}`), "tool_choice: Input tag 'required' found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'"},
		{head + hi + `,"tool_choice":{"type":"auto"}}`, "tool_choice: may only be specified while providing tools"},
		{head + hi + `,"output_format":{"type":"text"}}`, "output_format.type: Input should be 'json_schema'"},
		{head + hi + `,"output_config":{"format":{"type":"json_schema"}}}`, "output_config.format.schema: Input should be a valid dictionary"},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := ParseRequest([]byte(c.body))
			f := fault.From(err)
			if f == nil || f.Kind != fault.Validation || f.Message != c.want {
				t.Errorf("%s: %v\nwant %q", c.body, err, c.want)
			}
		})
	}
}

// TestHostile: a body of many small things costs no multiple of its size that matters.
func TestHostile(t *testing.T) {
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	for name, body := range map[string]string{
		"blocks":   head + `"messages":[{"role":"user","content":[` + many(2_000_000, `{}`) + `]}]}`,
		"messages": head + `"messages":[` + many(2_000_000, `{}`) + `]}`,
		"tools":    head + hi + `,"tools":[` + many(2_000_000, `{}`) + `]}`,
		"depth":    head + `"messages":[{"role":"user","content":` + strings.Repeat(`[{"type":"tool_result","tool_use_id":"t","content":`, 4000) + `"x"` + strings.Repeat(`}]`, 4000) + `}]}`,
		"deeper":   head + `"messages":[{"role":"user","content":` + strings.Repeat(`[{"type":"tool_result","tool_use_id":"t","content":`, 40000) + `"x"` + strings.Repeat(`}]`, 40000) + `}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := ParseRequest([]byte(body))
			runtime.ReadMemStats(&after)
			if !fault.Is(err, fault.Validation) {
				t.Errorf("%v, want a Validation fault", err)
			}
			if took, most := after.TotalAlloc-before.TotalAlloc, uint64(20*len(body)+16<<20); took > most {
				t.Errorf("%d bytes for a body of %d", took, len(body))
			}
		})
	}
}

// FuzzParseRequest: a body becomes a request that is JSON again, or a Validation fault.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(head + hi + `}`))
	f.Add([]byte(head + `"system":[{"type":"text","text":"a"}],"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"document","source":{"type":"text","data":"a"}}]}],"tools":[{"name":"f","input_schema":{}},{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}},"top_k":1,"anthropic_beta":["a"]}`))
	f.Add([]byte(head + `"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"thinking","thinking":"a"},{"type":"redacted_thinking","data":"AAAA"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Errorf("%v", err)
			}
			return
		}
		if len(r.Messages) == 0 || r.InferenceConfig.MaxTokens == nil {
			t.Errorf("%+v", r)
		}
		if _, err := json.Marshal(r, jsontext.AllowDuplicateNames(true)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		r.EstimateInputTokens()
		r.Size()
	})
}
