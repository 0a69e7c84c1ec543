package deepseek

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

func quote(s string) string { return string(converse.AppendQuote(nil, s)) }

// TestParseRequest: the first prompts are AWS's own example (userguide/model-parameters-deepseek.html), whose Python puts
// white space around the template, and the same with an earlier turn as the model's chat template writes it.
func TestParseRequest(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"AWS's example": {
			`{"prompt":` + quote("\n    <｜begin▁of▁sentence｜><｜User｜>Describe the purpose of a 'hello world' program in one line.<｜Assistant｜><think>\n\n    ") + `,"max_tokens":512,"temperature":0.5,"top_p":0.9}`,
			`{"messages":[{"role":"user","content":[{"text":"Describe the purpose of a 'hello world' program in one line."}]}],"inferenceConfig":{"maxTokens":512,"temperature":0.5,"topP":0.9}}`,
		},
		"several turns": {
			`{"prompt":"<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜>Hello.<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜><think>\n","stop":["X"]}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"text":"Hello."}]},{"role":"user","content":[{"text":"Bye"}]}],"system":[{"text":"Be brief."}],"inferenceConfig":{"stopSequences":["X"]}}`,
		},
		"without an end between": {
			`{"prompt":"<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>Hello.<｜User｜>Bye"}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"text":"Hello."}]},{"role":"user","content":[{"text":"Bye"}]}]}`,
		},
		"thinking of an earlier turn": {
			`{"prompt":"<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>\nA greeting.\n</think>\n\nHello.<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜><think>\n"}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"A greeting."}}},{"text":"Hello."}]},{"role":"user","content":[{"text":"Bye"}]}]}`,
		},
		"an answer begun": {
			`{"prompt":"<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>Hel"}`,
			`{"messages":[{"role":"user","content":[{"text":"Hi"}]},{"role":"assistant","content":[{"text":"Hel"}]}]}`,
		},
		"any other prompt":   {`{"prompt":" Once upon a time "}`, `{"messages":[{"role":"user","content":[{"text":" Once upon a time "}]}]}`},
		"thinking begun":     {`{"prompt":"<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>\nHm"}`, `{"messages":[{"role":"user","content":[{"text":"<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>\nHm"}]}]}`},
		"no user":            {`{"prompt":"<｜begin▁of▁sentence｜><｜Assistant｜>Hi"}`, `{"messages":[{"role":"user","content":[{"text":"<｜begin▁of▁sentence｜><｜Assistant｜>Hi"}]}]}`},
		"too many turns":     {`{"prompt":"` + begin + strings.Repeat(user+"a"+assistant+"b", maxTurns/2) + user + `c"}`, `{"messages":[{"role":"user","content":[{"text":"` + begin + strings.Repeat(user+"a"+assistant+"b", maxTurns/2) + user + `c"}]}]}`},
		"two answers":        {`{"prompt":"<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜>b<｜Assistant｜>c"}`, `{"messages":[{"role":"user","content":[{"text":"<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜>b<｜Assistant｜>c"}]}]}`},
		"an empty user turn": {`{"prompt":"<｜begin▁of▁sentence｜><｜User｜> <｜Assistant｜>"}`, `{"messages":[{"role":"user","content":[{"text":"<｜begin▁of▁sentence｜><｜User｜> <｜Assistant｜>"}]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if got := conversetest.Marshal(t, r); got != conversetest.Marshal(t, conversetest.Request(t, c.want)) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// TestMalformed: the form is that of Bedrock's schema checker; bounds are those of AWS's page.
func TestMalformed(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                          "#: required key [prompt] not found",
		`{"messages":[]}`:                             "#: required key [prompt] not found#: extraneous key [messages] is not permitted",
		`{"prompt":" "}`:                              "#/prompt: expected minLength: 1, actual: 0",
		`{"prompt":5}`:                                "#/prompt: expected type: String, found: Number",
		`{"prompt":"a","stop":"b"}`:                   "#/stop: expected type: JSONArray, found: String",
		`{"prompt":"a","max_tokens":0}`:               "#/max_tokens: 0 is not greater or equal to 1",
		`{"prompt":"a","max_tokens":"1"}`:             "#/max_tokens: expected type: Integer, found: String",
		`{"prompt":"a","max_tokens":32769}`:           "#/max_tokens: 32769 is not less or equal to 32768",
		`{"prompt":"a","temperature":1.5,"top_p":-1}`: "#/temperature: 1.5 is not less or equal to 1#/top_p: -1 is not greater or equal to 0",
		`{"prompt":"a","stop":["","","","","","","","","","",""]}`: "#/stop: expected maximum item count: 10, found: 11",
		`{"prompt":"a"`: "Unexpected end of input",
	} {
		_, err := ParseRequest([]byte(body))
		f := fault.From(err)
		if f == nil || f.Kind != fault.Validation || f.Message != "Malformed input request: "+want+", please reformat your input and try again." {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	if _, err := ParseRequest([]byte(`nonsense`)); !fault.Is(err, fault.Validation) {
		t.Errorf("%v, want a Validation fault", err)
	}
}

// TestAppendRequest compares with the chat template of huggingface.co/deepseek-ai/DeepSeek-R1, by hand, but for the
// thinking of earlier turns, which it leaves out.
func TestAppendRequest(t *testing.T) {
	for name, c := range map[string]struct{ request, want string }{
		"one turn": {
			`{"messages":[{"role":"user","content":[{"text":"Say \"hi\""}]}],"inferenceConfig":{"maxTokens":5,"temperature":0.5,"topP":1,"stopSequences":["a","b"]},"additionalModelRequestFields":{"x":[1]}}`,
			`{"prompt":"<｜begin▁of▁sentence｜><｜User｜>Say \"hi\"<｜Assistant｜><think>\n","max_tokens":5,"temperature":0.5,"top_p":1,"stop":["a","b"],"x":[1]}`,
		},
		"turns": {
			`{"system":[{"text":"S"},{"cachePoint":{"type":"default"}},{"text":"T"}],"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},{"text":"c"}]},{"role":"user","content":[{"text":"d"}]}]}`,
			`{"prompt":"<｜begin▁of▁sentence｜>S\nT<｜User｜>a\nb<｜Assistant｜><think>\nhm\n</think>\n\nc<｜end▁of▁sentence｜><｜User｜>d<｜Assistant｜><think>\n"}`,
		},
		"an answer begun": {
			`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b "}]}]}`,
			`{"prompt":"<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜>b "}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := AppendRequest(nil, conversetest.Request(t, c.request), "us.deepseek.r1-v1:0", false, "aws")
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
	says := func(block string) string {
		return `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[` + block + `]},{"role":"user","content":[{"text":"a"}]}]}`
	}
	asks := func(block string) string {
		return `{"messages":[{"role":"user","content":[{"text":"a"},` + block + `]}]}`
	}
	for _, c := range []struct{ path, request string }{
		{"messages.0.content.1.text holds <｜User｜>", asks(`{"text":"x<｜User｜>y"}`)},
		{"system.0.text holds <｜end▁of▁sentence｜>", with(`"system":[{"text":"<｜end▁of▁sentence｜>"}]`)},
		{"messages.1.content.0.text holds <｜Assistant｜>", says(`{"text":"<｜Assistant｜>"}`)},
		{"messages.1.content.0.reasoningContent.redactedContent", says(`{"reasoningContent":{"redactedContent":"AAAA"}}`)},
		{"</think> within messages.1.content.0.reasoningContent.reasoningText.text", says(`{"reasoningContent":{"reasoningText":{"text":"a</think>b"}}}`)},
		{"messages.0.content.1.image", asks(`{"image":{"format":"png","source":{"bytes":"AAAA"}}}`)},
		{"messages.0.content.1.document", asks(`{"document":{"a":1}}`)},
		{"messages.0.content.1.video", asks(`{"video":{"a":1}}`)},
		{"messages.0.content.1.audio", asks(`{"audio":{"a":1}}`)},
		{"messages.0.content.1.guardContent", asks(`{"guardContent":{"a":1}}`)},
		{"messages.0.content.1.searchResult", asks(`{"searchResult":{"a":1}}`)},
		{"messages.0.content.1.toolResult", asks(`{"toolResult":{"toolUseId":"a","content":[]}}`)},
		{"messages.1.content.0.toolUse", says(`{"toolUse":{"toolUseId":"a","name":"f","input":{}}}`)},
		{"messages.1.content.0.citationsContent", says(`{"citationsContent":{"a":1}}`)},
		{"system.0.guardContent", with(`"system":[{"guardContent":{"a":1}}]`)},
		{"toolConfig", with(`"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}`)},
		{"outputConfig.textFormat", with(`"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{}"}}}}`)},
		{"guardrailConfig", with(`"guardrailConfig":{"a":1}`)},
		{"promptVariables", with(`"promptVariables":{"a":1}`)},
		{"serviceTier.flex", with(`"serviceTier":{"type":"flex"}`)},
		{"performanceConfig.latency.optimized", with(`"performanceConfig":{"latency":"optimized"}`)},
		{"additionalModelRequestFields.prompt", with(`"additionalModelRequestFields":{"prompt":"x"}`)},
		{"additionalModelRequestFields.max_tokens", with(`"inferenceConfig":{"maxTokens":1},"additionalModelRequestFields":{"max_tokens":2}`)},
		{"additionalModelRequestFields.temperature", with(`"inferenceConfig":{"temperature":1},"additionalModelRequestFields":{"temperature":1}`)},
		{"additionalModelRequestFields.top_p", with(`"inferenceConfig":{"topP":1},"additionalModelRequestFields":{"top_p":1}`)},
		{"additionalModelRequestFields.stop", with(`"inferenceConfig":{"stopSequences":["a"]},"additionalModelRequestFields":{"stop":[]}`)},
		{"additionalModelRequestFields is not", with(`"additionalModelRequestFields":[1]`)},
	} {
		_, err := AppendRequest(nil, conversetest.Request(t, c.request), "deepseek.r1-v1:0", false, "aws")
		f := fault.From(err)
		if f == nil || f.Kind != fault.Validation || !strings.Contains(f.Message, c.path) {
			t.Errorf("%v, want a Validation fault of %s", err, c.path)
		}
	}
}

