package openai

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

const png = "iVBORw0KGgo="

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestParseChat: the left sides are requests as OpenAI's API reference for "Create chat completion" and its guides
// (function calling, structured outputs, images, audio, files, prompt caching) have them; those marked with another name
// are that server's.
func TestParseChat(t *testing.T) {
	const hi = `"messages":[{"role":"user","content":"Hi"}]`
	const hiThere = `"messages":[{"role":"user","content":[{"text":"Hi"}]}]`
	const weather = `{"type":"function","function":{"name":"get_weather","description":"d","parameters":{"type":"object","properties":{"location":{"type":"string"}}},"strict":true}}`
	const weatherSpec = `{"toolSpec":{"name":"get_weather","description":"d","inputSchema":{"json":{"type":"object","properties":{"location":{"type":"string"}}}},"strict":true}}`
	for _, c := range []struct{ name, body, want string }{
		{"default", `{"model":"m","messages":[{"role":"developer","content":"You are a helpful assistant."},{"role":"user","content":"Hello!"}]}`,
			`{"system":[{"text":"You are a helpful assistant."}],"messages":[{"role":"user","content":[{"text":"Hello!"}]}]}`},
		{"turns", `{"messages":[{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"user","content":"c"},{"role":"assistant","content":[{"type":"text","text":"d"},{"type":"refusal","refusal":"e"}],"refusal":null},{"role":"user","content":"f"},{"role":"user","content":"g"}]}`,
			`{"system":[{"text":"a"},{"text":"b"}],"messages":[{"role":"user","content":[{"text":"c"}]},{"role":"assistant","content":[{"text":"d"},{"text":"e"}]},{"role":"user","content":[{"text":"f"},{"text":"g"}]}]}`},
		{"a refusal before the content", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","refusal":"no","content":"b"}]}`,
			`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"},{"text":"no"}]}]}`},
		{"content twice", `{"messages":[{"role":"user","content":"a","content":[{"type":"text","text":"b"}]}]}`, `{"messages":[{"role":"user","content":[{"text":"b"}]}]}`},
		{"a late instruction", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"c"},{"role":"user","content":"d"}]}`,
			`{"system":[{"text":"c"}],"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]},{"role":"user","content":[{"text":"d"}]}]}`},
		{"blank text", `{"messages":[{"role":"system","content":""},{"role":"user","content":"a"},{"role":"assistant","content":" \n"},{"role":"user","content":"b"}]}`,
			`{"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]}]}`},
		{"escapes", `{"m\u006fdel":"x","messages":[{"role":"user","content":"a\"\u00e9\ud83d\ude00"}]}`, `{"messages":[{"role":"user","content":[{"text":"a\"é😀"}]}]}`},
		{"image", `{"messages":[{"role":"user","content":[{"type":"text","text":"What is in this image?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `","detail":"high"}},{"type":"image_url","image_url":{"url":"data:image/jpg;base64,` + png + `"}}]}]}`,
			`{"messages":[{"role":"user","content":[{"text":"What is in this image?"},{"image":{"format":"png","source":{"bytes":"` + png + `"}}},{"image":{"format":"jpeg","source":{"bytes":"` + png + `"}}}]}]}`},
		{"audio", `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_audio","input_audio":{"data":"AAEC","format":"wav"}}]}]}`,
			`{"messages":[{"role":"user","content":[{"text":"a"},{"audio":{"format":"wav","source":{"bytes":"AAEC"}}}]}]}`},
		{"file", `{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"draconomicon v1.2.pdf","file_data":"data:application/pdf;base64,AAEC"}},{"type":"file","file":{"filename":"a.md","file_data":"AAEC"}},{"type":"text","text":"a"}]}]}`,
			`{"messages":[{"role":"user","content":[{"document":{"format":"pdf","name":"draconomicon v1-2","source":{"bytes":"AAEC"}}},{"document":{"format":"md","name":"a","source":{"bytes":"AAEC"}}},{"text":"a"}]}]}`},
		{"prompt caching", `{"prompt_cache_key":"k","messages":[{"role":"system","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":[{"type":"text","text":"b","prompt_cache_breakpoint":{"mode":"explicit"}}]}]}`,
			`{"system":[{"text":"a"},{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"b"},{"cachePoint":{"type":"default"}}]}]}`},
		{"parameters", `{` + hi + `,"max_completion_tokens":100,"temperature":0.2,"top_p":0.5,"stop":["a","b"],"n":1,"user":"u","store":true,"metadata":{"team":"a b"},"logprobs":false,"service_tier":"auto","modalities":["text"],"stream":false,"frequency_penalty":null}`,
			`{` + hiThere + `,"inferenceConfig":{"maxTokens":100,"temperature":0.2,"topP":0.5,"stopSequences":["a","b"]},"requestMetadata":{"team":"a b"}}`},
		{"older parameters", `{` + hi + `,"max_tokens":7,"stop":"a"}`, `{` + hiThere + `,"inferenceConfig":{"maxTokens":7,"stopSequences":["a"]}}`},
		{"beyond Converse", `{` + hi + `,"temperature":1.5,"seed":5,"frequency_penalty":0.1,"logit_bias":{"5":-100},"reasoning_effort":"low","verbosity":"low","parallel_tool_calls":false,"top_k":4}`,
			`{` + hiThere + `,"additionalModelRequestFields":{"temperature":1.5,"seed":5,"frequency_penalty":0.1,"logit_bias":{"5":-100},"reasoning_effort":"low","verbosity":"low","parallel_tool_calls":false,"top_k":4}}`},
		{"defaults", `{` + hi + `,"frequency_penalty":0,"presence_penalty":0.0,"logit_bias":{},"verbosity":"medium","tools":[],"stop":[],"tool_choice":"auto"}`, `{` + hiThere + `}`},
		{"tools", `{` + hi + `,"tools":[` + weather + `],"tool_choice":"auto","parallel_tool_calls":true}`,
			`{` + hiThere + `,"toolConfig":{"tools":[` + weatherSpec + `],"toolChoice":{"auto":{}}}}`},
		{"a tool without parameters", `{` + hi + `,"tools":[{"type":"function","function":{"name":"f","strict":false}}],"tool_choice":"required"}`,
			`{` + hiThere + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{}}}}}],"toolChoice":{"any":{}}}}`},
		{"one tool", `{` + hi + `,"tools":[` + weather + `],"tool_choice":{"type":"function","function":{"name":"get_weather"}}}`,
			`{` + hiThere + `,"toolConfig":{"tools":[` + weatherSpec + `],"toolChoice":{"tool":{"name":"get_weather"}}}}`},
		{"some tools", `{` + hi + `,"tools":[{"type":"function","function":{"name":"f"}},` + weather + `],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"get_weather"}}]}}}`,
			`{` + hiThere + `,"toolConfig":{"tools":[` + weatherSpec + `],"toolChoice":{"auto":{}}}}`},
		{"no tool", `{` + hi + `,"tools":[` + weather + `],"tool_choice":"none"}`, `{` + hiThere + `}`},
		{"tool calls", `{"tools":[` + weather + `],"tool_choice":"none","messages":[{"role":"user","content":"a"},
			{"role":"assistant","content":null,"refusal":null,"annotations":[],"audio":null,"parsed":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"location\":\"Paris\"}","parsed_arguments":{"location":"Paris"}}},{"id":"call/2","type":"function","function":{"name":"get_weather","arguments":""}}]},
			{"role":"tool","tool_call_id":"call_1","content":"15"},{"role":"tool","tool_call_id":"call/2","content":[{"type":"text","text":"16"}]},{"role":"user","content":"b"}]}`,
			`{"toolConfig":{"tools":[` + weatherSpec + `]},"additionalModelRequestFields":{"tool_choice":"none"},"messages":[{"role":"user","content":[{"text":"a"}]},
			{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_1","name":"get_weather","input":{"location":"Paris"}}},{"toolUse":{"toolUseId":"call_2","name":"get_weather","input":{}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"text":"15"}]}},{"toolResult":{"toolUseId":"call_2","content":[{"text":"16"}]}},{"text":"b"}]}]}`},
		{"functions", `{"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"},"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","function_call":{"name":"f","arguments":"no JSON"}},{"role":"function","name":"f","content":"b"}]}`,
			`{"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}],"toolChoice":{"tool":{"name":"f"}}},"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_1","name":"f","input":"no JSON"}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"text":"b"}]}}]}]}`},
		{"JSON schema", `{` + hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","strict":true,"schema":{"type":"object"}}}}`,
			`{` + hiThere + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"n","description":"d"}}}}}`},
		{"JSON", `{` + hi + `,"response_format":{"type":"json_object"}}`, `{` + hiThere + `,"additionalModelRequestFields":{"response_format":{"type":"json_object"}}}`},
		{"text", `{` + hi + `,"response_format":{"type":"text"}}`, `{` + hiThere + `}`},
		{"vLLM's thinking and parameters", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","reasoning_content":"b","content":"c"},{"role":"user","content":"d"}],"chat_template_kwargs":{"enable_thinking":false},"response_format":{"type":"structural_tag","format":{}}}`,
			`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"b"}}},{"text":"c"}]},{"role":"user","content":[{"text":"d"}]}],"additionalModelRequestFields":{"chat_template_kwargs":{"enable_thinking":false},"response_format":{"type":"structural_tag","format":{}}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseRequest([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			conversetest.Same(t, text(r), c.want)
		})
	}
}

func TestParseChatMembers(t *testing.T) {
	c, err := ParseChat([]byte(`{"stream_options":{"include_usage":true,"include_obfuscation":false},"service_tier":"flex","functions":[{"name":"f"}],"messages":[{"role":"user","content":"a"}],"stream":true,"model":"arn:aws:x"}`))
	if err != nil || c.Unfit != nil || c.Model != "arn:aws:x" || !c.Stream || !c.IncludeUsage || !c.Functions || c.Tier != "flex" || c.Request == nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestUnfit: what is right and Converse has no place for. The body may still go to a server that takes it.
func TestUnfit(t *testing.T) {
	const hi = `"messages":[{"role":"user","content":"Hi"}]`
	part := func(p string) string {
		return `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},` + p + `]}]}`
	}
	for _, c := range []struct{ body, param string }{
		{part(`{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}`), "messages[0].content[1].image_url.url"},
		{part(`{"type":"file","file":{"file_id":"file-1"}}`), "messages[0].content[1].file.file_id"},
		{part(`{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AA"}}`), "messages[0].content[1].video_url"},
		{`{"messages":[{"role":"user","name":"bob","content":"a"}]}`, "messages[0].name"},
		{`{"messages":[{"role":"user","colour":"red","content":"a"}]}`, "messages[0].colour"},
		{`{"messages":[{"role":"user","content":"a"},{"role":"assistant","audio":{"id":"x"}},{"role":"user","content":"b"}]}`, "messages[1].audio"},
		{`{` + hi + `,"n":2}`, "n"},
		{`{` + hi + `,"metadata":{"a":"{}"}}`, "metadata.a"}, // right at OpenAI, and against Bedrock's pattern
		{`{` + hi + `,"logprobs":true}`, "logprobs"},
		{`{` + hi + `,"top_logprobs":2}`, "top_logprobs"},
		{`{` + hi + `,"modalities":["text","audio"]}`, "modalities[1]"},
		{`{` + hi + `,"audio":{"voice":"alloy","format":"wav"}}`, "audio"},
		{`{` + hi + `,"web_search_options":{}}`, "web_search_options"},
		{`{` + hi + `,"tools":[{"type":"custom","custom":{"name":"f"}}]}`, "tools[0]"},
		{`{` + hi + `,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"custom","custom":{"name":"f"}}}`, "tool_choice"},
	} {
		q, err := ParseChat([]byte(c.body))
		if err != nil || q.Request != nil || !fault.Is(q.Unfit, fault.Validation) {
			t.Errorf("%s: %+v, %v", c.body, q, err)
			continue
		}
		if f := fault.From(q.Unfit); f.Resource != c.param || !strings.Contains(f.Message, "'"+c.param+"'") {
			t.Errorf("%s: %+v", c.body, f)
		}
	}
	// Rules of a conversation that OpenAI does not have.
	for _, body := range []string{`{"messages":[{"role":"system","content":"a"}]}`, `{"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}]}`} {
		if q, err := ParseChat([]byte(body)); err != nil || !fault.Is(q.Unfit, fault.Validation) || q.Request != nil {
			t.Errorf("%s: %+v, %v", body, q, err)
		}
	}
}

