package anthropic

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

// TestAppendRequest: the right sides are bodies as Anthropic's "Create a Message", "Prompt caching", "PDF support",
// "Citations", "Search results", "Extended thinking", "Structured outputs" and "Implement tool use" have them, with the
// anthropic_version of Amazon Bedrock's "Anthropic Claude Messages API".
func TestAppendRequest(t *testing.T) {
	const bedrock = `{"anthropic_version":"bedrock-2023-05-31",`
	const hi = `"messages":[{"role":"user","content":[{"text":"Hi"}]}]`
	const hiThere = `"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]`
	user := func(blocks string) string { return `{"messages":[{"role":"user","content":[` + blocks + `]}]}` }
	asked := func(blocks string) string {
		return bedrock + `"max_tokens":4096,"messages":[{"role":"user","content":[` + blocks + `]}]}`
	}
	for _, c := range []struct{ name, converse, want string }{
		{"text", `{` + hi + `}`, bedrock + `"max_tokens":4096,` + hiThere + `}`},
		{"parameters", `{` + hi + `,"inferenceConfig":{"maxTokens":100,"temperature":0.5,"topP":1,"stopSequences":["a","\n"]},"requestMetadata":{"team":"a"},"serviceTier":{"type":"default"},"performanceConfig":{"latency":"standard"}}`,
			bedrock + `"max_tokens":100,"temperature":0.5,"top_p":1,"stop_sequences":["a","\n"],` + hiThere + `}`},
		{"system", `{"system":[{"text":"a"},{"text":"b"},{"cachePoint":{"type":"default","ttl":"1h"}}],` + hi + `}`,
			bedrock + `"max_tokens":4096,"system":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}}],` + hiThere + `}`},
		{"image", user(`{"image":{"format":"jpeg","source":{"bytes":"/9j/4AAQ"}}},{"cachePoint":{"type":"default"}},{"text":"What?"}`),
			asked(`{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"/9j/4AAQ"},"cache_control":{"type":"ephemeral"}},{"type":"text","text":"What?"}`)},
		{"documents", user(`{"document":{"format":"pdf","name":"T","source":{"bytes":"JVBERi0="},"context":"C","citations":{"enabled":false}}},{"cachePoint":{"type":"default","ttl":"5m"}},
			{"document":{"format":"txt","name":"a","source":{"text":"A"}}},{"document":{"format":"csv","name":"b","source":{"bytes":"YSxi"}}},{"document":{"name":"c","source":{"content":[{"text":"1"},{"text":"2"}]}}}`),
			asked(`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="},"title":"T","context":"C","citations":{"enabled":false},"cache_control":{"type":"ephemeral","ttl":"5m"}},
			{"type":"document","source":{"type":"text","media_type":"text/plain","data":"A"},"title":"a"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a,b"},"title":"b"},
			{"type":"document","source":{"type":"content","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]},"title":"c"}`)},
		{"search result", user(`{"searchResult":{"source":"https://a.example","title":"A","content":[{"text":"1"},{"text":"2"}],"citations":{"enabled":true}}},{"cachePoint":{"type":"default"}}`),
			asked(`{"type":"search_result","source":"https://a.example","title":"A","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}],"citations":{"enabled":true},"cache_control":{"type":"ephemeral"}}`)},
		{"turns with tools", `{"messages":[{"role":"user","content":[{"text":"a"}]},
			{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"EqQB"}}},{"reasoningContent":{"redactedContent":"AAEC"}},{"text":"b"},{"toolUse":{"toolUseId":"functions.f:0","name":"f","input":{"x":1}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"functions.f:0","status":"error","content":[{"json":{"a": [1, 2]}},{"text":""},{"text":"no"},{"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}},{"document":{"format":"pdf","name":"d","source":{"bytes":"JVBERi0="}}},{"searchResult":{"source":"s","title":"t","content":[{"text":"1"}]}}]}},{"cachePoint":{"type":"default"}}]},
			{"role":"assistant","content":[{"toolUse":{"toolUseId":"t2","name":"g","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t2","content":[]}}]},{"role":"assistant","content":[]}],
			"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}},{"toolSpec":{"name":"g","inputSchema":{"json":{}}}},{"cachePoint":{"type":"default"}}],"toolChoice":{"any":{}}}}`,
			bedrock + `"max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},
			{"role":"assistant","content":[{"type":"thinking","thinking":"Hm.","signature":"EqQB"},{"type":"redacted_thinking","data":"AAEC"},{"type":"text","text":"b"},{"type":"tool_use","id":"functions_f_0","name":"f","input":{"x":1}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_f_0","is_error":true,"content":[{"type":"text","text":"{\"a\":[1,2]}"},{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="},"title":"d"},{"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"1"}]}],"cache_control":{"type":"ephemeral"}}]},
			{"role":"assistant","content":[{"type":"tool_use","id":"t2","name":"g","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t2","content":[]}]},{"role":"assistant","content":[]}],
			"tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true},{"name":"g","input_schema":{},"cache_control":{"type":"ephemeral"}}],"tool_choice":{"type":"any"}}`},
		{"as OpenAI says it", `{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tool_choice":"none","parallel_tool_calls":true}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"none"}}`},
		{"one at a time, as OpenAI says it", `{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"parallel_tool_calls":false}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`},
		{"one tool, one at a time", `{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"tool":{"name":"f"}}},"additionalModelRequestFields":{"tool_choice":{"type":"tool","disable_parallel_tool_use":true}}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}}`},
		{"tools of Anthropic's that the caller runs", `{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"auto":{}}},"additionalModelRequestFields":{"tools":[{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"str_replace_based_edit_tool"}]}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"tools":[{"name":"f","input_schema":{}},{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"str_replace_based_edit_tool"}],"tool_choice":{"type":"auto"}}`},
		{"no tool, in OpenAI's word", `{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tool_choice":"none"}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"none"}}`},
		{"these tools alone", `{` + hi + `,"additionalModelRequestFields":{"tools":[{"type":"computer_20250124","name":"computer","display_width_px":1,"display_height_px":1}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"tools":[{"type":"computer_20250124","name":"computer","display_width_px":1,"display_height_px":1}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`},
		{"additional fields", `{` + hi + `,"additionalModelRequestFields":{"max_tokens":20000,"top_k":5,"thinking":{"type":"enabled","budget_tokens":10000},"metadata":{"user_id":"u"},"anthropic_beta":["context-1m-2025-08-07","b"],"anthropic_version":"bedrock-2023-05-31","output_config":{"effort":"low"}}}`,
			bedrock + `"anthropic_beta":["context-1m-2025-08-07","b"],` + hiThere + `,"output_config":{"effort":"low"},"max_tokens":20000,"top_k":5,"thinking":{"type":"enabled","budget_tokens":10000},"metadata":{"user_id":"u"}}`},
		{"one beta", `{` + hi + `,"additionalModelRequestFields":{"anthropic_beta":"b"}}`, bedrock + `"anthropic_beta":["b"],"max_tokens":4096,` + hiThere + `}`},
		{"output", `{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"name":"n","description":"d","schema":" {\"type\":\"object\"}"}}}},"additionalModelRequestFields":{"output_config":{"effort":"low"}}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"description":"d","type":"object"}}}}`},
		{"an output that describes itself", `{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"description":"d","schema":"{\"description\":\"e\"}"}}}}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"output_config":{"format":{"type":"json_schema","schema":{"description":"e"}}}}`},
		{"an output of anything", `{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"description":"d","schema":"{ }"}}}}}`,
			bedrock + `"max_tokens":4096,` + hiThere + `,"output_config":{"format":{"type":"json_schema","schema":{"description":"d"}}}}`},
		{"citations of an earlier turn", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"citationsContent":{"content":[{"text":"the grass "},{"text":"is green"}],"citations":[
			{"title":"Example Document","sourceContent":[{"text":"The grass is green."}],"location":{"documentChar":{"documentIndex":0,"start":0,"end":20}}},
			{"sourceContent":[{"text":"Water"}],"location":{"documentPage":{"documentIndex":1,"start":5,"end":6}}},
			{"title":"c","location":{"documentChunk":{"documentIndex":2,"start":0,"end":1}}},
			{"title":"API","source":"https://docs.example","sourceContent":[{"text":"k"}],"location":{"searchResultLocation":{"searchResultIndex":3,"start":0,"end":1}}}]}}]},{"role":"user","content":[{"text":"b"}]}]}`,
			bedrock + `"max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"the grass is green","citations":[
			{"type":"char_location","document_index":0,"start_char_index":0,"end_char_index":20,"document_title":"Example Document","cited_text":"The grass is green."},
			{"type":"page_location","document_index":1,"start_page_number":5,"end_page_number":6,"document_title":null,"cited_text":"Water"},
			{"type":"content_block_location","document_index":2,"start_block_index":0,"end_block_index":1,"document_title":"c","cited_text":""},
			{"type":"search_result_location","search_result_index":3,"start_block_index":0,"end_block_index":1,"source":"https://docs.example","title":"API","cited_text":"k"}]}]},{"role":"user","content":[{"type":"text","text":"b"}]}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := AppendRequest([]byte("x"), conversetest.Request(t, c.converse), "claude", true, "up")
			if err != nil {
				t.Fatal(err)
			}
			conversetest.Same(t, string(got[1:]), c.want)
		})
	}
}

