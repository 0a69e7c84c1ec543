package openai

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/dialect/outbound"
	"outcrop/fault"
)

// TestAppendResponsesRequest: the forms are those of OpenAI's API reference, "Create a model response".
func TestAppendResponsesRequest(t *testing.T) {
	const hi = `"messages":[{"role":"user","content":[{"text":"Hi"}]}]`
	const hiThere = `"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}]`
	head := func(s string) string { return `{"model":"gpt","store":false,` + s + `}` }
	tool := func(more string) string {
		return `{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}}}},{"toolSpec":{"name":"g","inputSchema":{"json":{}},"strict":true}},{"cachePoint":{"type":"default"}}]` + more + `}`
	}
	const f = `{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":false}`
	const g = `{"type":"function","name":"g","parameters":{},"strict":true}`
	additional := func(s string) string { return `{` + hi + `,"additionalModelRequestFields":{` + s + `}}` }
	for _, c := range []struct {
		name, converse string
		stream         bool
		want           string
	}{
		{"text", `{` + hi + `}`, false, head(hiThere)},
		{"a stream", `{"system":[{"text":"a"},{"cachePoint":{"type":"default"}},{"text":"b"}],` + hi + `}`, true, head(`"stream":true,"instructions":"a\nb",` + hiThere)},
		{"parameters", `{` + hi + `,"inferenceConfig":{"maxTokens":9,"temperature":0.5,"topP":1},"serviceTier":{"type":"flex"},"requestMetadata":{"a":"b"},"performanceConfig":{"latency":"standard"}}`, false,
			head(hiThere + `,"max_output_tokens":9,"temperature":0.5,"top_p":1,"service_tier":"flex"`)},
		{"media", `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAEC"}}},{"cachePoint":{"type":"default"}},{"document":{"format":"pdf","name":"r","source":{"bytes":"JVBERi0="}}},{"document":{"name":"t","source":{"text":"A"},"citations":{"enabled":false}}}]}]}`, false,
			head(`"input":[{"type":"message","role":"user","content":[{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,AAEC"},{"type":"input_file","filename":"r.pdf","file_data":"data:application/pdf;base64,JVBERi0="},{"type":"input_file","filename":"t.txt","file_data":"data:text/plain;base64,QQ=="}]}]`)},
		{"tools and their results", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"},{"text":"c"},{"toolUse":{"toolUseId":"t1","name":"f","input":{"x": 1}}},{"toolUse":{"toolUseId":"t2","name":"g","input":{}}}]},
			{"role":"user","content":[{"toolResult":{"toolUseId":"t1","content":[{"json":{"y": [1, 2]}},{"text":"z"}]}},{"toolResult":{"toolUseId":"t2","status":"error","content":[]}},{"text":"and?"},{"toolResult":{"toolUseId":"t3","content":[{"text":"see"},{"image":{"format":"gif","source":{"bytes":"AAEC"}}}]}}]}]}`, false,
			head(`"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"b"},{"type":"output_text","text":"c"}]},
			{"type":"function_call","call_id":"t1","name":"f","arguments":"{\"x\": 1}"},{"type":"function_call","call_id":"t2","name":"g","arguments":"{}"},
			{"type":"function_call_output","call_id":"t1","output":"{\"y\":[1,2]}\nz"},{"type":"function_call_output","call_id":"t2","output":"Error: "},{"type":"message","role":"user","content":[{"type":"input_text","text":"and?"}]},
			{"type":"function_call_output","call_id":"t3","output":[{"type":"input_text","text":"see"},{"type":"input_image","detail":"auto","image_url":"data:image/gif;base64,AAEC"}]}]`)},
		{"thinking", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"openai:gAAA"}}},{"reasoningContent":{"redactedContent":"b3BlbmFpOmdCQkI="}},{"reasoningContent":{"reasoningText":{"text":"other","signature":"EqQB"}}},{"text":"b"}]},{"role":"user","content":[{"text":"c"}]}]}`, false,
			head(`"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"gAAA"},{"type":"reasoning","summary":[],"encrypted_content":"gBBB"},
			{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"other"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"b"}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"c"}]}],"include":["reasoning.encrypted_content"]`)},
		{"tools", tool(``) + `}`, false, head(hiThere + `,"tools":[` + f + `,` + g + `]`)},
		{"any tool, one at a time", tool(`,"toolChoice":{"any":{}}`) + `,"additionalModelRequestFields":{"parallel_tool_calls":false}}`, false, head(hiThere + `,"tools":[` + f + `,` + g + `],"parallel_tool_calls":false,"tool_choice":"required"`)},
		{"this tool", tool(`,"toolChoice":{"tool":{"name":"g"}}`) + `,"additionalModelRequestFields":{"tool_choice":{"type":"tool","disable_parallel_tool_use":true}}}`, false, head(hiThere + `,"tools":[` + g + `],"parallel_tool_calls":false,"tool_choice":"required"`)},
		{"no tool", tool(``) + `,"additionalModelRequestFields":{"tool_choice":{"type":"none"}}}`, false, head(hiThere + `,"tools":[` + f + `,` + g + `],"tool_choice":"none"`)},
		{"a schema", `{` + hi + `,"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"n","description":"d"}}}},"additionalModelRequestFields":{"verbosity":"low"}}`, false,
			head(hiThere + `,"text":{"format":{"type":"json_schema","name":"n","description":"d","schema":{"type":"object"},"strict":true},"verbosity":"low"}`)},
		{"as Chat Completions says it", additional(`"reasoning_effort":"high","response_format":{"type":"json_object"},"max_completion_tokens":7,"seed":1,"anthropic_version":"x"`), false,
			head(hiThere + `,"text":{"format":{"type":"json_object"}},"reasoning":{"effort":"high"},"include":["reasoning.encrypted_content"],"max_output_tokens":7,"seed":1`)},
		{"as it says it", additional(`"reasoning":{"effort":"low","summary":"auto"},"text":{"verbosity":"high"},"include":["message.output_text.logprobs"],"truncation":"auto"`), false,
			head(hiThere + `,"text":{"verbosity":"high"},"reasoning":{"effort":"low","summary":"auto"},"include":["message.output_text.logprobs"],"truncation":"auto"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r converse.Request
			if err := json.Unmarshal([]byte(c.converse), &r); err != nil {
				t.Fatal(err)
			}
			got, err := AppendResponsesRequest([]byte("x"), &r, "gpt", c.stream, "up")
			if err != nil || got[0] != 'x' {
				t.Fatalf("%s, %v", got, err)
			}
			conversetest.Same(t, string(got[1:]), c.want)
		})
	}
	user := func(b string) string { return `{"messages":[{"role":"user","content":[` + b + `]}]}` }
	for path, body := range map[string]string{
		"system.0.guardContent":                                  `{"system":[{"guardContent":{"text":{"text":"a"}}}],` + hi + `}`,
		"messages.0.content.0.image.source.s3Location":           user(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}}`),
		"messages.0.content.0.audio":                             user(`{"audio":{"format":"wav","source":{"bytes":"AAEC"}}}`),
		"messages.0.content.0.video":                             user(`{"video":{"format":"mp4","source":{"bytes":"AAEC"}}}`),
		"messages.0.content.0.searchResult":                      user(`{"searchResult":{"source":"s","title":"t","content":[]}}`),
		"messages.0.content.0.guardContent":                      user(`{"guardContent":{"text":{"text":"a"}}}`),
		"messages.0.content.0.document.context":                  user(`{"document":{"format":"pdf","name":"r","source":{"bytes":"AAEC"},"context":"c"}}`),
		"messages.0.content.0.document.citations":                user(`{"document":{"format":"pdf","name":"r","source":{"bytes":"AAEC"},"citations":{"enabled":true}}}`),
		"messages.0.content.0.document.source.s3Location":        user(`{"document":{"format":"pdf","name":"r","source":{"s3Location":{"uri":"s3://b/k"}}}}`),
		"messages.0.content.0.document.source.content":           user(`{"document":{"name":"r","source":{"content":[{"text":"a"}]}}}`),
		"messages.0.content.0.toolResult.content.0.video":        user(`{"toolResult":{"toolUseId":"t","content":[{"video":{"format":"mp4","source":{"bytes":"AAEC"}}}]}}`),
		"messages.0.content.0.toolResult.content.0.searchResult": user(`{"toolResult":{"toolUseId":"t","content":[{"searchResult":{"source":"s","title":"t","content":[]}}]}}`),
		"messages.0.content.0.reasoningContent.redactedContent":  `{"messages":[{"role":"assistant","content":[{"reasoningContent":{"redactedContent":"AAEC"}}]}]}`,
		"messages.0.content.0.citationsContent":                  `{"messages":[{"role":"assistant","content":[{"citationsContent":{"content":[{"text":"a"}]}}]}]}`,
		"toolConfig.tools.0.systemTool":                          `{` + hi + `,"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]}}`,
		"inferenceConfig.stopSequences":                          `{` + hi + `,"inferenceConfig":{"stopSequences":["a"]}}`,
		"guardrailConfig":                                        `{` + hi + `,"guardrailConfig":{"guardrailIdentifier":"g"}}`,
		"promptVariables":                                        `{` + hi + `,"promptVariables":{"a":{"text":"b"}}}`,
		"performanceConfig.latency.optimized":                    `{` + hi + `,"performanceConfig":{"latency":"optimized"}}`,
		"serviceTier.reserved":                                   `{` + hi + `,"serviceTier":{"type":"reserved"}}`,
		"additionalModelRequestFields.stop":                      additional(`"stop":["a"]`),
		"additionalModelRequestFields.mcp_servers":               additional(`"mcp_servers":[{"type":"url","url":"https://a","name":"b"}]`),
		"additionalModelRequestFields.store":                     additional(`"store":true`),
		"additionalModelRequestFields.previous_response_id":      additional(`"previous_response_id":"resp_1"`),
		"additionalModelRequestFields.reasoning_effort":          additional(`"reasoning":{},"reasoning_effort":"low"`),
		"additionalModelRequestFields.response_format":           additional(`"response_format":{"type":"json_schema"}`),
		"additionalModelRequestFields.tool_choice":               additional(`"tool_choice":"required"`),
		"additionalModelRequestFields.text":                      additional(`"text":1`),
		"additionalModelRequestFields.max_tokens":                `{` + hi + `,"inferenceConfig":{"maxTokens":1},"additionalModelRequestFields":{"max_tokens":2}}`,
	} {
		var r converse.Request
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		_, err := AppendResponsesRequest(nil, &r, "gpt", false, "gpu-a")
		if f := fault.From(err); !fault.Is(err, fault.Validation) || !strings.Contains(f.Message, path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// data returns the data of the events of a recorded stream.
func recorded(t testing.TB, name string) (events [][]byte) {
	t.Helper()
	file, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(name, ".sse") {
		return [][]byte{file}
	}
	for line := range bytes.Lines(file) {
		if data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: ")); ok {
			events = append(events, data)
		}
	}
	return events
}

// said is an answer in short: its blocks, how it ended and what it used.
func said(t *testing.T, d *ResponsesDecoder, data ...[]byte) string {
	t.Helper()
	var es []converse.Event
	var err error
	for _, b := range data {
		if es, err = d.Append(es, b); err != nil {
			return err.Error()
		}
	}
	es = d.Finish(es, func() int64 { return 7 })
	r, err := converse.Collect(func(yield func(converse.Event, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(r.Content)
	if err != nil {
		t.Fatal(err)
	}
	u := r.Usage
	return fmt.Sprintf("%s %s %d+%d+%d %d %t", content, r.StopReason, u.InputTokens, u.CacheReadInputTokens, u.CacheWriteInputTokens, u.OutputTokens, r.Estimated)
}

// TestResponsesRecorded: the answers of OpenAI's API reference ("Create a model response": streaming, reasoning) and of its
// guides "Function calling" and "Reasoning models", in their tokens.
func TestResponsesRecorded(t *testing.T) {
	for name, want := range map[string]string{
		"responses-text.sse":       `[{"text":"Hi there! How can I assist you today?"}] end_turn 37+0+0 11 false`,
		"responses-tool.sse":       `[{"toolUse":{"toolUseId":"call_1234xyz","name":"get_weather","input":{"location":"Paris, France"}}}] tool_use 291+0+0 23 false`,
		"responses-reasoning.json": `[{"reasoningContent":{"reasoningText":{"text":"**Answering a simple question**\n\nI'm looking at a straightforward question.","signature":"openai:gAAAAABofsdj"}}},{"text":"The classic tongue twister..."}] end_turn 17+64+0 1035 false`,
	} {
		events := recorded(t, name)
		if got := said(t, new(ResponsesDecoder), events...); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
		// What the last event tells is all that a server needs to say, and what is passed on counts the same.
		if last := events[len(events)-1]; len(events) > 1 {
			if got := said(t, new(ResponsesDecoder), last); got != want {
				t.Errorf("%s, its end alone:\n got %s\nwant %s", name, got, want)
			}
		}
		var read, metered ResponsesDecoder
		models := 0
		for _, e := range events {
			if _, err := read.Append(nil, e); err != nil {
				t.Fatal(err)
			}
			p, err := metered.Meter(e)
			if err != nil {
				t.Fatal(err)
			}
			if p.ModelEnd > 0 {
				models++
				if m := string(e[p.ModelAt:p.ModelEnd]); m != `"gpt-4.1-2025-04-14"` && m != `"o1-2024-12-17"` {
					t.Errorf("%s: the model is %s", name, m)
				}
			}
			if len(events) > 1 && !bytes.HasPrefix(e, []byte(`{"type":"`+p.Type+`"`)) {
				t.Errorf("%s: %q of %s", name, p.Type, e)
			}
		}
		if got := bytes.Count(bytes.Join(events, nil), []byte(`"model":`)) + bytes.Count(bytes.Join(events, nil), []byte(`"model": `)); models == 0 || models > got {
			t.Errorf("%s: %d models", name, models)
		}
		a, _ := read.Usage(nil)
		b, estimated := metered.Usage(nil)
		if a != b || estimated || metered.StopReason() != read.StopReason() || !metered.Started() || !metered.Finished() || metered.Ended() != (len(events) > 1) {
			t.Errorf("%s: metered %+v %s, read %+v %s", name, b, metered.StopReason(), a, read.StopReason())
		}
	}
}

// TestResponsesServed: the tier that the server has served, and fields of the response that were asked for.
func TestResponsesServed(t *testing.T) {
	d := ResponsesDecoder{}
	d.Fields.Paths = []string{"/service_tier", "/metadata/a"}
	const end = `{"type":"response.completed","response":{"status":"completed","service_tier":"flex","metadata":{"a":1},"output":[{"type":"message","content":[{"text":"Hi"}]}]}}`
	es, err := d.Append(nil, []byte(end))
	if err != nil {
		t.Fatal(err)
	}
	es = d.Finish(es, func() int64 { return 1 })
	stop, last := es[len(es)-2], es[len(es)-1]
	conversetest.Same(t, string(stop.Fields), `{"service_tier":"flex","metadata":{"a":1}}`)
	if last.Served == nil || last.Served.Tier != "flex" {
		t.Errorf("served %+v", last.Served)
	}
	var metered ResponsesDecoder
	if _, err := metered.Meter([]byte(end)); err != nil || metered.Served().Tier != "flex" {
		t.Errorf("served %+v, %v", metered.Served(), err)
	}
}

// TestResponsesDecoder: what the recordings do not have.
func TestResponsesDecoder(t *testing.T) {
	ended := func(status, rest string) string {
		return `{"type":"response.` + status + `","response":{"status":"` + status + `","output":[]` + rest + `}}`
	}
	const usage = `,"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},"output_tokens":5}`
	item := func(when, s string) string {
		return `{"type":"response.output_item.` + when + `","output_index":0,"item":` + s + `}`
	}
	delta := func(kind, s string) string {
		return `{"type":"response.` + kind + `.delta","output_index":0,"delta":"` + s + `"}`
	}
	const call = `{"type":"function_call","call_id":"c","name":"f","arguments":""}`
	for name, c := range map[string]struct {
		events []string
		want   string
	}{
		"cached":       {[]string{delta("output_text", "a"), ended("completed", usage)}, `[{"text":"a"}] end_turn 3+4+3 5 false`},
		"no usage":     {[]string{delta("output_text", "abcdefgh"), ended("completed", `,"usage":null`)}, `[{"text":"abcdefgh"}] end_turn 7+0+0 ` + fmt.Sprint(converse.EstimateTokens("abcdefgh")) + ` true`},
		"cut":          {[]string{delta("output_text", "a"), ended("incomplete", usage+`,"incomplete_details":{"reason":"max_output_tokens"}`)}, `[{"text":"a"}] max_tokens 3+4+3 5 false`},
		"filtered":     {[]string{ended("incomplete", usage+`,"incomplete_details":{"reason":"content_filter"}`)}, `[] content_filtered 3+4+3 5 false`},
		"a refusal":    {[]string{delta("refusal", "No."), ended("completed", usage)}, `[{"text":"No."}] end_turn 3+4+3 5 false`},
		"raw thinking": {[]string{delta("reasoning_text", "hm"), item("done", `{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]}`), delta("output_text", "a"), ended("completed", usage)}, `[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"a"}] end_turn 3+4+3 5 false`},
		"a summary in parts": {[]string{item("added", `{"type":"reasoning","summary":[]}`), `{"type":"response.reasoning_summary_part.added","summary_index":0}`, delta("reasoning_summary_text", "a"), `{"type":"response.reasoning_summary_part.added","summary_index":1}`, delta("reasoning_summary_text", "b"),
			item("done", `{"type":"reasoning","summary":[{"text":"a"},{"text":"b"}],"encrypted_content":"gA"}`), ended("completed", usage)}, `[{"reasoningContent":{"reasoningText":{"text":"a\n\nb","signature":"openai:gA"}}}] end_turn 3+4+3 5 false`},
		"sealed thinking":     {[]string{item("added", `{"type":"reasoning","summary":[]}`), item("done", `{"type":"reasoning","summary":[],"encrypted_content":"gA"}`), ended("completed", usage)}, `[{"reasoningContent":{"redactedContent":"b3BlbmFpOmdB"}}] end_turn 3+4+3 5 false`},
		"nothing thought":     {[]string{item("added", `{"type":"reasoning","summary":[]}`), item("done", `{"type":"reasoning","summary":[]}`), ended("completed", usage)}, `[] end_turn 3+4+3 5 false`},
		"two calls":           {[]string{item("added", call), delta("function_call_arguments", "{}"), item("done", call), item("added", call), item("done", strings.Replace(call, `:""`, `:"{\"x\":1}"`, 1)), ended("completed", usage)}, `[{"toolUse":{"toolUseId":"c","name":"f","input":{}}},{"toolUse":{"toolUseId":"c","name":"f","input":{"x":1}}}] tool_use 3+4+3 5 false`},
		"a call at once":      {[]string{item("done", strings.Replace(call, `:""`, `:"{}"`, 1)), ended("completed", usage)}, `[{"toolUse":{"toolUseId":"c","name":"f","input":{}}}] tool_use 3+4+3 5 false`},
		"two messages":        {[]string{item("added", `{"type":"message"}`), delta("output_text", "a"), item("done", `{"type":"message","content":[{"text":"a"}]}`), item("added", `{"type":"message"}`), item("done", `{"type":"message","content":[{"text":"b"},{"refusal":"c"}]}`), ended("completed", usage)}, `[{"text":"a"},{"text":"bc"}] end_turn 3+4+3 5 false`},
		"of tomorrow":         {[]string{`{"type":"response.of_tomorrow","delta":7,"item":"x","response":3}`, delta("output_text", "a"), ended("completed", usage)}, `[{"text":"a"}] end_turn 3+4+3 5 false`},
		"absurd counts":       {[]string{delta("output_text", "a"), ended("completed", `,"usage":{"input_tokens":-1,"output_tokens":1e300}`)}, `[{"text":"a"}] end_turn 7+0+0 1 true`},
		"more cached than is": {[]string{delta("output_text", "a"), ended("completed", `,"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":9},"output_tokens":1}`)}, `[{"text":"a"}] end_turn 0+5+0 1 false`},
	} {
		data := make([][]byte, len(c.events))
		for i, e := range c.events {
			data[i] = []byte(e)
		}
		if got := said(t, new(ResponsesDecoder), data...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		data   string
		status int
		code   string
	}{
		"failed":               {`{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"The model failed."}}}`, 0, "server_error"},
		"failed, whole":        {`{"object":"response","status":"failed","error":{"code":"invalid_prompt","message":"no"},"output":[]}`, 400, "invalid_prompt"},
		"an error":             {`{"type":"error","code":"rate_limit_exceeded","message":"Slowly.","param":null,"sequence_number":1}`, 0, "rate_limit_exceeded"},
		"an error in an error": {`{"type":"error","error":{"type":"x","code":"invalid_image_format","message":"no"}}`, 0, "invalid_image_format"},
		"the envelope":         {`{"error":{"message":"no","type":"invalid_request_error","code":null}}`, 0, ""},
	} {
		for _, read := range []func(*ResponsesDecoder) error{
			func(d *ResponsesDecoder) error { _, err := d.Append(nil, []byte(c.data)); return err },
			func(d *ResponsesDecoder) error { _, err := d.Meter([]byte(c.data)); return err },
		} {
			if e, ok := errors.AsType[*Error](read(new(ResponsesDecoder))); !ok || e.Status != c.status || e.Code != c.code || e.Message == "" {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
	for _, bad := range []string{`{"object":"response","status":"completed","output":[` + strings.Repeat(`{},`, 1<<18) + `{}]}`, ``, `[]`, `{`, `{}`, `{"choices":[]}`, `{"object":"response","status":"queued","output":[]}`, item("added", `{"type":"web_search_call"}`), item("added", `{"type":"function_call"}`), delta("function_call_arguments", "x")} {
		if _, err := new(ResponsesDecoder).Append(nil, []byte(bad)); err == nil || !strings.Contains(err.Error(), ErrMalformed.Error()) {
			t.Errorf("%.60s: %v", bad, err)
		}
	}
}

func TestAppendNativeResponses(t *testing.T) {
	const rest = `"input":[{"type":"message","role":"user","content":"Hi"}],"tools":[{"type":"web_search"}],"include":["x"],"stream_options":{"include_obfuscation":false},"of_tomorrow":1e2`
	for body, want := range map[string]string{
		`{"model":"arn:aws:x","store":true,` + rest + `,"stream":true}`:                             `{"model":"gpt","stream":true,"store":false,` + rest + `}`,
		`{` + rest + `,"previous_response_id":null,"background":false,"prompt":null,"stream":true}`: `{"model":"gpt","stream":true,"store":false,` + rest + `,"previous_response_id":null,"background":false,"prompt":null}`,
	} {
		got, asked, err := AppendNativeResponses(nil, []byte(body), "gpt", true)
		if err != nil || string(got) != want || !asked {
			t.Errorf("%s, %v\nwant %s", got, err, want)
		}
	}
	for _, member := range []string{`"previous_response_id":"resp_1"`, `"conversation":{"id":"conv_1"}`, `"prompt":{"id":"pmpt_1"}`, `"background":true`} {
		_, _, err := AppendNativeResponses(nil, []byte(`{`+member+`}`), "gpt", false)
		if f := fault.From(err); !fault.Is(err, fault.Validation) || f.Resource == "" || !strings.Contains(member, f.Resource) {
			t.Errorf("%s: %v", member, err)
		}
	}
}

// FuzzResponsesDecoder: whatever a server sends, the answer is in Converse's order, and reading and metering agree on it.
func FuzzResponsesDecoder(f *testing.F) {
	for _, name := range []string{"responses-text.sse", "responses-tool.sse", "responses-reasoning.json"} {
		f.Add(bytes.Join(recorded(f, name), []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var read, metered ResponsesDecoder
		var es []converse.Event
		for line := range bytes.Lines(data) {
			if p, err := metered.Meter(line); err == nil && p.ModelEnd > 0 && (p.ModelAt >= p.ModelEnd || p.ModelEnd > len(line) || line[p.ModelAt] != '"' || line[p.ModelEnd-1] != '"') {
				t.Fatalf("%+v of %q", p, line)
			}
			var err error
			if es, err = read.Append(es, line); err != nil {
				return
			}
			if read.Ended() {
				break
			}
		}
		es = read.Finish(es, func() int64 { return 1 })
		next, open := 0, false
		for i, e := range es {
			switch {
			case i == 0:
				if e.Kind != converse.MessageStart {
					t.Fatalf("%+v", es)
				}
			case e.Kind == converse.BlockStart || e.Kind == converse.BlockDelta:
				if open = true; e.Index != next {
					t.Fatalf("%+v", es)
				}
			case e.Kind == converse.BlockStop:
				if !open || e.Index != next {
					t.Fatalf("%+v", es)
				}
				open = false
				next++
			case open, i < len(es)-2:
				t.Fatalf("%+v", es)
			}
		}
		if u := es[len(es)-1].Usage; u.InputTokens < 0 || u.OutputTokens < 0 || u.CacheReadInputTokens < 0 || u.CacheWriteInputTokens < 0 || u.Total() > 4*outbound.MaxTokens {
			t.Fatalf("%+v", u)
		}
	})
}

// What is only measured costs memory by its bytes too, however many parts an item has.
func TestMeterManyParts(t *testing.T) {
	item := `{"type":"message","content":[` + strings.Repeat("{},", 1<<18) + `{}]}`
	for _, data := range []string{
		`{"type":"response.output_item.added","item":` + item + `}`,
		`{"type":"response.completed","response":{"status":"completed","output":[` + item + `]}}`,
		`{"status":"completed","output":[` + item + `]}`,
	} {
		if _, err := new(ResponsesDecoder).Meter([]byte(data)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60s: %v", data, err)
		}
	}
}