// TestWrongChat: the messages' forms are those that OpenAI answers with, as seen in many a bug report ("Invalid type for
// 'messages[0].content': expected one of a string or array of objects, but got an integer instead.", "Missing required
// parameter: 'messages'.").
func TestWrongChat(t *testing.T) {
	const hi = `"messages":[{"role":"user","content":"Hi"}]`
	for _, c := range []struct {
		body  string
		kind  fault.Kind
		param string
		says  string
	}{
		{``, fault.Serialization, "", "could not parse"},
		{`[]`, fault.Serialization, "", "could not parse"},
		{`{"messages":[`, fault.Serialization, "", "could not parse"},
		{`{` + hi + `}x`, fault.Serialization, "", "could not parse"},
		{"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", fault.Serialization, "", "could not parse"},
		{`{}`, fault.Validation, "messages", "Missing required parameter: 'messages'."},
		{`{"messages":null}`, fault.Validation, "messages", "Missing required parameter: 'messages'."},
		{`{"messages":{}}`, fault.Validation, "messages", "Invalid type for 'messages': expected an array, but got an object instead."},
		{`{"messages":[1]}`, fault.Validation, "messages[0]", "expected an object, but got a number instead."},
		{`{"messages":[{"content":"a"}]}`, fault.Validation, "messages[0].role", "Missing required parameter: 'messages[0].role'."},
		{`{"messages":[{"role":"king","content":"a"}]}`, fault.Validation, "messages[0]", "Supported values are: 'system'"},
		{`{"messages":[{"role":"user","content":5}]}`, fault.Validation, "messages[0].content", "Invalid type for 'messages[0].content': expected one of a string or array of objects, but got a number instead."},
		{`{"messages":[{"role":"user","content":[{"text":"a"}]}]}`, fault.Validation, "messages[0].content[0].type", "Missing"},
		{`{"messages":[{"role":"user","content":[{"type":"text"}]}]}`, fault.Validation, "messages[0].content[0].text", "Missing"},
		{`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AAEC"}}]}]}`, fault.Validation, "messages[0].content[0].image_url.url", "image/tiff"},
		{`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,*"}}]}]}`, fault.Validation, "messages[0].content[0].image_url.url", "base64"},
		{`{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAEC","format":"midi"}}]}]}`, fault.Validation, "messages[0].content[0]", "midi"},
		{`{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.exe","file_data":"AAEC"}}]}]}`, fault.Validation, "messages[0].content[0]", "type"},
		{`{"messages":[{"role":"system","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAEC"}}]}]}`, fault.Validation, "messages[0]", "text only"},
		{`{"messages":[{"role":"tool","content":"a"}]}`, fault.Validation, "messages[0].tool_call_id", "Missing"},
		{`{"messages":[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f"}}]}]}`, fault.Validation, "messages[0].tool_calls[0].id", "Missing"},
		{`{` + hi + `,"service_tier":"premium"}`, fault.Validation, "service_tier", "Invalid value: 'premium'. Supported values are: 'auto', 'default'"},
		{`{` + hi + `,"temperature":2.1}`, fault.Validation, "temperature", "between 0 and 2"},
		{`{` + hi + `,"temperature":"hot"}`, fault.Validation, "temperature", "expected a number, but got a string"},
		{`{` + hi + `,"max_tokens":0}`, fault.Validation, "max_tokens", "between 1 and"},
		{`{` + hi + `,"max_tokens":1.5}`, fault.Validation, "max_tokens", "integer"},
		{`{` + hi + `,"stream":"yes"}`, fault.Validation, "stream", "a boolean"},
		{`{` + hi + `,"tools":[{"type":"function"}]}`, fault.Validation, "tools[0].function", "Missing"},
		{`{` + hi + `,"tools":[{"type":"function","function":{"name":"a b"}}]}`, fault.Validation, "tools[0]", "name"},
		{`{` + hi + `,"tool_choice":"required"}`, fault.Validation, "tool_choice", "only allowed when 'tools' are specified"},
		{`{` + hi + `,"response_format":{"type":"json_schema"}}`, fault.Validation, "response_format.json_schema.schema", "Missing"},
		{`{` + hi + `,"seed":1,"seed":2}`, fault.Validation, "", "twice"},
	} {
		_, err := ParseChat([]byte(c.body))
		if f := fault.From(err); err == nil || f.Kind != c.kind || f.Resource != c.param || !strings.Contains(f.Message, c.says) {
			t.Errorf("%s: %+v", c.body, err)
		}
	}
}