// TestAppendMessages: the body for Anthropic's own API, and what of it the token counting takes.
func TestAppendMessages(t *testing.T) {
	r := conversetest.Request(t, `{"system":[{"text":"S"}],"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"maxTokens":9,"temperature":1,"stopSequences":["x"]},"serviceTier":{"type":"priority"},
		"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}},
		"additionalModelRequestFields":{"anthropic_beta":["a","b"],"top_k":1,"thinking":{"type":"adaptive"},"metadata":{"user_id":"u"}}}`)
	const prompt = `"system":[{"type":"text","text":"S"}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}],"tools":[{"name":"f","input_schema":{}}],"output_config":{"format":{"type":"json_schema","schema":{}}},"thinking":{"type":"adaptive"}`
	for _, stream := range []bool{false, true} {
		got, betas, err := AppendMessages(nil, r, "claude-sonnet-5", stream, "up")
		if err != nil || !slices.Equal(betas, []string{"a", "b"}) {
			t.Fatalf("%q, %v", betas, err)
		}
		want := `{"model":"claude-sonnet-5",` + prompt + `,"max_tokens":9,"temperature":1,"stop_sequences":["x"],"service_tier":"auto","top_k":1,"metadata":{"user_id":"u"}`
		if stream {
			want += `,"stream":true`
		}
		conversetest.Same(t, string(got), want+`}`)
	}
	got, betas, err := AppendCountTokens(nil, r, "claude-sonnet-5", "up")
	if err != nil || !slices.Equal(betas, []string{"a", "b"}) {
		t.Fatalf("%q, %v", betas, err)
	}
	conversetest.Same(t, string(got), `{"model":"claude-sonnet-5",`+prompt+`}`)
}

