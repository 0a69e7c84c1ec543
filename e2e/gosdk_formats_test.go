package e2e

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	rt "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// formats are the bodies of InvokeModel as AWS documents them for each vendor
// (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html), and where in the answer and in a chunk
// the text is.
var formats = []struct {
	model, region, body string
	text                string // path of the text in the answer
	chunk               string // path of a piece of it in a chunk; "" where the format does not stream
}{
	{haiku, "us-east-1", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":40,"messages":[{"role":"user","content":"Name a river."}]}`, "content.0.text", "delta.text"},
	{"amazon.nova-lite-v1:0", "us-east-1", `{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"Name a river."}]}],"inferenceConfig":{"maxTokens":40}}`, "output.message.content.0.text", "contentBlockDelta.delta.text"},
	{"amazon.titan-text-express-v1", "us-east-1", `{"inputText":"Name a river.","textGenerationConfig":{"maxTokenCount":40}}`, "results.0.outputText", "outputText"},
	{"meta.llama3-8b-instruct-v1:0", "us-east-1", `{"prompt":"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nName a river.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n","max_gen_len":40}`, "generation", "generation"},
	{"mistral.mistral-7b-instruct-v0:2", "us-east-1", `{"prompt":"<s>[INST] Name a river. [/INST]","max_tokens":40}`, "outputs.0.text", "outputs.0.text"},
	{"mistral.mistral-large-2407-v1:0", "us-west-2", `{"messages":[{"role":"user","content":"Name a river."}],"max_tokens":40}`, "choices.0.message.content", "choices.0.message.content"},
	{"cohere.command-r-v1:0", "us-east-1", `{"message":"Name a river.","max_tokens":40}`, "text", "text"},
	{"ai21.jamba-1-5-mini-v1:0", "us-east-1", `{"messages":[{"role":"user","content":"Name a river."}],"max_tokens":40}`, "choices.0.message.content", "choices.0.delta.content"},
	{"openai.gpt-oss-20b-1:0", "us-west-2", `{"messages":[{"role":"user","content":"Name a river."}],"max_tokens":40}`, "choices.0.message.content", "choices.0.delta.content"},
}

// at is the string at a path of JSON, "" where there is none.
func at(body []byte, path string) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	for _, name := range strings.Split(path, ".") {
		switch c := v.(type) {
		case map[string]any:
			v = c[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(c) {
				return ""
			}
			v = c[i]
		}
	}
	s, _ := v.(string)
	return s
}

// TestFormats: through an application profile, whole and streamed, each vendor's body gives an answer in its own form,
// with the counts of tokens that the ledger has; and so it does when what stands behind is Bedrock, here another Outcrop.
func TestFormats(t *testing.T) {
	behind := start(t, options{})
	front := start(t, options{
		config: "upstreams:\n  - name: aws\n    provider: bedrock\n    bedrock: {endpoint: " + strconv.Quote(behind.url) + "}\n",
		env:    []string{"AWS_ACCESS_KEY_ID=" + rootID, "AWS_SECRET_ACCESS_KEY=" + rootSecret},
	})
	for _, run := range []struct {
		name string
		*server
	}{{"simulated", behind}, {"bedrock", front}} {
		t.Run(run.name, func(t *testing.T) {
			s := run.server
			ctx := deadline(t)
			for i, f := range formats {
				profile := s.profile(ctx, f.region, "formats-"+strconv.Itoa(i), modelARN(f.region, f.model), map[string]string{"Project": "Formats"})
				c := s.runtime(f.region)
				out, err := c.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &profile, Body: []byte(f.body), ContentType: aws.String("application/json")})
				if err != nil {
					t.Errorf("%s: %v", f.model, err)
					continue
				}
				text := at(out.Body, f.text)
				if !strings.Contains(strings.ToLower(text), "river") {
					t.Errorf("%s: %s", f.model, out.Body)
				}
				h := header(out.ResultMetadata)
				input, _ := strconv.Atoi(h.Get("X-Amzn-Bedrock-Input-Token-Count"))
				output, _ := strconv.Atoi(h.Get("X-Amzn-Bedrock-Output-Token-Count"))
				if input == 0 || output == 0 {
					t.Errorf("%s: tokens %d and %d", f.model, input, output)
				}

				stream, err := c.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &profile, Body: []byte(f.body), ContentType: aws.String("application/json")})
				if err != nil {
					t.Errorf("%s: stream: %v", f.model, err)
					continue
				}
				pieces, last := "", []byte(nil)
				for e := range stream.GetStream().Events() {
					if part, ok := e.(*rt.ResponseStreamMemberChunk); ok {
						last = bytes.Clone(part.Value.Bytes)
						pieces += at(last, f.chunk)
					}
				}
				if err := stream.GetStream().Err(); err != nil {
					t.Errorf("%s: stream: %v", f.model, err)
				}
				stream.GetStream().Close()
				if pieces != text {
					t.Errorf("%s: streamed %q, whole %q", f.model, pieces, text)
				}
				var end struct {
					Metrics struct {
						Input  int `json:"inputTokenCount"`
						Output int `json:"outputTokenCount"`
					} `json:"amazon-bedrock-invocationMetrics"`
				}
				if err := json.Unmarshal(last, &end); err != nil || end.Metrics.Input != input || end.Metrics.Output != output {
					t.Errorf("%s: the last chunk is %s (%v), the tokens were %d and %d", f.model, last, err, input, output)
				}
			}
			for _, call := range s.settled(2 * len(formats)) {
				if call.Status != "completed" || call.Estimated || call.OutputTokens == 0 {
					t.Errorf("%+v", call)
				}
			}
		})
	}
}

