package anthropic

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/converse/conversetest"
)

func ptr[T any](v T) *T { return &v }

// TestAppendResponse: the answer that Bedrock's "Anthropic Claude Messages API" documents.
func TestAppendResponse(t *testing.T) {
	r := &converse.Response{
		Content: []converse.ContentBlock{
			{ReasoningContent: &converse.Reasoning{ReasoningText: &converse.ReasoningText{Text: "Hm.", Signature: "sig"}}},
			{ReasoningContent: &converse.Reasoning{RedactedContent: []byte{0, 1, 2}}},
			{Text: ptr("a \"b\"\n")},
			{ToolUse: &converse.ToolUse{ToolUseID: "t1", Name: "f", Input: jsontext.Value(`{"x":1}`)}},
			{ToolUse: &converse.ToolUse{ToolUseID: "t2", Name: "g"}},
		},
		StopReason: converse.StopToolUse,
		Usage:      converse.Usage{InputTokens: 10, OutputTokens: 20, CacheReadInputTokens: 30, CacheWriteInputTokens: 40, CacheWrite1hInputTokens: 15},
	}
	conversetest.Same(t, string(AppendResponse(nil, &converse.AnswerInfo{ID: "msg_bdrk_01", Model: "claude-3-haiku-20240307"}, r)), `{"id":"msg_bdrk_01","type":"message","role":"assistant","model":"claude-3-haiku-20240307",
		"content":[{"type":"thinking","thinking":"Hm.","signature":"sig"},{"type":"redacted_thinking","data":"AAEC"},{"type":"text","text":"a \"b\"\n"},
		{"type":"tool_use","id":"t1","name":"f","input":{"x":1}},{"type":"tool_use","id":"t2","name":"g","input":{}}],
		"stop_reason":"tool_use","stop_sequence":null,
		"usage":{"input_tokens":10,"cache_creation_input_tokens":40,"cache_read_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":25,"ephemeral_1h_input_tokens":15},"output_tokens":20}}`)

	for reason, want := range map[string]string{
		converse.StopEndTurn: `"end_turn"`, converse.StopMaxTokens: `"max_tokens"`, converse.StopToolUse: `"tool_use"`,
		converse.StopContentFiltered: `"refusal"`, converse.StopGuardrailIntervened: `"refusal"`, converse.StopContextWindowExceeded: `"model_context_window_exceeded"`,
		converse.StopMalformedModelOutput: `"end_turn"`, converse.StopMalformedToolUse: `"end_turn"`,
	} {
		got := string(AppendResponse(nil, &converse.AnswerInfo{}, &converse.Response{StopReason: reason, StopSequence: "x"}))
		if !strings.Contains(got, `"stop_reason":`+want+`,"stop_sequence":null`) {
			t.Errorf("%s: %s, want %s", reason, got, want)
		}
	}
	got := string(AppendResponse(nil, &converse.AnswerInfo{}, &converse.Response{StopReason: converse.StopStopSequence, StopSequence: `"E"`}))
	if !strings.Contains(got, `"stop_reason":"stop_sequence","stop_sequence":"\"E\""`) || !strings.Contains(got, `"content":[]`) {
		t.Errorf("a stop sequence: %s", got)
	}
}

func encode(s *StreamEncoder, es []converse.Event) (out []string) {
	for i := range es {
		s.Encode(&es[i], func(b []byte) { out = append(out, string(b)) })
	}
	return out
}

var wholeAnswer = []converse.Event{
	{Kind: converse.MessageStart, Role: converse.RoleAssistant},
	{Kind: converse.BlockDelta, Index: 0, Delta: converse.ReasoningDelta, Text: "Hm."},
	{Kind: converse.BlockDelta, Index: 0, Delta: converse.SignatureDelta, Text: "sig"},
	{Kind: converse.BlockStop, Index: 0},
	{Kind: converse.BlockDelta, Index: 1, Delta: converse.RedactedDelta, Text: "\x00\x01"},
	{Kind: converse.BlockDelta, Index: 1, Delta: converse.RedactedDelta, Text: "\x02"},
	{Kind: converse.BlockStop, Index: 1},
	{Kind: converse.BlockDelta, Index: 2, Delta: converse.TextDelta, Text: "Hel"},
	{Kind: converse.BlockDelta, Index: 2, Delta: converse.TextDelta, Text: "lo\n"},
	{Kind: converse.BlockStop, Index: 2},
	{Kind: converse.BlockStart, Index: 3, ToolUseID: "t1", ToolName: "f"},
	{Kind: converse.BlockDelta, Index: 3, Delta: converse.ToolInputDelta, Text: `{"x"`},
	{Kind: converse.BlockDelta, Index: 3, Delta: converse.ToolInputDelta, Text: `:1}`},
	{Kind: converse.BlockStop, Index: 3},
	{Kind: converse.MessageStop, StopReason: converse.StopToolUse},
	{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 10, OutputTokens: 20}},
}

