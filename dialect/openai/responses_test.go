package openai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

// TestParseResponses: the left sides are requests as OpenAI's API reference for "Create a model response" and its guides
// (text, images, function calling, structured outputs, reasoning) have them.
func TestParseResponses(t *testing.T) {
	const story = `"input":"Tell me a three sentence bedtime story about a unicorn."`
	const told = `"messages":[{"role":"user","content":[{"text":"Tell me a three sentence bedtime story about a unicorn."}]}]`
	const weather = `{"type":"function","name":"get_weather","description":"d","parameters":{"type":"object"},"strict":true}`
	const spec = `{"toolSpec":{"name":"get_weather","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}}`
	for _, c := range []struct{ name, body, want string }{
		{"text input", `{"model":"gpt-4.1",` + story + `}`, `{` + told + `}`},
		{"instructions", `{"input":[{"role":"developer","content":"b"},{"role":"user","content":"c"}],"instructions":"a"}`,
			`{"system":[{"text":"a"},{"text":"b"}],"messages":[{"role":"user","content":[{"text":"c"}]}]}`},
		{"image and file input", `{"input":[{"role":"user","content":[{"type":"input_text","text":"what?"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,` + png + `"},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,AAEC"}]}]}`,
			`{"messages":[{"role":"user","content":[{"text":"what?"},{"image":{"format":"png","source":{"bytes":"` + png + `"}}},{"document":{"format":"pdf","name":"a","source":{"bytes":"AAEC"}}}]}]}`},
		{"an answer that comes back", `{"input":[{"type":"message","role":"user","content":"a"},{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"b","annotations":[],"logprobs":[],"parsed":null}],"x":1},{"role":"user","content":"c"}]}`,
			`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]},{"role":"user","content":[{"text":"c"}]}]}`},
		{"functions", `{` + story + `,"tools":[` + weather + `],"tool_choice":{"type":"function","name":"get_weather"},"parallel_tool_calls":false}`,
			`{` + told + `,"toolConfig":{"tools":[` + spec + `],"toolChoice":{"tool":{"name":"get_weather"}}},"additionalModelRequestFields":{"parallel_tool_calls":false}}`},
		{"allowed tools", `{` + story + `,"tools":[{"type":"function","name":"f"},` + weather + `],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"get_weather"}]}}`,
			`{` + told + `,"toolConfig":{"tools":[` + spec + `],"toolChoice":{"any":{}}}}`},
		{"calls and results", `{"tools":[` + weather + `],"input":[{"role":"user","content":"a"},{"id":"rs_1","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"encrypted_content":"signature:abc"},{"id":"rs_2","type":"reasoning","summary":[],"encrypted_content":"redacted:AAEC"},
			{"type":"function_call","id":"fc_1","call_id":"call_1","name":"get_weather","arguments":"{\"location\":\"Paris\"}","status":"completed","parsed_arguments":{}},{"type":"function_call","call_id":"call_2","name":"get_weather","arguments":"{}"},
			{"type":"function_call_output","call_id":"call_1","output":"15"},{"type":"function_call_output","call_id":"call_2","output":[{"type":"input_text","text":"16"},{"type":"input_image","image_url":"data:image/png;base64,` + png + `"}]}]}`,
			`{"toolConfig":{"tools":[` + spec + `]},"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"abc"}}},{"reasoningContent":{"redactedContent":"AAEC"}},
			{"toolUse":{"toolUseId":"call_1","name":"get_weather","input":{"location":"Paris"}}},{"toolUse":{"toolUseId":"call_2","name":"get_weather","input":{}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"text":"15"}]}},{"toolResult":{"toolUseId":"call_2","content":[{"text":"16"},{"image":{"format":"png","source":{"bytes":"` + png + `"}}}]}}]}]}`},
		{"structured output", `{` + story + `,"text":{"verbosity":"low","format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}}}}`,
			`{` + told + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"n"}}}},"additionalModelRequestFields":{"verbosity":"low"}}`},
		{"parameters", `{` + story + `,"max_output_tokens":50,"temperature":0.5,"top_p":0.9,"reasoning":{"effort":"high","summary":"auto"},"include":["reasoning.encrypted_content"],"store":true,"background":false,"truncation":"disabled","metadata":{"a":"b"},"top_logprobs":0,"previous_response_id":null,"max_tool_calls":3,"stream_options":{"include_obfuscation":false},"top_k":3}`,
			`{` + told + `,"inferenceConfig":{"maxTokens":50,"temperature":0.5,"topP":0.9},"requestMetadata":{"a":"b"},"additionalModelRequestFields":{"reasoning_effort":"high","top_k":3}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := ParseResponses([]byte(c.body))
			if err != nil || q.Unfit != nil {
				t.Fatal(err, q.Unfit)
			}
			conversetest.Same(t, text(q.Request), c.want)
		})
	}
}

