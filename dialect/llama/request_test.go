package llama

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

const (
	model2      = "meta.llama2-13b-chat-v1"
	model30     = "meta.llama3-70b-instruct-v1:0"
	model31     = "us.meta.llama3-1-70b-instruct-v1:0"
	modelVision = "us.meta.llama3-2-11b-instruct-v1:0"
	model4      = "us.meta.llama4-scout-17b-instruct-v1:0"
)

func quote(s string) string { return string(converse.AppendQuote(nil, s)) }

const (
	pngHead = "\x89PNG\r\n\x1a\n"
	gif     = "GIF89a"
)

func base(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

const (
	weatherTool = `{
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {
                    "type": "string"
                }
            }
        }
    }
}`
	weatherSpec = `{"toolSpec":{"name":"get_weather","description":"The weather","inputSchema":{"json":{"type":"object","properties":{"city":{"type":"string"}}}}}}`
)

// TestParseRequest: the prompts are AWS's own examples (awsdocs/aws-doc-sdk-examples, bedrock-runtime/models/meta_llama,
// whose Python puts line breaks around everything; userguide/model-parameters-meta.html), what langchain-aws writes for
// Llama 2, the published templates (github.com/meta-llama/llama-models), and what the chat template of Llama 3.1 on
// huggingface.co renders, which carries dates and puts tools into the first turn of the user.
func TestParseRequest(t *testing.T) {
	toolsHead := "You have access to the following functions. To call a function, please respond with JSON for a function call." +
		`Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.Do not use variables.` + "\n\n"
	for name, c := range map[string]struct{ prompt, images, want string }{
		"AWS's example": {
			"\n<|begin_of_text|><|start_header_id|>user<|end_header_id|>\nDescribe the purpose of a 'hello world' program in one line.\n<|eot_id|>\n<|start_header_id|>assistant<|end_header_id|>\n", "",
			`{"messages":[{"role":"user","content":[{"text":"Describe the purpose of a 'hello world' program in one line."}]}]}`,
		},
		"Llama 3": {
			"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n Hi\n<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "",
			`{"messages":[{"role":"user","content":[{"text":" Hi\n"}]},{"role":"assistant","content":[{"text":"Hello."}]},{"role":"user","content":[{"text":"Bye"}]}],"system":[{"text":"Be brief."}]}`,
		},
		"an answer begun": {
			"<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nSure, ", "",
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"text":"Sure, "}]}]}`,
		},
		"Llama 4": {
			"<|begin_of_text|><|header_start|>system<|header_end|>\n\nS<|eot|><|header_start|>user<|header_end|>\n\nHi<|eot|><|header_start|>assistant<|header_end|>\n\n", "",
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"system":[{"text":"S"}]}`,
		},
		"Llama 2": {
			"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]", "",
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"text":"Hello."}]},{"role":"user","content":[{"text":"Bye"}]}],"system":[{"text":"Be brief."}]}`,
		},
		"Llama 2 as langchain writes it": {
			"[INST] <<SYS>> Be brief. <</SYS>> [/INST][INST] Hi [/INST]", "",
			`{"messages":[{"role":"user","content":[{"text":"[INST] <<SYS>> Be brief. <</SYS>> [/INST][INST] Hi [/INST]"}]}]}`, // two turns of the user
		},
		"Llama 2 without ends": {
			"[INST]Hi[/INST]Hello.[INST] Bye [/INST] Good", "",
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"text":"Hello."}]},{"role":"user","content":[{"text":"Bye"}]},{"role":"assistant","content":[{"text":"Good"}]}]}`,
		},
		// From the recorded request of newrelic-python-agent's tests (meta.llama2-13b-chat-v1).
		"Llama 2 with one turn": {
			"[INST] The following is a friendly conversation between a human and an AI.\n\nHuman: Hi there!\nAI: [/INST]", "",
			`{"messages":[{"role":"user","content":[{"text":"The following is a friendly conversation between a human and an AI.\n\nHuman: Hi there!\nAI:"}]}]}`,
		},
		"tools in the system turn": {
			"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n" + toolsHead + weatherTool + "\n\nBe brief.<|eot_id|>" +
				"<|start_header_id|>user<|end_header_id|>\n\nOslo?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Oslo\"}}<|eot_id|>" +
				"<|start_header_id|>ipython<|end_header_id|>\n\n{\"output\": \"rain\"}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "",
			`{"messages":[{"role":"user","content":[{"text":"Oslo?"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_1","name":"get_weather","input":{"city": "Oslo"}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"json":{"output": "rain"}}]}}]}],` +
				`"system":[{"text":"Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nBe brief."}],"toolConfig":{"tools":[` + weatherSpec + `]}}`,
		},
		"tools in the user's turn": {
			"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n" +
				"Given the following functions, please respond with a JSON for a function call with its proper arguments that best answers the given prompt.\n\n" + toolsHead[len(toolsHead)-len(toolsFormat):] + weatherTool + "\n\nOslo?<|eot_id|>" +
				"<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"get_weather\", \"parameters\": {}}<|eom_id|><|start_header_id|>ipython<|end_header_id|>\n\n\"rain\"<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|>", "",
			`{"messages":[{"role":"user","content":[{"text":"Oslo?"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_1","name":"get_weather","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"text":"rain"}]}},{"text":"And?"}]}],` +
				`"system":[{"text":"Be brief."}],"toolConfig":{"tools":[` + weatherSpec + `]}}`,
		},
		"a picture in its place": {
			"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<|image|>Describe<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", `["` + base(pngHead) + `"]`,
			`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"` + base(pngHead) + `"}}},{"text":"Describe"}]}]}`,
		},
		"two pictures": {
			"<|begin_of_text|><|header_start|>user<|header_end|>\n\nA <|image|><|image|> B<|eot|><|header_start|>assistant<|header_end|>\n\n", `["` + base(pngHead) + `","` + base(gif) + `"]`,
			`{"messages":[{"role":"user","content":[{"text":"A "},{"image":{"format":"png","source":{"bytes":"` + base(pngHead) + `"}}},{"image":{"format":"gif","source":{"bytes":"` + base(gif) + `"}}},{"text":" B"}]}]}`,
		},
		"a picture without a mark": {
			"<|start_header_id|>user<|end_header_id|>\n\nDescribe<|eot_id|>", `["` + base(pngHead) + `"]`,
			`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"` + base(pngHead) + `"}}},{"text":"Describe"}]}]}`,
		},
		"a picture and any other prompt": {
			"Describe", `["` + base("\xff\xd8\xff") + `"]`,
			`{"messages":[{"role":"user","content":[{"image":{"format":"jpeg","source":{"bytes":"/9j/"}}},{"text":"Describe"}]}]}`,
		},
		"any other prompt": {" What does 'lorem ipsum' mean?", "", `{"messages":[{"role":"user","content":[{"text":" What does 'lorem ipsum' mean?"}]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"prompt":` + quote(c.prompt)
			if c.images != "" {
				body += `,"images":` + c.images
			}
			r, err := ParseRequest([]byte(body + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := conversetest.Marshal(t, r); got != conversetest.Marshal(t, conversetest.Request(t, c.want)) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
	r, err := ParseRequest([]byte(`{"prompt":"a","max_gen_len":512,"temperature":0.5,"top_p":0.9,"images":[]}`))
	if err != nil || conversetest.Marshal(t, r.InferenceConfig) != `{"maxTokens":512,"temperature":0.5,"topP":0.9}` {
		t.Errorf("%v %s", err, conversetest.Marshal(t, r))
	}
}

// TestNoTemplate: what is nearly a template stays the one text that it is.
func TestNoTemplate(t *testing.T) {
	for _, prompt := range []string{
		"Before <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
		"<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|> after",
		"<|start_header_id|>user<|end_header_id|>\n\nHi",
		"<|start_header_id|>user<|end_header_id|>\n\nHi<|start_header_id|>assistant<|end_header_id|>\n\n",
		"<|start_header_id|>user",
		"<|start_header_id|>robot<|end_header_id|>\n\nHi<|eot_id|>",
		"<|start_header_id|>assistant<|end_header_id|>\n\nHi<|eot_id|>",
		"<|start_header_id|>user<|end_header_id|>\n\n \n<|eot_id|>",
		"<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nb<|eot_id|>",
		"<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>system<|end_header_id|>\n\nb<|eot_id|>",
		"<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"f\", \"parameters\": {}}<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\nb<|eot_id|>",
		"<s>[INST] Hi",
		"[INST] a [INST] b [/INST]",
		"[INST] a [/INST] b</s> c",
		"[INST] a <<SYS>> b <</SYS>> c [/INST] d",
		"x [INST] a [/INST]",
		strings.Repeat("[INST]a[/INST]b", maxTurns/2) + "[INST]c[/INST]",
		strings.Repeat("<|header_start|>user<|header_end|>\n\na<|eot|><|header_start|>assistant<|header_end|>\n\nb<|eot|>", maxTurns/2) + "<|header_start|>user<|header_end|>\n\nc<|eot|>",
	} {
		r, err := ParseRequest([]byte(`{"prompt":` + quote(prompt) + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Messages) == 1 && len(r.Messages[0].Content) == 1 && *r.Messages[0].Content[0].Text == prompt {
			continue
		}
		t.Errorf("%q: %s", prompt, conversetest.Marshal(t, r))
	}
}

// TestMalformed: the first two are Bedrock's own words, as those report them who sent messages to Llama 3 and Llama 4; the
// others follow their form.
func TestMalformed(t *testing.T) {
	for body, want := range map[string]string{
		`{"messages":[{"role":"user"}]}`: "#: required key [prompt] not found#: extraneous key [messages] is not permitted",
		`{}`:                             "#: required key [prompt] not found",
		`{"prompt":"a","max_tokens":5,"stop":[]}`:               "#: extraneous key [max_tokens] is not permitted#: extraneous key [stop] is not permitted",
		`{"prompt":"\n"}`:                                       "#/prompt: expected minLength: 1, actual: 0",
		`{"prompt":["a"]}`:                                      "#/prompt: expected type: String, found: JSONArray",
		`{"prompt":"a","max_gen_len":"5"}`:                      "#/max_gen_len: expected type: Integer, found: String",
		`{"prompt":"a","max_gen_len":0}`:                        "#/max_gen_len: 0 is not greater or equal to 1",
		`{"prompt":"a","temperature":2,"top_p":-0.5}`:           "#/temperature: 2 is not less or equal to 1#/top_p: -0.5 is not greater or equal to 0",
		`{"prompt":"a","temperature":true}`:                     "#/temperature: expected type: Number, found: Boolean",
		`{"prompt":"a","images":{}}`:                            "#/images: expected type: JSONArray, found: JSONObject",
		`{"prompt":"a","images":["AAAA"]}`:                      "#/images/0: the string is not an image in base64",
		`{"prompt":"a","images":["` + base(pngHead) + `","!"]}`: "#/images/1: the string is not an image in base64",
		`{"prompt":"<|image|>","images":["` + base(pngHead) + `","` + base(pngHead) + `"]}`: "#/images: expected item count: 1, found: 2",
		`{"prompt":"a","images":[` + strings.Repeat(`"",`, 20) + `""]}`:                     "#/images: expected maximum item count: 20, found: 21",
		`{"prompt":"a"`: "Unexpected end of input",
	} {
		_, err := ParseRequest([]byte(body))
		f := fault.From(err)
		if f == nil || f.Kind != fault.Validation || f.Message != "Malformed input request: "+want+", please reformat your input and try again." {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	if _, err := ParseRequest([]byte(`[`)); !fault.Is(err, fault.Validation) {
		t.Errorf("%v, want a Validation fault", err)
	}
}

// TestAppendRequest compares with the published templates (github.com/meta-llama/llama-models, models/*/prompt_format.md),
// by hand.
func TestAppendRequest(t *testing.T) {
	const talk = `{"system":[{"text":"S"},{"cachePoint":{"type":"default"}},{"text":"T"}],"messages":[{"role":"user","content":[{"text":"a"},{"text":"\"b\""}]},{"role":"assistant","content":[{"text":"c"}]},{"role":"user","content":[{"text":"d"}]}],"inferenceConfig":{"maxTokens":5,"temperature":0.5,"topP":1},"additionalModelRequestFields":{"x":[1]}}`
	for name, c := range map[string]struct{ model, request, want string }{
		"Llama 3": {model30, talk, `{"prompt":"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS\nT<|eot_id|><|start_header_id|>user<|end_header_id|>\n\na\n\"b\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nc<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nd<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n","max_gen_len":5,"temperature":0.5,"top_p":1,"x":[1]}`},
		"Llama 4": {model4, talk, `{"prompt":"<|begin_of_text|><|header_start|>system<|header_end|>\n\nS\nT<|eot|><|header_start|>user<|header_end|>\n\na\n\"b\"<|eot|><|header_start|>assistant<|header_end|>\n\nc<|eot|><|header_start|>user<|header_end|>\n\nd<|eot|><|header_start|>assistant<|header_end|>\n\n","max_gen_len":5,"temperature":0.5,"top_p":1,"x":[1]}`},
		"Llama 2": {model2, talk, `{"prompt":"<s>[INST] <<SYS>>\nS\nT\n<</SYS>>\n\na\n\"b\" [/INST] c </s><s>[INST] d [/INST]","max_gen_len":5,"temperature":0.5,"top_p":1,"x":[1]}`},
		"an answer begun": {"arn:aws:bedrock:us-east-1:1:imported-model/abc", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b "}]}]}`,
			`{"prompt":"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nb "}`},
		"an answer begun for Llama 2": {model2, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b "}]}]}`,
			`{"prompt":"<s>[INST] a [/INST] b "}`},
		"pictures": {modelVision, `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"` + base(pngHead) + `"}}},{"text":"a"},{"image":{"format":"gif","source":{"bytes":"` + base(gif) + `"}}}]}]}`,
			`{"prompt":"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<|image|>a<|image|><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n","images":["` + base(pngHead) + `","` + base(gif) + `"]}`},
		"tools": {model31, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"x","name":"get_weather","input":{"city": "Oslo"}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"x","content":[{"text":"no"},{"json":{"b": 1}}],"status":"error"}},{"text":"b"}]}],"toolConfig":{"tools":[` + weatherSpec + `],"toolChoice":{"auto":{}}}}`,
			`{"prompt":` + quote("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\nYou have access to the following functions. To call a function, please respond with JSON for a function call."+
				`Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.Do not use variables.`+"\n\n"+weatherTool+"\n\n<|eot_id|>"+
				"<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"get_weather\", \"parameters\": {\"city\":\"Oslo\"}}<|eot_id|>"+
				"<|start_header_id|>ipython<|end_header_id|>\n\n\"Error: no\\n{\\\"b\\\":1}\"<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nb<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n") + `}`},
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
		tools   = `"toolConfig":{"tools":[` + weatherSpec + `]`
		use     = `{"toolUse":{"toolUseId":"a","name":"f","input":{}}}`
		picture = `{"image":{"format":"png","source":{"bytes":"AAAA"}}}`
	)
	for _, c := range []struct{ model, path, request string }{
		{model31, "messages.0.content.1.text holds <|eot_id|>", asks(`{"text":"x<|eot_id|>y"}`)},
		{model31, "messages.0.content.1.text holds <|image|>", asks(`{"text":"<|image|>"}`)},
		{model4, "messages.1.content.0.text holds <|header_start|>", says(`{"text":"<|header_start|>"}`)},
		{model2, "system.0.text holds [/INST]", with(`"system":[{"text":"[/INST]"}]`)},
		{model2, "messages.0.content.1.text holds <<SYS>>", asks(`{"text":"<<SYS>>"}`)},
		{model31, "toolConfig.tools.0.toolSpec holds <|eot_id|>", with(`"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"<|eot_id|>","inputSchema":{"json":{}}}}]}`)},
		{model31, "messages.1.content.0.toolUse holds <|eot_id|>", says(`{"toolUse":{"toolUseId":"a","name":"f","input":{"a":"<|eot_id|>"}}}`)},
		{model31, "messages.0.content.1.toolResult holds <|eot_id|>", asks(`{"toolResult":{"toolUseId":"a","content":[{"text":"<|eot_id|>"}]}}`)},
		{model31, "messages.0.content.1.image", asks(picture)},
		{model2, "messages.0.content.1.image", asks(picture)},
		{modelVision, "messages.0.content.1.image.source.s3Location", asks(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://aaa/b"}}}}`)},
		{modelVision, "messages.1.content.0.image", says(picture)},
		{model31, "messages.0.content.1.document", asks(`{"document":{"a":1}}`)},
		{model31, "messages.0.content.1.video", asks(`{"video":{"a":1}}`)},
		{model31, "messages.0.content.1.audio", asks(`{"audio":{"a":1}}`)},
		{model31, "messages.0.content.1.guardContent", asks(`{"guardContent":{"a":1}}`)},
		{model31, "messages.0.content.1.searchResult", asks(`{"searchResult":{"a":1}}`)},
		{model31, "messages.0.content.1.toolUse", asks(use)},
		{model31, "messages.0.content.1.toolResult.content.0.image", asks(`{"toolResult":{"toolUseId":"a","content":[` + picture + `]}}`)},
		{model31, "messages.0.content.1.toolResult.content.0.document", asks(`{"toolResult":{"toolUseId":"a","content":[{"document":{"a":1}}]}}`)},
		{model31, "messages.0.content.1.toolResult.content.1.video", asks(`{"toolResult":{"toolUseId":"a","content":[{"text":"a"},{"video":{"a":1}}]}}`)},
		{model31, "messages.0.content.1.toolResult.content.0.searchResult", asks(`{"toolResult":{"toolUseId":"a","content":[{"searchResult":{"a":1}}]}}`)},
		{model31, "messages.1.content.0.reasoningContent", says(`{"reasoningContent":{"reasoningText":{"text":"a"}}}`)},
		{model31, "messages.1.content.0.citationsContent", says(`{"citationsContent":{"a":1}}`)},
		{model31, "messages.1.content.1.toolUse beside a text", says(`{"text":"a"},` + use)},
		{model31, "messages.1.content.1.text beside a toolUse", says(use + `,{"text":"a"}`)},
		{model31, "messages.1.content.1.toolUse beside another", says(use + `,` + use)},
		{model31, "messages.1.content.0.toolUse", says(`{"toolUse":{"toolUseId":"a","name":"f","input":{},"type":"server_tool_use"}}`)},
		{model30, "toolConfig", with(tools + `}`)},
		{model2, "toolConfig", with(tools + `}`)},
		{model31, "toolConfig.toolChoice.any", with(tools + `,"toolChoice":{"any":{}}}`)},
		{model31, "toolConfig.toolChoice.tool", with(tools + `,"toolChoice":{"tool":{"name":"get_weather"}}}`)},
		{model31, "toolConfig.tools.0.systemTool", with(`"toolConfig":{"tools":[{"systemTool":{"name":"x"}}]}`)},
		{model31, "toolConfig.tools.0.toolSpec.strict", with(`"toolConfig":{"tools":[{"toolSpec":{"name":"f","strict":true,"inputSchema":{"json":{}}}}]}`)},
		{model31, "system.0.guardContent", with(`"system":[{"guardContent":{"a":1}}]`)},
		{model31, "inferenceConfig.stopSequences", with(`"inferenceConfig":{"stopSequences":["a"]}`)},
		{model31, "outputConfig.textFormat", with(`"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}`)},
		{model31, "guardrailConfig", with(`"guardrailConfig":{"a":1}`)},
		{model31, "promptVariables", with(`"promptVariables":{"a":1}`)},
		{model31, "serviceTier.flex", with(`"serviceTier":{"type":"flex"}`)},
		{model31, "performanceConfig.latency.optimized", with(`"performanceConfig":{"latency":"optimized"}`)},
		{model31, "additionalModelRequestFields.prompt", with(`"additionalModelRequestFields":{"prompt":"x"}`)},
		{model31, "additionalModelRequestFields.images", with(`"additionalModelRequestFields":{"images":[]}`)},
		{model31, "additionalModelRequestFields.max_gen_len", with(`"inferenceConfig":{"maxTokens":1},"additionalModelRequestFields":{"max_gen_len":2}`)},
		{model31, "additionalModelRequestFields.temperature", with(`"inferenceConfig":{"temperature":1},"additionalModelRequestFields":{"temperature":1}`)},
		{model31, "additionalModelRequestFields.top_p", with(`"inferenceConfig":{"topP":1},"additionalModelRequestFields":{"top_p":1}`)},
		{model31, "additionalModelRequestFields is not", with(`"additionalModelRequestFields":[1]`)},
	} {
		_, err := AppendRequest(nil, conversetest.Request(t, c.request), c.model, false, "aws")
		f := fault.From(err)
		if f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, c.path) || strings.Contains(f.Message, "upstream") && !strings.Contains(f.Message, `"aws"`) {
			t.Errorf("%v, want a Validation fault of %s", err, c.path)
		}
	}
}

// TestRoundTrip: a conversation written and read is the same, to the letter; the ids of tool uses are those that reading
// makes up.
func TestRoundTrip(t *testing.T) {
	call := `{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_1","name":"get_weather","input":{"city":"Oslo"}}}]}`
	for _, c := range []struct{ models, request string }{
		{"234", `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":7,"temperature":0,"topP":0.25}}`},
		{"234", `{"messages":[{"role":"user","content":[{"text":" \n a\n\n"}]},{"role":"assistant","content":[{"text":"\n\n b "}]},{"role":"user","content":[{"text":"é😀 \"q\" \\ <s>"}]}],"system":[{"text":" S\n"}]}`},
		{"234", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":" b "}]}]}`},
		{"4v", `{"messages":[{"role":"user","content":[{"text":"a"},{"image":{"format":"png","source":{"bytes":"` + base(pngHead+"x") + `"}}},{"text":"b"}]},{"role":"assistant","content":[{"text":"c"}]},{"role":"user","content":[{"image":{"format":"gif","source":{"bytes":"` + base(gif) + `"}}}]}]}`},
		{"34", `{"messages":[{"role":"user","content":[{"text":"a"}]}],"system":[{"text":"{\"type\":\"function\"}\n\nS"}],"toolConfig":{"tools":[` + weatherSpec + `,{"toolSpec":{"name":"b","inputSchema":{"json":{}}}}]}}`},
		{"34", `{"messages":[{"role":"user","content":[{"text":"a"}]},` + call + `,{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"text":"{\"a\":1}"}]}}]}],"toolConfig":{"tools":[` + weatherSpec + `]}}`},
		{"34", `{"messages":[{"role":"user","content":[{"text":"a"}]},` + call + `,{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"json":{"a":[1,"\n\n"]}}]}},{"text":"b"}]},{"role":"assistant","content":[{"text":"{no call}"}]}],"toolConfig":{"tools":[` + weatherSpec + `]}}`},
	} {
		for _, m := range c.models {
			model := map[rune]string{'2': model2, '3': model31, '4': model4, 'v': modelVision}[m]
			want := conversetest.Request(t, c.request)
			b, err := AppendRequest(nil, want, model, false, "aws")
			if err != nil {
				t.Fatal(err)
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
	f.Add([]byte(`{"prompt":"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n","max_gen_len":5}`))
	f.Add([]byte(`{"prompt":"<|header_start|>user<|header_end|>\n\n<|image|>Hi<|eot|>","images":["R0lGODlh"]}`))
	f.Add([]byte(`{"prompt":"<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST] x","temperature":0.5}`))
	b, err := AppendRequest(nil, conversetest.Request(f, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"x","name":"get_weather","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"x","content":[{"text":"no"}]}}]}],"toolConfig":{"tools":[`+weatherSpec+`]}}`), model31, false, "u")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Errorf("%v", err)
			}
			return
		}
		if err := r.Check(); err != nil {
			t.Fatalf("accepted %q, but %v", body, err)
		}
		for _, model := range []string{model2, modelVision, model4} {
			b, err := AppendRequest(nil, r, model, true, "u")
			if err != nil {
				if !fault.Is(err, fault.Validation) {
					t.Errorf("%v", err)
				}
				continue
			}
			if !jsontext.Value(b).IsValid(jsontext.AllowInvalidUTF8(true)) {
				t.Fatalf("%s", b)
			}
			again, err := ParseRequest(b)
			if err != nil {
				t.Errorf("%s: %v", b, err)
			} else if r.ToolConfig == nil && len(r.System) < 2 && conversetest.Marshal(t, again) != conversetest.Marshal(t, r) {
				t.Errorf("%s\n%s\nwant %s", b, conversetest.Marshal(t, again), conversetest.Marshal(t, r))
			}
		}
	})
}
