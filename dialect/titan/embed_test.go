package titan

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"outcrop/converse"
	"outcrop/fault"
)

const (
	png  = "iVBORw0KGgo=" // the first bytes of any PNG
	jpeg = "/9j/4AAQ"
)

// TestParseEmbedding: the requests of "Amazon Titan Embeddings G1 - Text" (V2 and G1) and "Amazon Titan Multimodal
// Embeddings G1".
func TestParseEmbedding(t *testing.T) {
	in := func(text, image string) []converse.EmbeddingInput {
		return []converse.EmbeddingInput{{Text: text, Image: image}}
	}
	for body, want := range map[string]*converse.EmbeddingRequest{
		`{"inputText":"x"}`: {Inputs: in("x", "")},
		`{"inputText":"x","dimensions":512,"normalize":false,"embeddingTypes":["float","binary"]}`:     {Inputs: in("x", ""), Dimensions: 512, Normalize: ptr(false), Types: []string{"float", "binary"}},
		`{"inputText":"x","inputImage":"` + png + `","embeddingConfig":{"outputEmbeddingLength":384}}`: {Inputs: in("x", "data:image/png;base64,"+png), Dimensions: 384},
		`{"inputImage":"` + jpeg + `"}`: {Inputs: in("", "data:image/jpeg;base64,"+jpeg)},
	} {
		got, err := ParseEmbedding([]byte(body))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	// "extraneous key [textGenerationConfig] is not permitted" is aws-samples/serverless-pdf-chat issue 35.
	for body, want := range map[string]string{
		`{}`:               `#: required key [inputText] not found`,
		`{"inputText":""}`: `#/inputText: expected minLength: 1, actual: 0`,
		`{"inputText":"x","textGenerationConfig":{}}`:                       `#: extraneous key [textGenerationConfig] is not permitted`,
		`{"inputText":["x"]}`:                                               `#/inputText: expected type: String, found: JSONArray`,
		`{"inputText":"x","dimensions":384}`:                                `#/dimensions: 384 is not a valid enum value`,
		`{"inputText":"x","embeddingConfig":{"outputEmbeddingLength":512}}`: `#/embeddingConfig/outputEmbeddingLength: 512 is not a valid enum value`,
		`{"inputText":"x","embeddingTypes":[]}`:                             `#/embeddingTypes: expected minimum item count: 1, found: 0`,
		`{"inputText":"x","embeddingTypes":["float","int8","int8"]}`:        `#/embeddingTypes/1: int8 is not a valid enum value`,
		`{"inputImage":"AAEC"}`:                                             `#/inputImage: the value is not a PNG or JPEG image in base64`,
		`{"inputImage":"?"}`:                                                `#/inputImage: the value is not a PNG or JPEG image in base64`,
		`{"inputImage":"` + png + `","dimensions":256,"normalize":true,"embeddingTypes":["float"]}`: `#: extraneous key [dimensions] is not permitted#: extraneous key [normalize] is not permitted#: extraneous key [embeddingTypes] is not permitted`,
	} {
		_, err := ParseEmbedding([]byte(body))
		refused(t, body, err, want)
	}
}

// TestAppendEmbeddings: the answers of the same pages.
func TestAppendEmbeddings(t *testing.T) {
	usage := converse.Usage{InputTokens: 5}
	floats := [][]float32{{0.0135, -1, 1e-10}}
	for _, c := range []struct {
		r    converse.EmbeddingRequest
		out  converse.Embeddings
		want string
	}{
		{converse.EmbeddingRequest{Model: "amazon.titan-embed-text-v1"}, converse.Embeddings{Float: floats, Usage: usage}, `{"embedding":[0.0135,-1,1e-10],"inputTextTokenCount":5}`},
		{converse.EmbeddingRequest{Model: "amazon.titan-embed-g1-text-02"}, converse.Embeddings{Float: floats, Usage: usage}, `{"embedding":[0.0135,-1,1e-10],"inputTextTokenCount":5}`},
		{converse.EmbeddingRequest{Model: "amazon.titan-embed-text-v2:0"}, converse.Embeddings{Float: floats, Usage: usage}, `{"embedding":[0.0135,-1,1e-10],"embeddingsByType":{"float":[0.0135,-1,1e-10]},"inputTextTokenCount":5}`},
		{converse.EmbeddingRequest{}, converse.Embeddings{Float: floats, Binary: [][]int8{{-128 + 0b10000001, -128}}, Usage: usage}, `{"embedding":[0.0135,-1,1e-10],"embeddingsByType":{"binary":[1,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0],"float":[0.0135,-1,1e-10]},"inputTextTokenCount":5}`},
		{converse.EmbeddingRequest{}, converse.Embeddings{Binary: [][]int8{{127}}, Usage: usage}, `{"embeddingsByType":{"binary":[1,1,1,1,1,1,1,1]},"inputTextTokenCount":5}`},
		{converse.EmbeddingRequest{Model: "amazon.titan-embed-image-v1"}, converse.Embeddings{Float: floats, Usage: usage}, `{"embedding":[0.0135,-1,1e-10],"inputTextTokenCount":5,"message":null}`},
		{converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Image: "data:"}}}, converse.Embeddings{Float: floats}, `{"embedding":[0.0135,-1,1e-10],"inputTextTokenCount":0,"message":null}`},
	} {
		got := AppendEmbeddings([]byte("x"), &c.r, &c.out)
		if string(got[1:]) != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
		back, err := ParseEmbeddings(got[1:])
		if err != nil || !reflect.DeepEqual(back, &c.out) {
			t.Errorf("%s is read as %+v, %v", got, back, err)
		}
	}
}