// TestBounds: what a body holds may cost no more than its size.
func TestBounds(t *testing.T) {
	for _, body := range []string{
		`{"tool_choice":` + strings.Repeat(`{"allowed_tools":`, 1<<20),
		`{"tool_choice":` + strings.Repeat(`{"tools":[`, 1<<20),
		`{"response_format":` + strings.Repeat(`{"json_schema":`, 1<<20),
		`{"messages":[{"role":"user","content":[` + strings.Repeat(`{"file":`, 1<<20),
		`{"messages":[{"role":"user","content":[` + strings.Repeat(`{"type":"text","text":"a"},`, 1<<19),
		`{"seed":` + strings.Repeat(`[`, 1<<20),
	} {
		if _, err := ParseChat([]byte(body)); err == nil || strings.Contains(body, "seed") != fault.Is(err, fault.Serialization) {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}

// TestChatRoundTrip: what goes out as Chat Completions comes in as the same.
func TestChatRoundTrip(t *testing.T) {
	for _, request := range []string{
		`{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`,
		`{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"a"},{"image":{"format":"webp","source":{"bytes":"AAEC"}}}]},{"role":"assistant","content":[{"text":"b"}]},{"role":"user","content":[{"text":"c"}]}],"inferenceConfig":{"maxTokens":5,"temperature":0.5,"topP":0.25,"stopSequences":["x"]}}`,
		`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"r"}}},{"text":"b"},{"toolUse":{"toolUseId":"t1","name":"f","input":{"a":[1,"x"]}}},{"toolUse":{"toolUseId":"t2","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"text":"1"}]}},{"toolResult":{"toolUseId":"t2","content":[]}},{"text":"c"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}}],"toolChoice":{"any":{}}}}`,
		`{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"n"}}}},"additionalModelRequestFields":{"seed":1,"temperature":1.5}}`,
		`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"f","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"text":"1"}]}}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]},"additionalModelRequestFields":{"tool_choice":"none","parallel_tool_calls":false}}`,
	} {
		for _, stream := range []bool{false, true} {
			body, err := AppendRequest(nil, conversetest.Request(t, request), "m", stream, "u")
			if err != nil {
				t.Errorf("%s: %v", request, err)
				continue
			}
			c, err := ParseChat(body)
			if err != nil || c.Unfit != nil || c.Stream != stream || c.IncludeUsage != stream || c.Model != "m" {
				t.Errorf("%s: %+v, %v", body, c, err)
				continue
			}
			conversetest.Same(t, text(c.Request), request)
		}
	}
}

func ptr[T any](v T) *T { return &v }

var (
	info = converse.AnswerInfo{ID: "chatcmpl-1", Model: "m", Created: time.Unix(1741569952, 0), Latency: 250 * time.Millisecond, FirstByte: 100 * time.Millisecond}
	used = converse.Usage{InputTokens: 19, OutputTokens: 10, CacheReadInputTokens: 100, CacheWriteInputTokens: 7}
)

// TestAppendResponse: the objects are those of the API reference ("The chat completion object"); the counts of the cache as
// the usage of the client's types has them.
func TestAppendResponse(t *testing.T) {
	const counts = `{"prompt_tokens":126,"completion_tokens":10,"total_tokens":136,"prompt_tokens_details":{"cached_tokens":100,"cache_write_tokens":7}}`
	whole := func(message, finish string) string {
		return `{"id":"chatcmpl-1","object":"chat.completion","created":1741569952,"model":"m","choices":[{"index":0,"message":` + message + `,"logprobs":null,"finish_reason":"` + finish + `"}],"usage":` + counts + `}`
	}
	thought := converse.ContentBlock{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: "hm", Signature: "s"}}}
	sealed := converse.ContentBlock{ReasoningContent: &converse.Reasoning{RedactedContent: []byte{1}}}
	said := converse.ContentBlock{Text: ptr("Hello! \"How\"")}
	call := converse.ContentBlock{ToolUse: &converse.ToolUse{ToolUseID: "call_1", Name: "f", Input: jsontext.Value(`{"a":"b"}`)}}
	cited := converse.ContentBlock{CitationsContent: converse.Raw[converse.Citations](`{"content":[{"text":" from a book"}],"citations":[{"title":"t"}]}`)}
	broken := converse.ContentBlock{ToolUse: &converse.ToolUse{ToolUseID: "call_2", Name: "f", Input: jsontext.Value(`"{\"a"`)}}
	for _, c := range []struct {
		name      string
		content   []converse.ContentBlock
		stop      string
		functions bool
		want      string
	}{
		{"text", []converse.ContentBlock{said}, converse.StopEndTurn, false, whole(`{"role":"assistant","content":"Hello! \"How\"","refusal":null}`, "stop")},
		{"cited text", []converse.ContentBlock{said, cited}, converse.StopStopSequence, false, whole(`{"role":"assistant","content":"Hello! \"How\" from a book","refusal":null}`, "stop")},
		{"nothing", nil, converse.StopContentFiltered, false, whole(`{"role":"assistant","content":"","refusal":null}`, "content_filter")},
		{"cut", []converse.ContentBlock{said}, converse.StopMaxTokens, false, whole(`{"role":"assistant","content":"Hello! \"How\"","refusal":null}`, "length")},
		{"thinking", []converse.ContentBlock{thought, sealed, said}, converse.StopContextWindowExceeded, false, whole(`{"role":"assistant","content":"Hello! \"How\"","refusal":null,"reasoning_content":"hm"}`, "length")},
		{"tools", []converse.ContentBlock{call, broken}, converse.StopToolUse, false, whole(`{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":\"b\"}"}},{"id":"call_2","type":"function","function":{"name":"f","arguments":"{\"a"}}]}`, "tool_calls")},
		{"a function", []converse.ContentBlock{said, call}, converse.StopToolUse, true, whole(`{"role":"assistant","content":"Hello! \"How\"","refusal":null,"function_call":{"name":"f","arguments":"{\"a\":\"b\"}"}}`, "function_call")},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := Chat{Functions: c.functions}
			got := q.AppendResponse([]byte("x"), &info, &converse.Response{Content: c.content, StopReason: c.stop, Usage: used})
			if got[0] != 'x' {
				t.Error("not appended")
			}
			conversetest.Same(t, string(got[1:]), c.want)
			if !c.functions {
				conversetest.Same(t, string(AppendResponse(nil, &info, &converse.Response{Content: c.content, StopReason: c.stop, Usage: used})), c.want)
			}
		})
	}
}

