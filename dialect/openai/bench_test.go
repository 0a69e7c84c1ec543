package openai

import (
	"fmt"
	"strings"
	"testing"

	"outcrop/converse"
)

// BenchmarkAppendRequest is one call's way out: a prompt of plain text, and one of Japanese.
func BenchmarkAppendRequest(b *testing.B) {
	latin := strings.Repeat("The quick brown fox jumps over the lazy dog.\n", 1<<20/45)
	kana := strings.Repeat("吾輩は猫である。名前はまだ無い。", 1<<20/48)
	for _, c := range []struct {
		name, text string
		size       int
	}{{"1KB", latin, 1 << 10}, {"100KB", latin, 100 << 10}, {"100KB-ja", kana, 100 << 10 / 3 * 3}} {
		b.Run(c.name, func(b *testing.B) {
			text, most, system := c.text[:c.size], 100, "Answer in one sentence."
			r := &converse.Request{
				System:          []converse.SystemBlock{{Text: &system}},
				Messages:        []converse.Message{{Role: converse.RoleUser, Content: []converse.ContentBlock{{Text: &text}}}},
				InferenceConfig: &converse.InferenceConfig{MaxTokens: &most},
			}
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := AppendRequest(make([]byte, 0, EstimateSize(r)), r, "model", true, "gpu-a"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAnswer is a whole answer on its way in.
func BenchmarkAnswer(b *testing.B) {
	body := fmt.Appendf(nil, `{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":%q}}],"created":1795439692,"model":"gemma-3-270m","system_fingerprint":"b0","object":"chat.completion","usage":{"completion_tokens":100,"prompt_tokens":256,"total_tokens":356,"prompt_tokens_details":{"cached_tokens":0}},"id":"chatcmpl-13OcUvc8CPGeDMNZACQeaHvmWBD5T5nA"}`, strings.Repeat("word ", 100))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var d Decoder
		events, err := d.Append(make([]converse.Event, 0, 6), body)
		if err != nil {
			b.Fatal(err)
		}
		if events = d.Finish(events, nil); len(events) != 5 {
			b.Fatal(len(events))
		}
	}
}
