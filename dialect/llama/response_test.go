package llama

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
)

// recorded is the stream of meta.llama2-13b-chat-v1 to "What does 'lorem ipsum' mean?", max_gen_len 5:
// github.com/DataDog/dd-trace-py, tests/contrib/botocore/bedrock_cassettes/meta_invoke_stream.yaml.
var recorded = []string{
	`{"generation":"\n","prompt_token_count":10,"generation_token_count":1,"stop_reason":null}`,
	`{"generation":"\n","prompt_token_count":null,"generation_token_count":2,"stop_reason":null}`,
	`{"generation":"The","prompt_token_count":null,"generation_token_count":3,"stop_reason":null}`,
	`{"generation":" text","prompt_token_count":null,"generation_token_count":4,"stop_reason":null}`,
	`{"generation":" you","prompt_token_count":null,"generation_token_count":5,"stop_reason":"length","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":5,"invocationLatency":267,"firstByteLatency":173}}`,
}

// TestDecoder: beside the stream above, whole answers recorded by opentelemetry-python-contrib
// (test_invoke_model_with_content[meta.llama].yaml) and the end of a stream recorded by newrelic-python-agent.
func TestDecoder(t *testing.T) {
	for name, c := range map[string]struct {
		chunks     []string
		text, stop string
		usage      converse.Usage
		estimated  bool
		finished   bool
	}{
		"recorded stream": {recorded, "\n\nThe text you", converse.StopMaxTokens, converse.Usage{InputTokens: 10, OutputTokens: 5}, false, true},
		"recorded answer": {[]string{"{\n  \"generation\": \" post. This is a test post. This is\",\n  \"prompt_token_count\": 5,\n  \"generation_token_count\": 10,\n  \"stop_reason\": \"length\"\n}"}, " post. This is a test post. This is", converse.StopMaxTokens, converse.Usage{InputTokens: 5, OutputTokens: 10}, false, true},
		"recorded end": {[]string{`{"generation":" Hello","prompt_token_count":76,"generation_token_count":1,"stop_reason":null}`, `{"generation":"","prompt_token_count":null,"generation_token_count":83,"stop_reason":"stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":76,"outputTokenCount":83,"invocationLatency":2375,"firstByteLatency":366}}`},
			" Hello", converse.StopEndTurn, converse.Usage{InputTokens: 76, OutputTokens: 83}, false, true},
		"cut":                   {recorded[:4], "\n\nThe text", converse.StopEndTurn, converse.Usage{InputTokens: 10, OutputTokens: 4}, false, false},
		"no usage":              {[]string{`{"generation":"one two three","stop_reason":"stop"}`}, "one two three", converse.StopEndTurn, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, true, true},
		"counts that cannot be": {[]string{`{"generation":"one two three","prompt_token_count":-1,"generation_token_count":"3","stop_reason":"stop"}`}, "one two three", converse.StopEndTurn, converse.Usage{InputTokens: conversetest.EstimatedInput, OutputTokens: 3}, true, true},
		"said for nothing":      {[]string{`{"generation":"one two three","prompt_token_count":7,"generation_token_count":0,"stop_reason":"stop"}`}, "one two three", converse.StopEndTurn, converse.Usage{InputTokens: 7, OutputTokens: 3}, true, true},
		"nothing said":          {[]string{`{"generation":"","prompt_token_count":7,"generation_token_count":0,"stop_reason":"stop"}`}, "", converse.StopEndTurn, converse.Usage{InputTokens: 7}, false, true},
		"metrics by themselves": {[]string{`{"generation":"a","stop_reason":"stop"}`, `{"amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"outputTokenCount":2}}`}, "a", converse.StopEndTurn, converse.Usage{InputTokens: 1, OutputTokens: 2}, false, true},
		"nothing at all":        {nil, "", converse.StopEndTurn, converse.Usage{InputTokens: conversetest.EstimatedInput}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			r := conversetest.Collect(t, conversetest.Decode(t, &d, c.chunks...))
			text := ""
			for _, b := range r.Content {
				text += *b.Text
			}
			if text != c.text || r.StopReason != c.stop || r.Usage != c.usage || r.Estimated != c.estimated || d.Finished() != c.finished {
				t.Errorf("%q %s %+v estimated %t finished %t", text, r.StopReason, r.Usage, r.Estimated, d.Finished())
			}
		})
	}
	for _, body := range []string{``, `[]`, `{}`, `{"message":"x"}`, `{"generation":5}`, `{"generation":`, `{"generation":null}`} {
		var d Decoder
		if _, err := d.Append(nil, []byte(body)); !errors.Is(err, ErrMalformed) || d.Started() {
			t.Errorf("%q: %v, want ErrMalformed", body, err)
		}
	}
}