// answerEvents are a whole answer: thinking, text, two calls.
func answerEvents(stop string) []converse.Event {
	return []converse.Event{
		{Kind: converse.MessageStart, Role: converse.RoleAssistant},
		{Kind: converse.BlockDelta, Delta: converse.ReasoningDelta, Text: "hm"},
		{Kind: converse.BlockStop},
		{Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: "Hel"},
		{Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: "lo\n"},
		{Kind: converse.BlockStop, Index: 1},
		{Kind: converse.BlockStart, Index: 2, ToolUseID: "call_1", ToolName: "f"},
		{Kind: converse.BlockDelta, Index: 2, Delta: converse.ToolInputDelta, Text: `{"a"`},
		{Kind: converse.BlockDelta, Index: 2, Delta: converse.ToolInputDelta, Text: `:1}`},
		{Kind: converse.BlockStop, Index: 2},
		{Kind: converse.BlockStart, Index: 3, ToolUseID: "call_2", ToolName: "g"},
		{Kind: converse.BlockStop, Index: 3},
		{Kind: converse.MessageStop, StopReason: stop},
		{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 19, OutputTokens: 10, CacheReadInputTokens: 100}},
	}
}

func encode(s *StreamEncoder, es []converse.Event) (chunks []string) {
	for i := range es {
		s.Encode(&es[i], func(b []byte) { chunks = append(chunks, string(b)) })
	}
	return chunks
}