// TestRoundTrip: a conversation written and read is the same, to the letter.
func TestRoundTrip(t *testing.T) {
	for _, texts := range [][]string{{"hi"}, {"hi", "hello", "bye"}, {" a\n", "\n\nb\n", "</think>"}, {"a", "b "}, {"<think>", "x</think>\n\ny", "\"q\" \\ é😀"}} {
		for _, thought := range []string{"", "hm", "\na\n\n"} {
			for _, system := range []string{"", " Be\n"} {
				r := &converse.Request{}
				if system != "" {
					r.System = []converse.SystemBlock{{Text: &system}}
				}
				for i := range texts {
					m := converse.Message{Role: converse.RoleUser}
					if i%2 == 1 {
						m.Role = converse.RoleAssistant
						if thought != "" {
							m.Content = append(m.Content, converse.ContentBlock{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: thought}}})
						}
					}
					m.Content = append(m.Content, converse.ContentBlock{Text: &texts[i]})
					r.Messages = append(r.Messages, m)
				}
				b, err := AppendRequest(nil, r, "deepseek.r1-v1:0", false, "aws")
				if err != nil {
					t.Fatal(err)
				}
				got, err := ParseRequest(b)
				if err != nil {
					t.Fatal(err)
				}
				if conversetest.Marshal(t, got) != conversetest.Marshal(t, r) {
					t.Errorf("%s\n%s\nwant %s", b, conversetest.Marshal(t, got), conversetest.Marshal(t, r))
				}
			}
		}
	}
}

