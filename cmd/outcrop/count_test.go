package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestCountTokens counts a body of every format with every kind of upstream: exactly where the upstream counts, and
// otherwise by an estimate that says that it is one.
func TestCountTokens(t *testing.T) {
	t.Parallel()
	for _, c := range startColumns(t) {
		if c.vendor != nil {
			c.vendor.answers(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case strings.HasSuffix(r.URL.Path, "/count-tokens"):
					io.WriteString(w, `{"inputTokens":4711}`)
				case strings.HasSuffix(r.URL.Path, "/messages/count_tokens"):
					io.WriteString(w, `{"input_tokens":4711}`)
				default:
					t.Errorf("%s was asked for %s", c.title, r.URL.Path)
				}
			})
		}
		exact := c.name == "anthropic" || c.name == "bedrock"
		for i := range inbounds {
			in := &inbounds[i]
			text := strings.Replace(in.body(t, "", false), "hello", strings.Repeat(piece, pieceCount), 1)
			path := "/model/" + in.model + "/count-tokens"
			var body string
			switch {
			case in.path == "converse":
				body = `{"input":{"converse":` + text + `}}`
			case in.path == "invoke":
				body = fmt.Sprintf(`{"input":{"invokeModel":{"body":%q}}}`, base64.StdEncoding.EncodeToString([]byte(text)))
			case strings.HasSuffix(in.path, "/messages"):
				path, body = in.path+"/count_tokens", text
			default:
				continue // OpenAI's API counts nothing
			}
			status, h, told := c.gateway.post(t, path, body)
			var n struct {
				Bedrock   int64 `json:"inputTokens"`
				Anthropic int64 `json:"input_tokens"`
			}
			if err := json.Unmarshal(told, &n); err != nil || status != http.StatusOK {
				t.Errorf("%s to %s: status %d, %s", in.name, c.title, status, told)
				continue
			}
			got, method := n.Bedrock+n.Anthropic, h.Get("X-Outcrop-Token-Count")
			// The tokens of the words, of the turn's marks and, where the prompt is a text, of a template.
			const words = pieceCount * pieceWords
			switch {
			case exact && (got != 4711 || method != "exact"), !exact && (got < words*7/10 || got > words*13/10+10 || method != "estimate"):
				t.Errorf("%s to %s: %d tokens, by %q", in.name, c.title, got, method)
			}
		}
	}
}

// What another Outcrop has estimated is an estimate here too.
func TestCountThroughAnother(t *testing.T) {
	t.Parallel()
	v := startVendor(t)
	v.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("x-outcrop-token-count", "estimate")
		io.WriteString(w, `{"inputTokens":4711,"input_tokens":4711}`)
	})
	const model = "anthropic.claude-3-haiku-20240307-v1:0"
	for _, provider := range []string{"bedrock", "anthropic"} {
		g := startGateway(t, func(c *Config) { c.Upstreams = []UpstreamConfig{v.to(t, provider, nil)} })
		status, h, told := g.post(t, "/model/"+model+"/count-tokens", `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hello"}]}]}}}`)
		if method := h.Get("X-Outcrop-Token-Count"); status != http.StatusOK || method != "estimate" || strings.Contains(string(told), "4711") {
			t.Errorf("%s: %d %s, by %q", provider, status, told, method)
		}
	}
}

// A body in base64 may have no more values than one that comes as it is.
func TestCountManyValues(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	count := func(piece string, n int) int {
		body := `{"messages":[{"role":"user","content":[` + strings.Repeat(piece+",", n) + piece + `]}]}`
		status, _, _ := g.post(t, "/model/amazon.nova-lite-v1:0/count-tokens", `{"input":{"invokeModel":{"body":"`+base64.StdEncoding.EncodeToString([]byte(body))+`"}}}`)
		return status
	}
	if got := count(`{"text":"a"}`, 1<<20); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a million values: %d", got)
	}
	if got := count(`{"text":"`+strings.Repeat("{},", 1<<20)+`"}`, 1); got != http.StatusOK {
		t.Errorf("a long text: %d", got)
	}
}

// Of models that answer with something else than text nothing is counted.
func TestCountOfNoText(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	for _, model := range []string{"amazon.titan-image-generator-v2:0", "cohere.embed-english-v3", "cohere.rerank-v3-5:0"} {
		status, _, told := g.post(t, "/model/"+model+"/count-tokens", `{"input":{"invokeModel":{"body":"e30="}}}`)
		if status != http.StatusBadRequest || !strings.Contains(string(told), "The provided model doesn't support counting tokens.") {
			t.Errorf("%s: %d %s", model, status, told)
		}
	}
}