// TestChatStream: chunks as the API reference has them ("The chat completion chunk object", "Streaming", and of functions the
// guide to function calling); reasoning_content as vLLM's documentation of reasoning outputs.
func TestChatStream(t *testing.T) {
	chunk := func(delta, finish, usage string) string {
		if finish != "null" {
			finish = `"` + finish + `"`
		}
		return `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"m","choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}]` + usage + `}`
	}
	const counts = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"m","choices":[],"usage":{"prompt_tokens":119,"completion_tokens":10,"total_tokens":129,"prompt_tokens_details":{"cached_tokens":100}}}`
	deltas := []string{
		`{"role":"assistant","content":"","refusal":null}`, `{"reasoning_content":"hm"}`, `{"content":"Hel"}`, `{"content":"lo\n"}`,
		`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}`,
		`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}`, `{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`,
		`{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":""}}]}`, `{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}`,
	}
	var plain, counted, bedrock, functions []string
	for i, d := range deltas {
		plain = append(plain, chunk(d, "null", ""))
		counted = append(counted, chunk(d, "null", `,"usage":null`))
		if i < 4 {
			functions = append(functions, chunk(d, "null", ""))
		}
	}
	bedrock = append(bedrock, plain...)
	plain = append(plain, chunk(`{}`, "tool_calls", ""))
	counted = append(counted, chunk(`{}`, "tool_calls", `,"usage":null`), counts)
	functions = append(functions, chunk(`{"function_call":{"name":"f","arguments":""}}`, "null", ""), chunk(`{"function_call":{"arguments":"{\"a\""}}`, "null", ""),
		chunk(`{"function_call":{"arguments":":1}"}}`, "null", ""), chunk(`{}`, "function_call", ""))
	bedrock = append(bedrock, chunk(`{}`, "tool_calls", `,"amazon-bedrock-invocationMetrics":{"inputTokenCount":19,"outputTokenCount":10,"invocationLatency":250,"firstByteLatency":100,"cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":0}`))
	for _, c := range []struct {
		name string
		enc  *StreamEncoder
		want []string
	}{
		{"plain", (&Chat{}).NewStream(info), plain},
		{"with usage", (&Chat{IncludeUsage: true}).NewStream(info), counted},
		{"functions", (&Chat{Functions: true}).NewStream(info), functions},
		{"InvokeModelWithResponseStream", &StreamEncoder{AnswerInfo: info}, bedrock},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := encode(c.enc, answerEvents(converse.StopToolUse))
			for i := range max(len(got), len(c.want)) {
				if i >= len(got) || i >= len(c.want) {
					t.Fatalf("%d chunks, want %d: %q", len(got), len(c.want), got)
				}
				conversetest.Same(t, got[i], c.want[i])
			}
		})
	}
}