func TestResponsesRefusals(t *testing.T) {
	const hi = `"input":"Hi"`
	for _, c := range []struct {
		body  string
		unfit bool
		param string
	}{
		{`{` + hi + `,"previous_response_id":"resp_1"}`, true, "previous_response_id"},
		{`{` + hi + `,"conversation":"conv_1"}`, true, "conversation"},
		{`{` + hi + `,"prompt":{"id":"pmpt_1"}}`, true, "prompt"},
		{`{` + hi + `,"background":true}`, true, "background"},
		{`{` + hi + `,"truncation":"auto"}`, true, "truncation"},
		{`{` + hi + `,"include":["message.output_text.logprobs"]}`, true, "include[0]"},
		{`{` + hi + `,"tools":[{"type":"web_search_preview","search_context_size":"low"}]}`, true, "tools[0]"},
		{`{` + hi + `,"tool_choice":{"type":"file_search"}}`, true, "tool_choice"},
		{`{"input":[{"type":"item_reference","id":"msg_1"}]}`, false, "input[0]"},
		{`{"input":[{"id":"msg_1"}]}`, false, "input[0]"},
		{`{"input":[{"type":"web_search_call","id":"ws_1"},{"type":"item_reference","id":"msg_1"}]}`, false, "input[1]"},
		{`{"input":[{"type":"web_search_call","action":{"type":"search"},"id":"ws_1"}]}`, true, "input[0]"},
		{`{"input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAAA"}]}`, true, "input[0]"},
		{`{"input":[{"role":"user","colour":"red","content":"a"}]}`, true, "input[0].colour"},
		{`{"input":[{"role":"user","content":[{"type":"input_image","file_id":"file-1"}]}]}`, true, "input[0].content[0].file_id"},
		{`{}`, false, "input"},
		{`{"input":5}`, false, "input"},
		{`{"input":[{"type":"message","content":"a"}]}`, false, "input[0].role"},
		{`{"input":[{"type":"function_call","name":"f","arguments":"{}"}]}`, false, "input[0].call_id"},
		{`{"input":[{"type":"function_call_output","output":"a"}]}`, false, "input[0].call_id"},
		{`{"input":[{"type":"reasoning","summary":[],"encrypted_content":"redacted:*"}]}`, false, "input[0]"},
		{`{` + hi + `,"tools":[{"name":"f"}]}`, false, "tools[0].type"},
		{`{` + hi + `,"max_output_tokens":-1}`, false, "max_output_tokens"},
	} {
		q, err := ParseResponses([]byte(c.body))
		if c.unfit {
			if err != nil || q.Request != nil {
				t.Errorf("%s: %+v, %v", c.body, q, err)
				continue
			}
			err = q.Unfit
		}
		if !fault.Is(err, fault.Validation) || fault.From(err).Resource != c.param {
			t.Errorf("%s: %+v", c.body, err)
		}
	}
}

// echoed is what the answer to `{"input":"Hi"}` repeats: the defaults of the API reference.
const echoed = `"background":false,"previous_response_id":null,"store":false,"top_logprobs":0,"truncation":"disabled","instructions":null,"max_output_tokens":null,"max_tool_calls":null,"metadata":{},"parallel_tool_calls":true,"prompt_cache_key":null,"reasoning":{"effort":null,"summary":null},"safety_identifier":null,"service_tier":"default","temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"user":null`