// TestRefuse: what the format cannot say is refused by its path, and by the upstream's name.
func TestRefuse(t *testing.T) {
	const hi = `"messages":[{"role":"user","content":[{"text":"Hi"}]}]`
	user := func(blocks string) string { return `{"messages":[{"role":"user","content":[` + blocks + `]}]}` }
	result := func(c string) string { return user(`{"toolResult":{"toolUseId":"t","content":[` + c + `]}}`) }
	extra := func(f string) string {
		return `{` + hi + `,"inferenceConfig":{"maxTokens":1,"temperature":1,"topP":1,"stopSequences":["a"]},"serviceTier":{"type":"default"},"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}},
			"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"any":{}}},"additionalModelRequestFields":{` + f + `}}`
	}
	for body, want := range map[string]string{
		user(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}}`): "messages.0.content.0.image.source.s3Location",
		user(`{"image":{"format":"bmp","source":{"bytes":"AAAA"}}}`):                  "messages.0.content.0.image.format",
		user(`{"text":"a"},{"video":{"format":"mp4","source":{"bytes":"AAAA"}}}`):     "messages.0.content.1.video",
		user(`{"audio":{"format":"mp3","source":{"bytes":"AAAA"}}}`):                  "messages.0.content.0.audio",
		user(`{"guardContent":{"text":{"text":"a"}}}`):                                "messages.0.content.0.guardContent",
		user(`{}`): "messages.0.content.0.an empty content block",
		user(`{"document":{"format":"docx","name":"d","source":{"bytes":"AAAA"}}}`):                            "messages.0.content.0.document.format docx",
		user(`{"document":{"format":"txt","name":"d","source":{"bytes":"/w=="}}}`):                             "messages.0.content.0.document.source.bytes",
		user(`{"document":{"format":"pdf","name":"d","source":{"s3Location":{"uri":"s3://b/k"}}}}`):            "messages.0.content.0.document.source.s3Location",
		user(`{"document":{"format":"pdf","name":5}}`):                                                         "messages.0.content.0.document is malformed",
		user(`{"cachePoint":{"type":"default"}},{"text":"a"}`):                                                 "messages.0.content.0.cachePoint",
		user(`{"text":"a"},{"cachePoint":{"type":"default"}},{"cachePoint":{"type":"default"}}`):               "messages.0.content.2.cachePoint",
		user(`{"reasoningContent":{"reasoningText":{"text":"a"}}},{"cachePoint":{"type":"default"}}`):          "messages.0.content.1.cachePoint",
		user(`{"citationsContent":{"content":[{"text":"a"}],"citations":[{"location":{"web":{"url":"u"}}}]}}`): "messages.0.content.0.citationsContent.citations.0.location",
		user(`{"citationsContent":{"content":[{"text":"a"}],"citations":[{"title":"u"}]}}`):                    "messages.0.content.0.citationsContent.citations.0 without a location",
		user(`{"toolUse":{"toolUseId":"t","name":"f","input":{},"type":"server_tool_use"}}`):                   "messages.0.content.0.toolUse.type",
		user(`{"toolResult":{"toolUseId":"t","content":[],"type":"x"}}`):                                       "messages.0.content.0.toolResult.type",
		result(`{"video":{"format":"mp4","source":{"bytes":"AAAA"}}}`):                                         "messages.0.content.0.toolResult.content.0.video",
		result(`{"text":"a"},{}`):                                                                                                       "messages.0.content.0.toolResult.content.1.an empty content block",
		`{"system":[{"cachePoint":{"type":"default"}}],` + hi + `}`:                                                                     "system.0.cachePoint",
		`{"system":[{"guardContent":{"text":{"text":"a"}}}],` + hi + `}`:                                                                "system.0.guardContent",
		`{` + hi + `,"toolConfig":{"tools":[{"cachePoint":{"type":"default"}}]}}`:                                                       "toolConfig.tools.0.cachePoint",
		`{` + hi + `,"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}}`:                                                "toolConfig.tools.0.systemTool",
		`{` + hi + `,"serviceTier":{"type":"flex"}}`:                                                                                    "serviceTier.flex",
		`{` + hi + `,"serviceTier":{"type":"priority"}}`:                                                                                "serviceTier.priority",
		`{` + hi + `,"performanceConfig":{"latency":"optimized"}}`:                                                                      "performanceConfig.latency.optimized",
		`{` + hi + `,"guardrailConfig":{"guardrailIdentifier":"g","guardrailVersion":"1"}}`:                                             "guardrailConfig",
		`{` + hi + `,"promptVariables":{"a":{"text":"b"}}}`:                                                                             "promptVariables",
		`{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{}}}}`:                                              "outputConfig.textFormat.json_schema",
		`{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"[1]"}}}}}`:                 "outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object",
		`{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{} x"}}}}}`:                "outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object",
		`{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":" ","description":"d"}}}}}`: "outputConfig.textFormat.structure.jsonSchema.schema is not a JSON object",
		`{` + hi + `,"additionalModelRequestFields":[]}`:                                                                                "additionalModelRequestFields is not a JSON object",
		extra(`"model":"m"`):                              "additionalModelRequestFields.model",
		extra(`"stream":true`):                            "additionalModelRequestFields.stream",
		extra(`"messages":[]`):                            "additionalModelRequestFields.messages",
		extra(`"system":"a"`):                             "additionalModelRequestFields.system",
		extra(`"max_tokens":1`):                           "additionalModelRequestFields.max_tokens",
		extra(`"temperature":1`):                          "additionalModelRequestFields.temperature",
		extra(`"top_p":1`):                                "additionalModelRequestFields.top_p",
		extra(`"stop_sequences":[]`):                      "additionalModelRequestFields.stop_sequences",
		extra(`"service_tier":"auto"`):                    "additionalModelRequestFields.service_tier",
		extra(`"output_format":{}`):                       "additionalModelRequestFields.output_format",
		extra(`"output_config":{"format":{}}`):            "additionalModelRequestFields.output_config.format",
		extra(`"output_config":1`):                        "additionalModelRequestFields.output_config is not a JSON object",
		extra(`"tool_choice":{"type":"auto"}`):            "additionalModelRequestFields.tool_choice",
		extra(`"tool_choice":{"type":"any","name":"f"}`):  "additionalModelRequestFields.tool_choice",
		extra(`"tool_choice":1`):                          "additionalModelRequestFields.tool_choice is malformed",
		extra(`"tools":[{"name":"g","input_schema":{}}]`): "additionalModelRequestFields.tools",
		extra(`"tools":{}`):                               "additionalModelRequestFields.tools is malformed",
		extra(`"tools":[{"type":"web_search_20250305","name":"web_search"}]`): `additionalModelRequestFields.tools.0 of type "web_search_20250305"`,
		extra(`"anthropic_beta":[1]`):                                         "additionalModelRequestFields.anthropic_beta is malformed",
		extra(`"anthropic_beta":["a\r\nX-Evil: 1"]`):                          "additionalModelRequestFields.anthropic_beta is not a list of names",
		extra(`"anthropic_beta":["` + strings.Repeat("a", 5000) + `"]`):       "additionalModelRequestFields.anthropic_beta is not a list of names",
	} {
		got, err := AppendRequest(nil, conversetest.Request(t, body), "m", false, "up")
		if f := fault.From(err); f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, want) {
			t.Errorf("%s\ngives %s, %v\nwant %q", body, got, err, want)
		}
	}
	_, err := AppendRequest(nil, conversetest.Request(t, `{`+hi+`,"promptVariables":{}}`), "m", false, "claude-eu")
	if err == nil || !strings.Contains(err.Error(), `"claude-eu"`) {
		t.Errorf("%v does not name the upstream", err)
	}
}

