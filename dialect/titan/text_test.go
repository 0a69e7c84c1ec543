package titan

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

func ptr[T any](v T) *T { return &v }

// refused holds err against Bedrock's form of a refusal.
func refused(t *testing.T, body string, err error, want string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Validation || f.Message != "Malformed input request: "+want+", please reformat your input and try again." {
		t.Errorf("%s\n%v\nwant %s", body, err, want)
	}
}

// talk writes a conversation in short: the system prompt, then the turns.
func talk(r *converse.Request) (out []string) {
	out = append(out, "")
	if len(r.System) > 0 {
		out[0] = *r.System[0].Text
	}
	for i, m := range r.Messages {
		if want := [2]string{converse.RoleUser, converse.RoleAssistant}[i%2]; m.Role != want || len(m.Content) != 1 {
			return append(out, fmt.Sprintf("turn %d: %+v", i, m))
		}
		out = append(out, *m.Content[0].Text)
	}
	return out
}

// TestPrompt: "User: <theUserPrompt>\nBot:" of "Amazon Titan Text models", for one turn and for several; everything that is
// not that is one text.
func TestPrompt(t *testing.T) {
	for prompt, want := range map[string][]string{
		"User: Hi\nBot:":                                       {"", "Hi"},
		"User: Hi\nBot: ":                                      {"", "Hi"},
		"User: Hi\nthere\n\nBot:":                              {"", "Hi\nthere\n"},
		"User: User: Hi\nBot:":                                 {"", "User: Hi"},
		"User: a\nBot: b\nUser: c\nBot:":                       {"", "a", "b", "c"},
		"User: a\nBot: b":                                      {"", "a", "b"},
		"Be brief.\n\nUser: a\nBot:":                           {"Be brief.", "a"},
		"Be brief.\n\nAlways.\n\n\nUser: a\nBot:":              {"Be brief.\n\nAlways.\n", "a"},
		"Say this is a test":                                   {"", "Say this is a test"},
		"User: Hi":                                             {"", "User: Hi"},
		"User: \nBot:":                                         {"", "User: \nBot:"},
		"User:Hi\nBot:":                                        {"", "User:Hi\nBot:"},
		"User: a\nUser: b\nBot:":                               {"", "User: a\nUser: b\nBot:"},
		"User: a\nBot: b\nBot:":                                {"", "User: a\nBot: b\nBot:"},
		"User: a\nBot:\nUser: b\nBot:":                         {"", "User: a\nBot:\nUser: b\nBot:"},
		"User: a\nBot: b\nUser: c":                             {"", "User: a\nBot: b\nUser: c"},
		"Bot: a\n\nUser: b\nBot:":                              {"", "Bot: a\n\nUser: b\nBot:"},
		"An example.\nBot: x\n\nUser: a\nBot:":                 {"", "An example.\nBot: x\n\nUser: a\nBot:"},
		"An example.\nUser: a\nBot:":                           {"", "An example.\nUser: a\nBot:"},
		"\n\nUser: a\nBot:":                                    {"", "\n\nUser: a\nBot:"},
		strings.Repeat("User: a\nBot: b\n", maxTurns) + "User": {"", strings.Repeat("User: a\nBot: b\n", maxTurns) + "User"},
	} {
		r, err := ParseRequest([]byte(`{"inputText":` + string(converse.AppendQuote(nil, prompt)) + `}`))
		if err != nil {
			t.Errorf("%.80q: %v", prompt, err)
			continue
		}
		if got := talk(r); !reflect.DeepEqual(got, want) {
			t.Errorf("%.80q is read as %.200q, want %.200q", prompt, got, want)
		}
	}
}

