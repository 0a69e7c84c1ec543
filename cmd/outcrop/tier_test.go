package main

import (
	"encoding/json"
	"net/http"
	"testing"
)

// A policy that denies a service tier denies it wherever the request asks for it: by a header, a member of the body or an
// additional field. Who is denied it is served in the default tier all the same, also where the word is no tier.
func TestDeniedTier(t *testing.T) {
	v := startVendor(t)
	const answer = `{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`
	v.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer))
	})
	const model = "openai.gpt-oss-20b-1:0"
	g := startGateway(t, func(c *Config) { c.Upstreams = []UpstreamConfig{v.to(t, "openai", map[string]string{model: "m"})} })
	err := g.people.PutUserPolicy(t.Context(), gatewayAccount, "alice", "tier", []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"bedrock:*","Resource":"*",`+
		`"Condition":{"StringEquals":{"bedrock:ServiceTier":"priority"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	const (
		invoke, converse, chat, responses = "/model/" + model + "/invoke", "/model/" + model + "/converse", "/openai/v1/chat/completions", "/openai/v1/responses"
		user, asked                       = `"messages":[{"role":"user","content":"hi"}]`, `"messages":[{"role":"user","content":[{"text":"hi"}]}]`
		named, input                      = `"model":"` + model + `",` + user, `"model":"` + model + `","input":"hi"`
	)
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{invoke, `{` + user + `}`, 200},
		{invoke, `{` + user + `,"service_tier":"default"}`, 200},
		{invoke, `{` + user + `,"service_tier":"priority"}`, 403},
		{converse, `{` + asked + `,"serviceTier":{"type":"priority"}}`, 403},
		{converse, `{` + asked + `,"additionalModelRequestFields":{"service_tier":"priority"}}`, 403},
		{converse, `{` + asked + `,"additionalModelRequestFields":{"servic\u0065_tier":"\u0070riority"}}`, 403},
		{converse, `{` + asked + `,"additionalModelRequestFields":{"service_tier":"auto"}}`, 200},
		{chat, `{` + named + `,"service_tier":"auto"}`, 200},
		{chat, `{` + named + `,"service_tier":"priority"}`, 403},
		{chat, `{` + named + `,"service_tier":"premium"}`, 400},
		{responses, `{` + input + `,"service_tier":"priority"}`, 403},
		{responses, `{` + input + `,"service_tier":"premium"}`, 400},
	} {
		if status, _, got := g.post(t, c.path, c.body); status != c.status {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, got)
		}
	}
	for _, e := range g.entries(t) {
		if _, unrated := e.Cost(); e.Tier != "" || unrated {
			shown, _ := json.Marshal(e.Charges)
			t.Errorf("tier %q, charges %s", e.Tier, shown)
		}
	}
}
