package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"outcrop/ledger"
)

// Bedrock's headers for a class of service and for what the caller says of his call count at every door that takes a body of
// another form than Converse's: none is passed over.
func TestHeadersAtTheDoors(t *testing.T) {
	const (
		chat, messages = "openai/v1/chat/completions", "anthropic/v1/messages"
		user           = `"max_tokens":9,"messages":[{"role":"user","content":"hi"}]`
		gpt, claude    = `{"model":"openai.gpt-oss-20b-1:0",`, `{"model":"anthropic.claude-3-haiku-20240307-v1:0",`
	)
	v := startVendor(t)
	var header http.Header
	v.answers(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/completions"):
			io.WriteString(w, `{"id":"1","object":"chat.completion","service_tier":"flex","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`)
		case strings.HasSuffix(r.URL.Path, "/converse"):
			io.WriteString(w, `{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},"metrics":{"latencyMs":1},"serviceTier":{"type":"flex"}}`)
		default:
			io.WriteString(w, `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}`)
		}
	})
	for _, c := range []struct {
		provider, path, body string
		tier, latency, team  string // the headers
		sent                 string // a part of the body that goes out
		status               int
		says                 string
	}{
		{"openai", chat, gpt + user + `}`, "flex", "", `{"team":"x"}`, `"service_tier":"flex"`, 200, ""},
		{"openai", chat, gpt + user + `}`, "default", "standard", "", gpt[:9], 200, ""},
		{"openai", chat, gpt + user + `,"service_tier":"flex"}`, "flex", "", "", `"service_tier":"flex"`, 200, ""},
		{"openai", chat, gpt + user + `,"service_tier":"priority"}`, "flex", "", "", "", 400, "X-Amzn-Bedrock-Service-Tier"},
		{"openai", chat, gpt + user + `}`, "cheap", "", "", "", 400, "serviceTier"},
		{"openai", chat, gpt + user + `}`, "", "optimized", "", "", 400, "X-Amzn-Bedrock-PerformanceConfig-Latency"},
		{"openai", chat, gpt + user + `}`, "", "", `{"team":1}`, "", 400, "requestMetadata"},
		{"openai", "openai/v1/responses", gpt + `"input":"hi"}`, "flex", "", `[]`, "", 400, "requestMetadata"},
		{"openai", "openai/v1/embeddings", gpt + `"input":"hi"}`, "flex", "", "", "", 400, "X-Amzn-Bedrock-Service-Tier"},
		{"openai", messages, gpt + user + `}`, "flex", "", `{"team":"x"}`, `"service_tier":"flex"`, 200, ""},
		{"openai", messages + "/count_tokens", gpt + user[len(`"max_tokens":9,`):] + `}`, "flex", "", "", "", 200, ""},
		{"anthropic", messages, claude + user + `}`, "", "", `{"team":"x"}`, `"max_tokens":9`, 200, ""},
		{"anthropic", messages, claude + user + `}`, "flex", "", "", "", 400, "the header X-Amzn-Bedrock-Service-Tier"},
		{"anthropic", messages, claude + user + `,"stream":true}`, "flex", "", "", "", 400, "the header X-Amzn-Bedrock-Service-Tier"},
		{"anthropic", chat, claude + user + `,"stream":true}`, "flex", "", "", "", 400, "the header X-Amzn-Bedrock-Service-Tier"},
		{"anthropic", "model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream", `{"anthropic_version":"bedrock-2023-05-31",` + user + `}`, "flex", "", "", "", 400, "the header X-Amzn-Bedrock-Service-Tier"},
		{"bedrock", messages, claude + user + `}`, "flex", "optimized", `{"team":"x"}`, `"max_tokens":9`, 200, ""},
		{"bedrock", chat, claude + user + `}`, "flex", "optimized", `{"team":"x"}`, `"requestMetadata":{"team":"x"}`, 200, ""},
	} {
		t.Run(c.provider+" "+c.path, func(t *testing.T) {
			g := startGateway(t, func(x *Config) { x.Upstreams = []UpstreamConfig{v.to(t, c.provider, nil)} })
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+"/"+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+g.key)
			for name, value := range map[string]string{"Service-Tier": c.tier, "Performanceconfig-Latency": c.latency, "Request-Metadata": c.team} {
				if value != "" {
					req.Header.Set("X-Amzn-Bedrock-"+name, value)
				}
			}
			resp, err := g.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != c.status || !strings.Contains(string(b), c.says) {
				t.Fatalf("%d %s", resp.StatusCode, b)
			}
			if c.sent == "" {
				return
			}
			path, sent := v.last()
			if !strings.Contains(string(sent), c.sent) {
				t.Errorf("the upstream was asked %s", sent)
			}
			switch {
			case strings.HasSuffix(path, "/converse"):
				if !strings.Contains(string(sent), `"serviceTier":{"type":"flex"}`) || !strings.Contains(string(sent), `"latency":"optimized"`) {
					t.Errorf("Bedrock was asked %s", sent)
				}
			case c.provider == "bedrock":
				if header.Get("X-Amzn-Bedrock-Service-Tier") != c.tier || header.Get("X-Amzn-Bedrock-PerformanceConfig-Latency") != c.latency || header.Get("X-Amzn-Bedrock-Request-Metadata") != c.team {
					t.Errorf("Bedrock was asked with %v", header)
				}
			}
			entries := g.entries(t)
			if len(entries) != 1 {
				t.Fatalf("%d entries", len(entries))
			}
			if want := c.team != ""; slices.Contains(entries[0].Metadata, ledger.Tag{Key: "team", Value: "x"}) != want {
				t.Errorf("metadata %v", entries[0].Metadata)
			}
			if tier := strings.TrimPrefix(c.tier, "default"); entries[0].Tier != tier {
				t.Errorf("tier %q, want %q", entries[0].Tier, tier)
			}
		})
	}
}

