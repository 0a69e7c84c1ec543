package openai

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
	"outcrop/converse/conversetest"
)

// content writes blocks as Converse does, for comparison.
func content(t *testing.T, r *converse.Response) string {
	t.Helper()
	b, err := json.Marshal(r.Content)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func file(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// chunksOf returns the data of the events of a stream that was captured, without its end.
func chunksOf(t testing.TB, name string) []string {
	var out []string
	for line := range strings.Lines(file(t, name)) {
		if data, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "data: "); ok && data != "[DONE]" {
			out = append(out, data)
		}
	}
	return out
}

// TestCaptures decodes what servers send: llama.cpp's as it was recorded, OpenAI's and vLLM's in the form of their API
// references (platform.openai.com/docs/api-reference/chat-streaming, docs.vllm.ai "Tool Calling", "Reasoning Outputs").
func TestCaptures(t *testing.T) {
	for _, c := range []struct {
		chunks  []string
		content string
		stop    string
		usage   converse.Usage
	}{
		{[]string{file(t, "llamacpp-text.json")}, `[{"text":"Say hello in German. mendatang\nSay hello in German."}]`, converse.StopMaxTokens, converse.Usage{InputTokens: 14, OutputTokens: 12}},
		{chunksOf(t, "llamacpp-text.sse"), `[{"text":"Say hello in German. mendatang\nSay hello in German."}]`, converse.StopMaxTokens, converse.Usage{InputTokens: 5, CacheReadInputTokens: 9, OutputTokens: 12}},
		{[]string{file(t, "llamacpp-tool.json")}, `[{"toolUse":{"toolUseId":"0lzdp1nMlU5QcbVAG5MohRaDC3dEQYP1","name":"get_weather","input":{"city": "Oslo"}}}]`, converse.StopToolUse, converse.Usage{InputTokens: 180, CacheReadInputTokens: 114, OutputTokens: 31}},
		{chunksOf(t, "llamacpp-tool.sse"), `[{"toolUse":{"toolUseId":"hmR1Kr8apY82sHMD7ioW86wZFcHTmYDJ","name":"get_weather","input":{"city": "Oslo"}}}]`, converse.StopToolUse, converse.Usage{InputTokens: 5, CacheReadInputTokens: 289, OutputTokens: 31}},
		{chunksOf(t, "openai-text.sse"), `[{"text":"Hello \"wörld\" 😀"}]`, converse.StopEndTurn, converse.Usage{InputTokens: 182, CacheReadInputTokens: 1024, OutputTokens: 10}},
		{chunksOf(t, "vllm-tools.sse"), `[{"reasoningContent":{"reasoningText":{"text":"Two cities."}}},{"text":"I ask."},{"toolUse":{"toolUseId":"chatcmpl-tool-a1","name":"get_weather","input":{"city": "Paris"}}},{"toolUse":{"toolUseId":"chatcmpl-tool-b2","name":"get_weather","input":{"city": "Rome"}}}]`, converse.StopToolUse, converse.Usage{InputTokens: 201, OutputTokens: 53}},
	} {
		var d Decoder
		r := conversetest.Collect(t, conversetest.Decode(t, &d, c.chunks...))
		if got := compact(content(t, r)); got != compact(c.content) || r.StopReason != c.stop || r.Usage != c.usage || r.Estimated {
			t.Errorf("%s %s %+v estimated %t\nwant %s %s %+v", got, r.StopReason, r.Usage, r.Estimated, compact(c.content), c.stop, c.usage)
		}
		if !d.Finished() {
			t.Error("the answer's end was not seen")
		}
	}
}

func compact(s string) string { return strings.NewReplacer(`": "`, `":"`, `", "`, `","`).Replace(s) }

func choice(delta, rest string) string {
	return `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":` + delta + `,"finish_reason":null` + rest + `}]}`
}

func TestToolCalls(t *testing.T) {
	call := func(s string) string { return choice(`{"tool_calls":[`+s+`]}`, "") }
	for name, c := range map[string]struct {
		chunks []string
		want   string // id, name and input of each call
	}{
		"parallel in one chunk": {[]string{call(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\":1}"}}`)}, `a f {}; b g {"x":1}`},
		// github.com/InternLM/lmdeploy issue 3412 shows these two: a vLLM that gives every call the index 0, and SGLang.
		"the same index, new ids": {[]string{
			call(`{"index":0,"id":"chatcmpl-tool-c9","type":"function","function":{"name":"f","arguments":""}}`), call(`{"index":0,"id":"","function":{"arguments":"{\"x\":1}","name":null}}`),
			call(`{"index":0,"id":"chatcmpl-tool-Hf","type":"function","function":{"name":"f","arguments":""}}`), call(`{"index":0,"id":"","function":{"arguments":"{\"x\":2}","name":null}}`),
		}, `chatcmpl-tool-c9 f {"x":1}; chatcmpl-tool-Hf f {"x":2}`},
		"the id in every piece": {[]string{
			call(`{"index":0,"id":"0","function":{"name":"f","arguments":""}}`), call(`{"index":0,"id":"0","function":{"name":"f","arguments":"{\"x\":1}"}}`),
			call(`{"index":0,"id":"1","function":{"name":"f","arguments":""}}`), call(`{"index":0,"id":"1","function":{"name":"f","arguments":"{\"x\":2}"}}`),
		}, `0 f {"x":1}; 1 f {"x":2}`},
		"a new id in every piece": {[]string{call(`{"index":0,"id":"a","function":{"name":"f","arguments":""}}`), call(`{"index":0,"id":"b","function":{"arguments":"{}"}}`)}, `a f {}`},
		"no index":                {[]string{call(`{"id":"a","function":{"name":"f","arguments":"{"}}`), call(`{"function":{"arguments":"}"}}`), call(`{"id":"b","function":{"name":"g","arguments":"{}"}}`)}, `a f {}; b g {}`},
		"arguments before name":   {[]string{call(`{"index":0,"id":"a","function":{"arguments":"{\"x\""}}`), call(`{"index":0,"function":{"name":"f","arguments":":1}"}}`)}, `a f {"x":1}`},
		"arguments as an object":  {[]string{call(`{"index":0,"id":"a","function":{"name":"f","arguments":{"x":[1]}}}`)}, `a f {"x":[1]}`},
		"no arguments":            {[]string{call(`{"index":0,"id":"a","function":{"name":"f"}}`)}, `a f {}`},
		"never a name":            {[]string{call(`{"index":0,"id":"a","function":{"arguments":"{}"}}`)}, `a  {}`},
		"the form before tools":   {[]string{choice(`{"function_call":{"name":"f","arguments":""}}`, ""), choice(`{"function_call":{"arguments":"{}"}}`, "")}, `call_ f {}`},
		"Moonshot's ids":          {[]string{call(`{"index":0,"id":"functions.get_weather:0","function":{"name":"get_weather","arguments":"{}"}}`)}, `functions.get_weather:0 get_weather {}`},
		"foreign ids":             {[]string{call(`{"index":0,"id":"` + strings.Repeat("x", 70) + `/é","function":{"name":"f","arguments":"{}"}}`)}, strings.Repeat("x", 61) + `___ f {}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := conversetest.Collect(t, conversetest.Decode(t, new(Decoder), append(c.chunks, choice(`{}`, `,"x":1`))...))
			var got []string
			for _, b := range r.Content {
				if b.ToolUse == nil {
					t.Fatalf("%s", content(t, r))
				}
				id := b.ToolUse.ToolUseID
				if strings.HasPrefix(id, "call_") && len(id) > 20 {
					id = "call_"
				}
				got = append(got, id+" "+b.ToolUse.Name+" "+string(b.ToolUse.Input))
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("%q\nwant %q", strings.Join(got, "; "), c.want)
			}
			if r.StopReason != converse.StopToolUse {
				t.Errorf("stop reason %q", r.StopReason)
			}
		})
	}
	var d Decoder
	es, err := d.Append(nil, []byte(call(`{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}`)))
	if err == nil {
		es, err = d.Append(es, []byte(call(`{"index":1,"id":"b","function":{"name":"f","arguments":"{}"}}`)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.Append(es, []byte(call(`{"index":0,"function":{"arguments":"}"}}`))); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v for a piece of a call that is over, want ErrMalformed", err)
	}
}

func TestStopReasons(t *testing.T) {
	for _, c := range []struct{ delta, rest, want, sequence string }{
		{`{"content":"a"}`, `,"finish_reason":"stop"`, converse.StopEndTurn, ""},
		{`{"content":"a"}`, `,"finish_reason":"length"`, converse.StopMaxTokens, ""},
		{`{"content":"a"}`, `,"finish_reason":"content_filter"`, converse.StopContentFiltered, ""},
		{`{"refusal":"I cannot."}`, `,"finish_reason":"stop"`, converse.StopEndTurn, ""},
		{`{"content":"a"}`, `,"finish_reason":"tool_calls"`, converse.StopEndTurn, ""}, // but no call came
		{`{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]}`, `,"finish_reason":"stop"`, converse.StopToolUse, ""},
		{`{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{"}}]}`, `,"finish_reason":"length"`, converse.StopMaxTokens, ""},
		{`{"content":"a"}`, `,"finish_reason":"stop","stop_reason":"END"`, converse.StopStopSequence, "END"},  // vLLM
		{`{"content":"a"}`, `,"finish_reason":"stop","matched_stop":"END"`, converse.StopStopSequence, "END"}, // SGLang
		{`{"content":"a"}`, `,"finish_reason":"stop","stop_reason":128009`, converse.StopEndTurn, ""},         // vLLM: an end token
		{`{"content":"a"}`, `,"finish_reason":"stop","stop_reason":"<|im_end|>"`, converse.StopEndTurn, ""},   // not one of the request's
		{`{"content":"a"}`, `,"finish_reason":"stop","stop_reason":null`, converse.StopEndTurn, ""},
	} {
		es := conversetest.Decode(t, &Decoder{Stop: []string{"END", "STOP"}}, strings.Replace(choice(c.delta, c.rest), `,"finish_reason":null`, "", 1))
		if stop := es[len(es)-2]; stop.StopReason != c.want || stop.StopSequence != c.sequence {
			t.Errorf("%s%s: %q %q, want %q %q", c.delta, c.rest, stop.StopReason, stop.StopSequence, c.want, c.sequence)
		}
	}
	for _, reason := range []string{"abort", "error"} {
		var d Decoder
		var e *Error
		if _, err := d.Append(nil, []byte(`{"choices":[{"delta":{},"finish_reason":"`+reason+`"}]}`)); !errors.As(err, &e) {
			t.Errorf("%s: %v, want an Error", reason, err)
		}
	}
}

// TestUsage: counts are normalised, and what cannot be is not believed.
func TestUsage(t *testing.T) {
	const said = `{"choices":[{"message":{"role":"assistant","content":"one two three"},"finish_reason":"stop"}]`
	for _, c := range []struct {
		usage     string
		want      converse.Usage
		estimated bool
	}{
		{`{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, false},
		{`{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}`, converse.Usage{InputTokens: 6, CacheReadInputTokens: 4, OutputTokens: 3}, false},
		{`{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":null}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, false},
		{`{"prompt_tokens":10,"completion_tokens":3,"prompt_cache_hit_tokens":7,"prompt_cache_miss_tokens":3}`, converse.Usage{InputTokens: 3, CacheReadInputTokens: 7, OutputTokens: 3}, false}, // DeepSeek
		{`{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"completion_tokens_details":{"reasoning_tokens":2}}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, false},
		{`{"prompt_tokens":10,"completion_tokens":3,"total_tokens":33,"completion_tokens_details":{"reasoning_tokens":20}}`, converse.Usage{InputTokens: 10, OutputTokens: 23}, false}, // xAI
		{`{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":99}}`, converse.Usage{CacheReadInputTokens: 10, OutputTokens: 3}, false},
		{`{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":-1}}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, false},
		{`{"prompt_tokens":4294967296,"completion_tokens":3}`, converse.Usage{InputTokens: 1 << 32, OutputTokens: 3}, false},
		{`{"prompt_tokens":1e1,"completion_tokens":3.0}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, false},

		{`null`, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, true},
		{`{}`, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, true},
		{`{"prompt_tokens":-1,"completion_tokens":7}`, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 7}, true},
		{`{"prompt_tokens":0,"completion_tokens":7}`, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 7}, true},
		{`{"prompt_tokens":1099511627777,"completion_tokens":7}`, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 7}, true},
		{`{"prompt_tokens":10,"completion_tokens":-5}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, true},
		{`{"prompt_tokens":10,"completion_tokens":9223372036854775807}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, true},
		{`{"prompt_tokens":10,"completion_tokens":1e400}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, true},
		{`{"prompt_tokens":10,"completion_tokens":0}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, true},
		{`{"prompt_tokens":10}`, converse.Usage{InputTokens: 10, OutputTokens: 3}, true},
		{`{"prompt_tokens":"10","completion_tokens":"3"}`, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, true},
	} {
		es := conversetest.Decode(t, new(Decoder), said+`,"usage":`+c.usage+`}`)
		if m := es[len(es)-1]; m.Usage != c.want || m.Estimated != c.estimated {
			t.Errorf("%s: %+v estimated %t, want %+v %t", c.usage, m.Usage, m.Estimated, c.want, c.estimated)
		}
	}
	// An answer of nothing costs its prompt.
	es := conversetest.Decode(t, new(Decoder), `{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":0}}`)
	if m := es[len(es)-1]; m.Estimated || m.Usage != (converse.Usage{InputTokens: 10}) {
		t.Errorf("an empty answer: %+v", m)
	}
	// A later usage replaces an earlier one (vLLM's continuous_usage_stats), but nonsense does not.
	for _, nonsense := range []string{"-1", "0"} {
		es = conversetest.Decode(t, new(Decoder), `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":1}}`, `{"choices":[{"delta":{"content":"a b"}}],"usage":{"prompt_tokens":10,"completion_tokens":2}}`,
			`{"choices":[],"usage":{"prompt_tokens":`+nonsense+`,"completion_tokens":`+nonsense+`}}`)
		if m := es[len(es)-1]; m.Estimated || m.Usage != (converse.Usage{InputTokens: 10, OutputTokens: 2}) {
			t.Errorf("several usages: %+v", m)
		}
	}
	// A usage of no output that comes before the output is not believed.
	es = conversetest.Decode(t, new(Decoder), `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":0}}`, `{"choices":[{"delta":{"content":"one two"}}]}`)
	if m := es[len(es)-1]; !m.Estimated || m.Usage != (converse.Usage{InputTokens: 10, OutputTokens: 2}) {
		t.Errorf("no output told before the output: %+v", m)
	}
}

func TestContentForms(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"null":                {`{"role":"assistant","content":null}`, `null`},
		"parts":               {`{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]},{"type":"text","text":"Yes."}]}`, `[{"reasoningContent":{"reasoningText":{"text":"Hm."}}},{"text":"Yes."}]`},
		"reasoning":           {`{"reasoning":"Hm.","content":"Yes."}`, `[{"reasoningContent":{"reasoningText":{"text":"Hm."}}},{"text":"Yes."}]`},
		"reasoning twice":     {`{"reasoning":"Hm.","reasoning_content":"Hm.","content":"Yes."}`, `[{"reasoningContent":{"reasoningText":{"text":"Hm."}}},{"text":"Yes."}]`},
		"refusal":             {`{"content":null,"refusal":"No."}`, `[{"text":"No."}]`},
		"names with escapes":  {`{"content":"a\u0041","annotations":[],"audio":null}`, `[{"text":"aA"}]`},
		"half a character":    {"{\"content\":\"a\xe6\x97\"}", `[{"text":"a` + "\uFFFD" + `"}]`},
		"half a pair":         {`{"content":"a\ud83d"}`, `[{"text":"a` + "\uFFFD" + `"}]`},
		"members of any type": {`{"content":"a","reasoning":{"x":1},"tool_calls":{"x":[]},"function_call":"x","refusal":7}`, `[{"text":"a"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			r := conversetest.Collect(t, conversetest.Decode(t, new(Decoder), `{"choices":[{"index":0,"message":`+c.message+`,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`))
			got := content(t, r)
			if got == "[]" {
				got = "null"
			}
			if strings.ReplaceAll(got, "\uFFFD\uFFFD", "\uFFFD") != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestErrors reads the refusals of servers. llama.cpp's are recorded; OpenAI's are of its guide to error codes, vLLM's of
// its ErrorResponse before and after version 0.10.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want Error
	}{
		"llama.cpp loads":   {`{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`, Error{503, "unavailable_error", "503", "Loading model"}},
		"llama.cpp context": {`{"error":{"code":400,"message":"request (4010 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":4010,"n_ctx":2048}}`, Error{400, "exceed_context_size_error", "400", "request (4010 tokens) exceeds the available context size (2048 tokens), try increasing it"}},
		"OpenAI":            {`{"error":{"message":"Rate limit reached","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, Error{0, "tokens", "rate_limit_exceeded", "Rate limit reached"}},
		"OpenAI, no code":   {`{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}`, Error{0, "server_error", "", "The server had an error"}},
		"vLLM before":       {`{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}`, Error{400, "BadRequestError", "400", "This model's maximum context length is 4096 tokens."}},
		"vLLM now":          {`{"error":{"message":"The model does not exist.","type":"NotFoundError","param":null,"code":404}}`, Error{404, "NotFoundError", "404", "The model does not exist."}},
		"its text":          {`{"error":"model 'x' not found, try pulling it first"}`, Error{0, "", "", "model 'x' not found, try pulling it first"}},
		"FastAPI":           {`{"detail":"Not Found"}`, Error{0, "", "", `{"detail":"Not Found"}`}},
		"HTML":              {"<html>\r\n<h1>502</h1>", Error{0, "", "", "<html>\r\n<h1>502</h1>"}},
		"no message":        {`{"error":{"type":"server_error"}}`, Error{0, "server_error", "", `{"error":{"type":"server_error"}}`}},
		"an odd status":     {`{"error":{"message":"m","code":12}}`, Error{0, "", "12", "m"}},
		"nothing":           {``, Error{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ParseError([]byte(c.body)); *got != c.want {
				t.Errorf("%+v, want %+v", *got, c.want)
			}
		})
	}
	if e := ParseError(bytes.Repeat([]byte("é"), 1<<20)); len(e.Message) > 1000 {
		t.Errorf("a message of %d bytes", len(e.Message))
	}
	t.Run("in a stream", func(t *testing.T) {
		for _, body := range []string{
			`{"error":{"message":"boom","type":"server_error","code":500}}`, // llama.cpp, vLLM
			`{"id":"c","choices":[],"error":{"message":"boom","code":502}}`, // OpenRouter
			`{"object":"error","message":"boom","type":"InternalServerError","code":500}`,
		} {
			var d Decoder
			var e *Error
			if _, err := d.Append(nil, []byte(body)); !errors.As(err, &e) || e.Message != "boom" {
				t.Errorf("%s: %v", body, err)
			}
		}
		for _, body := range []string{`{"choices":[{"delta":{"content":"a"}}],"error":null}`, `{"error":{},"choices":[{"delta":{"content":"a"}}]}`, `{"message":"ok","choices":[{"delta":{"content":"a"}}]}`} {
			if es := conversetest.Decode(t, new(Decoder), body); es[1].Text != "a" {
				t.Errorf("%s: %+v", body, es)
			}
		}
	})
	t.Run("malformed", func(t *testing.T) {
		for _, body := range []string{``, `[]`, `"x"`, `{`, `{"choices":[{"delta":{"content":"a`, `{"choices":[{"delta":{"content":a}}]}`, `null`} {
			var d Decoder
			if es, err := d.Append(nil, []byte(body)); !errors.Is(err, ErrMalformed) || len(es) > 0 {
				t.Errorf("%s: %v %v", body, es, err)
			}
		}
	})
}

// general decodes as the Decoder does, without the quick path.
func general(chunks []string) (es []converse.Event, err error) {
	var d Decoder
	for _, c := range chunks {
		d.before = d.before[:0]
		if es, err = d.Append(es, []byte(c)); err != nil {
			return es, err
		}
	}
	return d.Finish(es, func() int64 { return conversetest.EstimatedInput }), nil
}

func sameAsGeneral(t *testing.T, chunks []string) {
	t.Helper()
	want, wantErr := general(chunks)
	var d Decoder
	var got []converse.Event
	var err error
	for _, c := range chunks {
		if got, err = d.Append(got, []byte(c)); err != nil {
			break
		}
	}
	if err == nil {
		got = d.Finish(got, func() int64 { return conversetest.EstimatedInput })
	}
	for _, es := range [][]converse.Event{got, want} { // made up where the server gave none
		for i := range es {
			if strings.HasPrefix(es[i].ToolUseID, "call_") && len(es[i].ToolUseID) == len("call_")+26 {
				es[i].ToolUseID = "made up"
			}
		}
	}
	if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nquick:   %+v %v\ngeneral: %+v %v", chunks, got, err, want, wantErr)
	}
	if err == nil {
		if err := conversetest.CheckOrder(got); err != nil {
			t.Error(err)
		}
	}
}

// TestQuick: the quick path reads what the general one reads.
func TestQuick(t *testing.T) {
	head, tail := `{"choices":[{"index":0,"delta":{"content":`, `},"finish_reason":null}]}`
	for _, second := range []string{
		`" b"`, `""`, `"\n"`, `"\u00e9"`, `"é"`, `"\ud83d\ude00"`, `"\ud83d"`, "\"\xff\"", `"a\"b"`, `"\\"`, `"\`, `"a"b"`, `"a","x":"b"`, `null`, `"`, ``, `"\"`, `"a\x"`, "\"\x01\"", "\"a\tb\"", `"a\\"b"`,
		`"a"},"finish_reason":"stop"}],"x":[{"y":{"z":"`,
	} {
		sameAsGeneral(t, []string{head + `"a"` + tail, head + second + tail, head + `"c"` + tail})
	}
	// It is taken where it should be.
	var d Decoder
	if _, err := d.Append(nil, []byte(head+`"a"`+tail)); err != nil {
		t.Fatal(err)
	}
	if text, ok := d.quick([]byte(head + `"b"` + tail)); !ok || text != "b" {
		t.Error("a chunk that repeats the last is not read quickly")
	}
	for name, c := range map[string]string{"finish_reason": head + `"a"},"finish_reason":"stop"}]}`, "usage": head + `"a"` + tail[:len(tail)-1] + `,"usage":{"prompt_tokens":1,"completion_tokens":1}}`} {
		var d Decoder
		if _, err := d.Append(nil, []byte(c)); err != nil {
			t.Fatal(err)
		}
		if len(d.before) > 0 {
			t.Errorf("a chunk with %s is taken for one of text alone", name)
		}
	}
}

// FuzzStreamDecoder: whatever a server sends, the events are in order, and the quick path changes nothing.
func FuzzStreamDecoder(f *testing.F) {
	for _, name := range []string{"llamacpp-text.sse", "llamacpp-tool.sse", "openai-text.sse", "vllm-tools.sse"} {
		f.Add(strings.Join(chunksOf(f, name), "\n"))
	}
	f.Add(`{"choices":[{"delta":{"content":"a"}}]}` + "\n" + `{"choices":[{"delta":{"content":"\ud83d"}}]}` + "\n" + `{"error":"x"}`)
	f.Add(`{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{}}}]}}]}`)
	f.Fuzz(func(t *testing.T, stream string) { sameAsGeneral(t, strings.Split(stream, "\n")) })
}

// FuzzResponse: a whole answer gives events in order, a usage without overflow, or an error.
func FuzzResponse(f *testing.F) {
	for _, name := range []string{"llamacpp-text.json", "llamacpp-tool.json"} {
		f.Add([]byte(file(f, name)))
	}
	f.Add([]byte(`{"choices":[],"usage":{"prompt_tokens":9e18,"completion_tokens":-1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d Decoder
		es, err := d.Append(nil, body)
		if err != nil {
			if ParseError(body) == nil {
				t.Error("no error read of what is no answer")
			}
			return
		}
		es = d.Finish(es, func() int64 { return 1 })
		if err := conversetest.CheckOrder(es); err != nil {
			t.Error(err)
		}
		u := es[len(es)-1].Usage
		for _, n := range []int64{u.InputTokens, u.OutputTokens, u.CacheReadInputTokens, u.CacheWriteInputTokens} {
			if n < 0 || n > 1<<41 {
				t.Errorf("usage %+v", u)
			}
		}
	})
}

func BenchmarkDecodeChunk(b *testing.B) {
	chunk := []byte(`{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" hello"}}],"created":1795439810,"id":"chatcmpl-GE5gwhMC34P8U4OKenRzjsUtFF2gvQRu","model":"gemma-3-270m","system_fingerprint":"b0-unknown","object":"chat.completion.chunk"}`)
	for _, quick := range []bool{true, false} {
		b.Run(fmt.Sprintf("quick=%t", quick), func(b *testing.B) {
			var d Decoder
			es := make([]converse.Event, 0, 4)
			b.ReportAllocs()
			for b.Loop() {
				if !quick {
					d.before = d.before[:0]
				}
				var err error
				if es, err = d.Append(es[:0], chunk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestFields: of a whole answer every path leads somewhere, of a stream those into its end. The answers are the examples
// of OpenAI's API reference, "The chat completion object" and "The chat completion chunk object", with their log
// probabilities cut short.
func TestFields(t *testing.T) {
	const (
		whole = `{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion","created":1741570283,"model":"gpt-4o-2024-08-06","choices":[{"index":0,` +
			`"message":{"role":"assistant","content":"Hello!","refusal":null,"annotations":[]},"logprobs":{"content":[{"token":"Hello","logprob":-0.31725305,"bytes":[72,101,108,108,111],"top_logprobs":[]}],"refusal":null},"finish_reason":"stop"}],` +
			`"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18},"service_tier":"default","system_fingerprint":"fp_fc9f1d7035"}`
		piece = `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"logprobs":null,"finish_reason":null}],"usage":null}`
		end   = `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}`
		usage = `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","service_tier":"flex","system_fingerprint":"fp_44709d6fcb","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}`
		late  = `{"id":"chatcmpl-123","choices":[],"usage":null}`
	)
	for _, c := range []struct {
		chunks []string
		paths  []string
		want   string
		tier   string
	}{
		{[]string{whole}, nil, "", "default"},
		{[]string{whole}, []string{"/choices/0/logprobs/content/0/logprob", "/system_fingerprint", "/none"}, `{"choices":{"0":{"logprobs":{"content":{"0":{"logprob":-0.31725305}}}}},"system_fingerprint":"fp_fc9f1d7035"}`, "default"},
		{[]string{piece, end, usage}, []string{"/choices/0/finish_reason", "/usage/total_tokens", "/service_tier"}, `{"choices":{"0":{"finish_reason":"stop"}},"service_tier":"flex","usage":{"total_tokens":10}}`, "flex"},
		{[]string{piece, end, usage, late}, []string{"/usage"}, `{"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}`, "flex"},
		{[]string{piece, end}, []string{"/usage"}, `{"usage":null}`, ""},
	} {
		es := conversetest.Decode(t, &Decoder{Fields: converse.Fields{Paths: c.paths}}, c.chunks...)
		if got := string(es[len(es)-2].Fields); got != c.want {
			t.Errorf("%q gives %s, want %s", c.paths, got, c.want)
		}
		tier := ""
		if s := es[len(es)-1].Served; s != nil {
			tier = s.Tier
		}
		if tier != c.tier {
			t.Errorf("%d chunks: served in tier %q, want %q", len(c.chunks), tier, c.tier)
		}
	}
}

// TestFieldPaths: what a stream tells in pieces is not to be had from its end, and refused by name.
func TestFieldPaths(t *testing.T) {
	for path, ok := range map[string]bool{
		"/choices/0/logprobs": false, "/choices/0/delta/content": false, "/choices/0/message": false, "/choices/0/logprobs/content/0": false,
		"/choices/0/finish_reason": true, "/choices/0": true, "/usage": true, "/choices": true, "/logprobs": true,
	} {
		text := "a"
		r := &converse.Request{Messages: []converse.Message{{Role: "user", Content: []converse.ContentBlock{{Text: &text}}}}, AdditionalModelResponseFieldPaths: []string{"/id", path}}
		if _, err := AppendRequest(nil, r, "m", false, "gpu-a"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		_, err := AppendRequest(nil, r, "m", true, "gpu-a")
		if ok != (err == nil) || err != nil && (!strings.Contains(err.Error(), "additionalModelResponseFieldPaths.1 ") || !strings.Contains(err.Error(), `"gpu-a"`)) {
			t.Errorf("%s in a stream: %v", path, err)
		}
	}
}

// allocated is what f allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestPieces: text in very many pieces costs what its bytes do.
func TestPieces(t *testing.T) {
	const n = 20_000
	for name, answer := range map[string]string{
		"parts":    `{"choices":[{"message":{"content":[` + strings.Repeat(`{"type":"text","text":"0123456789"},`, n) + `{}]},"finish_reason":"stop"}]}`,
		"thoughts": `{"choices":[{"message":{"content":[{"type":"thinking","thinking":[` + strings.Repeat(`{"type":"text","text":"0123456789"},`, n) + `{}]}]},"finish_reason":"stop"}]}`,
		"members":  `{"choices":[{"message":{` + strings.Repeat(`"content":"0123456789",`, n) + `"role":"assistant"},"finish_reason":"stop"}]}`,
	} {
		var es []converse.Event
		if cost := allocated(func() { es = conversetest.Decode(t, &Decoder{}, answer) }); cost > 100*n*10 {
			t.Errorf("%s: %d bytes were allocated", name, cost)
		}
		if want := strings.Repeat("0123456789", n); es[1].Text != want {
			t.Errorf("%s: %d characters", name, len(es[1].Text))
		}
	}
	var d Decoder
	var es []converse.Event
	piece := []byte(`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"0123456789"}}]}}]}`)
	if cost := allocated(func() {
		for range n {
			es, _ = d.Append(es, piece)
		}
		es, _ = d.Append(es, []byte(`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]},"finish_reason":"tool_calls"}]}`))
	}); cost > 200*n*10 {
		t.Errorf("arguments before the name: %d bytes were allocated", cost)
	}
	if len(es) != 3 || es[2].Text != strings.Repeat("0123456789", n) {
		t.Errorf("%d events", len(es))
	}
}

// TestTooManyParts: what no answer has is not decoded.
func TestTooManyParts(t *testing.T) {
	var d Decoder
	answer := []byte(`{"choices":[{"message":{"tool_calls":[` + strings.Repeat(`{},`, 1<<18) + `{}]}}]}`)
	if _, err := d.Append(nil, answer); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
