package mistral

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

const (
	textModel = "mistral.mistral-7b-instruct-v0:2"
	chatModel = "mistral.mistral-large-2407-v1:0"
)

func quote(s string) string { return string(converse.AppendQuote(nil, s)) }

// TestParseText: the prompts are AWS's (userguide/model-parameters-mistral-text-completion.html), what pwshBedrock and
// aws-samples/mistral-on-aws write, and near misses.
func TestParseText(t *testing.T) {
	one := func(s string) string { return `{"messages":[{"role":"user","content":[{"text":` + quote(s) + `}]}]}` }
	for prompt, want := range map[string]string{
		"<s>[INST] What is your favourite condiment? [/INST]": one("What is your favourite condiment?"),
		"<s>[INST] What is your favourite condiment? [/INST] Well, I'm quite partial to lemon juice.</s> [INST] Do you have mayonnaise recipes? [/INST]": `{"messages":[{"role":"user","content":[{"text":"What is your favourite condiment?"}]},{"role":"assistant","content":[{"text":"Well, I'm quite partial to lemon juice."}]},{"role":"user","content":[{"text":"Do you have mayonnaise recipes?"}]}]}`,
		"<s>[INST] Who? [/INST]\nCaptain Picard.</s>\n[INST] Oh, Why? [/INST]\n":                                                                         `{"messages":[{"role":"user","content":[{"text":"Who?"}]},{"role":"assistant","content":[{"text":"Captain Picard."}]},{"role":"user","content":[{"text":"Oh, Why?"}]}]}`,
		"\n    <s>[INST]Extract the keywords.\n    [/INST]\n    ":                                                                                        one("Extract the keywords."),
		"<s>[INST] a [/INST] Sure, ":                             `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"Sure, "}]}]}`,
		"[INST]a[/INST]b[INST]c[/INST]":                          `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]},{"role":"user","content":[{"text":"c"}]}]}`,
		"[INST]a[/INST]b</s><s>[INST]c[/INST]":                   `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]},{"role":"user","content":[{"text":"c"}]}]}`,
		"<s>[INST]  a\n [/INST]":                                 one(" a\n"),
		"Say this is a test":                                     one("Say this is a test"),
		"Preface. [INST] a [/INST]":                              one("Preface. [INST] a [/INST]"),
		"[INST] a":                                               one("[INST] a"),
		"[INST] a [INST] b [/INST]":                              one("[INST] a [INST] b [/INST]"),
		"[INST] a [/INST] b</s> c":                               one("[INST] a [/INST] b</s> c"),
		"[INST] a [/INST][INST] b [/INST]":                       one("[INST] a [/INST][INST] b [/INST]"),
		"[INST] a [/INST] b </s> x [INST] c [/INST]":             one("[INST] a [/INST] b </s> x [INST] c [/INST]"),
		strings.Repeat("[INST]a[/INST]b", maxItems/2) + "[INST]": one(strings.Repeat("[INST]a[/INST]b", maxItems/2) + "[INST]"),
		"[INST]  [/INST] b":                                      one("[INST]  [/INST] b"),
	} {
		r, err := ParseRequest([]byte(`{"prompt":` + quote(prompt) + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := conversetest.Marshal(t, r); got != want {
			t.Errorf("%q: %s\nwant %s", prompt, got, want)
		}
	}
	// The request recorded by opentelemetry-python-contrib (test_invoke_model_with_content[mistral.mistral].yaml), and top_k.
	r, err := ParseRequest([]byte(`{"prompt":"Say this is a test","max_tokens":10,"temperature":0.8,"top_p":1,"stop":["|"],"top_k":50}`))
	if err != nil || conversetest.Marshal(t, r.InferenceConfig)+string(r.AdditionalModelRequestFields) != `{"maxTokens":10,"temperature":0.8,"topP":1,"stopSequences":["|"]}{"top_k":50}` {
		t.Errorf("%v %s", err, conversetest.Marshal(t, r))
	}
}

// TestParseChat: the bodies are those of AWS's page (userguide/model-parameters-mistral-chat-completion.html), with the
// values that its members name, and a picture as Mistral's own API takes it (docs.mistral.ai, "Vision").
func TestParseChat(t *testing.T) {
	const (
		tools = `"tools":[{"type":"function","function":{"name":"top_song","description":"Get the most popular song","parameters":{"type":"object","properties":{"sign":{"type":"string"}}}}}]`
		spec  = `"toolConfig":{"tools":[{"toolSpec":{"name":"top_song","description":"Get the most popular song","inputSchema":{"json":{"type":"object","properties":{"sign":{"type":"string"}}}}}}]`
		ask   = `"messages":[{"role":"user","content":"What?"}]`
		asked = `"messages":[{"role":"user","content":[{"text":"What?"}]}]`
	)
	for name, c := range map[string]struct{ body, want string }{
		"one turn": {`{"messages":[{"role":"user","content":"which llm are you?"}],"max_tokens":10,"top_p":0.9,"temperature":0.5}`,
			`{"messages":[{"role":"user","content":[{"text":"which llm are you?"}]}],"inferenceConfig":{"maxTokens":10,"topP":0.9,"temperature":0.5}}`},
		"a tool and its result": {`{"messages":[{"role":"system","content":"S"},{"role":"user","content":"What is the most popular song on WZPZ?"},` +
			`{"role":"assistant","content":"","tool_calls":[{"id":"v6RMMiRlT7ygYkT4uULjtg","function":{"name":"top_song","arguments":"{\"sign\": \"WZPZ\"}"}},{"id":"b","type":"function","index":1,"function":{"name":"top_song","arguments":{"sign":"X"}}}]},` +
			`{"role":"tool","tool_call_id":"v6RMMiRlT7ygYkT4uULjtg","name":"top_song","content":"{\"song\": \"Elemental Hotel\"}"},{"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"none"}]},{"role":"user","content":"And?"}],` + tools + `,"tool_choice":"auto"}`,
			`{"messages":[{"role":"user","content":[{"text":"What is the most popular song on WZPZ?"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"v6RMMiRlT7ygYkT4uULjtg","name":"top_song","input":{"sign": "WZPZ"}}},{"toolUse":{"toolUseId":"b","name":"top_song","input":{"sign":"X"}}}]},` +
				`{"role":"user","content":[{"toolResult":{"toolUseId":"v6RMMiRlT7ygYkT4uULjtg","content":[{"text":"{\"song\": \"Elemental Hotel\"}"}]}},{"toolResult":{"toolUseId":"b","content":[{"text":"none"}]}},{"text":"And?"}]}],"system":[{"text":"S"}],` + spec + `,"toolChoice":{"auto":{}}}}`},
		"any tool":           {`{` + ask + `,` + tools + `,"tool_choice":"any"}`, `{` + asked + `,` + spec + `,"toolChoice":{"any":{}}}}`},
		"this tool":          {`{` + ask + `,` + tools + `,"tool_choice":{"type":"function","function":{"name":"top_song"}}}`, `{` + asked + `,` + spec + `,"toolChoice":{"tool":{"name":"top_song"}}}}`},
		"no tool":            {`{` + ask + `,` + tools + `,"tool_choice":"none"}`, `{` + asked + `}`},
		"no more tools":      {`{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"x","function":{"name":"top_song","arguments":""}}]},{"role":"tool","tool_call_id":"x","content":"b"}],` + tools + `,"tool_choice":"none","a":1}`, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"x","name":"top_song","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"x","content":[{"text":"b"}]}}]}],` + spec + `},"additionalModelRequestFields":{"a":1,"tool_choice":"none"}}`},
		"a tool of nothing":  {`{` + ask + `,"tools":[{"type":"function","function":{"name":"f"}}]}`, `{` + asked + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{}}}}}]}}`},
		"a picture":          {`{"messages":[{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"image_url","image_url":"data:image/jpg;base64,AAAA"}]}]}`, `{"messages":[{"role":"user","content":[{"text":"What?"},{"image":{"format":"png","source":{"bytes":"AAAA"}}},{"image":{"format":"jpeg","source":{"bytes":"AAAA"}}}]}]}`},
		"members of its own": {`{` + ask + `,"stop":"X","safe_prompt":true,"random_seed":7}`, `{` + asked + `,"inferenceConfig":{"stopSequences":["X"]},"additionalModelRequestFields":{"safe_prompt":true,"random_seed":7}}`},
		"one role twice":     {`{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"}],"stop":["X","Y"]}`, `{"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]},{"role":"assistant","content":[{"text":"c"}]}],"inferenceConfig":{"stopSequences":["X","Y"]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if got := conversetest.Marshal(t, r); got != conversetest.Marshal(t, conversetest.Request(t, c.want)) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if err := r.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIsChat(t *testing.T) {
	for body, want := range map[string]bool{
		`{"messages":[`: true, `{"prompt":"a","x":{"messages":1}}`: false, ` {"max_tokens":[{}],"messages":5}`: true, `{}`: false, `[]`: false, ``: false, `{"a":`: false, `{"a`: false,
	} {
		if IsChat([]byte(body)) != want {
			t.Errorf("%s: %t", body, !want)
		}
	}
}

// TestMalformed: the first is Bedrock's own, as those report it who sent Titan's body to Mistral 7B; the others follow
// its form.
func TestMalformed(t *testing.T) {
	chat := func(messages string) string { return `{"messages":[` + messages + `]}` }
	for body, want := range map[string]string{
		`{"inputText":"a"}`:                           "#: required key [prompt] not found#: extraneous key [inputText] is not permitted",
		`{"prompt":""}`:                               "#/prompt: expected minLength: 1, actual: 0",
		`{"prompt":5}`:                                "#/prompt: expected type: String, found: Number",
		`{"prompt":"a","stop":"b"}`:                   "#/stop: expected type: JSONArray, found: String",
		`{"prompt":"a","top_k":"5"}`:                  "#/top_k: expected type: Integer, found: String",
		`{"prompt":"a","max_tokens":0}`:               "#/max_tokens: 0 is not greater or equal to 1",
		`{"prompt":"a","max_tokens":1.5}`:             "#/max_tokens: expected type: Integer, found: Number",
		`{"prompt":"a","temperature":1.5,"top_p":-1}`: "#/temperature: 1.5 is not less or equal to 1#/top_p: -1 is not greater or equal to 0",
		`{"prompt":"a"`:                               "Unexpected end of input",
		`{"prompt":"a","stop":[` + strings.Repeat(`"",`, maxStops) + `""]}`: "#/stop: expected maximum item count: 2500, found: 2501",
		chat(``):                 "#/messages: expected minimum item count: 1, found: 0",
		`{"messages":"a"}`:       "#/messages: expected type: JSONArray, found: String",
		chat(`{}`):               "#/messages/0: required key [role] not found",
		chat(`{"role":"robot"}`): "#/messages/0/role: robot is not a valid enum value",
		chat(`{"role":"user","prefix":true,"name":"x","tool_call_id":"y"}`):                                    "#/messages/0: extraneous key [prefix] is not permitted#/messages/0: extraneous key [name] is not permitted#/messages/0: extraneous key [tool_call_id] is not permitted",
		chat(`{"role":"user","tool_calls":[{"id":"a","function":{"name":"f"},"x":1}]}`):                        "#/messages/0: extraneous key [tool_calls] is not permitted#/messages/0/tool_calls/0: extraneous key [x] is not permitted",
		chat(`{"role":"user","content":[{}]}`):                                                                 "#/messages/0/content/0: required key [type] not found",
		chat(`{"role":"user","content":[{"type":"text"}]}`):                                                    "#/messages/0/content/0: required key [text] not found",
		chat(`{"role":"user","content":[{"type":"video"}]}`):                                                   "#/messages/0/content/0/type: video is not a valid enum value",
		chat(`{"role":"user","content":[{"type":"text","text":"a","x":1}]}`):                                   "#/messages/0/content/0: extraneous key [x] is not permitted",
		chat(`{"role":"user","content":[{"type":"image_url","image_url":"https://x"}]}`):                       "#/messages/0/content/0/image_url: the image is not a data URL in base64 of a png, jpeg, gif or webp",
		chat(`{"role":"assistant","content":[{"type":"image_url","image_url":"data:image/png;base64,AAAA"}]}`): "#/messages/0/content/0/type: image_url is not a valid enum value",
		chat(`{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]}`):                                  "#/messages/0/tool_calls/0: required key [id] not found",
		chat(`{"role":"assistant","tool_calls":[{}]}`):                                                         "#/messages/0/tool_calls/0: required key [function] not found",
		chat(`{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}`):         "#/messages/0/tool_calls/0/function/arguments: the string is not JSON",
		chat(`{"role":"tool","content":"a"}`):                                                                  "#/messages/0: required key [tool_call_id] not found",
		chat(`{"role":"user","content":"a"},{"role":"system","content":"b"}`):                                  "#/messages/1/role: a system message must come first",
		`{"messages":[{"role":"user"}],"tools":[{"type":"function"}]}`:                                         "#/tools/0: required key [function] not found",
		`{"messages":[{"role":"user"}],"tools":[{"type":"x","function":{"name":"f"}}]}`:                        "#/tools/0/type: x is not a valid enum value",
		`{"messages":[{"role":"user"}],"tools":[{"function":{"name":"f","x":1}}]}`:                             "#/tools/0/function: extraneous key [x] is not permitted",
		`{"messages":[{"role":"user"}],"tools":[{"function":{"name":"f","parameters":[]}}]}`:                   "#/tools/0/function/parameters: expected type: JSONObject, found: JSONArray",
		`{"messages":[{"role":"user"}],"tool_choice":"x"}`:                                                     "#/tool_choice: x is not a valid enum value",
		`{"messages":[{"role":"user"}],"tool_choice":5}`:                                                       "#/tool_choice: expected type: String, found: Number",
		`{"messages":[{"role":"user"}],"stop":5}`:                                                              "#/stop: expected type: JSONArray, found: Number",
	} {
		_, err := ParseRequest([]byte(body))
		f := fault.From(err)
		if f == nil || f.Kind != fault.Validation || f.Message != "Malformed input request: "+want+", please reformat your input and try again." {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	many := strings.Repeat(`{"role":"user"},`, maxItems)
	if _, err := ParseRequest([]byte(chat(many + `{"role":"user"}`))); err == nil || !strings.Contains(err.Error(), "#/messages: expected maximum item count: 10000,") {
		t.Errorf("%v", err)
	}
	if _, err := ParseRequest([]byte(chat(many[:len(many)-1]))); err != nil {
		t.Error(err)
	}
	if _, err := ParseRequest([]byte(`nonsense`)); !fault.Is(err, fault.Validation) {
		t.Errorf("%v, want a Validation fault", err)
	}
}

// TestAppendRequest compares with the bodies on AWS's pages, by hand.
func TestAppendRequest(t *testing.T) {
	const inference = `"inferenceConfig":{"maxTokens":5,"temperature":0.5,"topP":1,"stopSequences":["x","y"]},"additionalModelRequestFields":{"top_k":50}`
	for name, c := range map[string]struct{ model, request, want string }{
		"text": {textModel, `{"messages":[{"role":"user","content":[{"text":"What is your favourite condiment?"}]},{"role":"assistant","content":[{"text":"Well, \"lemon\"."},{"cachePoint":{"type":"default"}}]},{"role":"user","content":[{"text":"a"},{"text":"b"}]}],` + inference + `}`,
			`{"prompt":"<s>[INST] What is your favourite condiment? [/INST] Well, \"lemon\".</s> [INST] a\nb [/INST]","max_tokens":5,"temperature":0.5,"top_p":1,"stop":["x","y"],"top_k":50}`},
		"an answer begun": {"mistral.mixtral-8x7b-instruct-v0:1", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b "}]}]}`, `{"prompt":"<s>[INST] a [/INST] b "}`},
		"chat": {chatModel, `{"system":[{"text":"S"},{"text":"T"}],"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]}],` + inference + `}`,
			`{"messages":[{"role":"system","content":"S\nT"},{"role":"user","content":"a\nb"}],"max_tokens":5,"temperature":0.5,"top_p":1,"stop":["x","y"],"top_k":50}`},
		"tools": {"mistral.mistral-large-2402-v1:0", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"},{"toolUse":{"toolUseId":"x","name":"f","input":{"c": 1}}},{"toolUse":{"toolUseId":"y","name":"g","input":{}}}]},` +
			`{"role":"user","content":[{"text":"d"},{"toolResult":{"toolUseId":"x","content":[{"text":"e"},{"json":{"g": 1}}]}},{"toolResult":{"toolUseId":"y","content":[],"status":"error"}}]}],` +
			`"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"F","inputSchema":{"json":{"type":"object"}}}},{"toolSpec":{"name":"g","inputSchema":{"json":{}}}}],"toolChoice":{"any":{}}}}`,
			`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"c\": 1}"}},{"id":"y","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
				`{"role":"tool","tool_call_id":"x","content":"e\n{\"g\":1}"},{"role":"tool","tool_call_id":"y","content":"Error: "},{"role":"user","content":"d"}],` +
				`"tools":[{"type":"function","function":{"name":"f","description":"F","parameters":{"type":"object"}}},{"type":"function","function":{"name":"g","parameters":{}}}],"tool_choice":"any"}`},
		"this tool": {chatModel, `{"messages":[{"role":"user","content":[{"text":"a"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}},{"toolSpec":{"name":"g","inputSchema":{"json":{}}}}],"toolChoice":{"tool":{"name":"g"}}}}`,
			`{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"g","parameters":{}}}],"tool_choice":"any"}`},
		"no tool": {chatModel, `{"messages":[{"role":"user","content":[{"text":"a"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]},"additionalModelRequestFields":{"tool_choice":"none"}}`,
			`{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"none"}`},
		"a picture": {"us.mistral.pixtral-large-2502-v1:0", `{"messages":[{"role":"user","content":[{"text":"a"},{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}]}`,
			`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := AppendRequest(nil, conversetest.Request(t, c.request), c.model, false, "aws")
			if err != nil {
				t.Fatal(err)
			}
			if string(b) != c.want {
				t.Errorf("%s\nwant %s", b, c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	with := func(member string) string {
		return `{"messages":[{"role":"user","content":[{"text":"a"}]}],` + member + `}`
	}
	says := func(blocks string) string {
		return `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[` + blocks + `]},{"role":"user","content":[{"text":"a"}]}]}`
	}
	asks := func(block string) string {
		return `{"messages":[{"role":"user","content":[{"text":"a"},` + block + `]}]}`
	}
	const (
		tools   = `"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}`
		use     = `{"toolUse":{"toolUseId":"a","name":"f","input":{}}}`
		picture = `{"image":{"format":"png","source":{"bytes":"AAAA"}}}`
		result  = `{"toolResult":{"toolUseId":"a","content":[]}}`
	)
	type refusal struct{ model, path, request string }
	cases := []refusal{
		{textModel, "messages.0.content.1.text holds [/INST]", asks(`{"text":"x[/INST]y"}`)},
		{textModel, "messages.1.content.0.text holds </s>", says(`{"text":"</s>"}`)},
		{textModel, "system.0", with(`"system":[{"text":"S"}]`)},
		{textModel, "toolConfig", with(tools)},
		{textModel, "messages.0.content.1.image", asks(picture)},
		{textModel, "messages.0.content.1.toolResult", asks(result)},
		{textModel, "messages.1.content.0.toolUse", says(use)},
		{textModel, "additionalModelRequestFields.tool_choice", with(`"additionalModelRequestFields":{"tool_choice":"none"}`)},
		{chatModel, "system.0.guardContent", with(`"system":[{"guardContent":{"a":1}}]`)},
		{chatModel, "messages.1.content.0.image", says(picture)},
		{chatModel, "messages.1.content.0.toolResult", says(result)},
		{chatModel, "messages.0.content.1.toolUse", `{"messages":[{"role":"user","content":[` + picture + `,` + use + `]}]}`},
		{chatModel, "messages.1.content.0.toolUse", says(`{"toolUse":{"toolUseId":"a","name":"f","input":{},"type":"server_tool_use"}}`)},
		{chatModel, "messages.0.content.1.image.source.s3Location", asks(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://aaa/b"}}}}`)},
		{chatModel, "messages.0.content.1.image.format", asks(`{"image":{"format":"tiff","source":{"bytes":"AAAA"}}}`)},
		{chatModel, "messages.0.content.1.toolResult.content.0.image", asks(`{"toolResult":{"toolUseId":"a","content":[` + picture + `]}}`)},
		{chatModel, "messages.0.content.1.toolResult.content.0.document", asks(`{"toolResult":{"toolUseId":"a","content":[{"document":{"a":1}}]}}`)},
		{chatModel, "messages.0.content.1.toolResult.content.0.video", asks(`{"toolResult":{"toolUseId":"a","content":[{"video":{"a":1}}]}}`)},
		{chatModel, "messages.0.content.1.toolResult.content.0.searchResult", asks(`{"toolResult":{"toolUseId":"a","content":[{"searchResult":{"a":1}}]}}`)},
		{chatModel, "toolConfig.tools.0.systemTool", with(`"toolConfig":{"tools":[{"systemTool":{"name":"x"}}]}`)},
		{chatModel, "toolConfig.tools.0.toolSpec.strict", with(`"toolConfig":{"tools":[{"toolSpec":{"name":"f","strict":true,"inputSchema":{"json":{}}}}]}`)},
		{chatModel, "additionalModelRequestFields.tool_choice", with(`"additionalModelRequestFields":{"tool_choice":"none"}`)},
	}
	for _, model := range []string{textModel, chatModel} {
		for _, c := range []struct{ path, request string }{
			{"messages.0.content.1.document", asks(`{"document":{"a":1}}`)},
			{"messages.0.content.1.video", asks(`{"video":{"a":1}}`)},
			{"messages.0.content.1.audio", asks(`{"audio":{"a":1}}`)},
			{"messages.0.content.1.guardContent", asks(`{"guardContent":{"a":1}}`)},
			{"messages.0.content.1.searchResult", asks(`{"searchResult":{"a":1}}`)},
			{"messages.1.content.0.reasoningContent", says(`{"reasoningContent":{"reasoningText":{"text":"a"}}}`)},
			{"messages.1.content.0.citationsContent", says(`{"citationsContent":{"a":1}}`)},
			{"outputConfig.textFormat", with(`"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}`)},
			{"guardrailConfig", with(`"guardrailConfig":{"a":1}`)},
			{"promptVariables", with(`"promptVariables":{"a":1}`)},
			{"serviceTier.flex", with(`"serviceTier":{"type":"flex"}`)},
			{"performanceConfig.latency.optimized", with(`"performanceConfig":{"latency":"optimized"}`)},
			{"additionalModelRequestFields.prompt", with(`"additionalModelRequestFields":{"prompt":"x"}`)},
			{"additionalModelRequestFields.messages", with(`"additionalModelRequestFields":{"messages":[]}`)},
			{"additionalModelRequestFields.tools", with(`"additionalModelRequestFields":{"tools":[]}`)},
			{"additionalModelRequestFields.n", with(`"additionalModelRequestFields":{"n":2}`)},
			{"additionalModelRequestFields.max_tokens", with(`"inferenceConfig":{"maxTokens":1},"additionalModelRequestFields":{"max_tokens":2}`)},
			{"additionalModelRequestFields.temperature", with(`"inferenceConfig":{"temperature":1},"additionalModelRequestFields":{"temperature":1}`)},
			{"additionalModelRequestFields.top_p", with(`"inferenceConfig":{"topP":1},"additionalModelRequestFields":{"top_p":1}`)},
			{"additionalModelRequestFields.stop", with(`"inferenceConfig":{"stopSequences":["a"]},"additionalModelRequestFields":{"stop":[]}`)},
			{"additionalModelRequestFields is not", with(`"additionalModelRequestFields":[1]`)},
		} {
			cases = append(cases, refusal{model, c.path, c.request})
		}
	}
	for _, c := range cases {
		_, err := AppendRequest(nil, conversetest.Request(t, c.request), c.model, false, "aws")
		f := fault.From(err)
		if f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, c.path) || strings.Contains(f.Message, "upstream") && !strings.Contains(f.Message, `"aws"`) {
			t.Errorf("%s: %v, want a Validation fault of %s", c.model, err, c.path)
		}
	}
}

// TestRoundTrip: a conversation written and read is the same, to the letter. A tool result's text that is JSON stays a text.
func TestRoundTrip(t *testing.T) {
	const tools = `"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"F","inputSchema":{"json":{"type":"object"}}}}]`
	for _, c := range []struct {
		models  []string
		request string
	}{
		{[]string{textModel, chatModel}, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":7,"temperature":0,"topP":0.25,"stopSequences":["a"]},"additionalModelRequestFields":{"top_k":5}}`},
		{[]string{textModel, chatModel}, `{"messages":[{"role":"user","content":[{"text":" \n a\n\n"}]},{"role":"assistant","content":[{"text":"\n\n b "}]},{"role":"user","content":[{"text":"é😀 \"q\" \\ <s>"}]}]}`},
		{[]string{textModel, chatModel}, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":" b "}]}]}`},
		{[]string{chatModel}, `{"messages":[{"role":"user","content":[{"text":"a"},{"image":{"format":"webp","source":{"bytes":"AAAA"}}},{"text":"[INST]"}]}],"system":[{"text":" S\n"}]}`},
		{[]string{chatModel}, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"},{"toolUse":{"toolUseId":"x","name":"f","input":{"c":1}}},{"toolUse":{"toolUseId":"y","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"x","content":[{"text":"{\"a\":1}"}]}},{"toolResult":{"toolUseId":"y","content":[{"text":"c"}]}},{"text":"d"}]}],` + tools + `,"toolChoice":{"auto":{}}}}`},
		{[]string{chatModel}, `{"messages":[{"role":"user","content":[{"text":"a"}]}],` + tools + `,"toolChoice":{"any":{}}},"additionalModelRequestFields":{"x":{"y":[1]}}}`},
	} {
		for _, model := range c.models {
			want := conversetest.Request(t, c.request)
			b, err := AppendRequest(nil, want, model, false, "aws")
			if err != nil {
				t.Fatal(err)
			}
			if IsChat(b) != (model == chatModel) {
				t.Errorf("%s for %s", b, model)
			}
			got, err := ParseRequest(b)
			if err != nil {
				t.Fatal(err)
			}
			if conversetest.Marshal(t, got) != conversetest.Marshal(t, want) {
				t.Errorf("%s\n%s\nwant %s", b, conversetest.Marshal(t, got), conversetest.Marshal(t, want))
			}
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"prompt":"<s>[INST] a [/INST] b</s> [INST] c [/INST] d","max_tokens":5,"top_k":1}`))
	f.Add([]byte(`{"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],"stop":"x","y":1}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"x","content":"b"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"any"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Errorf("%v", err)
			}
			return
		}
		text := !IsChat(body)
		if err := r.Check(); err != nil {
			if text || !fault.Is(err, fault.Validation) {
				t.Fatalf("accepted %q, but %v", body, err)
			}
			return
		}
		for _, model := range []string{textModel, chatModel} {
			b, err := AppendRequest(nil, r, model, true, "u")
			if err != nil {
				if !fault.Is(err, fault.Validation) {
					t.Errorf("%v", err)
				}
				continue
			}
			if !jsontext.Value(b).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("%s", b)
			}
			again, err := ParseRequest(b)
			if err != nil {
				if text || model == chatModel { // text completion has no members of its own
					t.Errorf("%s: %v", b, err)
				}
			} else if text && conversetest.Marshal(t, again) != conversetest.Marshal(t, r) {
				t.Errorf("%s\n%s\nwant %s", b, conversetest.Marshal(t, again), conversetest.Marshal(t, r))
			}
		}
	})
}