// TestCalls: an answer is a call only where it is one whole call of a tool of the request. Each is read whole and in
// single characters.
func TestCalls(t *testing.T) {
	r := conversetest.Request(t, `{"messages":[{"role":"user","content":[{"text":"a"}]}],"toolConfig":{"tools":[`+weatherSpec+`]}}`)
	for _, c := range []struct {
		text, stop  string
		input, want string // the input of the call, or the text
		reason      string
	}{
		{`{"name": "get_weather", "parameters": {"city": "Oslo"}}`, "stop", `{"city": "Oslo"}`, "", converse.StopToolUse},
		{" \n<|python_tag|>{\"type\": \"function\", \"name\": \"get_weather\", \"parameters\": {}}\n", "stop", `{}`, "", converse.StopToolUse},
		{`{"name": "get_weather", "parameters": {"city": "Oslo"}}`, "length", `{"city": "Oslo"}`, "", converse.StopMaxTokens},
		{`{"name": "other", "parameters": {}}`, "stop", "", `{"name": "other", "parameters": {}}`, converse.StopEndTurn},
		{`{"name": "get_weather", "parameters": "x"}`, "stop", "", `{"name": "get_weather", "parameters": "x"}`, converse.StopEndTurn},
		{`{"name": "get_weather", "parameters": {}, "x": 1}`, "stop", "", `{"name": "get_weather", "parameters": {}, "x": 1}`, converse.StopEndTurn},
		{`{"name": "get_weather", "parameters": {}} And so on.`, "stop", "", `{"name": "get_weather", "parameters": {}} And so on.`, converse.StopEndTurn},
		{`{"name": "get_weather", "par`, "length", "", `{"name": "get_weather", "par`, converse.StopMaxTokens},
		{"It is {cold}.", "stop", "", "It is {cold}.", converse.StopEndTurn},
		{" \n ", "stop", "", " \n ", converse.StopEndTurn},
		{"<|python", "stop", "", "<|python", converse.StopEndTurn},
		{"<|pyre", "stop", "", "<|pyre", converse.StopEndTurn},
	} {
		single := []string{}
		for i := range len(c.text) {
			single = append(single, `{"generation":`+quote(c.text[i:i+1])+`,"stop_reason":null}`)
		}
		for _, chunks := range [][]string{{`{"generation":` + quote(c.text) + `,"stop_reason":"` + c.stop + `"}`}, append(single, `{"generation":"","stop_reason":"`+c.stop+`"}`)} {
			d := NewDecoder(r)
			got := conversetest.Collect(t, conversetest.Decode(t, d, chunks...))
			input, text := "", ""
			for _, b := range got.Content {
				if b.Text != nil {
					text += *b.Text
				} else if input = string(b.ToolUse.Input); b.ToolUse.Name != "get_weather" || !strings.HasPrefix(b.ToolUse.ToolUseID, "call_") {
					t.Errorf("%s", conversetest.Marshal(t, b))
				}
			}
			if input != c.input || text != c.want || got.StopReason != c.reason {
				t.Errorf("%.100q: %.100q %.100q %s", c.text, input, text, got.StopReason)
			}
		}
	}
	// What is held back is bounded.
	long := "{" + strings.Repeat(" ", maxHeld)
	if es, err := NewDecoder(r).Append(nil, []byte(`{"generation":"`+long+`"}`)); err != nil || len(es) != 2 || es[1].Text != long {
		t.Errorf("%v, %d events", err, len(es))
	}
	// Without tools it is a text, and not held back.
	d := NewDecoder(conversetest.Request(t, `{"messages":[{"role":"user","content":[{"text":"a"}]}]}`))
	if es, err := d.Append(nil, []byte(`{"generation":"{","stop_reason":null}`)); err != nil || len(es) != 2 {
		t.Errorf("%v %+v", err, es)
	}
}