func response(status, failed, incomplete, output, usage string) string {
	return `{"id":"resp_1","object":"response","created_at":1741569952,"status":"` + status + `","error":` + failed + `,"incomplete_details":` + incomplete + `,"model":"m","output":[` + output + `],` + echoed + `,"usage":` + usage + `}`
}

const (
	responseUsage = `{"input_tokens":119,"input_tokens_details":{"cached_tokens":100},"output_tokens":10,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":129}`

	thoughtItem = `{"id":"rs_1_0","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]}`
	textItem    = `{"id":"msg_1_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Hello\n"}]}`
	callItem    = `{"id":"fc_1_2","type":"function_call","status":"completed","call_id":"call_1","name":"f","arguments":"{\"a\":1}"}`
)

func hiResponses(t *testing.T) (*Responses, converse.AnswerInfo) {
	t.Helper()
	q, err := ParseResponses([]byte(`{"input":"Hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	a := info
	a.ID = "resp_1"
	return q, a
}

// TestAppendResponses: the object is that of the API reference ("The response object").
func TestAppendResponses(t *testing.T) {
	q, a := hiResponses(t)
	whole := conversetest.Collect(t, answerEvents(converse.StopToolUse))
	last := `{"id":"fc_1_3","type":"function_call","status":"completed","call_id":"call_2","name":"g","arguments":"{}"}`
	conversetest.Same(t, string(q.AppendResponse(nil, &a, whole)), response("completed", "null", "null", thoughtItem+","+textItem+","+callItem+","+last, responseUsage))

	whole.Content, whole.StopReason = whole.Content[:2], converse.StopMaxTokens
	cut := strings.Replace(textItem, "completed", "incomplete", 1)
	conversetest.Same(t, string(q.AppendResponse(nil, &a, whole)), response("incomplete", "null", `{"reason":"max_output_tokens"}`, thoughtItem+","+cut, responseUsage))

	whole.Content, whole.StopReason = nil, converse.StopContentFiltered
	conversetest.Same(t, string(q.AppendResponse(nil, &a, whole)), response("incomplete", "null", `{"reason":"content_filter"}`, "", responseUsage))

	// What the request said is repeated, and sealed thinking goes out so that it can come back.
	q, err := ParseResponses([]byte(`{"input":"Hi","instructions":"i","temperature":0.5,"tools":[{"type":"function","name":"f","parameters":null}],"tool_choice":"none","metadata":{"a":"b"},"text":{"format":{"type":"text"},"verbosity":"low"}}`))
	if err != nil {
		t.Fatal(err)
	}
	whole.Content = []converse.ContentBlock{thinking("a", "s"), {ReasoningContent: &converse.Reasoning{RedactedContent: []byte{0, 1, 2}}}}
	got := string(q.AppendResponse(nil, &a, whole))
	for _, want := range []string{`"instructions":"i"`, `"temperature":0.5`, `"tools":[{"type":"function","name":"f","parameters":null}]`, `"tool_choice":"none"`, `"metadata":{"a":"b"}`, `"text":{"format":{"type":"text"},"verbosity":"low"}`,
		`"encrypted_content":"signature:s"`, `"encrypted_content":"redacted:AAEC"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	if !jsontext.Value(got).IsValid() {
		t.Error(got)
	}
}

// TestResponsesStream: the events and their order are those of the API reference ("Streaming events") and of the examples of
// its guides to streaming and to function calling.
func TestResponsesStream(t *testing.T) {
	q, a := hiResponses(t)
	started := response("in_progress", "null", "null", "", "null")
	message := func(index int, status, text string) string {
		content := `{"type":"output_text","annotations":[],"logprobs":[],"text":"` + text + `"}`
		if status == "in_progress" {
			content = ""
		}
		return fmt.Sprintf(`{"id":"msg_1_%d","type":"message","status":%q,"role":"assistant","content":[%s]}`, index, status, content)
	}
	for _, c := range []struct {
		name string
		es   []converse.Event
		want []string // without sequence_number
	}{
		{"everything", answerEvents(converse.StopToolUse), []string{
			`{"type":"response.created","response":` + started + `}`,
			`{"type":"response.in_progress","response":` + started + `}`,
			`{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[],"content":[]}}`,
			`{"type":"response.content_part.added","item_id":"rs_1_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""}}`,
			`{"type":"response.reasoning_text.delta","item_id":"rs_1_0","output_index":0,"content_index":0,"delta":"hm"}`,
			`{"type":"response.reasoning_text.done","item_id":"rs_1_0","output_index":0,"content_index":0,"text":"hm"}`,
			`{"type":"response.content_part.done","item_id":"rs_1_0","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"hm"}}`,
			`{"type":"response.output_item.done","output_index":0,"item":` + thoughtItem + `}`,
			`{"type":"response.output_item.added","output_index":1,"item":` + message(1, "in_progress", "") + `}`,
			`{"type":"response.content_part.added","item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}`,
			`{"type":"response.output_text.delta","item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"Hel","logprobs":[]}`,
			`{"type":"response.output_text.delta","item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"lo\n","logprobs":[]}`,
			`{"type":"response.output_text.done","item_id":"msg_1_1","output_index":1,"content_index":0,"text":"Hello\n","logprobs":[]}`,
			`{"type":"response.content_part.done","item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"Hello\n"}}`,
			`{"type":"response.output_item.done","output_index":1,"item":` + textItem + `}`,
			`{"type":"response.output_item.added","output_index":2,"item":{"id":"fc_1_2","type":"function_call","status":"in_progress","call_id":"call_1","name":"f","arguments":""}}`,
			`{"type":"response.function_call_arguments.delta","item_id":"fc_1_2","output_index":2,"delta":"{\"a\""}`,
			`{"type":"response.function_call_arguments.delta","item_id":"fc_1_2","output_index":2,"delta":":1}"}`,
			`{"type":"response.function_call_arguments.done","item_id":"fc_1_2","output_index":2,"name":"f","arguments":"{\"a\":1}"}`,
			`{"type":"response.output_item.done","output_index":2,"item":` + callItem + `}`,
			`{"type":"response.output_item.added","output_index":3,"item":{"id":"fc_1_3","type":"function_call","status":"in_progress","call_id":"call_2","name":"g","arguments":""}}`,
			`{"type":"response.function_call_arguments.delta","item_id":"fc_1_3","output_index":3,"delta":"{}"}`,
			`{"type":"response.function_call_arguments.done","item_id":"fc_1_3","output_index":3,"name":"g","arguments":"{}"}`,
			`{"type":"response.output_item.done","output_index":3,"item":{"id":"fc_1_3","type":"function_call","status":"completed","call_id":"call_2","name":"g","arguments":"{}"}}`,
			`{"type":"response.completed","response":` + response("completed", "null", "null", thoughtItem+","+textItem+","+callItem+`,{"id":"fc_1_3","type":"function_call","status":"completed","call_id":"call_2","name":"g","arguments":"{}"}`, responseUsage) + `}`,
		}},
		{"cut", []converse.Event{
			{Kind: converse.MessageStart}, {Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: "Hi"}, {Kind: converse.BlockStop},
			{Kind: converse.MessageStop, StopReason: converse.StopMaxTokens}, {Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 19, OutputTokens: 10, CacheReadInputTokens: 100}},
		}, []string{
			`{"type":"response.created","response":` + started + `}`,
			`{"type":"response.in_progress","response":` + started + `}`,
			`{"type":"response.output_item.added","output_index":0,"item":` + message(0, "in_progress", "") + `}`,
			`{"type":"response.content_part.added","item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}`,
			`{"type":"response.output_text.delta","item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"Hi","logprobs":[]}`,
			`{"type":"response.output_text.done","item_id":"msg_1_0","output_index":0,"content_index":0,"text":"Hi","logprobs":[]}`,
			`{"type":"response.content_part.done","item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"Hi"}}`,
			`{"type":"response.output_item.done","output_index":0,"item":` + message(0, "incomplete", "Hi") + `}`,
			`{"type":"response.incomplete","response":` + response("incomplete", "null", `{"reason":"max_output_tokens"}`, message(0, "incomplete", "Hi"), responseUsage) + `}`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			enc := q.NewStream(a)
			n := 0
			for i := range c.es {
				enc.Encode(&c.es[i], func(name string, event []byte) {
					if n == len(c.want) {
						t.Fatalf("one more: %s", event)
					}
					want := strings.Replace(c.want[n], `,`, fmt.Sprintf(`,"sequence_number":%d,`, n), 1)
					if !strings.HasPrefix(want, `{"type":"`+name+`",`) {
						t.Errorf("the name %s of %s", name, want)
					}
					conversetest.Same(t, string(event), want)
					n++
				})
			}
			if n != len(c.want) {
				t.Errorf("%d events, want %d", n, len(c.want))
			}
		})
	}
}

// TestResponsesFailed: a stream that breaks ends with what was whole until then.
func TestResponsesFailed(t *testing.T) {
	q, a := hiResponses(t)
	enc := q.NewStream(a)
	n := 0
	for _, e := range answerEvents(converse.StopEndTurn)[:4] {
		enc.Encode(&e, func(string, []byte) { n++ })
	}
	got := string(enc.AppendFailed(nil, "server_error", `a "b"`))
	conversetest.Same(t, got, fmt.Sprintf(`{"type":"response.failed","sequence_number":%d,"response":%s}`, n, response("failed", `{"code":"server_error","message":"a \"b\""}`, "null", thoughtItem, "null")))
}

// TestThinkingRoundTrip: the seal on thinking, and sealed thinking, come back as they went.
func TestThinkingRoundTrip(t *testing.T) {
	q, a := hiResponses(t)
	said := "b"
	want := []converse.ContentBlock{thinking("a\nb", "sEal=="), {ReasoningContent: &converse.Reasoning{RedactedContent: []byte{0xff, 0}}}, {Text: &said}}
	var answer struct {
		Output jsontext.Value `json:"output"`
	}
	unmarshal(t, q.AppendResponse(nil, &a, &converse.Response{Content: want, StopReason: converse.StopEndTurn}), &answer)
	again, err := ParseResponses([]byte(`{"input":[{"role":"user","content":"a"},` + strings.Trim(string(answer.Output), "[]") + `,{"role":"user","content":"c"}]}`))
	if err != nil || again.Unfit != nil {
		t.Fatal(err, again)
	}
	conversetest.Same(t, text(again.Request.Messages[1].Content), text(want))
}

func FuzzParseResponses(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:image/png;base64,AAEC"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"x"}],"encrypted_content":"redacted:AAEC"},{"type":"function_call","call_id":"a","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"a","output":"b"}],"tools":[{"type":"function","name":"f","parameters":{}}],"instructions":"i","reasoning":{"effort":"low"},"text":{"format":{"type":"json_object"}}}`,
		`{"input":"a","metadata":{"a":"b"},"store":true,"max_output_tokens":5,"tool_choice":{"type":"function","name":"f"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := ParseResponses(body)
		if q == nil {
			q = &Responses{}
		}
		sound(t, body, q.Request, q.Unfit, err)
		if q.Request == nil {
			return
		}
		enc := q.NewStream(info)
		for _, e := range answerEvents(converse.StopEndTurn) {
			enc.Encode(&e, func(_ string, b []byte) {
				if !jsontext.Value(b).IsValid() {
					t.Fatalf("%s: %s", body, b)
				}
			})
		}
	})
}

// TestManyThoughts: thinking in very many pieces costs what its bytes do.
func TestManyThoughts(t *testing.T) {
	const n = 9_000
	piece := `{"type":"summary_text","text":"` + strings.Repeat("x", 100) + `"},`
	body := `{"model":"m","input":[{"role":"user","content":"a"},{"type":"reasoning","summary":[` + strings.Repeat(piece, n) + `{"type":"summary_text","text":"y"}]},{"role":"user","content":"b"}]}`
	var q *Responses
	var err error
	if cost := allocated(func() { q, err = ParseResponses([]byte(body)) }); cost > uint64(20*len(body)) {
		t.Errorf("%d bytes were allocated for a body of %d", cost, len(body))
	}
	if err != nil || q.Request == nil {
		t.Fatal(err, q.Unfit)
	}
	want := strings.Repeat(strings.Repeat("x", 100)+"\n", n) + "y"
	if got := q.Request.Messages[1].Content[0].ReasoningContent.ReasoningText.Text; got != want {
		t.Errorf("%d characters, want %d", len(got), len(want))
	}
}