// TestParseRequest: "Amazon Titan Text models", request; the bodies recorded for opentelemetry-instrumentation-botocore.
func TestParseRequest(t *testing.T) {
	for body, want := range map[string]string{
		`{"inputText":"Say it","textGenerationConfig":{"maxTokenCount":10,"temperature":0.8,"topP":1,"stopSequences":["|"]}}`: `{"messages":[{"role":"user","content":[{"text":"Say it"}]}],"inferenceConfig":{"maxTokens":10,"temperature":0.8,"topP":1,"stopSequences":["|"]}}`,
		`{"inputText":"x","textGenerationConfig":{}}`:                          `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`,
		`{"a":[1],"inputText":"x","textGenerationConfig":{"seed":1},"b":null}`: `{"messages":[{"role":"user","content":[{"text":"x"}]}],"additionalModelRequestFields":{"textGenerationConfig":{"seed":1},"a":[1],"b":null}}`,
		`{"inputText":"x","a":1}`:                                              `{"messages":[{"role":"user","content":[{"text":"x"}]}],"additionalModelRequestFields":{"a":1}}`,
	} {
		r, err := ParseRequest([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		conversetest.Same(t, conversetest.Marshal(t, r), want)
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	// The words of Bedrock's schema checker: langgenius/dify issue 3326, aws-samples/aws-genai-llm-chatbot issue 279.
	for body, want := range map[string]string{
		`{}`:                  `#: required key [inputText] not found`,
		`{"inputText":""}`:    `#/inputText: expected minLength: 1, actual: 0`,
		`{"inputText":["x"]}`: `#/inputText: expected type: String, found: JSONArray`,
		`{"inputText":"x","textGenerationConfig":{"stopSequences":"|"}}`:                          `#/textGenerationConfig/stopSequences: expected type: JSONArray, found: String`,
		`{"inputText":"x","textGenerationConfig":{"maxTokenCount":1.5}}`:                          `#/textGenerationConfig/maxTokenCount: expected type: Integer, found: Number`,
		`{"inputText":"x","textGenerationConfig":5}`:                                              `#/textGenerationConfig: expected type: JSONObject, found: Number`,
		`{"inputText":"x","textGenerationConfig":{"temperature":true}}`:                           `#/textGenerationConfig/temperature: expected type: Number, found: Boolean`,
		`{"inputText":"","textGenerationConfig":{"maxTokenCount":0,"temperature":1.5,"topP":-1}}`: `#/inputText: expected minLength: 1, actual: 0#/textGenerationConfig/maxTokenCount: 0 is not greater or equal to 1#/textGenerationConfig/temperature: 1.5 is not less or equal to 1#/textGenerationConfig/topP: -1 is not greater or equal to 0`,
		`{"inputText":"x`: `Unexpected end of input`,
	} {
		_, err := ParseRequest([]byte(body))
		refused(t, body, err, want)
	}
	if _, err := ParseRequest([]byte(`{]`)); !fault.Is(err, fault.Validation) {
		t.Error(err)
	}
}

// TestAppendRequest: the body as "Amazon Titan Text models" has it.
func TestAppendRequest(t *testing.T) {
	text := func(s string) converse.ContentBlock { return converse.ContentBlock{Text: &s} }
	point := &converse.CachePoint{Type: "default"}
	r := converse.Request{
		System: []converse.SystemBlock{{Text: ptr("Be brief.")}, {CachePoint: point}, {Text: ptr("Be kind.")}},
		Messages: []converse.Message{
			{Role: "user", Content: []converse.ContentBlock{text("a"), {CachePoint: point}, text("b")}},
			{Role: "assistant", Content: []converse.ContentBlock{text("c")}},
			{Role: "user", Content: []converse.ContentBlock{text("d")}},
		},
		InferenceConfig:              &converse.InferenceConfig{MaxTokens: ptr(9), Temperature: ptr(0.5), TopP: ptr(0.0), StopSequences: []string{"x", "y"}},
		AdditionalModelRequestFields: jsontext.Value(`{"anthropic_beta":["z"],"a":1,"textGenerationConfig":{"b":2}}`),
		ServiceTier:                  &converse.ServiceTier{Type: "default"},
		PerformanceConfig:            &converse.Performance{Latency: "standard"},
	}
	got, err := AppendRequest([]byte("x"), &r, "m", true, "u")
	if err != nil {
		t.Fatal(err)
	}
	conversetest.Same(t, string(got[1:]), `{"inputText":"Be brief.\nBe kind.\n\nUser: a\nb\nBot: c\nUser: d\nBot:","textGenerationConfig":{"maxTokenCount":9,"temperature":0.5,"topP":0,"stopSequences":["x","y"],"b":2},"a":1}`)
}

func TestAppendRequestRefusals(t *testing.T) {
	obj := []byte(`{}`)
	user := func(b ...converse.ContentBlock) converse.Request {
		return converse.Request{Messages: []converse.Message{{Role: "user", Content: b}}}
	}
	for path, b := range map[string]converse.ContentBlock{
		"image": {Image: &converse.Image{}}, "toolUse": {ToolUse: &converse.ToolUse{}}, "toolResult": {ToolResult: &converse.ToolResult{}}, "reasoningContent": {ReasoningContent: &converse.Reasoning{}},
		"document": {Document: obj}, "video": {Video: obj}, "audio": {Audio: obj}, "guardContent": {GuardContent: obj}, "citationsContent": {CitationsContent: obj}, "searchResult": {SearchResult: obj}, "an empty content block": {},
	} {
		r := user(converse.ContentBlock{Text: ptr("x")}, b)
		if _, err := AppendRequest(nil, &r, "m", false, "up"); !fault.Is(err, fault.Validation) || !strings.Contains(fault.From(err).Message, "support messages.0.content.1."+path+`: upstream "up"`) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, r := range map[string]converse.Request{
		"support system.0.guardContent:":                                          {System: []converse.SystemBlock{{GuardContent: obj}}},
		"support toolConfig:":                                                     {ToolConfig: &converse.ToolConfig{}},
		"support outputConfig.textFormat:":                                        {OutputConfig: &converse.OutputConfig{TextFormat: &converse.TextFormat{}}},
		"support serviceTier.priority:":                                           {ServiceTier: &converse.ServiceTier{Type: "priority"}},
		"support performanceConfig.latency.optimized:":                            {PerformanceConfig: &converse.Performance{Latency: "optimized"}},
		"support guardrailConfig:":                                                {GuardrailConfig: converse.Raw[converse.Guardrail](obj)},
		"support promptVariables:":                                                {PromptVariables: obj},
		"messages.0.content has a line":                                           user(converse.ContentBlock{Text: ptr("x\nBot: y")}),
		"system has a line":                                                       {System: []converse.SystemBlock{{Text: ptr("User: y")}}},
		"additionalModelRequestFields.inputText: ":                                {AdditionalModelRequestFields: jsontext.Value(`{"inputText":"x"}`)},
		"additionalModelRequestFields.textGenerationConfig.topP: ":                {InferenceConfig: &converse.InferenceConfig{TopP: ptr(1.0)}, AdditionalModelRequestFields: jsontext.Value(`{"textGenerationConfig":{"topP":1}}`)},
		"additionalModelRequestFields.textGenerationConfig is not a JSON object.": {AdditionalModelRequestFields: jsontext.Value(`{"textGenerationConfig":[]}`)},
		"additionalModelRequestFields is not a JSON object.":                      {AdditionalModelRequestFields: jsontext.Value(`{"a":}`)},
	} {
		if _, err := AppendRequest(nil, &r, "m", false, "up"); !fault.Is(err, fault.Validation) || !strings.Contains(fault.From(err).Message, path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestRoundTrip: a conversation that is written and read again is the same.
func TestRoundTrip(t *testing.T) {
	for _, turns := range [][]string{
		{"", "Hi"}, {"S", "Hi"}, {"a\n\nb\n", " x ", "\ny\n", "Bot: z"}, {"", "User: a", "Bot:b"}, {"x User: y", "Bot\nUser\n"}, {"", "é\u2028\"\\"},
	} {
		r := converse.Request{InferenceConfig: &converse.InferenceConfig{MaxTokens: ptr(5)}, AdditionalModelRequestFields: jsontext.Value(`{"textGenerationConfig":{"k":1},"l":2}`)}
		if turns[0] != "" {
			r.System = []converse.SystemBlock{{Text: &turns[0]}}
		}
		for i, s := range turns[1:] {
			r.Messages = append(r.Messages, turn([2]string{"user", "assistant"}[i%2], s))
		}
		body, err := AppendRequest(nil, &r, "m", false, "u")
		if err != nil {
			t.Errorf("%q: %v", turns, err)
			continue
		}
		got, err := ParseRequest(body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		conversetest.Same(t, conversetest.Marshal(t, got), conversetest.Marshal(t, &r))
	}
}

// TestAppendResponse: the answers recorded for opentelemetry-instrumentation-botocore and openllmetry; the other reasons as
// "Amazon Titan Text models" lists them.
func TestAppendResponse(t *testing.T) {
	r := &converse.Response{
		Content:    []converse.ContentBlock{{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: "hm"}}}, {Text: ptr("\nHello! \"I\"")}, {Text: ptr(" am")}},
		StopReason: "max_tokens", Usage: converse.Usage{InputTokens: 3, CacheReadInputTokens: 2, OutputTokens: 10},
	}
	if got, want := string(AppendResponse([]byte("x"), nil, r)), `x{"inputTextTokenCount":5,"results":[{"tokenCount":10,"outputText":"\nHello! \"I\" am","completionReason":"LENGTH"}]}`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for stop, want := range map[string]string{
		converse.StopEndTurn: "FINISH", converse.StopToolUse: "FINISH", converse.StopMaxTokens: "LENGTH", converse.StopContextWindowExceeded: "LENGTH", converse.StopStopSequence: "STOP_CRITERIA_MET",
		converse.StopContentFiltered: "CONTENT_FILTERED", converse.StopGuardrailIntervened: "CONTENT_FILTERED",
	} {
		if got := string(AppendResponse(nil, nil, &converse.Response{StopReason: stop})); !strings.HasSuffix(got, `"outputText":"","completionReason":"`+want+`"}]}`) {
			t.Errorf("%s: %s", stop, got)
		}
	}
}

// TestStreamEncoder: the chunks of aws-samples' Bedrock workshop and of streams recorded for opentelemetry-instrumentation-
// botocore: nulls but for the first's input and the last's figures.
func TestStreamEncoder(t *testing.T) {
	encode := func(s *StreamEncoder) (got []string) {
		for _, e := range []converse.Event{
			{Kind: converse.MessageStart}, {Kind: converse.BlockDelta, Delta: converse.ReasoningDelta, Text: "hm"}, {Kind: converse.BlockStop},
			{Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: "\nHe"}, {Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: "llo"}, {Kind: converse.BlockStop, Index: 1},
			{Kind: converse.MessageStop, StopReason: "end_turn"}, {Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 12, OutputTokens: 96}},
		} {
			s.Encode(&e, func(b []byte) { got = append(got, string(b)) })
		}
		return got
	}
	got := encode(&StreamEncoder{AnswerInfo: converse.AnswerInfo{InputTokens: 11, Latency: 616 * time.Millisecond, FirstByte: 300 * time.Millisecond}})
	want := []string{
		`{"outputText":"\nHe","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":11}`,
		`{"outputText":"llo","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null}`,
		`{"outputText":"","index":0,"totalOutputTextTokenCount":96,"completionReason":"FINISH","inputTextTokenCount":12,"amazon-bedrock-invocationMetrics":{"inputTokenCount":12,"outputTokenCount":96,"invocationLatency":616,"firstByteLatency":300}}`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := encode(&StreamEncoder{}); !strings.HasSuffix(got[0], `"inputTextTokenCount":null}`) {
		t.Error(got[0])
	}
	var d Decoder
	if r := conversetest.Collect(t, conversetest.Decode(t, &d, got...)); *r.Content[0].Text != "\nHello" || r.StopReason != "end_turn" || r.Usage != (converse.Usage{InputTokens: 12, OutputTokens: 96}) || r.Estimated {
		t.Errorf("%+v", r)
	}
}

// TestDecode: every ending. The chunks have the form of the streams and answers recorded for
// opentelemetry-instrumentation-botocore and openllmetry (with a guardrail: fractions, members left out) and of aws-samples'
// Bedrock workshop (nulls).
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name      string
		chunks    []string
		text      string
		stop      string
		usage     converse.Usage
		estimated bool
	}{
		{"one chunk", []string{`{"outputText":"\nHello","index":0,"totalOutputTextTokenCount":10,"completionReason":"LENGTH","inputTextTokenCount":5,"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":10,"invocationLatency":616,"firstByteLatency":616}}`}, "\nHello", "max_tokens", converse.Usage{InputTokens: 5, OutputTokens: 10}, false},
		{"chunks", []string{`{"outputText":"a","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":12}`, `{"outputText":" b","index":0,"totalOutputTextTokenCount":96,"completionReason":"FINISH","inputTextTokenCount":null}`}, "a b", "end_turn", converse.Usage{InputTokens: 12, OutputTokens: 96}, false},
		{"by a guardrail", []string{`{"outputText":"a","index":0.0,"inputTextTokenCount":28.0,"amazon-bedrock-guardrailAction":"INTERVENED"}`, `{"outputText":"b","index":0.0,"amazon-bedrock-guardrailAction":"INTERVENED"}`, `{"outputText":"c","index":0.0,"totalOutputTextTokenCount":188.0,"completionReason":"FINISH"}`}, "abc", "end_turn", converse.Usage{InputTokens: 28, OutputTokens: 188}, false},
		{"metrics have the last word", []string{`{"outputText":"a","completionReason":"FINISHED","inputTextTokenCount":1,"totalOutputTextTokenCount":1,"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":6}}`}, "a", "end_turn", converse.Usage{InputTokens: 5, OutputTokens: 6}, false},
		{"no usage", []string{`{"outputText":"one two three","completionReason":"FINISH"}`}, "one two three", "end_turn", converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, true},
		{"usage that cannot be", []string{`{"outputText":"one two","completionReason":"FINISH","inputTextTokenCount":-1,"totalOutputTextTokenCount":1e300}`}, "one two", "end_turn", converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 2}, true},
		{"output of nothing", []string{`{"outputText":"one","completionReason":"FINISH","inputTextTokenCount":3,"totalOutputTextTokenCount":0}`}, "one", "end_turn", converse.Usage{InputTokens: 3, OutputTokens: 1}, true},
		{"nothing said", []string{`{"outputText":"","completionReason":"CONTENT_FILTERED","inputTextTokenCount":3,"totalOutputTextTokenCount":0}`}, "", "content_filtered", converse.Usage{InputTokens: 3}, false},
		{"whole", []string{`{"inputTextTokenCount":30,"results":[{"tokenCount":29,"outputText":": \"más\".","completionReason":"STOP_CRITERIA_MET"}]}`}, `: "más".`, "stop_sequence", converse.Usage{InputTokens: 30, OutputTokens: 29}, false},
		{"whole, by a guardrail", []string{`{"inputTextTokenCount":28.0,"results":[{"tokenCount":197.0,"outputText":"a","completionReason":"FINISH"}],"amazon-bedrock-trace":{}}`}, `a`, "end_turn", converse.Usage{InputTokens: 28, OutputTokens: 197}, false},
		{"whole, refused", []string{`{"inputTextTokenCount":30,"results":[{"tokenCount":1,"outputText":"a","completionReason":"RAG_QUERY_WHEN_RAG_DISABLED"}]}`}, "a", "end_turn", converse.Usage{InputTokens: 30, OutputTokens: 1}, false},
	} {
		var d Decoder
		r := conversetest.Collect(t, conversetest.Decode(t, &d, c.chunks...))
		got := ""
		for _, b := range r.Content {
			got += *b.Text
		}
		if got != c.text || r.StopReason != c.stop || r.Usage != c.usage || r.Estimated != c.estimated || !d.Finished() || !d.Started() {
			t.Errorf("%s: %q %s %+v estimated %t, finished %t", c.name, got, r.StopReason, r.Usage, r.Estimated, d.Finished())
		}
	}
	var cut Decoder
	if es, err := cut.Append(nil, []byte(`{"outputText":"","index":0,"completionReason":null}`)); err != nil || len(es) != 0 || cut.Started() {
		t.Errorf("%v %v", es, err)
	}
	if es, err := cut.Append(nil, []byte(`{"outputText":"a","index":0,"completionReason":null}`)); err != nil || len(es) != 2 || !cut.Started() || cut.Finished() {
		t.Errorf("a cut stream: %v %v", es, err)
	}
	for _, bad := range []string{``, `[]`, `{"outputText":5}`, `{"outputText":"a"`, `{"results":{}}`, `{} {}`} {
		var d Decoder
		if _, err := d.Append(nil, []byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// FuzzParseRequest: whatever a caller sends, it is refused or becomes a request that is written and read again the same.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"inputText":"Say it","textGenerationConfig":{"maxTokenCount":10,"temperature":0.8,"topP":1,"stopSequences":["|"],"a":1},"b":2}`))
	f.Add([]byte(`{"inputText":"S\n\nUser: a\nBot: b\nUser: c\nBot:"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Error(err)
			}
			return
		}
		if r.Check() != nil {
			return
		}
		sameAgain(t, r)
	})
}

// FuzzPrompt: what the template holds is written and read again the same.
func FuzzPrompt(f *testing.F) {
	f.Add("S", "a", "b", "c")
	f.Add("", "User: \n", "\nBot", "Bot:\n\nUser")
	f.Fuzz(func(t *testing.T, system, a, b, c string) {
		r := &converse.Request{}
		if !blank(system) {
			r.System = []converse.SystemBlock{{Text: &system}}
		}
		for i, s := range []string{a, b, c} {
			if blank(s) {
				break
			}
			r.Messages = append(r.Messages, turn([2]string{"user", "assistant"}[i%2], s))
		}
		if r.Check() == nil {
			sameAgain(t, r)
		}
	})
}

func sameAgain(t *testing.T, r *converse.Request) {
	out, err := AppendRequest(nil, r, "m", false, "u")
	if err != nil {
		if !fault.Is(err, fault.Validation) {
			t.Error(err)
		}
		return
	}
	again, err := ParseRequest(out)
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for i, s := range talk(r) {
		if got := talk(again); i >= len(got) || got[i] != s && utf8.ValidString(s) {
			t.Fatalf("%q is written as %s and read as %q", talk(r), out, got)
		}
	}
	twice, err := AppendRequest(nil, again, "m", false, "u")
	if err != nil || string(twice) != string(out) {
		t.Errorf("%s\n%s\n%v", out, twice, err)
	}
}

// FuzzDecoder: whatever a server sends, the events are in order and the usage cannot overflow.
func FuzzDecoder(f *testing.F) {
	f.Add(`{"outputText":"a","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":12}` + "\n" + `{"outputText":"b","index":0.0,"totalOutputTextTokenCount":9e18,"completionReason":"FINISH"}`)
	f.Add(`{"inputTextTokenCount":30,"results":[{"tokenCount":29,"outputText":"a","completionReason":"FINISH"}]}`)
	f.Fuzz(func(t *testing.T, stream string) {
		var d Decoder
		var es []converse.Event
		for c := range strings.SplitSeq(stream, "\n") {
			var err error
			if es, err = d.Append(es, []byte(c)); err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Error(err)
				}
				return
			}
		}
		es = d.Finish(es, func() int64 { return 1 })
		if err := conversetest.CheckOrder(es); err != nil {
			t.Error(err)
		}
		if u := es[len(es)-1].Usage; u.InputTokens < 0 || u.OutputTokens < 0 || u.Total() > 1<<43 {
			t.Errorf("usage %+v", u)
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	body := []byte(`{"inputText":"User: ` + strings.Repeat("word ", 2000) + `\nBot:","textGenerationConfig":{"maxTokenCount":10}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeChunk(b *testing.B) {
	e := converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " hello"}
	var s StreamEncoder
	b.ReportAllocs()
	for b.Loop() {
		s.Encode(&e, func([]byte) {})
	}
}

func BenchmarkDecodeChunk(b *testing.B) {
	var d Decoder
	chunk := []byte(`{"outputText":" hello","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null}`)
	es := make([]converse.Event, 0, 4)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if es, err = d.Append(es[:0], chunk); err != nil {
			b.Fatal(err)
		}
	}
}