var answers = []struct {
	events []converse.Event // without MessageStart and what ends the answer
	stop   string
	body   string
	chunks []string // up to the metrics
}{
	{
		[]converse.Event{
			{Kind: converse.BlockDelta, Delta: converse.ReasoningDelta, Text: "Hm."}, {Kind: converse.BlockStop},
			{Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: "\n\nThe"}, {Kind: converse.BlockDelta, Index: 1, Delta: converse.TextDelta, Text: " text"}, {Kind: converse.BlockStop, Index: 1},
		}, converse.StopMaxTokens,
		`{"generation":"\n\nThe text","prompt_token_count":10,"generation_token_count":5,"stop_reason":"length"}`,
		[]string{
			`{"generation":"\n\nThe","prompt_token_count":12,"generation_token_count":2,"stop_reason":null}`,
			`{"generation":" text","prompt_token_count":null,"generation_token_count":3,"stop_reason":null}`,
			`{"generation":"","prompt_token_count":null,"generation_token_count":5,"stop_reason":"length"`,
		},
	},
	{
		[]converse.Event{
			{Kind: converse.BlockStart, ToolUseID: "x", ToolName: "f"}, {Kind: converse.BlockDelta, Delta: converse.ToolInputDelta, Text: `{"a"`}, {Kind: converse.BlockDelta, Delta: converse.ToolInputDelta, Text: `:1}`}, {Kind: converse.BlockStop},
			{Kind: converse.BlockStart, Index: 1, ToolUseID: "y", ToolName: "g"}, {Kind: converse.BlockStop, Index: 1},
		}, converse.StopToolUse,
		`{"generation":"{\"name\": \"f\", \"parameters\": {\"a\":1}}; {\"name\": \"g\", \"parameters\": {}}","prompt_token_count":10,"generation_token_count":5,"stop_reason":"stop"}`,
		[]string{
			`{"generation":"{\"name\": \"f\", \"parameters\": ","prompt_token_count":12,"generation_token_count":15,"stop_reason":null}`,
			`{"generation":"{\"a\"","prompt_token_count":null,"generation_token_count":19,"stop_reason":null}`,
			`{"generation":":1}","prompt_token_count":null,"generation_token_count":22,"stop_reason":null}`,
			`{"generation":"}","prompt_token_count":null,"generation_token_count":23,"stop_reason":null}`,
			`{"generation":"; {\"name\": \"g\", \"parameters\": ","prompt_token_count":null,"generation_token_count":39,"stop_reason":null}`,
			`{"generation":"{}}","prompt_token_count":null,"generation_token_count":42,"stop_reason":null}`,
			`{"generation":"","prompt_token_count":null,"generation_token_count":5,"stop_reason":"stop"`,
		},
	},
	{
		nil, converse.StopContentFiltered,
		`{"generation":"","prompt_token_count":10,"generation_token_count":5,"stop_reason":"stop"}`,
		[]string{`{"generation":"","prompt_token_count":10,"generation_token_count":5,"stop_reason":"stop"`},
	},
}

// TestAnswers: members and their order are those of the recorded answers above.
func TestAnswers(t *testing.T) {
	usage := converse.Usage{InputTokens: 10, OutputTokens: 5}
	for _, c := range answers {
		es := append([]converse.Event{{Kind: converse.MessageStart, Role: converse.RoleAssistant}}, c.events...)
		es = append(es, converse.Event{Kind: converse.MessageStop, StopReason: c.stop}, converse.Event{Kind: converse.Metadata, Usage: usage})
		if got := string(AppendResponse(nil, &converse.AnswerInfo{}, conversetest.Collect(t, es))); got != c.body {
			t.Errorf("%s\nwant %s", got, c.body)
		}
		enc := StreamEncoder{AnswerInfo: converse.AnswerInfo{InputTokens: 12, Latency: 267 * time.Millisecond, FirstByte: 173 * time.Millisecond}}
		var chunks []string
		for i := range es {
			enc.Encode(&es[i], func(b []byte) { chunks = append(chunks, string(b)) })
		}
		want := strings.Join(c.chunks, "\n") + `,"amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":5,"invocationLatency":267,"firstByteLatency":173}}`
		if got := strings.Join(chunks, "\n"); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		var all strings.Builder
		for _, c := range chunks {
			var a answer
			if err := json.Unmarshal([]byte(c), &a); err != nil {
				t.Fatal(err)
			}
			all.WriteString(*a.Generation)
		}
		if whole := `{"generation":` + quote(all.String()) + `,`; !strings.HasPrefix(c.body, whole) {
			t.Errorf("streamed %s, want %s", whole, c.body)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(recorded[0]), []byte(recorded[4]), false)
	f.Add([]byte(`{"generation":" {\"name\": \"get_we"}`), []byte(`{"generation":"ather\",\"parameters\":{}}","stop_reason":"stop"}`), true)
	f.Fuzz(func(t *testing.T, a, b []byte, tools bool) {
		d := new(Decoder)
		if tools {
			d = NewDecoder(&converse.Request{ToolConfig: &converse.ToolConfig{Tools: []converse.Tool{{ToolSpec: &converse.ToolSpec{Name: "get_weather"}}}}})
		}
		var es []converse.Event
		for _, c := range [][]byte{a, b} {
			var err error
			if es, err = d.Append(es, c); err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			if len(d.held) > maxHeld {
				t.Errorf("%d bytes are held back", len(d.held))
			}
		}
		es = d.Finish(es, func() int64 { return 1 })
		if err := conversetest.CheckOrder(es); err != nil {
			t.Error(err)
		}
		m := es[len(es)-1]
		if m.Usage.InputTokens < 1 || m.Usage.OutputTokens < 0 {
			t.Errorf("%+v", m)
		}
		for _, e := range es {
			if e.Delta == converse.ToolInputDelta && !jsontext.Value(e.Text).IsValid(jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("%+v", e)
			}
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	b.ReportAllocs()
	var es []converse.Event
	for b.Loop() {
		var d Decoder
		es = es[:0]
		for _, c := range recorded {
			es, _ = d.Append(es, []byte(c))
		}
		es = d.Finish(es, func() int64 { return 0 })
	}
}

func BenchmarkStreamEncoder(b *testing.B) {
	b.ReportAllocs()
	e := converse.Event{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " token"}
	var enc StreamEncoder
	for b.Loop() {
		enc.Encode(&e, func([]byte) {})
	}
}