// TestAnswerRoundTrip: an answer that goes out is read back as the same by what calls servers, chunk by chunk and whole, for
// every ending.
func TestAnswerRoundTrip(t *testing.T) {
	for _, stop := range []string{converse.StopEndTurn, converse.StopMaxTokens, converse.StopContentFiltered, converse.StopToolUse} {
		es := answerEvents(stop)
		if stop != converse.StopToolUse {
			es = slices.Delete(es, 6, 12)
		}
		if stop == converse.StopToolUse { // what the stream says in place of nothing
			es = slices.Insert(es, 11, converse.Event{Kind: converse.BlockDelta, Index: 3, Delta: converse.ToolInputDelta, Text: "{}"})
		}
		var d Decoder
		chunks := encode((&Chat{IncludeUsage: true}).NewStream(info), es)
		if got := conversetest.Decode(t, &d, chunks...); !reflect.DeepEqual(got, es) {
			t.Errorf("%s: %+v\nwant %+v", stop, got, es)
		}
		whole := conversetest.Collect(t, es)
		d = Decoder{}
		again := conversetest.Collect(t, conversetest.Decode(t, &d, string(AppendResponse(nil, &info, whole))))
		if text(again) != text(whole) {
			t.Errorf("%s: %s\nwant %s", stop, text(again), text(whole))
		}
	}
}

