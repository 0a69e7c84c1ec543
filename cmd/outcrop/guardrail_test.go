package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// The policies of "Enforce the use of specific guardrails in model inference requests" in the user guide let through what
// has that guardrail in that version, whatever the door, and nothing else. Behind the doors of other vendors' APIs the guardrail
// is a header, as AWS has it at OpenAI's, and never passed over.
// Source: https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-permissions-id.html
func TestEnforcedGuardrail(t *testing.T) {
	const (
		model  = "anthropic.claude-3-haiku-20240307-v1:0"
		arn    = "arn:aws:bedrock:us-east-1:" + gatewayAccount + ":guardrail/"
		policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],` +
			`"Resource":["arn:aws:bedrock:us-east-1::foundation-model/*"],"Condition":{"StringNotEquals":{"bedrock:GuardrailIdentifier":"`
		invoke, stream, converse, chat = "/model/" + model + "/invoke", "/model/" + model + "/converse-stream", "/model/" + model + "/converse", "/openai/v1/chat/completions"
		messages                       = "/anthropic/v1/messages"
		asked, user                    = `"messages":[{"role":"user","content":[{"text":"hi"}]}]`, `"messages":[{"role":"user","content":"hi"}]`
		message                        = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,` + user + `}`
		named                          = `{"model":"` + model + `",` + user + `}`
		asks                           = `{"model":"` + model + `","max_tokens":9,` + user + `}`
	)
	v := startVendor(t)
	v.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/invoke") {
			io.WriteString(w, `{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"`+
				r.Header.Get("X-Amzn-Bedrock-GuardrailIdentifier")+`:`+r.Header.Get("X-Amzn-Bedrock-GuardrailVersion")+`"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}`)
			return
		}
		io.WriteString(w, `{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},"metrics":{"latencyMs":1}}`)
	})
	g := startGateway(t, func(c *Config) { c.Upstreams = []UpstreamConfig{v.to(t, "bedrock", nil)} })
	guarded := func(id, version string) string {
		return `{` + asked + `,"guardrailConfig":{"guardrailIdentifier":"` + id + `","guardrailVersion":"` + version + `"}}`
	}
	for _, c := range []struct {
		name, required, path, body, id, version string
		status                                  int
	}{
		{"the one and its version", arn + "abc:1", converse, guarded("abc", "1"), "", "", 200},
		{"by its ARN", arn + "abc:1", converse, guarded(arn+"abc", "1"), "", "", 200},
		{"none", arn + "abc:1", converse, `{` + asked + `}`, "", "", 403},
		{"none, in a stream", arn + "abc:1", stream, `{` + asked + `}`, "", "", 403},
		{"another version", arn + "abc:1", converse, guarded("abc", "2"), "", "", 403},
		{"the draft in its place", arn + "abc:1", converse, guarded("abc", "DRAFT"), "", "", 403},
		{"another one", arn + "abc:1", converse, guarded("abd", "1"), "", "", 403},
		{"another account's", arn + "abc:1", converse, guarded(strings.Replace(arn, gatewayAccount, "111122223333", 1)+"abc", "1"), "", "", 403},
		{"the draft", arn + "abc", converse, guarded("abc", "DRAFT"), "", "", 200},
		{"two that say different things", arn + "abc:1", converse, strings.TrimSuffix(guarded("abd", "1"), "}") + `,` + strings.TrimPrefix(guarded("abc", "1"), `{`+asked+`,`), "", "", 400},
		{"by header", arn + "abc:1", invoke, message, "abc", "1", 200},
		{"by header, another", arn + "abc:1", invoke, message, "abc", "2", 403},
		{"no header", arn + "abc:1", invoke, message, "", "", 403},
		{"OpenAI's door", arn + "abc:1", chat, named, "abc", "1", 200},
		{"OpenAI's door, another", arn + "abc:1", chat, named, "abd", "1", 403},
		{"OpenAI's door, none", arn + "abc:1", chat, named, "", "", 403},
		{"OpenAI's door, no such header", arn + "abc:1", chat, named, "a b", "1", 400},
		{"Anthropic's door", arn + "abc:1", messages, asks, "abc", "1", 200},
		{"Anthropic's door, another", arn + "abc:1", messages, asks, "abd", "1", 403},
		{"Anthropic's door, none", arn + "abc:1", messages, asks, "", "", 403},
		{"Anthropic's door, no such header", arn + "abc:1", messages, asks, "a b", "1", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := g.people.PutUserPolicy(t.Context(), gatewayAccount, "alice", "guardrail", []byte(policy+c.required+`"}}}]}`)); err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+g.key)
			if c.id != "" {
				req.Header.Set("X-Amzn-Bedrock-GuardrailIdentifier", c.id)
				req.Header.Set("X-Amzn-Bedrock-GuardrailVersion", c.version)
			}
			resp, err := g.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status {
				t.Fatalf("%d %s", resp.StatusCode, b)
			}
			if c.status == 200 && (c.path == invoke || c.path == messages) && !strings.Contains(string(b), `"`+c.id+`:`+c.version+`"`) {
				t.Errorf("Bedrock was asked with another guardrail: %s", b)
			}
			if _, sent := v.last(); c.status == 200 && c.path == chat && !strings.Contains(string(sent), `"guardrailConfig":{"guardrailIdentifier":"abc","guardrailVersion":"1"}`) {
				t.Errorf("Bedrock was asked %s", sent)
			}
		})
	}
}

// Servers of other APIs have no guardrails: a request for one is refused, and not answered without.
func TestGuardrailWithoutBedrock(t *testing.T) {
	v := startVendor(t)
	v.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, provider := range []string{"openai", "anthropic"} {
		g := startGateway(t, func(c *Config) { c.Upstreams = []UpstreamConfig{v.to(t, provider, nil)} })
		for path, body := range map[string]string{
			"openai/v1/chat/completions": `"messages":[{"role":"user","content":"hi"}]`, "openai/v1/responses": `"input":"hi"`, "openai/v1/embeddings": `"input":"hi"`,
			"openai/v1/chat/completions?":            `"messages":[{"role":"user","content":"hi"}],"n":2`, // has no place in Converse either
			"anthropic/v1/messages":                  `"max_tokens":9,"messages":[{"role":"user","content":"hi"}]`,
			"anthropic/v1/messages?":                 `"max_tokens":9,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"bash_20250124","name":"bash"}]`, // nor has this
			"model/openai.gpt-oss-20b-1:0/invoke":    `"messages":[{"role":"user","content":"hi"}]`,
			"model/openai.gpt-oss-20b-1:0/converse?": `"messages":[{"role":"user","content":[{"text":"hi"}]}],"guardrailConfig":{"guardrailIdentifier":"abc","guardrailVersion":"1"}`,
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+"/"+path, strings.NewReader(`{"model":"openai.gpt-oss-20b-1:0",`+body+`}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+g.key)
			req.Header.Set("X-Amzn-Bedrock-GuardrailIdentifier", "abc")
			req.Header.Set("X-Amzn-Bedrock-GuardrailVersion", "1")
			resp, err := g.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			named := "X-Amzn-Bedrock-GuardrailIdentifier"
			if strings.Contains(path, "/converse") {
				named = "guardrailConfig"
			}
			if resp.StatusCode != 400 || !strings.Contains(strings.ToLower(string(b)), strings.ToLower(named)) && !strings.HasSuffix(path, "?") {
				t.Errorf("%s, %s: %d %s", provider, path, resp.StatusCode, b)
			}
		}
	}
}