// TestStreamEncoder: the order and the forms of Anthropic's "Streaming Messages", and Bedrock's metrics on the last event.
func TestStreamEncoder(t *testing.T) {
	s := StreamEncoder{AnswerInfo: converse.AnswerInfo{ID: "msg_bdrk_01", Model: "claude", InputTokens: 9, Latency: 1200 * time.Millisecond, FirstByte: 300 * time.Millisecond}}
	got := encode(&s, wholeAnswer)
	usage := func(in, out string) string {
		return `{"input_tokens":` + in + `,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":` + out + `}`
	}
	want := []string{
		`{"type":"message_start","message":{"id":"msg_bdrk_01","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":` + usage("9", "0") + `}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"AAEC"}}`,
		`{"type":"content_block_stop","index":1}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Hel"}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"lo\n"}}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"x\""}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":":1}"}}`,
		`{"type":"content_block_stop","index":3}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":` + usage("10", "20") + `}`,
		`{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":20,"invocationLatency":1200,"firstByteLatency":300}}`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		conversetest.Same(t, got[i], want[i])
	}

	var cached StreamEncoder
	got = encode(&cached, []converse.Event{
		{Kind: converse.MessageStart}, {Kind: converse.BlockStop}, // a block without anything in it is none
		{Kind: converse.MessageStop, StopReason: converse.StopStopSequence, StopSequence: "END"},
		{Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 1, OutputTokens: 2, CacheReadInputTokens: 3, CacheWriteInputTokens: 4}},
	})
	if len(got) != 3 {
		t.Fatalf("%q", got)
	}
	if !strings.Contains(got[1], `"stop_reason":"stop_sequence","stop_sequence":"END"`) {
		t.Error(got[1])
	}
	if !strings.Contains(got[2], `"cacheReadInputTokenCount":3,"cacheWriteInputTokenCount":4`) {
		t.Error(got[2])
	}
}

// assemble is what a client of the stream makes of it: the accumulation of Anthropic's SDKs.
func assemble(t *testing.T, events []string) *converse.Response {
	t.Helper()
	var r converse.Response
	var input, data string
	var kind string
	for i, e := range events {
		var v struct {
			Type    string
			Index   int
			Message struct {
				Usage struct {
					InputTokens int64 `json:"input_tokens"`
				}
			}
			Block struct {
				Type, ID, Name, Data string
			} `json:"content_block"`
			Delta struct {
				Text, Thinking, Signature string
				Partial                   string  `json:"partial_json"`
				StopReason                string  `json:"stop_reason"`
				StopSequence              *string `json:"stop_sequence"`
			}
			Usage struct {
				Input  int64 `json:"input_tokens"`
				Output int64 `json:"output_tokens"`
				Read   int64 `json:"cache_read_input_tokens"`
				Write  int64 `json:"cache_creation_input_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(e), &v, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if (v.Type == "message_start") != (i == 0) || (v.Type == "message_stop") != (i == len(events)-1) || (v.Type == "message_delta") != (i == len(events)-2) {
			t.Fatalf("event %d of %d is %s", i, len(events), e)
		}
		var last *converse.ContentBlock
		if n := len(r.Content); n > 0 {
			last = &r.Content[n-1]
		}
		switch v.Type {
		case "content_block_start":
			if kind != "" || v.Index != len(r.Content) {
				t.Fatalf("%s while %q is open", e, kind)
			}
			kind, input, data = v.Block.Type, "", v.Block.Data
			b := converse.ContentBlock{}
			switch kind {
			case "text":
				b.Text = new(string)
			case "thinking":
				b.ReasoningContent = &converse.Reasoning{ReasoningText: &converse.ReasoningText{}}
			case "redacted_thinking":
				raw, err := base64.StdEncoding.DecodeString(data)
				if err != nil {
					t.Fatal(err)
				}
				b.ReasoningContent = &converse.Reasoning{RedactedContent: raw}
			case "tool_use":
				b.ToolUse = &converse.ToolUse{ToolUseID: v.Block.ID, Name: v.Block.Name}
			}
			r.Content = append(r.Content, b)
		case "content_block_delta":
			if v.Index != len(r.Content)-1 {
				t.Fatalf("%s in block %d", e, len(r.Content)-1)
			}
			switch kind {
			case "text":
				*last.Text += v.Delta.Text
			case "thinking":
				last.ReasoningContent.ReasoningText.Text += v.Delta.Thinking
				last.ReasoningContent.ReasoningText.Signature += v.Delta.Signature
			case "tool_use":
				input += v.Delta.Partial
			default:
				t.Fatalf("%s in %q", e, kind)
			}
		case "content_block_stop":
			if kind == "tool_use" {
				if input == "" {
					input = "{}"
				}
				last.ToolUse.Input = jsontext.Value(input)
			}
			kind = ""
		case "message_delta":
			r.StopReason = v.Delta.StopReason
			if v.Delta.StopSequence != nil {
				r.StopSequence = *v.Delta.StopSequence
			}
			r.Usage = converse.Usage{InputTokens: v.Usage.Input, OutputTokens: v.Usage.Output, CacheReadInputTokens: v.Usage.Read, CacheWriteInputTokens: v.Usage.Write}
		}
	}
	return &r
}

// TestStreamIsWhole: a client that puts the stream together has what the one answer would have been.
func TestStreamIsWhole(t *testing.T) {
	want, err := converse.Collect(func(yield func(converse.Event, error) bool) {
		for _, e := range wholeAnswer {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := assemble(t, encode(new(StreamEncoder), wholeAnswer)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