// TestRoundTrip: a body that InvokeModel takes comes out as it went in, but for what says the same in another way.
func TestRoundTrip(t *testing.T) {
	for _, body := range []string{
		head + `"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}`,
		head + `"temperature":0.5,"top_p":0.9,"stop_sequences":["a"],"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}},{"type":"image","source":{"type":"base64","media_type":"image/webp","data":"UklGRg=="}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="},"title":"T","context":"C"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a"},"title":"U","cache_control":{"type":"ephemeral","ttl":"5m"}}]}],"top_k":5,"thinking":{"type":"enabled","budget_tokens":1024},"metadata":{"user_id":"u"},"anthropic_beta":["b"]}`,
		head + `"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm.","signature":"s"},{"type":"redacted_thinking","data":"AAEC"},{"type":"tool_use","id":"t1","name":"f","input":{"x":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"R0lG"}}],"cache_control":{"type":"ephemeral"}}]}],"tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true,"cache_control":{"type":"ephemeral"}},{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}}}`,
	} {
		r, err := ParseRequest([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := AppendRequest(nil, r, "m", false, "up")
		if err != nil {
			t.Fatal(err)
		}
		conversetest.Same(t, string(got), body)
	}
}

// TestCitationsRoundTrip: the citations of an answer go back as they came.
func TestCitationsRoundTrip(t *testing.T) {
	const text = `{"type":"text","text":"the grass is green","citations":[
		{"type":"char_location","document_index":0,"start_char_index":0,"end_char_index":20,"document_title":"Example Document","cited_text":"The grass is green."},
		{"type":"page_location","document_index":1,"start_page_number":5,"end_page_number":6,"document_title":null,"cited_text":"Water"},
		{"type":"content_block_location","document_index":2,"start_block_index":0,"end_block_index":1,"document_title":"c","cited_text":"a"},
		{"type":"search_result_location","search_result_index":3,"start_block_index":0,"end_block_index":1,"source":"https://docs.example","title":"API","cited_text":"k"}]}`
	var d Decoder
	es, err := decode(&d, `{"type":"message","content":[`+text+`],"stop_reason":"end_turn"}`)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := converse.Collect(func(yield func(converse.Event, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := conversetest.Request(t, `{"messages":[{"role":"user","content":[{"text":"a"}]}]}`)
	r.Messages = append(r.Messages, converse.Message{Role: converse.RoleAssistant, Content: answer.Content})
	got, err := AppendRequest(nil, r, "m", false, "up")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[` + text + `]}]}`
	conversetest.Same(t, string(got), body)
	// From a caller who speaks Messages, and to one.
	if r, err = ParseRequest([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if got, err = AppendRequest(nil, r, "m", false, "up"); err != nil {
		t.Fatal(err)
	}
	conversetest.Same(t, string(got), body)
	var whole struct{ Content jsontext.Value }
	if err := json.Unmarshal(AppendResponse(nil, &converse.AnswerInfo{}, answer), &whole, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	conversetest.Same(t, string(whole.Content), `[`+text+`]`)
	var cited []string
	for _, e := range encode(new(StreamEncoder), es) {
		if c, ok := strings.CutPrefix(e, `{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":`); ok {
			cited = append(cited, strings.TrimSuffix(c, `}}`))
		}
	}
	conversetest.Same(t, `{"type":"text","text":"the grass is green","citations":[`+strings.Join(cited, ",")+`]}`, text)
}

// FuzzRoundTrip: what AppendRequest writes of a body, ParseRequest reads, and the second time nothing changes any more.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(head + `"system":"a","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"document","source":{"type":"text","data":"a"},"cache_control":{"type":"ephemeral"}}]}],"tools":[{"name":"f","input_schema":{}},{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}},"top_k":1,"anthropic_beta":["a"]}`))
	f.Add([]byte(head + `"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a.b:c","name":"f","input":{}},{"type":"thinking","thinking":"a"},{"type":"redacted_thinking","data":"AAAA"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a.b:c","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var last []byte
		for i := range 3 {
			r, err := ParseRequest(body)
			if err != nil && i == 0 {
				return
			} else if err != nil {
				t.Fatalf("%s is refused: %v", body, err)
			}
			out, err := AppendRequest(nil, r, "m", false, "up")
			if err != nil {
				if i > 0 || !fault.Is(err, fault.Validation) {
					t.Fatalf("%s: %v", body, err)
				}
				return
			}
			if !jsontext.Value(out).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("%s gives no JSON: %s", body, out)
			}
			if i > 1 && string(out) != string(last) {
				t.Fatalf("%s\nbecomes %s", last, out)
			}
			body, last = out, out
		}
	})
}
