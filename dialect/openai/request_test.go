package openai

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

// canonical brings JSON into one form.
func canonical(t testing.TB, b []byte) string {
	t.Helper()
	v := jsontext.Value(b).Clone()
	if err := v.Canonicalize(); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return string(v)
}

// TestAppendRequest: the right sides are requests as OpenAI's API reference for "Create chat completion" has them.
func TestAppendRequest(t *testing.T) {
	const hi = `"messages":[{"role":"user","content":[{"text":"Hi"}]}]`
	const hiThere = `"messages":[{"role":"user","content":"Hi"}]`
	for name, c := range map[string]struct {
		request string
		stream  bool
		want    string // without "model"
	}{
		"text":       {`{` + hi + `}`, false, `{` + hiThere + `}`},
		"stream":     {`{` + hi + `}`, true, `{` + hiThere + `,"stream":true,"stream_options":{"include_usage":true}}`},
		"quotes":     {`{"messages":[{"role":"user","content":[{"text":"a\"b\\c\n\u0001é日"}]}]}`, false, `{"messages":[{"role":"user","content":"a\"b\\c\n\u0001é日"}]}`},
		"system":     {`{"system":[{"text":"Be brief."},{"cachePoint":{"type":"default"}},{"text":"In \"French\"."}],` + hi + `}`, false, `{"messages":[{"role":"system","content":"Be brief.\nIn \"French\"."},{"role":"user","content":"Hi"}]}`},
		"turns":      {`{"messages":[{"role":"user","content":[{"text":"a"},{"cachePoint":{"type":"default"}},{"text":"b"}]},{"role":"assistant","content":[{"text":"c"}]},{"role":"user","content":[{"text":"d"}]}]}`, false, `{"messages":[{"role":"user","content":"a\nb"},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]}`},
		"parameters": {`{` + hi + `,"inferenceConfig":{"maxTokens":100,"temperature":0.1,"topP":1,"stopSequences":["\n","END"]}}`, false, `{` + hiThere + `,"max_tokens":100,"temperature":0.1,"top_p":1,"stop":["\n","END"]}`},
		"zero":       {`{` + hi + `,"inferenceConfig":{"temperature":0,"topP":0}}`, false, `{` + hiThere + `,"temperature":0,"top_p":0}`},
		"image": {`{"messages":[{"role":"user","content":[{"text":"What?"},{"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}}]}]}`, false,
			`{"messages":[{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}]}`},
		"tools": {`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}},{"cachePoint":{"type":"default"}},{"toolSpec":{"name":"g","inputSchema":{"json":{}}}}]}}`, false,
			`{` + hiThere + `,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g","parameters":{}}}]}`},
		"tool choice auto": {`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"auto":{}}}}`, false,
			`{` + hiThere + `,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"auto"}`},
		"tool choice any": {`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"any":{}}}}`, false,
			`{` + hiThere + `,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"required"}`},
		"tool choice f": {`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"g","inputSchema":{"json":{}}}},{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"tool":{"name":"f"}}}}`, false,
			`{` + hiThere + `,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"required"}`},
		"one call at a time": {`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}}`, false,
			`{` + hiThere + `,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"parallel_tool_calls":false}`},
		"no tool, as Anthropic says it": {`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tool_choice":{"type":"none"}}}`, false,
			`{` + hiThere + `,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"none"}`},
		"a tool call and its result": {`{"messages":[{"role":"user","content":[{"text":"Hi"}]},
			{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"s"}}},{"text":"I look."},{"toolUse":{"toolUseId":"t1","name":"f","input":{"x": 1}}},{"toolUse":{"toolUseId":"t2","name":"g","input":{}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"text":"a"},{"json":{"b": [1, "c d"]}}]}},{"toolResult":{"toolUseId":"t2","status":"error","content":[{"text":"no"}]}},{"text":"Well?"}]}]}`, false,
			`{"messages":[{"role":"user","content":"Hi"},
			{"role":"assistant","reasoning_content":"Hm.","content":"I look.","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},
			{"role":"tool","tool_call_id":"t1","content":"a\n{\"b\":[1,\"c d\"]}"},{"role":"tool","tool_call_id":"t2","content":"Error: no"},{"role":"user","content":"Well?"}]}`},
		"only a call": {`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[]}}]}]}`, false,
			`{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t1","content":""}]}`},
		"an error without a word": {`{"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"t1","status":"error","content":[]}}]}]}`, false,
			`{"messages":[{"role":"tool","tool_call_id":"t1","content":"Error: "}]}`},
		"an image as a result": {`{"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"image":{"format":"jpeg","source":{"bytes":"/9j/"}}}]}}]}]}`, false,
			`{"messages":[{"role":"tool","tool_call_id":"t1","content":"[An image, in the next message.]"},{"role":"user","content":[{"type":"text","text":"Image from the result of tool call t1:"},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,/9j/"}}]}]}`},
		"an empty last turn": {`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[]}]}`, false, `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":""}]}`},
		"output": {`{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\": \"object\"}","name":"n","description":"d"}}}}}`, false,
			`{` + hiThere + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","schema":{"type":"object"},"strict":true}}}`},
		"output without a name": {`{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}}`, false,
			`{` + hiThere + `,"response_format":{"type":"json_schema","json_schema":{"name":"response","schema":{},"strict":true}}}`},
		"additional fields": {`{` + hi + `,"additionalModelRequestFields":{"seed":7,"logit_bias":{"a b":[ 1 ]},"anthropic_beta":["x"],"mcp_servers":[],"container":null,"inference_geo":"global","max_completion_tokens":9,"stop":["x"]}}`, false,
			`{` + hiThere + `,"seed":7,"logit_bias":{"a b":[1]},"max_completion_tokens":9,"stop":["x"]}`},
		"service": {`{` + hi + `,"serviceTier":{"type":"flex"},"performanceConfig":{"latency":"standard"},"requestMetadata":{"team":"x"}}`, false, `{` + hiThere + `,"service_tier":"flex"}`},
	} {
		t.Run(name, func(t *testing.T) {
			dst := []byte("kept")
			got, err := AppendRequest(dst, conversetest.Request(t, c.request), `the "model"`, c.stream, "gpu-a")
			if err != nil {
				t.Fatal(err)
			}
			if string(got[:4]) != "kept" {
				t.Error("what stood before is gone")
			}
			want := strings.Replace(c.want, "{", `{"model":"the \"model\"",`, 1)
			if a, b := canonical(t, got[4:]), canonical(t, []byte(want)); a != b {
				t.Errorf("%s\nwant %s", a, b)
			}
		})
	}
}

// TestRefusals: what Chat Completions cannot say is refused with its path and the upstream's name.
func TestRefusals(t *testing.T) {
	user := func(block string) string {
		return `{"messages":[{"role":"user","content":[{"text":"a"},` + block + `]}]}`
	}
	with := func(member string) string {
		return `{"messages":[{"role":"user","content":[{"text":"a"}]}],` + member + `}`
	}
	for path, request := range map[string]string{
		"messages.0.content.1.document":                                             user(`{"document":{"format":"pdf","name":"d","source":{"bytes":""}}}`),
		"messages.0.content.1.video":                                                user(`{"video":{}}`),
		"messages.0.content.1.audio":                                                user(`{"audio":{}}`),
		"messages.0.content.1.guardContent":                                         user(`{"guardContent":{}}`),
		"messages.0.content.1.citationsContent":                                     user(`{"citationsContent":{}}`),
		"messages.0.content.1.searchResult":                                         user(`{"searchResult":{}}`),
		"messages.0.content.1.toolUse":                                              user(`{"toolUse":{"toolUseId":"t","name":"f","input":{}}}`),
		"messages.0.content.1.reasoningContent":                                     user(`{"reasoningContent":{"reasoningText":{"text":"x"}}}`),
		"messages.0.content.1.image.source.s3Location":                              user(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://bucket/a"}}}}`),
		"messages.0.content.1.image.format":                                         user(`{"image":{"format":"svg+xml,","source":{"bytes":"AAAA"}}}`),
		"messages.0.content.1.toolResult.content.0.document":                        user(`{"toolResult":{"toolUseId":"t","content":[{"document":{}}]}}`),
		"messages.0.content.1.toolResult.content.0.video":                           user(`{"toolResult":{"toolUseId":"t","content":[{"video":{}}]}}`),
		"messages.0.content.1.toolResult.content.0.searchResult":                    user(`{"toolResult":{"toolUseId":"t","content":[{"searchResult":{}}]}}`),
		"messages.0.content.1.toolResult.content.1.image.source.s3Location":         user(`{"toolResult":{"toolUseId":"t","content":[{"text":"x"},{"image":{"format":"png","source":{"s3Location":{"uri":"s3://bucket/a"}}}}]}}`),
		"messages.0.content.0.image":                                                `{"messages":[{"role":"assistant","content":[{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}]}`,
		"messages.0.content.0.reasoningContent.redactedContent":                     `{"messages":[{"role":"assistant","content":[{"reasoningContent":{"redactedContent":"AAAA"}}]}]}`,
		"messages.0.content.0.toolUse.type":                                         `{"messages":[{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"f","input":{},"type":"server_tool_use"}}]}]}`,
		"system.0.guardContent":                                                     with(`"system":[{"guardContent":{}}]`),
		"toolConfig.tools.0.systemTool":                                             with(`"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}`),
		"guardrailConfig":                                                           with(`"guardrailConfig":{"guardrailIdentifier":"g"}`),
		"promptVariables":                                                           with(`"promptVariables":{"a":{"text":"b"}}`),
		"performanceConfig.latency.optimized":                                       with(`"performanceConfig":{"latency":"optimized"}`),
		"serviceTier.reserved":                                                      with(`"serviceTier":{"type":"reserved"}`),
		"outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object.": with(`"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"[]"}}}}`),
		"outputConfig.textFormat.xml":                                               with(`"outputConfig":{"textFormat":{"type":"xml","structure":{}}}`),
		"additionalModelRequestFields is not a JSON object.":                        with(`"additionalModelRequestFields":[1]`),
		"additionalModelRequestFields.messages":                                     with(`"additionalModelRequestFields":{"messages":[]}`),
		"additionalModelRequestFields.model":                                        with(`"additionalModelRequestFields":{"model":"x"}`),
		"additionalModelRequestFields.stream":                                       with(`"additionalModelRequestFields":{"stream":true}`),
		"additionalModelRequestFields.n":                                            with(`"additionalModelRequestFields":{"n":2}`),
		"additionalModelRequestFields.mcp_servers":                                  with(`"additionalModelRequestFields":{"mcp_servers":[{"type":"url","url":"https://a","name":"b"}]}`),
		"additionalModelRequestFields.container":                                    with(`"additionalModelRequestFields":{"container":{"skills":[]}}`),
		"additionalModelRequestFields.inference_geo":                                with(`"additionalModelRequestFields":{"inference_geo":"us"}`),
		"additionalModelRequestFields.tools":                                        with(`"additionalModelRequestFields":{"tools":[]}`),
		"additionalModelRequestFields.tool_choice":                                  with(`"additionalModelRequestFields":{"tool_choice":"none"}`),
		"additionalModelRequestFields.temperature":                                  with(`"inferenceConfig":{"temperature":0.5},"additionalModelRequestFields":{"temperature":1}`),
		"additionalModelRequestFields.max_completion_tokens":                        with(`"inferenceConfig":{"maxTokens":5},"additionalModelRequestFields":{"max_completion_tokens":9}`),
		"additionalModelRequestFields.stop":                                         with(`"inferenceConfig":{"stopSequences":["a"]},"additionalModelRequestFields":{"stop":"b"}`),
		"additionalModelRequestFields.top_p":                                        with(`"inferenceConfig":{"topP":0.5},"additionalModelRequestFields":{"top_p":1}`),
		"additionalModelRequestFields.service_tier":                                 with(`"serviceTier":{"type":"priority"},"additionalModelRequestFields":{"service_tier":"flex"}`),
		"additionalModelRequestFields.response_format":                              with(`"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}},"additionalModelRequestFields":{"response_format":{}}`),
	} {
		t.Run(path, func(t *testing.T) {
			_, err := AppendRequest(nil, conversetest.Request(t, request), "m", false, "gpu-a")
			f := fault.From(err)
			if f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, path) {
				t.Fatalf("%v, want a Validation fault of %s", err, path)
			}
			if strings.Contains(f.Message, "upstream") && !strings.Contains(f.Message, `"gpu-a"`) {
				t.Errorf("%q does not name the upstream", f.Message)
			}
		})
	}
}

// TestEveryBlock walks the unions of Converse: each member is written or refused, none passes unseen.
func TestEveryBlock(t *testing.T) {
	for _, role := range []string{"user", "assistant"} {
		for _, block := range []string{
			`{"text":"SEEN"}`, `{"image":{"format":"png","source":{"bytes":"U0VFTg=="}}}`, `{"toolUse":{"toolUseId":"SEEN","name":"f","input":{}}}`,
			`{"toolResult":{"toolUseId":"SEEN","content":[]}}`, `{"reasoningContent":{"reasoningText":{"text":"SEEN"}}}`, `{"reasoningContent":{"redactedContent":"U0VFTg=="}}`,
			`{"document":{}}`, `{"video":{}}`, `{"audio":{}}`, `{"guardContent":{}}`, `{"citationsContent":{}}`, `{"searchResult":{}}`,
		} {
			b, err := AppendRequest(nil, conversetest.Request(t, `{"messages":[{"role":"`+role+`","content":[`+block+`]}]}`), "m", false, "u")
			if err == nil && !strings.Contains(string(b), "SEEN") && !strings.Contains(string(b), base64.StdEncoding.EncodeToString([]byte("SEEN"))) {
				t.Errorf("%s of the %s is dropped: %s", block, role, b)
			}
		}
	}
}

// FuzzAppendRequest: what a caller may send becomes JSON or a refusal.
func FuzzAppendRequest(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"text":"Hi"},{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}],"additionalModelRequestFields":{"a":1}}`))
	f.Add([]byte(`{"system":[{"text":"a"}],"messages":[{"role":"assistant","content":[{"toolUse":{"input":{"a": 1}}}]},{"role":"user","content":[{"toolResult":{"content":[{"json":{"a": "b c"}}]}}]}],"toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"json":{}}}}],"toolChoice":{"any":{}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r converse.Request
		if json.Unmarshal(body, &r) != nil {
			return
		}
		b, err := AppendRequest(nil, &r, "m", true, "u")
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Errorf("%v", err)
			}
			return
		}
		if !jsontext.Value(b).IsValid(jsontext.AllowInvalidUTF8(true)) {
			t.Errorf("%s", b)
		}
	})
}
