package main

import (
	"net/http"
	"strings"
	"testing"
)

// Policies may ask by whom and where a call may be served, and whose model it is.
func TestOwnConditionKeys(t *testing.T) {
	v := startVendor(t)
	v.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`))
	})
	const gpt, haiku = "openai.gpt-oss-20b-1:0", "us.anthropic.claude-3-haiku-20240307-v1:0"
	g := startGateway(t, func(c *Config) {
		house, rented := v.to(t, "openai", map[string]string{gpt: "m"}), v.to(t, "openai", map[string]string{"anthropic.claude-3-haiku-20240307-v1:0": "m"})
		house.Name, rented.Name = "house", "rented"
		c.Upstreams = []UpstreamConfig{house, rented}
	})
	for _, tt := range []struct {
		condition   string
		gpt, claude bool // denied
	}{
		{`"StringEquals":{"outcrop:ModelProvider":"Anthropic"}`, false, true},
		{`"StringEqualsIgnoreCase":{"outcrop:modelprovider":"openai"}`, true, false},
		{`"ForAnyValue:StringEquals":{"outcrop:Upstream":"house"}`, true, false},
		{`"ForAnyValue:StringNotEquals":{"outcrop:Upstream":["house","other"]}`, false, true},
		{`"ForAnyValue:StringEquals":{"outcrop:DestinationRegion":"us-west-2"}`, false, true},
		{`"ForAllValues:StringEquals":{"outcrop:DestinationRegion":["us-east-1"]}`, true, false},
		{`"Null":{"outcrop:Upstream":"true"}`, false, false},
	} {
		if err := g.people.PutUserPolicy(t.Context(), gatewayAccount, "alice", "own", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"bedrock:Invoke*","Resource":"*","Condition":{`+tt.condition+`}}]}`)); err != nil {
			t.Fatal(err)
		}
		for model, denied := range map[string]bool{gpt: tt.gpt, haiku: tt.claude} {
			status, _, got := g.post(t, "/model/"+model+"/converse", `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`)
			if want := map[bool]int{false: 200, true: 403}[denied]; status != want || denied && !strings.Contains(string(got), "explicit deny in an identity-based policy") {
				t.Errorf("%s %s: %d %s, want %d", tt.condition, model, status, got, want)
			}
		}
	}
}