// What a caller has not said of a guardrail is not said for him.
func TestGuardrailWithoutVersion(t *testing.T) {
	v := startVendor(t)
	v.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5},"metrics":{"latencyMs":1}}`)
	})
	g := startGateway(t, func(c *Config) { c.Upstreams = []UpstreamConfig{v.to(t, "bedrock", nil)} })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+"/openai/v1/chat/completions", strings.NewReader(`{"model":"openai.gpt-oss-20b-1:0","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	req.Header.Set("X-Amzn-Bedrock-GuardrailIdentifier", "abc")
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, sent := v.last(); !strings.Contains(string(sent), `"guardrailConfig":{"guardrailIdentifier":"abc"}`) {
		t.Errorf("%d: Bedrock was asked %s", resp.StatusCode, sent)
	}
}

// What a model's own server has refused for what is wrong with the request is Bedrock's ModelErrorException. The other APIs have no
// such error, and their clients send again what has failed with a status of 500: to them it is the request's fault.
func TestRefusedByTheModel(t *testing.T) {
	v := startVendor(t)
	original := 0
	v.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Errortype", "ModelErrorException")
		w.WriteHeader(424)
		fmt.Fprintf(w, `{"message":"no such thing","originalStatusCode":%d,"resourceName":"m"}`, original)
	})
	g := startGateway(t, func(c *Config) { c.Upstreams = []UpstreamConfig{v.to(t, "bedrock", nil)} })
	const body = `{"model":"openai.gpt-oss-20b-1:0","max_tokens":9,"messages":[{"role":"user","content":"hi"}]`
	for _, c := range []struct {
		path, body         string
		original, expected int
		says               string
	}{
		{"openai/v1/chat/completions", body + `}`, 400, 400, "invalid_request_error"},
		{"openai/v1/chat/completions", body + `,"stream":true}`, 422, 400, "invalid_request_error"},
		{"openai/v1/chat/completions", body + `}`, 500, 500, `"server_error","param":null`},
		{"openai/v1/chat/completions", body + `}`, 403, 500, "server_error"}, // it is the operator's
		{"anthropic/v1/messages", body + `}`, 413, 400, "invalid_request_error"},
		{"anthropic/v1/messages", body + `}`, 0, 500, "api_error"},
		{"model/openai.gpt-oss-20b-1:0/converse", `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`, 400, 424, `"originalStatusCode":400`},
	} {
		original = c.original
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+"/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+g.key)
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.expected || !strings.Contains(string(b), c.says) || !strings.Contains(string(b), "no such thing") {
			t.Errorf("%s, %d: %d %s", c.path, c.original, resp.StatusCode, b)
		}
	}
}
