package anthropic

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/fault"
)

// TestParseMessages: the same content in Anthropic's own body and in Bedrock's is the same request.
func TestParseMessages(t *testing.T) {
	const members = `"max_tokens":256,"temperature":0.5,"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],
		"messages":[{"role":"user","content":"Hello"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"ok"}]}],
		"tools":[{"name":"f","input_schema":{"type":"object"}}],"thinking":{"type":"enabled","budget_tokens":1024}`
	bedrock, err := ParseRequest([]byte(`{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a","b"],` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body   string
		betas  []string
		stream bool
	}{
		{`{"model":"m\u002d1",` + members + `}`, []string{"a", "b"}, false},
		{`{"stream":true,` + members + `,"model":"m-1","anthropic_beta":["a","b"]}`, nil, true},
		{`{"stream":null,` + members + `,"model":"m-1","anthropic_beta":["a"],"anthropic_version":"2023-06-01"}`, []string{"a", "b"}, false},
	} {
		m, err := ParseMessages([]byte(c.body), c.betas)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(m.Request)
		want, _ := json.Marshal(bedrock)
		if m.Model != "m-1" || m.Stream != c.stream || string(got) != string(want) {
			t.Errorf("model %q, stream %t\ngot  %s\nwant %s", m.Model, m.Stream, got, want)
		}
	}
}

// TestUnreadMessages: what cannot be read says still where it was to go.
func TestUnreadMessages(t *testing.T) {
	for _, c := range []struct {
		body          string
		model, stream bool
		message       string
	}{
		{`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"new"}]}]}`, true, false, "messages.0.content.0: Input tag 'new'"},
		{`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":3}],"stream":true}`, true, true, "messages.0.content: Input should be a valid list"},
		{`{"model":"m","max_tokens":1,"messages":[],"anthropic_beta":"x"}`, true, false, "messages: at least one message is required"},
		{`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"anthropic_beta":"x"}`, true, false, "anthropic_beta: Input should be a valid list"},
		{`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"stream":1}`, false, false, "stream: Input should be a valid boolean"},
		{`{"model":"","max_tokens":1,"messages":[{"role":"user","content":"a"}]}`, false, false, "model: String should have at least 1 character"},
		{`{"model":"m","max_tokens":"1","messages":[{"role":"user","content":"a"}]}`, true, false, "max_tokens: Input should be a valid integer"},
		{`{"model":"m","max_tokens":1,"messages":{}}`, true, false, "messages: Input should be a valid list"},
		{`{"model":"m","max_tokens":1,"temperature":"hot"}`, true, false, "temperature: Input should be a valid number"},
		{`{"model":"m","max_tokens":1,"output_config":1}`, true, false, "output_config: Input should be a valid dictionary"},
		{`{"model":"m"`, false, false, "The request body is not valid JSON."},
		{`null`, false, false, "model: Field required"},
		{`7`, false, false, "body: Input should be a valid dictionary"},
		{``, false, false, "The request body is not valid JSON."},
	} {
		m, err := ParseMessages([]byte(c.body), []string{"b"})
		if f := fault.From(err); err == nil || f.Kind != fault.Validation || !strings.HasPrefix(f.Message, c.message) {
			t.Errorf("%s: %v, want %s", c.body, err, c.message)
		}
		if (m != nil) != c.model || m != nil && (m.Model != "m" || m.Stream != c.stream || m.Request != nil) {
			t.Errorf("%s: %+v", c.body, m)
		}
	}
}

// TestParseCountTokens: max_tokens may be missing, and must be one where it is not.
// Source: https://docs.claude.com/en/api/messages-count-tokens
func TestParseCountTokens(t *testing.T) {
	const members = `"model":"m","messages":[{"role":"user","content":"Hello"}]`
	m, err := ParseCountTokens([]byte(`{`+members+`}`), nil)
	if err != nil || m.Model != "m" || *m.Messages[0].Content[0].Text != "Hello" {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := ParseMessages([]byte(`{`+members+`}`), nil); err == nil || fault.From(err).Message != "max_tokens: Field required" {
		t.Error(err)
	}
	if _, err := ParseCountTokens([]byte(`{`+members+`,"max_tokens":0}`), nil); err == nil {
		t.Error("0 tokens were taken")
	}
}

// TestAPIStream: the end of https://docs.claude.com/en/api/messages-streaming, without what Bedrock adds.
func TestAPIStream(t *testing.T) {
	enc := StreamEncoder{API: true}
	var got []string
	for _, e := range []converse.Event{{Kind: converse.MessageStop, StopReason: converse.StopEndTurn}, {Kind: converse.Metadata, Usage: converse.Usage{OutputTokens: 15}}} {
		enc.Encode(&e, func(event []byte) { got = append(got, string(event)) })
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{`) || got[1] != `{"type":"message_stop"}` {
		t.Errorf("%q", got)
	}
}

func FuzzParseMessages(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"stream":true}`))
	f.Add([]byte(`{"model":"m","anthropic_beta":["a"],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`))
	f.Add([]byte(`{"model":1,"stream":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, parse := range []func([]byte, []string) (*Messages, error){ParseMessages, ParseCountTokens} {
			m, err := parse(body, []string{"beta-1"})
			if err != nil {
				if fault.From(err).Kind != fault.Validation || m != nil && (m.Request != nil || m.Model == "") {
					t.Fatalf("%+v: %v", m, err)
				}
				continue
			}
			if m.Model == "" || !strings.Contains(string(m.AdditionalModelRequestFields), `"beta-1"`) || !m.AdditionalModelRequestFields.IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("%+v", m)
			}
		}
	})
}