func chunk(text, stop string) string {
	if stop != "null" {
		stop = quote(stop)
	}
	return `{"choices":[{"text":` + quote(text) + `,"stop_reason":` + stop + `}]}`
}

// TestDecoder: the answer's shape is AWS's page's, the text's that of answers to AWS's example prompt. Each is read whole
// and byte by byte.
func TestDecoder(t *testing.T) {
	for _, c := range []struct{ text, thought, said string }{
		{"Okay, so a greeting.\n</think>\n\nHello!", "Okay, so a greeting.", "Hello!"},
		{"<think>\nOkay.\n</think>\n\nHello!", "Okay.", "Hello!"},
		{"\n<think>\nOkay.</think>Hello!", "Okay.", "Hello!"},
		{"\n</think>\n\nHello!", "", "Hello!"},
		{"</think>\nHello!\n", "", "Hello!\n"},
		{"a\n\n</think>\n\n\nb </think> c", "a\n", "\nb </think> c"},
		{"a < b\n</ b\n</thin", "a < b\n</ b\n</thin", ""},
		{"Okay, so", "Okay, so", ""},
		{"<thinking about it", "<thinking about it", ""},
		{"Hm.\n</think>\n", "Hm.", ""},
		{"", "", ""},
	} {
		single := make([]string, 0, len(c.text)+1)
		for _, r := range c.text {
			single = append(single, chunk(string(r), "null"))
		}
		for _, chunks := range [][]string{{chunk(c.text, "stop")}, append(single, chunk("", "stop"))} {
			var d Decoder
			r := conversetest.Collect(t, conversetest.Decode(t, &d, chunks...))
			var thought, said string
			for _, b := range r.Content {
				if b.ReasoningContent != nil {
					thought += b.ReasoningContent.ReasoningText.Text
				} else {
					said += *b.Text
				}
			}
			if thought != c.thought || said != c.said || r.StopReason != converse.StopEndTurn || !d.Finished() {
				t.Errorf("%q of %d: %q %q %s, want %q %q", c.text, len(chunks), thought, said, r.StopReason, c.thought, c.said)
			}
		}
	}
	// An answer that the request begins has no thinking before it.
	d := NewDecoder(conversetest.Request(t, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]}]}`))
	if r := conversetest.Collect(t, conversetest.Decode(t, d, chunk("\nc", "stop"))); len(r.Content) != 1 || r.Content[0].Text == nil || *r.Content[0].Text != "\nc" {
		t.Errorf("%s", conversetest.Marshal(t, r.Content))
	}
}

func TestEndings(t *testing.T) {
	const metrics = `,"amazon-bedrock-invocationMetrics":{"inputTokenCount":25,"outputTokenCount":100,"invocationLatency":1440,"firstByteLatency":327}}`
	said := chunk("one two\n</think>\n\nthree", "null")
	for name, c := range map[string]struct {
		chunks    []string
		stop      string
		usage     converse.Usage
		estimated bool
		finished  bool
	}{
		"stop":                  {[]string{said, strings.TrimSuffix(chunk("", "stop"), "}") + metrics}, converse.StopEndTurn, converse.Usage{InputTokens: 25, OutputTokens: 100}, false, true},
		"length":                {[]string{said, strings.TrimSuffix(chunk("", "length"), "}") + metrics}, converse.StopMaxTokens, converse.Usage{InputTokens: 25, OutputTokens: 100}, false, true},
		"metrics by themselves": {[]string{said, chunk("", "stop"), `{` + metrics[1:]}, converse.StopEndTurn, converse.Usage{InputTokens: 25, OutputTokens: 100}, false, true},
		"filtered":              {[]string{chunk("", "content_filter")}, converse.StopContentFiltered, converse.Usage{InputTokens: conversetest.EstimatedInput}, true, true},
		"no usage":              {[]string{said, chunk("", "stop")}, converse.StopEndTurn, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 9}, true, true},
		"cut":                   {[]string{said}, converse.StopEndTurn, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 9}, true, false},
		"no choice":             {[]string{`{"choices":[]}`}, converse.StopEndTurn, converse.Usage{InputTokens: conversetest.EstimatedInput}, true, false},
		"counts that cannot be": {[]string{said, strings.TrimSuffix(chunk("", "stop"), "}") + `,"amazon-bedrock-invocationMetrics":{"inputTokenCount":-1,"outputTokenCount":0}}`}, converse.StopEndTurn, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 9}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			es := conversetest.Decode(t, &d, c.chunks...)
			m := es[len(es)-1]
			if es[len(es)-2].StopReason != c.stop || m.Usage != c.usage || m.Estimated != c.estimated || d.Finished() != c.finished {
				t.Errorf("%s %+v estimated %t finished %t", es[len(es)-2].StopReason, m.Usage, m.Estimated, d.Finished())
			}
		})
	}
	for _, body := range []string{``, `[]`, `{}`, `{"message":"x"}`, `{"choices":{}}`, `{"choices":[{"text":5}]}`, `{"choices":[`} {
		var d Decoder
		if _, err := d.Append(nil, []byte(body)); !errors.Is(err, ErrMalformed) || d.Started() {
			t.Errorf("%q: %v, want ErrMalformed", body, err)
		}
	}
}

// TestAnswers: what the two encoders write is one text, and the decoder reads the answer back from it.
func TestAnswers(t *testing.T) {
	text := func(s string) converse.ContentBlock { return converse.ContentBlock{Text: &s} }
	thought := func(s string) converse.ContentBlock {
		return converse.ContentBlock{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: s}}}
	}
	usage := converse.Usage{InputTokens: 7, OutputTokens: 9}
	for _, c := range []struct {
		content    []converse.ContentBlock
		stop, body string
	}{
		{[]converse.ContentBlock{thought("Hm."), text("Hello.")}, converse.StopEndTurn, `{"choices":[{"text":"Hm.\n</think>\n\nHello.","stop_reason":"stop"}]}`},
		{[]converse.ContentBlock{text("Hello.")}, converse.StopStopSequence, `{"choices":[{"text":"\n</think>\n\nHello.","stop_reason":"stop"}]}`},
		{[]converse.ContentBlock{thought("Hm")}, converse.StopMaxTokens, `{"choices":[{"text":"Hm","stop_reason":"length"}]}`},
		{nil, converse.StopContentFiltered, `{"choices":[{"text":"","stop_reason":"stop"}]}`},
	} {
		r := &converse.Response{Content: c.content, StopReason: c.stop, Usage: usage}
		whole := AppendResponse(nil, &converse.AnswerInfo{}, r)
		if string(whole) != c.body {
			t.Errorf("%s\nwant %s", whole, c.body)
		}
		es := []converse.Event{{Kind: converse.MessageStart, Role: converse.RoleAssistant}}
		for i, b := range c.content {
			d := converse.Event{Kind: converse.BlockDelta, Index: i, Delta: converse.TextDelta}
			var s string
			if b.Text != nil {
				s = *b.Text
			} else {
				s, d.Delta = b.ReasoningContent.ReasoningText.Text, converse.ReasoningDelta
			}
			for _, r := range s {
				d.Text = string(r)
				es = append(es, d)
			}
			es = append(es, converse.Event{Kind: converse.BlockStop, Index: i})
		}
		es = append(es, converse.Event{Kind: converse.MessageStop, StopReason: c.stop}, converse.Event{Kind: converse.Metadata, Usage: usage})
		enc := StreamEncoder{AnswerInfo: converse.AnswerInfo{Latency: 20 * time.Millisecond, FirstByte: 10 * time.Millisecond}}
		var chunks []string
		for i := range es {
			enc.Encode(&es[i], func(b []byte) { chunks = append(chunks, string(b)) })
		}
		var said strings.Builder
		for _, c := range chunks {
			var a answer
			if err := json.Unmarshal([]byte(c), &a); err != nil {
				t.Fatal(err)
			}
			said.WriteString(a.Choices[0].Text)
		}
		if one := `{"choices":[{"text":` + quote(said.String()); !strings.HasPrefix(c.body, one) {
			t.Errorf("streamed %s, want %s", one, c.body)
		}
		word := "stop"
		if c.stop == converse.StopMaxTokens {
			word = "length"
		}
		if want := `{"choices":[{"text":"","stop_reason":"` + word + `"}],"amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":9,"invocationLatency":20,"firstByteLatency":10}}`; chunks[len(chunks)-1] != want {
			t.Errorf("%s\nwant %s", chunks[len(chunks)-1], want)
		}
		var d Decoder
		if got := conversetest.Collect(t, conversetest.Decode(t, &d, chunks...)); conversetest.Marshal(t, got.Content) != conversetest.Marshal(t, r.Content) || got.Usage != usage || got.Estimated {
			t.Errorf("%s, want %s", conversetest.Marshal(t, got.Content), conversetest.Marshal(t, r.Content))
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"prompt":"<｜begin▁of▁sentence｜>S<｜User｜>Hi<｜Assistant｜><think>\nA\n</think>\n\nHello.<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜><think>\n","max_tokens":5}`))
	f.Add([]byte(`{"prompt":"a","stop":["b"],"temperature":0.5}`))
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
		b, err := AppendRequest(nil, r, "deepseek.r1-v1:0", true, "u")
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Errorf("%v", err)
			}
			return
		}
		if !jsontext.Value(b).IsValid(jsontext.AllowInvalidUTF8(true)) {
			t.Fatalf("%s", b)
		}
		again, err := ParseRequest(b)
		if err != nil || conversetest.Marshal(t, again) != conversetest.Marshal(t, r) {
			t.Errorf("%s\n%v %s\nwant %s", b, err, conversetest.Marshal(t, again), conversetest.Marshal(t, r))
		}
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(chunk("a\n</thi", "null")), []byte(chunk("nk>\n\nb", "stop")))
	f.Add([]byte(chunk("\n<thi", "null")), []byte(`{"choices":[],"amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var d Decoder
		var es []converse.Event
		for _, c := range [][]byte{a, b} {
			var err error
			if es, err = d.Append(es, c); err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			if len(d.held) > 200 {
				t.Errorf("%d bytes are held back", len(d.held))
			}
		}
		es = d.Finish(es, func() int64 { return 1 })
		if err := conversetest.CheckOrder(es); err != nil {
			t.Error(err)
		}
		if m := es[len(es)-1]; m.Usage.InputTokens < 1 || m.Usage.OutputTokens < 0 {
			t.Errorf("%+v", m)
		}
	})
}
