package openai

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

func unmarshal(t *testing.T, b []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
}

// TestParseEmbedding: the bodies are those of OpenAI's API reference for "Create embeddings".
func TestParseEmbedding(t *testing.T) {
	for _, c := range []struct {
		body string
		want converse.EmbeddingRequest
	}{
		{`{"input":"The food was delicious and the waiter...","model":"text-embedding-ada-002","encoding_format":"float"}`,
			converse.EmbeddingRequest{Model: "text-embedding-ada-002", Inputs: []converse.EmbeddingInput{{Text: "The food was delicious and the waiter..."}}}},
		{`{"model":"m","input":["a","b"],"dimensions":256,"encoding_format":"base64","user":"u"}`,
			converse.EmbeddingRequest{Model: "m", Inputs: []converse.EmbeddingInput{{Text: "a"}, {Text: "b"}}, Types: []string{"base64"}, Dimensions: 256}},
	} {
		got, err := ParseEmbedding([]byte(c.body))
		if err != nil || !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s: %+v, %v", c.body, got, err)
		}
	}
	for _, c := range []struct{ body, param, says string }{
		{`{}`, "input", "Missing required parameter"},
		{`{"input":""}`, "input", "empty string"},
		{`{"input":[]}`, "input", "empty array"},
		{`{"input":["a",""]}`, "input[1]", "empty string"},
		{`{"input":[1,2]}`, "input[0]", "tokens"},
		{`{"input":[[1,2]]}`, "input[0]", "tokens"},
		{`{"input":{}}`, "input", "an array"},
		{`{"input":["` + strings.Repeat(`a","`, 2048) + `a"]}`, "input[2048]", "2048"},
		{`{"input":"a","dimensions":0}`, "dimensions", "between 1"},
		{`{"input":"a","encoding_format":"int8"}`, "encoding_format", "'float' and 'base64'"},
		{`{"input":"a","input_type":"query"}`, "input_type", "no equivalent"},
	} {
		_, err := ParseEmbedding([]byte(c.body))
		if f := fault.From(err); err == nil || f.Kind != fault.Validation || f.Resource != c.param || !strings.Contains(f.Message, c.says) {
			t.Errorf("%.80s: %+v", c.body, err)
		}
	}
}

// TestAppendEmbeddings: the object is that of the API reference; the base64 was made by numpy:
// base64.b64encode(numpy.array([0.5, -2, 0], dtype="<f4")).
func TestAppendEmbeddings(t *testing.T) {
	out := &converse.Embeddings{Float: [][]float32{{0.0023064255, -2, float32(math.NaN())}, {0.5, -2, 0}}, Usage: converse.Usage{InputTokens: 8}}
	conversetest.Same(t, string(AppendEmbeddings(nil, &converse.EmbeddingRequest{Model: "m"}, out)),
		`{"object":"list","data":[{"object":"embedding","embedding":[0.0023064255,-2,0],"index":0},{"object":"embedding","embedding":[0.5,-2,0],"index":1}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}`)
	out.Float = out.Float[1:]
	conversetest.Same(t, string(AppendEmbeddings(nil, &converse.EmbeddingRequest{Model: "m", Types: []string{"base64"}}, out)),
		`{"object":"list","data":[{"object":"embedding","embedding":"AAAAPwAAAMAAAAAA","index":0}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}`)
}

func TestEmbeddingsOut(t *testing.T) {
	texts := []converse.EmbeddingInput{{Text: "a\"b"}, {Text: "c"}}
	got, err := AppendEmbeddingRequest(nil, &converse.EmbeddingRequest{Inputs: texts, Dimensions: 256, Purpose: "search_query", Normalize: ptr(true)}, "m", "u")
	if err != nil {
		t.Fatal(err)
	}
	conversetest.Same(t, string(got), `{"model":"m","input":["a\"b","c"],"encoding_format":"float","dimensions":256}`)
	no := false
	for _, r := range []converse.EmbeddingRequest{
		{Inputs: texts, Normalize: &no}, {Inputs: texts, Types: []string{"int8"}}, {Inputs: texts, Truncate: "END"}, {Inputs: texts, MaxTokens: 5},
		{Inputs: []converse.EmbeddingInput{{Image: "data:image/png;base64,AAEC"}}}, {Inputs: []converse.EmbeddingInput{{Parts: texts}}},
	} {
		if _, err := AppendEmbeddingRequest(nil, &r, "m", "the-upstream"); !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), `"the-upstream"`) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// TestParseEmbeddings: the first answer is the API reference's, the error OpenAI's own.
func TestParseEmbeddings(t *testing.T) {
	got, err := ParseEmbeddings([]byte(`{"object":"list","data":[{"object":"embedding","embedding":[3],"index":1},{"object":"embedding","embedding":[0.0023064255,-0.009327292],"index":0}],"model":"text-embedding-ada-002","usage":{"prompt_tokens":8,"total_tokens":8}}`))
	want := &converse.Embeddings{Float: [][]float32{{0.0023064255, -0.009327292}, {3}}, Usage: converse.Usage{InputTokens: 8}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, usage := range []string{``, `,"usage":{}`, `,"usage":{"prompt_tokens":0}`, `,"usage":{"prompt_tokens":1e30}`, `,"usage":null`} {
		if got, err := ParseEmbeddings([]byte(`{"data":[{"embedding":[1]}]` + usage + `}`)); err != nil || !got.Estimated || got.Usage.InputTokens != 0 {
			t.Errorf("%s: %+v, %v", usage, got, err)
		}
	}
	for _, body := range []string{``, `[]`, `{"data":[{"embedding":[]}]}`, `{"data":[{"embedding":[1],"index":1}]}`, `{"data":[{"embedding":[1],"index":0},{"embedding":[1],"index":0}]}`, `{"data":[{"embedding":"AAAA"}]}`,
		`{"data":[` + strings.Repeat(`{},`, 10_000) + `{}]}`, `{"data":[{"embedding":[` + strings.Repeat("0,", 1<<23) + `0]}]}`} {
		if _, err := ParseEmbeddings([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.100s: %v", body, err)
		}
	}
	for _, body := range []string{
		`{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","param":null,"code":null}}`,
		`{"error":"This model's maximum context length is 8192 tokens"}`,
	} {
		var e *Error
		if _, err := ParseEmbeddings([]byte(body)); !errors.As(err, &e) || !strings.Contains(e.Message, "8192") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func FuzzEmbedding(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":["a"],"dimensions":3,"encoding_format":"base64"}`))
	f.Add([]byte(`{"data":[{"embedding":[1,2e9],"index":0}],"usage":{"prompt_tokens":3}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if q, err := ParseEmbedding(body); err == nil && (len(q.Inputs) == 0 || len(q.Inputs) > maxEmbeddingInputs) {
			t.Fatalf("%s: %+v", body, q)
		}
		if out, err := ParseEmbeddings(body); err == nil {
			for _, v := range out.Float {
				if len(v) == 0 {
					t.Fatalf("%s: %+v", body, out)
				}
			}
		}
	})
}