// TestParseEmbeddings: what an answer may lack, and what is none.
func TestParseEmbeddings(t *testing.T) {
	for body, want := range map[string]*converse.Embeddings{
		`{"embedding":[1]}`: {Float: [][]float32{{1}}, Estimated: true},
		`{"embeddingsByType":{"float":[1]},"inputTextTokenCount":3.0}`: {Float: [][]float32{{1}}, Usage: converse.Usage{InputTokens: 3}},
		`{"embedding":[1],"inputTextTokenCount":-1}`:                   {Float: [][]float32{{1}}, Estimated: true},
	} {
		if got, err := ParseEmbeddings([]byte(body)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	for _, body := range []string{``, `[]`, `{}`, `{"embedding":"x"}`, `{"embedding":[1e999]}`, `{"embedding":[1]`, `{"embeddingsByType":{"binary":[1,0,1]}}`, `{"embeddingsByType":{"binary":[1,0,1,0,0,0,0,2]}}`} {
		if _, err := ParseEmbeddings([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := ParseEmbeddings([]byte(`{"embedding":null,"inputTextTokenCount":0,"message":"no"}`)); !fault.Is(err, fault.ModelError) || !strings.HasSuffix(fault.From(err).Message, ": no") {
		t.Error(err)
	}
}

// TestAppendEmbeddingRequest: the bodies of the same pages, and back.
func TestAppendEmbeddingRequest(t *testing.T) {
	in := func(text, image string) []converse.EmbeddingInput {
		return []converse.EmbeddingInput{{Text: text, Image: image}}
	}
	picture := "data:image/png;base64," + png
	for _, c := range []struct {
		model string
		r     converse.EmbeddingRequest
		want  string
	}{
		{"amazon.titan-embed-text-v1", converse.EmbeddingRequest{Inputs: in("x", "")}, `{"inputText":"x"}`},
		{"amazon.titan-embed-text-v2:0", converse.EmbeddingRequest{Inputs: in("\"x\"", ""), Dimensions: 256, Normalize: ptr(true), Types: []string{"float", "binary"}}, `{"inputText":"\"x\"","dimensions":256,"normalize":true,"embeddingTypes":["float","binary"]}`},
		{"amazon.titan-embed-image-v1", converse.EmbeddingRequest{Inputs: in("x", picture), Dimensions: 384}, `{"inputText":"x","inputImage":"` + png + `","embeddingConfig":{"outputEmbeddingLength":384}}`},
		{"amazon.titan-embed-image-v1", converse.EmbeddingRequest{Inputs: in("", picture)}, `{"inputImage":"` + png + `"}`},
	} {
		got, err := AppendEmbeddingRequest([]byte("x"), &c.r, c.model, "u")
		if err != nil || string(got[1:]) != c.want {
			t.Errorf("%s, %v\nwant %s", got, err, c.want)
			continue
		}
		if back, err := ParseEmbedding(got[1:]); err != nil || !reflect.DeepEqual(back, &c.r) {
			t.Errorf("%s is read as %+v, %v", got, back, err)
		}
	}
	got, err := AppendEmbeddingRequest(nil, &converse.EmbeddingRequest{Inputs: in("x", ""), Purpose: "search_query", Truncate: "NONE", Types: []string{"float"}}, "amazon.titan-embed-text-v1", "u")
	if err != nil || string(got) != `{"inputText":"x"}` {
		t.Errorf("%s, %v", got, err)
	}

	for what, c := range map[string]struct {
		model string
		r     converse.EmbeddingRequest
	}{
		"one input a request":        {"amazon.titan-embed-text-v2:0", converse.EmbeddingRequest{Inputs: append(in("x", ""), in("y", "")...)}},
		"an input of several parts":  {"amazon.titan-embed-image-v1", converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Parts: in("x", "")}}}},
		"an image":                   {"amazon.titan-embed-text-v2:0", converse.EmbeddingRequest{Inputs: in("x", picture)}},
		"not a data URI":             {"amazon.titan-embed-image-v1", converse.EmbeddingRequest{Inputs: in("x", "data:image/gif;base64,AAEC")}},
		"truncation":                 {"amazon.titan-embed-text-v2:0", converse.EmbeddingRequest{Inputs: in("x", ""), Truncate: "END"}},
		"a maximum number of tokens": {"amazon.titan-embed-text-v2:0", converse.EmbeddingRequest{Inputs: in("x", ""), MaxTokens: 5}},
		"a number of dimensions":     {"amazon.titan-embed-text-v1", converse.EmbeddingRequest{Inputs: in("x", ""), Dimensions: 256}},
		"normalization":              {"amazon.titan-embed-image-v1", converse.EmbeddingRequest{Inputs: in("x", ""), Normalize: ptr(true)}},
		"embeddings of type int8":    {"amazon.titan-embed-text-v2:0", converse.EmbeddingRequest{Inputs: in("x", ""), Types: []string{"float", "int8"}}},
		"embeddings of type binary":  {"amazon.titan-embed-text-v1", converse.EmbeddingRequest{Inputs: in("x", ""), Types: []string{"binary"}}},
	} {
		if _, err := AppendEmbeddingRequest(nil, &c.r, c.model, "up"); !fault.Is(err, fault.Validation) || !strings.Contains(fault.From(err).Message, what) || !strings.Contains(fault.From(err).Message, `"up"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzEmbedding: whatever is sent, either way, it is refused or is written and read again the same.
func FuzzEmbedding(f *testing.F) {
	f.Add([]byte(`{"inputText":"x","dimensions":512,"normalize":false,"embeddingTypes":["float","binary"]}`))
	f.Add([]byte(`{"inputText":"x","inputImage":"` + png + `","embeddingConfig":{"outputEmbeddingLength":384}}`))
	f.Add([]byte(`{"embedding":[1,2],"embeddingsByType":{"float":[1,2],"binary":[1,0,0,0,0,0,0,1]},"inputTextTokenCount":5}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := ParseEmbedding(body); err == nil {
			model := "amazon.titan-embed-text-v2:0"
			if r.Inputs[0].Image != "" || r.Dimensions == 384 {
				model = "amazon.titan-embed-image-v1"
			}
			out, err := AppendEmbeddingRequest(nil, r, model, "u")
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseEmbedding(out); err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%s: %+v, %v", out, again, err)
			}
		} else if !fault.Is(err, fault.Validation) {
			t.Error(err)
		}
		if e, err := ParseEmbeddings(body); err == nil {
			r := &converse.EmbeddingRequest{}
			if again, err := ParseEmbeddings(AppendEmbeddings(nil, r, e)); err != nil || !reflect.DeepEqual(again.Float, e.Float) || !reflect.DeepEqual(again.Binary, e.Binary) {
				t.Errorf("%+v, %v", again, err)
			}
		} else if !errors.Is(err, ErrMalformed) && !fault.Is(err, fault.ModelError) {
			t.Error(err)
		}
	})
}

func BenchmarkAppendEmbeddings(b *testing.B) {
	v := make([]float32, 1024)
	for i := range v {
		v[i] = float32(i) / 1000
	}
	out := &converse.Embeddings{Float: [][]float32{v}}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendEmbeddings(dst[:0], &converse.EmbeddingRequest{Model: "amazon.titan-embed-text-v1"}, out)
	}
}

func BenchmarkParseEmbeddings(b *testing.B) {
	v := make([]float32, 1024)
	for i := range v {
		v[i] = float32(i) / 1000
	}
	body := AppendEmbeddings(nil, &converse.EmbeddingRequest{Model: "amazon.titan-embed-text-v1"}, &converse.Embeddings{Float: [][]float32{v}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseEmbeddings(body); err != nil {
			b.Fatal(err)
		}
	}
}
