package simulated

import (
	"math"
	"slices"
	"testing"

	"outcrop/converse"
	"outcrop/fault"
	"outcrop/upstream"
)

func embed(t *testing.T, model string, q converse.EmbeddingRequest) *converse.Embeddings {
	t.Helper()
	out, err := open(t, Config{}).Embed(t.Context(), &upstream.Request{ModelID: model, Embedding: &q})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEmbed: vectors have the model's size and length 1, are the same for the same text, and are near for near texts.
func TestEmbed(t *testing.T) {
	out := embed(t, "amazon.titan-embed-text-v2:0", converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{
		{Text: "The cat sat on the mat"}, {Text: "the cat, on the mat, sat!"}, {Text: "The cat slept on the mat"}, {Text: "quarterly revenue grew"}, {Text: ""},
	}})
	dot := func(a, b []float32) (sum float64) {
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum
	}
	v := out.Float
	for i := range v {
		if len(v[i]) != 1024 || math.Abs(dot(v[i], v[i])-1) > 1e-5 {
			t.Errorf("%d: %d dimensions of length %v", i, len(v[i]), dot(v[i], v[i]))
		}
	}
	if !slices.Equal(v[0], v[1]) {
		t.Error("the same words are another vector")
	}
	if near, far := dot(v[0], v[2]), dot(v[0], v[3]); near < 0.5 || far > 0.3 || near <= far {
		t.Errorf("near %v, far %v", near, far)
	}
	if out.Usage.InputTokens < 15 || out.Usage.OutputTokens != 0 || out.Estimated || len(out.Tokens) != 5 {
		t.Errorf("%+v", out.Usage)
	}
}

func TestEmbedTypes(t *testing.T) {
	out := embed(t, "cohere.embed-english-v3", converse.EmbeddingRequest{
		Inputs: []converse.EmbeddingInput{{Text: "a b c"}}, Types: []string{"float", "int8", "uint8", "binary", "ubinary"}, Dimensions: 256,
	})
	f := out.Float[0]
	if len(f) != 256 || len(out.Int8[0]) != 256 || len(out.Uint8[0]) != 256 || len(out.Binary[0]) != 32 || len(out.Ubinary[0]) != 32 {
		t.Fatalf("%+v", out)
	}
	for i := range f {
		if want := int8(math.Round(float64(f[i]) * 127)); out.Int8[0][i] != want || int(out.Uint8[0][i])-128 != int(want) {
			t.Errorf("%d: %v is %d and %d", i, f[i], out.Int8[0][i], out.Uint8[0][i])
		}
		if set := out.Ubinary[0][i/8]&(0x80>>(i%8)) != 0; set != (f[i] >= 0) || int(out.Binary[0][i/8])+128 != int(out.Ubinary[0][i/8]) {
			t.Errorf("%d: bit %t of %v", i, set, f[i])
		}
	}
	_, err := open(t, Config{}).Embed(t.Context(), &upstream.Request{ModelID: "m", Embedding: &converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Text: "x"}}, Types: []string{"int4"}}})
	if !fault.Is(err, fault.Validation) {
		t.Error(err)
	}
	_, err = open(t, Config{}).Embed(t.Context(), &upstream.Request{ModelID: "m", Embedding: &converse.EmbeddingRequest{Inputs: []converse.EmbeddingInput{{Text: "x"}}, Dimensions: 1 << 30}})
	if !fault.Is(err, fault.Validation) {
		t.Error(err)
	}
}
