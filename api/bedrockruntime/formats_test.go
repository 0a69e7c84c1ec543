package bedrockruntime

import (
	"strings"
	"testing"

	"outcrop/catalog"
)

// TestFormats: every model of the catalog that makes text or embeddings has a format, and it is its own vendor's; the
// others pass as they are.
func TestFormats(t *testing.T) {
	cat, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	// Models whose bodies nobody here reads: of sound, and what is neither text nor a vector of text.
	opaque := []string{"amazon.nova-sonic", "amazon.nova-2-sonic", "amazon.nova-2-multimodal", "amazon.rerank", "cohere.rerank", "twelvelabs."}
	for _, m := range cat.AllModels() {
		f := formatOf(m, nil)
		text := strings.Contains(strings.Join(m.OutputModalities, " "), "TEXT")
		vectors := strings.Contains(strings.Join(m.OutputModalities, " "), "EMBEDDING")
		known := true
		for _, p := range opaque {
			known = known && !strings.HasPrefix(m.ID, p)
		}
		switch {
		case !known || !text && !vectors:
			if f.parse != nil || f.parseEmbedding != nil {
				t.Errorf("%s: format %q", m.ID, f.name)
			}
		case vectors && (f.parseEmbedding == nil || f.answerEmbeddings == nil), !vectors && (f.parse == nil || f.answer == nil):
			t.Errorf("%s: format %q is not whole", m.ID, f.name)
		case strings.HasPrefix(m.ID, "ai21.j2-"): // listed as streaming, but Bedrock streams none of its answers
		case !vectors && m.Streaming && f.stream == nil:
			t.Errorf("%s streams, its format does not", m.ID)
		}
	}
	llama, ok := cat.Model("meta.llama3-8b-instruct-v1:0")
	if !ok {
		t.Fatal("no llama")
	}
	for body, want := range map[string]string{`{"prompt":"x"}`: "llama", `{"anthropic_version":"bedrock-2023-05-31"}`: "anthropic",
		`{"max_tokens":1,"anthropic_version":"bedrock-2023-05-31"}`: "anthropic", `{"prompt":"x","tools":{"anthropic_version":1}}`: "llama"} {
		if got := formatOf(llama, []byte(body)).name; got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
