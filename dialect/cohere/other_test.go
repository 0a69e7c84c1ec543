package cohere

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"outcrop/converse"
	"outcrop/converse/conversetest"
	"outcrop/fault"
)

// TestParsePrompt: the bodies are dd-trace-py's (tests/contrib/botocore/bedrock_cassettes/cohere_invoke_single_output.yaml) and
// in the form of "Cohere Command models" in the Amazon Bedrock user guide.
func TestParsePrompt(t *testing.T) {
	for _, c := range []struct{ body, want, written string }{
		{`{"prompt": "\n\nHuman: %s\n\nAssistant: Can you explain what a LLM chain is?", "temperature": 0.9, "p": 1.0, "k": 0, "max_tokens": 10, "stop_sequences":[], "stream": false, "num_generations": 1}`,
			`{"messages":[{"role":"user","content":[{"text":"\n\nHuman: %s\n\nAssistant: Can you explain what a LLM chain is?"}]}],"inferenceConfig":{"maxTokens":10,"temperature":0.9,"topP":1,"stopSequences":[]},"additionalModelRequestFields":{"k":0}}`,
			`{"prompt":"\n\nHuman: %s\n\nAssistant: Can you explain what a LLM chain is?","max_tokens":10,"temperature":0.9,"p":1,"k":0}`},
		{`{"prompt":"Hi","return_likelihoods":"NONE","logit_bias":{"1":2},"truncate":"END","stream":true}`, `{` + hi + `,"additionalModelRequestFields":{"logit_bias":{"1":2},"truncate":"END"}}`, `{"prompt":"Hi","logit_bias":{"1":2},"truncate":"END"}`},
		{`{"prompt":"Hi","return_likelihoods":"ALL"}`, `{` + hi + `,"additionalModelRequestFields":{"return_likelihoods":"ALL"}}`, `{"prompt":"Hi","return_likelihoods":"ALL"}`},
		{`{"prompt":"Hi","num_generations":2}`, `{` + hi + `,"additionalModelRequestFields":{"num_generations":2}}`, ``},
	} {
		r, err := ParsePrompt([]byte(c.body))
		if err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		conversetest.Same(t, conversetest.Marshal(t, r), c.want)
		b, err := AppendPrompt(nil, r, "m", false, "u")
		if c.written == "" {
			if !fault.Is(err, fault.Validation) || !strings.Contains(err.Error(), "num_generations") {
				t.Errorf("%s: %v", c.body, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		conversetest.Same(t, b, c.written)
		if Pieces([]byte(c.body)) != strings.Contains(c.body, `"stream":true`) {
			t.Errorf("%s: in pieces?", c.body)
		}
	}
	b, err := AppendPrompt(nil, conversetest.Request(t, `{`+hi+`}`), "m", true, "u")
	if err != nil || string(b) != `{"prompt":"Hi","stream":true}` {
		t.Errorf("%s %v", b, err)
	}
	for body, want := range map[string]string{
		`{"message":"Hi"}`:            "#: required key [prompt] not found#: extraneous key [message] is not permitted",
		`{"prompt":["Hi"]}`:           "#/prompt: expected type: String, found: JSONArray",
		`{"prompt":"Hi","p":2}`:       "#/p: 2 is not less or equal to 1",
		`{"prompt":"Hi","stream":""}`: "#/stream: expected type: Boolean, found: String",
	} {
		_, err := ParsePrompt([]byte(body))
		if f := fault.From(err); f == nil || f.Message != "Malformed input request: "+want+", please reformat your input and try again." {
			t.Errorf("%s: %v", body, err)
		}
	}
	for s, want := range map[string]string{
		`{` + hi + `,"system":[{"text":"a"}]}`: "system.0.text",
		`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]},{"role":"user","content":[{"text":"c"}]}]}`: "messages.1",
		`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AA=="}}}]}]}`:                                                "messages.0.content.0.image",
		`{` + hi + `,"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}}`:                                                      "toolConfig",
	} {
		_, err := AppendPrompt(nil, conversetest.Request(t, s), "m", false, "R")
		if f := fault.From(err); f == nil || f.Message != "The model doesn't support "+want+`: upstream "R" speaks Cohere's generate, which has no equivalent. Remove it and try again.` {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// TestGenerations: the whole answer is opentelemetry-python-contrib's recording of cohere.command-light-text-v14 but for its
// ids, the stream in one chunk is dd-trace-py's form, the pieces are those that langchain_aws reads (llms/bedrock.py).
func TestGenerations(t *testing.T) {
	a := at1
	a.Request = conversetest.Request(t, `{"messages":[{"role":"user","content":[{"text":"Say this is a test"}]}]}`)
	text := " Let it be"
	got := AppendGenerations(nil, &a, &converse.Response{Content: []converse.ContentBlock{{Text: &text}}, StopReason: converse.StopMaxTokens})
	whole := `{"id":"379ed018","generations":[{"id":"379ed018","text":" Let it be","finish_reason":"MAX_TOKENS"}],"prompt":"Say this is a test"`
	if string(got) != whole+`}` {
		t.Errorf("%s", got)
	}
	if got := AppendGenerations(nil, &at1, &converse.Response{StopReason: converse.StopContextWindowExceeded}); string(got) != `{"id":"379ed018","generations":[{"id":"379ed018","text":"","finish_reason":"MAX_TOKENS"}]}` {
		t.Errorf("%s", got)
	}
	es := []converse.Event{
		{Kind: converse.MessageStart}, {Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " Let"}, {Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: " it be"},
		{Kind: converse.BlockStop}, {Kind: converse.MessageStop, StopReason: converse.StopMaxTokens}, {Kind: converse.Metadata, Usage: converse.Usage{InputTokens: 3, OutputTokens: 2}},
	}
	lines(t, encode(&GenerationEncoder{AnswerInfo: a}, es), []string{whole + `,` + metricsEnd})
	pieces := encode(&GenerationEncoder{AnswerInfo: a, Pieces: true}, es)
	lines(t, pieces, []string{
		`{"text":" Let","is_finished":false}`, `{"text":" it be","is_finished":false}`, `{"is_finished":true,"finish_reason":"MAX_TOKENS",` + metricsEnd,
	})
	var d Decoder
	if r := conversetest.Collect(t, conversetest.Decode(t, &d, pieces...)); blocks(t, r) != `[{"text":" Let it be"}]` || r.StopReason != converse.StopMaxTokens || r.Usage.OutputTokens != 2 {
		t.Errorf("%+v", r)
	}
	long := strings.Repeat("a", maxEcho)
	s := &GenerationEncoder{AnswerInfo: a}
	*s.Request.Messages[0].Content[0].Text = long + long
	for _, c := range encode(s, []converse.Event{{Kind: converse.BlockDelta, Delta: converse.TextDelta, Text: long}, es[1], es[4], es[5]}) {
		if len(c) > maxEcho+1000 {
			t.Errorf("a chunk of %d bytes", len(c))
		}
	}
}

// TestEmbedding: the forms are those of "Cohere Embed v3" and "Cohere Embed v4" in the Amazon Bedrock user guide.
func TestEmbedding(t *testing.T) {
	const image, other = "data:image/png;base64,AA==", "data:image/png;base64,AQ=="
	in := func(v ...converse.EmbeddingInput) []converse.EmbeddingInput { return v }
	for _, c := range []struct {
		body string
		want converse.EmbeddingRequest
	}{
		{`{"texts":["Hello World!","Goodbye cruel world!"],"input_type":"search_document"}`, converse.EmbeddingRequest{Purpose: "search_document", Inputs: in(converse.EmbeddingInput{Text: "Hello World!"}, converse.EmbeddingInput{Text: "Goodbye cruel world!"})}},
		{`{"texts":["a"],"input_type":"search_query","embedding_types":["int8","ubinary"],"truncate":"END"}`, converse.EmbeddingRequest{Purpose: "search_query", Types: []string{"int8", "ubinary"}, Truncate: "END", Inputs: in(converse.EmbeddingInput{Text: "a"})}},
		{`{"images":["` + image + `"],"input_type":"image"}`, converse.EmbeddingRequest{Purpose: "image", Inputs: in(converse.EmbeddingInput{Image: image})}},
		{`{"inputs":[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":"` + image + `"}]},{"content":[{"type":"image_url","image_url":"` + image + `"},{"type":"text","text":"b"},{"type":"image_url","image_url":"` + other + `"}]}],"input_type":"clustering","output_dimension":256,"max_tokens":128000,"truncate":"LEFT"}`,
			converse.EmbeddingRequest{Purpose: "clustering", Dimensions: 256, MaxTokens: 128000, Truncate: "LEFT", Inputs: in(converse.EmbeddingInput{Text: "a", Image: image}, converse.EmbeddingInput{Parts: in(converse.EmbeddingInput{Image: image}, converse.EmbeddingInput{Text: "b"}, converse.EmbeddingInput{Image: other})})}},
	} {
		r, err := ParseEmbedding([]byte(c.body))
		if err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		if !reflect.DeepEqual(*r, c.want) {
			t.Errorf("%s: %+v\nwant %+v", c.body, *r, c.want)
		}
		b, err := AppendEmbeddingRequest(nil, r, "m", "u")
		if err != nil {
			t.Fatal(err)
		}
		conversetest.Same(t, b, c.body)
	}
	r, err := ParseEmbedding([]byte(`{"inputs":[{"content":[{"type":"image_url","image_url":{"url":"` + image + `"}}]}],"input_type":"classification"}`))
	if err != nil || r.Inputs[0].Image != image {
		t.Errorf("%+v %v", r, err)
	}
	for _, c := range []struct {
		r    converse.EmbeddingRequest
		want string
	}{
		{converse.EmbeddingRequest{Inputs: in(converse.EmbeddingInput{Text: "a"})}, `{"texts":["a"],"input_type":"search_document"}`},
		{converse.EmbeddingRequest{Inputs: in(converse.EmbeddingInput{Image: image})}, `{"images":["` + image + `"],"input_type":"image"}`},
		{converse.EmbeddingRequest{Inputs: in(converse.EmbeddingInput{Text: "a"}, converse.EmbeddingInput{Image: image})}, `{"inputs":[{"content":[{"type":"text","text":"a"}]},{"content":[{"type":"image_url","image_url":"` + image + `"}]}],"input_type":"search_document"}`},
	} {
		b, err := AppendEmbeddingRequest(nil, &c.r, "m", "u")
		if err != nil {
			t.Fatal(err)
		}
		conversetest.Same(t, b, c.want)
	}
	no := false
	for _, r := range []converse.EmbeddingRequest{{Normalize: &no}, {Types: []string{"base64"}}} {
		if _, err := AppendEmbeddingRequest(nil, &r, "m", "u"); !fault.Is(err, fault.Validation) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// The first two texts are Amazon Bedrock's, as they stand in promptfoo/promptfoo issue 921 and vercel/ai issue 5055.
func TestParseEmbeddingRefusals(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`"a",`, 97), ",")
	for body, want := range map[string]string{
		`{"inputText":"a"}`:                                                      "#: required key [texts] not found#: required key [input_type] not found#: extraneous key [inputText] is not permitted",
		`{"texts":"a"}`:                                                          "#/texts: expected type: JSONArray, found: String",
		`{"texts":[],"input_type":"search_query"}`:                               "#/texts: expected minimum item count: 1, found: 0",
		`{"texts":[` + many + `],"input_type":"search_query"}`:                   "#/texts: expected maximum item count: 96, found: 97",
		`{"texts":["a"],"images":["b"],"input_type":"search_query"}`:             "#: only one of [texts, images, inputs] is permitted",
		`{"texts":["a"],"input_type":"query"}`:                                   "#/input_type: query is not a valid enum value",
		`{"texts":["a"],"input_type":"search_query","embedding_types":["f"]}`:    "#/embedding_types/0: f is not a valid enum value",
		`{"texts":["a"],"input_type":"search_query","truncate":"MIDDLE"}`:        "#/truncate: MIDDLE is not a valid enum value",
		`{"inputs":[{"content":[{"type":"x"}]}],"input_type":"search_query"}`:    "#/inputs/0/content/0/type: x is not a valid enum value",
		`{"inputs":[{"content":[{"type":"text"}]}],"input_type":"search_query"}`: "#/inputs/0/content/0: required key [text] not found",
		`{"inputs":[{"content":[{}]}],"input_type":"search_query"}`:              "#/inputs/0/content/0: required key [type] not found",
		`{"inputs":[{}],"input_type":"search_query"}`:                            "#/inputs/0/content: expected minimum item count: 1, found: 0",
	} {
		_, err := ParseEmbedding([]byte(body))
		if f := fault.From(err); f == nil || f.Kind != fault.Validation || f.Message != "Malformed input request: "+want+", please reformat your input and try again." {
			t.Errorf("%s: %v\nwant %s", body, err, want)
		}
	}
}

// TestEmbeddings: the list is dd-trace-py's recording of cohere.embed-english-v3 (cohere_embedding.yaml), cut short; the lists by
// type are in the user guide's form.
func TestEmbeddings(t *testing.T) {
	for _, c := range []struct {
		r    converse.EmbeddingRequest
		body string
		want converse.Embeddings
	}{
		{converse.EmbeddingRequest{}, `{"embeddings":[[-0.041503906,8.506775E-4],[0.007972717,0.0024280548]],"id":"0e9cb5ab","response_type":"embeddings_floats","texts":["hello world!","goodbye cruel world!"]}`,
			converse.Embeddings{ID: "0e9cb5ab", Float: [][]float32{{-0.041503906, 8.506775e-4}, {0.007972717, 0.0024280548}}, Texts: []string{"hello world!", "goodbye cruel world!"}, Estimated: true}},
		{converse.EmbeddingRequest{Types: []string{"float", "int8", "uint8", "binary", "ubinary"}}, `{"embeddings":{"float":[[0.5]],"int8":[[-128,127]],"uint8":[[0,255]],"binary":[[-1]],"ubinary":[[254]]},"id":"i","response_type":"embeddings_by_type","texts":["a"]}`,
			converse.Embeddings{ID: "i", Float: [][]float32{{0.5}}, Int8: [][]int8{{-128, 127}}, Uint8: [][]uint8{{0, 255}}, Binary: [][]int8{{-1}}, Ubinary: [][]uint8{{254}}, Texts: []string{"a"}, Estimated: true}},
	} {
		out, err := ParseEmbeddings([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*out, c.want) {
			t.Errorf("%+v\nwant %+v", *out, c.want)
		}
		conversetest.Same(t, AppendEmbeddings(nil, &c.r, out), c.body)
	}
	out, err := ParseEmbeddings([]byte(`{"embeddings":[[1]],"meta":{"billed_units":{"input_tokens":7}}}`))
	if err != nil || out.Estimated || out.Usage.InputTokens != 7 {
		t.Errorf("%+v %v", out, err)
	}
	r := converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Text: "x"}}}
	if b := AppendEmbeddings(nil, &r, &converse.Embeddings{ID: "i", Float: [][]float32{{1}}}); string(b) != `{"embeddings":[[1]],"id":"i","response_type":"embeddings_floats","texts":["x"]}` {
		t.Errorf("%s", b)
	}
	for _, s := range []string{``, `{}`, `{"embeddings":"x"}`, `{"embeddings":[1]}`, `{"embeddings":{"uint8":[[256]]}}`, `{"embeddings":{"ubinary":[[-1]]}}`, `{"embeddings":{"int8":[[200]]}}`,
		`{"embeddings":[` + strings.Repeat(`[],`, 10_000) + `[]]}`, `{"embeddings":{"ubinary":[` + strings.Repeat(`[],`, 10_000) + `[]]}}`, `{"embeddings":[[1]],"texts":[` + strings.Repeat(`"",`, 10_000) + `""]}`} {
		if _, err := ParseEmbeddings([]byte(s)); err == nil || !strings.HasPrefix(err.Error(), ErrMalformed.Error()) {
			t.Errorf("%.100s: %v", s, err)
		}
	}
}

func FuzzParseEmbedding(f *testing.F) {
	f.Add([]byte(`{"texts":["a"],"input_type":"search_query","embedding_types":["int8"]}`))
	f.Add([]byte(`{"inputs":[{"content":[{"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"b"}]}],"input_type":"image","output_dimension":256}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseEmbedding(body)
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Errorf("%s: %v", body, err)
			}
			return
		}
		b, err := AppendEmbeddingRequest(nil, r, "m", "u")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseEmbedding(b); err != nil || !reflect.DeepEqual(again.Inputs, r.Inputs) {
			t.Errorf("%s gives %s: %v", body, strconv.Quote(string(b)), err)
		}
	})
}