// sound holds what a parser took against what Converse takes.
func sound(t *testing.T, body []byte, r *converse.Request, unfit, err error) {
	t.Helper()
	if err != nil {
		if k := fault.From(err).Kind; k != fault.Validation && k != fault.Serialization {
			t.Fatalf("%s: %v", body, err)
		}
		return
	}
	if (r == nil) != (unfit != nil) {
		t.Fatalf("%s: %v, %v", body, r, unfit)
	}
	if r == nil {
		if !fault.Is(unfit, fault.Validation) {
			t.Fatalf("%s: %v", body, unfit)
		}
		return
	}
	if err := r.Check(); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	whole, err := json.Marshal(r)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	var again converse.Request
	if err := json.Unmarshal(whole, &again); err != nil {
		t.Fatalf("%s: %v", whole, err)
	}
	if out, err := AppendRequest(nil, r, "m", false, "u"); err == nil && !jsontext.Value(out).IsValid() {
		t.Fatalf("%s: %s", body, out)
	}
}

func FuzzParseChat(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAEC"}}]},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"b"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}},"stop":["a"],"metadata":{"a":"b"},"seed":1}`,
		`{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"AAEC"}},{"type":"input_audio","input_audio":{"data":"AAEC","format":"wav"}}]},{"role":"function","name":"f","content":"b"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"temperature":1.5}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := ParseChat(body)
		if c == nil {
			c = &Chat{}
		}
		sound(t, body, c.Request, c.Unfit, err)
	})
}

func BenchmarkParseChat(b *testing.B) {
	body := []byte(fmt.Sprintf(`{"model":"m","stream":true,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":%q}]}`, strings.Repeat("word ", 400)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if c, err := ParseChat(body); err != nil || c.Unfit != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChatStream(b *testing.B) {
	enc := (&Chat{}).NewStream(info)
	enc.Encode(&converse.Event{Kind: converse.MessageStart}, func([]byte) {})
	e := converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " token"}
	b.ReportAllocs()
	for b.Loop() {
		enc.Encode(&e, func([]byte) {})
	}
}