// TestEmbeddings: both embedding formats, and their charge.
func TestEmbeddings(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	for model, body := range map[string]string{
		"amazon.titan-embed-text-v2:0": `{"inputText":"a river","dimensions":256}`,
		"cohere.embed-english-v3":      `{"texts":["a river","a bridge"],"input_type":"search_document"}`,
	} {
		out, err := s.runtime("us-east-1").InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &model, Body: []byte(body), ContentType: aws.String("application/json")})
		if err != nil {
			t.Errorf("%s: %v", model, err)
			continue
		}
		var titan struct {
			Embedding           []float64 `json:"embedding"`
			InputTextTokenCount int       `json:"inputTextTokenCount"`
		}
		var cohere struct {
			Embeddings   [][]float64 `json:"embeddings"`
			ResponseType string      `json:"response_type"`
		}
		if json.Unmarshal(out.Body, &titan) == nil && strings.HasPrefix(model, "amazon.") && (len(titan.Embedding) != 256 || titan.InputTextTokenCount == 0) {
			t.Errorf("%s: %d dimensions, %d tokens", model, len(titan.Embedding), titan.InputTextTokenCount)
		}
		if json.Unmarshal(out.Body, &cohere) == nil && strings.HasPrefix(model, "cohere.") && (len(cohere.Embeddings) != 2 || len(cohere.Embeddings[0]) != 1024 || cohere.ResponseType != "embeddings_floats") {
			t.Errorf("%s: %d vectors, %q", model, len(cohere.Embeddings), cohere.ResponseType)
		}
	}
	for _, call := range s.settled(2) {
		if call.Status != "completed" || call.InputTokens == 0 || call.OutputTokens != 0 {
			t.Errorf("%+v", call)
		}
	}
}

// TestCountTokens: the count is that of the call that follows.
func TestCountTokens(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	model := haiku
	n, err := s.runtime("us-east-1").CountTokens(ctx, &bedrockruntime.CountTokensInput{ModelId: &model, Input: &rt.CountTokensInputMemberConverse{
		Value: rt.ConverseTokensRequest{Messages: ask("How long is the Nile?")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.runtime("us-east-1").Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: ask("How long is the Nile?")})
	if err != nil {
		t.Fatal(err)
	}
	if *n.InputTokens != *out.Usage.InputTokens {
		t.Errorf("counted %d, used %d", *n.InputTokens, *out.Usage.InputTokens)
	}
	if calls := s.settled(1); len(calls) != 1 {
		t.Errorf("%d calls: counting is none", len(calls))
	}
}
